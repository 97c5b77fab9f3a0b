"""When the number that began with a snapshot may be called verified: after all of it was read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.facts import Enrolled, Order, Place, Store, Version
from monitor.intake import Batch, EndSeen, Move, SnapshotSign, TopicSeen
from monitor.store.engine import reading
from monitor.store.keeper import SqlKeeper
from monitor.store.reading import status
from monitor.trust import Sources
from tests.integration.store_kit import NOW, one_topic, policy, sqlite_engine

TOPIC = next(iter(one_topic("acme")))
READ = NOW - 1_000
TABLE = Store("gallery", Order.LOG)
ROW = SnapshotSign("db", READ, row=True)
LAST_OF_TABLE = SnapshotSign("db", READ, row=True, ends_table=True)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


def row(number: int) -> Enrolled:
    place = Place("acme", "gate", "")
    face = number.to_bytes(16, "big")
    return Enrolled(TABLE, face, place, face, Version(0, 7, 7), READ, READ)


def part(partition: int, numbers: range, *signs: SnapshotSign, start: int | None = None) -> Batch:
    end = (start or 0) + len(numbers)
    return Batch(
        source="s",
        topic=TOPIC,
        facts=[row(number) for number in numbers],
        read_at=NOW,
        move=Move(TOPIC, partition, "id", start, end),
        instant=READ,
        signs=signs,
        records=len(numbers),
    )


def reasons(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        shown = status(connection, policy().rules, Sources(feeding=one_topic))
    (acme,) = shown.processors
    return [why.reason for why in acme.unverified]


def started(engine: Engine) -> SqlKeeper:
    keeper = SqlKeeper(engine, policy(), one_topic, NOW)
    keeper.topics([TopicSeen(TOPIC, "id", 2)])
    return keeper


def at_ends(keeper: SqlKeeper, ends: dict[int, int]) -> None:
    """Find these ends, and read them, by a clock that says nothing."""
    moment = keeper.moment()
    keeper.ends([EndSeen(TOPIC, number, end, NOW, moment) for number, end in ends.items()])


def test_rows_without_an_end_are_a_snapshot_that_runs(engine: Engine) -> None:
    started(engine).keep([part(0, range(3), ROW)])

    assert reasons(engine) == ["snapshot_running"]


def test_an_end_on_one_partition_says_nothing_of_one_that_lags(engine: Engine) -> None:
    keeper = started(engine)
    keeper.keep([part(0, range(3), LAST_OF_TABLE)])
    at_ends(keeper, {0: 3})

    assert reasons(engine) == ["snapshot_running"]


def test_an_end_looked_up_before_the_last_row_was_known_does_not_count(engine: Engine) -> None:
    keeper = started(engine)
    keeper.keep([part(1, range(3, 5), ROW)])
    at_ends(keeper, {1: 2})
    keeper.keep([part(0, range(3), LAST_OF_TABLE)])
    at_ends(keeper, {0: 3})

    assert reasons(engine) == ["snapshot_running"]


def test_read_to_the_end_of_every_partition_it_is_verified(engine: Engine) -> None:
    keeper = started(engine)
    keeper.keep([part(0, range(3), LAST_OF_TABLE), part(1, range(3, 5), ROW)])
    at_ends(keeper, {0: 3, 1: 2})

    assert reasons(engine) == []
