"""What the soak does to the log itself: transactions, clocks, partitions, retention, topics.

What loses records is done to a topic of its own, whose processor is unverified from then on, with
the reasons that ``marked`` names. Everything else changes no number.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import psycopg
from kafka import TopicPartition
from kafka.errors import KafkaError

from streams.admin import Admin
from streams.connection import Connection
from streams.publish import Outgoing
from tests.acceptance.estate_history import BOREALIS
from tests.acceptance.running import Process, Stored, until
from tests.publishing import publish_quickly
from tests.services.kafka import Cluster
from tests.violence.faults_kit import producing, write

DELTA: Final = "delta"
"""The processor of the topic that loses records."""

MOST_PARTITIONS: Final = 8
GHOSTS: Final = 200
PATIENCE: Final = 60.0
FETCH_ANSWERED: Final = 1.0  # seconds: the broker answers a fetch after 0.1 at the latest
_CUT_OFF: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
READ_ONLY: Final = ("ALTER DATABASE {name} SET default_transaction_read_only = on", _CUT_OFF)
WRITABLE: Final = (
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
    "ALTER DATABASE {name} RESET default_transaction_read_only",
    _CUT_OFF,
)


@dataclass
class LogFaults:
    """Faults of the log, and of the room in the database."""

    rng: random.Random
    cluster: Cluster
    stored: Stored
    database_url: str
    partitions: dict[str, int]
    """How many there are of each topic that everybody reads: it grows."""
    lossy: str
    from_the_future: int = 0
    """How many records were told to be of a later century, at least."""
    marked: set[str] = field(default_factory=set)
    """Why the number of ``DELTA`` is unverified."""
    losses: int = 0
    _told: int = 0

    def abort_a_transaction(self) -> None:
        """Write people that never were, and take it back."""
        topic = self.rng.choice(sorted(self.partitions))
        ghosts = [self._enrolled(BOREALIS, f"ghost-{n}") for n in range(GHOSTS)]
        with (
            contextlib.suppress(KafkaError),  # a coordinator may be away: it is aborted then, too
            producing(self.cluster, f"soak-{uuid.uuid4().hex[:8]}") as producer,
        ):
            producer.begin_transaction()
            try:
                write(
                    producer, topic, *ghosts, partition=self.rng.randrange(self.partitions[topic])
                )
            finally:
                producer.abort_transaction()

    def have_a_wrong_clock(self) -> None:
        """Tell of somebody who is enrolled in a later century: set aside, and nothing else."""
        wrong = [Outgoing(self._enrolled(BOREALIS, "early", time="2099-01-01T00:00:00Z").encode())]
        self._publish(self.rng.choice(sorted(self.partitions)), wrong)
        self.from_the_future += 1

    def add_a_partition(self) -> None:
        """Add one to a topic that everybody reads; what comes next is spread over all of them."""
        topic = self.rng.choice(sorted(self.partitions))
        total = self.partitions[topic] + 1
        if total > MOST_PARTITIONS:
            return
        self._admin(lambda admin: admin.create_partitions({topic: total}))
        wanted = [(topic, number) for number in range(total)]
        with Admin(Connection(bootstrap_servers=self.cluster.bootstrap)) as admin:
            until(lambda: len(admin.ends(wanted)) == total, "leaders of the new partition")
        self.partitions[topic] = total

    def lose_records(self, workers: Iterable[Process]) -> None:
        """Have retention take what was written while every worker was frozen."""
        frozen = list(workers)
        for worker in frozen:
            worker.pause()
        try:
            time.sleep(FETCH_ANSWERED)  # a fetch under way would bring them all the same
            self._tell_delta(50)
            where = TopicPartition(self.lossy, 0)
            self._admin(lambda admin: admin.delete_records({where: -1}))
        finally:
            for worker in frozen:
                worker.resume()
        self._noticed("gap.retention")

    def make_a_topic_anew(self) -> None:
        """Delete the topic and make another one of its name."""
        self._admin(lambda admin: admin.delete_topics([self.lossy]))
        self._made_again()
        self._noticed("gap.recreated")

    def take_the_room(self) -> None:
        """Let the database take nothing for a while."""
        self._ran(READ_ONLY)
        time.sleep(self.rng.uniform(1, 6))
        self._ran(WRITABLE)

    def begin(self) -> None:
        """Make the topic that loses records, with something in it."""
        self.cluster.create_topic(self.lossy, 1)
        self._tell_delta(20)

    def _noticed(self, reason: str) -> None:
        """Go on when the loss has been told: the next one might hide it."""
        self._tell_delta(5)
        self.losses += 1
        self.marked.add(reason)
        until(lambda: self.told_gaps() == self.losses, f"{reason} to be told")

    def told_gaps(self) -> int:
        return len(self.stored.notices().get("gap", ()))

    def _made_again(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.cluster.create_topic(self.lossy, 1)
            except KafkaError:  # it is still being deleted
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _tell_delta(self, people: int) -> None:
        first = self._told
        self._told += people
        told = [self._enrolled(DELTA, f"delta-{n}") for n in range(first, self._told)]
        self._publish(self.lossy, [Outgoing(one.encode()) for one in told])

    def _publish(self, topic: str, records: list[Outgoing]) -> None:
        deadline = time.monotonic() + PATIENCE
        number = self.partitions.get(topic, 1)
        while True:
            try:
                publish_quickly(self.cluster.bootstrap, topic, records, partitions=number)
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _admin(self, work: Callable[..., object]) -> None:
        """Do *work* with an admin client, again while no controller is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                admin = self.cluster.admin()
                try:
                    work(admin)
                finally:
                    admin.close()
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _ran(self, statements: Iterable[str]) -> None:
        url = self.database_url.replace("+psycopg", "")
        name = url.rpartition("/")[2].partition("?")[0]
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.format(name=name).encode())

    def _enrolled(self, processor: str, subject: str, time: str = "2026-06-01T00:00:00Z") -> str:
        return json.dumps(
            {
                "specversion": "1.0",
                "id": uuid.uuid4().hex,
                "source": "/soak",
                "type": "facetally.face.enrolled",
                "time": time,
                "subject": subject,
                "data": {"processor": processor, "system": "gate"},
            }
        )
