"""The way in, against a real Kafka: nothing twice, nothing lost, whatever is killed or stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from kafka import TopicPartition

from monitor.intake import Batch, GapReason, Reason, TooManyRejects
from streams.admin import Admin
from streams.connection import Connection, KafkaUnreachable
from streams.publish import CODECS, Outgoing, publish
from streams.worker import Source, WorkerSettings, run_worker
from tests.keeper import REFUSED, Names, SqliteKeeper
from tests.services.kafka import Kafka
from tests.services.process import Owned, free_port

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0


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
def running(settings: WorkerSettings, keeper: SqliteKeeper) -> Iterator[None]:
    """Run a worker in a thread until the block ends, and let its error out."""
    stop, ready = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            run_worker(settings, keeper, on_ready=ready.set, stop=stop)
        except BaseException as exc:  # noqa: BLE001 - handed to the test
            errors.append(exc)
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ready.wait(PATIENCE)
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


def test_records_of_every_codec_arrive_exactly_once(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    topics = {codec: f"{name}-{codec}" for codec in CODECS}
    wanted = {codec: names(codec, 2_000) for codec in CODECS}
    for codec, topic in topics.items():
        kafka.create_topic(topic, partitions=2)
        send(kafka, topic, wanted[codec], codec)

    with running(settings_for(kafka, name, *topics.values()), keeper):
        until(lambda: keeper.count() == 2_000 * len(CODECS))

    assert keeper.times() == once(value for values in wanted.values() for value in values)


def test_bad_records_and_tombstones_are_set_aside_and_the_others_count(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, ["a", "\N{SNOWMAN}", None, "b"])

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 2)

    assert keeper.times() == once(["a", "b"])
    assert keeper.rows("rejects") == [(name, 0, 1, Reason.BAD_TEXT)]


def test_workers_killed_at_random_apply_each_record_once(
    kafka: Kafka, database: Path, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name, partitions=3)
    wanted = names("kill", 30_000)
    seeded = random.Random(3)
    publisher = threading.Thread(target=slowly, args=(kafka, name, wanted))
    publisher.start()

    for _ in range(6):
        before = keeper.count()
        worker = worker_process(kafka, database, name, "one", [name])
        until(lambda seen=before: keeper.count() > seen)  # type: ignore[misc]  # a default of a lambda
        time.sleep(seeded.uniform(0.0, 0.3))
        worker.kill()
    killed_at = keeper.count()
    publisher.join()
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == len(wanted))

    assert 0 < killed_at < len(wanted)
    assert keeper.times() == once(wanted)


def slowly(kafka: Kafka, topic: str, values: Sequence[str]) -> None:
    connection = Connection(bootstrap_servers=kafka.bootstrap)

    def records() -> Iterator[Outgoing]:
        for index, value in enumerate(values):
            if index % 100 == 0:
                time.sleep(0.04)
            yield Outgoing(value.encode())

    publish(connection, topic, records())


def test_two_workers_that_rebalance_under_way_apply_each_record_once(
    kafka: Kafka, database: Path, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name, partitions=4)
    wanted = names("two", 30_000)
    publisher = threading.Thread(target=slowly, args=(kafka, name, wanted))
    publisher.start()

    first = worker_process(kafka, database, name, "one", [name])
    until(lambda: keeper.count() > 0)
    second = worker_process(kafka, database, name, "two", [name])
    until(lambda: keeper.count() > 10_000)
    first.stop()
    until(lambda: keeper.count() > 15_000)
    first = worker_process(kafka, database, name, "one", [name])
    publisher.join()
    until(lambda: keeper.count() == len(wanted))
    logs = first.tail(100) + second.tail(100)
    first.stop()
    second.stop()

    assert keeper.times() == once(wanted), logs


def test_a_broker_that_is_away_for_a_while_holds_up_and_loses_nothing(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name, partitions=2)
    send(kafka, name, names("before", 500))
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 500)
        kafka.stop()
        time.sleep(4)
        kafka.start()
        send(kafka, name, names("after", 500))
        until(lambda: keeper.count() == 1_000)

    assert keeper.times() == once([*names("before", 500), *names("after", 500)])


async def transactions(bootstrap: str, topic: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic)
    await producer.start()
    for prefix, commit in (("kept", True), ("aborted", False), ("kept-too", True), ("no", False)):
        await producer.begin_transaction()
        for value in names(prefix, 20):
            await producer.send_and_wait(topic, value.encode(), partition=0)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
    await producer.stop()


def test_aborted_transactions_count_for_nothing_and_do_not_hide_the_end(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    asyncio.run(transactions(kafka.bootstrap, name))
    with Admin(Connection(bootstrap_servers=kafka.bootstrap)) as admin:
        end = admin.ends([(name, 0)])[name, 0]

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: any(row[2] == end for row in keeper.rows("ends")))

    assert keeper.times() == once([*names("kept", 20), *names("kept-too", 20)])
    assert keeper.rows("positions")[0][3] == end
    assert end == 4 * 21  # each transaction is 20 records and a marker


def test_an_end_is_told_with_a_time_before_which_it_was_looked_up(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    settings = settings_for(kafka, name, name)
    started = settings.clock()
    with running(settings, keeper):
        until(lambda: bool(keeper.rows("ends")))
        send(kafka, name, ["a"])
        sent = settings.clock()
        until(lambda: any(row[2] == 1 for row in keeper.rows("ends")))
        told = settings.clock()

    ends = keeper.rows("ends")
    assert keeper.rows("topics") == [(name, 1)]
    assert all(started <= int(str(row[3])) <= told for row in ends if row[2] == 0)
    assert any(int(str(row[3])) <= sent + 2_000_000 for row in ends if row[2] == 1)


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


def test_records_that_retention_takes_before_they_are_fetched_are_a_gap(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    """The reader is stalled on a full memory while the log's start passes it by."""
    kafka.create_topic(name)
    send(kafka, name, names("n", 2_000))
    stalled = Flaky(keeper, failures=10**6)
    settings = dataclasses.replace(settings_for(kafka, name, name), max_batch_records=100)
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


def recreate(kafka: Kafka, name: str) -> None:
    admin = kafka.admin()
    admin.delete_topics([name])
    until(lambda: name not in admin.list_topics())
    admin.close()
    kafka.create_topic(name)


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

    assert (name, 0, GapReason.RECREATED, 0) in keeper.rows("gaps")
    assert set(keeper.times()) == {*names("old", 50), *names("new", 80)}


class Flaky(SqliteKeeper):
    """A store that is away for its first *failures* calls."""

    def __init__(self, real: SqliteKeeper, failures: int) -> None:
        self.__dict__.update(real.__dict__)
        self.failures = failures
        self.failed = 0

    def keep(self, batches: Sequence[Batch]) -> None:
        if self.failed < self.failures:
            self.failed += 1
            raise OSError("the store is away")
        super().keep(batches)


def test_a_store_that_is_away_for_a_while_loses_nothing(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name, partitions=2)
    send(kafka, name, names("flaky", 3_000))
    flaky = Flaky(keeper, failures=3)

    with running(settings_for(kafka, name, name), flaky):
        until(lambda: keeper.count() == 3_000)

    assert flaky.failed == 3
    assert keeper.times() == once(names("flaky", 3_000))


def test_a_partition_that_is_refused_stops_alone_and_goes_on_when_it_is_let(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    good, bad = f"{name}-good", f"{name}-bad"
    for topic in (good, bad):
        kafka.create_topic(topic)
    send(kafka, bad, ["first", REFUSED, "last"])
    send(kafka, good, names("good", 100))

    with running(settings_for(kafka, name, good, bad), keeper):
        until(lambda: keeper.count() == 100)
        send(kafka, good, names("more", 100))
        until(lambda: keeper.count() == 200)
    held = keeper.rows("positions")
    lenient = Lenient(keeper)
    with running(settings_for(kafka, name, good, bad), lenient):
        until(lambda: lenient.refused > 1)
        lenient.strict = lenient.refuses = False
        until(lambda: keeper.count() == 203)

    assert [row[0] for row in held] == [good]
    assert set(keeper.times().values()) == {1}
    assert {"first", "last"} < set(keeper.times())


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


def test_group_offsets_are_published_for_those_who_display_lag(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("lag", 40))
    connection = Connection(bootstrap_servers=kafka.bootstrap)
    with Admin(connection) as admin:
        with running(settings_for(kafka, name, name), keeper):
            until(lambda: admin.group_offsets(name) == {(name, 0): 40})
        send(kafka, name, names("later", 2))

        assert [lag.records for lag in admin.lag(name, [name])] == [2]


def test_a_stored_position_wins_over_the_groups_own(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("n", 40))
    with Admin(Connection(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.publish_group_offsets(name, {(name, 0): 35})

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == 40)

    assert keeper.times() == once(names("n", 40))


def test_a_missing_topic_is_waited_for_and_the_others_are_read(
    kafka: Kafka, keeper: SqliteKeeper, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    there, late = f"{name}-there", f"{name}-late"
    kafka.create_topic(there)
    send(kafka, there, ["a"])
    with running(settings_for(kafka, name, there, late), keeper):
        until(lambda: keeper.count() == 1)
        kafka.create_topic(late)
        send(kafka, late, ["b"])
        until(lambda: keeper.count() == 2)

    assert keeper.times() == once(["a", "b"])
    assert f"waiting for topics that do not exist: {late}" in caplog.text


def test_a_topic_that_we_create_is_dated_by_the_broker(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    settings = dataclasses.replace(
        settings_for(kafka, name), topics={name: Source("test", Names(), create_partitions=3)}
    )
    with running(settings, keeper):
        publish(settings.connection, name, [Outgoing(b"a", timestamp=1)])
        until(lambda: keeper.count() == 1)
    with Admin(settings.connection) as admin:
        seen = admin.topics([name])

        assert [topic.partitions for topic in seen] == [3]
        assert admin.create_topic(name, 3) is False


def test_an_unreachable_kafka_is_one_error_that_names_its_address(keeper: SqliteKeeper) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = WorkerSettings(
        bootstrap_servers=address, group="g", topics={}, start_patience=0.5
    )

    with pytest.raises(KafkaUnreachable, match=address):
        run_worker(settings, keeper)


def test_no_text_of_a_record_gets_into_the_log(
    kafka: Kafka, keeper: SqliteKeeper, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    kafka.create_topic(name)
    send(kafka, name, ["CANARY-1", "CANARY-\N{SNOWMAN}", REFUSED])
    caplog.clear()

    with running(settings_for(kafka, name, name), keeper):
        until(lambda: "is stopped" in caplog.text, 20)

    assert "is stopped: LogWentBack" in caplog.text
    assert "CANARY" not in caplog.text
