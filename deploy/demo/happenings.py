"""What happens in the simulated estate, and what is then truly stored: no facetally code in it.

``Truth`` plays happenings in the order in which they happened, on plain sets and dicts. It knows
nothing of versions, registers or hashes, so that agreeing with it means something.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, TypeAlias

Micros: TypeAlias = int
"""Microseconds since 1970-01-01T00:00:00Z."""


class Kind(StrEnum):
    """The types of the wire contract (DESIGN section 7) that the estate sends."""

    ENROLLED = "facetally.face.enrolled"
    REMOVED = "facetally.face.removed"
    SUBJECT_REMOVED = "facetally.subject.removed"
    GALLERY_PURGED = "facetally.gallery.purged"
    SYSTEM_PURGED = "facetally.system.purged"
    LINKED = "facetally.subject.linked"
    TERMINATED = "facetally.processor.terminated"


class Slot(NamedTuple):
    """A place for one face. Without a face id it is the subject's one in that gallery."""

    system: str
    gallery: str
    face: str
    subject: str


def slot_of(system: str, gallery: str, face: str, subject: str) -> Slot:
    """Return the slot: a named face is the slot whoever it shows."""
    return Slot(system, gallery, face, "" if face else subject)


class Happening(NamedTuple):
    """Something that happened at one site, at an instant that nothing else there has."""

    at: Micros
    kind: Kind
    system: str = ""
    gallery: str = ""
    face: str = ""
    subject: str = ""
    individual: str = ""


@dataclass(slots=True)
class Truth:
    """Who is stored at one site; *research* names the systems that are counted apart."""

    research: frozenset[str]
    at_least: int
    reached_at: Micros | None = None
    peak: int = 0
    _stored: dict[Slot, str] = field(default_factory=dict)
    _of_subject: defaultdict[str, set[Slot]] = field(default_factory=lambda: defaultdict(set))
    _links: dict[str, str] = field(default_factory=dict)
    _operation: Counter[str] = field(default_factory=Counter)
    _research: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, happenings: Iterable[Happening], research: frozenset[str], at_least: int) -> Truth:
        """Return what is so after *happenings*, given in any order, repeats and all."""
        truth = cls(research, at_least)
        for happening in sorted(set(happenings)):
            truth.play(happening)
        return truth

    @property
    def individuals(self) -> int:
        """How many are stored in operation."""
        return len(self._operation)

    @property
    def research_individuals(self) -> int:
        """How many are stored for research."""
        return len(self._research)

    def systems(self) -> Mapping[str, int]:
        """Return how many are stored in each system that stores anybody."""
        people = defaultdict(set)
        for slot, subject in self._stored.items():
            people[slot.system].add(self._individual(subject))
        return {system: len(individuals) for system, individuals in people.items()}

    def play(self, it: Happening) -> None:
        """Let *it* happen; call in the order of ``at``."""
        match it.kind:
            case Kind.ENROLLED:
                self._empty(slot_of(it.system, it.gallery, it.face, it.subject))
                self._fill(slot_of(it.system, it.gallery, it.face, it.subject), it.subject)
            case Kind.REMOVED:
                self._empty(slot_of(it.system, it.gallery, it.face, it.subject))
            case Kind.SUBJECT_REMOVED:
                for slot in list(self._of_subject[it.subject]):
                    self._empty(slot)
            case Kind.GALLERY_PURGED | Kind.SYSTEM_PURGED:
                self._purge(it)
            case Kind.LINKED:
                self._link(it.subject, it.individual)
            case Kind.TERMINATED:
                pass  # says nothing about storage
        self.peak = max(self.peak, self.individuals)
        if self.reached_at is None and self.individuals >= self.at_least:
            self.reached_at = it.at

    def _purge(self, it: Happening) -> None:
        whole = it.kind is Kind.SYSTEM_PURGED
        for slot in list(self._stored):
            if slot.system == it.system and (whole or slot.gallery == it.gallery):
                self._empty(slot)

    def _link(self, subject: str, individual: str) -> None:
        slots = list(self._of_subject[subject])
        for slot in slots:
            self._empty(slot)
        self._links[subject] = individual
        for slot in slots:
            self._fill(slot, subject)

    def _fill(self, slot: Slot, subject: str) -> None:
        self._stored[slot] = subject
        self._of_subject[subject].add(slot)
        self._counter(slot)[self._individual(subject)] += 1

    def _empty(self, slot: Slot) -> None:
        subject = self._stored.pop(slot, None)
        if subject is None:
            return
        self._of_subject[subject].discard(slot)
        counter, individual = self._counter(slot), self._individual(subject)
        counter[individual] -= 1
        if not counter[individual]:
            del counter[individual]

    def _counter(self, slot: Slot) -> Counter[str]:
        return self._research if slot.system in self.research else self._operation

    def _individual(self, subject: str) -> str:
        return self._links.get(subject, subject)
