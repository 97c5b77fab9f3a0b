"""What the tests of the worker share: workers in threads and processes, and what feeds them."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from monitor.intake import Batch, Keeper, TooManyRejects
from streams.connection import Connection
from streams.publish import Outgoing, publish
from streams.reader import Source
from streams.worker import WorkerSettings, run_worker
from tests.keeper import Names, SqliteKeeper
from tests.services.kafka import Kafka
from tests.services.process import Owned

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0


def settings_for(kafka: Kafka, group: str, *topics: str) -> WorkerSettings:
    return WorkerSettings(
        bootstrap_servers=kafka.bootstrap,
        group=group,
        instance_id="one",
        topics={topic: Source("test", Names()) for topic in topics},
        look_at_topics_every=0.5,
        publish_offsets_every=0.5,
        retry_held=1.0,
    )


@contextmanager
def running(settings: WorkerSettings, keeper: Keeper, *, ready: bool = True) -> Iterator[None]:
    """Run a worker in a thread until the block ends, and let its error out.

    The block begins when it has its partitions; not *ready*, at once.
    """
    stop, placed = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            run_worker(settings, keeper, on_ready=placed.set, stop=stop)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            errors.append(exc)
            placed.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if ready:
            placed.wait(PATIENCE)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not thread.is_alive()
    assert errors == []


def until(seen: Callable[[], bool], patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.05)
    return seen()


def send(kafka: Kafka, topic: str, values: Iterable[str | None], codec: str = "none") -> None:
    records = [
        Outgoing(None, key=b"deleted") if value is None else Outgoing(value.encode())
        for value in values
    ]
    publish(Connection(bootstrap_servers=kafka.bootstrap), topic, records, codec=codec)


def names(prefix: str, number: int) -> list[str]:
    return [f"{prefix}-{index}" for index in range(number)]


def once(values: Iterable[str]) -> dict[str, int]:
    return dict.fromkeys(values, 1)


def worker_process(
    kafka: Kafka, database: Path, group: str, instance: str, topics: Sequence[str]
) -> Owned:
    command = [sys.executable, "-m", "tests.worker_process", str(database), kafka.bootstrap]
    log = database.with_suffix(f".{instance}.log")
    return Owned([*command, group, instance, *topics], log=log, cwd=ROOT)


@contextmanager
def publishing(kafka: Kafka, topic: str) -> Iterator[list[str]]:
    """Publish some thousand records a second until the block ends; yields what was sent."""
    sent: list[str] = []
    enough = threading.Event()

    def records() -> Iterator[Outgoing]:
        while not enough.wait(0.04):
            for _ in range(100):
                sent.append(f"{topic}-{len(sent)}")
                yield Outgoing(sent[-1].encode())

    connection = Connection(bootstrap_servers=kafka.bootstrap)
    publisher = threading.Thread(target=publish, args=(connection, topic, records()))
    publisher.start()
    try:
        yield sent
    finally:
        enough.set()
        publisher.join()


class Flaky(SqliteKeeper):
    """A store that is away for the first *failures* batches with records in them."""

    def __init__(self, real: SqliteKeeper, failures: int) -> None:
        self.__dict__.update(real.__dict__)
        self.failures = failures
        self.failed = 0

    def keep(self, batches: Sequence[Batch]) -> None:
        if self.failed < self.failures and any(batch.records for batch in batches):
            self.failed += 1
            raise OSError("the store is away")
        super().keep(batches)


class Slow(SqliteKeeper):
    """A store that takes its time for each batch, so that there is always more to keep."""

    def __init__(self, real: SqliteKeeper, seconds: float) -> None:
        self.__dict__.update(real.__dict__)
        self.seconds = seconds

    def keep(self, batches: Sequence[Batch]) -> None:
        time.sleep(self.seconds)
        super().keep(batches)


class Lenient(SqliteKeeper):
    """Refuses a batch with too many rejects until it is told to take it."""

    def __init__(self, real: SqliteKeeper) -> None:
        self.__dict__.update(real.__dict__)
        self.strict = True
        self.refused = 0

    def keep(self, batches: Sequence[Batch]) -> None:
        if self.strict and any(batch.topic.endswith("-bad") for batch in batches):
            self.refused += 1
            raise TooManyRejects
        super().keep(batches)


def recreate(kafka: Kafka, name: str) -> None:
    admin = kafka.admin()
    admin.delete_topics([name])
    until(lambda: name not in admin.list_topics())
    admin.close()
    kafka.create_topic(name)
