"""Filling the metrics (``measures.py`` declares them) and serving them to Prometheus.

``LedgerCollector`` reads the database when it is scraped; exactly one process exports it, so that
``sum()`` never doubles. What a process counts of itself is in ``metrics_running.py``.
"""

from __future__ import annotations

import threading
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from monitor import measures
from monitor.duties import Duty, Status
from monitor.facts import Instant
from monitor.intake import Ignored, Reason
from monitor.measures import Spec
from monitor.store.gauges import Gauges, StoreAway
from monitor.store.reading import ProcessorStatus
from monitor.trust import Doubt
from monitor.workdays import Calendar, beijing_day, overdue_from

_SECOND: Final = 1_000_000


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
        overdue = sum(duty.owed and duty.overdue_at <= now for duty in found.duties)
        sheet.put(measures.DUTIES_OVERDUE, overdue)
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
