"""The rows of the dashboard about facetally at work: reading, telling, evidence, processes."""

from __future__ import annotations

from typing import Final

from deploy.grafana.drawing import Row, lines, of_read, table

RUNNING: Final = (
    Row(
        "Reading",
        (
            lines(
                "Records kept",
                "By topic, rejected and ignored ones included.",
                "ops",
                (
                    (
                        "sum by (installation, topic)"
                        " (rate(facetally_records_kept_total[$__rate_interval]))"
                    ),
                    "{{topic}}",
                ),
            ),
            lines(
                "Records behind, by partition",
                "It must come back to 0.",
                "short",
                (
                    "max by (installation, topic, partition) (facetally_partition_lag_records)",
                    "{{topic}}/{{partition}}",
                ),
            ),
            lines(
                "Failures that are tried again",
                "By what a worker was doing. Nothing is skipped meanwhile.",
                "ops",
                (
                    (
                        "sum by (installation, doing)"
                        " (rate(facetally_retries_total[$__rate_interval]))"
                    ),
                    "{{doing}}",
                ),
                (
                    (
                        "sum by (installation)"
                        " (rate(facetally_positions_moved_total[$__rate_interval]))"
                    ),
                    "positions moved",
                ),
            ),
            lines(
                "How long transactions take",
                "A batch of up to 20,000 records is one transaction.",
                "s",
                (
                    (
                        "histogram_quantile(0.5, sum by (installation, le)"
                        " (rate(facetally_transaction_duration_seconds_bucket[$__rate_interval])))"
                    ),
                    "p50",
                ),
                (
                    (
                        "histogram_quantile(0.99, sum by (installation, le)"
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
                    "max by (installation, reason) (facetally_rejected_records) > 0",
                    "rejected {{reason}}",
                ),
                (
                    "sum by (installation, topic, reason) (facetally_records_rejected_total)",
                    "of {{topic}} {{reason}}",
                ),
                ("max by (installation, reason) (facetally_ignored_records)", "ignored {{reason}}"),
            ),
            lines(
                "Since the last record of a topic",
                "How long ago a worker kept anything; a worker that was restarted knows of none.",
                "s",
                (
                    (
                        "time() - max by (installation, topic)"
                        " (facetally_topic_last_kept_timestamp_seconds)"
                    ),
                    "{{topic}}",
                ),
            ),
            lines(
                "Since the last round of a worker",
                "By thread: keeper asks the database, kafka-admin the brokers. It stays near 0.",
                "s",
                (
                    (
                        "time() - max by (installation, instance, thread)"
                        " (facetally_worker_last_round_timestamp_seconds)"
                    ),
                    "{{instance}} {{thread}}",
                ),
            ),
            lines(
                "Event time that was passed",
                "By partition, and whether it is stopped (1).",
                "dateTimeAsIso",
                (
                    (
                        "max by (installation, topic, partition)"
                        " (facetally_partition_position_timestamp_seconds) * 1000"
                    ),
                    "{{topic}}/{{partition}}",
                ),
            ),
            lines(
                "Stopped partitions",
                "1 while a partition is stopped and needs a person.",
                "short",
                (
                    "max by (installation, topic, partition) (facetally_partition_held)",
                    "{{topic}}/{{partition}}",
                ),
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
                (
                    "max by (installation, channel) (facetally_notices_waiting)",
                    "waiting {{channel}}",
                ),
                (
                    "max by (installation, channel) (facetally_notices_failing)",
                    "failing {{channel}}",
                ),
            ),
            lines(
                "Age of the oldest notice",
                "0 where nothing waits. A duty of 30 working days may be in it.",
                "s",
                (
                    (
                        "time() - min by (installation, channel)"
                        " (facetally_notice_oldest_waiting_timestamp_seconds)"
                        " or max by (installation, channel) (facetally_notices_waiting) * 0"
                    ),
                    "{{channel}}",
                ),
            ),
            lines(
                "Sent and failed",
                "Attempts by channel; permanent: only a person can mend it.",
                "short",
                (
                    "sum by (installation, channel) (facetally_notices_sent_total)",
                    "sent {{channel}}",
                ),
                (
                    "sum by (installation, channel, permanent) (facetally_notice_failures_total)",
                    "failed {{channel}} permanent={{permanent}}",
                ),
            ),
            lines(
                "Duties shown, rounds and errors of the senders",
                "Duties are posted to Alertmanager each minute, or they resolve there.",
                "short",
                (
                    "sum by (installation, channel, outcome) (facetally_duty_posts_total)",
                    "shown {{channel}} {{outcome}}",
                ),
                (
                    "sum by (installation, channel) (facetally_alerts_errors_total)",
                    "errors {{channel}}",
                ),
                (
                    (
                        "time() - max by (installation, channel)"
                        " (facetally_alerts_last_round_timestamp_seconds)"
                    ),
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
                ("max by (installation) (facetally_pages_unacknowledged)", "open"),
                ("max by (installation) (facetally_pages_after_last_step)", "after the last step"),
                ("max by (installation) (facetally_silences_active)", "silences in force"),
            ),
            lines(
                "Age of the oldest page that nobody has acknowledged",
                "It ends with an acknowledgement, or when its duty is owed no more.",
                "s",
                (
                    "max by (installation) (facetally_page_oldest_unacknowledged_age_seconds)",
                    "oldest",
                ),
            ),
            lines(
                "People and steps that nothing reaches",
                "All of their channels have failed for over five minutes.",
                "short",
                (
                    of_read(
                        "sum by (installation) (max by (installation, responder)"
                        " (facetally_responder_unreachable))"
                    ),
                    "responders",
                ),
                (
                    of_read(
                        "sum by (installation) (max by (installation, escalation, step)"
                        " (facetally_escalation_step_unreachable))"
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
                ("max by (installation) (facetally_audit_entries)", "entries"),
            ),
            table(
                "Head of the audit log",
                "Seals the log up to its newest entry: a checkpoint kept by Prometheus.",
                "short",
                "max by (installation, hash) (facetally_audit_head_info)",
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
