"""Who may write when: advisory locks on PostgreSQL, in one fixed order.

Two transactions that touch the same processor take turns. A purge, a link or a move between
processors then cannot miss a concurrent enrolment, first inserts cannot race, and there is nothing
left to deadlock on: positions first, then stores, then processors, each in ascending order, then
the signs of snapshots, then the moment (``moments.py``), the head of the audit log last. Decoding,
hashing and Kafka, which are more than half of the work, happen outside
(``docs/decisions/0003-one-writer-per-processor.md``). SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from monitor.store.engine import is_sqlite, may_idle, may_wait
from monitor.store.frozen import SPACES

_STORES = SPACES | 1
_PROCESSORS = SPACES | 2
_AUDIT = SPACES | 3
_SIGNS = SPACES | 4
_LOOKING = SPACES | 5
_SETTINGS = 0x66740006

LEASE_SECONDS = 15  # who looks back and is frozen for longer holds up nobody else


def lock_stores(connection: Connection, store_ids: Iterable[int]) -> None:
    """Wait for, and hold until the end of the transaction, the slots of these stores."""
    _lock(connection, _STORES, store_ids)


def lock_processors(connection: Connection, processor_ids: Iterable[int]) -> None:
    """Wait for, and hold until the end of the transaction, all that belongs to these."""
    _lock(connection, _PROCESSORS, processor_ids)


def lock_signs(connection: Connection) -> None:
    """Wait for what is known of snapshots; taken between processors and the audit log."""
    _lock(connection, _SIGNS, [0])


def lock_settings(connection: Connection) -> None:
    """Wait until nobody gives out marks by the settings that hold; taken before all else."""
    _lock(connection, _SETTINGS, [0])


def share_settings(connection: Connection) -> None:
    """Keep the settings that hold until the end of the transaction; taken before all else."""
    if not is_sqlite(connection):
        statement = "SELECT pg_advisory_xact_lock_shared(%s, %s)"
        connection.exec_driver_sql(statement, (_SETTINGS, 0))


def lock_audit(connection: Connection) -> None:
    """Wait for the head of the audit log; take it last, it serialises everybody."""
    _lock(connection, _AUDIT, [0])


@contextmanager
def looking_back(engine: Engine, processor_id: int, *, wait: bool) -> Iterator[bool]:
    """Yield whether we are the one who looks back on this processor; with *wait*, be that one.

    So that two do not work on the same thing; that they do no harm if they do is seen to by
    ``overdue.is_ours``. Held by a transaction that does nothing else, so that nobody who writes
    waits for it, and renewed all the time: who is frozen loses it after ``LEASE_SECONDS``.
    """
    if is_sqlite(engine):
        yield True
        return
    connection = engine.connect()
    try:
        may_idle(connection, LEASE_SECONDS)
        which = (_LOOKING, processor_id)
        if wait:
            may_wait(connection)
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", which)
        mine = connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s, %s)", which)
        ours = bool(mine.scalar())
        with _renewed(connection):
            yield ours
    finally:
        with suppress(DBAPIError):  # the lease was lost meanwhile
            connection.close()


@contextmanager
def _renewed(connection: Connection) -> Iterator[None]:
    """Use *connection* every few seconds from a thread of its own, by nobody else, meanwhile."""
    done = Event()

    def renew() -> None:
        with suppress(DBAPIError):  # lost: others may begin, and we notice at the end
            while not done.wait(LEASE_SECONDS / 5):
                connection.exec_driver_sql("SELECT 1")

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _lock(connection: Connection, space: int, ids: Iterable[int]) -> None:
    wanted = sorted(set(ids))
    if is_sqlite(connection) or not wanted:
        return
    for number in wanted:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (space, number))
