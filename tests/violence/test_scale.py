"""Millions in one processor: exact at every milestone, in memory that does not grow.

What an event costs and how soon a worker is back is measured by ``python -m
tests.benchmarks.scale``, not here: times depend on what else the machine does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from monitor.store.engine import open_engine
from tests.benchmarks.scale.climbing import Climb, WrongNumber, climb
from tests.benchmarks.scale.commands import Home
from tests.figures import report, sized

LEGAL: Final = 100_000
MOST: Final = sized(LEGAL + 5_000, 2_000_000)
MOST_RESIDENT: Final = 450_000_000  # bytes: 128 MiB of them are SQLite's page cache
EVENTS: Final = ("--events", "20000", "--warm-up", "0")


@pytest.fixture(scope="module")
def risen(tmp_path_factory: pytest.TempPathFactory) -> Climb:
    """A processor on SQLite that has passed the legal threshold, and lost a system since."""
    folder = tmp_path_factory.mktemp("scale")
    home = Home(folder, f"sqlite:///{folder / 'facetally.db'}")
    return climb(home, [30_000, MOST], *EVENTS, purge=True)


def test_the_number_and_the_day_are_exact_while_a_processor_grows(risen: Climb) -> None:
    last = risen.milestones[-1]
    report("scale", individuals=last.individuals, facts=last.facts, left=risen.left)

    assert last.individuals == MOST
    assert 0 < risen.left < last.individuals
    assert risen.verified.code == 0


def test_neither_keeping_nor_verify_needs_more_memory_for_more_people(risen: Climb) -> None:
    most = max(one.resident for one in risen.milestones)
    report(
        "scale memory", keeping_mb=most // 10**6, verify_mb=risen.verified.most_resident // 10**6
    )

    assert most < MOST_RESIDENT
    assert risen.verified.most_resident < MOST_RESIDENT


def test_the_number_is_exact_on_postgresql_too(postgres_url: str, tmp_path: Path) -> None:
    milestones = [5_000, sized(20_000, 500_000)]

    found = climb(Home(tmp_path, postgres_url), milestones, *EVENTS, purge=True)

    assert found.milestones[-1].individuals == milestones[-1]


def test_a_number_that_is_one_off_is_noticed(tmp_path: Path) -> None:
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'facetally.db'}")

    def lose_somebody(_individuals: int) -> None:
        engine = open_engine(home.database_url)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE stock SET individuals = individuals - 1")
        engine.dispose()

    with pytest.raises(WrongNumber, match="status says"):
        climb(home, [1_000], "--events", "100", "--warm-up", "0", pausing=lose_somebody)
