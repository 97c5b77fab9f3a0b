"""Exactly once, whatever is killed: a history of 300,000 events under SIGKILL and an outage.

``FACETALLY_KILLS`` sets how often a worker is killed on the way (20, and 10 under ``CI=true``),
``FACETALLY_KILLS_SEED`` when and which; both are printed.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from streams.connection import Connection
from streams.publish import publish
from tests.acceptance import estate_history
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.estate_history import ACME, CORRECTIONS, TOPICS, History, trigger_days
from tests.acceptance.estate_truth import Truth
from tests.acceptance.running import Group, Process, Stored, processes, settings, until
from tests.publishing import publish_quickly
from tests.receiver import Answer, Receiver, receiving
from tests.services.kafka import Kafka
from tests.services.presence import in_ci

PARTITIONS: Final = 4
OUTAGE_SECONDS: Final = 10
SIGNING: Final = "whsec_" + "QUJD" * 8
KILLS: Final = int(os.environ.get("FACETALLY_KILLS") or (10 if in_ci() else 20))
SEED: Final = int(os.environ.get("FACETALLY_KILLS_SEED") or random.SystemRandom().randrange(10**6))

# Small transactions, so that a history lasts for all the kills.
HEAD: Final = """max_batch_records = 2000
[[systems]]
processor = "acme"
system = "lab"
purpose = "research"
reason = "algorithm training"
by = "privacy office"
"""


@dataclass(frozen=True, slots=True)
class Estate:
    """A published history: its topics by codec."""

    history: History
    topics: Mapping[str, str]


@pytest.fixture(scope="module")
def estate(kafka: Kafka) -> Estate:
    history = estate_history.history(seed=7)
    assert history.published >= 300_000
    assert history.people >= 120_000
    topics = {codec: f"estate-{uuid.uuid4().hex[:8]}-{codec}" for codec in TOPICS}
    for codec, topic in topics.items():
        kafka.create_topic(topic, PARTITIONS)
        records = history.records(codec)
        publish_quickly(kafka.bootstrap, topic, records, partitions=PARTITIONS, codec=codec)
    return Estate(history, topics)


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as running:
        yield running


@dataclass
class Run:
    """One database that is fed from the published history."""

    kafka: Kafka
    estate: Estate
    facetally: Facetally
    stored: Stored
    group: Group
    corrections: str
    receiver: Receiver
    rng: random.Random = field(default_factory=lambda: random.Random(SEED))
    killed_at: list[int] = field(default_factory=list)

    def total(self) -> int:
        return self.estate.history.published

    def until_kept(self, records: int) -> None:
        until(lambda: self.stored.records() >= records, f"{records} records in the database")

    def next_kill(self, left: int) -> None:
        """Wait for a random part of what is to be done before the next of *left* kills."""
        done = self.stored.records()
        share = (self.total() - done) / (left + 1)
        self.until_kept(done + 1 + int(share * self.rng.uniform(0.2, 1.3)))
        time.sleep(self.rng.uniform(0, 0.1))

    def kill(self, victim: Process) -> None:
        victim.kill()
        self.killed_at.append(self.stored.records())

    def outage(self) -> None:
        """Stop the broker for some seconds."""
        self.kafka.stop()
        time.sleep(OUTAGE_SECONDS)
        self.kafka.start()

    def read_to_the_end(self) -> bool:
        positions = self.facetally.positions()
        return {name: at for name, at in positions.items() if at} == self.group.ends()

    def settled(self, day: str) -> bool:
        """Tell whether all has been read, looked back on and confirmed."""
        if not self.read_to_the_end():
            return False
        acme = next(p for p in self.facetally.status()["processors"] if p["processor"] == ACME)
        duties = self.facetally.duties()
        return not acme["recount_pending"] and [d["trigger_day"] for d in duties] == [day]

    def correct(self) -> None:
        """Publish the corrections, in a topic of this run's own."""
        connection = Connection(bootstrap_servers=self.kafka.bootstrap)
        publish(connection, self.corrections, self.estate.history.corrected())

    def delivered(self) -> set[str]:
        """Return the keys of all notices that the receiver was sent and that it took."""
        return {request.headers["webhook-id"] for request in self.receiver.requests[1:]}


@contextmanager
def fed(
    kafka: Kafka, estate: Estate, forker: Forker, home: Path, database_url: str | None
) -> Iterator[Run]:
    group = f"kills-{uuid.uuid4().hex[:8]}"
    corrections = f"{group}-corrections"
    kafka.create_topic(corrections, 2)
    topics = [*estate.topics.values(), corrections]
    with receiving(Answer(503), Answer(204)) as receiver:
        text = settings(kafka, group, topics, receiver.url, SIGNING, HEAD)
        facetally = Facetally(forker, home, text, database_url=database_url)
        stored = Stored(facetally.database_url)
        try:
            yield Run(
                kafka,
                estate,
                facetally,
                stored,
                Group(kafka, group, topics),
                corrections,
                receiver,
            )
        finally:
            stored.close()


def numbers(status: Mapping[str, Any]) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {
        one["processor"]: (
            one["individuals"],
            one["research_individuals"],
            {s["system"]: s["individuals"] for s in one["systems"] if s["individuals"]},
        )
        for one in status["processors"]
    }


def expected(truth: Truth) -> dict[str, tuple[int, int, dict[str, int]]]:
    return {
        name: (truth.individuals(name), truth.individuals(name, "research"), truth.systems(name))
        for name in (ACME, estate_history.BOREALIS, estate_history.CYGNUS)
    }


def assert_true(run: Run, truth: Truth, day: str) -> None:
    """Everything that can be asked of the database is as in *truth*."""
    status = run.facetally.status()
    assert numbers(status) == expected(truth)
    assert status["rejected"]["total"] == 0
    assert all(one["verified"] for one in status["processors"])
    reached = {
        one["processor"]: (threshold["reached"], threshold["trigger_day"])
        for one in status["processors"]
        for threshold in one["thresholds"]
        if threshold["rule"] == "frt.file"
    }
    assert reached == {ACME: ("yes", day), "borealis": ("no", None), "cygnus": ("no", None)}

    (duty,) = run.facetally.duties()
    assert (duty["processor"], duty["rule"], duty["trigger_day"]) == (ACME, "frt.file", day)
    assert duty["proof"]["trigger_at"] == truth.reached_at[ACME]

    assert run.read_to_the_end()
    run.facetally.good("verify")


def assert_told(run: Run, **kinds: int) -> None:
    """There are just these notices, all about the one duty, and each came under one key."""
    notices = run.stored.notices()
    assert {kind: len(rows) for kind, rows in notices.items()} == kinds
    assert {
        (row["processor"], row["rule"], row["duty"]) for rows in notices.values() for row in rows
    } == {(ACME, "frt.file", "1")}
    keys = {row["key"] for rows in notices.values() for row in rows}
    until(lambda: run.delivered() >= keys, "notices delivered")
    assert run.delivered() == keys


def go_on(run: Run, victims: list[Process], kills: int) -> None:
    """Kill one after the other, at once started again, with the outage in the middle."""
    for left in range(kills, 0, -1):
        if left == kills // 2:
            run.outage()
        run.next_kill(left)
        victim = run.rng.choice(victims)
        run.kill(victim)
        victim.start()


def assert_killed_on_the_way(run: Run, kills: int) -> None:
    """Each kill came after more had been kept, and before all was."""
    print(f"seed {SEED}: {len(run.killed_at)} kills, at {run.killed_at} of {run.total()} records")  # noqa: T201 - to be run again
    assert len(run.killed_at) == kills
    assert all(one < two for one, two in zip(run.killed_at, run.killed_at[1:], strict=False))
    assert run.killed_at[-1] < run.total()


def finish(run: Run, workers: list[Process], alerts: Process) -> None:
    """Look at everything; then have the trigger day corrected, under a last kill of each."""
    day, corrected = trigger_days(run.estate.history)
    until(lambda: run.settled(day), f"a duty of {day}")
    assert_true(run, run.estate.history.then, day)
    assert_told(run, duty_opened=1)

    alerts.kill()
    run.correct()
    run.until_kept(run.total() + CORRECTIONS // 4)
    for worker in workers:
        worker.kill()
        worker.start()
    alerts.start()
    until(lambda: run.settled(corrected), f"a duty of {corrected}")
    assert_true(run, run.estate.history.finally_, corrected)
    assert_told(run, duty_opened=1, duty_moved=1)


def test_one_worker_on_sqlite_counts_right_whenever_it_is_killed(
    kafka: Kafka, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with (
        fed(kafka, estate, forker, tmp_path, None) as run,
        processes(run.facetally, "worker", "alerts") as (worker, alerts),
    ):
        go_on(run, [worker], KILLS)
        assert_killed_on_the_way(run, KILLS)
        finish(run, [worker], alerts)


def test_two_workers_on_postgresql_count_right_whenever_they_are_killed(
    kafka: Kafka, postgres_url: str, estate: Estate, forker: Forker, tmp_path: Path
) -> None:
    with (
        fed(kafka, estate, forker, tmp_path, postgres_url) as run,
        processes(run.facetally, "worker", "alerts") as (first, alerts),
        processes(run.facetally, "worker") as (second,),
    ):
        until(lambda: run.group.members() == 2, "both workers in the group")
        run.next_kill(KILLS + 1)
        run.kill(first)
        until(lambda: run.group.members() == 1, "the partitions of the dead worker given away")
        first.start()
        until(lambda: run.group.members() == 2, "both workers in the group again")

        go_on(run, [first, second], KILLS - 1)
        assert_killed_on_the_way(run, KILLS)
        finish(run, [first, second], alerts)
