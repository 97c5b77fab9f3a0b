"""A partition that stays stopped is shown so at every look, also while it is tried again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeVar, cast

from aiokafka.structs import ConsumerRecord
from prometheus_client import CollectorRegistry

from deploy.observing import Observed
from monitor.limits import RejectLimit
from monitor.metrics_running import WorkerMetrics
from monitor.store.keeper import SqlKeeper
from streams.admin import Admin
from streams.placing import Committed, Span
from streams.reader import Reader, Source
from streams.transport import Fetched, Partition
from streams.watch import Watch
from tests.integration.store_kit import NOW, TOPIC, keeper, policy, sqlite_engine
from tests.integration.test_store_beginnings import HERE, Broker, Here, Pace, until
from tests.keeper import Names

T = TypeVar("T")
BAD = 5
STRICT = policy(2, limit=RejectLimit(rejects=3, share=0.5, window=100))
LABELS = {"topic": TOPIC, "partition": "0"}


class Epochs(Broker):
    """Knows the epoch of the last seek, which a fetch has to name."""

    epoch = 0

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        self.epoch = places[HERE][0]
        return set()

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, BAD)

    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, BAD)


class Told(Observed):
    """Counts the looks that came to their end."""

    looks = 0

    def lag(self, records: Mapping[Partition, int], stopped: Collection[Partition]) -> None:
        super().lag(records, stopped)
        self.looks += 1


class Slow(Here):
    """Kafka's answer comes after *meanwhile*."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: asyncio.Task[None] | None = None

    async def admin(self, work: Callable[[], T]) -> T:
        if self.meanwhile is not None:
            await self.meanwhile
        return work()


def bad_records(epoch: int) -> Fetched:
    records = [
        ConsumerRecord(TOPIC, 0, at, NOW // 1000, 0, None, b"\xff", None, -1, 1, [])
        for at in range(BAD)
    ]
    return Fetched(HERE, epoch, 0, BAD, records, NOW)


class Life:
    """Reader and watch of one worker, with its metrics, over a broker of one partition."""

    def __init__(self, monitor: SqlKeeper) -> None:
        self.registry = CollectorRegistry()
        self.told = Told(WorkerMetrics(self.registry))
        self.broker, self.threads = Epochs(Span("id", 0, BAD), Committed(0)), Slow()
        self.reader = Reader(
            keeper=monitor,
            admin=self.broker,
            group="g",
            threads=self.threads,
            sources={TOPIC: Source("s", Names())},
            clock=lambda: NOW,
            observer=self.told,
            max_records=10,
            retry_held=0.05,
            on_placed=lambda: None,
        )
        self.reader.consumer = self.broker
        pace = Pace(topics={TOPIC: Source("s", Names())}, observer=self.told, look_every=60.0)
        admin = cast("Admin", self.broker)
        self.watch = Watch(pace, monitor, admin, self.threads, self.reader, [])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Place and keep until the block ends."""
        tasks = [
            asyncio.ensure_future(self.reader.place_forever()),
            asyncio.ensure_future(self.reader.keep_forever()),
        ]
        self.reader.assigned([HERE])
        yield
        for task in tasks:
            task.cancel()

    async def tried_again(self) -> None:
        """Be placed, read what is bad, and be stopped."""
        await until(lambda: HERE in self.reader.parts)
        await self.reader.offer(bad_records(self.broker.epoch))
        await until(lambda: HERE not in self.reader.parts)

    async def look(self) -> None:
        """Look at ends once; the partition is tried again between the question and the answer."""
        await until(lambda: HERE in self.reader.parts)
        before = self.told.looks
        self.threads.meanwhile = asyncio.ensure_future(self.tried_again())
        looking = asyncio.ensure_future(self.watch.ends_forever())
        await until(lambda: self.told.looks > before)
        looking.cancel()

    def shown(self) -> tuple[float | None, float | None]:
        """Return what is scraped: whether it is stopped, and how far behind."""
        held = self.registry.get_sample_value("facetally_partition_held", LABELS)
        return held, self.registry.get_sample_value("facetally_partition_lag_records", LABELS)


def test_a_partition_that_is_stopped_again_during_a_look_is_shown_as_stopped(
    tmp_path: Path,
) -> None:
    shown = []

    async def live(life: Life) -> None:
        async with life.running():
            await life.tried_again()
            for _ in range(2):
                await life.look()
                shown.append(life.shown())

    with sqlite_engine(tmp_path) as engine:
        asyncio.run(live(Life(keeper(engine, STRICT))))

    assert shown == [(1, BAD), (1, BAD)]
