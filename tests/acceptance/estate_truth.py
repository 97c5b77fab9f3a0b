"""What an estate of face-recognition systems says, and the plain truth about it.

The truth is told one event after the other in the order in which things happened, with sets and
counters: no versions, no registers, nothing of the product. It only knows time, and so it only
holds for events that no two have the same ``(at, sequence)``.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from streams.publish import Outgoing

BEIJING = timezone(timedelta(hours=8))
LEGAL = 100_000

Person: TypeAlias = tuple[str, str]  # processor and subject
Gallery: TypeAlias = tuple[str, str, str]
Slot: TypeAlias = tuple[str, str, str, str, str]  # gallery, face, and the subject if it has none

OPERATION, RESEARCH = "", "research"


class Told(NamedTuple):
    """One event, before anything happens to it on its way. *at* is microseconds UTC."""

    at: int
    sequence: int
    kind: str
    processor: str
    system: str | None = None
    gallery: str | None = None
    subject: str | None = None
    face: str | None = None
    individual: str | None = None

    @property
    def slot(self) -> Slot:
        where = (self.processor, self.system or "", self.gallery or "")
        return (*where, self.face or "", "" if self.face else self.subject or "")

    def record(self, *, binary: bool, keyed: bool) -> Outgoing:
        """Return it as a CloudEvent, structured or binary."""
        attributes = {
            "specversion": "1.0",
            "id": f"{self.at}-{self.sequence}",
            "source": "/estate",
            "type": f"facetally.{self.kind}",
            "time": rfc3339(self.at),
        }
        if self.subject is not None:
            attributes["subject"] = self.subject
        if self.sequence:
            attributes["sequence"] = str(self.sequence)
        names = ("processor", "system", "gallery", "face", "individual")
        data = {name: value for name in names if (value := getattr(self, name))}
        key = (self.face or self.subject or self.processor).encode() if keyed else None
        if not binary:
            return Outgoing(json.dumps({**attributes, "data": data}).encode(), key)
        headers = tuple((f"ce_{name}", value.encode()) for name, value in attributes.items())
        kind = ("content-type", b"application/json")
        return Outgoing(json.dumps(data).encode(), key, (*headers, kind))


def rfc3339(at: int) -> str:
    moment = datetime.fromtimestamp(at // 1_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1_000_000:06d}Z"


def beijing(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1_000_000, BEIJING)


@dataclass
class Truth:
    """Who is stored where, after the events that were told so far.

    *reached_at* is the first instant at which a processor had *legal* individuals.
    """

    research: frozenset[tuple[str, str]]  # processor, system
    legal: int = LEGAL
    reached_at: dict[str, int] = field(default_factory=dict)
    owner: dict[Slot, str] = field(default_factory=dict)
    _slots: dict[Person, set[Slot]] = field(default_factory=lambda: defaultdict(set))
    _within: dict[Gallery, set[Slot]] = field(default_factory=lambda: defaultdict(set))
    _galleries: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    _who: dict[Person, str] = field(default_factory=dict)  # links in force
    _faces: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _people: Counter[tuple[str, str]] = field(default_factory=Counter)
    _below: set[str] = field(default_factory=set)
    _at: int = 0

    def tell_all(self, events: Iterable[Told]) -> Truth:
        """Tell *events* in the order in which they happened."""
        for event in sorted(events, key=attrgetter("at", "sequence")):
            self.tell(event)
        self._look(self._at + 1)
        return self

    def tell(self, event: Told) -> None:
        self._look(event.at)
        if event.processor not in self.reached_at:
            self._below.add(event.processor)
        _TELLING[event.kind](self, event)

    def individuals(self, processor: str, bucket: str = OPERATION) -> int:
        """Return how many are stored: in operation, in research, or in the system *bucket*."""
        return self._people[processor, bucket]

    def systems(self, processor: str) -> dict[str, int]:
        return {
            name.removeprefix("system "): number
            for (whose, name), number in self._people.items()
            if whose == processor and name.startswith("system ")
        }

    def stored(self, processor: str, subject: str) -> bool:
        """Tell whether *subject* has any face anywhere."""
        return bool(self._slots[processor, subject])

    def _enrolled(self, event: Told) -> None:
        self._drop(event.slot)
        self._put(event.slot, event.subject or "")

    def _removed(self, event: Told) -> None:
        self._drop(event.slot)

    def _subject_removed(self, event: Told) -> None:
        for slot in [*self._slots[event.processor, event.subject or ""]]:
            if event.system in {None, slot[1]} and event.gallery in {None, slot[2]}:
                self._drop(slot)

    def _gallery_purged(self, event: Told) -> None:
        self._empty((event.processor, event.system or "", event.gallery or ""))

    def _system_purged(self, event: Told) -> None:
        for gallery in self._galleries[event.processor, event.system or ""]:
            self._empty((event.processor, event.system or "", gallery))

    def _linked(self, event: Told) -> None:
        self._link((event.processor, event.subject or ""), event.individual)

    def _look(self, now: int) -> None:
        """What was so at the end of an instant counts, not what was so in its middle."""
        if now == self._at:
            return
        for processor in [p for p in self._below if self.individuals(p) >= self.legal]:
            self.reached_at[processor] = self._at
            self._below.discard(processor)
        self._at = now

    def _put(self, slot: Slot, subject: str) -> None:
        self.owner[slot] = subject
        self._slots[slot[0], subject].add(slot)
        self._within[slot[:3]].add(slot)
        self._galleries[slot[:2]].add(slot[2])
        self._count((slot[0], subject), slot, 1)

    def _drop(self, slot: Slot) -> None:
        subject = self.owner.pop(slot, None)
        if subject is None:
            return
        self._slots[slot[0], subject].discard(slot)
        self._within[slot[:3]].discard(slot)
        self._count((slot[0], subject), slot, -1)

    def _empty(self, gallery: Gallery) -> None:
        for slot in [*self._within[gallery]]:
            self._drop(slot)

    def _link(self, person: Person, individual: str | None) -> None:
        slots = [*self._slots[person]]
        for slot in slots:
            self._count(person, slot, -1)
        if individual is None:
            self._who.pop(person, None)
        else:
            self._who[person] = individual
        for slot in slots:
            self._count(person, slot, 1)

    def _count(self, person: Person, slot: Slot, change: int) -> None:
        processor, system = slot[:2]
        individual = self._who.get(person, person[1])
        kind = RESEARCH if (processor, system) in self.research else OPERATION
        for bucket in (kind, f"system {system}"):
            key = (processor, bucket, individual)
            before = self._faces[key]
            self._faces[key] = after = before + change
            if not after:
                del self._faces[key]
            self._people[processor, bucket] += (after > 0) - (before > 0)


_TELLING: Mapping[str, Callable[[Truth, Told], None]] = {
    "face.enrolled": Truth._enrolled,  # noqa: SLF001 - the table of its own methods
    "face.removed": Truth._removed,  # noqa: SLF001 - as above
    "subject.removed": Truth._subject_removed,  # noqa: SLF001 - as above
    "gallery.purged": Truth._gallery_purged,  # noqa: SLF001 - as above
    "system.purged": Truth._system_purged,  # noqa: SLF001 - as above
    "subject.linked": Truth._linked,  # noqa: SLF001 - as above
    "subject.unlinked": Truth._linked,  # noqa: SLF001 - as above
}
