"""The audit log in SQL: append under one locked head, and read back to be verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, insert, select

from monitor.chain import GENESIS, Entry, canonical, first_broken, seal
from monitor.facts import Instant
from monitor.store import bulk, schema
from monitor.store.locks import lock_audit


def append(
    connection: Connection,
    at: Instant,
    kind: str,
    processor: str | None,
    body: Mapping[str, object],
) -> Entry:
    """Write one entry at the end of the chain. Takes the last lock of the transaction."""
    lock_audit(connection)
    seq, previous = head(connection)
    entry = seal(seq + 1, at, kind, processor, canonical(body), previous)
    row = {name: getattr(entry, name) for name in schema.audit.columns.keys()}  # noqa: SIM118 - not a dict
    connection.execute(insert(schema.audit).values(row))
    bulk.upsert(connection, schema.audit_head, [(1, entry.seq, entry.hash)])
    return entry


def head(connection: Connection) -> tuple[int, str]:
    """Return number and hash of the newest entry; (0, zeros) before the first."""
    row = connection.execute(select(schema.audit_head.c.seq, schema.audit_head.c.hash)).first()
    return (row.seq, row.hash) if row is not None else (0, GENESIS)


def entries(connection: Connection) -> Iterator[Entry]:
    """Yield the whole log, oldest first."""
    query = select(schema.audit).order_by(schema.audit.c.seq)
    for row in connection.execute(query, execution_options={"yield_per": 5_000}):
        yield Entry(**row._mapping)  # noqa: SLF001 - the documented way to a row's dict


def broken_at(connection: Connection) -> int | None:
    """Return the number of the first entry that breaks the chain, or None if it is whole.

    A head that does not match the last entry (entries cut off at the end) counts as broken.
    """
    seq, last = 0, GENESIS
    log = list(entries(connection))
    broken = first_broken(log)
    if broken is not None:
        return broken
    if log:
        seq, last = log[-1].seq, log[-1].hash
    return None if head(connection) == (seq, last) else seq + 1
