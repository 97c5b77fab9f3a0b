"""What a worker and the senders count of themselves, while they run.

``WorkerMetrics`` and ``AlertsMetrics`` count what their own process does; they keep to the
protocols of ``streams`` and ``alerts`` by their shape, without importing them. Both are for several
threads.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections.abc import Collection, Mapping, Sequence
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor import measures
from monitor.facts import Instant
from monitor.intake import Batch
from monitor.measures import Spec

Partition: TypeAlias = tuple[str, int]

_SECOND: Final = 1_000_000
_TRANSACTION_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


# -- a worker -----------------------------------------------------------------------------------


class WorkerMetrics:
    """What one worker has done. Keeps to ``streams.telling.Observer``; thread-safe.

    Whoever wires keeper and worker calls ``offered`` before, and ``stored`` after each ``keep``.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records_read = _counter(measures.READ, registry)
        self.records_kept = _counter(measures.KEPT, registry)
        self.records_rejected = _counter(measures.RECORDS_REJECTED, registry)
        self.records_ignored = _counter(measures.RECORDS_IGNORED, registry)
        self.batches_kept = _counter(measures.BATCHES, registry)
        self.transaction_duration = Histogram(
            measures.TRANSACTION.name,
            measures.TRANSACTION.sentence,
            buckets=_TRANSACTION_SECONDS,
            registry=registry,
        )
        self.retries = _counter(measures.RETRIES, registry)
        self.positions_moved = _counter(measures.MOVED, registry)
        self.partition_held = _gauge(measures.HELD, registry)
        self.partition_lag = _gauge(measures.LAG, registry)
        self.partition_position = _gauge(measures.POSITION, registry)
        self.topic_last_kept = _gauge(measures.LAST_KEPT, registry)
        self.last_round = _gauge(measures.WORKER_ROUND, registry)
        self._lock = threading.Lock()
        self._shown: set[Partition] = set()

    def offered(self, batches: Sequence[Batch]) -> None:
        """Count what is about to be kept, for the first time or again."""
        for batch in batches:
            self.records_read.labels(batch.topic).inc(batch.records)

    def stored(self, batches: Sequence[Batch]) -> None:
        """Count what has been kept."""
        for batch in batches:
            self.batches_kept.labels(batch.topic).inc()
            self.records_kept.labels(batch.topic).inc(batch.records)
            for reason, records in Tally(reject.reason for reject in batch.rejects).items():
                self.records_rejected.labels(batch.topic, reason.value).inc(records)
            for kind, records in batch.ignored.items():
                self.records_ignored.labels(batch.topic, kind.value).inc(records)
            self.topic_last_kept.labels(batch.topic).set(_seconds(batch.read_at))
            if batch.move is not None:
                self._passed((batch.move.topic, batch.move.partition), batch.instant)

    def _passed(self, partition: Partition, instant: Instant | None) -> None:
        with self._lock:
            self._shown.add(partition)
            self.partition_held.labels(*partition).set(0)
            if instant is not None:
                self.partition_position.labels(*partition).set(_seconds(instant))

    def kept(self, records: int, microseconds: int) -> None:  # noqa: ARG002 - stored() counts by topic
        """One transaction took so much time."""
        self.transaction_duration.observe(microseconds / _SECOND)

    def retrying(self, doing: str, error: Exception) -> None:  # noqa: ARG002 - the log has it
        """Something failed and is tried again; *doing* is of the few words in the code."""
        self.retries.labels(doing.replace(" ", "_")).inc()

    def held(self, partition: Partition, error: Exception) -> None:  # noqa: ARG002 - as above
        """Show a partition as stopped, until it goes on or is another worker's."""
        with self._lock:
            self._shown.add(partition)
            self.partition_held.labels(*partition).set(1)

    def position_moved(self, partitions: Sequence[Partition]) -> None:
        """Another worker had kept these already."""
        self.positions_moved.inc(len(partitions))

    def lag(self, records: Mapping[Partition, int], stopped: Collection[Partition]) -> None:
        """Show the partitions that this worker owns, and those that it has lost no more."""
        with self._lock:
            owned = {*records, *stopped}
            for partition in self._shown - owned:
                for gauge in (self.partition_held, self.partition_lag, self.partition_position):
                    gauge.remove(*partition)
            self._shown = owned
            for partition in owned:
                self.partition_held.labels(*partition).set(partition in stopped)
            for partition, behind in records.items():
                self.partition_lag.labels(*partition).set(behind)

    def turned(self, thread: str, now: Instant) -> None:
        """Show that a thread of the worker has come round."""
        self.last_round.labels(thread).set(_seconds(now))


# -- the senders --------------------------------------------------------------------------------


class AlertsMetrics:
    """What one process of senders has done. Keeps to ``alerts.metrics.Metrics``; thread-safe."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.notices_sent = _counter(measures.SENT, registry)
        self.notice_failures = _counter(measures.FAILURES, registry)
        self.duty_posts = _counter(measures.POSTS, registry)
        self.errors = _counter(measures.ERRORS, registry)
        self.last_round = _gauge(measures.ROUND, registry)
        self.pages_open = _gauge(measures.PAGES_OPEN, registry)
        self.page_age = _gauge(measures.PAGE_AGE, registry)
        self.pages_last = _gauge(measures.PAGES_LAST, registry)
        self.unreachable = _gauge(measures.UNREACHABLE, registry)
        self.step_unreachable = _gauge(measures.STEP_UNREACHABLE, registry)
        self.silences_active = _gauge(measures.SILENCES, registry)
        self.channels_reaching = _gauge(measures.REACHING, registry)
        self.acknowledgements = _counter(measures.ACKNOWLEDGEMENTS, registry)

    def sent(self, channel: str) -> None:
        self.notices_sent.labels(channel).inc()

    def failed(self, channel: str, *, permanent: bool) -> None:
        self.notice_failures.labels(channel, str(permanent).lower()).inc()

    def shown(self, channel: str, *, ok: bool) -> None:
        self.duty_posts.labels(channel, "ok" if ok else "failed").inc()

    def crashed(self, channel: str) -> None:
        self.errors.labels(channel).inc()

    def turned(self, channel: str, now: Instant) -> None:
        self.last_round.labels(channel).set(_seconds(now))

    def waiting(self, channel: str, notices: int, failing: int, oldest_s: float) -> None:
        """Show nothing: the backlog is one for all senders, so ``LedgerCollector`` shows it."""

    def pages(self, waiting: int, oldest_s: float, after_last: int) -> None:
        self.pages_open.set(waiting)
        self.page_age.set(oldest_s)
        self.pages_last.set(after_last)

    def reachable(self, people: Mapping[str, bool], steps: Mapping[tuple[str, int], bool]) -> None:
        for name, well in people.items():
            self.unreachable.labels(name).set(not well)
        for (escalation, step), well in steps.items():
            self.step_unreachable.labels(escalation, str(step)).set(not well)

    def silences(self, lasting: int) -> None:
        self.silences_active.set(lasting)

    def acknowledged(self, status: int) -> None:
        """Count a request at ``/ack`` by what it was answered; no part of the alerts' protocol."""
        self.acknowledgements.labels(str(status)).inc()


def _seconds(instant: Instant) -> float:
    return instant / _SECOND


def _counter(spec: Spec, registry: CollectorRegistry) -> Counter:
    return Counter(spec.name, spec.sentence, spec.labels, registry=registry)


def _gauge(spec: Spec, registry: CollectorRegistry) -> Gauge:
    return Gauge(spec.name, spec.sentence, spec.labels, registry=registry)
