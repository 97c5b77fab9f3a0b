"""Random histories on PostgreSQL, by two workers at once, whose partitions overlap.

Two threads with a keeper and connections of their own read the same partitions as after a rebalance
that one of them has not heard of: both keep what comes next, one is refused and reads the position
again. The same people, faces that move between processors, purges, links, ticks and restarts meet
in any order. What comes out is the truth, by one worker or two; any deadlock or other error fails.
A history that fails is told with its seed and run again by ``FACETALLY_SEED``; threads interleave
as they like, so it may take several runs.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from threading import Barrier

import pytest
from sqlalchemy import Engine

from monitor.facts import StorageFact
from monitor.store import schema
from tests.figures import report, sized
from tests.integration.store_kit import NOW, batch, duties, keeper, one_topic, postgres_engine
from tests.violence import histories_keeping as keeping
from tests.violence.histories_arranging import batched, permuted
from tests.violence.histories_making import history
from tests.violence.histories_shrinking import source
from tests.violence.histories_truth import truth

HISTORIES = sized(300, 2_000)
REPLAYED_EVERY = 10
SECONDS = sized(900, 6 * 3600)


@pytest.fixture
def engines(postgres_url: str) -> Iterator[list[Engine]]:
    """Two workers' engines over one database."""
    with ExitStack() as stack:
        yield [stack.enter_context(postgres_engine(postgres_url)) for _ in range(2)]


def emptied(engine: Engine) -> None:
    """Leave nothing in the tables; quicker than TRUNCATE, which makes new files."""
    tables = [table.name for table in reversed(schema.metadata.sorted_tables)]
    with engine.begin() as connection:
        connection.exec_driver_sql("; ".join(f"DELETE FROM {name}" for name in tables))  # noqa: S608 - ours


def overlapping(rnd: Random, number: int) -> list[list[int]]:
    """Return the partitions of two workers: each has one, and one at least is of both."""
    of_both = int(rnd.random() * number)
    shares: list[list[int]] = [[of_both], [of_both]]
    for partition in range(number):
        if partition != of_both:
            shares[int(rnd.random() * 2)].append(partition)
    return shares


def by_two(
    pool: ThreadPoolExecutor, engines: Sequence[Engine], seed: int, plan: keeping.Plan
) -> int:
    """Have two workers keep *plan*, and say how often one of them was refused."""
    start = Barrier(2)
    shares = overlapping(Random(seed), len(plan.partitions))

    def one(worker: int) -> int:
        start.wait()
        return keeping.work(engines[worker], Random(seed + worker), plan, shares[worker])

    return sum(pool.map(one, range(2)))


def replay_by_two(
    pool: ThreadPoolExecutor, engines: Sequence[Engine], seed: int, facts: Sequence[StorageFact]
) -> None:
    """Have two workers read everything from zero, each in another order."""

    def one(worker: int) -> None:
        rnd, keeps = Random(seed + worker), keeper(engines[worker], keeping.POLICY, one_topic)
        for some in batched(rnd, permuted(rnd, facts), 0.15):
            keeps.keep([batch(some)])

    list(pool.map(one, range(2)))
    keeper(engines[0], keeping.POLICY, one_topic).finish(NOW + 4)


def wrong(
    pool: ThreadPoolExecutor, engines: Sequence[Engine], seed: int, *, replay: bool
) -> tuple[list[str], int]:
    """Return what is wrong with the history of *seed*, and how often a worker was refused."""
    facts, rnd = history(seed), Random(seed)
    said, plan = truth(facts), keeping.plan(rnd, facts)
    emptied(engines[0])
    keeping.begin(engines[0], plan)
    refused = by_two(pool, engines, seed, plan)
    keeping.finish(engines[1], plan)
    found = keeping.differences(engines[0], plan.manner, facts, said)
    if not replay:
        return found, refused
    opened = duties(engines[0])
    replay_by_two(pool, engines, seed, facts)
    found += keeping.differences(engines[1], None, facts, said)
    if duties(engines[0]) != opened:
        found.append("a replay changed duties")
    return found, refused


@pytest.mark.timeout(SECONDS)
def test_two_workers_on_the_same_partitions_come_to_the_truth(engines: list[Engine]) -> None:
    asked = os.environ.get("FACETALLY_SEED")
    base = int(asked) if asked else secrets.randbelow(2**32)
    print(f"FACETALLY_SEED={base}")
    started, refused = time.monotonic(), 0
    with ThreadPoolExecutor(2) as pool:
        for number in range(HISTORIES):
            replay = number % REPLAYED_EVERY == 0
            found, times = wrong(pool, engines, base + number, replay=replay)
            refused += times
            told = "\n".join([*found, "of which", *map(source, history(base + number))])
            assert found == [], f"history {number} of FACETALLY_SEED={base}:\n{told}"
    seconds = time.monotonic() - started
    report(
        "histories, two writers on PostgreSQL",
        seed=base,
        histories=HISTORIES,
        replayed_from_zero=-(-HISTORIES // REPLAYED_EVERY),
        refused=refused,
        seconds=round(seconds, 1),
        histories_per_second=round(HISTORIES / seconds, 1),
    )

    assert refused > HISTORIES // 10
