"""Notices that workers of another database are in our group and take a part of what is ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from monitor.facts import Instant
from monitor.intake import Ahead, Keeper
from streams.neighbours import Spans, Threads
from streams.telling import Observer
from streams.transport import Partition

log = logging.getLogger(__name__)


class Strangers:
    """Looks at what others have published to *group* of *topics*: what they say must be ours.

    A word that this database does not hold is of another one, or of a copy that was put back. A
    worker of ours replaces an old word within one look, so it must be there for two.
    """

    def __init__(
        self,
        keeper: Keeper,
        admin: Spans,
        group: str,
        threads: Threads,
        topics: Iterable[str],
        clock: Callable[[], Instant],
    ) -> None:
        self._keeper, self._admin, self._group, self._threads = keeper, admin, group, threads
        self._topics, self._clock = frozenset(topics), clock
        self._suspect: set[Partition] = set()
        self._told: set[Partition] = set()

    async def look_forever(
        self, ours: Callable[[], Iterable[Partition]], seconds: float, observer: Observer
    ) -> None:
        """Look every so many seconds; ends by cancellation only."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.look(ours())
            except Exception as exc:  # noqa: BLE001 - a process loop: stall, never skip
                observer.retrying("looking at the group", exc)

    async def look(self, ours: Iterable[Partition]) -> None:
        """Tell once of each partition but *ours* that another database is read into.

        Every number is unverified from then on, and it pages: as for an older copy.
        """
        mine = set(ours)
        committed = await self._threads.admin(lambda: self._admin.committed(self._group))
        words = {
            tp: at
            for tp, at in committed.items()
            if tp not in mine and tp[0] in self._topics and at.written is not None
        }
        told = {at.written for at in words.values() if at.written is not None}
        lacking = set(await self._threads.keeper(lambda: self._keeper.lacking(told)))
        odd = {tp for tp, at in words.items() if at.written in lacking}
        sure, self._suspect = odd & self._suspect, odd
        self._told &= odd
        if fresh := sorted(sure - self._told):
            await self._tell(fresh, {tp: at.offset for tp, at in words.items()})
            self._told.update(fresh)

    async def _tell(self, fresh: list[Partition], offsets: dict[Partition, int]) -> None:
        log.error(
            "a worker with another database is in the group %s: it has taken %s, which is not "
            "read here; give each database a group of its own",
            self._group,
            ", ".join(f"{topic}-{number}" for topic, number in fresh),
        )
        now = self._clock()
        stored = await self._threads.keeper(lambda: self._keeper.positions(fresh))
        at = {tp: stored[tp].next_offset if tp in stored else 0 for tp in fresh}
        found = [Ahead(*tp, at[tp], max(offsets[tp], at[tp]), now) for tp in fresh]
        await self._threads.keeper(lambda: self._keeper.placed(found=found, committed=offsets))
