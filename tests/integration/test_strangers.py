"""Two databases under one group: each is told that it reads a part only."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.store.keeper import SqlKeeper
from streams.placing import Committed, from_metadata, to_metadata
from streams.strangers import Strangers
from streams.transport import Partition
from tests.builders import ANN, BOB, CY, enrolled
from tests.integration.store_kit import NOW, TOPIC, batch, keeper, notices, rows, sqlite_engine
from tests.integration.test_store_beginnings import POLICY, Broker, Here, reasons

OURS, THEIRS = (TOPIC, 0), (TOPIC, 1)


@dataclasses.dataclass
class Group(Broker):
    """What the group says of two partitions."""

    said_of: dict[Partition, Committed]

    def committed(self, group: str) -> dict[Partition, Committed]:  # noqa: ARG002 - there is one
        return self.said_of


def said_by(monitor: SqlKeeper, offset: int) -> Committed:
    """Return what a worker on this database has published."""
    return Committed(offset, from_metadata(to_metadata(monitor.written())))


def looking(engine: Engine, group: Group, times: int, ours: Iterable[Partition] = (OURS,)) -> None:
    strangers = Strangers(keeper(engine, POLICY), group, "g", Here(), [TOPIC], lambda: NOW)

    async def look() -> None:
        for _ in range(times):
            await strangers.look(ours)

    asyncio.run(look())


@pytest.fixture
def two(tmp_path: Path) -> Iterable[tuple[Engine, SqlKeeper]]:
    """Yield our database, which has read both partitions, and the keeper of a stranger's."""
    with ExitStack() as stack:
        engine = stack.enter_context(sqlite_engine(tmp_path, "ours"))
        other = stack.enter_context(sqlite_engine(tmp_path, "theirs"))
        ours, theirs = keeper(engine, POLICY), keeper(other, POLICY)
        for partition in (0, 1):
            ours.keep([batch([enrolled(ANN, partition)], move=(partition, None, 5))])
        theirs.keep([batch([enrolled(BOB, 1)], move=(1, None, 9), read_at=NOW + 7)])
        yield engine, theirs


def test_a_worker_with_another_database_in_our_group_is_told_once(
    two: tuple[Engine, SqlKeeper],
) -> None:
    engine, theirs = two
    group = Group({OURS: Committed(5), THEIRS: said_by(theirs, 9)})
    looking(engine, group, 1)
    before = reasons(engine)
    looking(engine, group, 5)
    (page,) = notices(engine, "database_restored")
    entries = [row for row in rows(engine, "audit") if row.kind == "database.restored"]

    assert before == {"acme": []}
    assert reasons(engine) == {"acme": ["database_restored"]}
    assert json.loads(page.body)["partition"] == f"{TOPIC}/1"
    assert len(entries) == 1


def test_another_worker_with_our_database_is_no_stranger(two: tuple[Engine, SqlKeeper]) -> None:
    engine, _ = two
    second = keeper(engine, POLICY)
    group = Group({OURS: Committed(5), THEIRS: said_by(second, 5)})
    second.keep([batch([enrolled(CY, 3)], move=(1, 5, 6))])
    looking(engine, group, 5)

    assert reasons(engine) == {"acme": []}


def test_what_is_ours_and_what_is_no_configured_topic_says_nothing_of_strangers(
    two: tuple[Engine, SqlKeeper],
) -> None:
    engine, theirs = two
    word = said_by(theirs, 9)
    looking(engine, Group({OURS: word, ("other", 0): word, THEIRS: Committed(9)}), 5)

    assert reasons(engine) == {"acme": []}


def test_a_word_that_is_replaced_before_the_next_look_says_nothing(
    two: tuple[Engine, SqlKeeper],
) -> None:
    """A worker of ours that has just taken the partition over publishes its own."""
    engine, theirs = two
    group = Group({THEIRS: said_by(theirs, 9)})
    strangers = Strangers(keeper(engine, POLICY), group, "g", Here(), [TOPIC], lambda: NOW)

    async def look() -> None:
        for said in (said_by(theirs, 9), said_by(keeper(engine, POLICY), 5)) * 3:
            group.said_of[THEIRS] = said
            await strangers.look([OURS])

    asyncio.run(look())

    assert reasons(engine) == {"acme": []}
