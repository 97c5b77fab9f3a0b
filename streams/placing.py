"""Decides from where a partition is read. Pure: the worker looks up, this says what it means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from monitor.facts import Instant
from monitor.intake import Ahead, Gap, GapReason, LogPoint, StoredPosition

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
    topic: str, partition: int, stored: StoredPosition | None, span: Span, now: Instant
) -> Place:
    """Return where to read *partition* from, with the gap that this means, if it means one.

    After a gap, reading goes on at the log's start: facts may come twice, but never not at all.
    The caller must have the gap kept before it reads.
    """
    if stored is None:
        return Place(span.topic_id, None, span.start)
    reason = _lost(stored, span)
    if reason is None:
        return Place(span.topic_id, stored.next_offset, stored.next_offset, log=stored.log)
    gap = Gap(
        topic=topic,
        partition=partition,
        topic_id=span.topic_id,
        reason=reason,
        expected=stored.next_offset,
        resume=span.start,
        seen_at=now,
    )
    return Place(span.topic_id, span.start, span.start, gap)


def aheads(
    spans: Mapping[Partition, Span],
    stored: Mapping[Partition, StoredPosition],
    committed: Mapping[Partition, int],
    now: Instant,
) -> list[Ahead]:
    """Return the partitions of *spans* whose committed offset is beyond what is *stored*.

    *committed* was looked up before *stored*. The offsets of another topic of the same name say
    nothing, and neither do those that were explained before (``StoredPosition.excused``).
    """
    found = []
    for tp, span in sorted(spans.items()):
        at = stored.get(tp)
        if at is not None and at.topic_id != span.topic_id:
            continue
        known = max(at.next_offset, at.excused) if at is not None else 0
        if committed.get(tp, 0) > known:
            found.append(Ahead(*tp, at.next_offset if at is not None else 0, committed[tp], now))
    return found


def _lost(stored: StoredPosition, span: Span) -> GapReason | None:
    if stored.topic_id != span.topic_id:
        return GapReason.RECREATED
    if stored.next_offset < span.start:
        return GapReason.RETENTION
    if stored.next_offset > span.end:
        return GapReason.BEYOND_END
    return None
