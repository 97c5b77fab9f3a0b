"""What a worker owns of Kafka, from where it reads, and how it is kept: stall, never skip.

All state lives on the event loop; the two blocking neighbours each have one thread: the keeper
(decoding too) and Kafka's admin client. One thread for the keeper is also what orders things: the
positions of a new assignment are read after whatever was still being kept for the old one.

A fetch is taken only if it continues where the last one of its partition ended, in the same
*epoch* (a number that every seek raises). So whatever Faust, a rebalance or a recreated topic does
to fetches on their way, a hole or a repetition is noticed here, and the partition is read again
from the stored position. What is stored moves only through ``Move.expected``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count, repeat

from monitor.facts import Instant
from monitor.intake import (
    Batch,
    ClockBehind,
    Keeper,
    LogPoint,
    LogWentBack,
    Move,
    PositionMoved,
    TooManyRejects,
)
from streams.adapters.checks import TOLERANCE_US
from streams.beginnings import Beginnings, Looked
from streams.decoding import clock_behind, decode_records
from streams.neighbours import Consumer, Spans, Threads
from streams.placing import Kept, Place, to_metadata
from streams.records import Adapter, Record
from streams.telling import Observer
from streams.transport import Fetched, Partition

log = logging.getLogger(__name__)

PENDING_BYTES = 64 * 1024 * 1024
PAUSES = (0.1, 1.0)
PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Source:
    """What the records of a topic are: the source's name and the adapter that reads them.

    A topic that is missing is created with *create_partitions*, or waited for where it is None.
    """

    name: str
    adapter: Adapter
    create_partitions: int | None = None


@dataclass(slots=True)
class Part:
    """An owned partition: *at* is stored (or the log's start), *next* is read, of *topic_id*."""

    epoch: int
    topic_id: str
    expected: int | None
    at: int
    next: int
    log: LogPoint | None = None  # the highest live log position kept


@dataclass(frozen=True, slots=True)
class Work:
    """A batch, decoded, on its way into the database."""

    partition: Partition
    epoch: int
    batch: Batch
    end: int


class Reader:
    """Takes fetches in (``offer``), gets them kept (``keep_forever``); a ``transport.Listener``."""

    def __init__(  # noqa: PLR0913 - the neighbours of one object, all keyword-only
        self,
        *,
        keeper: Keeper,
        admin: Spans,
        group: str,
        threads: Threads,
        sources: Mapping[str, Source],
        clock: Callable[[], Instant],
        observer: Observer,
        max_records: int,
        retry_held: float,
        on_placed: Callable[[], None],
        tolerance: Instant = TOLERANCE_US,
    ) -> None:
        names = {topic: source.name for topic, source in sources.items()}
        self.parts: dict[Partition, Part] = {}
        self.stopped: dict[Partition, int] = {}  # of ours, and where: until one is read on
        self._keeper = keeper
        self._beginnings = Beginnings(keeper, admin, group, threads, names, clock)
        self._threads = threads
        self._sources = sources
        self._observer = observer
        self._max_records = max_records
        self._retry_held = retry_held
        self._on_placed = on_placed
        self._tolerance = tolerance
        self._epochs = count(1)
        self._assignment = 0
        self._unplaced: set[Partition] = set()
        self._kept_to: dict[Partition, Kept] = {}
        self._pending: deque[Fetched] = deque()
        self._records = 0
        self._bytes = 0
        self._room = asyncio.Event()
        self._offered = asyncio.Event()
        self._to_place = asyncio.Event()
        self.now = clock
        self.consumer: Consumer

    # What the transport tells.

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """Take these partitions: void all else, and look up where to read them."""
        self.revoked()
        self._unplaced = set(partitions)
        # Of what we had before and have again, nobody else has moved the position meanwhile.
        self._kept_to = {tp: at for tp, at in self._kept_to.items() if tp in self._unplaced}
        if not self._unplaced:
            self._on_placed()
        self._to_place.set()

    def revoked(self) -> None:
        """Let go of everything; a batch that is being kept is stopped by its guard."""
        self._assignment += 1
        self._unplaced.clear()
        self.parts.clear()
        self.stopped.clear()
        self._drop_void()

    def lost(self, partitions: Iterable[Partition]) -> None:
        """Look up again where to read these, if they are ours."""
        for partition in partitions:
            if self.parts.pop(partition, None) is not None:
                self._unplaced.add(partition)
        self._drop_void()
        self._to_place.set()

    async def offer(self, fetched: Fetched) -> None:
        """Take a fetch if it follows the last one; wait while there is enough to do."""
        part = self.parts.get(fetched.partition)
        if part is None or part.epoch != fetched.epoch:
            return
        if part.next != fetched.start:
            log.warning("%r does not follow %d: reading again", fetched, part.next)
            self.lost([fetched.partition])
            return
        part.next = fetched.end
        self._pending.append(fetched)
        self._records += len(fetched.records)
        self._bytes += fetched.size
        self._offered.set()
        while self._records >= self._max_records or self._bytes >= PENDING_BYTES:
            self._room.clear()
            await self._room.wait()

    # What is done with it.

    async def place_forever(self) -> None:
        """Look up where to read what is new to us; ends by cancellation only."""
        while True:
            await self._to_place.wait()
            self._to_place.clear()
            for pause in chain(PAUSES, repeat(PAUSE)):
                if not self._unplaced or await self._placed():
                    break
                await asyncio.sleep(pause)

    async def keep_forever(self) -> None:
        """Get kept what was offered; ends by cancellation only."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._pending:
                await self._keep_some()

    def idle(self) -> dict[Partition, int]:
        """Return the stored positions of partitions all of whose fetches have been kept."""
        return {tp: part.at for tp, part in self.parts.items() if part.next == part.at}

    def _drop_void(self) -> None:
        current = {tp: part.epoch for tp, part in self.parts.items()}
        self._set_pending(f for f in self._pending if current.get(f.partition) == f.epoch)

    def _set_pending(self, fetches: Iterable[Fetched]) -> None:
        self._pending = deque(fetches)
        self._records = sum(len(fetched.records) for fetched in self._pending)
        self._bytes = sum(fetched.size for fetched in self._pending)
        self._room.set()

    # Placing.

    async def _placed(self) -> bool:
        """Read positions, have gaps kept, seek. Return whether it could be done."""
        assignment, wanted = self._assignment, set(self._unplaced)
        try:
            looked = await self._beginnings.look_up(wanted, self._kept_to)
            if assignment != self._assignment:
                return True
            places = looked.places
            await self._beginnings.keep(looked)
            if assignment == self._assignment:
                await self._seek(places)
                await self._publish(looked)
        except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
            self._observer.retrying("positions", exc)
            return False
        return assignment != self._assignment or not wanted - set(places)

    async def _publish(self, looked: Looked) -> None:
        """Publish at once what explains itself no longer: it is not to be found again."""
        ours = {tp: part.at for tp, part in self.parts.items() if tp in looked.places}
        if ours and (looked.gaps or looked.found):
            await self.consumer.publish(ours, to_metadata(looked.written))

    async def _seek(self, places: Mapping[Partition, Place]) -> None:
        seeks = {}
        for tp, at in places.items():
            epoch = next(self._epochs)
            self.parts[tp] = Part(epoch, at.topic_id, at.offset, at.offset, at.offset, log=at.log)
            self._kept_to[tp] = Kept(at.topic_id, at.offset)
            self._unplaced.discard(tp)
            seeks[tp] = (epoch, at.offset)
        gone = await self.consumer.place(seeks)
        for tp in gone:
            self.parts.pop(tp, None)  # the next assignment says who has it
        self._on_placed()

    # Keeping.

    async def _keep_some(self) -> None:
        taken = self._take()
        pauses = chain(PAUSES, repeat(PAUSE))
        while True:
            try:
                work = await self._threads.keeper(partial(self._decoded, taken))
                break
            except Exception as exc:  # noqa: BLE001 - an adapter with a bug: stall, never skip
                self._observer.retrying("decoding", exc)
                await asyncio.sleep(next(pauses))
            taken = {tp: some for tp, some in taken.items() if self._current(tp, some[0].epoch)}
        await self._keep(work)

    def _take(self) -> dict[Partition, list[Fetched]]:
        """Take the oldest fetches up to the limit, at least one, together by partition."""
        taken: dict[Partition, list[Fetched]] = {}
        records = 0
        while self._pending and (
            not records or records + len(self._pending[0].records) <= self._max_records
        ):
            fetched = self._pending.popleft()
            records += len(fetched.records)
            taken.setdefault(fetched.partition, []).append(fetched)
        self._set_pending(self._pending)
        return taken

    def _decoded(self, taken: Mapping[Partition, Sequence[Fetched]]) -> list[Work]:
        """Decode in the keeper's thread."""
        work = []
        for tp, fetches in taken.items():
            part = self.parts.get(tp)
            if part is None or part.epoch != fetches[0].epoch:
                continue
            work.append(self._batch(tp, part, fetches))
        return work

    def _batch(self, tp: Partition, part: Part, fetches: Sequence[Fetched]) -> Work:
        topic, partition = tp
        source = self._sources[topic]
        records = [
            Record(topic, partition, r.offset, r.timestamp, r.key, r.value, r.headers)
            for fetched in fetches
            for r in fetched.records
        ]
        end, read_at = fetches[-1].end, fetches[-1].read_at
        move = Move(topic, partition, part.topic_id, part.expected, end)
        if any(clock_behind(one.dated_at, one.read_at, self._tolerance) for one in fetches):
            batch = Batch(
                source=source.name,
                topic=topic,
                facts=(),
                read_at=read_at,
                move=move,
                clock_behind=True,
            )
            return Work(tp, part.epoch, batch, end)  # for the keeper to refuse, who pages
        try:
            batch = decode_records(
                records, source.adapter, source.name, read_at, move, known=part.log
            )
        except LogWentBack:  # for the keeper to refuse, who pages
            batch = Batch(
                source=source.name,
                topic=topic,
                facts=(),
                read_at=read_at,
                move=move,
                went_back=True,
            )
        return Work(tp, part.epoch, batch, end)

    def _current(self, tp: Partition, epoch: int) -> bool:
        part = self.parts.get(tp)
        return part is not None and part.epoch == epoch

    async def _keep(self, work: Sequence[Work]) -> None:
        """Keep *work* in one transaction, however long that takes, while it is ours to keep."""
        for pause in chain(PAUSES, repeat(PAUSE)):
            work = [item for item in work if self._current(item.partition, item.epoch)]
            if not work or await self._kept(work):
                return
            await asyncio.sleep(pause)

    async def _kept(self, work: Sequence[Work]) -> bool:
        """Try once. Return whether there is nothing left to try."""
        batches = [item.batch for item in work]
        started = self.now()
        try:
            await self._threads.keeper(lambda: self._keeper.keep(batches))
        except PositionMoved:
            self._observer.position_moved([item.partition for item in work])
            self.lost(item.partition for item in work)
            await asyncio.sleep(PAUSES[0])
        except (ClockBehind, LogWentBack, TooManyRejects) as exc:
            await self._keep_one_by_one(work, exc)
        except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
            self._observer.retrying("keeping", exc)
            return False
        else:
            self._advance(work)
            self._observer.kept(sum(b.records for b in batches), self.now() - started)
        return True

    def _advance(self, work: Iterable[Work]) -> None:
        for item in work:
            part = self.parts.get(item.partition)
            if part is not None and part.epoch == item.epoch:
                part.at = part.expected = item.end
                self.stopped.pop(item.partition, None)
                self._kept_to[item.partition] = Kept(part.topic_id, item.end)
                part.log = item.batch.log or part.log

    async def _keep_one_by_one(self, work: Sequence[Work], exc: Exception) -> None:
        """Find the partition that is refused, and hold only that one."""
        if len(work) == 1:
            await self._hold(work[0].partition, exc)
            return
        for item in work:
            await self._keep([item])

    async def _hold(self, tp: Partition, exc: Exception) -> None:
        """Stop a partition that the keeper refuses, and try it again later."""
        self._observer.held(tp, exc)
        part = self.parts.pop(tp, None)
        if part is None:
            return
        self.stopped[tp] = part.at
        self._drop_void()
        loop = asyncio.get_running_loop()
        pause = min(self._retry_held, PAUSE) if isinstance(exc, ClockBehind) else self._retry_held
        loop.call_later(pause, self._release, tp, self._assignment)
        await self.consumer.unplace([tp])

    def _release(self, tp: Partition, assignment: int) -> None:
        if assignment == self._assignment:
            self._unplaced.add(tp)
            self._to_place.set()
