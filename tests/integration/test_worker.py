"""The way in, against a real Kafka: nothing twice, nothing lost, whatever is killed or stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from monitor.intake import Reason
from streams.admin import Admin
from streams.connection import Connection, KafkaUnreachable
from streams.publish import CODECS, Outgoing, publish
from streams.reader import Source
from streams.worker import WorkerSettings, run_worker
from tests.keeper import REFUSED, Names, SqliteKeeper
from tests.services.kafka import Kafka
from tests.services.process import free_port
from tests.workers import (
    Flaky,
    Lenient,
    Slow,
    names,
    once,
    publishing,
    running,
    send,
    settings_for,
    until,
    worker_process,
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
    seeded = random.Random(3)

    with publishing(kafka, name) as sent:
        for _ in range(6):
            before = keeper.count()
            worker = worker_process(kafka, database, name, "one", [name])
            until(lambda seen=before: keeper.count() > seen)  # type: ignore[misc]  # a default of a lambda
            time.sleep(seeded.uniform(0.0, 0.3))
            worker.kill()
    rest = names("rest", 50)  # however fast the workers were, something is left for the last one
    send(kafka, name, rest)
    with running(settings_for(kafka, name, name), keeper):
        until(lambda: keeper.count() == len(sent) + len(rest))

    assert keeper.times() == once([*sent, *rest])


def test_two_workers_that_rebalance_under_way_apply_each_record_once(
    kafka: Kafka, database: Path, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name, partitions=4)

    def progress() -> bool:
        seen = keeper.count()
        return until(lambda: keeper.count() > seen + 2_000)

    with publishing(kafka, name) as sent:
        first = worker_process(kafka, database, name, "one", [name])
        began = progress()
        second = worker_process(kafka, database, name, "two", [name])
        time.sleep(2)
        shared = progress()
        first.stop()
        alone = progress()
        first = worker_process(kafka, database, name, "one", [name])
        time.sleep(2)
        second.kill()
        inherited = progress()
    until(lambda: keeper.count() == len(sent))
    first.stop()

    assert (began, shared, alone, inherited) == (True, True, True, True)
    assert keeper.times() == once(sent)


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


def test_a_worker_can_be_stopped_while_the_broker_is_away(
    kafka: Kafka, database: Path, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    send(kafka, name, names("n", 10))
    worker = worker_process(kafka, database, name, "", [name])
    until(lambda: keeper.count() == 10)
    kafka.stop()
    asked = time.monotonic()
    worker.stop(seconds=30)
    took = time.monotonic() - asked
    kafka.start()

    assert took < 20


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
    with running(settings, keeper):
        until(lambda: bool(keeper.rows("ends")))
        send(kafka, name, ["a"])
        appended = settings.clock()
        until(lambda: any(row[2] == 1 for row in keeper.rows("ends")))

    ends = keeper.rows("ends")
    assert keeper.rows("topics") == [(name, 1)]
    assert {row[2] for row in ends} == {0, 1}
    assert all(int(str(row[3])) <= appended for row in ends if row[2] == 0)


def test_the_end_of_a_partition_that_is_never_idle_is_told_when_it_is_passed(
    kafka: Kafka, keeper: SqliteKeeper, name: str
) -> None:
    kafka.create_topic(name)
    with publishing(kafka, name) as sent, running(settings_for(kafka, name, name), Slow(keeper, 2)):
        before = keeper.count()
        busy = until(lambda: keeper.count() > before + 2_000)
        ends = {row[2] for row in keeper.rows("ends")}
        told = until(lambda: {row[2] for row in keeper.rows("ends")} > ends)
        behind = keeper.count() < len(sent)

    assert (busy, told, behind) == (True, True, True)


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

    assert {row[0]: row[-1] for row in held} == {good: 200, bad: 0}
    assert set(keeper.times().values()) == {1}
    assert {"first", "last"} < set(keeper.times())


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
    settings = WorkerSettings(bootstrap_servers=address, group="g", topics={}, start_patience=0.5)

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
