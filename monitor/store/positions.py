"""Where reading is in Kafka, kept in the transaction of what was read (DESIGN section 4)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.intake import (
    Batch,
    ClockBehind,
    EndSeen,
    Gap,
    GapReason,
    LogPoint,
    LogWentBack,
    PositionMoved,
    StoredPosition,
    TooManyRejects,
    TopicSeen,
)
from monitor.limits import RejectLimit, advance_log
from monitor.store import bulk, moments, schema
from monitor.store.packing import pack_version, unpack_version

_table = schema.positions
_columns = schema.positions.c


def read(
    connection: Connection, partitions: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], StoredPosition]:
    """Return the stored position of each of *partitions* that has one."""
    wanted = set(partitions)
    topics = {topic for topic, _ in wanted}
    rows = connection.execute(select(_table).where(_columns.topic.in_(topics)))
    return {
        (row.topic, row.partition): StoredPosition(
            row.topic_id,
            row.next_offset,
            _log_point(row.log_version, row.log_at),
            row.excused or 0,
            row.passed or 0,
        )
        for row in rows
        if (row.topic, row.partition) in wanted
    }


def advance(connection: Connection, batch: Batch, limit: RejectLimit) -> None:
    """Move the position of *batch*, guarded by its old value.

    Raises PositionMoved if somebody else has moved it, LogWentBack, ClockBehind or TooManyRejects
    if the batch must not be kept.
    """
    move = batch.move
    if move is None:
        return
    key = (_columns.topic == move.topic, _columns.partition == move.partition)
    held = connection.execute(select(_table).where(*key).with_for_update()).first()
    if (held.next_offset if held else None) != move.expected:
        raise PositionMoved(f"{move.topic}/{move.partition}")
    if batch.clock_behind:
        raise ClockBehind(f"{move.topic}/{move.partition}")
    if batch.went_back:
        raise LogWentBack(f"{move.topic}/{move.partition}")
    recent = limit.after(json.loads(held.recent) if held else [], batch.records, len(batch.rejects))
    if limit.exceeded(recent):
        raise TooManyRejects(f"{move.topic}/{move.partition}")
    log = _log_point(held.log_version, held.log_at) if held else None
    try:
        log = advance_log(log, batch.log)
    except LogWentBack:
        raise LogWentBack(f"{move.topic}/{move.partition}") from None
    row = {
        "topic": move.topic,
        "partition": move.partition,
        "topic_id": move.topic_id,
        "next_offset": move.next_offset,
        "instant": _latest(held.instant if held else None, batch.instant),
        "log_version": pack_version(log.version) if log else None,
        "log_at": log.at if log else None,
        "recent": json.dumps(recent),
        "read_at": _last_sign(held.read_at if held else None, batch),
        "excused": _still_ahead(held.excused, move.next_offset) if held else None,
        "passed": _still_ahead(held.passed, move.next_offset) if held else None,
        "stopped_at": None,
    }
    if held is None:
        _insert(connection, row, f"{move.topic}/{move.partition}")
    else:
        guarded = update(_table).where(*key, _columns.next_offset == move.expected).values(row)
        if connection.execute(guarded).rowcount != 1:
            raise PositionMoved(f"{move.topic}/{move.partition}")


def _last_sign(known: Instant | None, batch: Batch) -> Instant:
    """Return when the source last gave a sign of life: whatever a record says, it is one.

    A source that never sent one is silent from when we began to read; a record that was sent long
    ago says nothing of now, however often it is read. A sign that lies ahead of our clock is one of
    now: a clock that was ahead for a while must not hide a silence afterwards.
    """
    if known is None:
        return batch.read_at
    if not batch.records:
        return known
    known = min(known, batch.read_at)
    sent_at = batch.read_at if batch.sent_at is None else min(batch.sent_at, batch.read_at)
    return max(known, sent_at)


def _still_ahead(mark: int | None, next_offset: int) -> int | None:
    return mark if mark is not None and mark > next_offset else None


def _insert(connection: Connection, row: Mapping[str, object], where: str) -> None:
    """Insert a first position; of two workers that try, the second learns that it was moved."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    first = dialect.insert(_table).values(row).on_conflict_do_nothing()
    # Not rowcount: for an INSERT on PostgreSQL it is always -1.
    if connection.execute(first.returning(_columns.topic)).first() is None:
        raise PositionMoved(where)


def _log_point(version: bytes | None, at: Instant | None) -> LogPoint | None:
    return None if version is None or at is None else LogPoint(unpack_version(version), at)


def _latest(known: Instant | None, seen: Instant | None) -> Instant | None:
    return max((i for i in (known, seen) if i is not None), default=None)


def note_topics(
    connection: Connection,
    seen: Sequence[TopicSeen],
    gone: Iterable[str] = (),
    now: Instant = 0,
) -> None:
    """Remember how many partitions each topic has, and since when those of *gone* are not there.

    Of one topic they only become more: a broker that lags takes none of them back.
    """
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    columns = schema.topics.c
    for topic in sorted(seen):
        row = dialect.insert(schema.topics).values(
            topic=topic.topic, topic_id=topic.topic_id, partitions=topic.partitions
        )
        told = row.excluded
        lags = (columns.topic_id == told.topic_id) & (columns.partitions > told.partitions)
        described = {
            "topic_id": told.topic_id,
            "partitions": case((lags, columns.partitions), else_=told.partitions),
            "gone_since": None,
        }
        connection.execute(row.on_conflict_do_update(index_elements=["topic"], set_=described))
    were_there = (columns.topic.in_(sorted(gone)), columns.gone_since.is_(None))
    connection.execute(update(schema.topics).where(*were_there).values(gone_since=now))


def note_ends(connection: Connection, seen: Sequence[EndSeen]) -> None:
    """Remember when reading was at the end of each partition, if the stored position agrees.

    Of two looks the one at the later moment stays. One at a moment that this database has not had
    is of another copy of it.
    """
    stored = read(connection, [(end.topic, end.partition) for end in seen])
    latest = moments.latest(connection)
    rows = []
    for end in sorted(seen):
        position = stored.get((end.topic, end.partition))
        if end.moment <= latest and (position is None or position.next_offset >= end.end):
            rows.append((end.topic, end.partition, end.looked_at, end.moment))
    bulk.upsert(connection, schema.ends, rows, grows="moment")


def apply_gap(connection: Connection, gap: Gap) -> bool:
    """Set the position to where reading goes on; what was passed or at an end no longer holds.

    Return False if somebody else has done just that. Raises PositionMoved if the position is not
    where the gap was found.
    """
    key = (_columns.topic == gap.topic, _columns.partition == gap.partition)
    here = (*key, _columns.next_offset == gap.expected)
    held = connection.execute(select(_table).where(*here).with_for_update()).first()
    if held is None:
        raise PositionMoved(f"{gap.topic}/{gap.partition}")
    known = gap.reason is GapReason.RECREATED and held.topic_id == gap.topic_id
    if known and held.next_offset == gap.resume:  # as empty as the old one: nothing moves
        return False
    passed = max(gap.expected, held.passed or 0) if held.topic_id == gap.topic_id else None
    fresh = {
        "excused": None,
        "stopped_at": None,
        "passed": passed,
        "topic_id": gap.topic_id,
        "next_offset": gap.resume,
        "instant": None,
        "log_version": None,
        "log_at": None,
        "recent": "[]",
    }
    connection.execute(update(_table).where(*key).values(fresh))
    ends = schema.ends.c
    connection.execute(
        schema.ends.delete().where(ends.topic == gap.topic, ends.partition == gap.partition)
    )
    return True


def stop(connection: Connection, topic: str, partition: int, at: int | None, now: Instant) -> None:
    """Remember since when nothing is read of a partition whose position is *at*."""
    key = (_columns.topic == topic, _columns.partition == partition, _columns.next_offset == at)
    still = update(_table).where(*key, _columns.stopped_at.is_(None))
    connection.execute(still.values(stopped_at=now))


def stopped(connection: Connection) -> dict[str, Instant]:
    """Return the topics of which a partition is stopped, and since when the first is."""
    since = func.min(_columns.stopped_at).label("since")
    query = select(_columns.topic, since).where(_columns.stopped_at.is_not(None))
    return {row.topic: row.since for row in connection.execute(query.group_by(_columns.topic))}


def excuse(connection: Connection, topic: str, partition: int, committed: int | None) -> None:
    """Remember what the group had committed when that was explained, so that it is told once.

    Just this offset: another one beyond the position is news.
    """
    key = (_columns.topic == topic, _columns.partition == partition)
    connection.execute(update(_table).where(*key).values(excused=committed))


def unread(connection: Connection, topic: str, since: int) -> list[int]:
    """Return the partitions of *topic* that were not at their ends after the moment *since*.

    There are none where the topic has never been read from Kafka.
    """
    read_ones = set(connection.scalars(select(_columns.partition).where(_columns.topic == topic)))
    if not read_ones:
        return []
    number = connection.scalar(
        select(schema.topics.c.partitions).where(schema.topics.c.topic == topic)
    )
    ends = schema.ends.c
    at_end = select(ends.partition).where(ends.topic == topic, ends.moment >= since)
    return sorted((read_ones | set(range(number or 0))) - set(connection.scalars(at_end)))


def is_read(connection: Connection, topic: str) -> bool:
    """Tell whether *topic* is read from Kafka: a record of it has told its time."""
    of_it = (_columns.topic == topic, _columns.instant.is_not(None))
    query = select(_columns.topic).where(*of_it).limit(1)
    return connection.execute(query).first() is not None


def all_passed(connection: Connection, topics: Iterable[str], instant: Instant, since: int) -> bool:
    """Tell whether all partitions of *topics* passed *instant*, or were at an end after *since*.

    *since* is a moment: the ends were looked up after its transaction had been committed. A topic
    whose partitions are not known yet has passed nothing.
    """
    passed = {
        (row.topic, row.partition)
        for row in connection.execute(
            select(_columns.topic, _columns.partition).where(_columns.instant > instant)
        )
    }
    looked = {
        (row.topic, row.partition)
        for row in connection.execute(select(schema.ends).where(schema.ends.c.moment >= since))
    }
    known = {row.topic: row.partitions for row in connection.execute(select(schema.topics))}
    return all(
        topic in known
        and all(
            (topic, number) in passed or (topic, number) in looked for number in range(known[topic])
        )
        for topic in topics
    )
