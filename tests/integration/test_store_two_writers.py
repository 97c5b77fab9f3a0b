"""Two workers on one PostgreSQL keep parts of the same history at once, and lose nothing.

Two threads with a keeper and connections of their own take the batches of two partitions: the
same individuals, faces that move between processors in a store that both share, purges and links
meeting enrolments, names and positions that both want to insert first. What comes out is what the
oracle says. A deadlock, a lost update or an error of any other kind fails the test.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import Engine

from monitor.facts import (
    UNNAMED,
    Enrolled,
    Fact,
    Linked,
    Order,
    Place,
    Purged,
    Removed,
    StorageFact,
    Store,
    Truncated,
    Version,
)
from monitor.intake import Batch, PositionMoved
from monitor.marks import Marks, SystemMark
from monitor.store import schema
from monitor.store.agreement import SettingsReplaced
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import MarksChanged, Policy
from tests.builders import hashed
from tests.histories import PROFILES, START, history, rebatched
from tests.integration.store_kit import (
    NOW,
    batch,
    differences,
    differences_from_ledger,
    empty,
    keeper,
    policy,
    postgres_engine,
)

log = logging.getLogger(__name__)

POLICY = policy(2, 1, 3)
SHARED = Store("terminals", Order.TIME)


@pytest.fixture
def engines(postgres_url: str) -> Iterator[list[Engine]]:
    """Two workers' engines over one database."""
    with ExitStack() as stack:
        yield [stack.enter_context(postgres_engine(postgres_url)) for _ in range(2)]


def in_partition(partition: int, parts: Sequence[Sequence[Fact]]) -> list[Batch]:
    """Return the batches of one partition, each with the move that it makes."""
    batches: list[Batch] = []
    offset: int | None = None
    for part in parts:
        following = (offset or 0) + len(part)
        batches.append(batch(part, move=(partition, offset, following)))
        offset = following
    return batches


def together(engines: Sequence[Engine], work: Sequence[Sequence[Batch]], chosen: Policy) -> None:
    """Have one keeper for each list of batches keep it, all at once."""
    keepers = [keeper(engine, chosen) for engine in engines]
    start = Barrier(len(work))

    def keep(keeping: SqlKeeper, batches: Sequence[Batch]) -> None:
        start.wait()
        for number, one in enumerate(batches):
            keeping.keep([one])
            if number % 3 == 2:
                keeping.tick(NOW)

    with ThreadPoolExecutor(len(work)) as pool:
        for done in [pool.submit(keep, *pair) for pair in zip(keepers, work, strict=True)]:
            done.result()


@pytest.mark.parametrize("profile", PROFILES)
def test_two_writers_keep_what_the_oracle_says(engines: list[Engine], profile: str) -> None:
    for seed in range(2000, 2010):
        facts = history(Random(seed), PROFILES[profile])
        parts = rebatched(Random(seed), facts)
        empty(engines[0])
        together(engines, [in_partition(n, parts[n::2]) for n in range(2)], POLICY)
        keeper(engines[0], POLICY).finish(NOW)
        found = differences(engines[1], facts, POLICY)

        assert (profile, seed, found) == (profile, seed, [])


def test_one_batch_read_by_two_workers_is_kept_once(engines: list[Engine]) -> None:
    facts = history(Random(1), PROFILES["galleries"])
    work = in_partition(0, [facts])
    kept = []

    def keep(engine: Engine) -> str:
        try:
            keeper(engine, POLICY).keep(work)
        except PositionMoved:
            return "refused"
        return "kept"

    with ThreadPoolExecutor(2) as pool:
        kept = sorted(pool.map(keep, engines))

    assert kept == ["kept", "refused"]


# -- more of the same, at length ---------------------------------------------------------------


def busy_history(rnd: Random, size: int) -> list[StorageFact]:
    """Two processors, 3,000 people, faces that move between them, links and a few purges."""
    people = [hashed(f"person {n}") for n in range(3_000)]
    faces = [hashed(f"face {n}") for n in range(1_500)]
    places = [Place(p, s, "") for p in ("acme", "beta") for s in ("gate", "pay")]
    return [_busy(rnd, START + n * 1_000_000, people, faces, places) for n in range(size)]


def _busy(
    rnd: Random, at: int, people: list[bytes], faces: list[bytes], places: list[Place]
) -> StorageFact:
    place, person, version = rnd.choice(places), rnd.choice(people), Version(at, 0, 0)
    own = Store("/".join(place))
    choices: tuple[tuple[float, StorageFact], ...] = (
        (450, Enrolled(own, UNNAMED, place, person, version, at, at)),
        (250, Enrolled(SHARED, rnd.choice(faces), place, person, version, at, at)),
        (100, Removed(SHARED, rnd.choice(faces), None, None, version, at, at)),
        (140, Removed(own, UNNAMED, place, person, version, at, at)),
        (59, Linked(place.processor, person, rnd.choice((None, *people)), version, at)),
        (0.5, Truncated(SHARED, version, at)),
        (0.5, Purged(place.processor, place.system, None, version, at)),
    )
    return rnd.choices([fact for _, fact in choices], [weight for weight, _ in choices])[0]


def test_twenty_thousand_facts_of_two_writers(engines: list[Engine]) -> None:
    chosen = policy(2_500, 2_700)
    rnd = Random(7)
    facts = busy_history(rnd, 20_000)
    shuffled = [*facts, *rnd.sample(facts, 1_000)]
    rnd.shuffle(shuffled)
    parts = [shuffled[i : i + 500] for i in range(0, len(shuffled), 500)]
    started = time.monotonic()
    together(engines, [in_partition(n, parts[n::2]) for n in range(2)], chosen)
    of_two = len(shuffled) / (time.monotonic() - started)
    keeper(engines[0], chosen).finish(NOW)
    found = differences_from_ledger(engines[0], facts, chosen)
    empty(engines[0])
    started = time.monotonic()
    together(engines[:1], [in_partition(0, parts)], chosen)
    of_one = len(shuffled) / (time.monotonic() - started)
    log.info("facts a second: %d with two writers, %d with one", of_two, of_one)

    assert found == []


def test_a_worker_with_older_research_marks_keeps_nothing_more(engines: list[Engine]) -> None:
    engine, *_ = engines
    gate = Place("acme", "gate", "")
    fact = Enrolled(
        Store("gate"), b"", gate, bytes(16), Version(START, 0, 0), at=START, read_at=START
    )
    older = keeper(engine, policy())
    older.keep([batch([fact])])
    mark = SystemMark(processor="acme", system="gate", research=True, reason="tests", by="us")
    keeper(engine, policy(marks=Marks([mark])))
    later = fact._replace(subject=b"x" * 16, version=Version(START + 1, 0, 0))

    with pytest.raises(SettingsReplaced):
        older.keep([batch([later])])


def test_a_worker_keeps_nothing_in_a_database_that_was_counted_with_other_marks(
    engines: list[Engine],
) -> None:
    """An older copy was put back, of before the settings were registered."""
    engine, *_ = engines
    gate = Place("acme", "gate", "")
    fact = Enrolled(
        Store("gate"), b"", gate, bytes(16), Version(START, 0, 0), at=START, read_at=START
    )
    worker = keeper(engine, policy())
    worker.keep([batch([fact])])
    with engine.begin() as connection:
        connection.execute(schema.meta.delete())
        connection.execute(schema.places.update().values(research=True))
    later = fact._replace(subject=b"x" * 16, version=Version(START + 1, 0, 0))

    with pytest.raises(MarksChanged):
        worker.keep([batch([later])])
