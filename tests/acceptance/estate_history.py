"""A history of an estate: 280,000 events and more, on their crooked way, with the truth beside it.

Three processors store faces; ``acme`` reaches 100,000 individuals, falls below and rises again.
Records come twice, late and in another order than things happened, over five topics, on whatever
partition. Two things are kept, so that what is known at each moment is never a matter of luck:

- Up to its reach, what can lower the number of acme comes on time from the moment at which its
  number could be near, and what can raise it comes before anything later. So a reach that all
  partitions have passed is the true one (DESIGN section 3, confirmed reach).
- From the day before the reach until that morning, acme stores exactly one individual too few.
  The *corrections* hold one enrolment of that day, told late: it makes that day the trigger day.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from typing import Any

from streams.publish import Outgoing
from tests.acceptance.estate_truth import LEGAL, Told, Truth, beijing

RESEARCH = frozenset({("acme", "lab")})
ACME, BOREALIS, CYGNUS = "acme", "borealis", "cygnus"

BASE_EVENTS = 280_000
DUPLICATES = 0.12
LATE, REORDERED = 0.06, 0.30
CORRECTIONS = 3_000

_ALL = slice(None)
_START = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
_SECOND = 1_000_000
_DAY = 24 * 3600 * _SECOND

# Codec of each topic, whether records have keys, and whether they are in binary mode.
TOPICS: Mapping[str, tuple[bool, bool]] = {
    "none": (True, False),
    "gzip": (False, True),
    "snappy": (True, False),
    "lz4": (False, False),
    "zstd": (True, True),
}


@dataclass(frozen=True, slots=True)
class History:
    """The events with the truth: before the corrections (*then*) and with them (*finally_*)."""

    events: Sequence[Told]
    corrections: Sequence[Told]
    ways: Sequence[tuple[int, str, int]]  # when, in the topic of which codec, which event is told
    then: Truth
    finally_: Truth

    def records(self, codec: str, piece: slice = _ALL) -> Iterator[Outgoing]:
        """Yield what is told in the topic of *codec*, in order; of a *piece* of the ways only."""
        keyed, binary = TOPICS[codec]
        for _, way, number in self.ways[piece]:
            if way == codec:
                yield self.events[number].record(binary=binary, keyed=keyed)

    def beginning(self) -> slice:
        """Return the ways up to the reach of acme: what is true of it never waits for the rest."""
        reach = self.then.reached_at[ACME]
        return slice(bisect_right(self.ways, reach, key=itemgetter(0)))

    def pieces(self, count: int) -> list[slice]:
        """Return *count* slices of equal length that hold the ways after the beginning."""
        first, last = self.beginning().stop, self.published
        cuts = [first + (last - first) * number // count for number in range(count + 1)]
        return [slice(*two) for two in pairwise(cuts)]

    def corrected(self) -> Iterator[Outgoing]:
        for event in self.corrections:
            yield event.record(binary=False, keyed=True)

    @property
    def published(self) -> int:
        return len(self.ways)

    @property
    def people(self) -> int:
        told = (*self.events, *self.corrections)
        return len({(e.processor, e.subject) for e in told if e.kind == "face.enrolled"})


@dataclass
class Estate:
    """Makes things happen, one after the other."""

    rng: random.Random
    truth: Truth
    purges: frozenset[int]
    events: list[Told] = field(default_factory=list)
    gap: tuple[int, int] | None = None  # when acme was one short of the number
    _at: int = _START
    _sequence: int = 0
    _people: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_HABITS, 0))

    def live(self, events: int) -> None:
        """Let *events* happen."""
        for _ in range(events):
            self._wait()
            if len(self.events) in self.purges:
                self._tell("gallery.purged", ACME, "gates", "visitors")
            elif self.gap is None and self.truth.individuals(ACME) == self.truth.legal - 1:
                self.gap = (self._at, _next_morning(self._at))
            elif self.gap is not None and self._at < self.gap[1]:
                self._happen(self.rng.choice((BOREALIS, CYGNUS)))
            else:
                self._happen(self.rng.choices((ACME, BOREALIS, CYGNUS), (80, 13, 7))[0])

    def _wait(self) -> None:
        """Some events share an instant, and only their sequence orders them."""
        if self.events and self.rng.random() < 0.03:
            self._sequence += 1
        else:
            self._at += self.rng.randrange(1, 37 * _SECOND)
            self._sequence = 0

    def _happen(self, processor: str) -> None:
        deeds, weights = _HABITS[processor]
        self.rng.choices(deeds, weights)[0](self, processor)

    def _tell(
        self, kind: str, processor: str, system: str | None, gallery: str | None = None, **of: Any
    ) -> None:
        event = Told(self._at, self._sequence, kind, processor, system, gallery, **of)
        self.events.append(event)
        self.truth.tell(event)

    def _newcomer(self, processor: str) -> str:
        self._people[processor] += 1
        return f"{processor}-{self._people[processor]:06d}"

    def _somebody(self, processor: str) -> str:
        return f"{processor}-{self.rng.randint(1, max(1, self._people[processor])):06d}"

    # What happens, named after what is done.

    def arrive(self, processor: str) -> None:
        self._enrol(processor, self._newcomer(processor))

    def come_again(self, processor: str) -> None:
        self._enrol(processor, self._somebody(processor))

    def _enrol(self, processor: str, subject: str) -> None:
        system, gallery, named = self.rng.choice(_SYSTEMS[processor])
        face = f"{subject}/{self.rng.randrange(2)}" if named else None
        self._tell("face.enrolled", processor, system, gallery, subject=subject, face=face)

    def leave(self, processor: str) -> None:
        subject = self._somebody(processor)
        system = self.rng.choice([*(s for s, _, _ in _SYSTEMS[processor]), None, None])
        self._tell("subject.removed", processor, system, subject=subject)

    def delete_a_face(self, processor: str) -> None:
        subject = self._somebody(processor)
        system, gallery, named = self.rng.choice(_SYSTEMS[processor])
        if named:
            face = f"{subject}/{self.rng.randrange(2)}"
            self._tell("face.removed", processor, system, gallery, face=face)
        else:
            self._tell("face.removed", processor, system, gallery, subject=subject)

    def give_a_face_away(self, processor: str) -> None:
        """Enrol a named face for somebody else: it moves."""
        system, gallery, _ = next(s for s in _SYSTEMS[processor] if s[2])
        face = f"{self._somebody(processor)}/0"
        other = self._somebody(processor)
        self._tell("face.enrolled", processor, system, gallery, subject=other, face=face)

    def link(self, processor: str) -> None:
        subject, other = self._somebody(processor), self._somebody(processor)
        self._tell("subject.linked", processor, None, subject=subject, individual=other)

    def unlink(self, processor: str) -> None:
        self._tell("subject.unlinked", processor, None, subject=self._somebody(processor))

    def close_a_system(self, processor: str) -> None:
        system = self.rng.choice(_SYSTEMS[processor])[0]
        self._tell("system.purged", processor, system)


_SYSTEMS: Mapping[str, Sequence[tuple[str, str | None, bool]]] = {
    ACME: (
        ("gates", "main", True),
        ("gates", "visitors", True),
        ("gates", "main", True),
        ("canteen", None, False),
        ("payment", "wallets", False),
        ("payment", "wallets", False),
        ("lab", "trials", True),
    ),
    BOREALIS: (("shops", "north", True), ("shops", "south", False), ("tills", None, False)),
    CYGNUS: (("lobby", None, True), ("lifts", None, False)),
}

_Deed = Callable[[Estate, str], None]
_FEW: tuple[tuple[_Deed, ...], tuple[int, ...]] = (
    (
        Estate.arrive,
        Estate.come_again,
        Estate.leave,
        Estate.delete_a_face,
        Estate.give_a_face_away,
        Estate.link,
        Estate.unlink,
    ),
    (6600, 2500, 90, 600, 50, 30, 10),
)
_HABITS: Mapping[str, tuple[tuple[_Deed, ...], tuple[int, ...]]] = {
    ACME: _FEW,
    BOREALIS: _FEW,
    CYGNUS: ((Estate.arrive, Estate.come_again, Estate.close_a_system), (500, 500, 1)),
}
_PURGES = (40_000, 120_000, 245_000)  # of BASE_EVENTS


def history(seed: int, base_events: int = BASE_EVENTS, legal: int = LEGAL) -> History:
    """Return the history that belongs to *seed*, in which acme reaches *legal* individuals."""
    rng = random.Random(seed)
    purges = frozenset(at * base_events // BASE_EVENTS for at in _PURGES)
    estate = Estate(rng, Truth(RESEARCH, legal), purges)
    estate.live(base_events)
    events = list(estate.events)
    then = Truth(RESEARCH, legal).tell_all(events)
    estate.live(CORRECTIONS)
    corrections = estate.events[base_events:]
    corrections.insert(rng.randrange(CORRECTIONS), _late(estate))
    finally_ = Truth(RESEARCH, legal).tell_all([*events, *corrections])
    return History(events, corrections, _ways(rng, events, then), then, finally_)


def _late(estate: Estate) -> Told:
    """Return the enrolment of the day before the reach that nobody had told."""
    assert estate.gap is not None
    return Told(
        estate.gap[0] + 1, 1_000, "face.enrolled", ACME, "gates", "main", "acme-late", "acme-late/0"
    )


def _next_morning(at: int) -> int:
    """Return 06:00 in Beijing on the day after that of *at*."""
    day = beijing(at).replace(hour=6, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return int(day.timestamp()) * _SECOND


def _ways(rng: random.Random, events: Sequence[Told], truth: Truth) -> list[tuple[int, str, int]]:
    """Return which event is told when, and on which topic."""
    near, reach = _near(events, truth.legal), truth.reached_at[ACME]
    told: list[tuple[int, str, int]] = []
    codecs = list(TOPICS)
    for number, event in enumerate(events):
        when = event.at + _delay(rng)
        if event.processor == ACME and event.at <= reach and when > near:
            when = event.at
        told.append((when, rng.choice(codecs), number))
        if rng.random() < DUPLICATES:
            told.append((event.at + rng.randrange(5 * _DAY), rng.choice(codecs), number))
    return sorted(told, key=itemgetter(0, 2))


def _delay(rng: random.Random) -> int:
    luck = rng.random()
    if luck < LATE:
        return rng.randrange(3 * _DAY)
    return rng.randrange(600 * _SECOND) if luck < LATE + REORDERED else 0


def _near(events: Sequence[Told], legal: int) -> int:
    """Return when acme had seen as many subjects as could make up the number, if none had left."""
    seen: set[str | None] = set()
    for event in events:
        if event.processor == ACME and event.kind == "face.enrolled":
            seen.add(event.subject)
            if len(seen) >= legal:
                return event.at
    raise AssertionError("acme never gets near")


def trigger_days(found: History) -> tuple[str, str]:
    """Return the trigger days of acme, before and with the corrections."""
    days = [beijing(truth.reached_at[ACME]) for truth in (found.then, found.finally_)]
    return days[0].date().isoformat(), days[1].date().isoformat()
