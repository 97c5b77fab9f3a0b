"""A processor of millions whose number is known by construction.

Everybody has a number from 0 on, and one byte says which of their four faces are stored: a bit
for the unnamed face in each of three systems, and one for a named face. A face id belongs to a
pair of people and moves to whoever was enrolled with it last. Every fact is newer than all before
it, so the byte follows from the facts by setting and clearing bits: no ledger, no database.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from monitor.facts import (
    UNNAMED,
    Enrolled,
    Instant,
    Place,
    Purged,
    Removed,
    StorageFact,
    Store,
    SubjectRemoved,
    Version,
)
from monitor.identity import Identity

PROCESSOR = "metropolis"
SYSTEMS = ("gates", "canteen", "payment")
NAMED = 8
_GATES_BITS = 1 | NAMED
_BITS = (_GATES_BITS, 2, 4)  # by system
_PLACES = tuple(Place(PROCESSOR, system, "") for system in SYSTEMS)
_STORES = tuple(Store(f"{PROCESSOR}/{system}/") for system in SYSTEMS)
_VIP = Place(PROCESSOR, "gates", "vip")
_VIP_STORE = Store(f"{PROCESSOR}/gates/vip")

START: Instant = 1_750_000_000_000_000  # 2025-06-15
STEP: Instant = 100_000  # a tenth of a second from fact to fact
_LAYERS = tuple(bytes(1 if byte & bits else 0 for byte in range(256)) for bits in _BITS)


class Population:
    """People, the facts about them, and what the facts come to.

    *most* is how many people there can be; their bytes are all taken at once, so that the memory
    of the process does not grow with them.
    """

    def __init__(self, most: int, identity: Identity, seed: int) -> None:
        self._faces = bytearray(b"\xff") * most
        self._faces[:] = bytes(most)
        self._identity = identity
        self._rng = random.Random(seed)
        self.people = 0
        self.stored = 0
        self.facts = 0
        self.at = START
        self.reached: dict[int, Instant] = {}
        self._watched: list[int] = []

    def watch(self, *thresholds: int) -> None:
        """Note the instant at which each of *thresholds* is first reached."""
        self._watched = sorted(thresholds)

    # -- what is true ----------------------------------------------------------------------

    def numbers(self) -> dict[str, int]:
        """Return how many people each system stores, counted from the bytes."""
        known = self._faces[: self.people]
        return {
            system: sum(known.translate(layer))
            for system, layer in zip(SYSTEMS, _LAYERS, strict=True)
        }

    def counted(self) -> int:
        """Return how many people are stored, counted from the bytes."""
        return self.people - self._faces.count(0, 0, self.people)

    # -- facts -----------------------------------------------------------------------------

    def growing(self, individuals: int) -> Iterator[StorageFact]:
        """Yield facts about new people until *individuals* are stored."""
        while self.stored < individuals:
            person = self.people
            self.people += 1
            yield self._enrolled(person, person % 3)
            if person % 5 < 2 and self.stored < individuals:
                yield self._enrolled(person, (person + 1) % 3)
            if self._is_named(person):
                yield self._named(person)
            if person % 25 == 7:
                yield self._left(person)
            if person % 50 == 7:
                yield self._enrolled(person, person % 3)

    def living(self, facts: int) -> Iterator[StorageFact]:
        """Yield so many facts about people chosen uniformly from all that there are."""
        choose, people = self._rng.random, self.people
        for _ in range(facts):
            person = int(choose() * people)
            yield self._happening(person, choose())

    def emptied(self, system: int) -> StorageFact:
        """Return the fact that a whole system was emptied."""
        clear = bytes(byte & ~_BITS[system] for byte in range(256))
        self._faces = self._faces.translate(clear)
        at = self._next()
        self.stored = self.counted()
        return Purged(PROCESSOR, SYSTEMS[system], None, Version(at, 0, 0), at)

    def _happening(self, person: int, what: float) -> StorageFact:
        home = person % 3
        if what < 0.55:
            return self._enrolled(person, home)
        if what < 0.75:
            return self._enrolled(person, (home + 1) % 3)
        if what < 0.85:
            return self._removed(person, home)
        if what < 0.92:
            return self._named(person) if self._is_named(person) else self._enrolled(person, home)
        if what < 0.95:
            return self._unnamed_or_named_removed(person)
        return self._left(person, home if what < 0.98 else None)

    def _unnamed_or_named_removed(self, person: int) -> StorageFact:
        if not self._is_named(person):
            return self._removed(person, (person + 2) % 3)
        at = self._next()
        self._clear(person, NAMED)
        self._clear(person ^ 1, NAMED)
        return Removed(_VIP_STORE, self._face(person), None, None, Version(at, 0, 0), at, at)

    def _enrolled(self, person: int, system: int) -> Enrolled:
        at = self._next()
        self._set(person, 1 << system)
        return Enrolled(
            _STORES[system],
            UNNAMED,
            _PLACES[system],
            self._subject(person),
            Version(at, 0, 0),
            at,
            at,
        )

    def _named(self, person: int) -> Enrolled:
        at = self._next()
        self._clear(person ^ 1, NAMED)
        self._set(person, NAMED)
        face, subject = self._face(person), self._subject(person)
        return Enrolled(_VIP_STORE, face, _VIP, subject, Version(at, 0, 0), at, at)

    def _removed(self, person: int, system: int) -> Removed:
        at = self._next()
        self._clear(person, 1 << system)
        return Removed(
            _STORES[system],
            UNNAMED,
            _PLACES[system],
            self._subject(person),
            Version(at, 0, 0),
            at,
            at,
        )

    def _left(self, person: int, system: int | None = None) -> SubjectRemoved:
        at = self._next()
        self._clear(person, 255 if system is None else _BITS[system])
        name = None if system is None else SYSTEMS[system]
        return SubjectRemoved(PROCESSOR, name, None, self._subject(person), Version(at, 0, 0), at)

    # -- people ----------------------------------------------------------------------------

    @staticmethod
    def _is_named(person: int) -> bool:
        return (person >> 1) % 10 < 3

    def _subject(self, person: int) -> bytes:
        return self._identity.subject(PROCESSOR, None, f"person-{person}")

    def _face(self, person: int) -> bytes:
        return self._identity.face(_VIP_STORE.name, f"face-{person >> 1}")

    def _next(self) -> Instant:
        self.at += STEP
        self.facts += 1
        return self.at

    def _set(self, person: int, bits: int) -> None:
        was = self._faces[person]
        self._faces[person] = was | bits
        if not was:
            self.stored += 1
            if self._watched and self.stored >= self._watched[0]:
                self.reached[self._watched.pop(0)] = self.at

    def _clear(self, person: int, bits: int) -> None:
        was = self._faces[person]
        self._faces[person] = was & ~bits
        if was and not self._faces[person]:
            self.stored -= 1
