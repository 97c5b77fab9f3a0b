"""Every recorded change stream through a real Kafka and a worker, against counts made by SQL.

The records keep partition, key, value, headers and timestamp. The worker reads while they are
written, and is stopped at each labelled instant by writing no further. FACETALLY_EXHAUSTIVE=1
takes every order of writing, every rule and both databases.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from monitor.store import schema
from monitor.store.engine import open_engine, reading
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.conftest import EXHAUSTIVE
from tests.acceptance.recording import (
    ACTIVE,
    COMPREFACE,
    ORDERS,
    ROW,
    TEMPLATE,
    Instant,
    Line,
    Numbers,
    Order,
    Recording,
    load,
    numbers_of,
    settings_of,
)
from tests.acceptance.writing import write
from tests.services.kafka import Kafka
from tests.services.process import Owned
from tests.workers import until

PATIENCE = 60.0
CREATE_TIME = {"message.timestamp.type": "CreateTime"}

RUNS = [
    ("compreface-default", ROW, "last partition first"),
    ("compreface-default", ROW, "merged, seed 1"),
    ("own-gallery", ROW, "partition by partition"),
    ("own-gallery", ACTIVE, "merged, seed 1"),
    ("own-gallery", TEMPLATE, "merged, seed 2"),
    *((name, ROW, "as written") for name in COMPREFACE[1:]),
]
ALL_RUNS = [
    *((name, ROW, order) for name in COMPREFACE for order in ORDERS),
    *(("own-gallery", rule, order) for rule in (ROW, ACTIVE, TEMPLATE) for order in ORDERS),
]
POSTGRES_RUNS = [
    ("compreface-default", ROW, "merged, seed 2"),
    ("own-gallery", ROW, "merged, seed 1"),
    *((name, ROW, "as written") for name in COMPREFACE[1:]),
]


@dataclass(frozen=True, slots=True)
class Reading:
    """A worker that reads one recording's galleries, and what has been written for it so far."""

    running: Facetally
    worker: Owned
    kafka: Kafka
    topics: frozenset[str]
    suffix: str

    def write(self, lines: Iterable[Line]) -> None:
        """Write *lines*, as far as they are about galleries, and return when Kafka has them."""
        wanted = (line for line in lines if line.topic in self.topics)
        write(self.kafka.bootstrap, wanted, self.suffix)

    def wait_until_read(self, instant: Instant) -> None:
        """Wait until all that was written by *instant* has been kept; fail if it never is."""
        ends = {
            f"{topic}{self.suffix}/{partition}": end
            for name, end in instant.next_offsets.items()
            for topic, _, partition in [name.rpartition("/")]
            if topic in self.topics and end
        }

        def read() -> bool:
            assert self.worker.alive(), self.worker.tail()
            return self.running.positions().items() >= ends.items()

        assert until(read, PATIENCE), self.worker.tail()


@contextmanager
def reading_worker(
    kafka: Kafka, forker: Forker, home: Path, settings: str, recording: Recording, url: str | None
) -> Iterator[Reading]:
    """Make the topics of *settings*, under names of this test's own, and start a worker."""
    suffix = f"-{uuid.uuid4().hex[:8]}"
    topics = frozenset(
        line.topic for line in recording.lines if f'name = "{line.topic}"' in settings
    )
    for topic in topics:
        partitions = {line.partition for line in recording.lines if line.topic == topic}
        kafka.create_topic(topic + suffix, max(partitions) + 1, CREATE_TIME)
        settings = settings.replace(f'name = "{topic}"', f'name = "{topic}{suffix}"')
    running = Facetally(forker, home, settings, database_url=url)
    running.environ["FACETALLY_BOOTSTRAP_SERVERS"] = kafka.bootstrap
    running.environ["FACETALLY_GROUP"] = f"group{suffix}"
    worker = running.start("worker")
    try:
        yield Reading(running, worker, kafka, topics, suffix)
    finally:
        worker.stop()


def statuses(
    reader: Reading, recording: Recording, order: Order
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Write piece by piece, and yield the status at each labelled instant."""
    for instant, piece in recording.pieces():
        reader.write(order(piece))
        reader.wait_until_read(instant)
        yield instant.label, reader.running.status()


def assert_right(
    reader: Reading, recording: Recording, rule: str, seen: dict[str, dict[str, Any]]
) -> None:
    numbers: dict[str, Numbers] = {label: numbers_of(status) for label, status in seen.items()}
    assert numbers == {instant.label: instant.numbers(rule) for instant in recording.stops}
    assert all(status["rejected"]["total"] == 0 for status in seen.values())
    assert all(one["verified"] for one in seen["final"]["processors"])
    assert reader.running.run("verify").code == 0


@pytest.mark.parametrize(("name", "rule", "order"), ALL_RUNS if EXHAUSTIVE else RUNS)
def test_a_worker_has_the_numbers_of_the_database_at_every_instant(
    recordings: Path,
    kafka: Kafka,
    forker: Forker,
    tmp_path: Path,
    name: str,
    rule: str,
    order: str,
) -> None:
    recording, settings = load(recordings, name), settings_of(name, rule)
    with reading_worker(kafka, forker, tmp_path, settings, recording, None) as reader:
        seen = dict(statuses(reader, recording, ORDERS[order]))

        assert_right(reader, recording, rule, seen)


@pytest.mark.parametrize(("name", "rule", "order"), ALL_RUNS if EXHAUSTIVE else POSTGRES_RUNS)
def test_on_postgresql_a_worker_has_the_numbers_of_the_database_at_every_instant(
    recordings: Path,
    kafka: Kafka,
    forker: Forker,
    tmp_path: Path,
    postgres_url: str,
    name: str,
    rule: str,
    order: str,
) -> None:
    recording, settings = load(recordings, name), settings_of(name, rule)
    with reading_worker(kafka, forker, tmp_path, settings, recording, postgres_url) as reader:
        seen = dict(statuses(reader, recording, ORDERS[order]))

        assert_right(reader, recording, rule, seen)


def test_a_worker_that_comes_later_reads_on_where_the_one_before_it_ended(
    recordings: Path, kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    recording, settings = load(recordings, "own-gallery"), settings_of("own-gallery", ACTIVE)
    middle, final = recording.stops[3], recording.stops[-1]
    pieces = [piece for _, piece in recording.pieces()]
    with reading_worker(kafka, forker, tmp_path, settings, recording, None) as first:
        first.write(line for piece in pieces[:4] for line in piece)
        first.wait_until_read(middle)
        first.worker.stop()
        first.write(line for piece in pieces[4:] for line in piece)
        second = replace(first, worker=first.running.start("worker"))
        try:
            second.wait_until_read(final)
        finally:
            second.worker.stop()

        assert numbers_of(first.running.status()) == final.numbers(ACTIVE)
        assert first.running.run("verify").code == 0


# -- the threshold ---------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "database"), [(ROW, "sqlite"), (ACTIVE, "postgresql")])
def test_a_reach_opens_its_duty_when_every_topic_that_feeds_the_processor_has_been_read(
    recordings: Path,
    kafka: Kafka,
    forker: Forker,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    rule: str,
    database: str,
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    recording = load(recordings, "threshold")
    first = min(c["commit_us"] for c in recording.truth["crossings"] if c["rule"] == rule)
    awaited = f"awaited-{uuid.uuid4().hex[:8]}"
    settings = settings_of("threshold", rule).replace(
        "[sources.threshold]",
        f'[[topics]]\nname = "{awaited}"\nsource = "threshold"\n\n[sources.threshold]',
    )
    with reading_worker(kafka, forker, tmp_path, settings, recording, url) as reader:
        seen = dict(statuses(reader, recording, ORDERS["as written"]))
        pending = {"acme": ("pending", None), "other": ("no", None)}
        looked_back = until(lambda: thresholds(reader.running.status()) == pending, PATIENCE)
        waiting = reader.running.duties(), notices(reader)

        kafka.create_topic(awaited, 1, CREATE_TIME)
        opened = until(lambda: bool(reader.running.duties()), PATIENCE)
        status = reader.running.status()
        (duty,) = reader.running.duties()

        assert looked_back, reader.running.status()
        assert waiting == ([], [])
        assert opened, reader.worker.tail()
        assert thresholds(status) == {"acme": ("yes", "2026-11-22"), "other": ("no", None)}
        assert duty["proof"]["trigger_at"] == first
        assert duty["due_between"] == ["2027-01-01", "2027-01-11"]
        assert notices(reader) == [("duty_opened", "acme", "frt.file")]
        assert_right(reader, recording, rule, {**seen, "final": status})


def thresholds(status: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    """Return whether and when each processor reached its only threshold."""
    rows = ((one["processor"], one["thresholds"]) for one in status["processors"])
    return {name: (only["reached"], only["trigger_day"]) for name, (only,) in rows}


def notices(reader: Reading) -> list[tuple[str, str, str]]:
    columns = schema.notices.c
    engine = open_engine(reader.running.database_url)
    with reading(engine) as connection:
        rows = connection.execute(select(columns.kind, columns.processor, columns.rule))
        found = [(row.kind, row.processor, row.rule) for row in rows]
    engine.dispose()
    return found
