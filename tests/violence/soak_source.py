"""Endless events for the soak, with the truth beside them: the people are few, the events are not.

Until acme's reach everything comes in order. After it records come late, twice and in another
order than things happened, and now and then borealis changes what it has filed, which opens a
duty each time.
"""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from streams.publish import Outgoing
from tests.acceptance.estate_history import (
    ACME,
    BOREALIS,
    CYGNUS,
    DUPLICATES,
    RESEARCH,
    TOPICS,
    Estate,
)
from tests.acceptance.estate_truth import Told, Truth, rfc3339

LEGAL = 20_000
PEOPLE = {ACME: 60_000, BOREALIS: 15_000, CYGNUS: 5_000}  # only acme can reach the number
LATE = 0.06
CHANGES = 0.2  # of the pieces hold a change of filed facts

_SECOND = 1_000_000
_REMEMBERED = 50_000
_KEPT_BACK = 20_000


class Endless(Estate):
    """An estate in which nobody new comes after a while, and much happens in a second."""

    def live(self, events: int) -> None:
        for _ in range(events):
            self._at += self.rng.randrange(1, _SECOND)
            self._happen(self.rng.choices((ACME, BOREALIS, CYGNUS), (80, 13, 7))[0])

    def _newcomer(self, processor: str) -> str:
        if self._people[processor] >= PEOPLE[processor]:
            return self._somebody(processor)
        return super()._newcomer(processor)

    def take(self) -> list[Told]:
        """Return what has happened since the last time."""
        taken, self.events = self.events, []
        return taken

    def tick(self) -> int:
        """Let some time pass in which nothing happens; return the instant after it."""
        self._at += _SECOND
        return self._at


@dataclass
class Source:
    """Makes pieces of records, by codec of the topic that they are for."""

    seed: int
    events: int = 0
    records: int = 0
    changed_at: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.truth = Truth(RESEARCH, LEGAL)
        self._estate = Endless(self.rng, self.truth, frozenset())
        self._recent: deque[Told] = deque(maxlen=_REMEMBERED)
        self._late: list[Told] = []

    def beginning(self) -> dict[str, list[Outgoing]]:
        """Return everything up to the reach of acme."""
        told: list[Told] = []
        while ACME not in self.truth.reached_at:
            self._estate.live(1_000)
            told += self._estate.take()
        return self._outgoing(told, len(told))

    def piece(self, events: int) -> dict[str, list[Outgoing]]:
        """Let *events* happen and return what is told meanwhile."""
        self._estate.live(events)
        happened = self._estate.take()
        told: list[Told] = []
        for event in happened:
            (self._late if self.rng.random() < LATE else told).append(event)
        while len(self._late) > _KEPT_BACK:
            told.append(self._late.pop(self.rng.randrange(len(self._late))))
        if self._recent:
            told += self.rng.choices(self._recent, k=int(events * DUPLICATES))
        self._recent.extend(happened)
        self.rng.shuffle(told)
        pieces = self._outgoing(told, len(happened))
        if self.rng.random() < CHANGES:
            self._change(pieces)
        return pieces

    def rest(self) -> dict[str, list[Outgoing]]:
        """Return what was kept back, so that everything has been told."""
        told, self._late = self._late, []
        return self._outgoing(told, 0)

    def _change(self, pieces: dict[str, list[Outgoing]]) -> None:
        """Change what borealis has filed, and tell it twice."""
        at = self._estate.tick()
        self.changed_at.append(at)
        self.events += 1
        record = _changed(at)
        for codec in self.rng.sample(sorted(TOPICS), 2):
            pieces[codec].append(record)
            self.records += 1

    def _outgoing(self, told: Iterable[Told], events: int) -> dict[str, list[Outgoing]]:
        pieces: dict[str, list[Outgoing]] = {codec: [] for codec in TOPICS}
        codecs = list(TOPICS)
        for event in told:
            codec = self.rng.choice(codecs)
            keyed, binary = TOPICS[codec]
            pieces[codec].append(event.record(binary=binary, keyed=keyed))
            self.records += 1
        self.events += events
        return pieces


def _changed(at: int) -> Outgoing:
    attributes = {
        "specversion": "1.0",
        "id": f"change-{at}",
        "source": "/estate",
        "type": "facetally.registration.changed",
        "time": rfc3339(at),
    }
    data = {"processor": BOREALIS, "changed": ["storage"]}
    return Outgoing(json.dumps({**attributes, "data": data}).encode())
