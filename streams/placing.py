"""Decides from where a partition is read. Pure: the worker looks up, this says what it means."""

from __future__ import annotations

from typing import NamedTuple

from monitor.facts import Instant
from monitor.intake import Gap, GapReason, LogPoint, StoredPosition


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


def _lost(stored: StoredPosition, span: Span) -> GapReason | None:
    if stored.topic_id != span.topic_id:
        return GapReason.RECREATED
    if stored.next_offset < span.start:
        return GapReason.RETENTION
    if stored.next_offset > span.end:
        return GapReason.BEYOND_END
    return None
