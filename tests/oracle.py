"""Who is stored, by brute force: an independent reading of DESIGN section 3.

No registers and nothing carried from fact to fact: each answer scans all facts for the newest
assignment of a slot, for every scope removal that covers it and for the newest link. Slow on
purpose, and it must never import ``monitor.ledger``, ``monitor.history`` or ``monitor.digest``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
)

Assignment: TypeAlias = Enrolled | Removed
ScopeRemoval: TypeAlias = SubjectRemoved | Purged | Truncated
Individual: TypeAlias = tuple[str, SubjectHash]
Research: TypeAlias = Callable[[Place], bool]


class Count(NamedTuple):
    """Stock of one processor; systems that hold nobody are left out."""

    individuals: int
    research: int
    systems: Mapping[str, int]


NOBODY = Count(0, 0, {})


def known_by(facts: Iterable[StorageFact], until: Instant | None) -> list[StorageFact]:
    """Return the facts of *until* and before; None is all of them."""
    return [fact for fact in facts if until is None or fact.at <= until]


def same_slot(one: Assignment, other: Assignment) -> bool:
    """A slot is (store, face); without a face it is the subject's one in that gallery."""
    if one.store.name != other.store.name or one.face != other.face:
        return False
    return bool(one.face) or (one.place, one.subject) == (other.place, other.subject)


def beats(one: Assignment, other: Assignment) -> bool:
    """Version; then enrolment over removal; then the larger hashed owner; then the later look."""
    if one.version != other.version:
        return one.version > other.version
    if type(one) is not type(other):
        return isinstance(one, Enrolled)
    if isinstance(one, Enrolled) and isinstance(other, Enrolled):
        owners = (one.subject, *one.place), (other.subject, *other.place)
        if owners[0] != owners[1]:
            return owners[0] > owners[1]
    return (one.at, one.read_at) > (other.at, other.read_at)


def newest_assignments(facts: Iterable[StorageFact]) -> list[Assignment]:
    """Return what is said last about each slot, each once."""
    # By type, too: as tuples an enrolment and the removal that ties with it are equal.
    distinct = dict.fromkeys((type(f), f) for f in facts if isinstance(f, Enrolled | Removed))
    said = [fact for _, fact in distinct]
    return [
        one
        for one in said
        if not any(same_slot(one, other) and beats(other, one) for other in said)
    ]


def covers(removal: ScopeRemoval, face: Enrolled) -> bool:
    """Tell whether *face* is within what *removal* emptied."""
    place = face.place
    if isinstance(removal, Truncated):
        return removal.store.name == face.store.name
    if removal.processor != place.processor:
        return False
    if isinstance(removal, SubjectRemoved) and removal.subject != face.subject:
        return False
    in_system = removal.system is None or removal.system == place.system
    return in_system and (removal.gallery is None or removal.gallery == place.gallery)


def is_newer(face: Enrolled, removal: ScopeRemoval) -> bool:
    """Compare as the removal is ordered; an enrolment outranks a removal at a tie."""
    if isinstance(removal, Truncated):
        return (face.version, 1) > (removal.version, 0)
    if face.store.order is Order.LOG:  # only instant and rank count
        return (face.read_at, 1) > (removal.at, 0)
    sequences = face.version.middle, removal.version.middle
    return (face.read_at, sequences[0], 1) > (removal.at, sequences[1], 0)


def live_faces(facts: Sequence[StorageFact]) -> list[Enrolled]:
    """Return the faces that are stored: newest of their slot, and newer than all that covers."""
    removals = [f for f in facts if isinstance(f, SubjectRemoved | Purged | Truncated)]
    return [
        face
        for face in newest_assignments(facts)
        if isinstance(face, Enrolled)
        and all(is_newer(face, gone) for gone in removals if covers(gone, face))
    ]


def link_beats(one: Linked, other: Linked) -> bool:
    """At an equal version ``unlinked`` wins, and of two links the larger individual."""
    if one.version != other.version:
        return one.version > other.version
    if other.individual is None:
        return False
    return one.individual is None or one.individual > other.individual


def individual_of(links: Sequence[Linked], processor: str, subject: SubjectHash) -> Individual:
    """Return who *subject* is: one step, never a chain."""
    said = [f for f in links if (f.processor, f.subject) == (processor, subject)]
    for link in said:
        if link.individual and not any(link_beats(other, link) for other in said):
            return processor, link.individual
    return processor, subject


def stored(
    facts: Iterable[StorageFact], until: Instant | None = None
) -> dict[Individual, frozenset[Place]]:
    """Return every individual who is stored, and where, by the facts up to *until*."""
    known = known_by(facts, until)
    links = [fact for fact in known if isinstance(fact, Linked)]
    places: dict[Individual, frozenset[Place]] = {}
    for face in live_faces(known):
        individual = individual_of(links, face.place.processor, face.subject)
        places[individual] = places.get(individual, frozenset()) | {face.place}
    return places


def count(places: Mapping[Individual, frozenset[Place]], research: Research) -> dict[str, Count]:
    """Return the stock of every processor that stores anybody."""
    totals: dict[str, Count] = {}
    for processor in {processor for processor, _ in places}:
        theirs = [where for (owner, _), where in places.items() if owner == processor]
        systems = Counter(system for where in theirs for system in {p.system for p in where})
        totals[processor] = Count(
            sum(not all(research(place) for place in where) for where in theirs),
            sum(any(research(place) for place in where) for where in theirs),
            dict(systems),
        )
    return totals


def stock(
    facts: Iterable[StorageFact], research: Research, until: Instant | None = None
) -> dict[str, Count]:
    """Return the stock of every processor that stores anybody, as of *until*."""
    return count(stored(facts, until), research)


def timeline(facts: Sequence[StorageFact], processor: str, research: Research) -> dict[int, int]:
    """Return the number of *processor* after all facts of each instant, oldest first."""
    instants = sorted({fact.at for fact in facts})
    return {t: stock(facts, research, t).get(processor, NOBODY).individuals for t in instants}


def first_reach(
    numbers: Mapping[int, int], at_least: int, after: Instant | None = None
) -> Instant | None:
    """Return the first t with stock(t) >= *at_least*, of a ``timeline``.

    With *after*: the first t after it at which the stock passes from below.
    """
    for t in sorted(numbers):
        if numbers[t] < at_least:
            continue
        if after is None:
            return t
        before = [numbers[earlier] for earlier in sorted(numbers) if earlier < t]
        if t > after and (not before or before[-1] < at_least):
            return t
    return None
