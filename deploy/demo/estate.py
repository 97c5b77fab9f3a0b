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
_OVERTAKEN_BY = 200  # how many records may overtake one that is out of order


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
        partitions=3,
        systems=tuple(f"gate-{number:02}" for number in range(1, 25)),
        individuals=individuals,
        a_second=160.0,
        late=60,
    )
    payment = Site(
        processor="swift-pay",
        topic="payment-events",
        partitions=2,
        systems=tuple(f"store-{number:02}" for number in range(1, 13)),
        individuals=12_000,
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
        individuals=4_000,
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

    def backlog(self, now: Micros) -> Iterator[Delivery]:
        """Yield what brings the site to its number of individuals, dated before *now*."""
        end = now - _BACKLOG_ENDS_BEFORE
        step = _BACKLOG_SPAN // (2 * self.site.individuals + 1)
        at = end - _BACKLOG_SPAN
        while len(self._people) < self.site.individuals:
            at += self._rng.randint(1, step)
            for happening in self._next(at):
                yield from self._deliver(happening, 0)
            yield from self._now_and_then(at, 0, 0.0002)
        for happening in self._came_late(end):
            self._late.append(happening)
        self._rng.shuffle(self._late)
        yield from self._flush()

    def live(self, began: Micros) -> Iterator[Delivery]:
        """Yield what happens from *began* on, each due when it happens; endless if the site is."""
        site, at = self.site, began
        purge_at = began + site.purges_gallery_after if site.purges_gallery_after else None
        while site.ends_after is None or at < began + site.ends_after:
            at += 1 + int(self._rng.expovariate(site.a_second) * SECOND)
            if purge_at is not None and at >= purge_at:
                purge_at = None
                yield from self._deliver(self._purged_gallery(at), at)
                continue
            for happening in self._next(at):
                yield from self._deliver(happening, at)
            if self._late and self._rng.random() < 0.02:  # noqa: PLR2004 - about three a second
                yield from self._deliver(self._late.popleft(), at)
            yield from self._now_and_then(at, at, 1.0 / site.a_second)
        yield from self._ended(at)

    # What happens.

    def _next(self, at: Micros) -> list[Happening]:
        draw = self._rng.random()
        if draw < 0.80 or not self._people:  # noqa: PLR2004 - the habits of people, in shares
            return [self._arrives(at)]
        person = self._rng.randrange(len(self._people))
        if draw < 0.90:  # noqa: PLR2004
            return [self._enrolled(at, self._people[person], self._place())]
        if draw < 0.94:  # noqa: PLR2004
            return [self._again(at, self._people[person])]
        if draw < 0.96:  # noqa: PLR2004
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
        """A second id of a person who is then never removed: the two are one individual."""
        person = self._forget(number)
        self._people.append(f"{person}-card")
        card = self._people[-1]
        self._faces[card] = []
        return [
            self._enrolled(at, card, self._place()),
            Happening(at + 1, Kind.LINKED, subject=card, individual=person),
        ]

    def _forget(self, number: int) -> str:
        """Take a person out of those to whom something may still happen."""
        person = self._people[number]
        self._people[number] = self._people[-1]
        self._people.pop()
        self._faces.pop(person)
        return person
