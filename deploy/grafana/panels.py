"""What the dashboard shows: rows of panels as plain values, each with its queries.

Gauges of the ledger are of one database, so they are joined with ``max by``, never summed over
processes. A number is 0 only where it is known to be 0: without a ledger, or without rules that
are evaluated, there is none, and Grafana says so.
``$processor`` is chosen in Grafana; the length of a rate is Grafana's own choice.
"""

from __future__ import annotations

from typing import Final

from deploy.grafana.drawing import Kind, Panel, Query, Row, lines, number, of_read, table
from deploy.grafana.panels_running import RUNNING

__all__ = ["ROWS", "Kind", "Panel", "Query"]

_OF: Final = '{processor=~"$processor"}'
_BY_DUTY: Final = "max by (installation, processor, rule, duty)"


ROWS: Final = (
    Row(
        "Is all well?",
        (
            number(
                "Alerts firing",
                "Health alerts of facetally that fire now, the watchdog apart.",
                'count(ALERTS{alertname=~"Facetally.*",alertstate="firing",severity!="none"})'
                ' or 0 * count(ALERTS{alertname="FacetallyWatchdog",alertstate="firing"})',
            ),
            number(
                "Unverified numbers",
                "Processors whose number must not be relied on; `facetally status` says why.",
                of_read(
                    "count by (installation)"
                    " (max by (installation, processor) (facetally_verified) == 0)"
                ),
            ),
            number(
                "Overdue duties",
                "Duties that are owed and whose last day has passed, of all processors.",
                of_read("max by (installation) (facetally_duties_overdue)"),
            ),
            number(
                "Notices waiting",
                "Notices that some channel has not delivered yet.",
                "sum by (installation)"
                " (max by (installation, channel) (facetally_notices_waiting))",
                red=10,
            ),
            number(
                "Records behind",
                "Records that are in Kafka and not yet counted.",
                "sum by (installation) (facetally_partition_lag_records)",
                red=10_000,
            ),
            number(
                "Ledger readable",
                "1 if the database could be read; while it is 0 the numbers below are absent.",
                "max by (installation) (facetally_ledger_readable)",
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
                (f"max by (installation, processor) (facetally_individuals{_OF})", "{{processor}}"),
            ),
            lines(
                "Share of the threshold",
                "1 is the number from which on a filing is owed (Art. 15: it reaches, so >=).",
                "percentunit",
                (
                    (
                        f"max by (installation, processor) (facetally_individuals{_OF})"
                        " / on (installation, processor)"
                        " group_right max by (installation, processor, rule)"
                        f" (facetally_threshold_individuals{_OF})"
                    ),
                    "{{processor}} {{rule}}",
                ),
            ),
            table(
                "Unverified, and why",
                "Reasons that hold now. Empty is good: then all processors are listed as verified.",
                "short",
                f"max by (installation, processor, reason) (facetally_unverified{_OF}) == 1"
                f" or max by (installation, processor) (facetally_verified{_OF}) == 1",
            ),
            lines(
                "Largest systems",
                "Individuals in each system; one person may be in several, so they do not add up.",
                "short",
                (
                    (
                        "topk(10, max by (installation, processor, system)"
                        f" (facetally_system_individuals{_OF}))"
                    ),
                    "{{processor}} {{system}}",
                ),
            ),
            lines(
                "Research individuals",
                "Counted apart (Art. 2), outside the statutory number.",
                "short",
                (
                    f"max by (installation, processor) (facetally_research_individuals{_OF})",
                    "{{processor}}",
                ),
            ),
            lines(
                "Reaches and recounts",
                "1 while a reach waits for confirmation, or a late fact for a look back.",
                "short",
                (
                    f"max by (installation, processor, rule) (facetally_threshold_pending{_OF})",
                    "pending {{processor}} {{rule}}",
                ),
                (
                    f"max by (installation, processor, rule) (facetally_threshold_reached{_OF})",
                    "reached {{processor}} {{rule}}",
                ),
                (
                    f"max by (installation, processor) (facetally_recount_pending{_OF})",
                    "recount {{processor}}",
                ),
                (
                    (
                        "max by (installation, processor, rule)"
                        f" (facetally_threshold_warned_percent{_OF}) / 100"
                    ),
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
                    (
                        "sum by (installation, status)"
                        f" (max by (installation, processor, rule, status) (facetally_duties{_OF}))"
                    ),
                    "{{status}}",
                ),
            ),
            lines(
                "Provisional days, and how long the calendars last",
                "A duty beyond the published calendars has two ends; load the year when it is out.",
                "d",
                (
                    f"sum by (installation) ({_BY_DUTY} (facetally_duty_provisional{_OF}))",
                    "provisional",
                ),
                (
                    (
                        "(max by (installation) (facetally_calendar_last_day_timestamp_seconds)"
                        " - time()) / 86400"
                    ),
                    "days of calendar left",
                ),
            ),
        ),
    ),
    *RUNNING,
)
