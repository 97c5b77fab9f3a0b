"""A command is killed at each of its steps and run again, as its page says: it ends as it must.

``apply``, ``accept``, ``abandon``, the replay of rejects and the making of a database, from the
parsing of their words on; and the look back in a process of its own, of which that process or its
worker is killed. In ``make check`` after each commit and at some of the steps between (on
PostgreSQL at a few of them), in full size at every step on both. What is checked in the end is in
``crash_commands.py``, ``crash_upgrade.py`` and ``crash_apart.py``.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from tests.figures import report, sized
from tests.services.postgres import Postgres
from tests.violence.crash_apart import LookBack, look_back
from tests.violence.crash_commands import Scene, bench
from tests.violence.crash_driver import Tally
from tests.violence.crash_scenes import abandoned, accepted, applied, replayed
from tests.violence.crash_upgrade import Upgrade

SHOWN = 5
SEED = int(os.environ.get("FACETALLY_CRASH_SEED") or random.SystemRandom().randrange(2**32))
SCENES: dict[str, Callable[[], Scene]] = {
    "apply": applied,
    "accept": accepted,
    "abandon": abandoned,
    "rejects_replay": replayed,
}
# On each database: every so many steps, commits; and every so many kills a run to the end anyway.
EACH = {"sqlite": sized(60, 1), "postgresql": sized(200, 1)}
COMMITS = {"sqlite": 1, "postgresql": sized(20, 1)}
AGAIN = sized(50, 1)
PAIRS = {"sqlite": sized(3, 300), "postgresql": sized(1, 100)}
APART = {"sqlite": sized(13, 1), "postgresql": sized(17, 1)}
UPGRADES, LATER = sized(40, 1), {"sqlite": sized(3, 1), "postgresql": sized(8, 1)}
OWN = sized(70, 1)
MOMENTS = {"sqlite": sized(1, 60), "postgresql": sized(0, 20)}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest) -> str | None:
    return _empty(database, request)


@pytest.fixture(scope="module")
def looking(database: str, request: pytest.FixtureRequest) -> Iterator[LookBack]:
    with look_back(_empty(database, request)) as one:
        yield one


def _empty(database: str, request: pytest.FixtureRequest) -> str | None:
    """Return the address of an empty PostgreSQL database; None for a SQLite file."""
    if database == "sqlite":
        return None
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.database()


def _told(name: str, began: float, tally: Tally, **more: int) -> None:
    figures = {"points": tally.points, "kills": tally.kills, "restarts": tally.restarts}
    report(name, **figures, seconds=round(time.monotonic() - began, 1), **more)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", SCENES)
def test_a_command_killed_at_any_step_and_run_again_comes_to_the_same(
    command: str, database: str, url: str | None
) -> None:
    began, tally = time.monotonic(), Tally()
    with bench(SCENES[command](), url) as one:
        one.every(EACH[database], COMMITS[database], AGAIN, tally)
    _told(f"crash_points_{command}_{database}", began, tally)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills > len(one.labels)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", ["apply"])
def test_a_command_killed_and_killed_again_comes_to_the_same(
    command: str, database: str, url: str | None
) -> None:
    began, tally, pairs = time.monotonic(), Tally(), PAIRS[database]
    print(f"FACETALLY_CRASH_SEED={SEED}")
    with bench(SCENES[command](), url) as one:
        one.twice(pairs, SEED, tally)
    twice = tally.second_kills
    _told(f"crash_points_{command}_twice_{database}", began, tally, seed=SEED, second_kills=twice)

    assert tally.wrong[:SHOWN] == []
    assert (tally.kills, twice) == (pairs, pairs)


@pytest.mark.timeout(3600)
def test_a_new_database_whose_upgrade_is_killed_is_made_by_the_next_with_one_secret(
    database: str, url: str | None, tmp_path: Path
) -> None:
    began, tally = time.monotonic(), Tally()
    one = Upgrade(tmp_path, url)
    tally.points = len(one.labels)
    made = one.labels.index("before COMMIT")  # before that there is nothing
    for at in (*_some(made, UPGRADES), *range(tally.points, made, -LATER[database])):
        _note(tally, f"killed at {at}, {one.labels[at - 1]!r}", one.killed_at(at))
    _told(f"crash_points_upgrade_{database}", began, tally)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills > 0


@pytest.mark.timeout(3600)
def test_a_look_back_whose_process_is_killed_is_done_again_and_once(
    database: str, looking: LookBack
) -> None:
    began, tally = time.monotonic(), Tally(len(looking.labels_apart))
    for at in _some(tally.points, APART[database]):
        _note(tally, f"killed at {at}", looking.apart_killed(at=at))
    for after in _moments(looking, MOMENTS[database]):
        _note(tally, f"killed after {after} s", looking.apart_killed(after=after))
    _told(f"crash_points_look_back_{database}", began, tally, seed=SEED)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills > 0


@pytest.mark.timeout(3600)
def test_a_worker_killed_while_it_looks_back_leaves_no_process_and_the_next_does_it_once(
    database: str, looking: LookBack
) -> None:
    began, apart = time.monotonic(), len(looking.labels_apart)
    tally = Tally(apart + len(looking.labels))
    for at in _some(apart, APART[database]):
        _note(tally, f"killed at {at} of its look back", looking.worker_killed(at=at))
    for at in _some(len(looking.labels), OWN):
        _note(tally, f"killed at {at}", looking.worker_killed_at(at))
    for after in _moments(looking, MOMENTS[database]):
        _note(tally, f"killed after {after} s", looking.worker_killed(after=after))
    _told(f"crash_points_looking_worker_{database}", began, tally, seed=SEED)

    assert tally.wrong[:SHOWN] == []
    assert tally.kills > 0


def _some(steps: int, each: int) -> list[int]:
    """Return every *each*-th step, counted from the last, which is always one of them."""
    return list(range(steps, 0, -each))


def _moments(one: LookBack, wanted: int) -> list[float]:
    print(f"FACETALLY_CRASH_SEED={SEED}")
    rnd = Random(SEED)
    return [round(rnd.uniform(0, one.seconds), 3) for _ in range(wanted)]


def _note(tally: Tally, where: str, found: list[str]) -> None:
    tally.kills += 1
    tally.restarts += 1
    tally.wrong += [f"{where}: {one}" for one in found]
