"""What is known of the snapshots that change logs began with, per connector and topic.

All values are maxima, so the order in which partitions are read does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from monitor.facts import Instant
from monitor.intake import Batch, SnapshotSign
from monitor.store import bulk, moments, schema
from monitor.store.locks import lock_signs

_MINUTE: Instant = 60_000_000  # how exactly the latest end is kept once it is past all rows

WHOLE = ""  # in place of a topic: said of the connector as a whole


@dataclass(slots=True)
class Known:
    """Latest initial row, latest incremental row, latest proof that the initial one was over.

    ``ended_seen_no`` is the moment at which that proof was first read.
    """

    row_until: Instant | None = None
    incremental_until: Instant | None = None
    ended_at: Instant | None = None
    ended_seen_no: int | None = None


def note_signs(connection: Connection, batches: Sequence[Batch]) -> None:
    """Fold the signs of *batches* into what is known, where they add to it.

    Every live record is a sign, and most say nothing new: only what does takes the lock, so that
    workers on different partitions of one connector need not wait for each other.
    """
    signs = [(batch.topic, sign) for batch in batches for sign in batch.signs]
    connectors = {sign.connector for _, sign in signs}
    if not signs or not _adds(read(connection, connectors), signs):
        return
    lock_signs(connection)
    seen_no = moments.take(connection)
    known = read(connection, connectors)
    for topic, sign in signs:
        rows_until = _rows_until(known, sign.connector)
        one = known.setdefault((sign.connector, topic), Known())
        _note_row(one, sign)
        if sign.ends_table:
            _note_end(one, sign.at, rows_until, seen_no)
        if sign.ends_all:
            whole = known.setdefault((sign.connector, WHOLE), Known())
            _note_end(whole, sign.at, rows_until, seen_no)
    rows = [
        (*key, one.row_until, one.incremental_until, one.ended_at, one.ended_seen_no)
        for key, one in sorted(known.items())
    ]
    bulk.upsert(connection, schema.snapshots, rows)


def _adds(known: dict[tuple[str, str], Known], signs: Sequence[tuple[str, SnapshotSign]]) -> bool:
    return any(_news(known, topic, sign) for topic, sign in signs)


def _news(known: dict[tuple[str, str], Known], topic: str, sign: SnapshotSign) -> bool:
    one = known.get((sign.connector, topic))
    if one is None:
        return True
    if sign.row:
        until = one.incremental_until if sign.incremental else one.row_until
        if sign.at > (until or 0):
            return True
    whole = known.get((sign.connector, WHOLE), Known())
    if sign.ends_all and sign.at > (whole.ended_at or 0) + _MINUTE:
        return True
    ends = sign.ends_table or sign.ends_all
    return ends and (sign.at > (one.ended_at or 0) + _MINUTE or topic in unfinished(known))


def _note_row(known: Known, sign: SnapshotSign) -> None:
    if sign.row and sign.incremental:
        known.incremental_until = _later(known.incremental_until, sign.at)
    elif sign.row:
        known.row_until = _later(known.row_until, sign.at)


def _note_end(known: Known, at: Instant, rows_until: Instant, seen_no: int) -> None:
    """Note that the snapshot was over at *at*; another one may have begun since the last end."""
    if known.ended_at is None or known.ended_at < rows_until:
        known.ended_seen_no = seen_no
    known.ended_at = _later(known.ended_at, at)


def _rows_until(known: dict[tuple[str, str], Known], connector: str) -> Instant:
    return max((one.row_until or 0 for (of, _), one in known.items() if of == connector), default=0)


def read(
    connection: Connection, connectors: Iterable[str] | None = None
) -> dict[tuple[str, str], Known]:
    """Return what is known, by connector and topic."""
    query = select(schema.snapshots)
    if connectors is not None:
        query = query.where(schema.snapshots.c.connector.in_(list(connectors)))
    return {
        (row.connector, row.topic): Known(
            row.row_until, row.incremental_until, row.ended_at, row.ended_seen_no
        )
        for row in connection.execute(query)
    }


def unfinished(known: dict[tuple[str, str], Known]) -> set[str]:
    """Return the topics whose initial snapshot is not known to be over."""
    topics = set()
    for (connector, topic), one in known.items():
        whole = known.get((connector, WHOLE), Known())
        ended = _later(one.ended_at, whole.ended_at)
        if one.row_until is not None and (ended is None or ended < one.row_until):
            topics.add(topic)
    return topics


def ended(known: dict[tuple[str, str], Known], topic: str) -> tuple[Instant, int] | None:
    """Return the last row of the finished snapshot in *topic*, and the moment we knew its end at.

    None if the topic did not begin with one, or it is not over.
    """
    found = [
        (one.row_until, end.ended_seen_no)
        for (connector, of), one in known.items()
        if of == topic and one.row_until is not None
        for end in (one, known.get((connector, WHOLE), Known()))
        if end.ended_at is not None
        and end.ended_at >= one.row_until
        and end.ended_seen_no is not None
    ]
    return max(found, default=None)


def bounded_until(known: dict[tuple[str, str], Known], topic: str) -> Instant | None:
    """Return the instant up to which a trigger day from *topic* is only an upper bound.

    An incremental snapshot bounds only where there was no initial one.
    """
    bound: Instant | None = None
    for (_, of), one in known.items():
        if of == topic:
            until = one.row_until if one.row_until is not None else one.incremental_until
            bound = _later(bound, until)
    return bound


def _later(one: Instant | None, other: Instant | None) -> Instant | None:
    return max((i for i in (one, other) if i is not None), default=None)
