"""Sessions of PostgreSQL that are frozen within a statement, and hold up everybody else.

Half way through a COPY, or through a message that does not fit into the socket, the server waits
for a client for ever: to it that is no idle transaction. Who has waited for a lock for too long
ends them: those of ours, and no others. Ours are recognised by the locks that they hold
(``locks.py``), whatever their ``application_name`` and role are, or by having ours. Of another role
the server tells and does what it was granted only (``pg_read_all_stats``, ``pg_signal_backend``,
or membership): what may not be seen or ended is logged.
"""

from __future__ import annotations

import logging
from typing import Final

import psycopg
from sqlalchemy import Connection, Engine, Row
from sqlalchemy.exc import DBAPIError

log = logging.getLogger(__name__)

SPACES: Final = 0x66740000  # of our advisory locks: the lower 16 bits tell what is locked
_LAST: Final = SPACES | 0xFFFF

# Of a session that we may not see the state is null.
_FROZEN = """
SELECT a.pid, a.usename, a.state FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
AND (
    a.state IS NULL
    OR a.state = 'active' AND a.wait_event IN ('ClientRead', 'ClientWrite')
    AND a.state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
)
AND (
    a.usename = current_user AND a.application_name = current_setting('application_name')
    OR EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.pid = a.pid AND l.database = a.datid AND l.locktype = 'advisory' AND l.granted
        AND l.objsubid = 2 AND l.classid BETWEEN %(first)s AND %(last)s
    )
)
ORDER BY a.pid
"""


def end_frozen(engine: Engine, seconds: int) -> None:
    """Free what sessions of ours hold that are frozen for *seconds*; whatever fails is logged."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            limits = {"seconds": seconds, "first": SPACES, "last": _LAST}
            found = connection.exec_driver_sql(_FROZEN, limits).all()
            ended = sum(_ended(connection, session) for session in found)
    except DBAPIError:
        return  # whoever tries again finds the same
    if ended:
        log.warning("%d sessions of the database were frozen within a statement: ended", ended)


def _ended(connection: Connection, session: Row[tuple[int, str, str | None]]) -> bool:
    if session.state is None:
        _cannot("see whether it is frozen", session)
        return False
    try:
        ended = connection.exec_driver_sql("SELECT pg_terminate_backend(%s)", (session.pid,))
    except DBAPIError as exc:
        if isinstance(exc.orig, psycopg.errors.InsufficientPrivilege):
            _cannot("end it, and it is frozen", session)
            return False
        raise
    return bool(ended.scalar())


def _cannot(what: str, session: Row[tuple[int, str, str | None]]) -> None:
    log.warning(
        "session %d of role %s holds what we wait for, and we may not %s: "
        "grant us pg_read_all_stats and pg_signal_backend, or its role",
        session.pid,
        session.usename,
        what,
    )
