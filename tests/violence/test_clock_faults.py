"""Producers whose clocks are wrong: what they date cannot poison a register, and is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import select

from monitor.facts import Instant
from monitor.identity import Identity
from monitor.store import schema
from monitor.store.digests import kept_digest
from monitor.store.engine import reading
from monitor.store.names import Names
from streams.adapters.cloudevents import CloudEvents
from streams.connection import Connection
from streams.publish import Outgoing, publish
from streams.reader import Source
from tests.acceptance.command import Forker
from tests.homes import event
from tests.integration.store_kit import keeper, notices, policy, rows, sqlite_engine
from tests.services.kafka import Kafka
from tests.violence.faults_kit import enrolled, millis, new_name, removed, scene, steady
from tests.workers import running, settings_for, until

AHEAD: Final = "2031-03-02T08:00:00Z"
LONG_AGO: Final = "2019-03-02T08:00:00Z"
# Kafka 4 refuses stamps of over an hour ahead; older brokers, and topics set so, take any.
ANY_STAMP: Final = {"message.timestamp.after.max.ms": str(2**63 - 1)}
BEFORE_ALL: Final = "1999-03-02T08:00:00Z"
LIMIT: Final = 1_000  # rejects of a partition's latest 10,000 records, by default
FLOOD: Final = 1_500
YEARS: Final[Instant] = 6 * 366 * 24 * 3600 * 1_000_000


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as started:
        yield started


def test_a_producer_years_ahead_wins_no_register_and_starts_no_clock(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    """Its records are dated by itself: both times are wrong, and only our own clock knows."""
    world = scene(kafka, forker, tmp_path, at_least=3)
    kafka.create_topic(world.topic, config=ANY_STAMP)
    wrong = [
        event("ann", time=AHEAD),
        event("bob", kind="face.removed", time=AHEAD),
        event(None, kind="system.purged", time=AHEAD),
        event(None, kind="processor.terminated", time=AHEAD),
    ]
    world.put(*wrong, timestamp=millis("2031-03-02"))
    world.put(enrolled("ann", "08:00"), enrolled("bob", "08:00"), enrolled("eve", "08:01"))
    world.put(removed("ann", "08:02"))

    with world.running() as worker:
        world.until_read(8)
        world.until_reached("yes")
        shown = worker.metrics()

    counted = f"facetally_records_rejected_total{{reason=in_the_future,topic={world.topic}}}"
    assert world.individuals() == 2
    assert [duty["rule"] for duty in world.facetally.duties()] == ["frt.file"]
    assert world.rejected() == {"in_the_future": len(wrong)}
    assert shown[counted] == len(wrong)


def test_a_flood_from_a_producer_years_ahead_stops_its_partition_and_pages_once(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    world = scene(kafka, forker, tmp_path)
    kafka.create_topic(world.topic, partitions=2)
    world.put(*(event(f"p{number}", time=AHEAD) for number in range(FLOOD)))
    held = f"facetally_partition_held{{partition=0,topic={world.topic}}}"
    world.put(enrolled("ann", "08:00"), partition=1)

    with world.running() as worker:
        world.until_told("partition_stopped")
        world.until_individuals(1)
        until(lambda: worker.metrics().get(held) == 1)
        stays = steady(lambda: worker.metrics().get(held) == 1, 2)
        shown = worker.metrics()

    (page,) = world.told("partition_stopped")
    read = world.facetally.positions()[f"{world.topic}/0"]
    assert page["partition"] == f"{world.topic}/0"
    assert stays
    assert shown[held.replace("=0,", "=1,")] == 0
    assert shown[held.replace("held", "lag_records")] == FLOOD - read
    assert sum(world.rejected().values()) <= LIMIT


def test_a_producer_years_behind_can_move_a_trigger_day_earlier_which_is_paged(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=2)
    kafka.create_topic(world.topic)
    world.put(enrolled("ann", "08:00"), enrolled("bob", "08:01"))

    with world.running():
        world.until_reached("yes")
        before = [duty["trigger_day"] for duty in world.facetally.duties()]
        world.put(event("ann", time=LONG_AGO), event("bob", time=LONG_AGO))
        world.until_told("duty_moved")

    (page,) = world.told("duty_moved")
    (duty,) = world.facetally.duties()
    assert before == ["2026-03-02"]
    assert (page["was_trigger_day"], page["trigger_day"]) == ("2026-03-02", LONG_AGO[:10])
    assert duty["trigger_day"] == LONG_AGO[:10]
    assert world.individuals() == 2


def test_a_producer_years_behind_wins_no_register(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    world = scene(kafka, forker, tmp_path)
    kafka.create_topic(world.topic)
    world.put(enrolled("ann", "08:00"), removed("ann", "08:01"), enrolled("bob", "08:01"))
    world.put(event("ann", time=LONG_AGO), event("bob", kind="face.removed", time=LONG_AGO))
    world.put(event("eve", time=BEFORE_ALL))

    with world.running():
        world.until_read(6)

    assert world.individuals() == 1
    assert world.rejected() == {"too_early": 1}
    assert world.holds()


def test_a_record_that_its_producer_dates_years_before_its_event_is_set_aside_and_shown(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    """Of two clocks that differ by years nobody can say which is right."""
    world = scene(kafka, forker, tmp_path)
    kafka.create_topic(world.topic)
    world.put(enrolled("ann", "08:00"), timestamp=millis("2001-03-02"))
    world.put(enrolled("bob", "08:00"))

    with world.running():
        world.until_read(2)

    assert world.individuals() == 1
    assert world.rejected() == {"in_the_future": 1}


def _reading(kafka: Kafka, topic: str, home: Path, later: Instant) -> tuple[str, list[int]]:
    """Read *topic* into a new database with a clock that is *later*; return digest and rejects."""
    home.mkdir()
    settings = replace(
        settings_for(kafka, new_name("g"), topic),
        topics={topic: Source("cloudevents", CloudEvents(Identity("5e" * 32)))},
        clock=lambda: time.time_ns() // 1000 + later,
    )
    with sqlite_engine(home) as engine:
        with running(settings, keeper(engine, policy(3))):
            until(lambda: [row.next_offset for row in rows(engine, "positions")] == [4])
        with reading(engine) as connection:
            kept = kept_digest(connection, Names.load(connection)).registers
            table = schema.rejects.c
            rejected = connection.scalars(select(table.offset).order_by(table.offset))
            return kept, list(rejected)


def _put(kafka: Kafka, topic: str, stamp: str | None) -> None:
    """Publish four events, two of them of 2031, each record dated *stamp* by its producer."""
    events = [
        enrolled("ann", "08:00"),
        event("ann", kind="face.removed", time=AHEAD),
        enrolled("bob", "08:01"),
        event("eve", time=AHEAD),
    ]
    dated = None if stamp is None else millis(stamp)
    records = [Outgoing(one.encode(), timestamp=dated) for one in events]
    publish(Connection(bootstrap_servers=kafka.bootstrap), topic, records)


@pytest.mark.parametrize(
    ("dated", "stamp"),
    [("LogAppendTime", "2031-03-02"), ("CreateTime", "2026-03-02")],
    ids=["dated-by-the-broker", "dated-rightly-by-its-producer"],
)
def test_a_replay_years_later_decides_the_same_about_dates_in_the_future(
    kafka: Kafka, tmp_path: Path, dated: str, stamp: str
) -> None:
    topic = new_name()
    kafka.create_topic(topic, config=ANY_STAMP | {"message.timestamp.type": dated})
    _put(kafka, topic, stamp)

    now = _reading(kafka, topic, tmp_path / "now", 0)
    later = _reading(kafka, topic, tmp_path / "later", YEARS)

    assert now[1] == [1, 3]
    assert later == now


def test_a_replay_takes_what_two_wrong_clocks_dated_once_that_day_has_come(
    kafka: Kafka, tmp_path: Path
) -> None:
    """A known limit, and why topics should be dated by the broker: nothing tells when it came."""
    topic = new_name()
    kafka.create_topic(topic, config=ANY_STAMP)
    _put(kafka, topic, "2031-03-02")

    now = _reading(kafka, topic, tmp_path / "now", 0)
    later = _reading(kafka, topic, tmp_path / "later", YEARS)

    assert now[1] == [1, 3]
    assert later[1] == []
    assert later[0] != now[0]


@pytest.mark.parametrize("dated", ["LogAppendTime", "CreateTime"])
def test_a_clock_of_ours_that_is_behind_rejects_nothing_that_the_broker_dated(
    kafka: Kafka, tmp_path: Path, dated: str
) -> None:
    """Until it is right the partition waits, paged once; a producer's date proves nothing."""
    topic = new_name()
    kafka.create_topic(topic, config={"message.timestamp.type": dated})
    behind = [10 * 60 * 1_000_000]
    settings = replace(
        settings_for(kafka, new_name("g"), topic),
        topics={topic: Source("cloudevents", CloudEvents(Identity("5e" * 32)))},
        clock=lambda: time.time_ns() // 1000 - behind[0],
    )
    now = datetime.now(UTC).isoformat()
    outgoing = [Outgoing(event(one, time=now).encode()) for one in ("ann", "bob")]
    with sqlite_engine(tmp_path) as engine:
        with running(settings, keeper(engine, policy(3))):
            publish(Connection(bootstrap_servers=kafka.bootstrap), topic, outgoing)
            until(lambda: bool(notices(engine, "clock_behind") or rows(engine, "rejects")))
            time.sleep(2.5)  # tried again each second
            pages, rejected = notices(engine, "clock_behind"), rows(engine, "rejects")
            (waiting,) = rows(engine, "positions")
            behind[0] = 0
            read = until(lambda: [row.next_offset for row in rows(engine, "positions")] == [2])
        stock = rows(engine, "stock")
        (after,) = rows(engine, "positions")

    assert read
    if dated == "LogAppendTime":
        assert (len(pages), rejected) == (1, [])
        assert (waiting.next_offset, waiting.stopped_at is None) == (0, False)
        assert [row.individuals for row in stock if row.kind == 0] == [2]
        assert after.stopped_at is None
    else:
        assert (len(pages), len(rejected)) == (0, 2)
