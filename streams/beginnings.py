"""Looks up where reading begins, and has that kept with all that it means, or nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from monitor.facts import Instant
from monitor.intake import Ahead, Batch, Gap, Keeper, Move, StoredPosition, Written
from streams.neighbours import Spans, Threads
from streams.placing import Kept, Known, Place, Span, aheads, lost, place
from streams.transport import Partition

log = logging.getLogger(__name__)


class Looked(NamedTuple):
    """What was looked up at *now* of partitions that are new to a worker."""

    places: Mapping[Partition, Place]
    others: Mapping[Partition, Span]  # of topics that nobody has read before
    found: list[Ahead]
    committed: Mapping[Partition, int]
    written: Written
    now: Instant

    @property
    def gaps(self) -> list[Gap]:
        """Return the gaps among the places."""
        return [at.gap for at in self.places.values() if at.gap is not None]


class Beginnings:
    """Where a worker's partitions begin; *sources* are the names of its topics' sources."""

    def __init__(
        self,
        keeper: Keeper,
        admin: Spans,
        group: str,
        threads: Threads,
        sources: Mapping[str, str],
        clock: Callable[[], Instant],
    ) -> None:
        self._keeper, self._admin, self._group = keeper, admin, group
        self._threads, self._sources, self._clock = threads, sources, clock

    async def look_up(self, wanted: Iterable[Partition], kept: Mapping[Partition, Kept]) -> Looked:
        """Look up where to read *wanted*, and what that means, before any of it is kept.

        *kept* is how far we had got with partitions that nobody else has had since.
        """
        spans = await self._threads.admin(lambda: self._admin.spans(wanted))
        # Before the database: whoever had these partitions may still be keeping and publishing.
        committed = await self._threads.admin(lambda: self._admin.committed(self._group))
        known = Known(committed, dict(kept))
        stored = await self._threads.keeper(lambda: self._keeper.positions(wanted))
        written = await self._threads.keeper(self._keeper.written)
        spans = await self._looked_again(spans, stored)
        told = {at.written for at in committed.values() if at.written is not None}
        lacking = await self._threads.keeper(lambda: self._keeper.lacking(told))
        begun, others = await self._siblings(spans, stored)
        now = self._clock()
        places = {
            tp: place(*tp, stored.get(tp), span, now, added=(tp[0], span.topic_id) in begun)
            for tp, span in spans.items()
        }
        found = aheads(spans, stored, written, known, now, lacking)
        offsets = {tp: at.offset for tp, at in committed.items()}
        return Looked(places, others, found, offsets, written, now)

    async def _looked_again(
        self, spans: dict[Partition, Span], stored: Mapping[Partition, StoredPosition]
    ) -> dict[Partition, Span]:
        """Return *spans*, those that do not agree with *stored* as they are now.

        Whoever had such a partition may have kept what was written between the two questions.
        """
        odd = {tp for tp, at in stored.items() if tp in spans and lost(at, spans[tp])}
        if not odd:
            return spans
        now = await self._threads.admin(lambda: self._admin.spans(odd))
        return {tp: span for tp, span in spans.items() if tp not in odd} | now

    async def _siblings(
        self, spans: Mapping[Partition, Span], stored: Mapping[Partition, StoredPosition]
    ) -> tuple[set[tuple[str, str]], dict[Partition, Span]]:
        """Return which topics (by id) of new partitions are read, and the rest of the others.

        Of a topic that nobody has read, all partitions begin together, whoever will read them:
        so a partition without a position that comes later is one that was added.
        """
        new = {topic for topic, _ in spans.keys() - stored.keys()}
        if not new:
            return set(), {}
        seen = await self._threads.admin(lambda: self._admin.topics(new))
        every = {(one.topic, number) for one in seen for number in range(one.partitions)}
        kept = await self._threads.keeper(lambda: self._keeper.positions(every))
        begun = {(topic, at.topic_id) for (topic, _), at in kept.items()}
        current = {(one.topic, one.topic_id) for one in seen}
        unread = {topic for topic, _ in current - begun}
        others = {tp for tp in every - kept.keys() - spans.keys() if tp[0] in unread}
        if not others:
            return begun, {}
        return begun, await self._threads.admin(lambda: self._admin.spans(others))

    async def keep(self, looked: Looked) -> None:
        """Have kept, at once, new positions, gaps, and that the database is an older one.

        If that fails, or we are killed, all of it is found again.
        """
        begun = self._begun(looked)
        if not (begun or looked.gaps or looked.found):
            return
        for gap in looked.gaps:
            log.error(
                "gap in %s-%d (%s): %d is stored, reading goes on at %d",
                *(gap.topic, gap.partition, gap.reason, gap.expected, gap.resume),
            )
        if looked.found:
            log.error(
                "more was read or written than is stored, as %d partitions show: the database is "
                "an older one; reading goes on from it",
                len(looked.found),
            )
        keep = partial(
            self._keeper.placed,
            begun=begun,
            gaps=looked.gaps,
            found=looked.found,
            committed=looked.committed,
        )
        await self._threads.keeper(keep)

    def _begun(self, looked: Looked) -> list[Batch]:
        """Return batches that keep where reading begins, so that no later gap goes unnoticed."""
        begun = {
            # What retention took of an added partition lies behind its first offset of all.
            tp: (at.topic_id, at.offset if at.gap is None else at.gap.expected)
            for tp, at in looked.places.items()
            if at.expected is None
        }
        begun |= {tp: (span.topic_id, span.start) for tp, span in looked.others.items()}
        return [
            Batch(
                source=self._sources[tp[0]],
                topic=tp[0],
                facts=(),
                read_at=looked.now,
                move=Move(*tp, topic_id, None, offset),
            )
            for tp, (topic_id, offset) in sorted(begun.items())
        ]
