"""``facetally explain``: the facts that decide whether a subject is counted.

The subject comes in as a hash, made from the raw id at the edge. Who is the same individual is
looked up in the registers. The book is scanned twice by the database, which hands out what bears on
the subject and nothing else: an explanation is asked for seldom, and an index for it would be paid
for by every fact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from monitor.facts import (
    Enrolled,
    FaceHash,
    Instant,
    Linked,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    Truncated,
)
from monitor.ledger import NOWHERE, Ledger, Standing
from monitor.marks import Marks
from monitor.store import book, schema
from monitor.store.book import Entry
from monitor.store.names import Names
from monitor.store.packing import unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One fact about the subject: when it was so, when we knew, and whether it decides today.

    With *elsewhere* a face of the subject went to another owner: whose it is now is not told.
    """

    fact: StorageFact
    known_at: Instant
    decides: bool
    elsewhere: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the book says of one subject."""

    standing: Standing
    linked: bool
    told: tuple[Told, ...]


def explain(
    connection: Connection, marks: Marks, processor: str, subject: SubjectHash
) -> Explanation:
    """Return all facts that bear on *subject* at *processor*, oldest first."""
    names = Names.load(connection)
    if processor not in names.processor_ids:
        return Explanation(standing=NOWHERE, linked=False, told=())
    ledger = Ledger(marks.research)
    kin = _kin(connection, names, processor, subject)
    everything = _bearing(connection, names, processor, kin)
    ledger.apply_all(fact for _, _, fact in everything)
    told = [
        Told(
            fact=fact,
            known_at=known_at,
            decides=ledger.knows(fact),
            elsewhere=_elsewhere(fact, processor, kin),
        )
        for _, known_at, fact in everything
    ]
    individual = (processor, ledger.individual((processor, subject)))
    return Explanation(
        standing=ledger.standing.get(individual, NOWHERE),
        linked=len(kin) > 1,
        told=tuple(sorted(told, key=lambda one: (one.fact.at, one.fact.version))),
    )


def _elsewhere(fact: StorageFact, processor: str, kin: set[SubjectHash]) -> bool:
    if not isinstance(fact, Enrolled):
        return False
    return fact.place.processor != processor or fact.subject not in kin


def _kin(
    connection: Connection, names: Names, processor: str, subject: SubjectHash
) -> set[SubjectHash]:
    """Return all subjects that are the same individual."""
    number = names.processor_ids[processor]
    rows = schema.subjects.c
    packed = connection.scalar(
        select(rows.registers).where(rows.processor_id == number, rows.subject == subject)
    )
    individual = subject
    for register in unpack(names, processor, subject, packed or b""):
        if isinstance(register, Linked) and register.individual is not None:
            individual = register.individual
    links = schema.links.c
    members = connection.scalars(
        select(links.subject).where(links.processor_id == number, links.individual == individual)
    )
    return {subject, individual, *members}


def _bearing(
    connection: Connection, names: Names, processor: str, kin: set[SubjectHash]
) -> list[Entry]:
    """Return all entries of the book that can bear on *kin*, oldest first."""
    number, columns = names.processor_ids[processor], schema.book.c
    own = book.entries(connection, names, columns.processor_id == number, columns.subject.in_(kin))
    faces: dict[int, set[FaceHash]] = defaultdict(set)
    places: set[Place] = set()
    for _, _, fact in own:
        if isinstance(fact, (Enrolled, Removed)) and fact.place is not None:
            faces[names.store_ids[fact.store.name]].add(fact.face)
            places.add(fact.place)
    others = book.entries(connection, names, _around(names, number, faces, places))
    return sorted({entry[0]: entry for entry in (*own, *others)}.values(), key=itemgetter(0))


def _around(
    names: Names, number: int, faces: Mapping[int, set[FaceHash]], places: Iterable[Place]
) -> ColumnElement[bool]:
    """Return the condition for other owners' facts about *faces*, and removals of all around."""
    columns = schema.book.c
    scopes = {(place.processor, place.system, None) for place in places} | {*places}
    ids = [names.scope_ids[scope] for scope in scopes if scope in names.scope_ids]
    return or_(
        *(and_(columns.store_id == store, columns.face.in_(of)) for store, of in faces.items()),
        and_(book.kind_is(Truncated), columns.store_id.in_(faces)),
        and_(book.kind_is(Purged), columns.processor_id == number, columns.place_id.in_(ids)),
    )
