"""Behind ``facetally verify``: the registers against the book, and the chain link by link.

Reads only, within one consistent view of the database, so it can run beside workers.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select

from monitor.digest import combine, digest
from monitor.facts import Enrolled, Removed
from monitor.history import look_back
from monitor.ledger import Ledger, Stock
from monitor.marks import Marks
from monitor.store import audit, book, schema, stock, watches
from monitor.store.names import Names
from monitor.store.packing import unpack_version
from monitor.store.registers import Working, load_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was compared, whether it holds, and what was seen."""

    check: str
    holds: bool
    detail: str


def verify(connection: Connection, marks: Marks) -> list[Finding]:
    """Return the outcome of every check; ``holds`` is False for what is wrong."""
    names = Names.load(connection)
    kept = kept_ledger(connection, names, marks)
    folded = Ledger(marks.research)
    folded.apply_all(book.read(connection, names))
    kept.settle()
    found = [_same("registers", digest(kept), digest(folded))]
    found.append(_same("links", _links(connection, names), _links_of(kept)))
    found.append(_same("owners of named faces", _owners(connection, names), _owners_of(kept)))
    found += _stocks(connection, names, kept)
    found += _reaches(connection, names, marks)
    broken = audit.broken_at(connection)
    seq, _ = audit.head(connection)
    detail = f"{seq} entries" if broken is None else f"first broken entry: {broken}"
    found.append(Finding(check="audit", holds=broken is None, detail=detail))
    found.append(_positions(connection))
    return found


def kept_ledger(connection: Connection, names: Names, marks: Marks) -> Ledger:
    """Return all registers of the database as a ledger; ``settle`` it for its stock."""
    working = Working(connection, names, marks)
    working.load_scopes()
    ledger = working.ledger
    table = schema.subjects
    query = select(table).order_by(table.c.processor_id, table.c.subject)
    rows = connection.execute(query, execution_options={"yield_per": 20_000})
    subjects = []
    for row in rows:
        key = (names.processor_by_id[row.processor_id], bytes(row.subject))
        load_row(ledger, names, *key, bytes(row.registers))
        subjects.append(key)
    for key in subjects:
        ledger.touch(key)  # now that every link is known
    _load_faces(connection, names, ledger)
    return ledger


def _load_faces(connection: Connection, names: Names, ledger: Ledger) -> None:
    """Add the empty named slots; the others are in the rows of their owners."""
    table = schema.faces
    query = select(table).where(table.c.processor_id.is_(None))
    for row in connection.execute(query):
        store = names.store_by_id[row.store_id]
        version = unpack_version(bytes(row.version))
        face = bytes(row.face)
        fact = Removed(store, face, None, None, version, row.at, row.read_at)
        ledger.slots[store.name, face, b"", None] = fact


def _links(connection: Connection, names: Names) -> str:
    rows = connection.execute(select(schema.links))
    return combine(
        (names.processor_by_id[row.processor_id], bytes(row.individual), bytes(row.subject))
        for row in rows
    )


def _owners(connection: Connection, names: Names) -> str:
    """Return a digest of the index from named slots to their owners."""
    table = schema.faces
    rows = connection.execute(select(table).where(table.c.processor_id.is_not(None)))
    return combine(
        (
            names.store_by_id[row.store_id].name,
            bytes(row.face),
            names.processor_by_id[row.processor_id],
            bytes(row.subject),
            *unpack_version(bytes(row.version)),
        )
        for row in rows
    )


def _owners_of(ledger: Ledger) -> str:
    return combine(
        (fact.store.name, fact.face, fact.place.processor, fact.subject, *fact.version)
        for fact in ledger.slots.values()
        if isinstance(fact, Enrolled) and fact.face
    )


def _links_of(ledger: Ledger) -> str:
    links = (link for link in ledger.links.values() if link.individual is not None)
    return combine((link.processor, link.individual, link.subject) for link in links)


def _stocks(connection: Connection, names: Names, kept: Ledger) -> list[Finding]:
    counted = stock.read(connection, names)
    found = []
    for processor in sorted(names.processor_ids):
        have = _numbers(counted.get(processor, Stock()))
        want = _numbers(kept.stock.get(processor, Stock()))
        found.append(_same(f"stock of {processor}", have, want))
    return found


def _reaches(connection: Connection, names: Names, marks: Marks) -> list[Finding]:
    """Compare each first reach with what the book says, where no look back is due anyway."""
    table = schema.reaches
    due = set(watches.recounts_due(connection, names))
    by_processor: dict[str, list[tuple[str, int, int | None]]] = {}
    for row in connection.execute(select(table).where(table.c.at_least > 0)):
        one = (row.rule, row.at_least, row.trigger_at)
        by_processor.setdefault(names.processor_by_id[row.processor_id], []).append(one)
    found = []
    for processor, kept in sorted(by_processor.items()):
        if processor in due:
            continue
        facts = book.read(connection, names, [processor])
        history = look_back(facts, processor, [(n, None) for _, n, _ in kept], marks.research)
        for rule, at_least, trigger_at in sorted(kept):
            point = history.reaches[at_least]
            want = str(point.at if point is not None else None)
            found.append(_same(f"first reach of {rule} by {processor}", str(trigger_at), want))
    return found


def _numbers(one: Stock) -> str:
    rows = sorted((kind, name, n) for (kind, name), n in stock.flat(one).items() if n)
    return ", ".join(f"{name or ('operation', 'research')[kind]}={n}" for kind, name, n in rows)


def _positions(connection: Connection) -> Finding:
    table = schema.positions
    wrong = [
        f"{row.topic}/{row.partition}"
        for row in connection.execute(select(table).order_by(table.c.topic, table.c.partition))
        if row.next_offset < 0 or not row.topic_id
    ]
    total = len(connection.execute(select(table.c.topic)).all())
    detail = f"wrong: {', '.join(wrong)}" if wrong else f"{total} partitions"
    return Finding(check="positions", holds=not wrong, detail=detail)


def _same(check: str, have: str, want: str) -> Finding:
    holds = have == want
    return Finding(
        check=check, holds=holds, detail=have if holds else f"kept {have}, book says {want}"
    )
