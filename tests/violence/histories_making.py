"""Random histories by the million: small universes, so that nearly everything collides.

``history(seed)`` is the same list of up to 40 facts for the same seed, in no order that means
anything. Each history draws its own corner of the universe and its own mix of kinds, so that some
are all links, some all moves between owners in a log, some nothing but ties. Everything is drawn
from ``random()`` alone: the generators of hypothesis and of ``random.choice`` take longer than
folding what they make.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from monitor.facts import (
    UNNAMED,
    Enrolled,
    FaceHash,
    Instant,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    StorageFact,
    Store,
    SubjectHash,
    SubjectRemoved,
    Truncated,
    Version,
)

_T = TypeVar("_T")

LARGEST = 40
_HOUR: Instant = 3_600_000_000
_MIDNIGHT: Instant = 1_764_604_800_000_000  # 2025-12-01T16:00:00Z: a day of Beijing begins
# On both sides of the midnights by which a trigger day changes, and in between.
INSTANTS: tuple[Instant, ...] = tuple(
    _MIDNIGHT + day * 24 * _HOUR + offset
    for day in range(4)
    for offset in (-1, 0, 1, 5 * _HOUR, 12 * _HOUR)
)
PROCESSORS = ("acme", "beta")
PLACES = tuple(
    Place(processor, system, gallery)
    for processor in PROCESSORS
    for system, galleries in (("gate", ("", "staff", "vip")), ("pay", ("", "vip")))
    for gallery in galleries
)
SUBJECTS: tuple[SubjectHash, ...] = tuple(bytes([n]) * 16 for n in (0, 7, 64, 128, 200, 255))
FACES: tuple[FaceHash, ...] = tuple(bytes([n]) * 16 for n in (1, 64, 254, 255))
# The widest numbers a producer may send do not fit a signed column.
SEQUENCES = (0, 0, 0, 1, 2, 2**63, 2**64 - 1)
POSITIONS = (0, 1, 2, 3, 4, 5, 2**63 - 1, 2**63, 2**64 - 1)
EPOCHS = (0, 0, 0, 0, 1)

GALLERIES = {place: Store("/".join(place), Order.TIME) for place in PLACES}
TERMINALS = Store("terminals", Order.TIME)
TABLES = (Store("db.public.face", Order.LOG), Store("db.public.face_archive", Order.LOG))
STORES = (*GALLERIES.values(), TERMINALS, *TABLES)

ENROLLED, REMOVED, SUBJECT, PURGED, TRUNCATED, LINKED = range(6)
# What the mixes are made of: how often each kind is in the urn, at least and at most.
_MIX = ((3, 8), (0, 4), (0, 2), (0, 1), (0, 1), (0, 4))


def research(place: Place) -> bool:
    """One whole system of one processor, and one gallery of the other, are research."""
    return place[:2] == ("acme", "pay") or place == ("beta", "gate", "vip")


def history(seed: int) -> list[StorageFact]:
    """Return the history of *seed*."""
    return _Maker(Random(seed)).history()


class _Maker:
    """One history's corner of the universe, and the facts drawn from it."""

    def __init__(self, rnd: Random) -> None:
        self._random = rnd.random
        self._instants = self._some(INSTANTS, 2, 12)
        self._places = self._some(PLACES, 1, 6)
        self._subjects = self._some(SUBJECTS, 1, len(SUBJECTS))
        self._faces = self._some(FACES, 1, len(FACES))
        self._stores = self._some((None, TERMINALS, *TABLES), 1, 4)  # None: the gallery's own
        self._kinds = [
            kind for kind, (least, most) in enumerate(_MIX) for _ in range(self._from(least, most))
        ]
        self._ties = 0.45 * self._random()
        self._dated = self._random() < 0.5  # rows that a column dates
        self._unnamed = self._random() < 0.3  # unnamed slots in stores of several galleries, too

    def _from(self, least: int, most: int) -> int:
        return least + int(self._random() * (most - least + 1))

    def _of(self, values: Sequence[_T]) -> _T:
        return values[int(self._random() * len(values))]

    def _some(self, values: Sequence[_T], least: int, most: int) -> list[_T]:
        left = list(values)
        wanted = self._from(least, min(most, len(left)))
        return [left.pop(int(self._random() * len(left))) for _ in range(wanted)]

    def history(self) -> list[StorageFact]:
        facts: list[StorageFact] = []
        for _ in range(self._from(1, LARGEST)):
            if facts and self._random() < self._ties:
                facts.append(self._twin(self._of(facts)))
            else:
                facts.append(self._fact())
        return facts

    def _fact(self) -> StorageFact:
        kind = self._of(self._kinds)
        if kind == ENROLLED:
            return self._enrolled()
        if kind == REMOVED:
            return _emptied(self._enrolled())
        if kind == TRUNCATED:
            store = self._store(self._of(self._places))
            return Truncated(store, *self._version(store.order))
        version, at = self._version(Order.TIME)
        processor, system, gallery = self._of(self._places)
        if kind == SUBJECT:
            scopes = ((None, None), (system, None), (system, gallery))
            scope = self._of(scopes)
            return SubjectRemoved(processor, *scope, self._of(self._subjects), version, at)
        if kind == PURGED:
            return Purged(processor, system, self._of((None, gallery)), version, at)
        # Chains, cycles and links to oneself come by themselves: there are few subjects.
        whom = None if self._random() < 0.2 else self._of(self._subjects)
        return Linked(processor, self._of(self._subjects), whom, version, at)

    def _store(self, place: Place) -> Store:
        return self._of(self._stores) or GALLERIES[place]

    def _version(self, order: Order) -> tuple[Version, Instant]:
        """Return a version and an instant: in a log they have nothing to do with each other."""
        at = self._of(self._instants)
        if order is Order.TIME:
            return Version(at, self._of(SEQUENCES), 0), at
        return Version(self._of(EPOCHS), self._of(POSITIONS), self._of(POSITIONS)), at

    def _read_at(self, order: Order, at: Instant) -> Instant:
        """A row that a column dates was read later; only change logs have such rows."""
        if order is Order.TIME or not self._dated or self._random() < 0.5:
            return at
        return max(at, self._of(self._instants))

    def _enrolled(self) -> Enrolled:
        place = self._of(self._places)
        store = self._store(place)
        version, at = self._version(store.order)
        may_be_unnamed = self._unnamed or store is GALLERIES[place]
        unnamed = may_be_unnamed and self._random() < 0.4
        face = UNNAMED if unnamed else self._of(self._faces)
        subject, read_at = self._of(self._subjects), self._read_at(store.order, at)
        return Enrolled(store, face, place, subject, version, at, read_at)

    def _twin(self, fact: StorageFact) -> StorageFact:
        """Return another fact of the same version: ties must not depend on what came first."""
        if isinstance(fact, Linked):
            return fact._replace(individual=self._of((None, *self._subjects)))
        if isinstance(fact, Enrolled):
            return self._enrolled_twin(fact)
        if isinstance(fact, Removed):
            return self._removed_twin(fact)
        order = fact.store.order if isinstance(fact, Truncated) else Order.TIME
        version, at = self._version(order)  # the same scope, emptied once more
        return fact._replace(version=version, at=at)

    def _enrolled_twin(self, fact: Enrolled) -> StorageFact:
        drawn = self._random()
        if drawn < 0.3:
            return _emptied(fact)
        if fact.store.order is Order.LOG and drawn < 0.6:
            at = self._of(self._instants)
            return fact._replace(at=at, read_at=self._read_at(Order.LOG, at))
        if drawn < 0.75:  # a scope removal of the version of the face that it covers
            version = Version(fact.at, fact.version.middle, 0)
            if fact.store.order is Order.LOG:
                version = Version(fact.read_at, 0, 0)
            place, at = fact.place, version.major
            if drawn < 0.7:
                return SubjectRemoved(place.processor, None, None, fact.subject, version, at)
            return Purged(place.processor, place.system, None, version, at)
        places = [fact.place] if fact.store is GALLERIES[fact.place] else self._places
        return fact._replace(place=self._of(places), subject=self._of(self._subjects))

    def _removed_twin(self, fact: Removed) -> StorageFact:
        if self._random() < 0.5:
            place = fact.place or self._of(self._places)
            if fact.place is None and fact.store in GALLERIES.values():
                place = Place(*(fact.store.name.split("/")))
            subject = fact.subject or self._of(self._subjects)
            return Enrolled(fact.store, fact.face, place, subject, *fact[4:])
        version, at = self._version(fact.store.order)
        return fact._replace(version=version, at=at, read_at=at)


def _emptied(face: Enrolled) -> Removed:
    """Return the removal of the slot of *face*; only an unnamed one says whose it is."""
    place, subject = (None, None) if face.face else (face.place, face.subject)
    return Removed(face.store, face.face, place, subject, *face[4:])
