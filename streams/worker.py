"""One worker process: Faust reads, the reader keeps, and the ends of partitions are watched.

``run_worker`` goes on until it is told to stop. Kafka or the database going away holds it up and
loses nothing; if Faust itself gives up, a new app takes its place. What has been kept is only ever
what the database says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, repeat
from typing import Self, TypeVar

from monitor.facts import Instant
from monitor.intake import Keeper, TopicSeen
from streams.adapters.checks import TOLERANCE_US
from streams.admin import Admin
from streams.app import App, build, quiet_libraries
from streams.connection import Connection, Sasl, Tls
from streams.reader import PAUSE, PAUSES, Reader, Source
from streams.strangers import Strangers
from streams.telling import ADMIN, KEEPER, THREADS, Logged, Observer
from streams.transport import Consumer, consumer_of
from streams.watch import Watch

log = logging.getLogger(__name__)

T = TypeVar("T")

_POLL = 0.1
_SAY_AGAIN = 30.0
_ROUND = 1.0
_STOP_PATIENCE = 10.0  # leaving the group needs Kafka, which may be away


def _now() -> Instant:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker reads. Times are seconds.

    *instance_id* makes the worker a static member of *group*: after a kill it gets its partitions
    back at once instead of after *session_timeout*; it must be its own for each worker.
    *start_patience* bounds how long the first contact with Kafka may take. *retry_held* is when a
    partition that the keeper refused is tried again. A broker that dates records by more than
    *tolerance* (microseconds) ahead of *clock* is waited for. *max_batch_records* bounds a
    transaction, and what waits in memory for the next one. *on_turn* is called many times a second
    for as long as the event loop turns, whatever is away; it must not block.
    """

    bootstrap_servers: str
    group: str
    topics: Mapping[str, Source]
    instance_id: str | None = None
    session_timeout: float = 6.0
    tls: Tls | None = None
    sasl: Sasl | None = None
    max_batch_records: int = 30_000
    fetch_bytes: int = 4 * 1024 * 1024
    start_patience: float = 30.0
    retry_held: float = 60.0
    look_every: float = 0.2
    look_at_topics_every: float = 5.0
    publish_offsets_every: float = 5.0
    tolerance: Instant = TOLERANCE_US
    clock: Callable[[], Instant] = _now
    observer: Observer = field(default_factory=Logged)
    on_turn: Callable[[], None] = lambda: None

    @property
    def connection(self) -> Connection:
        """Where the brokers are, and how to log in."""
        return Connection(bootstrap_servers=self.bootstrap_servers, tls=self.tls, sasl=self.sasl)


def run_worker(
    settings: WorkerSettings,
    keeper: Keeper,
    *,
    on_ready: Callable[[], None] | None = None,
    stop: threading.Event | None = None,
) -> int:
    """Read *settings.topics* into *keeper* until *stop* is set or SIGTERM or SIGINT comes.

    *on_ready* is called once, when the first assignment has been placed. Returns 0. Raises
    KafkaUnreachable if Kafka does not answer at the start; later it is waited for. Signals are
    handled if this is called from the main thread. Every call of *keeper* and of the adapters
    comes from one thread, which is not this one.
    """
    quiet_libraries()
    stopping = stop if stop is not None else threading.Event()
    with _signals(stopping), Admin(settings.connection) as admin, _Threads() as threads:
        admin.wait_reachable(settings.start_patience)
        worker = _Worker(settings, keeper, admin, threads, stopping, on_ready)
        asyncio.run(worker.run())
    return 0


def _instance(instance_id: str | None, topics: Sequence[TopicSeen]) -> str | None:
    """Return the static member's id: another one for other topics.

    The broker hands a static member that comes back what it had, even if it now subscribes to
    another topic, which nobody would then read.
    """
    if instance_id is None:
        return None
    subscribed = "\n".join(sorted(topic.topic for topic in topics))
    return f"{instance_id}-{zlib.crc32(subscribed.encode()):08x}"


@contextlib.contextmanager
def _signals(stopping: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, lambda *_: stopping.set()) for number in wanted]
    try:
        yield
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


class _Threads:
    """The two threads for blocking work."""

    def __init__(self) -> None:
        self._keeper = ThreadPoolExecutor(1, KEEPER)
        self._admin = ThreadPoolExecutor(1, ADMIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.shutdown(wait=True, cancel_futures=True)
        self._admin.shutdown(wait=True, cancel_futures=True)

    async def keeper(self, work: Callable[[], T]) -> T:
        return await self._run(self._keeper, work)

    async def admin(self, work: Callable[[], T]) -> T:
        return await self._run(self._admin, work)

    @staticmethod
    async def _run(executor: Executor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, work)


class _Worker:
    """Lives one Faust app after another."""

    def __init__(
        self,
        settings: WorkerSettings,
        keeper: Keeper,
        admin: Admin,
        threads: _Threads,
        stopping: threading.Event,
        on_ready: Callable[[], None] | None,
    ) -> None:
        self._settings = settings
        self._keeper = keeper
        self._admin = admin
        self._threads = threads
        self._stopping = stopping
        self._on_ready = on_ready

    async def run(self) -> None:
        for thread in THREADS:  # one that hangs from its first call on must have been told, too
            self._settings.observer.turned(thread, self._settings.clock())
        asked = (self._threads.keeper, self._threads.admin)
        rounds = [asyncio.create_task(self._turn(*one)) for one in zip(THREADS, asked, strict=True)]
        try:
            await self._run()
        finally:
            for one in rounds:
                one.cancel()

    async def _turn(
        self, thread: str, ask: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        """Tell each second that *thread* came free: a call that hangs lets nothing through.

        What is asked of it fails or not, which is told elsewhere; so a database that is away and
        says so is not taken for one that never answers.
        """
        while True:
            await ask(lambda: None)
            self._settings.observer.turned(thread, self._settings.clock())
            await asyncio.sleep(_ROUND)

    async def _run(self) -> None:
        pauses = chain(PAUSES, repeat(PAUSE))
        while not self._stopping.is_set():
            topics = await self._topics()
            if not topics:
                continue
            try:
                await self._live(topics)
            except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
                self._settings.observer.retrying("reading", exc)
                await self._sleep(next(pauses))

    async def _topics(self) -> list[TopicSeen]:
        """Wait until a configured topic is there; create those that are to be created."""
        said = 0.0
        while not self._stopping.is_set():
            try:
                seen = await self._threads.admin(self._look_at_topics)
                if not seen:  # nobody will read, and nobody else will say so
                    gone, now = list(self._settings.topics), self._settings.clock()
                    await self._threads.keeper(partial(self._keeper.topics, [], gone, now))
            except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
                self._settings.observer.retrying("looking at topics", exc)
                await self._sleep(1.0)
                continue
            missing = set(self._settings.topics) - {topic.topic for topic in seen}
            if missing and time.monotonic() - said > _SAY_AGAIN:
                said = time.monotonic()
                log.warning("waiting for topics that do not exist: %s", ", ".join(sorted(missing)))
            if seen:
                await self._tell_compacted(seen)
                return seen
            await self._sleep(1.0)
        return []

    async def _tell_compacted(self, seen: Sequence[TopicSeen]) -> None:
        """Warn of topics that lose records without a gap; if we may not ask, that is no error."""
        names = [topic.topic for topic in seen]
        try:
            compacted = await self._threads.admin(lambda: self._admin.compacted(names))
        except Exception as exc:  # noqa: BLE001 - reading goes on without this
            log.debug("cleanup.policy is not known: %s", type(exc).__name__)
            return
        if compacted:
            log.warning(
                "compacted topics lose facts without a gap, set cleanup.policy=delete: %s",
                ", ".join(compacted),
            )

    def _look_at_topics(self) -> list[TopicSeen]:
        seen = self._admin.topics(self._settings.topics)
        there = {topic.topic for topic in seen}
        created = [
            self._admin.create_topic(name, source.create_partitions)
            for name, source in self._settings.topics.items()
            if name not in there and source.create_partitions is not None
        ]
        return self._admin.topics(self._settings.topics) if any(created) else seen

    async def _live(self, topics: Sequence[TopicSeen]) -> None:
        """Run one app until it ends, or until another topic is to be read."""
        settings = self._settings
        reader = self._reader()
        app = build(
            settings.connection,
            reader,
            reader.offer,
            group=settings.group,
            topics=[topic.topic for topic in topics],
            instance_id=_instance(settings.instance_id, topics),
            session_timeout=settings.session_timeout,
            fetch_bytes=settings.fetch_bytes,
            max_records=settings.max_batch_records,
        )
        app.finalize()
        reader.consumer = consumer = consumer_of(app)
        watch = Watch(settings, self._keeper, self._admin, self._threads, reader, topics)
        here = (self._keeper, self._admin, settings.group, self._threads)
        strangers = Strangers(*here, settings.topics, settings.clock)
        every = settings.publish_offsets_every
        try:
            await _first(
                _started(app),
                reader.place_forever(),
                reader.keep_forever(),
                watch.ends_forever(),
                watch.tick_forever(),
                watch.publish_forever(consumer.publish),
                watch.until_topics_change(),
                strangers.look_forever(lambda: reader.parts, every, settings.observer),
                self._until_over(app, consumer),
            )
        finally:
            reader.revoked()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(app.stop(), _STOP_PATIENCE)

    def _reader(self) -> Reader:
        settings = self._settings
        return Reader(
            keeper=self._keeper,
            admin=self._admin,
            group=settings.group,
            threads=self._threads,
            sources=settings.topics,
            clock=settings.clock,
            observer=settings.observer,
            max_records=settings.max_batch_records,
            retry_held=settings.retry_held,
            on_placed=self._placed,
            tolerance=settings.tolerance,
        )

    def _placed(self) -> None:
        on_ready, self._on_ready = self._on_ready, None
        if on_ready is not None:
            on_ready()

    async def _until_over(self, app: App, consumer: Consumer) -> None:
        while not self._stopping.is_set():
            failure = consumer.failure()
            if failure is not None:
                raise failure
            if app.crashed or app.should_stop:
                raise RuntimeError("the Faust app ended")
            self._settings.on_turn()
            await asyncio.sleep(_POLL)

    async def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        # The event is set by a signal or by another thread, which an asyncio.Event cannot be.
        while time.monotonic() < until and not self._stopping.is_set():
            self._settings.on_turn()
            await asyncio.sleep(_POLL)


async def _started(app: App) -> None:
    """Start *app*, which may wait for Kafka for ever, and let it live; ends by cancellation."""
    await app.start()
    await asyncio.Event().wait()


async def _first(*works: Awaitable[None]) -> None:
    """Run *works* together until one ends; raise what it raised; cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
