"""The append-only book of accepted facts: what the registers are a fold of.

A fact that its register already holds to the letter is a repetition and is not written again; an
older fact that arrives late is, because as-of numbers and trigger days need it. A fact may
therefore be in the book more than once (a replay of older facts), which changes no fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, or_, select

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
    """Yield the facts of the book, oldest entry first.

    With *processors* only those that can bear on their numbers: their own, and all slot facts and
    truncations of the stores that they have slots in.
    """
    for _, fact in entries(connection, names, processors):
        yield fact


def entries(
    connection: Connection, names: Names, processors: Iterable[str] | None = None
) -> Iterator[tuple[Instant, StorageFact]]:
    """Yield facts as ``read`` does, each with the instant at which we came to know it."""
    columns = schema.book.c
    query = select(*(columns[name] for name in _COLUMNS)).order_by(columns.id)
    if processors is not None:
        wanted = set(processors)
        stores = [names.store_ids[store] for store, tenant in names.tenants if tenant in wanted]
        ids = [names.processor_ids[name] for name in wanted]
        query = query.where(or_(columns.processor_id.in_(ids), columns.store_id.in_(stores)))
    result = connection.execute(query, execution_options={"yield_per": 20_000})
    for row in result:
        yield row[-1], _fact(names, row)


def _fact(names: Names, row: Any) -> StorageFact:  # noqa: ANN401 - a row of schema.book
    number, processor_id, place_id, store_id, face, subject, individual, version, at, read_at, _ = (
        row
    )
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
