"""Behind ``facetally verify``: registers against the book, the chain, and duties against the chain.

Reads only, within one consistent view of the database, so it can run beside workers. Memory does
not grow with the number of individuals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import Connection, func, select

from monitor.facts import Removed
from monitor.history import Threshold
from monitor.ledger import Ledger, Stock
from monitor.marks import Marks
from monitor.rules import Rule
from monitor.store import audit, decided, owed, schema, stock, watches
from monitor.store.digests import folded_digest, kept_digest, links_digest, owners_digest
from monitor.store.misplaced import misplaced
from monitor.store.names import Names
from monitor.store.owed_told import answered_wrong
from monitor.store.packing import unpack_version
from monitor.store.registers import Working, load_row
from monitor.store.sweeping import SIZES, Sizes, sweep

_ROWS = "rows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was compared, whether it holds, and what was seen."""

    check: str
    holds: bool
    detail: str


def verify(
    connection: Connection, marks: Marks, rules: Sequence[Rule] = (), *, sizes: Sizes = SIZES
) -> list[Finding]:
    """Return the outcome of every check; ``holds`` is False for what is wrong.

    Reads the book twice, in parts, so memory does not grow with it. By *rules* confirmed reaches
    must have duties; without them that is not asked.
    """
    names = Names.load(connection)
    kept = kept_digest(connection, names)
    folded = folded_digest(connection, names, marks, sizes)
    found = [_same("registers", kept.registers, folded)]
    found.append(_same("links", links_digest(connection, names), kept.links, _ROWS))
    owners = owners_digest(connection, names)
    found.append(_same("owners of named faces", owners, kept.owners, _ROWS))
    found += _stocks(connection, names, marks)
    found += _reaches(connection, names, marks, sizes)
    broken = audit.broken_at(connection)
    seq, _ = audit.head(connection)
    detail = f"{seq} entries" if broken is None else f"first broken entry: {broken}"
    found.append(Finding(check="audit", holds=broken is None, detail=detail))
    found += _owed(connection, names, rules)
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


def _stocks(connection: Connection, names: Names, marks: Marks) -> list[Finding]:
    """Compare the numbers with those of the rows, counted anew."""
    kept = stock.read(connection, names)
    working = Working(connection, names, marks)
    working.load_scopes()
    found = []
    for processor in sorted(names.processor_ids):
        have = _numbers(kept.get(processor, Stock()))
        counted = stock.count(connection, names, marks, working.ledger, processor)
        found.append(_same(f"stock of {processor}", have, _numbers(counted), _ROWS))
    return found


def _reaches(connection: Connection, names: Names, marks: Marks, sizes: Sizes) -> list[Finding]:
    """Compare each first reach with what the book says, where no look back is due anyway."""
    table = schema.reaches
    due = set(watches.recounts_due(connection, names))
    kept: dict[str, list[tuple[str, Threshold, int | None]]] = {}
    for row in connection.execute(select(table).where(table.c.at_least > 0)):
        processor = names.processor_by_id[row.processor_id]
        if processor not in due:
            one = (row.rule, (row.at_least, row.after), row.trigger_at)
            kept.setdefault(processor, []).append(one)
    wanted = {processor: [one for _, one, _ in reaches] for processor, reaches in kept.items()}
    swept = sweep(connection, names, wanted, marks.research, sizes=sizes)
    found = []
    for processor, reaches in sorted(kept.items()):
        for rule, threshold, trigger_at in sorted(reaches, key=itemgetter(0)):
            point = swept[processor].reaches[threshold]
            want = str(point.at if point is not None else None)
            found.append(_same(f"first reach of {rule} by {processor}", str(trigger_at), want))
    return found


def _numbers(one: Stock) -> str:
    rows = sorted((kind, name, n) for (kind, name), n in stock.flat(one).items() if n)
    return ", ".join(f"{name or ('operation', 'research')[kind]}={n}" for kind, name, n in rows)


def _owed(connection: Connection, names: Names, rules: Sequence[Rule]) -> list[Finding]:
    """Compare duties, what they follow from, notices and deliveries with the audit log."""
    said = decided.decided_wrong(connection, names)
    wrong = [
        ("duties", schema.duties, owed.owed_wrong(connection, names, rules)),
        ("steps", schema.steps, said.steps),
        ("changes", schema.changes, said.changes),
        ("latches", schema.reaches, said.latches),
        (
            "notices",
            schema.notices,
            [*owed.told_wrong(connection), *answered_wrong(connection)],
        ),
    ]
    found = []
    for check, table, some in wrong:
        total = connection.scalar(select(func.count()).select_from(table))
        shown = owed.detail(some, f"{total} {check}")
        found.append(Finding(check=check, holds=not some, detail=shown))
    return found


def _positions(connection: Connection) -> Finding:
    wrong = misplaced(connection)
    total = connection.scalar(select(func.count()).select_from(schema.positions))
    detail = f"wrong: {', '.join(wrong)}" if wrong else f"{total} partitions"
    return Finding(check="positions", holds=not wrong, detail=detail)


def _same(check: str, have: str, want: str, source: str = "book") -> Finding:
    holds = have == want
    detail = have if holds else f"kept {have}, {source} says {want}"
    return Finding(check=check, holds=holds, detail=detail)
