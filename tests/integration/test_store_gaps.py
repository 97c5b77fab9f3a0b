"""A gap marks whoever the topic ever fed, even if it only ever took faces away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.facts import Enrolled, Order, Place, Removed, StorageFact, Store, Truncated, Version
from monitor.intake import Gap, GapReason
from monitor.store.engine import reading
from monitor.store.reading import status
from monitor.store.verifying import verify
from tests.integration.store_kit import MARKS, NOW, batch, keeper, policy, rows, sqlite_engine

TABLE = Store("gallery", Order.LOG)
FACE = bytes(15) + b"f"
KEPT = Enrolled(
    TABLE, FACE, Place("acme", "gate", ""), bytes(15) + b"s", Version(0, 1, 1), NOW, NOW
)
GONE = Removed(TABLE, FACE, None, None, Version(0, 2, 2), NOW, NOW)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


@pytest.mark.parametrize("fact", [GONE, Truncated(TABLE, Version(0, 2, 2), NOW)])
def test_a_gap_in_a_topic_of_deletions_marks_those_whose_faces_they_were(
    engine: Engine, fact: StorageFact
) -> None:
    monitor = keeper(engine)
    monitor.keep([batch([KEPT], topic="rows")])
    monitor.keep([batch([fact], topic="deletions", move=(0, None, 1))])
    monitor.placed(gaps=[Gap("deletions", 0, "other", GapReason.RECREATED, 1, 0, NOW)])

    with reading(engine) as connection:
        (acme,) = status(connection, policy().rules).processors
    assert [(why.reason, why.topic) for why in acme.unverified] == [("gap.recreated", "deletions")]


def test_verify_finds_a_first_reach_that_the_book_does_not_know(engine: Engine) -> None:
    keeper(engine, policy(1)).keep([batch([KEPT])])
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE reaches SET trigger_at = trigger_at - 1")

    with reading(engine) as connection:
        wrong = [one.check for one in verify(connection, MARKS) if not one.holds]
    assert rows(engine, "reaches")[0].trigger_at == NOW - 1
    assert wrong == ["first reach of frt.file by acme"]
