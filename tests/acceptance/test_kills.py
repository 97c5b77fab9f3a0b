"""Exactly once, whatever is killed: 300,000 events and more on SQLite, under SIGKILL.

``FACETALLY_KILLS`` sets how often something is killed on the way (10, and 60 in full size),
``FACETALLY_KILLS_SEED`` when and what; both are printed. What needs several brokers, workers or
PostgreSQL is in ``tests/violence``.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Final

from tests.acceptance import estate_history
from tests.acceptance.command import Forker
from tests.acceptance.estate_run import (
    Estate,
    Run,
    assert_corrected,
    assert_kept_exactly,
    assert_killed_on_the_way,
    fed,
)
from tests.acceptance.running import Process, processes
from tests.figures import report, sized
from tests.services.kafka import Kafka

AWAY_SECONDS: Final = 8
KILLS: Final = int(os.environ.get("FACETALLY_KILLS") or sized(10, 60))
SEED: Final = int(os.environ.get("FACETALLY_KILLS_SEED") or random.SystemRandom().randrange(10**6))
BROKER_KILLS: Final = sized(1, 4)


def estate(kafka: Kafka) -> Estate:
    history = estate_history.history(seed=7)
    assert history.published >= 300_000
    assert history.people >= 120_000
    published = Estate.made(kafka, history)
    published.publish(kafka, slice(None))
    return published


def kill_the_broker(run: Run) -> None:
    """SIGKILL, and nobody there for longer than a session lasts."""
    run.kafka.kill()
    time.sleep(AWAY_SECONDS)
    run.kafka.start()


def go_on(run: Run, worker: Process, alerts: Process) -> None:
    """Kill one after the other, at once started again; the broker now and then."""
    broker = {KILLS * (number + 1) // (BROKER_KILLS + 1) for number in range(BROKER_KILLS)}
    for left in range(KILLS, 0, -1):
        if left in broker:
            kill_the_broker(run)
        run.next_kill(left)
        run.kill(worker)
        worker.start()
        if run.rng.random() < 0.2:
            alerts.kill()
            alerts.start()


def test_one_worker_on_sqlite_counts_right_whenever_it_is_killed(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    started = time.monotonic()
    print(f"FACETALLY_KILLS_SEED={SEED} FACETALLY_KILLS={KILLS}")  # noqa: T201 - to be run again
    with (
        fed(kafka, estate(kafka), forker, tmp_path, None, seed=SEED) as run,
        processes(run.facetally, "worker", "alerts") as (worker, alerts),
    ):
        go_on(run, worker, alerts)
        print(f"killed at {run.killed_at} of {run.total()} records")  # noqa: T201 - as above
        assert_killed_on_the_way(run, KILLS)

        assert_kept_exactly(run)
        assert_corrected(run, [worker], alerts)

    report(
        "kills.sqlite",
        seed=SEED,
        records=run.total(),
        worker_kills=KILLS + 1,
        broker_kills=BROKER_KILLS,
        seconds=round(time.monotonic() - started),
    )
