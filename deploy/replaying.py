"""``facetally rejects replay``: read rejected records again, after a setting was mended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deploy.wiring import Monitor
from monitor.facts import Instant
from monitor.intake import Batch, Coordinates
from monitor.store import listing
from monitor.store.engine import WorkerLock, reading
from streams.connection import Connection
from streams.decoding import decode_records
from streams.records import Adapter, Record
from streams.rereading import reread, topic_ids

_AT_ONCE = 1_000


@dataclass(slots=True)
class Replayed:
    """How many are facts now, are still rejected, or cannot be read any more."""

    replayed: int = 0
    still: int = 0
    gone: int = 0


def replay(monitor: Monitor, clock: Callable[[], Instant]) -> Replayed:
    """Read every reject that came from Kafka again, with today's settings.

    Its first reading still bounds how far ahead of its record a fact may be. Raises
    KafkaUnreachable, SettingsDiffer if the workers have other settings, and AlreadyRunning beside a
    worker on SQLite.
    """
    lock = WorkerLock(monitor.engine)
    settings = monitor.settings
    connection = Connection(
        bootstrap_servers=settings.bootstrap_servers, tls=settings.tls, sasl=settings.sasl
    )
    result = Replayed()
    try:
        now = clock()
        keeper = monitor.keeper(now, take_settings=False)
        rejected = _rejected(monitor)
        wanted = {where.topic for where in rejected}
        ids = topic_ids(connection, wanted, settings.start_patience_seconds)
        there = {w: r for w, r in rejected.items() if ids.get(w.topic) == r.topic_id}
        result.gone += len(rejected) - len(there)
        adapters: dict[str, Adapter] = {}
        batches: list[Batch] = []
        settled: list[Coordinates] = []
        for where, record in reread(connection, there):
            if record is None:
                result.gone += 1
                continue
            batch = _decoded(monitor, adapters, there[where], record)
            if batch is None or batch.rejects:
                result.still += 1
                continue
            result.replayed += 1
            batches.append(replace(batch, read_at=now))  # only now do we know
            settled.append(where)
            if len(settled) >= _AT_ONCE:
                keeper.keep_replayed(batches, settled)
                batches, settled = [], []
        keeper.keep_replayed(batches, settled)
        keeper.tick(clock())
        return result
    finally:
        lock.release()


def _rejected(monitor: Monitor) -> dict[Coordinates, listing.Rejected]:
    with reading(monitor.engine) as connection:
        return {one.where: one for one in listing.rejects(connection, of_kafka=True)}


def _decoded(
    monitor: Monitor, adapters: dict[str, Adapter], rejected: listing.Rejected, record: Record
) -> Batch | None:
    """Decode with the source that the topic has now; None if it is not configured any more."""
    source = next(
        (topic.source for topic in monitor.settings.topics if topic.name == record.topic), None
    )
    if source is None:
        return None
    if source not in adapters:
        adapters[source] = monitor.adapter(source)
    return decode_records([record], adapters[source], source, rejected.read_at, None)
