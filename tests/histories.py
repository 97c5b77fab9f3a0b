"""Random histories that are full of collisions: what the merge rule has to be right about.

``history(random.Random(seed), profile)`` gives the same list of facts for the same seed, for mass
runs; ``histories(profile)`` is the same generator as a hypothesis strategy. The universe is tiny on
purpose: two processors that share subject hashes, ties in every part of a version, faces that move
between owners, galleries and processors, and stores that two processors share in both orders.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from hypothesis import strategies as st

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

START: Instant = 1_764_547_200_000_000  # 2025-12-01T00:00:00Z
STEP = 5 * 3_600_000_000  # so that several instants share a day of Beijing
PROCESSORS = ("acme", "beta")
PLACES = tuple(
    Place(processor, system, gallery)
    for processor in PROCESSORS
    for system, galleries in (("gate", ("", "staff", "vip")), ("pay", ("", "vip")))
    for gallery in galleries
)
SUBJECTS: tuple[SubjectHash, ...] = tuple(bytes([n]) * 16 for n in (0, 7, 128, 255))
FACES: tuple[FaceHash, ...] = tuple(bytes([n]) * 16 for n in (1, 64, 254))
# The widest numbers a producer may send do not fit a signed column.
SEQUENCES = (0, 0, 0, 1, 2, 2**63, 2**64 - 1)
POSITIONS = (0, 1, 2, 3, 4, 2**63 - 1, 2**63, 2**64 - 1)

TERMINALS = Store("terminals", Order.TIME)
TABLES = (Store("db.public.face", Order.LOG), Store("db.public.face_archive", Order.LOG))
_GALLERY_STORES = {place: Store("/".join(place), Order.TIME) for place in PLACES}


def research(place: Place) -> bool:
    """One whole system of one processor, and one gallery of the other, are research."""
    return place[:2] == ("acme", "pay") or place == ("beta", "gate", "vip")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a history is mostly about; a kind named twice comes twice as often."""

    kinds: tuple[str, ...]
    stores: tuple[str, ...] = ("gallery",)
    size: int = 24
    instants: int = 8
    unnamed_shared: bool = False  # unnamed slots in stores of several galleries, too


PROFILES: Mapping[str, Profile] = {
    "galleries": Profile(("enrolled",) * 4 + ("removed",) * 3),
    "moves": Profile(("enrolled",) * 4 + ("removed", "truncated"), ("terminals", "log"), 18),
    "scopes": Profile(("enrolled",) * 5 + ("removed", "subject", "purged", "truncated"), size=18),
    "links": Profile(("enrolled",) * 3 + ("removed",) + ("linked",) * 4),
    "log": Profile(
        ("enrolled",) * 5 + ("removed",) * 2 + ("truncated", "subject", "purged"), ("log",)
    ),
    "unnamed": Profile(
        ("enrolled",) * 3 + ("removed",) * 2, ("terminals", "log"), 12, unnamed_shared=True
    ),
    "mixed": Profile(
        ("enrolled",) * 8 + ("removed",) * 3 + ("linked",) * 3 + ("subject", "purged", "truncated"),
        ("gallery", "gallery", "terminals", "log"),
        size=32,
        instants=12,
    ),
}


def instant(rnd: Random, profile: Profile) -> Instant:
    return START + rnd.randrange(profile.instants) * STEP


def _store(rnd: Random, profile: Profile, place: Place) -> Store:
    kind = rnd.choice(profile.stores)
    if kind == "gallery":
        return _GALLERY_STORES[place]
    return TERMINALS if kind == "terminals" else rnd.choice(TABLES)


def _dated(rnd: Random, profile: Profile, order: Order) -> tuple[Version, Instant]:
    """Return a version and an instant: in a log they have nothing to do with each other."""
    at = instant(rnd, profile)
    if order is Order.TIME:
        return Version(at, rnd.choice(SEQUENCES), 0), at
    return Version(rnd.choice((0, 0, 0, 1)), rnd.choice(POSITIONS), rnd.choice(POSITIONS)), at


def _read_at(rnd: Random, profile: Profile, order: Order, at: Instant) -> Instant:
    """A row that a column dates was read later; only change logs have such rows."""
    if order is Order.TIME or rnd.random() < 0.6:
        return at
    return at + rnd.randrange(profile.instants) * STEP


def _enrolled(rnd: Random, profile: Profile) -> Enrolled:
    place = rnd.choice(PLACES)
    store = _store(rnd, profile, place)
    version, at = _dated(rnd, profile, store.order)
    read_at = _read_at(rnd, profile, store.order, at)
    named_only = store != _GALLERY_STORES[place] and not profile.unnamed_shared
    face = rnd.choice(FACES if named_only else (UNNAMED, *FACES))
    return Enrolled(store, face, place, rnd.choice(SUBJECTS), version, at, read_at)


def _emptied(face: Enrolled) -> Removed:
    """Return the removal of the slot of *face*; only an unnamed one says whose it is."""
    place, subject = (None, None) if face.face else (face.place, face.subject)
    return Removed(face.store, face.face, place, subject, *face[4:])


def _removed(rnd: Random, profile: Profile) -> Removed:
    return _emptied(_enrolled(rnd, profile))


def _subject(rnd: Random, profile: Profile) -> SubjectRemoved:
    place = rnd.choice(PLACES)
    scopes = ((None, None), (place.system, None), (place.system, place.gallery))
    system, gallery = rnd.choice(scopes)
    version, at = _dated(rnd, profile, Order.TIME)
    return SubjectRemoved(place.processor, system, gallery, rnd.choice(SUBJECTS), version, at)


def _purged(rnd: Random, profile: Profile) -> Purged:
    place = rnd.choice(PLACES)
    gallery = rnd.choice((None, place.gallery))
    return Purged(place.processor, place.system, gallery, *_dated(rnd, profile, Order.TIME))


def _truncated(rnd: Random, profile: Profile) -> Truncated:
    store = _store(rnd, profile, rnd.choice(PLACES))
    return Truncated(store, *_dated(rnd, profile, store.order))


def _linked(rnd: Random, profile: Profile) -> Linked:
    """Chains, cycles and links to oneself come by themselves: there are four subjects."""
    whom = rnd.choice((None, *SUBJECTS))
    version, at = _dated(rnd, profile, Order.TIME)
    return Linked(rnd.choice(PROCESSORS), rnd.choice(SUBJECTS), whom, version, at)


_MAKERS: Mapping[str, Callable[[Random, Profile], StorageFact]] = {
    "enrolled": _enrolled,
    "removed": _removed,
    "subject": _subject,
    "purged": _purged,
    "truncated": _truncated,
    "linked": _linked,
}


def _twin(rnd: Random, profile: Profile, fact: StorageFact) -> StorageFact:
    """Return another fact of the version of *fact*: the ties that must not depend on arrival."""
    if isinstance(fact, Linked):
        return fact._replace(individual=rnd.choice((None, *SUBJECTS)))
    if not isinstance(fact, Enrolled):
        return _dated_again(rnd, profile, fact)
    if rnd.random() < 0.3:
        return _emptied(fact)
    if fact.store.order is Order.LOG and rnd.random() < 0.4:
        at = instant(rnd, profile)
        return fact._replace(at=at, read_at=_read_at(rnd, profile, Order.LOG, at))
    places = [p for p in PLACES if fact.store != _GALLERY_STORES[fact.place] or p == fact.place]
    return fact._replace(place=rnd.choice(places), subject=rnd.choice(SUBJECTS))


def _dated_again(
    rnd: Random, profile: Profile, fact: Removed | SubjectRemoved | Purged | Truncated
) -> StorageFact:
    """Return *fact* under another version, so that one scope or slot is emptied several times."""
    order = fact.store.order if isinstance(fact, Removed | Truncated) else Order.TIME
    version, at = _dated(rnd, profile, order)
    if isinstance(fact, Removed):
        return fact._replace(version=version, at=at, read_at=at)
    return fact._replace(version=version, at=at)


def history(rnd: Random, profile: Profile) -> list[StorageFact]:
    """Return up to ``profile.size`` facts, in no order that means anything."""
    facts: list[StorageFact] = []
    for _ in range(rnd.randint(1, profile.size)):
        if facts and rnd.random() < 0.25:
            facts.append(_twin(rnd, profile, rnd.choice(facts)))
        else:
            facts.append(_MAKERS[rnd.choice(profile.kinds)](rnd, profile))
    return facts


def histories(profile: Profile) -> st.SearchStrategy[list[StorageFact]]:
    """Return the generator as a strategy that shrinks to few facts."""
    return st.randoms(use_true_random=False).map(lambda rnd: history(rnd, profile))


Batches: TypeAlias = list[list[StorageFact]]


def rebatched(rnd: Random, facts: Sequence[StorageFact]) -> Batches:
    """Return *facts* in another order, some of them repeated, cut into batches."""
    repeats = [rnd.choice(facts) for _ in range(rnd.randint(0, len(facts)))]
    shuffled = [*facts, *repeats]
    rnd.shuffle(shuffled)
    batches: Batches = [[]]
    for fact in shuffled:
        if batches[-1] and rnd.random() < 0.3:
            batches.append([])
        batches[-1].append(fact)
    return batches


def smallest(
    facts: Sequence[StorageFact], fails: Callable[[Sequence[StorageFact]], bool]
) -> list[StorageFact]:
    """Return a part of *facts* that still *fails*, and from which no single fact can go."""
    left = list(facts)
    index = 0
    while index < len(left):
        without = left[:index] + left[index + 1 :]
        if without and fails(without):
            left, index = without, 0
        else:
            index += 1
    return left
