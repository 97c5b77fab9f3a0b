"""Three brokers, PostgreSQL and several workers: whoever dies, stalls or comes back, exactly once.

The history goes on while things happen: a share of what is left is published before each of them.
``FACETALLY_CLUSTER_SEED`` sets when and whom they hit; it is printed and reported.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.acceptance import estate_history
from tests.acceptance.command import Forker
from tests.acceptance.estate_run import (
    Estate,
    Feeder,
    Run,
    assert_corrected,
    assert_kept_exactly,
    fed,
)
from tests.acceptance.running import Process, until
from tests.figures import report, sized
from tests.services import kafka as kafkas
from tests.services.kafka import Cluster
from tests.services.presence import require

SEED: Final = int(
    os.environ.get("FACETALLY_CLUSTER_SEED") or random.SystemRandom().randrange(10**6)
)
EVENTS: Final = sized(60_000, 280_000)
PIECES: Final = 120  # of what comes after the beginning
KILLS, ZOMBIE_ROUNDS = sized(5, 60), sized(1, 10)
BROKER_KILLS, LEADER_MOVES, STALLS = sized(3, 20), sized(1, 8), sized(1, 3)
LONGER_THAN_SESSION: Final = 8.0  # seconds; a session lasts 6


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    require(kafkas.available())
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.close()


class Scene(NamedTuple):
    """A run with its feeder and its processes."""

    run: Run
    feeder: Feeder
    share: int  # pieces of the history that come before each fault
    workers: list[Process]
    alerts: Process

    def start(self, number: int) -> None:
        """Start workers until there are *number*, and wait until all have joined the group."""
        for _ in range(number - len(self.workers)):
            self.workers.append(Process(self.run.facetally, "worker"))
            self.workers[-1].start()
        until(lambda: self.run.group.members() == number, f"{number} workers in the group")

    def more(self) -> None:
        """Let another share of the history come, and wait until some of it is kept."""
        self.feeder.allow(self.share)
        self.run.until_more()
        time.sleep(self.run.rng.uniform(0, 0.3))


@contextmanager
def scene(
    cluster: Cluster, forker: Forker, home: Path, database_url: str, *, salt: int, shares: int
) -> Iterator[Scene]:
    print(f"FACETALLY_CLUSTER_SEED={SEED}")
    estate = Estate.made(cluster, estate_history.history(7 + salt, EVENTS, EVENTS // 6))
    estate.publish(cluster, estate.history.beginning())
    with (
        fed(cluster, estate, forker, home, database_url, seed=SEED + salt) as run,
        Feeder(cluster, estate, PIECES) as feeder,
    ):
        alerts = Process(run.facetally, "alerts")
        made = Scene(run, feeder, PIECES // (shares + 1), [], alerts)
        try:
            alerts.start()
            yield made
        finally:
            for process in (*made.workers, alerts):
                process.stop()


def finished(found: Scene) -> None:
    """All of the history has come, and everything is as in the truth."""
    assert all(worker.alive() for worker in found.workers), found.workers[0].tail()
    found.feeder.finish()
    assert_kept_exactly(found.run)


def test_workers_that_come_go_die_and_rise_from_the_dead_count_right(
    cluster: Cluster, postgres_url: str, forker: Forker, tmp_path: Path
) -> None:
    started = time.monotonic()
    shares = KILLS + 2 * ZOMBIE_ROUNDS + 2
    with scene(cluster, forker, tmp_path, postgres_url, salt=0, shares=shares) as found:
        run = found.run
        found.start(1)
        found.more()
        found.start(3)

        for _ in range(KILLS):
            found.more()
            victim = run.rng.choice(found.workers)
            run.kill(victim)
            victim.start()
        zombies = 0
        for _ in range(ZOMBIE_ROUNDS):
            zombies += len(_two_become_zombies(found))

        found.more()
        leaver = found.workers.pop(run.rng.randrange(3))
        leaver.stop()
        until(lambda: run.group.members() == 2, "two workers left")
        finished(found)
        assert_corrected(run, found.workers, found.alerts)

    report(
        "cluster.workers",
        seed=SEED,
        records=run.total(),
        worker_kills=KILLS + 2,
        zombies=zombies,
        rebalances="1->3->2",
        seconds=round(time.monotonic() - started),
    )


def _two_become_zombies(found: Scene) -> list[Process]:
    """Stop two of three in their work until the third has all; then all go on at once."""
    run = found.run
    until(lambda: run.group.members() == 3, "three workers in the group")
    found.more()
    victims = run.rng.sample(found.workers, 2)
    for victim in victims:
        victim.pause()
    time.sleep(LONGER_THAN_SESSION)
    until(lambda: run.group.members() == 1, "the partitions of both given away")
    found.more()
    for victim in victims:
        victim.resume()
    until(lambda: run.group.members() == 3, "the risen back in the group")
    return victims


def test_brokers_that_are_killed_stalled_or_no_longer_lead_change_no_number(
    cluster: Cluster, postgres_url: str, forker: Forker, tmp_path: Path
) -> None:
    started = time.monotonic()
    shares = 2 * (BROKER_KILLS + LEADER_MOVES + STALLS)
    with scene(cluster, forker, tmp_path, postgres_url, salt=1, shares=shares) as found:
        run, topics = found.run, found.run.estate.topics.values()
        found.start(2)
        moved = 0
        for number in range(BROKER_KILLS):
            found.more()
            _kill_and_bring_back(found, cluster, number)
        for _ in range(LEADER_MOVES):
            found.more()
            moved += cluster.move_leaders(topics)
            found.more()
        for _ in range(STALLS):
            found.more()
            with cluster.paused():
                time.sleep(LONGER_THAN_SESSION)
            cluster.until_up()
            found.more()
        finished(found)

    report(
        "cluster.brokers",
        seed=SEED,
        records=run.total(),
        broker_kills=BROKER_KILLS,
        leaders_moved=moved,
        stalls_of_all=STALLS,
        published_again=found.feeder.again,
        seconds=round(time.monotonic() - started),
    )


def _kill_and_bring_back(found: Scene, cluster: Cluster, number: int) -> None:
    """Kill the group's coordinator, a leader, or any broker, in turn; work goes on without it."""
    run = found.run
    leaders = cluster.leaders(run.estate.topics.values())
    chosen = (
        cluster.coordinator(run.group.name),
        run.rng.choice(sorted(leaders.values())),
        run.rng.choice(sorted(cluster.brokers)),
    )[number % 3]
    victim = cluster.brokers[chosen]
    victim.kill()
    found.more()
    victim.launch()
    cluster.until_up()
    until(lambda: run.group.members() == len(found.workers), "all workers in the group")
