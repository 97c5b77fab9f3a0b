"""Filling the metrics (``measures.py`` declares them) and serving them to Prometheus.

``LedgerCollector`` reads the database when it is scraped; exactly one process exports it, so that
``sum()`` never doubles. ``WorkerMetrics`` and ``AlertsMetrics`` count what their own process does;
they keep to the protocols of ``streams`` and ``alerts`` by their shape, without importing them.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor import measures
from monitor.duties import Duty, Status
from monitor.facts import Instant
from monitor.intake import Batch, Ignored, Reason
from monitor.measures import Spec
from monitor.store.gauges import Gauges, StoreAway
from monitor.store.reading import ProcessorStatus
from monitor.trust import Doubt
from monitor.workdays import Calendar, beijing_day, overdue_from

Partition: TypeAlias = tuple[str, int]

_SECOND: Final = 1_000_000
_TRANSACTION_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


# -- the ledger ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many series of one sort there may be; *systems* and *duties* are by processor.

    Kept are processors that owe something, then the largest; the largest systems; the duties
    that are due first. The sentences of the metrics name the defaults.
    """

    processors: int = measures.MOST_PROCESSORS
    systems: int = measures.MOST_SYSTEMS
    duties: int = measures.MOST_DUTIES


_CAPS: Final = Caps()


class LedgerCollector(Collector):
    """The gauges of the database, as *read* gives them (``store.gauges.read``).

    One read serves all scrapes for *fresh_for* microseconds. While the database is away there
    are no gauges but ``facetally_ledger_readable 0``; other metrics of the process stay.
    """

    def __init__(
        self,
        read: Callable[[], Gauges],
        calendar: Calendar,
        clock: Callable[[], Instant],
        *,
        fresh_for: Instant = 10 * _SECOND,
        caps: Caps = _CAPS,
    ) -> None:
        self._read, self._calendar, self._clock = read, calendar, clock
        self._fresh_for, self._caps = fresh_for, caps
        self._lock = threading.Lock()  # scrapes come in threads; one of them reads
        self._read_at: Instant | None = None
        self._held: Gauges | None = None

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families without samples, so that a registry refuses a second exporter."""
        yield from _Sheet().families.values()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the families that have samples."""
        now = self._clock()
        sheet = _Sheet()
        found = self._gauges(now)
        sheet.put(measures.LEDGER_READABLE, found is not None)
        if found is not None and found.calendar is not None:
            self._calendar = found.calendar
        sheet.put(measures.CALENDAR, _seconds(overdue_from(self._calendar.last_day)))
        if found is not None:
            self._fill(sheet, found, now)
        yield from (family for family in sheet.families.values() if family.samples)

    def _gauges(self, now: Instant) -> Gauges | None:
        with self._lock:
            # A clock that was set back must not keep old numbers alive.
            if self._read_at is None or not 0 <= now - self._read_at < self._fresh_for:
                try:
                    self._held = self._read()
                except StoreAway:
                    self._held = None
                self._read_at = now
            return self._held

    def _fill(self, sheet: _Sheet, found: Gauges, now: Instant) -> None:
        duties: dict[str, list[Duty]] = defaultdict(list)
        for duty in found.duties:
            duties[duty.processor].append(duty)
        everyone = found.status.processors
        shown = sorted(everyone, key=lambda one: _weight(one, duties[one.processor]))
        shown = shown[: self._caps.processors]
        sheet.put(measures.PROCESSORS, len(everyone))
        sheet.put(measures.LEFT_OUT_PROCESSORS, len(everyone) - len(shown))
        for one in shown:
            _put_numbers(sheet, one, self._caps.systems, found.warned)
            self._put_duties(sheet, one.processor, duties[one.processor], now)
        _put_intake(sheet, found)
        _put_outbox(sheet, found)
        sheet.put(measures.AUDIT_ENTRIES, found.audit_entries)
        sheet.put(measures.AUDIT_HEAD, 1, found.audit_head)

    def _put_duties(
        self, sheet: _Sheet, processor: str, duties: Sequence[Duty], now: Instant
    ) -> None:
        tally = Tally((duty.rule, duty.status(now)) for duty in duties)
        for rule in sorted({duty.rule for duty in duties}):
            for status in Status:
                sheet.put(measures.DUTIES, tally[rule, status], processor, rule, status.value)
        owed = sorted((d for d in duties if d.owed), key=lambda d: (d.overdue_at, d.key))
        today = beijing_day(now)
        for duty in owed[: self._caps.duties]:
            labels = (processor, duty.rule, duty.key)
            left = self._calendar.working_days_left(today, duty.deadline)
            sheet.put(measures.DUTY_DUE, _seconds(duty.overdue_at), *labels)
            sheet.put(measures.DUTY_LEFT, left, *labels)
            sheet.put(measures.DUTY_PROVISIONAL, duty.deadline.provisional, *labels)
        sheet.put(measures.LEFT_OUT_DUTIES, max(0, len(owed) - self._caps.duties), processor)


class _Sheet:
    """The families of one scrape, by name."""

    def __init__(self) -> None:
        self.families = {
            spec.name: GaugeMetricFamily(spec.name, spec.sentence, labels=spec.labels)
            for spec in measures.catalogue("LedgerCollector")
        }

    def put(self, spec: Spec, value: float, *labels: str) -> None:
        self.families[spec.name].add_metric(labels, value)


def _put_numbers(
    sheet: _Sheet, one: ProcessorStatus, most: int, warned: Mapping[tuple[str, str], int]
) -> None:
    name = one.processor
    sheet.put(measures.INDIVIDUALS, one.stock.individuals, name)
    sheet.put(measures.RESEARCH, one.stock.research, name)
    sheet.put(measures.VERIFIED, not one.unverified, name)
    reasons = {why.reason for why in one.unverified}
    for doubt in Doubt:
        sheet.put(measures.UNVERIFIED, doubt in reasons, name, doubt.value)
    for why in one.unverified:
        if why.reason in {Doubt.TOPIC_MISSING, Doubt.SOURCE_SILENT}:
            sheet.put(measures.UNVERIFIED_TOPIC, 1, name, why.topic, why.reason.value)
    sheet.put(measures.RECOUNT, one.recount_pending, name)
    systems = sorted(one.stock.systems.items(), key=lambda item: (-item[1], item[0]))
    for system, individuals in systems[:most]:
        sheet.put(measures.SYSTEM, individuals, name, system)
    sheet.put(measures.LEFT_OUT_SYSTEMS, max(0, len(systems) - most), name)
    for threshold in one.thresholds:
        reach = threshold.reach
        labels = (name, threshold.rule)
        sheet.put(measures.THRESHOLD, threshold.at_least, *labels)
        sheet.put(measures.REACHED, reach.trigger_at is not None and not reach.pending, *labels)
        sheet.put(measures.PENDING, reach.pending, *labels)
        sheet.put(measures.WARNED, warned.get(labels, 0), *labels)


def _put_intake(sheet: _Sheet, found: Gauges) -> None:
    for reason in Reason:
        sheet.put(measures.REJECTED, found.status.rejected.get(reason.value, 0), reason.value)
    for kind in Ignored:
        sheet.put(measures.IGNORED, found.status.ignored.get(kind.value, 0), kind.value)


def _put_outbox(sheet: _Sheet, found: Gauges) -> None:
    waiting = {one.channel: one for one in found.waiting}
    for channel in found.channels:
        one = waiting.get(channel)
        sheet.put(measures.WAITING, one.notices if one else 0, channel)
        sheet.put(measures.FAILING, one.failing if one else 0, channel)
        if one is not None:
            sheet.put(measures.OLDEST, _seconds(one.oldest), channel)


def _weight(one: ProcessorStatus, duties: Iterable[Duty]) -> tuple[bool, int, str]:
    return not any(duty.owed for duty in duties), -one.stock.individuals, one.processor


def _seconds(instant: Instant) -> float:
    return instant / _SECOND


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


# -- serving ------------------------------------------------------------------------------------


class BadAddress(ValueError):
    """An address to serve metrics on is no ``HOST:PORT``."""


def new_registry() -> CollectorRegistry:
    """Return a registry that has ``process_*`` (CPU, memory, open files) of this process."""
    # They double the series to say what Prometheus finds out by itself.
    disable_created_metrics()  # type: ignore[no-untyped-call]  # the client ships no types for it
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def serve(registry: CollectorRegistry, address: str) -> tuple[str, int]:
    """Serve *registry* over HTTP until the process ends; return host and port that were taken.

    *address* is ``HOST:PORT``, IPv6 in brackets; port 0 takes a free one. Raises BadAddress, or
    OSError where it cannot be taken.
    """
    try:
        found = urlsplit(f"//{address}")
        host, port = found.hostname, found.port
    except ValueError:
        host = port = None
    if host is None or port is None or found.netloc != address or "@" in address:
        raise BadAddress("the address of the metrics must be HOST:PORT, such as 127.0.0.1:9464")
    server, _ = start_http_server(port, host, registry)
    return host, server.server_port


def _counter(spec: Spec, registry: CollectorRegistry) -> Counter:
    return Counter(spec.name, spec.sentence, spec.labels, registry=registry)


def _gauge(spec: Spec, registry: CollectorRegistry) -> Gauge:
    return Gauge(spec.name, spec.sentence, spec.labels, registry=registry)
