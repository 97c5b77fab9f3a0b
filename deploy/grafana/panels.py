"""What the dashboard shows: rows of panels as plain values, each with its queries.

Gauges of the ledger are of one database, so they are joined with ``max by``, never summed over
processes. ``$processor`` is chosen in Grafana; the length of a rate is Grafana's own choice.
"""

from __future__ import annotations

from typing import Final

from deploy.grafana.drawing import Kind, Panel, Query, Row, lines, number, table

__all__ = ["ROWS", "Kind", "Panel", "Query"]

_OF: Final = '{processor=~"$processor"}'
_BY_DUTY: Final = "max by (processor, rule, duty)"

ROWS: Final = (
    Row(
        "Is all well?",
        (
            number(
                "Alerts firing",
                "Health alerts of facetally that fire now, the watchdog apart.",
                'count(ALERTS{alertname=~"Facetally.*",alertstate="firing",severity!="none"})'
                " or vector(0)",
            ),
            number(
                "Unverified numbers",
                "Processors whose number must not be relied on; `facetally status` says why.",
                "count(max by (processor) (facetally_verified) == 0) or vector(0)",
            ),
            number(
                "Overdue duties",
                "Duties whose last day has passed.",
                'sum(max by (processor, rule) (facetally_duties{status="overdue"})) or vector(0)',
            ),
            number(
                "Notices waiting",
                "Notices that some channel has not delivered yet.",
                "sum(max by (channel) (facetally_notices_waiting))",
                red=10,
            ),
            number(
                "Records behind",
                "Records that are in Kafka and not yet counted.",
                "sum(facetally_partition_lag_records)",
                red=10_000,
            ),
            number(
                "Ledger readable",
                "1 if the database could be read; while it is 0 the numbers below are absent.",
                "max(facetally_ledger_readable)",
                red=None,
            ),
        ),
    ),
    Row(
        "Numbers",
        (
            lines(
                "Stored individuals",
                "Distinct individuals by processor, research systems apart.",
                "short",
                (f"max by (processor) (facetally_individuals{_OF})", "{{processor}}"),
            ),
            lines(
                "Share of the threshold",
                "1 is the number from which on a filing is owed (Art. 15: it reaches, so >=).",
                "percentunit",
                (
                    (
                        f"max by (processor) (facetally_individuals{_OF}) / on (processor)"
                        " group_right max by (processor, rule)"
                        f" (facetally_threshold_individuals{_OF})"
                    ),
                    "{{processor}} {{rule}}",
                ),
            ),
            table(
                "Unverified, and why",
                "Reasons that hold now. Empty is good: then all processors are listed as verified.",
                "short",
                f"max by (processor, reason) (facetally_unverified{_OF}) == 1"
                f" or max by (processor) (facetally_verified{_OF}) == 1",
            ),
            lines(
                "Largest systems",
                "Individuals in each system; one person may be in several, so they do not add up.",
                "short",
                (
                    f"topk(10, max by (processor, system) (facetally_system_individuals{_OF}))",
                    "{{processor}} {{system}}",
                ),
            ),
            lines(
                "Research individuals",
                "Counted apart (Art. 2), outside the statutory number.",
                "short",
                (f"max by (processor) (facetally_research_individuals{_OF})", "{{processor}}"),
            ),
            lines(
                "Reaches and recounts",
                "1 while a reach waits for confirmation, or a late fact for a look back.",
                "short",
                (
                    f"max by (processor, rule) (facetally_threshold_pending{_OF})",
                    "pending {{processor}} {{rule}}",
                ),
                (
                    f"max by (processor, rule) (facetally_threshold_reached{_OF})",
                    "reached {{processor}} {{rule}}",
                ),
                (f"max by (processor) (facetally_recount_pending{_OF})", "recount {{processor}}"),
                (
                    f"max by (processor, rule) (facetally_threshold_warned_percent{_OF}) / 100",
                    "warned {{processor}} {{rule}}",
                ),
            ),
        ),
    ),
    Row(
        "Duties",
        (
            table(
                "Working days left",
                "0 on the last day, negative once it is over; by the early end while provisional.",
                "short",
                f"{_BY_DUTY} (facetally_duty_workdays_left{_OF})",
            ),
            table(
                "Too late from",
                "The first instant at which an owed duty is overdue.",
                "dateTimeAsIso",
                f"{_BY_DUTY} (facetally_duty_due_timestamp_seconds{_OF}) * 1000",
            ),
            lines(
                "Duties by status",
                "All that were ever opened, closed ones too.",
                "short",
                (
                    f"sum by (status) (max by (processor, rule, status) (facetally_duties{_OF}))",
                    "{{status}}",
                ),
            ),
            lines(
                "Provisional days, and how long the calendars last",
                "A duty beyond the published calendars has two ends; load the year when it is out.",
                "d",
                (
                    f"sum({_BY_DUTY} (facetally_duty_provisional{_OF}))",
                    "provisional",
                ),
                (
                    "(max(facetally_calendar_last_day_timestamp_seconds) - time()) / 86400",
                    "days of calendar left",
                ),
            ),
        ),
    ),
    Row(
        "Reading",
        (
            lines(
                "Records kept",
                "By topic, rejected and ignored ones included.",
                "ops",
                (
                    "sum by (topic) (rate(facetally_records_kept_total[$__rate_interval]))",
                    "{{topic}}",
                ),
            ),
            lines(
                "Records behind, by partition",
                "It must come back to 0.",
                "short",
                (
                    "max by (topic, partition) (facetally_partition_lag_records)",
                    "{{topic}}/{{partition}}",
                ),
            ),
            lines(
                "Failures that are tried again",
                "By what a worker was doing. Nothing is skipped meanwhile.",
                "ops",
                (
                    "sum by (doing) (rate(facetally_retries_total[$__rate_interval]))",
                    "{{doing}}",
                ),
                ("sum(rate(facetally_positions_moved_total[$__rate_interval]))", "positions moved"),
            ),
            lines(
                "How long transactions take",
                "A batch of up to 20,000 records is one transaction.",
                "s",
                (
                    (
                        "histogram_quantile(0.5, sum by (le)"
                        " (rate(facetally_transaction_duration_seconds_bucket[$__rate_interval])))"
                    ),
                    "p50",
                ),
                (
                    (
                        "histogram_quantile(0.99, sum by (le)"
                        " (rate(facetally_transaction_duration_seconds_bucket[$__rate_interval])))"
                    ),
                    "p99",
                ),
            ),
            lines(
                "Set aside and ignored",
                "Records that are no facts, and records that say nothing about storage, so far.",
                "short",
                (
                    "max by (reason) (facetally_rejected_records) > 0",
                    "rejected {{reason}}",
                ),
                (
                    "sum by (topic, reason) (facetally_records_rejected_total)",
                    "of {{topic}} {{reason}}",
                ),
                ("max by (reason) (facetally_ignored_records)", "ignored {{reason}}"),
            ),
            lines(
                "Since the last record of a topic",
                "How long ago a worker kept anything; a worker that was restarted knows of none.",
                "s",
                (
                    "time() - max by (topic) (facetally_topic_last_kept_timestamp_seconds)",
                    "{{topic}}",
                ),
            ),
            lines(
                "Event time that was passed",
                "By partition, and whether it is stopped (1).",
                "dateTimeAsIso",
                (
                    (
                        "max by (topic, partition)"
                        " (facetally_partition_position_timestamp_seconds) * 1000"
                    ),
                    "{{topic}}/{{partition}}",
                ),
            ),
            lines(
                "Stopped partitions",
                "1 while a partition is stopped and needs a person.",
                "short",
                ("max by (topic, partition) (facetally_partition_held)", "{{topic}}/{{partition}}"),
            ),
        ),
    ),
    Row(
        "Notices",
        (
            lines(
                "Waiting and failing",
                "By channel. No channel waits for another.",
                "short",
                ("max by (channel) (facetally_notices_waiting)", "waiting {{channel}}"),
                ("max by (channel) (facetally_notices_failing)", "failing {{channel}}"),
            ),
            lines(
                "Age of the oldest notice",
                "0 where nothing waits. A duty of 30 working days may be in it.",
                "s",
                (
                    (
                        "time() - min by (channel)"
                        " (facetally_notice_oldest_waiting_timestamp_seconds)"
                        " or max by (channel) (facetally_notices_waiting) * 0"
                    ),
                    "{{channel}}",
                ),
            ),
            lines(
                "Sent and failed",
                "Attempts by channel; permanent: only a person can mend it.",
                "short",
                ("sum by (channel) (facetally_notices_sent_total)", "sent {{channel}}"),
                (
                    "sum by (channel, permanent) (facetally_notice_failures_total)",
                    "failed {{channel}} permanent={{permanent}}",
                ),
            ),
            lines(
                "Duties shown, rounds and errors of the senders",
                "Duties are posted to Alertmanager each minute, or they resolve there.",
                "short",
                (
                    "sum by (channel, outcome) (facetally_duty_posts_total)",
                    "shown {{channel}} {{outcome}}",
                ),
                ("sum by (channel) (facetally_alerts_errors_total)", "errors {{channel}}"),
                (
                    "time() - max by (channel) (facetally_alerts_last_round_timestamp_seconds)",
                    "seconds since the last round {{channel}}",
                ),
            ),
        ),
    ),
    Row(
        "Pages and who can be told",
        (
            lines(
                "Pages that nobody has acknowledged",
                "With an escalation; Prometheus pages those that have come to its last step.",
                "short",
                ("max(facetally_pages_unacknowledged)", "open"),
                ("max(facetally_pages_after_last_step)", "after the last step"),
                ("max(facetally_silences_active)", "silences in force"),
            ),
            lines(
                "Age of the oldest page that nobody has acknowledged",
                "It ends with an acknowledgement, or when its duty is owed no more.",
                "s",
                ("max(facetally_page_oldest_unacknowledged_age_seconds)", "oldest"),
            ),
            lines(
                "People and steps that nothing reaches",
                "All of their channels have failed for over five minutes.",
                "short",
                (
                    "sum(max by (responder) (facetally_responder_unreachable)) or vector(0)",
                    "responders",
                ),
                (
                    (
                        "sum(max by (escalation, step) (facetally_escalation_step_unreachable))"
                        " or vector(0)"
                    ),
                    "steps",
                ),
            ),
        ),
    ),
    Row(
        "Evidence and processes",
        (
            lines(
                "Entries of the audit log",
                "It only ever grows.",
                "short",
                ("max(facetally_audit_entries)", "entries"),
            ),
            table(
                "Head of the audit log",
                "Seals the log up to its newest entry: a checkpoint kept by Prometheus.",
                "short",
                "max by (hash) (facetally_audit_head_info)",
            ),
            lines(
                "Memory",
                "Resident, by process.",
                "bytes",
                (
                    'process_resident_memory_bytes{job=~"facetally-.*"}',
                    "{{job}} {{instance}}",
                ),
            ),
            lines(
                "Processor time",
                "Cores used, by process.",
                "short",
                (
                    'rate(process_cpu_seconds_total{job=~"facetally-.*"}[$__rate_interval])',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
    ),
)
