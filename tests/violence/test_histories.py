"""Ten thousand random histories in every check, a million by ``make violence``.

Each is delivered in any order, twice, in other batches, by several partitions, with restarts, and
from zero on top of itself; what comes out is the truth of ``histories_truth``, at every instant,
and one digest. A share goes through the real keeper on SQLite. ``FACETALLY_SEED`` runs what failed
again; a single history: ``python -m tests.violence.histories --seed SEED --number N``.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

import monitor.facts
from monitor.facts import StorageFact
from tests import oracle
from tests.figures import FULL, sized
from tests.integration.store_kit import sqlite_engine
from tests.violence import histories_folding as folding
from tests.violence import histories_keeping as keeping
from tests.violence.histories import progress, tell
from tests.violence.histories_making import LARGEST, history, research
from tests.violence.histories_running import Outcome, Shares, fast_directory, run
from tests.violence.histories_shares import LEAST
from tests.violence.histories_shrinking import reproduction, smallest, source
from tests.violence.histories_truth import truth

HISTORIES = sized(10_000, 1_000_000)
SHARES = Shares(kept_every=sized(10, 100), brute_every=sized(5, 20))


def base_seed() -> int:
    """Return the seed that was asked for, or a new one."""
    asked = os.environ.get("FACETALLY_SEED")
    return int(asked) if asked else secrets.randbelow(2**32)


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """Everything that this module asks about, run once."""
    seed, started = base_seed(), time.monotonic()
    print(f"FACETALLY_SEED={seed}")
    done = run(seed, HISTORIES, SHARES, nice=10 if FULL else 0, told=progress(started))
    tell(done, seed, time.monotonic() - started, "histories, in process")
    return done


@pytest.mark.timeout(sized(1800, 8 * 3600))
def test_any_delivery_of_any_history_comes_to_the_truth(outcome: Outcome) -> None:
    for failure in outcome.failures:
        print(f"history {failure.number}, {failure.way}:\n{failure.test}")

    assert [(one.number, one.way, one.found) for one in outcome.failures] == []
    assert outcome.histories == HISTORIES
    assert outcome.kept == HISTORIES // SHARES.kept_every
    assert outcome.by_brute_force == HISTORIES // SHARES.brute_every


def test_histories_are_full_of_what_the_merge_rule_is_about(outcome: Outcome) -> None:
    too_few = {
        trait: outcome.share(trait)
        for trait, least in LEAST.items()
        if outcome.share(trait) < least
    }

    assert outcome.looked_into == HISTORIES // SHARES.looked_every
    assert too_few == {}


# -- the tests' own tools --------------------------------------------------------------------


def test_a_seed_makes_one_history_of_up_to_forty_facts() -> None:
    sizes = {len(history(seed)) for seed in range(1_000)}

    assert history(7) == history(7) != history(8)
    assert (min(sizes), max(sizes)) == (1, LARGEST)


def without_one(seed: int) -> tuple[list[StorageFact], list[StorageFact]]:
    """Return a history, and it without one fact."""
    facts = history(seed)
    lost = seed % len(facts)
    return facts, facts[:lost] + facts[lost + 1 :]


def matter(facts: list[StorageFact], fewer: list[StorageFact]) -> bool:
    """Tell, by brute force, whether *fewer* facts come to other numbers at some instant."""
    instants = {fact.at for fact in facts}
    return any(
        oracle.stock(facts, research, t) != oracle.stock(fewer, research, t) for t in instants
    )


def test_a_fact_that_got_lost_is_noticed_wherever_it_matters() -> None:
    noticed = matters = 0
    for seed in range(300):
        facts, fewer = without_one(seed)
        if fewer and matter(facts, fewer):
            matters += 1
            noticed += folding.wrong(fewer, Random(seed), truth(facts)) != []

    assert matters > 50
    assert noticed == matters


def test_a_fact_that_the_database_lost_is_noticed_wherever_it_matters() -> None:
    noticed = matters = 0
    with fast_directory() as directory, sqlite_engine(directory) as engine:
        for seed in range(80):
            facts, fewer = without_one(seed)
            if not fewer or not matter(facts, fewer):
                continue
            matters += 1
            keeping.fill(engine, Random(seed), planned := keeping.plan(Random(seed), fewer))
            found = keeping.differences(engine, planned.manner, facts, truth(facts))
            noticed += found != []

    assert matters > 10
    assert noticed == matters


def test_a_failure_is_shrunk_to_the_facts_that_matter() -> None:
    facts = history(3)
    needed = {id(facts[1]), id(facts[-1])}

    least = smallest(facts, lambda some: needed <= {id(fact) for fact in some})

    assert {id(fact) for fact in least} == needed


def test_facts_are_told_as_the_source_that_makes_them() -> None:
    facts = [fact for seed in range(100) for fact in history(seed)]
    made = [eval(source(fact), vars(monitor.facts)) for fact in facts]  # noqa: S307 - our own text

    assert [type(fact) for fact in made] == [type(fact) for fact in facts]
    assert made == facts


@pytest.mark.parametrize("way", ["folded", "kept"])
def test_a_reproduction_can_be_pasted_and_run(way: str, tmp_path: Path) -> None:
    facts, module = history(3), ModuleType("pasted")
    test = reproduction(facts, way, 3, ["stock: the ledger says 1, the truth is 2"])
    exec(test, vars(module))  # noqa: S102 - our own text

    module.test_a_history_that_failed(*([tmp_path] if way == "kept" else []))
