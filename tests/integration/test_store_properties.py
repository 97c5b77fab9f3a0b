"""The store is the ledger: the same histories, in any order and batches, on both databases.

Every history goes through ``SqlKeeper`` in another order than it was made in, with repeats, cut
into batches, several to a transaction, by keepers that are made anew on the way as after a
restart. Then stock, as-of numbers, trigger instants, faces and digest are the oracle's, and
``verify`` holds. A failure is told with its seed and the smallest history that still fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import Engine

from monitor.facts import StorageFact
from tests.histories import PROFILES, history, instant, rebatched, smallest
from tests.integration.store_kit import (
    NOW,
    batch,
    differences,
    empty,
    keeper,
    policy,
    postgres_engine,
    sqlite_engine,
)

ON_SQLITE = range(70)
ON_POSTGRES = range(16)
POLICY = policy(2, 1, 3, 4)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as engine:
        yield engine


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as engine:
        yield engine


def keep_all(engine: Engine, rnd: Random, facts: Sequence[StorageFact]) -> None:
    keeping = keeper(engine, POLICY)
    waiting = [batch(part) for part in rebatched(rnd, facts)]
    while waiting:
        together = rnd.randint(1, 4)
        keeping.keep(waiting[:together])
        del waiting[:together]
        if rnd.random() < 0.2:
            keeping.tick(NOW)
        if rnd.random() < 0.2:
            keeping = keeper(engine, POLICY)
    keeping.finish(NOW)


def wrong(engine: Engine, seed: int, facts: Sequence[StorageFact]) -> list[str]:
    rnd = Random(seed)
    empty(engine)
    keep_all(engine, rnd, facts)
    instants = [rnd.choice(facts).at, instant(rnd, PROFILES["mixed"]) - 1]
    return differences(engine, facts, POLICY, instants)


def check(engine: Engine, profile: str, seeds: range) -> None:
    for seed in seeds:
        facts = history(Random(seed), PROFILES[profile])
        if not wrong(engine, seed, facts):
            continue
        least = smallest(facts, partial(_fails, engine, seed))
        told = "\n".join([*_found(engine, seed, least), "of which", *map(repr, least)])
        pytest.fail(f"profile {profile}, seed {seed}:\n{told}")


def _fails(engine: Engine, seed: int, facts: Sequence[StorageFact]) -> bool:
    return bool(_found(engine, seed, facts))


def _found(engine: Engine, seed: int, facts: Sequence[StorageFact]) -> list[str]:
    """Fewer facts are shuffled otherwise: look for a shuffling that fails, too."""
    return next((w for s in range(seed, seed + 8) if (w := wrong(engine, s, facts))), [])


@pytest.mark.parametrize("profile", PROFILES)
def test_sqlite_keeps_what_the_oracle_says(sqlite: Engine, profile: str) -> None:
    check(sqlite, profile, ON_SQLITE)


@pytest.mark.parametrize("profile", PROFILES)
def test_postgresql_keeps_what_the_oracle_says(postgresql: Engine, profile: str) -> None:
    check(postgresql, profile, ON_POSTGRES)
