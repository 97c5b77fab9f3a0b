"""What a worker does between batches: ends of partitions, the keeper's clock, topics, lag."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from monitor.facts import Instant
from monitor.intake import EndSeen, Keeper, TopicSeen, Written
from streams.admin import Admin
from streams.neighbours import Threads
from streams.placing import to_metadata
from streams.reader import Part, Reader, Source
from streams.telling import Observer
from streams.transport import Partition

log = logging.getLogger(__name__)

_STUCK_LOOKS = 10


class Pace(Protocol):
    """The settings of the worker that are used here."""

    @property
    def topics(self) -> Mapping[str, Source]:
        """The configured topics."""

    @property
    def clock(self) -> Callable[[], Instant]:
        """Our clock."""

    @property
    def observer(self) -> Observer:
        """Who is told."""

    @property
    def look_every(self) -> float:
        """Seconds between looks at ends, and between ticks."""

    @property
    def look_at_topics_every(self) -> float:
        """Seconds between looks at ids and partitions of topics."""

    @property
    def publish_offsets_every(self) -> float:
        """Seconds between group offsets."""


class Watch:
    """The periodic work of one life of a worker."""

    def __init__(
        self,
        pace: Pace,
        keeper: Keeper,
        admin: Admin,
        threads: Threads,
        reader: Reader,
        topics: Sequence[TopicSeen],
    ) -> None:
        self._pace = pace
        self._keeper = keeper
        self._admin = admin
        self._threads = threads
        self._reader = reader
        self._reading = {topic.topic for topic in topics}
        self._told: tuple[list[TopicSeen], list[str]] = ([], [])
        self._written = Written(0, 0)
        self._published: tuple[dict[Partition, int], Written] | None = None
        self._stuck: dict[Partition, tuple[int, int]] = {}
        self._marks: dict[Partition, tuple[Part, EndSeen]] = {}  # ends to be passed

    async def ends_forever(self) -> None:
        """Tell the keeper which partitions have been read to their end."""
        await self._every(self._pace.look_every, "looking at ends", self._look_at_ends)

    async def tick_forever(self) -> None:
        """Let the keeper do what is due."""
        await self._every(self._pace.look_every, "tick", self._tick)

    async def publish_forever(
        self, publish: Callable[[Mapping[Partition, int], str], Awaitable[None]]
    ) -> None:
        """Publish group offsets when they, or what they say of the database, have changed.

        For lag displays, and so that a database that is put back is noticed. One that holds less
        than it did is placed again, which tells it, before anything is published from it.
        """

        async def publish_once() -> None:
            at = {tp: part.at for tp, part in self._reader.parts.items()}
            if not at:
                return
            written = await self._threads.keeper(self._keeper.written)
            before, self._written = self._written, written
            lacking = await self._threads.keeper(lambda: self._keeper.lacking([before]))
            if written.audit < before.audit or written.book < before.book or lacking:
                self._lost(at)
            elif (at, written) != self._published:
                await publish(at, to_metadata(written))
                self._published = (at, written)

        await self._every(self._pace.publish_offsets_every, "publishing offsets", publish_once)

    async def until_topics_change(self) -> None:
        """Watch ids and numbers of partitions; end when a topic has appeared that we do not read.

        A topic that was recreated is placed again, which shows the gap, even if it has already
        grown past the stored position.
        """
        while True:
            try:
                seen = await self._threads.admin(lambda: self._admin.topics(self._pace.topics))
                await self._note(seen)
            except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
                self._pace.observer.retrying("looking at topics", exc)
                await asyncio.sleep(self._pace.look_every)
                continue
            if {topic.topic for topic in seen} - self._reading:
                return
            await asyncio.sleep(self._pace.look_at_topics_every)

    async def _note(self, seen: list[TopicSeen]) -> None:
        ids = {topic.topic: topic.topic_id for topic in seen}
        self._lost(
            tp
            for tp, part in self._reader.parts.items()
            if ids.get(tp[0], part.topic_id) != part.topic_id
        )
        gone = [topic for topic in self._pace.topics if topic not in ids]
        if (seen, gone) != self._told:
            now = self._pace.clock()
            await self._threads.keeper(lambda: self._keeper.topics(seen, gone, now))
            self._told = (seen, gone)

    async def _look_at_ends(self) -> None:
        """Tell the keeper which partitions have been read to an end that was looked up.

        An end that is not reached yet is kept, with the moment of its look, until it is passed:
        a partition that is never idle would otherwise hold back whatever waits for its end.

        The end is where the log ended, not how far it can be read now: what an open transaction
        holds back has been written. Which topics there are is asked last: an end of the log that
        has taken the place of ours is none, and a partition that was added has to be known before
        the others are said to be at their ends.

        An end below what was read tells nothing by itself: if the log went back, the next fetch is
        out of range, which the transport tells; a broker that is no Kafka may count by batches.
        """
        reader = self._reader
        before = dict(reader.parts)
        stopped = {tp: at for tp, at in reader.stopped.items() if tp not in before}
        if not before and not stopped:
            self._pace.observer.lag({}, ())  # what was owned before is nobody's lag of ours
            return
        # Before asking for ends: what is seen at a later moment may have been written after them.
        moment, looked_at = await self._threads.keeper(self._keeper.moment), self._pace.clock()
        began = {tp: part.at for tp, part in before.items()}
        ends = await self._threads.admin(lambda: self._admin.ends(began | stopped))
        idle = reader.idle()
        ids = await self._look_at_topics()
        ours = {
            tp: part
            for tp, part in reader.parts.items()
            if before.get(tp) is part and ids.get(tp[0]) == part.topic_id
        }
        looked = {
            tp: EndSeen(*tp, end, looked_at, moment)
            for tp, end in ends.items()
            if tp in ours and began[tp] <= end
        }
        at_end = self._passed(looked, ours)
        if at_end:
            await self._threads.keeper(lambda: self._keeper.ends(at_end))
        # As it is now: one that was placed and stopped again during this look is ours all along.
        behind = reader.stopped | {tp: part.at for tp, part in ours.items()}
        lag = {tp: max(0, ends[tp] - behind[tp]) for tp in ends if tp in behind}
        self._pace.observer.lag(lag, tuple(reader.stopped))
        await self._unstick({tp: at for tp, at in idle.items() if tp in ours}, ends)

    def _passed(
        self, looked: Mapping[Partition, EndSeen], ours: Mapping[Partition, Part]
    ) -> list[EndSeen]:
        """Return the ends that have been passed, now or of earlier looks; keep the others.

        An end belongs to one placing of a partition: after it, the log may be another.
        """
        marks = {tp: seen for tp, (part, seen) in self._marks.items() if ours.get(tp) is part}
        passed = {tp: seen for tp, seen in marks.items() if seen.end <= ours[tp].at}
        passed |= {tp: seen for tp, seen in looked.items() if seen.end <= ours[tp].at}
        to_pass = {**looked, **marks}  # of two the older, which is passed sooner
        self._marks = {tp: (ours[tp], seen) for tp, seen in to_pass.items() if tp not in passed}
        return list(passed.values())

    async def _look_at_topics(self) -> dict[str, str]:
        """Tell the keeper how many partitions there are; return the topics' ids."""
        seen = await self._threads.admin(lambda: self._admin.topics(self._pace.topics))
        await self._note(seen)
        return {topic.topic: topic.topic_id for topic in seen}

    async def _unstick(self, idle: Mapping[Partition, int], ends: Mapping[Partition, int]) -> None:
        """Read again what has records to read but brings none, in case a fetch was dropped."""
        behind = [tp for tp, at in idle.items() if at < ends.get(tp, 0)]
        readable = {}
        if behind:
            readable = await self._threads.admin(lambda: self._admin.stable_ends(behind))
        stuck = {}
        for tp in behind:
            at, (before, looks) = idle[tp], self._stuck.get(tp, (idle[tp], 0))
            if at < readable.get(tp, 0) and before == at:
                stuck[tp] = (at, looks + 1)
        self._stuck = {tp: state for tp, state in stuck.items() if state[1] < _STUCK_LOOKS}
        self._lost(set(stuck) - set(self._stuck))

    def _lost(self, partitions: Iterable[Partition]) -> None:
        gone = list(partitions)
        if gone:
            self._reader.lost(gone)

    async def _tick(self) -> None:
        await self._threads.keeper(lambda: self._keeper.tick(self._pace.clock()))

    async def _every(self, seconds: float, doing: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
                self._pace.observer.retrying(doing, exc)
            await asyncio.sleep(seconds)
