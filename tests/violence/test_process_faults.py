"""One broker, and processes that die without their children, stall, or are there twice.

``FACETALLY_PROCESS_SEED`` sets when; it is printed and reported.
"""

from __future__ import annotations

import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from kafka import KafkaConsumer
from kafka.coordinator.assignors.range import RangePartitionAssignor
from sqlalchemy import create_engine, text

from tests.acceptance import estate_history
from tests.acceptance.command import Forker
from tests.acceptance.estate_run import Estate, Feeder, Run, assert_kept_exactly, fed
from tests.acceptance.running import Process, processes, until
from tests.conftest import REPOSITORY
from tests.figures import report, sized
from tests.services.kafka import Kafka
from tests.services.process import Owned

SEED: Final = int(
    os.environ.get("FACETALLY_PROCESS_SEED") or random.SystemRandom().randrange(10**6)
)
EVENTS: Final = sized(20_000, 60_000)
ROUNDS: Final = sized(1, 3)
LONGER_THAN_SESSION: Final = 8.0  # seconds; a session lasts 6
HELD_UP: Final = 60.0  # seconds at most: the server ends an idle transaction after 30
SMALL: Final = 100  # records of a transaction, so that there is time for something to happen


@pytest.fixture(autouse=True)
def _broker_for_the_next(kafka: Kafka) -> Iterator[None]:
    yield
    kafka.revive()


@pytest.fixture(scope="module")
def estate(kafka: Kafka) -> Estate:
    print(f"FACETALLY_PROCESS_SEED={SEED}")
    published = Estate.made(kafka, estate_history.history(11, EVENTS, EVENTS // 6))
    published.publish(kafka, slice(None))
    return published


def test_a_worker_on_sqlite_that_was_stopped_for_long_still_has_its_database_alone(
    kafka: Kafka, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with (
        fed(kafka, estate, forker, tmp_path, None, seed=SEED, max_batch_records=SMALL) as run,
        processes(run.facetally, "worker", "alerts") as (zombie, _),
    ):
        for _ in range(ROUNDS):
            _stop_in_its_work(run, zombie)
            _refused(run)
            time.sleep(LONGER_THAN_SESSION)
            zombie.resume()
            run.until_more()
        _stop_in_its_work(run, zombie)
        zombie.kill()
        zombie.start()

        assert_kept_exactly(run)
    report("process.zombie.sqlite", seed=SEED, zombies=ROUNDS, records=run.total())


def _stop_in_its_work(run: Run, worker: Process) -> None:
    run.until_more()
    time.sleep(run.rng.uniform(0, 0.1))
    worker.pause()
    assert run.stored.records() < run.total()


def _refused(run: Run) -> None:
    """A second worker ends at once and says why; it has kept nothing."""
    before = run.stored.records()
    second = Process(run.facetally, "worker")
    second.start()
    until(lambda: not second.alive(), "the second worker to end")

    assert second.code() == 2
    assert "another facetally worker or apply is using" in second.tail()
    assert run.stored.records() == before


def test_up_that_is_killed_takes_its_children_with_it_and_starts_again(
    kafka: Kafka, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    rounds = 2 * ROUNDS
    with (
        fed(kafka, estate, forker, tmp_path, None, seed=SEED, max_batch_records=SMALL) as run,
        processes(run.facetally, "up") as (up,),
    ):
        for _ in range(rounds):
            run.until_more()
            assert run.stored.records() < run.total()
            children = _children(up.pid)
            up.kill_alone()

            assert len(children) == 2
            _until_gone(children)
            up.start()

        assert_kept_exactly(run)
    report("process.up", seed=SEED, kills_of_up=rounds, records=run.total())


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def _until_gone(pids: list[int]) -> None:
    until(lambda: not any(map(_runs, pids)), "the children to be gone", 5)


def _runs(pid: int) -> bool:
    try:
        state = _state(pid)
    except FileNotFoundError:
        return False
    return state != "Z"  # an orphan that init has not collected yet has ended, too


def test_a_worker_that_starts_without_a_broker_waits_for_it_and_reads_all(
    kafka: Kafka, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with fed(kafka, estate, forker, tmp_path, None, seed=SEED) as run:
        kafka.kill()
        run.facetally.environ["FACETALLY_START_PATIENCE_SECONDS"] = "1"
        with processes(run.facetally, "worker") as (impatient,):
            until(lambda: not impatient.alive(), "the impatient worker to end")
        run.facetally.environ["FACETALLY_START_PATIENCE_SECONDS"] = "60"
        with processes(run.facetally, "worker", "alerts"):
            time.sleep(3)
            kafka.start()
            assert_kept_exactly(run)

    assert impatient.code() == 2
    assert "did not answer within 1 s" in impatient.tail()


def test_a_broker_that_hangs_for_longer_than_a_session_delays_and_changes_nothing(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    """What comes after the hang is published only then: nobody can have read it before."""
    estate = Estate.made(kafka, estate_history.history(12, EVENTS, EVENTS // 6))
    estate.publish(kafka, estate.history.beginning())
    with (
        fed(kafka, estate, forker, tmp_path, None, seed=SEED, max_batch_records=SMALL) as run,
        Feeder(kafka, estate, pieces=ROUNDS + 1) as feeder,
        processes(run.facetally, "worker", "alerts"),
    ):
        for _ in range(ROUNDS):
            run.until_more()
            with kafka.paused():
                feeder.allow()
                time.sleep(LONGER_THAN_SESSION)
            run.until_more()
        feeder.finish()

        assert_kept_exactly(run)
    report("process.broker.hangs", seed=SEED, stalls=ROUNDS, records=run.total())


def test_two_workers_under_one_name_keep_everything_once(
    kafka: Kafka, postgres_url: str, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    how = 'instance_id = "the-one"\n'
    with (
        fed(
            kafka,
            estate,
            forker,
            tmp_path,
            postgres_url,
            seed=SEED,
            max_batch_records=SMALL,
            head=how,
        ) as run,
        processes(run.facetally, "worker", "alerts") as (zombie, _),
    ):
        _stop_in_its_work(run, zombie)
        with processes(run.facetally, "worker") as (successor,):
            run.until_more()
            zombie.resume()
            run.until_more()

            assert_kept_exactly(run)
            assert successor.alive()


def test_a_zombie_that_still_holds_a_batch_is_refused_and_keeps_nothing(
    kafka: Kafka, postgres_url: str, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    """Facts that come twice count once anyway: only that it was refused shows the guard."""
    with fed(kafka, estate, forker, tmp_path, postgres_url, seed=SEED) as run:
        zombie = _frozen_with_a_batch(run)
        try:
            with processes(run.facetally, "worker", "alerts") as (successor, _):
                until(run.read_to_the_end, "the successor to have read all")
                frozen, log = _state(zombie.pid), zombie.tail(500)
                os.killpg(zombie.pid, signal.SIGCONT)
                until(lambda: "another worker has moved on" in zombie.tail(500), "the refusal", 60)
                refused = _counted(zombie, "facetally_positions_moved_total")

                assert_kept_exactly(run)
                assert zombie.alive()
                assert successor.alive()
        finally:
            os.killpg(zombie.pid, signal.SIGCONT)
            zombie.stop()
    report("process.zombie.refused", seed=SEED, refused=int(refused), records=run.total())
    assert frozen == "T"
    assert "another worker has moved on" not in log
    assert refused >= 1


def _frozen_with_a_batch(run: Run) -> Owned:
    """Return a worker that has frozen itself with a batch decoded and about to be kept."""
    made = run.facetally
    transaction = run.rng.randint(2, 4)
    command = [sys.executable, "-m", "tests.violence.stopping", str(transaction)]
    zombie = Owned(
        [*command, "--config", str(made.settings), "worker"],
        log=made.home / "zombie.log",
        env=made.environ,
        cwd=REPOSITORY,
    )
    until(lambda: _state(zombie.pid) == "T", f"it to freeze{zombie.tail()}")
    return zombie


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _counted(worker: Owned, name: str) -> float:
    """Return a counter of a worker, from the address that its log names."""
    (address,) = set(re.findall(r"metrics on (http://\S+)", worker.tail(500)))
    found = httpx.get(address, trust_env=False).text
    return float(next(line.split()[1] for line in found.splitlines() if line.startswith(name)))


def test_a_worker_that_is_frozen_in_a_transaction_holds_up_the_others_for_seconds_only(
    kafka: Kafka, postgres_url: str, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with (
        fed(
            kafka, estate, forker, tmp_path, postgres_url, seed=SEED, max_batch_records=SMALL
        ) as run,
        processes(run.facetally, "worker", "alerts") as (zombie, _),
    ):
        _freeze_in_a_transaction(run, zombie)
        with processes(run.facetally, "worker") as (successor,):
            frozen_at = time.monotonic()
            run.until_more(SMALL)
            held_up = time.monotonic() - frozen_at
            zombie.resume()

            assert_kept_exactly(run)
            assert zombie.alive()
            assert successor.alive()
    report("process.zombie.postgresql", seed=SEED, held_up_seconds=round(held_up, 1))
    assert held_up < HELD_UP


_HOLDING = text(
    "SELECT count(*) FROM pg_stat_activity AS a JOIN pg_locks AS l USING (pid) "
    "WHERE a.state = 'idle in transaction' AND a.datname = current_database() "
    "AND l.locktype = 'advisory' AND l.granted AND l.classid = :processors"
)


def _freeze_in_a_transaction(run: Run, worker: Process) -> None:
    """Stop it while it holds a lock that the others need."""
    engine = create_engine(run.facetally.database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for _ in range(1000):
            worker.pause()
            time.sleep(0.05)  # for what the server is just doing
            if connection.execute(_HOLDING, {"processors": 0x66740002}).scalar_one():
                break
            worker.resume()
            time.sleep(run.rng.uniform(0, 0.02))
        else:
            pytest.fail("the worker was never stopped within a transaction")
    engine.dispose()


def test_a_stranger_in_the_group_holds_a_worker_up_only_as_long_as_it_is_there(
    kafka: Kafka, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with fed(kafka, estate, forker, tmp_path, None, seed=SEED) as run:
        stranger = KafkaConsumer(
            *estate.topics.values(),
            bootstrap_servers=kafka.bootstrap,
            group_id=run.group.name,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        try:
            until(lambda: bool(stranger.poll(timeout_ms=500)), "the stranger to read")
            with processes(run.facetally, "worker", "alerts") as (worker, _):
                until(lambda: "InconsistentGroupProtocol" in worker.tail(), "the worker to say why")
                stranger.close()
                assert_kept_exactly(run)
        finally:
            stranger.close()
