"""The append-only book of accepted facts: what the registers are a fold of.

A fact that its register already holds to the letter is a repetition and is not written again; an
older fact that arrives late is, because as-of numbers and trigger days need it. A fact may
therefore be in the book more than once (a replay of older facts), which changes no fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from monitor.facts import (
    UNNAMED,
    Enrolled,
    Instant,
    Linked,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectRemoved,
    Truncated,
)
from monitor.store import bulk, schema
from monitor.store.names import Names
from monitor.store.packing import pack_version, unpack_version

_KINDS: tuple[type[StorageFact], ...] = (
    Enrolled,
    Removed,
    SubjectRemoved,
    Purged,
    Truncated,
    Linked,
)
_NUMBER = {kind: number for number, kind in enumerate(_KINDS)}
ENROLLED = _NUMBER[Enrolled]
_COLUMNS = [
    "kind",
    "processor_id",
    "place_id",
    "store_id",
    "face",
    "subject",
    "individual",
    "version",
    "at",
    "read_at",
    "known_at",
]
_FOLDED = _COLUMNS[:-1]

Row: TypeAlias = tuple[Any, ...]
"""What a fold needs of a fact: all columns but when we came to know it."""

Entry: TypeAlias = tuple[int, Instant, StorageFact]
"""The number of an entry, when we came to know it, and the fact."""


def append(
    connection: Connection, names: Names, facts: Iterable[StorageFact], known_at: Instant
) -> None:
    """Write *facts* at the end of the book."""
    rows = [(*_columns(names, fact), known_at) for fact in facts]
    bulk.append(connection, schema.book, _COLUMNS, rows)


def _columns(names: Names, fact: StorageFact) -> tuple[object, ...]:
    version = pack_version(fact.version)
    if isinstance(fact, (Enrolled, Removed)):
        place = fact.place
        return (
            _NUMBER[type(fact)],
            names.processor_ids[place.processor] if place else None,
            names.place_ids[place] if place else None,
            names.store_ids[fact.store.name],
            fact.face or None,
            fact.subject,
            None,
            version,
            fact.at,
            fact.read_at,
        )
    dates = (version, fact.at, fact.at)
    number = _NUMBER[type(fact)]
    if isinstance(fact, Truncated):
        store_id = names.store_ids[fact.store.name]
        return (number, None, None, store_id, None, None, None, *dates)
    processor_id = names.processor_ids[fact.processor]
    if isinstance(fact, Linked):
        return (number, processor_id, None, None, None, fact.subject, fact.individual, *dates)
    scope_id = names.scope_ids[fact.processor, fact.system, fact.gallery]
    subject = fact.subject if isinstance(fact, SubjectRemoved) else None
    return (number, processor_id, scope_id, None, None, subject, None, *dates)


def read(
    connection: Connection, names: Names, processors: Iterable[str] | None = None
) -> Iterator[StorageFact]:
    """Yield the facts of the book, in no order that means anything.

    With *processors* only those that can bear on their numbers: their own, and what is said of
    named slots and truncations in the stores that they have slots in.
    """
    for row in rows(connection, names, processors):
        yield fact_of(names, row)


def rows(
    connection: Connection,
    names: Names,
    processors: Iterable[str] | None = None,
    until: Instant | None = None,
) -> Iterator[Row]:
    """Yield as plain rows (``Row``) what ``read`` turns into facts; *until*: not those later."""
    columns = schema.book.c
    query = select(*(columns[name] for name in _FOLDED))
    if processors is not None:
        query = query.where(_bearing_on(names, set(processors)))
    if until is not None:
        query = query.where(columns.at <= until)
    result = connection.execute(query, execution_options={"yield_per": 20_000})
    return map(tuple, result)


def _bearing_on(names: Names, wanted: set[str]) -> ColumnElement[bool]:
    columns = schema.book.c
    stores = [names.store_ids[store] for store, tenant in names.tenants if tenant in wanted]
    ids = [names.processor_ids[name] for name in wanted]
    # An unnamed slot is of one gallery: of other tenants only named ones can be ours.
    shared = or_(columns.face.is_not(None), columns.kind == _NUMBER[Truncated])
    return or_(columns.processor_id.in_(ids), and_(columns.store_id.in_(stores), shared))


def size_bound(connection: Connection) -> int:
    """Return a number that the book has no more facts than; costs nothing to ask."""
    newest: int | None = connection.scalar(select(func.max(schema.book.c.id)))
    return newest or 0


def entries(connection: Connection, names: Names, *which: ColumnElement[bool]) -> list[Entry]:
    """Return the entries for which all of *which* is true, oldest first."""
    columns = schema.book.c
    wanted = (columns.id, columns.known_at, *(columns[name] for name in _FOLDED))
    query = select(*wanted).where(*which).order_by(columns.id)
    return [(row[0], row[1], fact_of(names, row[2:])) for row in connection.execute(query)]


def kind_is(*kinds: type[StorageFact]) -> ColumnElement[bool]:
    """Return the condition that a fact is of one of *kinds*."""
    return schema.book.c.kind.in_([_NUMBER[kind] for kind in kinds])


def kind_name(kind: int) -> str:
    """Return what a fact of this number is called."""
    return _KINDS[kind].__name__


def fact_of(names: Names, row: Sequence[Any]) -> StorageFact:
    """Return the fact in a row of ``rows``."""
    number, processor_id, place_id, store_id, face, subject, individual, version, at, read_at = row
    kind = _KINDS[number]
    version = unpack_version(version)
    if kind is Enrolled:
        store, place = names.store_by_id[store_id], names.place_by_id[place_id]
        return Enrolled(store, face or UNNAMED, place, subject, version, at, read_at)
    if kind is Removed:
        store = names.store_by_id[store_id]
        owner: Place | None = None if place_id is None else names.place_by_id[place_id]
        return Removed(store, face or UNNAMED, owner, subject, version, at, read_at)
    if kind is Truncated:
        return Truncated(names.store_by_id[store_id], version, at)
    processor = names.processor_by_id[processor_id]
    if kind is Linked:
        return Linked(processor, subject, individual, version, at)
    system, gallery = names.scope_by_id[place_id]
    if kind is SubjectRemoved:
        return SubjectRemoved(processor, system, gallery, subject, version, at)
    assert system is not None  # noqa: S101 - a purge names its system
    return Purged(processor, system, gallery, version, at)
