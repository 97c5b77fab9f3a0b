"""What can be wrong with stored positions, as far as the database alone can tell."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Row, and_, func, select

from monitor.store import schema

_positions, _topics, _rejects = schema.positions.c, schema.topics.c, schema.rejects.c


def misplaced(connection: Connection) -> list[str]:
    """Return each partition whose position cannot be right, with the reason.

    - it has no topic id, or lies before the first offset;
    - the topic of that name has another id by now: until a worker reads it anew (a gap), the
      position is of a topic that is gone;
    - the topic has fewer partitions;
    - a record behind it is set aside as read, and no gap explains that;
    - the highest log position is there without its instant, or the other way round.
    """
    query = select(schema.positions).order_by(_positions.topic, _positions.partition)
    topics = {row.topic: row for row in connection.execute(select(schema.topics))}
    rejects = _last_rejects(connection)
    return [
        f"{row.topic}/{row.partition} ({reason})"
        for row in connection.execute(query)
        for reason in _reasons(row, topics.get(row.topic), rejects)
    ]


def _reasons(
    row: Row[tuple[object, ...]],
    topic: Row[tuple[object, ...]] | None,
    rejects: dict[tuple[str, int], int],
) -> Iterator[str]:
    if not row.topic_id or row.next_offset < 0:
        yield "no position"
    if topic is not None and topic.topic_id != row.topic_id:
        yield "of another topic of that name"
    elif topic is not None and row.partition >= topic.partitions:
        yield "no such partition in the topic"
    last = rejects.get((row.topic, row.partition), -1)
    if last >= max(row.next_offset, row.passed or 0):
        yield f"the record at {last} is set aside as read"
    if (row.log_version is None) != (row.log_at is None):
        yield "half a log position"


def _last_rejects(connection: Connection) -> dict[tuple[str, int], int]:
    """Return the last offset that is set aside, of the topics that positions are of."""
    same = and_(
        _positions.topic == _rejects.topic,
        _positions.partition == _rejects.partition,
        _positions.topic_id == _rejects.topic_id,
    )
    key = (_rejects.topic, _rejects.partition)
    last = func.max(_rejects.offset)
    query = select(*key, last).join_from(schema.rejects, schema.positions, same).group_by(*key)
    return {(topic, partition): offset for topic, partition, offset in connection.execute(query)}
