"""Who may write when: advisory locks on PostgreSQL, in one fixed order.

Two transactions that touch the same processor take turns. A purge, a link or a move between
processors then cannot miss a concurrent enrolment, first inserts cannot race, and there is nothing
left to deadlock on: positions first, then stores, then processors, each in ascending order, the
head of the audit log last. Decoding, hashing and Kafka, which are more than half of the work,
happen outside (``docs/decisions/0003-one-writer-per-processor.md``). SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine

from monitor.store.engine import is_sqlite, may_idle

_STORES = 0x66740001
_PROCESSORS = 0x66740002
_AUDIT = 0x66740003
_SIGNS = 0x66740004
_APPLYING = 0x66740006
_CONFIRMING = 0x66740007
_LOOKING = 0x66740005

_LONGEST_LOOK = 3600  # seconds; after that somebody else may look back


def lock_stores(connection: Connection, store_ids: Iterable[int]) -> None:
    """Wait for, and hold until the end of the transaction, the slots of these stores."""
    _lock(connection, _STORES, store_ids)


def lock_processors(connection: Connection, processor_ids: Iterable[int]) -> None:
    """Wait for, and hold until the end of the transaction, all that belongs to these."""
    _lock(connection, _PROCESSORS, processor_ids)


def lock_signs(connection: Connection) -> None:
    """Wait for what is known of snapshots; taken between processors and the audit log."""
    _lock(connection, _SIGNS, [0])


def lock_audit(connection: Connection) -> None:
    """Wait for the head of the audit log; take it last, it serialises everybody."""
    _lock(connection, _AUDIT, [0])


@contextmanager
def looking_back(engine: Engine, processor_id: int, *, wait: bool) -> Iterator[bool]:
    """Yield whether we are the one who looks back on this processor; with *wait*, be that one.

    Two look backs at once would each take what came in during the other for their own. Held by a
    transaction that does nothing else, so that nobody who writes waits for it.
    """
    if is_sqlite(engine):
        yield True
        return
    with engine.begin() as connection:
        may_idle(connection, _LONGEST_LOOK)
        which = (_LOOKING, processor_id)
        if wait:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", which)
            yield True
            return
        mine = connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s, %s)", which)
        yield bool(mine.scalar())


@contextmanager
def applying(engine: Engine) -> Iterator[None]:
    """Say, as long as the context lasts, that files are being applied: see ``is_applying``."""
    if is_sqlite(engine):
        yield  # no worker runs beside it
        return
    with engine.connect() as connection:
        key = (_APPLYING, 0)
        connection.exec_driver_sql("SELECT pg_advisory_lock_shared(%s, %s)", key)
        connection.commit()
        try:
            yield
        finally:
            connection.exec_driver_sql("SELECT pg_advisory_unlock_shared(%s, %s)", key)
            connection.commit()


def lock_confirming(connection: Connection) -> None:
    """Wait for others who confirm: ``is_applying`` cannot tell them from who applies."""
    _lock(connection, _CONFIRMING, [0])


def is_applying(connection: Connection) -> bool:
    """Tell whether somebody applies files; if not, nobody begins before this transaction ends.

    What a file says in its middle is no number that ever was, so no reach is confirmed by it.
    """
    if is_sqlite(connection):
        return False
    row = connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(%s, %s)", (_APPLYING, 0))
    return not row.scalar()


def _lock(connection: Connection, space: int, ids: Iterable[int]) -> None:
    wanted = sorted(set(ids))
    if is_sqlite(connection) or not wanted:
        return
    for number in wanted:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", (space, number))
