"""One life of the process: the real reader, watch, keeper, outbox and webhook, from any phase on.

Only Kafka is played: ``_Log`` gives what the phase says the broker has, as the transport and the
admin client would. All else is what ``streams.worker`` and ``alerts.service`` run, on a loop whose
clock is the world's; the loops that try again are the product's own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import _set_running_loop
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TypeVar, cast

from sqlalchemy import Engine

from alerts.channel import Channel
from alerts.channels.webhook import Webhook, WebhookSettings
from alerts.metrics import NoMetrics
from alerts.outbox import Retry
from alerts.service import Sender
from monitor.facts import Instant
from monitor.intake import TopicSeen
from monitor.store import pacing
from monitor.store.engine import WorkerLock
from monitor.store.keeper import SqlKeeper
from streams.admin import Admin
from streams.placing import Committed, Span
from streams.reader import Reader, Source
from streams.telling import Observer
from streams.transport import Fetched, Partition
from streams.watch import Watch
from tests.integration.store_kit import MINUTE, SECOND
from tests.violence.crash_parts import ToldAdapter, ToldHook, ToldKeeper, ToldOutbox
from tests.violence.crash_steps import Probe
from tests.violence.crash_story import (
    FEEDING,
    PARTITIONS,
    POLICY,
    STORY,
    sources_of_story,
)
from tests.violence.crash_world import Loop, World

T = TypeVar("T")

AT_ONCE = 3  # records of one fetch
CHANNEL = "hook"
SECRET = "whsec_" + "c2VjcmV0" * 5
LOOK_EVERY = 0.5
QUIET: Instant = 75 * SECOND  # after the last failure; no loop waits longer to try again
# Less than two phases are apart; more than a look back takes whose every statement fails once.
PAGED_AFTER: Instant = 55 * MINUTE
HURRY = 15.0  # seconds that pass with each look until then
PATIENCE = 10_000  # of a phase, in looks: only a loop that never gets on takes as many
NEXT_LEASE = 130.0  # seconds, after which a claim that nobody marked is due again


@dataclass(slots=True)
class Said:
    """An observer and alert metrics that count what was tried again."""

    tried_again: int = 0
    crashes: int = 0

    def kept(self, records: int, microseconds: int) -> None: ...

    def retrying(self, doing: str, error: Exception) -> None:  # noqa: ARG002 - as the protocol
        self.tried_again += 1

    def held(self, partition: Partition, error: Exception) -> None:
        raise AssertionError(f"{partition} was stopped") from error

    def position_moved(self, partitions: Sequence[Partition]) -> None: ...

    def lag(self, records: Mapping[Partition, int], stopped: Collection[Partition]) -> None: ...

    def turned(self, thread: str, now: Instant) -> None: ...


class _Crashes(NoMetrics):
    def __init__(self, said: Said) -> None:
        self._said = said

    def crashed(self, channel: str) -> None:  # noqa: ARG002 - as the protocol
        self._said.crashes += 1


class _Here:
    """Runs blocking work where it is asked for, so that its order is the same each time."""

    async def keeper(self, work: Callable[[], T]) -> T:
        return work()

    async def admin(self, work: Callable[[], T]) -> T:
        return work()


class _Log:
    """Transport and admin client of a broker that has what the phase says."""

    def __init__(self, world: World, probe: Probe) -> None:
        self._world, self._probe = world, probe
        self._cursors: dict[Partition, tuple[int, int]] = {}
        self.reader: Reader

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        self._probe.before("place")
        self._cursors.update(places)
        return set()

    async def unplace(self, partitions: Iterable[Partition] | None = None) -> None:
        for tp in list(self._cursors) if partitions is None else partitions:
            self._cursors.pop(tp, None)

    async def poll_forever(self) -> None:
        while True:
            for tp in PARTITIONS:
                if tp in self._cursors:
                    await self._poll(tp)
            await asyncio.sleep(LOOK_EVERY / 10)

    async def _poll(self, tp: Partition) -> None:
        phase, (epoch, offset) = self._world.phase, self._cursors[tp]
        if offset < phase.starts[tp]:
            self._cursors.pop(tp)
            self._probe.before(f"out of range {tp}")
            self.reader.lost([tp])
            return
        end = min(offset + AT_ONCE, phase.given[tp])
        if end > offset:
            self._probe.before(f"poll {tp} {offset}")
            records = STORY.logs[tp][offset:end]
            self._cursors[tp] = (epoch, end)
            await self.reader.offer(Fetched(tp, epoch, offset, end, records, self._world.clock()))

    # What the admin client is asked.

    def spans(self, partitions: Iterable[Partition]) -> dict[Partition, Span]:
        self._probe.before("spans")
        phase = self._world.phase
        return {tp: Span(f"id of {tp[0]}", phase.starts[tp], phase.ends[tp]) for tp in partitions}

    def committed(self, group: str) -> Mapping[Partition, Committed]:  # noqa: ARG002 - there is one
        return self._world.committed

    async def publish(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        self._probe.before("publish offsets")
        self._world.commit(offsets, metadata)
        self._probe.after("publish offsets")

    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return {tp: self._world.phase.given[tp] for tp in partitions}

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        self._probe.before("ends")
        return {tp: self._world.phase.ends[tp] for tp in partitions}

    def topics(self, names: Iterable[str]) -> list[TopicSeen]:
        counts = {name: sum(tp[0] == name for tp in PARTITIONS) for name in names}
        return [TopicSeen(name, f"id of {name}", counts[name]) for name in sorted(counts)]


class _UntilNothingIsDue(threading.Event):
    """Stops a sender that finds nothing due; lets it try again at once after an error."""

    def __init__(self, world: World, said: Said) -> None:
        super().__init__()
        self._world, self._said, self._crashes = world, said, said.crashes

    def wait(self, timeout: float | None = None) -> bool:
        if self._said.crashes > self._crashes:
            self._crashes = self._said.crashes
            self._world.pass_time(timeout or 0.0)
        else:
            self.set()
        return self.is_set()


@dataclass(frozen=True, kw_only=True)
class _Pace:
    """What ``Watch`` reads of the settings of a worker."""

    topics: Mapping[str, Source]
    clock: Callable[[], Instant]
    observer: Observer
    look_every: float = LOOK_EVERY
    look_at_topics_every: float = 5.0
    publish_offsets_every: float = 5.0


def webhook(url: str) -> Webhook:
    """Return the channel, to be made once: its TLS context takes long."""
    return Webhook(WebhookSettings(name=CHANNEL, url=url, secret=SECRET, allow_private=True))


def prepare(world: World) -> None:
    """Make this process, and those that it forks, live by the clock of *world*, in silence."""
    logging.disable(logging.CRITICAL)
    # The pauses between look backs are part of the story, so its clock must time them.
    vars(pacing)["time"] = SimpleNamespace(monotonic=world.seconds)
    pacing.Backoff.__init__.__defaults__ = (world.seconds,)  # it took the clock when it was made


@dataclass
class Life:
    """Lives from ``world.phase`` to the end of the story, unless *probe* ends it before.

    Before each phase *between* is called with its number, if there is one. Then nothing is open
    that a fork could not share: it may fork processes that live on from here.
    """

    world: World
    engine: Engine
    hook: Webhook
    probe: Probe
    between: Callable[[int], None] | None = None
    said: Said = field(default_factory=Said)
    _lock: WorkerLock = field(init=False)
    _settled: int = 0  # of the failures
    _heard: int = 0
    _last: Instant = 0

    def live(self) -> Said:
        if self.between is not None:
            self.between(self.world.number)
        self._lock = WorkerLock(self.engine)
        with asyncio.Runner(loop_factory=lambda: Loop(self.world)) as runner:
            runner.run(self._live(self.engine))
        self._lock.release()
        return self.said

    async def _live(self, engine: Engine) -> None:
        keeper = ToldKeeper(self._until_done("start", lambda: self._keeper(engine)), self.probe)
        outbox = ToldOutbox(engine, self.probe)
        log = _Log(self.world, self.probe)
        sources = {
            name: Source(one.name, ToldAdapter(one.adapter, self.probe))
            for name, one in sources_of_story().items()
        }
        reader = self._reader(keeper, log, sources)
        pace = _Pace(topics=sources, clock=self.world.clock, observer=self.said)
        # Watch asks no more of the admin client than the log answers.
        admin = cast("Admin", log)
        watch = Watch(pace, keeper, admin, _Here(), reader, log.topics(sources))
        self._until_done("ensure", lambda: outbox.ensure([CHANNEL], self.world.clock()))
        sender = self._sender(outbox)
        works = (
            reader.place_forever(),
            reader.keep_forever(),
            log.poll_forever(),
            watch.ends_forever(),
            watch.tick_forever(),
            watch.until_topics_change(),
            watch.publish_forever(log.publish),
        )
        tasks = [asyncio.ensure_future(work) for work in works]
        reader.assigned(PARTITIONS)
        await self._tell(reader, keeper, sender)
        for task in tasks:
            assert not task.done()
            task.cancel()
        self._until_all_sent(outbox, sender)

    def _keeper(self, engine: Engine) -> SqlKeeper:
        now = self.world.clock()
        clock = self.world.clock
        return SqlKeeper(engine, POLICY, FEEDING.__getitem__, now, PAGED_AFTER, clock=clock)

    def _reader(self, keeper: ToldKeeper, log: _Log, sources: Mapping[str, Source]) -> Reader:
        reader = Reader(
            keeper=keeper,
            admin=log,
            group="story",
            threads=_Here(),
            sources=sources,
            clock=self.world.clock,
            observer=self.said,
            max_records=5,
            retry_held=60.0,
            on_placed=lambda: None,
        )
        reader.consumer = log
        log.reader = reader
        return reader

    def _sender(self, outbox: ToldOutbox) -> Sender:
        channel: Channel = ToldHook(self.hook, self.probe)
        retry = Retry(jitter=lambda: 0.5)
        return Sender(outbox, channel, retry, _Crashes(self.said))

    async def _tell(self, reader: Reader, keeper: ToldKeeper, sender: Sender) -> None:
        """Go through the phases: all read, all looked at, all sent that is due."""
        first = self.world.number
        for number in range(first, len(STORY.phases)):
            if self.between is not None and number > first:
                self._stand_still(self.between, number)
            self.world.enter(number)
            await self._until(lambda: self._read_all(reader))
            keeper.rounds = 0
            await self._until(lambda: keeper.rounds >= self.world.phase.rounds)
            await self._until(self._quiet)
            self._send(sender)

    def _stand_still(self, between: Callable[[int], None], number: int) -> None:
        """Let go of the database, so that *between* can do with it as it likes."""
        loop = asyncio.get_running_loop()
        self.engine.dispose()
        self._lock.release()
        between(number)
        _set_running_loop(loop)  # a fork does not know that it runs
        self._lock = WorkerLock(self.engine)

    @property
    def _failures(self) -> int:
        return self.said.tried_again + self.said.crashes

    def _quiet(self) -> bool:
        """Tell whether all that failed was tried again, as long as that may take."""
        if self._failures != self._heard:
            self._heard, self._last = self._failures, self.world.now
        if self.world.now - self._last >= QUIET:
            self._settled = self._failures
        return self._settled == self._failures

    def _read_all(self, reader: Reader) -> bool:
        idle, given = reader.idle(), self.world.phase.given
        return all(idle.get(tp) == given[tp] for tp in PARTITIONS)

    async def _until(self, seen: Callable[[], bool]) -> None:
        for _ in range(PATIENCE):
            if seen():
                return
            if self._failures > self._settled:
                self.world.pass_time(HURRY)
            await asyncio.sleep(LOOK_EVERY)
        raise AssertionError(f"{self.world.phase.name}: does not get on")

    def _send(self, sender: Sender) -> None:
        sender.run(self.world.clock, _UntilNothingIsDue(self.world, self.said), 1.0)

    def _until_all_sent(self, outbox: ToldOutbox, sender: Sender) -> None:
        while self._until_done("waiting", outbox.waiting):
            self.world.pass_time(NEXT_LEASE)
            self._send(sender)

    def _until_done(self, name: str, work: Callable[[], T]) -> T:
        """Do what a process does at its start, which would be started again if it fails."""
        for _ in range(PATIENCE):
            self.probe.doing(name)
            try:
                result = work()
            except Exception:  # noqa: BLE001 - the supervisor of a process asks no more
                self.said.tried_again += 1
                continue
            self.probe.done()
            return result
        raise AssertionError(f"{name} never succeeds")
