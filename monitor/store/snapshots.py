"""What is known of the snapshots that change logs began with, per connector and topic.

All values are maxima, so the order in which partitions are read does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from monitor.facts import Instant
from monitor.intake import Batch, SnapshotSign
from monitor.store import bulk, schema
from monitor.store.locks import lock_signs

_MINUTE: Instant = 60_000_000  # how exactly the latest end is kept once it is past all rows

WHOLE = ""  # in place of a topic: said of the connector as a whole


@dataclass(slots=True)
class Known:
    """Latest initial row, latest incremental row, latest proof that the initial one was over."""

    row_until: Instant | None = None
    incremental_until: Instant | None = None
    ended_at: Instant | None = None


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
    known = read(connection, connectors)
    for topic, sign in signs:
        _fold(known.setdefault((sign.connector, topic), Known()), sign, ends=sign.ends_table)
        if sign.ends_all:
            whole = known.setdefault((sign.connector, WHOLE), Known())
            whole.ended_at = _later(whole.ended_at, sign.at)
    rows = [
        (*key, one.row_until, one.incremental_until, one.ended_at)
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


def _fold(known: Known, sign: SnapshotSign, *, ends: bool) -> None:
    if sign.row and sign.incremental:
        known.incremental_until = _later(known.incremental_until, sign.at)
    elif sign.row:
        known.row_until = _later(known.row_until, sign.at)
    if ends:
        known.ended_at = _later(known.ended_at, sign.at)


def read(
    connection: Connection, connectors: Iterable[str] | None = None
) -> dict[tuple[str, str], Known]:
    """Return what is known, by connector and topic."""
    query = select(schema.snapshots)
    if connectors is not None:
        query = query.where(schema.snapshots.c.connector.in_(list(connectors)))
    return {
        (row.connector, row.topic): Known(row.row_until, row.incremental_until, row.ended_at)
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
