"""Facts that come in while the book is looked back on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine

from monitor.facts import Linked, StorageFact, Version
from monitor.store import looking as looking_back
from monitor.store.keeper import SqlKeeper
from monitor.store.looking import Looking
from monitor.store.names import Registry
from monitor.store.sweeping import divide
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, days, standing
from tests.integration.store_kit import (
    NOW,
    batch,
    differences,
    keeper,
    one_topic,
    postgres_engine,
    sqlite_engine,
)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as made:
        yield made


# -- facts that come in while we look back -----------------------------------------------------


class Interrupted(Looking):
    """A look back during which something else happens, between its read and its end."""

    def __init__(self, engine: Engine, meanwhile: Callable[[], None]) -> None:
        super().__init__(engine, POLICY, one_topic)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def _finish(self, *arguments: object) -> bool:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super()._finish(*arguments)  # type: ignore[arg-type]  # as they came


@pytest.mark.parametrize(
    "meanwhile",
    [
        [enrolled(CY, MARCH_2 - DAY), enrolled(ANN, MARCH_2 - DAY)],  # makes it earlier
        [subject_removed(ANN, MARCH_2 + 1, 1)],  # takes it away
        [enrolled(CY, MARCH_2 + DAY), subject_removed(CY, MARCH_2 + 2 * DAY)],  # changes nothing
        [Linked(ACME, BOB, ANN, Version(MARCH_2, 0, 0), MARCH_2)],  # makes two to one
    ],
    ids=["earlier", "gone", "same", "linked"],
)
@pytest.mark.parametrize("first", [TWO[:1], TWO], ids=["below", "reached"])
def test_what_comes_in_while_we_look_back_is_not_missed(
    engine: Engine, first: list[StorageFact], meanwhile: list[StorageFact]
) -> None:
    feed = Feed(engine)
    feed.read(0, first)
    late: list[StorageFact] = [
        enrolled(ANN, MARCH_2 - 5),
        enrolled(BOB, MARCH_2 - 4),
        subject_removed(BOB, MARCH_2),
    ]
    feed.read(0, late, NOW + 1)
    names = Registry(engine, POLICY.marks).names
    looking = Interrupted(engine, lambda: feed.read(1, meanwhile, NOW + 2))
    looking.recount(names, ACME, NOW + 3)
    feed.keeper.finish(NOW + 4)

    assert differences(engine, [*first, *late, *meanwhile], POLICY) == []


def test_two_workers_do_not_look_back_on_one_processor_at_once(postgresql: Engine) -> None:
    """The second would take what came in during the first look for its own, and the first win."""
    feed = Feed(postgresql)
    late: list[StorageFact] = [
        enrolled(ANN, MARCH_2),
        subject_removed(ANN, MARCH_2 + 1),
        enrolled(BOB, MARCH_2 - 1),
    ]
    meanwhile = [enrolled(CY, MARCH_2 - DAY), enrolled(BOB, MARCH_2 - DAY)]
    for fact in late:
        feed.read(0, [fact])
    names = Registry(postgresql, POLICY.marks).names
    outcome: list[bool] = []

    def second_worker() -> None:
        feed.read(1, meanwhile, NOW + 2)
        outcome.append(Looking(postgresql, POLICY, one_topic).recount(names, ACME, NOW + 2))

    Interrupted(postgresql, second_worker).recount(names, ACME, NOW + 3)
    keeper(postgresql, POLICY).finish(NOW + 4)

    assert outcome == [False]
    assert differences(postgresql, [*late, *meanwhile], POLICY) == []


def test_batches_come_in_while_the_book_is_read(
    postgresql: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer keeps on, in a thread of its own, for as long as the look back takes."""
    feed = Feed(postgresql)
    facts: list[StorageFact] = [*TWO, subject_removed(BOB, MARCH_2 + 2)]
    feed.read(0, facts)
    extra = [enrolled(CY, MARCH_2 - n) for n in range(1, 9)] + [enrolled(ANN, MARCH_2 - 9)]
    feed.read(0, [extra[0]])
    reading, written = Event(), Event()

    def write() -> None:
        reading.wait(10)
        for fact in extra[1:]:
            feed.read(1, [fact], NOW + 2)
        written.set()

    def slow(*arguments: object, **more: object) -> object:
        reading.set()
        written.wait(10)
        return divide(*arguments, **more)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(looking_back, "divide", slow)
    writer = Thread(target=write)
    writer.start()
    names = Registry(postgresql, POLICY.marks).names
    Looking(postgresql, POLICY, one_topic).recount(names, ACME, NOW + 3)
    writer.join(10)
    monkeypatch.undo()
    keeper(postgresql, POLICY).finish(NOW + 4)

    assert differences(postgresql, [*facts, *extra], POLICY) == []


def test_what_a_look_back_finds_was_seen_when_it_looked_and_not_when_it_was_asked_for(
    engine: Engine,
) -> None:
    """An end that was looked up in between says nothing of a partition that lags."""
    feed = Feed(engine)
    feed.read(0, TWO[:1])
    feed.read(0, [enrolled(BOB, MARCH_2 - 5), subject_removed(BOB, MARCH_2 - 4)])
    feed.at_end(1, NOW + 1)
    feed.at_end(0, NOW + 20)
    late = SqlKeeper(engine, POLICY, one_topic, NOW, clock=lambda: NOW + 9)
    feed.read(0, [enrolled(BOB, MARCH_2 - 1)], NOW + 8)
    feed.at_end(0, NOW + 20)
    late.tick(NOW)

    assert (standing(engine), days(engine)) == ("pending", [])


def test_files_that_are_applied_confirm_no_reach_of_what_is_read_from_kafka(
    engine: Engine,
) -> None:
    feed = Feed(engine)
    feed.read(0, TWO)
    feed.tick(NOW)
    feed.keeper.keep([batch([enrolled(CY, MARCH_2 - DAY)], topic="file", read_at=NOW + 1)])
    feed.keeper.finish(NOW + 2)

    assert (standing(engine), days(engine)) == ("pending", [])
