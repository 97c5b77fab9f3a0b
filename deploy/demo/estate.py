"""The simulated estate: three processors, their systems, and what happens there.

Pure and seeded: the same seed and instants give the same events. Each site is a story of its own
that first yields its backlog, as fast as it is read, and then goes on live. Deliveries are as bad
as real ones: some come twice, some out of order, some hours late, and some are no events at all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from deploy.demo import wire
from deploy.demo.happenings import Happening, Kind, Micros
from deploy.demo.wire import Sent

SECOND: Micros = 1_000_000
_HOUR = 3600 * SECOND
_BACKLOG_SPAN = 400 * 24 * _HOUR
_BACKLOG_ENDS_BEFORE = _HOUR  # leaves room for what happened within the last hour and comes late
_SECOND_WAVE = 12 * SECOND  # by then the threshold has been reached
_OVERTAKEN_BY = 20  # so many records overtake one that is out of order, or precede a repeat


class Delivery(NamedTuple):
    """A record, when it may be sent at the earliest (0: at once), and what it tells (or None)."""

    sent: Sent
    due: Micros
    happening: Happening | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One processor. Its numbers are of the simulation; *a_second* is live happenings."""

    processor: str
    topic: str
    partitions: int
    systems: tuple[str, ...]
    research: frozenset[str] = frozenset()
    galleries: tuple[str, ...] = ("",)
    individuals: int
    a_second: float
    names_faces: bool = True
    keyed: bool = True
    binary: bool = False
    late: int = 0  # enrolments of the last months that come only live
    purges_gallery_after: Micros | None = None  # live: a gallery is emptied, and filled again
    ends_after: Micros | None = None  # live: FR use ends, and its systems are emptied but one


def estate(individuals: int) -> tuple[Site, Site, Site]:
    """Return the sites; the first has *individuals* stored when it goes live."""
    gates = Site(
        processor="harbour-metro",
        topic="gate-events",
        partitions=1,
        systems=tuple(f"gate-{number:02}" for number in range(1, 25)),
        individuals=individuals,
        a_second=250.0,
        late=60,
    )
    payment = Site(
        processor="swift-pay",
        topic="payment-events",
        partitions=2,
        systems=tuple(f"store-{number:02}" for number in range(1, 13)),
        individuals=8_000,
        a_second=30.0,
        names_faces=False,
        keyed=False,
        binary=True,
        late=20,
        ends_after=5 * SECOND,
    )
    lab = Site(
        processor="vision-lab",
        topic="lab-events",
        partitions=1,
        systems=("door", "train-a", "train-b", "eval"),
        research=frozenset({"train-a", "train-b", "eval"}),
        galleries=("", "volunteers", "archive"),
        individuals=3_000,
        a_second=15.0,
        purges_gallery_after=7 * SECOND,
    )
    return gates, payment, lab


class _Face(NamedTuple):
    system: str
    gallery: str
    name: str


class Story:
    """What happens at one site. Take the backlog to its end before going live."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self._rng = random.Random(f"{seed}/{site.processor}")  # noqa: S311 - to be repeatable
        self._people: list[str] = []
        self._faces: dict[str, list[_Face]] = {}
        self._born = 0
        self._strange = 0
        self._late: deque[Happening] = deque()
        self._waiting: deque[tuple[int, Delivery]] = deque()
        self._told = 0
        # Going over the threshold, nothing is overtaken, so that the reach is seen at once. What is
        # late comes before and after that, and makes facetally look back on all facts.
        self._orderly = False
        self._settled = 0  # people with a card: nothing happens to them any more

    def backlog(self, now: Micros) -> Iterator[Delivery]:
        """Yield what brings the site to its number of individuals, dated before *now*."""
        end = now - _BACKLOG_ENDS_BEFORE
        step = _BACKLOG_SPAN // (self.site.individuals + 16)
        at = end - _BACKLOG_SPAN
        while len(self._people) + self._settled < self.site.individuals:
            at += self._rng.randint(2, step)
            for happening in self._next(at):
                yield from self._deliver(happening, 0)
            yield from self._now_and_then(at, 0, 0.0002)
        self._late.extend(self._comes_late(end) for _ in range(self.site.late))
        yield from self._overtaken(0, everything=True)

    def live(self, began: Micros) -> Iterator[Delivery]:
        """Yield what happens from *began* on, each due when it happens; endless if the site is."""
        site, at = self.site, began
        purge_at = began + site.purges_gallery_after if site.purges_gallery_after else None
        while site.ends_after is None or at < began + site.ends_after:
            at += 2 + int(self._rng.expovariate(site.a_second) * SECOND)
            self._orderly = at < began + _SECOND_WAVE
            if purge_at is not None and at >= purge_at:
                purge_at = None
                yield from self._deliver(self._purged_gallery(at), at)
                continue
            for happening in self._next(at):
                yield from self._deliver(happening, at)
            if self._late and self._connected_again(at - began):
                yield from self._deliver(self._late.popleft(), at)
            yield from self._now_and_then(at, at, 1.0 / site.a_second)
        yield from self._ended(at)

    # What happens.

    def _next(self, at: Micros) -> list[Happening]:
        draw = self._rng.random()
        if draw < 0.86 or not self._people:  # noqa: PLR2004 - the habits of people, in shares
            return [self._arrives(at)]
        person = self._rng.randrange(len(self._people))
        if draw < 0.92:  # noqa: PLR2004
            return [self._enrolled(at, self._people[person], self._place())]
        if draw < 0.95:  # noqa: PLR2004
            return [self._again(at, self._people[person])]
        if draw < 0.965:  # noqa: PLR2004
            return [self._loses_a_face(at, person)]
        if draw < 0.99:  # noqa: PLR2004
            return [self._leaves(at, person)]
        return self._gets_a_card(at, person)

    def _arrives(self, at: Micros) -> Happening:
        person = f"E{self._born:07}"
        self._born += 1
        self._people.append(person)
        self._faces[person] = []
        return self._enrolled(at, person, self._place())

    def _place(self) -> tuple[str, str]:
        return self._rng.choice(self.site.systems), self._rng.choice(self.site.galleries)

    def _enrolled(self, at: Micros, person: str, place: tuple[str, str]) -> Happening:
        name = f"{at:x}" if self.site.names_faces else ""
        face = _Face(*place, name)
        if face not in self._faces[person]:
            self._faces[person].append(face)
        return _enrolment(at, person, face)

    def _again(self, at: Micros, person: str) -> Happening:
        return _enrolment(at, person, self._rng.choice(self._faces[person]))

    def _loses_a_face(self, at: Micros, number: int) -> Happening:
        person = self._people[number]
        faces = self._faces[person]
        face = faces.pop(self._rng.randrange(len(faces)))
        if not faces:
            self._forget(number)
        return Happening(
            at,
            Kind.REMOVED,
            system=face.system,
            gallery=face.gallery,
            face=face.name,
            subject="" if face.name else person,
        )

    def _leaves(self, at: Micros, number: int) -> Happening:
        return Happening(at, Kind.SUBJECT_REMOVED, subject=self._forget(number))

    def _gets_a_card(self, at: Micros, number: int) -> list[Happening]:
        """Enrol a second id, linked to the first: the two are one individual."""
        person = self._forget(number)
        self._settled += 1
        card = f"{person}-card"
        self._faces[card] = []
        enrolled = self._enrolled(at, card, self._place())
        return [enrolled, Happening(at + 1, Kind.LINKED, subject=card, individual=person)]

    def _forget(self, number: int) -> str:
        """Take a person out of those to whom something may still happen."""
        person = self._people[number]
        self._people[number] = self._people[-1]
        self._people.pop()
        self._faces.pop(person)
        return person

    def _comes_late(self, end: Micros) -> Happening:
        """Something of before *live* that a system which was cut off tells only then."""
        if self._people and self._rng.random() < 0.2:  # noqa: PLR2004 - one in five
            at = end + self._rng.randrange(_HOUR // 2)
            return self._leaves(at, self._rng.randrange(len(self._people)))
        at = end - self._rng.randrange(24 * _HOUR)
        self._born += 1
        return self._enrolment_of(f"L{self._born:07}", at)

    def _enrolment_of(self, stranger: str, at: Micros) -> Happening:
        name = f"{at:x}-late" if self.site.names_faces else ""
        return _enrolment(at, stranger, _Face(*self._place(), name))

    def _connected_again(self, elapsed: Micros) -> bool:
        """Tell whether something late comes now: half of it early on, the rest after a while."""
        first = len(self._late) > self.site.late // 2
        return self._rng.random() < 0.2 and (first or elapsed > _SECOND_WAVE)  # noqa: PLR2004

    def _purged_gallery(self, at: Micros) -> Happening:
        system, gallery = self.site.systems[-1], self.site.galleries[-1]
        return Happening(at, Kind.GALLERY_PURGED, system=system, gallery=gallery)

    def _ended(self, at: Micros) -> Iterator[Delivery]:
        """FR use ends, the systems are emptied one by one, and what is late still comes."""
        yield from self._deliver(Happening(at, Kind.TERMINATED), at)
        for system in self.site.systems[:-1]:
            at += SECOND // 2
            yield from self._deliver(Happening(at, Kind.SYSTEM_PURGED, system=system), at)
        while self._late:
            at += SECOND // 2
            yield from self._deliver(self._late.popleft(), at)
        yield from self._overtaken(at, everything=True)

    # How it is told.

    def _deliver(self, happening: Happening, due: Micros) -> Iterator[Delivery]:
        """Yield the record of *happening*: now, or later, or now and once more."""
        site = self.site
        write = wire.binary if site.binary else wire.structured
        sent = write(site.processor, happening, keyed=site.keyed)
        luck = self._rng.random()
        self._told += 1
        overtaken = luck < 0.01 and not self._orderly  # noqa: PLR2004 - one in a hundred
        if not overtaken:
            yield Delivery(sent, due, happening)
        if overtaken or luck > 0.99:  # noqa: PLR2004 - and one in a hundred comes twice
            self._waiting.append((self._told + _OVERTAKEN_BY, Delivery(sent, due, happening)))
        yield from self._overtaken(due)

    def _overtaken(self, due: Micros, *, everything: bool = False) -> Iterator[Delivery]:
        while self._waiting and (everything or self._waiting[0][0] <= self._told):
            yield self._waiting.popleft()[1]._replace(due=due)

    def _now_and_then(self, at: Micros, due: Micros, often: float) -> Iterator[Delivery]:
        """Yield, with the probability *often*, a record that stores nobody."""
        if self._rng.random() < often:
            yield Delivery(wire.strange(self.site.processor, at, self._strange), due, None)
            self._strange += 1


def _enrolment(at: Micros, person: str, face: _Face) -> Happening:
    return Happening(
        at,
        Kind.ENROLLED,
        system=face.system,
        gallery=face.gallery,
        face=face.name,
        subject=person,
    )


def told(deliveries: Iterable[Delivery]) -> Iterator[Happening]:
    """Yield what *deliveries* tell."""
    return (one.happening for one in deliveries if one.happening is not None)
