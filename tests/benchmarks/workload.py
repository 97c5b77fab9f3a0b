"""What is measured with: enrolments and removals of some subjects, as JSON CloudEvents.

Three processors of one size, so that with 200,000 subjects none of them is near 100,000: what a
worker does nearly all of its life. Four partitions, keyed by subject; times in order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from streams.publish import Outgoing

PARTITIONS = 4
PROCESSORS = ("alpha", "beta", "gamma")
SYSTEMS = ("gates", "canteen", "payment")
REMOVED = 0.15

_START = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Workload:
    """So many events over so many subjects."""

    events: int
    subjects: int
    seed: int = 1

    def records(self) -> Iterator[Outgoing]:
        rng = random.Random(self.seed)
        at = _START
        for number in range(self.events):
            at += timedelta(microseconds=rng.randrange(1, 5_000_000))
            # Everybody comes once, in some order; then anybody comes again.
            person = number * 7 % self.subjects if number < self.subjects else None
            if person is None:
                person = rng.randrange(self.subjects)
            yield _record(rng, number, person, at)


def _record(rng: random.Random, number: int, person: int, at: datetime) -> Outgoing:
    subject = f"person-{person:07d}"
    kind = "removed" if rng.random() < REMOVED else "enrolled"
    value = (
        f'{{"specversion":"1.0","id":"{number}","source":"/estate","type":"facetally.face.{kind}",'
        f'"time":"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}Z","subject":"{subject}",'
        f'"datacontenttype":"application/json","data":{{"processor":"{PROCESSORS[person % 3]}",'
        f'"system":"{rng.choice(SYSTEMS)}"}}}}'
    )
    return Outgoing(value.encode(), subject.encode())
