"""``facetally explain``: the facts that decide whether a subject is counted.

The subject comes in as a hash, made from the raw id at the edge. Reads the whole book once: an
explanation is asked for seldom, and an index for it would be paid for by every fact.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
)
from monitor.ledger import NOWHERE, Ledger, SlotKey, Standing, slot_of
from monitor.marks import Marks
from monitor.store import book
from monitor.store.names import Names


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
    everything = list(book.entries(connection, names, [processor]))
    ledger.apply_all(fact for _, fact in everything)
    kin = _kin(ledger, processor, subject)
    own = [
        fact
        for _, fact in everything
        if isinstance(fact, (Enrolled, Removed))
        and fact.place is not None
        and fact.place.processor == processor
        and fact.subject in kin
    ]
    slots = {slot_of(fact) for fact in own}
    places = {fact.place for fact in own if fact.place is not None}
    told = [
        Told(
            fact=fact,
            known_at=known_at,
            decides=ledger.knows(fact),
            elsewhere=_elsewhere(fact, processor, kin),
        )
        for known_at, fact in everything
        if _bears(fact, processor, kin, slots, places)
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


def _kin(ledger: Ledger, processor: str, subject: SubjectHash) -> set[SubjectHash]:
    """Return all subjects that are the same individual."""
    individual = ledger.individual((processor, subject))
    return {subject, individual, *ledger.members.get((processor, individual), ())}


def _bears(
    fact: StorageFact,
    processor: str,
    kin: set[SubjectHash],
    slots: set[SlotKey],
    places: set[Place],
) -> bool:
    if isinstance(fact, (Enrolled, Removed)):
        return slot_of(fact) in slots
    if isinstance(fact, (SubjectRemoved, Linked)):
        return fact.processor == processor and fact.subject in kin
    if isinstance(fact, Truncated):
        return fact.store.name in {slot[0] for slot in slots}
    return fact.processor == processor and any(_in_scope(fact, place) for place in places)


def _in_scope(fact: Purged, place: Place) -> bool:
    return fact.system == place.system and fact.gallery in {None, place.gallery}
