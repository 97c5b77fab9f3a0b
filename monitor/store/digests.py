"""Digests of the registers as they are kept, and as the book gives them, in flat memory.

What is kept is read row by row. The book is divided by register: every slot, link and scope has
all its facts in one bucket, so the buckets are folded one after the other and their digests, which
are sums, added up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from monitor.digest import (
    Sum,
    combine,
    link_register,
    place_register,
    registers,
    slot_register,
    store_register,
    subject_register,
)
from monitor.facts import Enrolled, Linked, Removed
from monitor.ledger import Ledger
from monitor.marks import Marks
from monitor.parts import part_of
from monitor.store import book, schema
from monitor.store.names import Names
from monitor.store.packing import Scoped, unpack, unpack_version
from monitor.store.registers import Working
from monitor.store.spilling import Spill
from monitor.store.sweeping import SIZES, Sizes

_AT_ONCE = {"yield_per": 20_000}
_FACE, _SUBJECT = 4, 5  # columns of ``book.rows``


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Digests of what the packed rows hold: everything, the links in force, the named faces."""

    registers: str
    links: str
    owners: str


def kept_digest(connection: Connection, names: Names) -> Kept:
    """Return the digests of the registers in the database."""
    everything, links, owners = Sum(), Sum(), Sum()
    for processor, subject, packed in _packed(connection, names):
        for register in unpack(names, processor, subject, packed):
            if isinstance(register, Scoped):
                key = (processor, subject)
                scope = (register.system, register.gallery)
                everything.add(subject_register(key, scope, register.version))
            elif isinstance(register, Linked):
                everything.add(link_register(register))
                if register.individual is not None:
                    links.add((processor, register.individual, subject))
            else:
                everything.add(slot_register(register))
                if isinstance(register, Enrolled) and register.face:
                    owners.add(_owner(register))
    everything.add_all(slot_register(fact) for fact in _empty_faces(connection, names))
    everything.add_all(_scopes(connection, names))
    return Kept(registers=str(everything), links=str(links), owners=str(owners))


def _packed(connection: Connection, names: Names) -> Iterator[tuple[str, bytes, bytes]]:
    for number, subject, packed in connection.execute(
        select(schema.subjects), execution_options=_AT_ONCE
    ):
        yield names.processor_by_id[number], subject, packed


def _empty_faces(connection: Connection, names: Names) -> Iterator[Removed]:
    """Yield the empty named slots; the others are in the rows of their owners."""
    table = schema.faces
    query = select(table).where(table.c.processor_id.is_(None))
    for row in connection.execute(query, execution_options=_AT_ONCE):
        version = unpack_version(row.version)
        store = names.store_by_id[row.store_id]
        yield Removed(store, row.face, None, None, version, row.at, row.read_at)


def _scopes(connection: Connection, names: Names) -> Iterator[tuple[object, ...]]:
    working = Working(connection, names, Marks())
    working.load_scopes()
    for scope, version in working.ledger.place_scopes.items():
        yield place_register(scope, version)
    for store, version in working.ledger.store_scopes.items():
        yield store_register(store, version)


def _owner(fact: Enrolled) -> tuple[object, ...]:
    return (fact.store.name, fact.face, fact.place.processor, fact.subject, *fact.version)


def links_digest(connection: Connection, names: Names) -> str:
    """Return the digest of the index from individuals to those who are linked to them."""
    rows = connection.execute(select(schema.links), execution_options=_AT_ONCE)
    return combine(
        (names.processor_by_id[row.processor_id], row.individual, row.subject) for row in rows
    )


def owners_digest(connection: Connection, names: Names) -> str:
    """Return the digest of the index from named slots to their owners."""
    table = schema.faces
    query = select(table).where(table.c.processor_id.is_not(None))
    return combine(
        (
            names.store_by_id[row.store_id].name,
            row.face,
            names.processor_by_id[row.processor_id],
            row.subject,
            *unpack_version(row.version),
        )
        for row in connection.execute(query, execution_options=_AT_ONCE)
    )


def folded_digest(connection: Connection, names: Names, marks: Marks, sizes: Sizes = SIZES) -> str:
    """Return the digest of the fold of the whole book."""
    total = Sum()
    parts = sizes.parts(book.size_bound(connection))
    with Spill[int](sizes.held(parts)) as spill:
        for row in book.rows(connection, names):
            spill.add(part_of(row[_FACE] or row[_SUBJECT] or bytes(4), parts), row)
        for part in range(parts):
            ledger = Ledger(marks.research)
            for row in spill.read(part):
                ledger.apply(book.fact_of(names, row))
            total.add_all(registers(ledger))
    return str(total)
