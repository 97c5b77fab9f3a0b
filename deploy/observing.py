"""What the processes show of themselves: the log, and metrics on a port of their own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from prometheus_client import CollectorRegistry

from alerts.metrics import CHORES
from deploy.reading import BadConfig
from deploy.wiring import Monitor, clock, sources_of
from monitor.facts import Instant
from monitor.intake import Ahead, Batch, EndSeen, Gap, Keeper, StoredPosition, TopicSeen, Written
from monitor.metrics import BadAddress, LedgerCollector, new_registry, serve
from monitor.metrics_running import AlertsMetrics, WorkerMetrics
from monitor.store import calendars, gauges
from streams.telling import Logged, Partition

log = logging.getLogger("facetally")


class Observed(Logged):
    """Tells the log and the metrics what a worker does (``streams.telling.Observer``)."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        self.metrics = metrics

    def kept(self, records: int, microseconds: int) -> None:
        """One transaction kept so many records in so much time."""
        super().kept(records, microseconds)
        self.metrics.kept(records, microseconds)

    def retrying(self, doing: str, error: Exception) -> None:
        """Something failed and is tried again."""
        super().retrying(doing, error)
        self.metrics.retrying(doing, error)

    def held(self, partition: Partition, error: Exception) -> None:
        """Say that a partition is stopped, and needs a person."""
        super().held(partition, error)
        self.metrics.held(partition, error)

    def position_moved(self, partitions: Sequence[Partition]) -> None:
        """Another worker had kept these already."""
        super().position_moved(partitions)
        self.metrics.position_moved(partitions)

    def lag(self, records: Mapping[Partition, int], stopped: Collection[Partition]) -> None:
        """Tell how many offsets each owned partition is behind its end, and which are stopped."""
        super().lag(records, stopped)
        self.metrics.lag(records, stopped)

    def turned(self, thread: str, now: Instant) -> None:
        """Tell that *thread* of the worker is not held up by a call."""
        self.metrics.turned(thread, now)


class Counted:
    """A ``Keeper`` that counts what goes through it to another one."""

    def __init__(self, keeper: Keeper, metrics: WorkerMetrics) -> None:
        self._keeper, self._metrics = keeper, metrics

    def keep(self, batches: Sequence[Batch]) -> None:
        """Keep, and count before and after."""
        self._metrics.offered(batches)
        self._keeper.keep(batches)
        self._metrics.stored(batches)

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        """Return the stored positions."""
        return self._keeper.positions(partitions)

    def topics(self, seen: Sequence[TopicSeen], gone: Iterable[str] = (), now: Instant = 0) -> None:
        """Note the configured topics."""
        self._keeper.topics(seen, gone, now)

    def moment(self) -> int:
        """Return the moment to be asked for before ends are looked up."""
        return self._keeper.moment()

    def ends(self, seen: Sequence[EndSeen]) -> None:
        """Note that reading had got to these ends."""
        self._keeper.ends(seen)

    def placed(
        self,
        *,
        begun: Sequence[Batch] = (),
        gaps: Sequence[Gap] = (),
        found: Sequence[Ahead] = (),
        committed: Mapping[tuple[str, int], int] = MappingProxyType({}),
    ) -> None:
        """Keep where reading begins."""
        self._keeper.placed(begun=begun, gaps=gaps, found=found, committed=committed)

    def written(self) -> Written:
        """Return how much has been written."""
        return self._keeper.written()

    def lacking(self, told: Collection[Written]) -> Collection[Written]:
        """Return those of *told* that the database does not hold."""
        return self._keeper.lacking(told)

    def tick(self, now: Instant) -> None:
        """Do what is due."""
        self._keeper.tick(now)


def serve_worker_metrics(address: str) -> WorkerMetrics:
    """Serve a worker's metrics on *address*. Raises BadConfig if it cannot be taken."""
    registry = new_registry()
    metrics = WorkerMetrics(registry)
    _serve(registry, address)
    return metrics


class Turning(AlertsMetrics):
    """Also tells each turn of a sender, good or bad, to who watches that they go on."""

    def __init__(self, registry: CollectorRegistry, on_turn: Callable[[str], None]) -> None:
        super().__init__(registry)
        self._on_turn = on_turn

    def known(self, loops: Iterable[str], now: Instant) -> None:
        """Show *loops* from the start on: one that never ends its first turn must have a series."""
        for name in loops:
            super().turned(name, now)

    def turned(self, channel: str, now: Instant) -> None:
        """Tell of a turn that did what it should."""
        super().turned(channel, now)
        self._on_turn(channel)

    def crashed(self, channel: str) -> None:
        """Tell of a turn that ended in an error, such as a database that is away."""
        super().crashed(channel)
        self._on_turn(channel)


def serve_alerts_metrics(
    monitor: Monitor, on_turn: Callable[[str], None] = lambda _: None
) -> AlertsMetrics:
    """Serve the senders' metrics and the gauges of the ledger, which no other process exports.

    *on_turn* is called with the channel's name after each turn of its sender, from its thread.
    """
    registry = new_registry()
    metrics = Turning(registry, on_turn)
    settings = monitor.settings
    metrics.known((*(one.name for one in settings.channels), CHORES), clock())

    current = calendars.Current(monitor.calendar)

    def read() -> gauges.Gauges:
        return gauges.read(monitor.engine, settings.rules, sources_of(settings), clock(), current)

    registry.register(LedgerCollector(read, monitor.calendar, clock))
    _serve(registry, settings.metrics_address)
    return metrics


def _serve(registry: CollectorRegistry, address: str) -> None:
    try:
        host, port = serve(registry, address)
    except BadAddress as exc:
        raise BadConfig(f"metrics_address: {exc}") from None
    except OSError as exc:
        raise BadConfig(
            f"metrics_address: {address} cannot be taken ({exc.strerror}); each process needs its "
            "own, and port 0 takes a free one"
        ) from None
    log.info("metrics on http://%s:%d/metrics", host, port)
