"""Rows of positions and rejects as plain values, for those who only list them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from monitor.facts import Instant
from monitor.intake import Coordinates
from monitor.store import schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where reading is in one partition: the latest instant passed, when it was at an end."""

    topic: str
    partition: int
    topic_id: str
    next_offset: int
    passed: Instant | None
    at_end: Instant | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record set aside; *topic_id* None: it came from a file."""

    where: Coordinates
    topic_id: str | None
    source: str
    reason: str
    read_at: Instant


def positions(connection: Connection) -> list[Position]:
    """Return all positions, by topic and partition."""
    ends = {
        (row.topic, row.partition): row.looked_at for row in connection.execute(select(schema.ends))
    }
    table = schema.positions
    rows = connection.execute(select(table).order_by(table.c.topic, table.c.partition))
    return [
        Position(
            topic=row.topic,
            partition=row.partition,
            topic_id=row.topic_id,
            next_offset=row.next_offset,
            passed=row.instant,
            at_end=ends.get((row.topic, row.partition)),
        )
        for row in rows
    ]


def rejects(
    connection: Connection, *, limit: int | None = None, of_kafka: bool = False
) -> list[Rejected]:
    """Return the rejects by coordinates: at most *limit*, *of_kafka* only those read from Kafka."""
    table = schema.rejects
    query = select(table).order_by(table.c.topic, table.c.partition, table.c.offset).limit(limit)
    if of_kafka:
        query = query.where(table.c.topic_id.is_not(None))
    return [
        Rejected(
            where=Coordinates(row.topic, row.partition, row.offset),
            topic_id=row.topic_id,
            source=row.source,
            reason=row.reason,
            read_at=row.read_at,
        )
        for row in connection.execute(query)
    ]
