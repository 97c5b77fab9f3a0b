"""One database that is fed from a published history, and what must be true of it in the end.

The beginning of a history, up to the reach, is there before anybody reads. The rest may come
while faults happen: ``Feeder`` publishes as much of it as it is allowed to, and goes on trying
when brokers are away, so that some of it comes twice.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from aiokafka.errors import KafkaError

from tests.acceptance import estate_history
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.estate_history import ACME, TOPICS, History, trigger_days
from tests.acceptance.estate_truth import Truth
from tests.acceptance.running import Group, Process, Stored, settings, until
from tests.publishing import publish_quickly
from tests.receiver import Answer, Receiver, receiving
from tests.services.kafka import Kafka

PARTITIONS: Final = 4
SIGNING: Final = "whsec_" + "QUJD" * 8

# Small transactions, so that a history lasts for all the faults.
HEAD: Final = """max_batch_records = {records}
[[systems]]
processor = "acme"
system = "lab"
purpose = "research"
reason = "algorithm training"
by = "privacy office"

[[rules]]
id = "frt.file"
at_least = {legal}
"""


@dataclass(frozen=True, slots=True)
class Estate:
    """A history with its topics, by codec."""

    history: History
    topics: Mapping[str, str]

    @classmethod
    def made(cls, kafka: Kafka, history: History) -> Self:
        """Make topics for *history*, with nothing in them."""
        name = f"estate-{uuid.uuid4().hex[:8]}"
        topics = {codec: f"{name}-{codec}" for codec in TOPICS}
        for topic in topics.values():
            kafka.create_topic(topic, PARTITIONS)
        return cls(history, topics)

    def publish(self, kafka: Kafka, piece: slice) -> None:
        """Publish a *piece* of the ways; raises KafkaError, and then some of it may be there."""
        for codec, topic in self.topics.items():
            records = self.history.records(codec, piece)
            publish_quickly(kafka.bootstrap, topic, records, partitions=PARTITIONS, codec=codec)


class Feeder:
    """Publishes what comes after the beginning, piece by piece, up to what is *allowed*."""

    def __init__(self, kafka: Kafka, estate: Estate, pieces: int) -> None:
        self._kafka, self._estate = kafka, estate
        self._pieces = estate.history.pieces(pieces)
        self._allowed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run)
        self._over = threading.Event()
        self.again = 0
        """How often a piece was begun again because Kafka did not take it."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.allow(len(self._pieces))
        self._thread.join()

    def allow(self, pieces: int = 1) -> None:
        self._allowed.release(pieces)

    def finish(self, patience: float = 120.0) -> None:
        """Publish all that is left, and return when Kafka has it."""
        self.allow(len(self._pieces))
        self._thread.join(patience)
        assert not self._thread.is_alive(), "Kafka did not take the history"

    def _run(self) -> None:
        for piece in self._pieces:
            self._allowed.acquire()
            while not self._over.is_set():
                try:
                    self._estate.publish(self._kafka, piece)
                except KafkaError:
                    self.again += 1
                    time.sleep(0.5)
                else:
                    break


@dataclass
class Run:
    """One database that is fed from an estate."""

    kafka: Kafka
    estate: Estate
    facetally: Facetally
    stored: Stored
    group: Group
    corrections: str
    receiver: Receiver
    rng: random.Random
    killed_at: list[int] = field(default_factory=list)

    def total(self) -> int:
        return self.estate.history.published

    def until_kept(self, records: int) -> None:
        until(lambda: self.stored.records() >= records, f"{records} records in the database")

    def until_more(self, records: int = 1) -> None:
        """Wait until *records* more have been kept: somebody is reading."""
        self.until_kept(self.stored.records() + records)

    def next_kill(self, left: int) -> None:
        """Wait for a random part of what is to be done before the next of *left* kills."""
        done = self.stored.records()
        share = (self.total() - done) / (left + 1)
        self.until_kept(done + 1 + int(share * self.rng.uniform(0.2, 1.3)))
        time.sleep(self.rng.uniform(0, 0.1))

    def kill(self, victim: Process) -> None:
        victim.kill()
        self.killed_at.append(self.stored.records())

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
        records = self.estate.history.corrected()
        publish_quickly(self.kafka.bootstrap, self.corrections, records, partitions=2)

    def delivered(self) -> set[str]:
        """Return the keys of all notices that the receiver was sent and that it took."""
        return {request.headers["webhook-id"] for request in self.receiver.requests[1:]}


@contextlib.contextmanager
def fed(
    kafka: Kafka,
    estate: Estate,
    forker: Forker,
    home: Path,
    database_url: str | None,
    *,
    seed: int,
    max_batch_records: int = 2000,
    head: str = "",
) -> Iterator[Run]:
    """Make a database that reads *estate*, on SQLite unless told otherwise; start nobody."""
    group = f"run-{uuid.uuid4().hex[:8]}"
    corrections = f"{group}-corrections"
    kafka.create_topic(corrections, 2)
    topics = [*estate.topics.values(), corrections]
    how = head + HEAD.format(records=max_batch_records, legal=estate.history.then.legal)
    with receiving(Answer(503), Answer(204)) as receiver:
        text = settings(kafka, group, topics, receiver.url, SIGNING, how)
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
                random.Random(seed),
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


def assert_killed_on_the_way(run: Run, kills: int) -> None:
    """Each kill came after more had been kept, and before all was."""
    assert len(run.killed_at) == kills
    assert all(one < two for one, two in itertools.pairwise(run.killed_at))
    assert run.killed_at[-1] < run.total()


def assert_kept_exactly(run: Run) -> None:
    """Wait until all is settled; then the numbers, the duty, its notice and ``verify`` are true."""
    day, _ = trigger_days(run.estate.history)
    until(lambda: run.settled(day), f"a duty of {day}")
    assert_true(run, run.estate.history.then, day)
    assert_told(run, duty_opened=1)


def assert_corrected(run: Run, workers: Sequence[Process], alerts: Process) -> None:
    """Have the trigger day corrected under a last kill of each process; it moves once."""
    _, corrected = trigger_days(run.estate.history)
    before = run.stored.records()
    alerts.kill()
    run.correct()
    run.until_kept(before + estate_history.CORRECTIONS // 4)
    for worker in workers:
        worker.kill()
        worker.start()
    alerts.start()
    until(lambda: run.settled(corrected), f"a duty of {corrected}")
    assert_true(run, run.estate.history.finally_, corrected)
    assert_told(run, duty_opened=1, duty_moved=1)
