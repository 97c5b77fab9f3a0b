"""Moments: in which order the database learned things, which no wall clock can tell.

A number that only grows. What has to be before something else (a reach first seen, the end of a
snapshot, a mark against a number) takes the next one in its own transaction and keeps it; whoever
is about to look at Kafka reads it first. What was looked up at a moment no smaller was looked up
after that transaction had been committed, whatever the clocks of the workers said meanwhile.

Its row is locked until the end of the transaction: after positions, stores, processors and the
lock of signs (``locks.py``), before the head of the audit log.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.store import schema
from monitor.store.engine import is_sqlite

_table = schema.moments
_THE_ROW = 1


class Sight(NamedTuple):
    """When something was first seen: *at* by our clock, to be shown; *moment* to be compared."""

    at: Instant
    moment: int


def take(connection: Connection) -> int:
    """Return the next moment, which is that of this transaction; others wait for its end."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    first = dialect.insert(_table).values(id=_THE_ROW, number=1)
    statement = first.on_conflict_do_update(
        index_elements=[_table.c.id], set_={"number": _table.c.number + 1}
    )
    return int(connection.execute(statement.returning(_table.c.number)).scalar_one())


def latest(connection: Connection) -> int:
    """Return the latest moment that was committed; 0 before the first."""
    return connection.scalar(select(_table.c.number)) or 0
