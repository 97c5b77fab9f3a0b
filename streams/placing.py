"""Decides from where a partition is read. Pure: the worker looks up, this says what it means."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple, TypeAlias

from monitor.facts import Instant
from monitor.intake import Ahead, Gap, GapReason, LogPoint, StoredPosition, Written

Partition: TypeAlias = tuple[str, int]


class Span(NamedTuple):
    """A partition as the broker has it: the topic's id, its first offset, the next to be written.

    *end* is the high watermark, behind which a position may not lie.
    """

    topic_id: str
    start: int
    end: int


class Place(NamedTuple):
    """Where reading begins. *expected* is the stored position, None where there is none yet."""

    topic_id: str
    expected: int | None
    offset: int
    gap: Gap | None = None
    log: LogPoint | None = None  # the highest live log position applied before


def place(
    topic: str,
    partition: int,
    stored: StoredPosition | None,
    span: Span,
    now: Instant,
    *,
    added: bool = False,
) -> Place:
    """Return where to read *partition* from, with the gap that this means, if it means one.

    After a gap, reading goes on at the log's start: facts may come twice, but never not at all.
    The caller must have the gap kept before it reads. *added* says that the partition came after
    reading of its topic had begun: nobody has read what retention took of it.
    """
    if stored is None:
        reason = GapReason.RETENTION if added and span.start > 0 else None
    else:
        reason = lost(stored, span)
    if reason is None:
        if stored is None:
            return Place(span.topic_id, None, span.start)
        return Place(span.topic_id, stored.next_offset, stored.next_offset, log=stored.log)
    gap = Gap(
        topic=topic,
        partition=partition,
        topic_id=span.topic_id,
        reason=reason,
        expected=stored.next_offset if stored is not None else 0,
        resume=span.start,
        seen_at=now,
    )
    return Place(span.topic_id, None if stored is None else span.start, span.start, gap)


class Committed(NamedTuple):
    """What a group has committed of a partition: its offset, and what was written by then.

    *written* is None where no worker of ours said so.
    """

    offset: int
    written: Written | None = None


class Kept(NamedTuple):
    """How far this worker itself has had a partition of *topic_id* kept, while it owned it."""

    topic_id: str
    offset: int


class Known(NamedTuple):
    """What is known of a database from elsewhere: from Kafka's group, from this worker's memory.

    Looked up before anything was read of the database.
    """

    committed: Mapping[Partition, Committed]
    kept: Mapping[Partition, Kept]


_METADATA = re.compile(
    r"facetally audit=(\d+) book=(\d+)(?: seal=([0-9a-f]{16,64}) known=(\d+))?", re.ASCII
)


def to_metadata(written: Written) -> str:
    """Return the text that goes with committed offsets."""
    counts = f"facetally audit={written.audit} book={written.book}"
    return f"{counts} seal={written.seal} known={written.known_at}" if written.seal else counts


def from_metadata(text: str | None) -> Written | None:
    """Return what ``to_metadata`` was given, None if the text is not ours.

    Older versions wrote counts alone.
    """
    told = _METADATA.fullmatch(text or "")
    if told is None:
        return None
    return Written(int(told[1]), int(told[2]), told[3] or "", int(told[4] or 0))


def aheads(
    spans: Mapping[Partition, Span],
    stored: Mapping[Partition, StoredPosition],
    written: Written,
    known: Known,
    now: Instant,
    lacking: Collection[Written] = (),
) -> list[Ahead]:
    """Return the partitions of *spans* of which more is known than is *stored* and *written*.

    *lacking* is what the group was told of and the database does not hold, however much it holds.
    The offsets of another topic of the same name say nothing, and neither does the one that was
    explained before (``StoredPosition.excused``), nor our own from before a gap.
    """
    found = []
    for tp, span in sorted(spans.items()):
        at, said = stored.get(tp), known.committed.get(tp, Committed(0))
        position = at.next_offset if at is not None else 0
        reached = _reached(at, span, said.offset, known.kept.get(tp))
        told = said.written or written
        entries, facts = max(0, told.audit - written.audit), max(0, told.book - written.book)
        if reached > position or entries or facts or told in lacking:
            found.append(Ahead(*tp, position, max(reached, position), now, entries, facts))
    return found


def _reached(at: StoredPosition | None, span: Span, committed: int, kept: Kept | None) -> int:
    """Return how far reading is known to have got, 0 where that is no news."""
    if at is None:
        of_it = kept is not None and kept.topic_id == span.topic_id
        return max(committed, kept.offset if kept is not None and of_it else 0)
    if at.topic_id != span.topic_id:
        return 0
    ours = 0
    if kept is not None and kept.topic_id == span.topic_id and kept.offset > at.passed:
        ours = kept.offset
    return max(ours, committed if committed != at.excused else 0)


def lost(stored: StoredPosition, span: Span) -> GapReason | None:
    """Return why reading cannot go on at *stored*, None where it can.

    *span* must have been looked up after *stored*, while anybody may still be reading on.
    """
    if stored.topic_id != span.topic_id:
        return GapReason.RECREATED
    if stored.next_offset < span.start:
        return GapReason.RETENTION
    if stored.next_offset > span.end:
        return GapReason.BEYOND_END
    return None
