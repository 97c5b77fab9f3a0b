"""Records that can no longer be read: noticed, told, and read on from the log's start."""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition

from monitor.intake import GapReason
from tests.keeper import SqliteKeeper
from tests.services.kafka import Kafka
from tests.workers import (
    Flaky,
    names,
    once,
    recreate,
    running,
    send,
    settings_for,
    until,
)


@pytest.fixture
def name() -> str:
    """A name for a topic, and for a group, that no other test has."""
    return f"t-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "kept.db"


@pytest.fixture
def keeper(database: Path) -> Iterator[SqliteKeeper]:
    opened = SqliteKeeper(database)
    yield opened
    opened.close()


def test_records_that_retention_took_while_nobody_read_are_a_gap(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("early", 50))
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 50)
    send(kafka, name, names("unread", 30))
    admin = kafka.admin()
    admin.delete_records({TopicPartition(name, 0): 70})
    admin.close()

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 60)

    assert keeper.rows("gaps") == [(name, 0, GapReason.RETENTION, 70)]
    assert keeper.times() == once([*names("early", 50), *names("unread", 30)[20:]])


def test_what_retention_took_from_a_partition_that_was_empty_when_read_is_a_gap(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: bool(keeper.positions([(name, 0)])))
    send(kafka, name, names("unread", 30))
    admin = kafka.admin()
    admin.delete_records({TopicPartition(name, 0): 20})
    admin.close()

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 10)

    assert keeper.rows("gaps") == [(name, 0, GapReason.RETENTION, 20)]


def test_records_that_retention_takes_before_they_are_fetched_are_a_gap(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    """The reader is stalled on a full memory while the log's start passes it by."""
    kafka.create_topic(name)
    wanted = names("n", 2_000)
    for first in range(0, 2_000, 50):  # a request each, so that there is more than one fetch
        send(kafka, name, wanted[first : first + 50])
    stalled = Flaky(keeper, failures=10**6)
    settings = dataclasses.replace(
        settings_for(kafka, name, name), max_batch_records=100, fetch_bytes=2_000
    )
    admin = kafka.admin()

    with running(settings, stalled):
        until(lambda: stalled.failed > 0)
        time.sleep(1)
        admin.delete_records({TopicPartition(name, 0): 1_990})
        stalled.failures = 0
        until(lambda: "n-1999" in keeper.times())
    admin.close()

    assert keeper.rows("gaps") == [(name, 0, GapReason.RETENTION, 1_990)]
    assert set(keeper.times().values()) == {1}


@pytest.mark.parametrize("grown", [0, 5, 80], ids=["empty", "smaller", "past-the-position"])
def test_a_topic_that_was_made_anew_is_a_gap_and_read_from_its_start(
    kafka: Kafka, keeper: SqliteKeeper, name: str, grown: int
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("old", 50))
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 50)
    recreate(kafka, name)
    send(kafka, name, names("new", grown))

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 50 + grown and bool(keeper.rows("gaps")))

    assert keeper.rows("gaps") == [(name, 0, GapReason.RECREATED, 0)]
    assert keeper.times() == once([*names("old", 50), *names("new", grown)])


def test_a_topic_made_anew_under_a_running_worker_is_read_too(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("old", 50))
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 50)
        recreate(kafka, name)
        send(kafka, name, names("new", 80))
        until(lambda: keeper.count() == 130 and bool(keeper.rows("gaps")))

    assert keeper.rows("gaps") == [(name, 0, GapReason.RECREATED, 0)]
    assert set(keeper.times()) == {*names("old", 50), *names("new", 80)}


@pytest.mark.parametrize(("policy", "warned"), [("delete", 0), ("compact,delete", 1)])
def test_a_topic_that_kafka_compacts_is_warned_of(
    kafka: Kafka,
    keeper: SqliteKeeper,
    name: str,
    caplog: pytest.LogCaptureFixture,
    policy: str,
    warned: int,
) -> None:
    kafka.create_topic(name, config={"cleanup.policy": policy})
    with running(settings_for(kafka, name, name), keeper):
        pass
    said = [one for one in caplog.messages if "set cleanup.policy=delete" in one]

    assert len(said) == warned
    assert all(one.endswith(f": {name}") for one in said)
