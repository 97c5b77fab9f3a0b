"""Sources that went silent: told once, and once when they are heard again.

That a topic is silent is never written, it follows from the clock (``trust.py``); kept is only
which silence was told, so that restarts and other workers do not tell it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, Row, and_, func, select, update

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import owing, schema
from monitor.store.engine import reading
from monitor.trust import Doubt, Why, in_body, silent_since

_EVERY: Instant = 5_000_000
_AHEAD: Instant = 60_000_000  # clocks of workers differ; more would hide a silence for so long
_topics, _positions, _ends = schema.topics.c, schema.positions.c, schema.ends.c


class Hush:
    """Watches over topics that must not be silent for longer than *limits*, in microseconds."""

    def __init__(self, limits: Mapping[str, Instant]) -> None:
        self._limits = dict(limits)
        self._looked_at: Instant | None = None
        self._every = min([_EVERY, *(limit // 2 for limit in limits.values())])

    def may_look(self, now: Instant) -> bool:
        """Tell whether it is time: not every tick reads, and a clock set back waits for none."""
        if not self._limits:
            return False
        if self._looked_at is not None and 0 <= now - self._looked_at < self._every:
            return False
        self._looked_at = now
        return True

    def tell(self, engine: Engine, now: Instant) -> None:
        """Tell of every silence that nobody was told of, and of every one that is over."""
        with reading(engine) as connection:
            found = [row for row in _looks(connection) if row.topic in self._limits]
        for row in found:
            if row.last > now + _AHEAD:
                _take_back(engine, row, now)
                continue
            since = silent_since(row.last, self._limits[row.topic], now)
            if row.told_silent is not None and row.last != row.told_silent:
                _tell(engine, row, None, _heard(row, now))
            elif row.told_silent is None and since is not None and _nothing_waits(row, since):
                _tell(engine, row, row.last, _silent(row, since, now))


def _looks(connection: Connection) -> list[Row[Any]]:
    """Return of each topic when its last record was read, and since when its ends are known."""
    same = and_(_ends.topic == _positions.topic, _ends.partition == _positions.partition)
    ends = func.min(func.coalesce(_ends.looked_at, 0)).label("looked_at")
    last = func.max(_positions.read_at).label("last")
    query = (
        select(_positions.topic, _topics.told_silent, last, ends)
        .select_from(
            schema.positions.join(schema.topics, _topics.topic == _positions.topic).outerjoin(
                schema.ends, same
            )
        )
        .group_by(_positions.topic, _topics.told_silent)
        .having(func.max(_positions.read_at).is_not(None))
        .order_by(_positions.topic)
    )
    return list(connection.execute(query))


def _nothing_waits(row: Row[Any], since: Instant) -> bool:
    """Tell whether all was read after the limit: a worker that was down is no silence."""
    return bool(row.looked_at >= since)


def _tell(engine: Engine, row: Row[Any], told: Instant | None, notice: Notice) -> None:
    was = _topics.told_silent
    unchanged = was.is_(None) if row.told_silent is None else was == row.told_silent
    mark = update(schema.topics).where(_topics.topic == row.topic, unchanged)
    with engine.begin() as connection:
        if connection.execute(mark.values(told_silent=told)).rowcount == 1:  # else another worker
            owing.note(connection, notice, notice.kind.value.replace("_", "."))


def _take_back(engine: Engine, row: Row[Any], now: Instant) -> None:
    """Let the silence of a topic that was read by a clock which was ahead count from now.

    Partition by partition: who reads locks them in another order. The silence that was told of
    that record, if one was, is that of now.
    """
    of_topic = (_positions.topic == row.topic, _positions.read_at > now)
    with reading(engine) as connection:
        ahead = list(connection.scalars(select(_positions.partition).where(*of_topic)))
    for partition in ahead:
        one = (*of_topic, _positions.partition == partition)
        with engine.begin() as connection:
            connection.execute(update(schema.positions).where(*one).values(read_at=now))
    told = (_topics.topic == row.topic, _topics.told_silent == row.last)
    with engine.begin() as connection:
        connection.execute(update(schema.topics).where(*told).values(told_silent=now))


def _silent(row: Row[Any], since: Instant, now: Instant) -> Notice:
    why = Why(reason=Doubt.SOURCE_SILENT, topic=row.topic, since=since)
    return _notice(Kind.SOURCE_SILENT, Severity.PAGE, row.topic, row.last, now, in_body([why]))


def _heard(row: Row[Any], now: Instant) -> Notice:
    return _notice(Kind.SOURCE_HEARD, Severity.INFO, row.topic, row.told_silent, now, {})


def _notice(
    kind: Kind,
    severity: Severity,
    topic: str,
    last: Instant,
    now: Instant,
    more: Mapping[str, str | int | bool | None],
) -> Notice:
    return Notice(
        key=key_of(kind, topic, str(last)),
        kind=kind,
        severity=severity,
        created_at=now,
        body={"topic": topic, "last_read_at": last, **more},
    )
