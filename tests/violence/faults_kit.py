"""What the tests of single faults share: a topic of events, real processes over it, what they say.

``Scene`` is one database with a settings file, read by ``facetally worker`` and sent from by
``facetally alerts``, each a process of its own.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from kafka import KafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from streams.admin import Admin
from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.running import until
from tests.homes import event
from tests.services.kafka import Kafka
from tests.services.process import Owned

SIGNING: Final = "whsec_" + "QUJD" * 8
DAY: Final = "2026-03-02"
START_SECONDS: Final = 180.0  # a few by itself; a machine that is busy is not at fault


def at(clock: str) -> str:
    """Return the time *clock* (``08:00``) of the one day of these tests."""
    return f"{DAY}T{clock}:00Z"


def enrolled(person: str, clock: str, processor: str = "acme") -> str:
    return event(person, time=at(clock), processor=processor)


def removed(person: str, clock: str) -> str:
    return event(person, kind="face.removed", time=at(clock))


def millis(day: str) -> int:
    """Return noon UTC of *day* as a Kafka timestamp."""
    return int(datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()) * 1000


def new_name(prefix: str = "t") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True, slots=True)
class Process:
    """A process of ``facetally`` that goes on until it is stopped."""

    owned: Owned
    log: Path

    def said(self) -> str:
        return self.log.read_text()

    def metrics(self) -> Mapping[str, float]:
        """Return every sample by its name and labels, ``name{label=value,..}``."""
        addresses: list[str] = re.findall(r"metrics on (http://\S+)", self.said())
        text = httpx.get(addresses[-1], timeout=10, trust_env=False).text
        return {
            f"{one.name}{{{','.join(f'{k}={v}' for k, v in sorted(one.labels.items()))}}}": value
            for family in text_string_to_metric_families(text)
            for one in family.samples
            for value in (one.value,)
        }

    def until_said(self, words: str, times: int = 1) -> None:
        """Wait until the log has said *words* so often."""
        until(lambda: self.said().count(words) >= times, f"the log to say {words!r}", 60)


@dataclass(frozen=True, slots=True)
class Scene:
    """One database, the topic it is fed from, and the command over it."""

    kafka: Kafka
    topic: str
    facetally: Facetally

    def log_of(self, command: str) -> Path:
        return self.facetally.home / f"{command}.log"

    @contextmanager
    def running(self, command: str = "worker") -> Iterator[Process]:
        """Run *command* until the block ends; it has said that it is at work."""
        log = self.log_of(command)
        offset = len(log.read_text()) if log.exists() else 0
        ready = {"worker": "reading: partitions are assigned", "alerts": "sending to"}[command]
        owned = self.facetally.start(command)
        try:
            owned.until(lambda: ready in log.read_text()[offset:], seconds=START_SECONDS)
            yield Process(owned, log)
        finally:
            owned.stop()

    def put(
        self,
        *events: str,
        partition: int = 0,
        topic: str | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Publish *events* to one partition; Kafka has them when this returns."""
        records = [
            Outgoing(one.encode(), partition=partition, timestamp=timestamp) for one in events
        ]
        publish(self.connection, topic or self.topic, records)

    @property
    def connection(self) -> Connection:
        return Connection(bootstrap_servers=self.kafka.bootstrap)

    def delete_before(self, offset: int) -> None:
        """Move the start of the log to *offset*, as retention does."""
        admin = self.kafka.admin()
        try:
            admin.delete_records({TopicPartition(self.topic, 0): offset})
        finally:
            admin.close()

    def add_partitions(self, total: int) -> None:
        admin = self.kafka.admin()
        try:
            admin.create_partitions({self.topic: total})
        finally:
            admin.close()
        with Admin(self.connection) as ours:
            wanted = [(self.topic, number) for number in range(total)]
            until(lambda: len(ours.ends(wanted)) == total, "leaders of the new partitions", 30)

    # What the command says.

    def processor(self, name: str = "acme") -> Mapping[str, Any]:
        found = [p for p in self.facetally.status()["processors"] if p["processor"] == name]
        return found[0] if found else {"individuals": 0, "thresholds": [], "verified": True}

    def individuals(self, name: str = "acme") -> int:
        return int(self.processor(name)["individuals"])

    def reached(self, name: str = "acme") -> str:
        found = [
            t["reached"] for t in self.processor(name)["thresholds"] if t["rule"] == "frt.file"
        ]
        return str(found[0]) if found else "no"

    def rejected(self) -> Mapping[str, int]:
        found: Mapping[str, int] = self.facetally.status()["rejected"]["by_reason"]
        return found

    def told(self, kind: str) -> list[Mapping[str, Any]]:
        """Return what the notices of *kind* say, in the order in which they were written."""
        with sqlite3.connect(self.facetally.home / "facetally.db", timeout=60) as database:
            query = "SELECT body FROM notices WHERE kind = ? ORDER BY id"
            bodies = [json.loads(body) for (body,) in database.execute(query, (kind,))]
        database.close()
        return bodies

    def until_told(self, kind: str) -> None:
        until(lambda: bool(self.told(kind)), f"a notice {kind}", 60)

    def until_individuals(self, number: int, name: str = "acme") -> None:
        until(lambda: self.individuals(name) == number, f"{number} individuals of {name}", 60)

    def until_reached(self, how: str, name: str = "acme") -> None:
        until(lambda: self.reached(name) == how, f"the threshold of {name} reached: {how}", 60)

    def until_read(self, offset: int, partition: int = 0) -> None:
        place = f"{self.topic}/{partition}"
        until(
            lambda: self.facetally.positions().get(place) == offset,
            f"position {offset} of {place}",
            60,
        )

    def holds(self) -> bool:
        """Whether ``verify`` finds registers, audit log and positions whole."""
        return bool(self.facetally.json("verify")["holds"])


def scene(
    kafka: Kafka,
    forker: Forker,
    home: Path,
    *,
    at_least: int = 3,
    topics: Sequence[str] = (),
    channels: str = "",
    database_url: str | None = None,
    head: str = "",
) -> Scene:
    """Return a scene over *topics* (tables of TOML to add to ``[[topics]]``), or over a new one."""
    topic = new_name()
    tables = topics or (f'name = "{topic}"\nsource = "cloudevents"\n',)
    rule = f'[[rules]]\nid = "frt.file"\nat_least = {at_least}\n'
    parts = [head, rule, *(f"[[topics]]\n{table}" for table in tables), channels]
    servers = f'bootstrap_servers = "{kafka.bootstrap}"\ngroup = "{topic}"\n'
    facetally = Facetally(forker, home, servers + "\n".join(parts), database_url=database_url)
    return Scene(kafka, topic, facetally)


def steady(seen: Callable[[], bool], seconds: float) -> bool:
    """Tell whether *seen* holds all the time for so long."""
    until_when = time.monotonic() + seconds
    while time.monotonic() < until_when:
        if not seen():
            return False
        time.sleep(0.1)
    return True


@contextmanager
def producing(kafka: Kafka, transactional_id: str) -> Iterator[Any]:
    """Yield a transactional producer of kafka-python, which is not typed."""
    producer = KafkaProducer(
        bootstrap_servers=kafka.bootstrap, transactional_id=transactional_id, acks="all"
    )
    try:
        producer.init_transactions()
        yield producer
    finally:
        producer.close(timeout=10)


def write(producer: Any, topic: str, *events: str, partition: int = 0) -> None:
    """Write *events* in the open transaction of *producer*; the broker has them."""
    for one in events:
        producer.send(topic, one.encode(), partition=partition).get(timeout=20)
