"""The audit log in SQL: append under one locked head, and read back to be verified."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from sqlalchemy import Connection, insert, select

from monitor.bundle import Verdict
from monitor.chain import GENESIS, Checkpoint, Entry, Links, canonical, seal
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


def entries(connection: Connection, after: int = 0) -> Iterator[Entry]:
    """Yield the log behind entry *after*, oldest first; memory does not grow with it."""
    table = schema.audit
    query = select(table).where(table.c.seq > after).order_by(table.c.seq)
    with connection.execute(query, execution_options={"yield_per": 5_000}) as found:
        for row in found:  # closed in time, too, if nobody goes on reading
            yield Entry(**row._mapping)  # noqa: SLF001 - the documented way to a row's dict


def broken_at(connection: Connection) -> int | None:
    """Return the number of the first entry that breaks the chain, or None if it is whole.

    A head that does not match the last entry (entries cut off at the end) counts as broken.
    """
    broken = examine(connection).first_broken
    return None if broken is None else broken.seq


def examine(
    connection: Connection,
    checkpoints: Iterable[Checkpoint] = (),
    hear: Callable[[Entry], None] = lambda _: None,
) -> Verdict:
    """Check the chain link by link, its head, and that it goes through all *checkpoints*.

    Each entry is given to *hear*, up to the first one that breaks the chain.
    """
    verdict, links = Verdict(), Links()
    kept = defaultdict(list)
    for one in checkpoints:
        kept[one.seq].append(one.hash)
    for entry in entries(connection):
        seq = links.seq + 1
        why = links.follow(entry)
        if why is None and any(one != entry.hash for one in kept.get(seq, ())):
            why = f"entry {seq} is another than the checkpoint says"
        if why is not None:
            verdict.note(schema.audit.name, seq, why)
            return verdict
        hear(entry)
    if head(connection) != (links.seq, links.hash):
        why = f"the log ends with entry {links.seq}, its head is of another"
        verdict.note(schema.audit_head.name, links.seq + 1, why)
    if any(one != GENESIS for one in kept.pop(0, ())):
        verdict.note(schema.audit.name, 1, "the checkpoint of an empty log has a hash")
    later = max(kept, default=0)
    if later > links.seq:
        why = f"entry {links.seq + 1} is missing: there were {later} at a checkpoint"
        verdict.note(schema.audit.name, links.seq + 1, why)
    verdict.chain = {"entries": links.seq, "head": links.hash}
    verdict.checkpoints = sum(map(len, kept.values()))
    return verdict


def checkpoint(connection: Connection, now: Instant) -> Checkpoint:
    """Return the head of the chain as it is, to be kept elsewhere."""
    seq, newest = head(connection)
    return Checkpoint(seq=seq, hash=newest, at=now)
