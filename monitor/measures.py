"""Every metric of facetally, with its type, its labels and its sentence; ``metrics.py`` fills them.

Labels are names of organisations, places and settings, never of people, and what a source could
multiply (processors, systems, duties) has a limit, with how many were left out. The names follow
Prometheus' conventions: base units, ``_total`` for counters. ``docs/metrics.md`` lists the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

MOST_PROCESSORS: Final = 500
MOST_SYSTEMS: Final = 50  # of one processor
MOST_DUTIES: Final = 20  # owed by one processor


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric: *kind* is its Prometheus type, *where* the class that exports it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    sentence: str
    where: str


def _declared(where: str, kind: str, name: str, sentence: str, *labels: str) -> Spec:
    return Spec(f"facetally_{name}", kind, labels, sentence, where)


# -- the ledger: gauges read from the database --------------------------------------------------

_ledger = partial(_declared, "LedgerCollector", "gauge")

LEDGER_READABLE = _ledger(
    "ledger_readable",
    "1 if the database could be read for this scrape; while it is 0 the gauges of the ledger are "
    "absent rather than old.",
)
PROCESSORS = _ledger("processors", "Processors that any fact was ever about.")
LEFT_OUT_PROCESSORS = _ledger(
    "processors_left_out",
    f"Processors beyond {MOST_PROCESSORS}, whose series are not exported: the smallest ones.",
)
INDIVIDUALS = _ledger(
    "individuals",
    "Distinct individuals that the processor stores now, research systems apart; to be read with "
    "facetally_verified.",
    "processor",
)
RESEARCH = _ledger(
    "research_individuals",
    "Distinct individuals in systems marked as research (Art. 2), outside the statutory number.",
    "processor",
)
SYSTEM = _ledger(
    "system_individuals",
    "Distinct individuals in one system; one person may be in several, so do not add them up.",
    "processor",
    "system",
)
LEFT_OUT_SYSTEMS = _ledger(
    "systems_left_out",
    f"Systems of the processor beyond its {MOST_SYSTEMS} largest, whose series are not exported.",
    "processor",
)
THRESHOLD = _ledger(
    "threshold_individuals",
    "The number of individuals from which on the rule asks for something.",
    "processor",
    "rule",
)
REACHED = _ledger(
    "threshold_reached",
    "1 if the threshold was reached and the reach is confirmed, whatever the number is now.",
    "processor",
    "rule",
)
PENDING = _ledger(
    "threshold_pending",
    "1 if the threshold looks reached and some partition could still take that back.",
    "processor",
    "rule",
)
WARNED = _ledger(
    "threshold_warned_percent",
    "The highest share of the threshold that was told as an early warning and is not armed again; "
    "0 if there is none.",
    "processor",
    "rule",
)
VERIFIED = _ledger(
    "verified",
    "1 if the number can be relied on; 0 while there is any reason of facetally_unverified.",
    "processor",
)
UNVERIFIED = _ledger(
    "unverified",
    "1 while the number of the processor is unverified for this reason; 0 for every other reason.",
    "processor",
    "reason",
)
UNVERIFIED_TOPIC = _ledger(
    "unverified_topic",
    "1 while the number of the processor is unverified because this topic is missing or silent; "
    "absent otherwise.",
    "processor",
    "topic",
    "reason",
)
RECOUNT = _ledger(
    "recount_pending",
    "1 while late facts wait to be looked back on for the trigger day.",
    "processor",
)
DUTIES = _ledger(
    "duties",
    "Duties of the processor under the rule by status, such as open, overdue or submitted.",
    "processor",
    "rule",
    "status",
)
DUTY_DUE = _ledger(
    "duty_due_timestamp_seconds",
    "The first instant that is too late for a duty that is owed; by the early end while the "
    "deadline is provisional.",
    "processor",
    "rule",
    "duty",
)
# promtool knows no working days: anything called "days" it wants in seconds.
DUTY_LEFT = _ledger(
    "duty_workdays_left",
    "Working days after today up to the last day to act: 0 on that day, negative once it is over.",
    "processor",
    "rule",
    "duty",
)
DUTY_PROVISIONAL = _ledger(
    "duty_provisional",
    "1 while the last day to act lies beyond the published calendars.",
    "processor",
    "rule",
    "duty",
)
DUTIES_OVERDUE = _ledger(
    "duties_overdue",
    "Duties that are owed and whose last day has passed, of all processors, those without series "
    "of their own and those whose submission failed included.",
)
LEFT_OUT_DUTIES = _ledger(
    "duties_left_out",
    f"Owed duties of the processor beyond the {MOST_DUTIES} that are due first, which have no "
    "series of their own.",
    "processor",
)
REJECTED = _ledger(
    "rejected_records", "Records set aside in the database because they are no facts.", "reason"
)
IGNORED = _ledger(
    "ignored_records", "Records read so far that say nothing about storage, by reason.", "reason"
)
WAITING = _ledger("notices_waiting", "Notices that the channel has not delivered yet.", "channel")
FAILING = _ledger(
    "notices_failing",
    "Notices among those waiting of which at least one attempt has failed.",
    "channel",
)
OLDEST = _ledger(
    "notice_oldest_waiting_timestamp_seconds",
    "When the oldest notice that the channel still owes was written; absent where it owes none.",
    "channel",
)
AUDIT_ENTRIES = _ledger("audit_entries", "Entries of the audit log.")
AUDIT_HEAD = _ledger(
    "audit_head_info",
    "Always 1; the label is the hash that seals the audit log up to its newest entry.",
    "hash",
)
CALENDAR = _ledger(
    "calendar_last_day_timestamp_seconds",
    "The end of the last day, in Beijing, that the loaded calendars answer for.",
)

# -- a worker -------------------------------------------------------------------------------------

_counts = partial(_declared, "WorkerMetrics", "counter")
_shows = partial(_declared, "WorkerMetrics", "gauge")

READ = _counts(
    "records_read_total",
    "Records decoded and offered to the database, again each time that is tried again.",
    "topic",
)
KEPT = _counts(
    "records_kept_total",
    "Records whose position is in the database, rejected and ignored ones included.",
    "topic",
)
RECORDS_REJECTED = _counts(
    "records_rejected_total",
    "Kept records that are no facts and were set aside.",
    "topic",
    "reason",
)
RECORDS_IGNORED = _counts(
    "records_ignored_total",
    "Kept records that say nothing about storage.",
    "topic",
    "reason",
)
BATCHES = _counts(
    "batches_kept_total",
    "Batches kept: consecutive records of one partition, one or more to a transaction.",
    "topic",
)
TRANSACTION = _declared(
    "WorkerMetrics",
    "histogram",
    "transaction_duration_seconds",
    "How long the transactions that kept batches took.",
)
RETRIES = _counts(
    "retries_total",
    "Failures after which the worker tried again, by what it was doing.",
    "doing",
)
MOVED = _counts(
    "positions_moved_total",
    "Batches given up because another worker had kept their records already.",
)
HELD = _shows(
    "partition_held",
    "1 while the partition is stopped and needs a person: too many rejects, or its log went "
    "backwards.",
    "topic",
    "partition",
)
LAG = _shows(
    "partition_lag_records",
    "Offsets between what this worker has read of its partition and the end of it.",
    "topic",
    "partition",
)
POSITION = _shows(
    "partition_position_timestamp_seconds",
    "Event time of the newest record kept from the partition.",
    "topic",
    "partition",
)
LAST_KEPT = _shows(
    "topic_last_kept_timestamp_seconds",
    "When this worker read the newest batch that it kept of the topic: a source is silent since.",
    "topic",
)
WORKER_ROUND = _shows(
    "worker_last_round_timestamp_seconds",
    "When this thread of the worker last came free, with nothing to do as well: keeper asks the "
    "database, kafka-admin the brokers; it hangs if this does not move.",
    "thread",
)

# -- the senders ----------------------------------------------------------------------------------

_sends = partial(_declared, "AlertsMetrics", "counter")

SENT = _sends("notices_sent_total", "Notices confirmed by the receiver.", "channel")
FAILURES = _sends(
    "notice_failures_total",
    "Attempts to deliver that failed; permanent: only a person can mend it.",
    "channel",
    "permanent",
)
POSTS = _sends(
    "duty_posts_total",
    "Posts of open duties and recent events, for a receiver that forgets; outcome: ok or failed.",
    "channel",
    "outcome",
)
ERRORS = _sends("alerts_errors_total", "Errors of a sender that are not its receiver's.", "channel")
ROUND = _declared(
    "AlertsMetrics",
    "gauge",
    "alerts_last_round_timestamp_seconds",
    "When the sender last looked for notices: it is dead if this does not move.",
    "channel",
)
_sends_now = partial(_declared, "AlertsMetrics", "gauge")

PAGES_OPEN = _sends_now(
    "pages_unacknowledged",
    "Pages with an escalation that nobody has acknowledged and whose matter is not over.",
)
PAGE_AGE = _sends_now(
    "page_oldest_unacknowledged_age_seconds", "The age of the oldest of these pages, 0 without any."
)
PAGES_LAST = _sends_now(
    "pages_after_last_step", "Those of these pages that have come to the last step."
)
UNREACHABLE = _sends_now(
    "responder_unreachable",
    "1 while every channel of this responder of the settings has failed for over five minutes.",
    "responder",
)
STEP_UNREACHABLE = _sends_now(
    "escalation_step_unreachable",
    "1 while every channel of the step has failed for over five minutes.",
    "escalation",
    "step",
)
SILENCES = _sends_now("silences_active", "Silences in force.")
REACHING = _sends_now(
    "channels_reaching", "Channels of the settings that can reach somebody: all but logs."
)
ACKNOWLEDGEMENTS = _sends(
    "acknowledgement_requests_total",
    "Requests at /ack by the status of the answer; 401: not signed by a key of ours, or too late.",
    "status",
)


def catalogue(where: str | None = None) -> tuple[Spec, ...]:
    """Return all metrics, or those exported by the class *where*, as they are ordered above."""
    found = (value for value in globals().values() if isinstance(value, Spec))
    return tuple(spec for spec in found if where in {None, spec.where})
