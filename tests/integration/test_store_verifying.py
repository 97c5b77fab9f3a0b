"""What ``verify`` finds wrong with stored positions, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.intake import Batch, Coordinates, Gap, GapReason, Reason, Reject, TopicSeen
from monitor.store.engine import reading
from monitor.store.verifying import verify
from tests.integration.store_kit import MARKS, NOW, TOPIC, batch, keeper, sqlite_engine

# The topic id that ``store_kit.batch`` gives is "id".
AS_IT_IS = TopicSeen(TOPIC, "id", 2)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        keeping = keeper(made)
        keeping.topics([AS_IT_IS])
        keeping.keep([rejecting(7, (0, None, 8)), batch([], move=(1, None, 3))])
        yield made


def rejecting(offset: int, move: tuple[int, int | None, int]) -> Batch:
    reject = Reject(Coordinates(TOPIC, move[0], offset), Reason.NOT_JSON)
    return batch([], move=move, rejects=[reject], records=1)


def wrong(engine: Engine) -> str | None:
    """Return what the check of positions says, None if it holds."""
    with reading(engine) as connection:
        found = {one.check: one for one in verify(connection, MARKS)}["positions"]
    return None if found.holds else found.detail


def test_positions_that_batches_wrote_are_right(engine: Engine) -> None:
    assert wrong(engine) is None


def test_a_topic_that_was_recreated_and_not_read_anew_is_told(engine: Engine) -> None:
    keeper(engine).topics([TopicSeen(TOPIC, "another", 1)])

    assert wrong(engine) == (
        "wrong: faces/0 (of another topic of that name), faces/1 (of another topic of that name)"
    )


def test_a_partition_that_the_topic_does_not_have_is_told(engine: Engine) -> None:
    with engine.begin() as connection:  # by hand: what workers say of one topic only grows
        connection.exec_driver_sql("UPDATE topics SET partitions = 1")

    assert wrong(engine) == "wrong: faces/1 (no such partition in the topic)"


def test_a_position_that_was_set_back_by_hand_is_told_by_what_was_set_aside(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE positions SET next_offset = 7 WHERE partition = 0")

    assert wrong(engine) == "wrong: faces/0 (the record at 7 is set aside as read)"


@pytest.mark.parametrize("reason", list(GapReason))
def test_a_position_that_a_gap_set_back_is_right(engine: Engine, reason: GapReason) -> None:
    topic_id = "another" if reason is GapReason.RECREATED else "id"
    keeping = keeper(engine)
    for partition, expected in ((0, 8), (1, 3)):
        keeping.placed(gaps=[Gap(TOPIC, partition, topic_id, reason, expected, 0, NOW)])
    keeping.topics([TopicSeen(TOPIC, topic_id, 2)])

    assert wrong(engine) is None


def test_a_record_set_aside_once_more_by_a_replay_is_no_sign_against_a_position(
    engine: Engine,
) -> None:
    again = Reject(Coordinates(TOPIC, 0, 7), Reason.NOT_JSON)
    keeper(engine).keep_replayed([batch([], rejects=[again], records=1)], [])

    assert wrong(engine) is None


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("next_offset = -1", "faces/1 (no position)"),
        ("topic_id = ''", "faces/1 (no position), faces/1 (of another topic of that name)"),
        ("log_at = 5", "faces/1 (half a log position)"),
    ],
)
def test_what_no_batch_writes_is_told(engine: Engine, damage: str, told: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE positions SET {damage} WHERE partition = 1"  # noqa: S608 - of this table
        )

    assert wrong(engine) == f"wrong: {told}"
