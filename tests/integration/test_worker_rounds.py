"""That a worker hangs is shown by its rounds: by a store that hangs, and by nothing less."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.facts import Instant
from streams.telling import ADMIN, KEEPER, Logged
from tests.keeper import SqliteKeeper
from tests.services.kafka import Kafka
from tests.workers import Flaky, names, running, send, settings_for, until


class Rounds(Logged):
    """Counts the rounds of each thread, and when the last one was."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.last: dict[str, Instant] = {}

    def turned(self, thread: str, now: Instant) -> None:
        self.counted[thread] += 1
        self.last[thread] = now

    def more(self, thread: str, rounds: int = 2) -> bool:
        """Whether *thread* comes round so often from now on."""
        wanted = self.counted[thread] + rounds
        return until(lambda: self.counted[thread] >= wanted)


class Hanging(SqliteKeeper):
    """A store whose server is frozen while *frozen* is: what it is asked is not answered."""

    def __init__(self, real: SqliteKeeper) -> None:
        self.__dict__.update(real.__dict__)
        self.thawed, self.asked = threading.Event(), threading.Event()
        self.thawed.set()

    def tick(self, now: Instant) -> None:
        if not self.thawed.is_set():
            self.asked.set()
        self.thawed.wait()
        super().tick(now)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.thawed.clear()
        try:
            assert self.asked.wait(60)
            yield
        finally:
            self.thawed.set()


@pytest.fixture
def topic(kafka: Kafka) -> str:
    made = f"t-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(made)
    return made


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[SqliteKeeper]:
    opened = SqliteKeeper(tmp_path / "kept.db")
    yield opened
    opened.close()


def test_a_worker_with_nothing_to_read_comes_round(
    kafka: Kafka, keeper: SqliteKeeper, topic: str
) -> None:
    rounds = Rounds()
    settings = dataclasses.replace(settings_for(kafka, topic, topic), observer=rounds)
    with running(settings, keeper):
        assert rounds.more(KEEPER)
        assert rounds.more(ADMIN)


def test_a_worker_that_waits_for_its_topic_comes_round(kafka: Kafka, keeper: SqliteKeeper) -> None:
    rounds, missing = Rounds(), f"t-{uuid.uuid4().hex[:8]}"
    settings = dataclasses.replace(settings_for(kafka, missing, missing), observer=rounds)
    with running(settings, keeper, ready=False):
        assert rounds.more(KEEPER)
        assert rounds.more(ADMIN)


def test_a_call_of_the_store_that_hangs_stops_the_rounds_of_its_thread_alone(
    kafka: Kafka, keeper: SqliteKeeper, topic: str
) -> None:
    rounds, hanging = Rounds(), Hanging(keeper)
    settings = dataclasses.replace(settings_for(kafka, topic, topic), observer=rounds)
    with running(settings, hanging):
        with hanging.frozen():
            time.sleep(0.1)  # a round that was through before is being told
            before = rounds.last[KEEPER]

            assert rounds.more(ADMIN, 3)
            assert rounds.last[KEEPER] == before
        assert rounds.more(KEEPER)


def test_a_store_that_fails_is_not_taken_for_one_that_hangs(
    kafka: Kafka, keeper: SqliteKeeper, topic: str
) -> None:
    rounds, failing = Rounds(), Flaky(keeper, failures=1_000_000)
    settings = dataclasses.replace(settings_for(kafka, topic, topic), observer=rounds)
    with running(settings, failing):
        send(kafka, topic, names("n", 3))

        assert until(lambda: failing.failed > 0)
        assert rounds.more(KEEPER)
