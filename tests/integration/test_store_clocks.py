"""Our own clocks may step back, run ahead or differ: no duty too many, and nothing is hidden.

What was seen and looked up in which order is told by moments of the database; clocks are told.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterable
from datetime import date
from threading import Thread
from typing import cast

import pytest
from sqlalchemy import Engine

from monitor.intake import Ahead, EndSeen, TopicSeen
from monitor.store import files, moments, overdue
from monitor.store.engine import reading
from monitor.store.files import File, Run
from monitor.store.keeper import SqlKeeper
from monitor.store.names import Registry
from monitor.store.reading import status
from monitor.trust import Sources
from streams.admin import Admin
from streams.placing import Committed, Span
from streams.reader import Source
from streams.transport import Partition
from streams.watch import Watch
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, days, standing
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    SECOND,
    TOPIC,
    batch,
    keeper,
    notices,
    one_topic,
    policy,
    postgres_engine,
    rows,
)
from tests.integration.test_store_beginnings import Broker, Here, Pace, placed, reader_of, until
from tests.keeper import Names

HOUR = 60 * MINUTE
YEAR = 365 * DAY
BEHIND = [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 20)]  # a removal may lie between them
OPENED = [("frt.file", date(2026, 3, 2))]
LIMIT = 24 * HOUR
LISTENING = Sources(feeding=one_topic, silent_after={TOPIC: LIMIT})
QUIET = dataclasses.replace(policy(2), sources=LISTENING)


# -- what was looked up before a reach was seen, by whatever clock ------------------------------


def test_after_our_clock_stepped_back_an_end_of_before_confirms_nothing(engine: Engine) -> None:
    """Partition 1 was at its end by a clock that was then set back an hour; now it lags."""
    feed = Feed(engine)
    feed.at_end(0, NOW + HOUR)
    feed.at_end(1, NOW + HOUR)
    feed.tick(NOW + HOUR)
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 1)
    waited = (standing(engine), days(engine))
    feed.read(1, [subject_removed(ANN, MARCH_2 + 10), enrolled(CY, MARCH_2 + 5)], NOW + 2)
    feed.at_end(1, NOW + 3)
    feed.tick(NOW + 4)
    feed.at_end(0, NOW + 5)
    feed.at_end(1, NOW + 5)
    feed.tick(NOW + 6)

    assert waited == ("pending", [])
    assert (standing(engine), days(engine)) == ("yes", OPENED)


def test_an_end_that_a_worker_with_a_clock_ahead_found_before_confirms_nothing(
    engine: Engine,
) -> None:
    """Its clock is ten seconds ahead; it looked five seconds before the reach was seen."""
    feed = Feed(engine)
    feed.at_end(1, NOW - 5 * SECOND + 10 * SECOND)
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)

    assert (standing(engine), days(engine)) == ("pending", [])


def test_an_end_that_a_worker_with_a_clock_behind_found_since_confirms(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, BEHIND)
    feed.at_end(0, NOW - HOUR)
    feed.at_end(1, NOW - HOUR)
    feed.tick(NOW + 2)

    assert (standing(engine), days(engine)) == ("yes", OPENED)


def test_an_end_that_was_asked_for_while_a_reach_was_being_kept_confirms_nothing(
    engine: Engine,
) -> None:
    """Its transaction is open: what led to it was read, what takes it away may be written now."""
    asking = keeper(engine, POLICY)
    with engine.begin() as connection:
        number = moments.take(connection)
        asked = asking.moment()

    assert asked < number == asking.moment()


def test_two_who_see_something_at_once_see_it_in_the_order_of_their_commits(
    postgres_url: str,
) -> None:
    with postgres_engine(postgres_url) as engine:
        later: list[int] = []

        def second() -> None:
            with engine.begin() as connection:
                later.append(moments.take(connection))

        other = Thread(target=second)
        with engine.begin() as connection:
            first = moments.take(connection)
            other.start()
            other.join(0.3)
            waits = other.is_alive()
        other.join(10)

    assert waits
    assert later == [first + 1]


def test_a_look_that_took_long_takes_back_no_newer_one(engine: Engine) -> None:
    """Of two workers one was frozen after it had looked; it tells its end last."""
    feed = Feed(engine)
    long_ago = feed.keeper.moment()
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.at_end(1, NOW + 1)
    feed.at_end(1, NOW + HOUR, moment=long_ago)
    feed.tick(NOW + 2)

    assert (standing(engine), days(engine)) == ("yes", OPENED)


def test_an_end_at_a_moment_of_another_copy_of_the_database_is_none(engine: Engine) -> None:
    """It was put back while a worker looked: its moments begin again at smaller numbers."""
    feed = Feed(engine)
    feed.at_end(1, NOW + 1, moment=feed.keeper.moment() + 5)
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)

    assert [row.partition for row in rows(engine, "ends")] == [0]
    assert (standing(engine), days(engine)) == ("pending", [])


def test_an_end_looked_up_before_a_look_back_found_the_reach_confirms_nothing(
    engine: Engine,
) -> None:
    """By a clock that was ahead of the one that looks back."""
    feed = Feed(engine)
    feed.read(0, TWO[:1])
    feed.read(0, [enrolled(BOB, MARCH_2 - 5), subject_removed(BOB, MARCH_2 - 4)])
    feed.read(0, [enrolled(BOB, MARCH_2 - 1)])
    due = [row.recount_due for row in rows(engine, "watches")]
    for partition in (0, 1):
        feed.at_end(partition, NOW + HOUR)
    feed.tick(NOW + 1)
    feed.tick(NOW + 2)
    before = (standing(engine), days(engine))
    for partition in (0, 1):
        feed.at_end(partition, NOW)
    feed.tick(NOW + 3)

    assert due == [True]
    assert before == ("pending", [])
    assert (standing(engine), days(engine)) == ("yes", OPENED)


class Racing(Broker):
    """A broker whose answer about ends comes after another worker has seen a reach."""

    def __init__(self, other: SqlKeeper) -> None:
        super().__init__(Span("id", 0, 0), Committed(0), Span("id", 0, 0))
        self._other = other

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        found = dict.fromkeys(partitions, 0)
        held = self._other.positions([(TOPIC, 0)]).get((TOPIC, 0))
        at = None if held is None else held.next_offset
        # What is written to partition 1 from now on is after its end.
        self._other.keep([batch(BEHIND, move=(0, at, 2), instant=MARCH_2 + 20)])
        return found

    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 0)


def test_a_worker_asks_for_the_moment_before_it_looks_at_ends(engine: Engine) -> None:
    """The clocks of both stand still."""
    feed = Feed(engine)
    broker, threads = Racing(keeper(engine, POLICY)), Here()
    reader = reader_of(feed.keeper, broker, threads)
    pace = Pace(topics={TOPIC: Source("s", Names())}, look_every=60.0)
    watch = Watch(pace, feed.keeper, cast("Admin", broker), threads, reader, [])

    async def look_once() -> None:
        await placed(reader, of=[(TOPIC, 1)])
        looking = asyncio.ensure_future(watch.ends_forever())
        await until(lambda: bool(rows(engine, "ends")))
        looking.cancel()

    asyncio.run(look_once())
    feed.at_end(0, NOW)
    feed.tick(NOW + 1)

    assert [(row.partition, row.looked_at) for row in rows(engine, "ends")] == [(0, NOW), (1, NOW)]
    assert (standing(engine), days(engine)) == ("pending", [])


def test_a_broker_that_lags_takes_back_no_partition(engine: Engine) -> None:
    feed = Feed(engine)
    feed.keeper.topics([TopicSeen(TOPIC, "id", 1)])
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)

    assert (standing(engine), days(engine)) == ("pending", [])


def test_a_topic_made_anew_has_as_many_partitions_as_it_says(engine: Engine) -> None:
    feed = Feed(engine)
    feed.keeper.topics([TopicSeen(TOPIC, "id2", 1)])
    feed.read(0, BEHIND)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)

    assert (standing(engine), days(engine)) == ("yes", OPENED)


# -- what a clock that was ahead wrote hides nothing --------------------------------------------


@pytest.mark.parametrize("ahead", [DAY, YEAR])
def test_a_reach_seen_by_a_clock_ahead_is_confirmed_as_soon_as_any(
    engine: Engine, ahead: int
) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, TWO, now=NOW + ahead)
    feed.at_end(0, NOW)
    feed.tick(NOW + 1)

    assert (standing(engine), days(engine)) == ("yes", OPENED)


@pytest.mark.parametrize("ahead", [DAY, YEAR])
def test_a_reach_seen_by_a_clock_ahead_is_paged_fifteen_minutes_after_it_was_right(
    engine: Engine, ahead: int
) -> None:
    feed = Feed(engine)
    feed.read(0, BEHIND, now=NOW + ahead)
    paged = []
    for minutes in (0, 14, 15, 16):
        feed.tick(NOW + minutes * MINUTE)
        paged.append(len(notices(engine, "reach_unconfirmed")))

    assert paged == [0, 0, 1, 1]


def test_a_recount_noted_by_a_clock_ahead_is_paged_fifteen_minutes_after_it_was_right(
    engine: Engine,
) -> None:
    Feed(engine).read(0, BEHIND)
    names = Registry(engine, POLICY.marks).names
    paged = []
    for at in (NOW + YEAR, NOW, NOW + 14 * MINUTE, NOW + 15 * MINUTE, NOW + 16 * MINUTE):
        overdue.note(engine, names, [ACME], at, after=15 * MINUTE, sources=POLICY.sources)
        paged.append(len(notices(engine, "recount_overdue")))

    assert paged == [0, 0, 0, 1, 1]


def test_a_file_of_an_apply_that_died_by_a_clock_ahead_is_paged_all_the_same(
    engine: Engine,
) -> None:
    applying = keeper(engine, POLICY)
    applying.begin_files(Run("a", "s", (File("1a", "one.ndjson"),)))
    applying.keep([batch(TWO, topic="file", read_at=NOW + YEAR)])
    paged = []
    for minutes in (0, 14, 15, 16):
        files.tell(engine, NOW + minutes * MINUTE, 15 * MINUTE)
        paged.append(len(notices(engine, "file_unfinished")))

    assert paged == [0, 0, 1, 1]


def test_an_older_database_noticed_by_a_clock_ahead_hides_no_later_one(engine: Engine) -> None:
    monitor = keeper(engine)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(found=[Ahead(TOPIC, 0, 1, 5, NOW + DAY)], committed={(TOPIC, 0): 5})
    monitor.placed(found=[Ahead(TOPIC, 0, 1, 9, NOW + HOUR)], committed={(TOPIC, 0): 9})

    assert len(notices(engine, "database_restored")) == 2


def test_workers_whose_clocks_differ_page_an_older_database_once(engine: Engine) -> None:
    monitor = keeper(engine)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(found=[Ahead(TOPIC, 0, 1, 5, NOW + 10 * SECOND)])
    monitor.placed(found=[Ahead(TOPIC, 0, 1, 5, NOW)])

    assert len(notices(engine, "database_restored")) == 1


# -- silence --------------------------------------------------------------------------------


def reasons(engine: Engine, now: int) -> list[str]:
    with reading(engine) as connection:
        (acme,) = status(connection, QUIET.rules, LISTENING, now).processors
    return [why.reason.value for why in acme.unverified]


def heard(engine: Engine, number: int, now: int) -> None:
    """Read the record of this number, sent and read *now*, and its end; tick."""
    listening = keeper(engine, QUIET, one_topic)
    expected = number - 1 if number > 1 else None
    one = batch([enrolled(ANN, number)], move=(0, expected, number), read_at=now, sent_at=now)
    listening.keep([one])
    quiet(engine, number, now)


def quiet(engine: Engine, end: int, now: int) -> None:
    """Find that nothing has come, and tick."""
    listening = keeper(engine, QUIET, one_topic)
    listening.topics([TopicSeen(TOPIC, "id", 1)])
    listening.ends([EndSeen(TOPIC, 0, end, now, listening.moment())])
    keeper(engine, QUIET, one_topic).tick(now)


def told(engine: Engine) -> tuple[int, int]:
    return len(notices(engine, "source_silent")), len(notices(engine, "source_heard"))


def test_a_silence_after_a_record_read_by_a_clock_ahead_is_told_in_time(engine: Engine) -> None:
    heard(engine, 1, NOW + YEAR)
    shown = []
    for at in (NOW, NOW + LIMIT, NOW + LIMIT + MINUTE):
        quiet(engine, 1, at)
        shown.append((reasons(engine, at), told(engine)))

    assert shown == [([], (0, 0)), ([], (0, 0)), (["source_silent"], (1, 0))]


def test_the_next_record_after_one_read_by_a_clock_ahead_counts_from_now(engine: Engine) -> None:
    heard(engine, 1, NOW + YEAR)
    keeper(engine, QUIET).keep([batch([enrolled(ANN, 2)], move=(0, 1, 2), sent_at=NOW)])

    assert reasons(engine, NOW + LIMIT) == []
    assert reasons(engine, NOW + LIMIT + 1) == ["source_silent"]


@pytest.mark.parametrize("looks", [(), (0,), (0, MINUTE)], ids=["at-once", "one-look", "looks"])
def test_a_silence_told_by_a_clock_ahead_is_over_with_the_next_record_and_told_again(
    engine: Engine, looks: tuple[int, ...]
) -> None:
    """However often we looked between the clock's step back and the record."""
    heard(engine, 1, NOW + YEAR)
    quiet(engine, 1, NOW + YEAR + LIMIT + 1)
    for later in looks:
        quiet(engine, 1, NOW + later)
    stepped_back = told(engine)
    heard(engine, 2, NOW + HOUR)
    over = told(engine)
    quiet(engine, 2, NOW + HOUR + LIMIT + 1)

    assert stepped_back == (1, 0)
    assert over == (1, 1)
    assert told(engine) == (2, 1)


def test_workers_whose_clocks_differ_by_seconds_leave_each_others_signs_alone(
    engine: Engine,
) -> None:
    heard(engine, 1, NOW + 10 * SECOND)
    quiet(engine, 1, NOW)

    assert [row.read_at for row in rows(engine, "positions")] == [NOW + 10 * SECOND]
