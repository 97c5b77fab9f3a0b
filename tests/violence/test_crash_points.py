"""A process is killed at each step that touches the outside; the story still ends as it must.

In ``make check`` every step on SQLite and every fifth on PostgreSQL, from one of the first five on
that the seed chooses, so that each is met in time; a process is started again where a kill left
what none had left before, and after every tenth. In full size every step on both,
and a start after each. And processes are killed again while they recover. What is checked in the
end is in ``crash_check.py``, why this proves what it claims in ``docs/decisions/0007``.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.figures import report, sized
from tests.services.postgres import Postgres
from tests.violence.crash_driver import (
    LANES,
    Tally,
    chosen_steps,
    every_step,
    in_lanes,
    killed_twice,
)

SHOWN = 5
AGAIN = sized(10, 1)
SEED = int(os.environ.get("FACETALLY_CRASH_SEED") or random.SystemRandom().randrange(2**32))


def _told(name: str, began: float, tally: Tally, **more: int) -> None:
    seconds = round(time.monotonic() - began, 1)
    figures = {"points": tally.points, "kills": tally.kills, "restarts": tally.restarts}
    report(name, **figures, seconds=seconds, **more)


@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_changes_nothing_on_sqlite() -> None:
    began = time.monotonic()

    tally = in_lanes(every_step, [None] * LANES, 1, 1, AGAIN)
    _told("crash_points_sqlite", began, tally)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills == tally.points


@pytest.mark.timeout(3600)
def test_a_kill_at_any_step_changes_nothing_on_postgresql(postgres: Postgres) -> None:
    began, each = time.monotonic(), sized(5, 1)
    first = 1 + SEED % each
    print(f"FACETALLY_CRASH_SEED={SEED}")

    urls = [postgres.database() for _ in range(LANES)]
    tally = in_lanes(every_step, urls, first, each, AGAIN)
    _told("crash_points_postgresql", began, tally, seed=SEED, first=first)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills == len(chosen_steps(tally.points, first, each))


@pytest.mark.timeout(3600)
def test_a_second_kill_while_recovering_changes_nothing_on_sqlite() -> None:
    began, pairs = time.monotonic(), sized(10, 300)
    print(f"FACETALLY_CRASH_SEED={SEED}")

    tally = in_lanes(killed_twice, [None] * LANES, pairs, SEED)
    _told("crash_points_twice_sqlite", began, tally, seed=SEED, second_kills=tally.second_kills)

    assert tally.wrong[:SHOWN] == []
    assert (tally.kills, tally.second_kills) == (pairs, pairs)


@pytest.mark.timeout(3600)
def test_a_second_kill_while_recovering_changes_nothing_on_postgresql(postgres: Postgres) -> None:
    began, pairs = time.monotonic(), sized(4, 100)
    print(f"FACETALLY_CRASH_SEED={SEED}")

    urls = [postgres.database() for _ in range(LANES)]
    tally = in_lanes(killed_twice, urls, pairs, SEED)
    _told("crash_points_twice_postgresql", began, tally, seed=SEED, second_kills=tally.second_kills)

    assert tally.wrong[:SHOWN] == []
    assert (tally.kills, tally.second_kills) == (pairs, pairs)
