"""How far reading and telling have got, for displays; within the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from monitor.facts import Instant
from monitor.notices import Body, Kind, body_from
from monitor.store import schema

_n, _d = schema.notices.c, schema.deliveries.c


class Told(NamedTuple):
    """A notice on one channel; *sent_at* and *answer* are None until it is delivered."""

    key: str
    kind: Kind
    processor: str | None
    rule: str | None
    body: Body
    channel: str
    attempts: int
    sent_at: Instant | None
    answer: str | None


def told(connection: Connection) -> Sequence[Told]:
    """Return what is owed and was sent to every channel, in the order of the notices."""
    query = (
        select(schema.notices, _d.channel.label("told_on"), _d.attempts, _d.sent_at, _d.answer)
        .join(schema.deliveries, _n.id == _d.notice_id)
        .order_by(_n.created_at, _n.id, _d.channel)
    )
    return [
        Told(
            key=row.key,
            kind=Kind(row.kind),
            processor=row.processor,
            rule=row.rule,
            body=body_from(row.body),
            channel=row.told_on,
            attempts=row.attempts,
            sent_at=row.sent_at,
            answer=row.answer,
        )
        for row in connection.execute(query)
    ]


def offsets_read(connection: Connection) -> int:
    """Return the sum of all stored next offsets: how many records, if no log was ever cut."""
    return int(connection.scalar(select(func.sum(schema.positions.c.next_offset))) or 0)


def partitions_at_end(connection: Connection) -> set[tuple[str, int]]:
    """Return the partitions that have been read to their end at some time."""
    rows = connection.execute(select(schema.ends.c.topic, schema.ends.c.partition))
    return {(row.topic, row.partition) for row in rows}
