"""A worker says that Kafka has given it partitions before it asks where to read them."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from monitor.intake import StoredPosition
from tests.benchmarks.paging import ASSIGNED
from tests.keeper import SqliteKeeper
from tests.services.kafka import Kafka
from tests.workers import running, settings_for, until


class Waiting(SqliteKeeper):
    """A store that answers where to read once it may."""

    def __init__(self, real: SqliteKeeper) -> None:
        self.__dict__.update(real.__dict__)
        self.may = threading.Event()

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        self.may.wait()
        return super().positions(partitions)


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Waiting]:
    opened = Waiting(SqliteKeeper(tmp_path / "kept.db"))
    yield opened
    opened.may.set()
    opened.close()


def test_an_assignment_is_said_before_anything_is_asked_of_the_database(
    kafka: Kafka, keeper: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    topic = f"t-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, partitions=2)
    with (
        caplog.at_level(logging.INFO, "streams.transport"),
        running(settings_for(kafka, topic, topic), keeper, ready=False),
    ):
        said = until(lambda: ASSIGNED in caplog.text)
        keeper.may.set()

    assert said
    assert f"assigned 2 partitions: {ASSIGNED}" in caplog.text
