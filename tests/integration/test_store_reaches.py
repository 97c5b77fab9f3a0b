"""Reaches are pending until no partition can change them, and then open their duty.

Two partitions of one topic feed the processor unless a test says otherwise. A batch passes its
partition's instant; ``ends`` say that reading had got to the end. Clocks are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.facts import Instant
from monitor.intake import EndSeen, Gap, GapReason, TopicSeen
from monitor.store.looking import Looking
from monitor.store.names import Registry
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, days, standing
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    TOPIC,
    notices,
    now_status,
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


# -- confirmed or not ------------------------------------------------------------------------


def test_a_moment_that_never_existed_opens_no_duty(engine: Engine) -> None:
    """The removal between the two enrolments lies in a partition that lags."""
    feed = Feed(engine)
    feed.read(0, [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 20)])
    feed.tick(NOW)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.read(1, [subject_removed(ANN, MARCH_2 + 10), subject_removed(CY, MARCH_2 + 30)])
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)
    feed.keeper.finish(NOW + 3)

    assert (standing(engine), days(engine), notices(engine, "duty_opened")) == ("no", [], [])


def test_a_reach_that_every_partition_has_passed_opens_its_duty(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2 + 1)])
    feed.tick(NOW)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.read(1, [enrolled(ANN, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "yes"
    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert len(notices(engine, "duty_opened")) == 1


def test_a_partition_at_its_end_is_waited_for_no_longer(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.at_end(1, NOW + 1)
    feed.tick(NOW + 2)

    assert standing(engine) == "yes"


@pytest.mark.parametrize("looked_at", [NOW - 1, NOW, NOW + 1])
def test_an_end_looked_up_before_the_reach_was_seen_proves_nothing(
    engine: Engine, looked_at: Instant
) -> None:
    feed = Feed(engine)
    moment = feed.keeper.moment()
    feed.at_end(1, looked_at, moment=moment)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.at_end(1, looked_at, moment=moment)
    feed.tick(NOW + 2)

    assert standing(engine) == "pending"


def test_an_end_that_was_not_read_to_is_none(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2)])
    feed.keeper.ends([EndSeen(TOPIC, 1, 2, NOW + 1, feed.keeper.moment())])
    feed.tick(NOW + 2)

    assert standing(engine) == "pending"


def test_partitions_that_nobody_has_described_yet_are_waited_for(engine: Engine) -> None:
    feed = Feed(engine, partitions=0)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"
    feed.keeper.topics([TopicSeen(TOPIC, "id", 1)])
    feed.tick(NOW)

    assert standing(engine) == "yes"


def test_a_partition_added_to_the_topic_is_waited_for(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.keeper.topics([TopicSeen(TOPIC, "id", 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"


def test_a_second_topic_that_can_feed_the_processor_is_waited_for(engine: Engine) -> None:
    feed = Feed(engine, lambda _: (TOPIC, "cameras"), partitions=1)
    feed.keeper.topics([TopicSeen("cameras", "id", 1)])
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"
    feed.at_end(0, NOW + 1, topic="cameras")
    feed.tick(NOW + 2)

    assert standing(engine) == "yes"


def test_a_topic_restricted_to_other_processors_is_not_waited_for(engine: Engine) -> None:
    feed = Feed(
        engine, lambda processor: (TOPIC,) if processor == ACME else ("cameras",), partitions=1
    )
    feed.keeper.topics([TopicSeen("cameras", "id", 1)])
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "yes"


def test_after_a_gap_what_a_partition_had_passed_no_longer_counts(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(1, [enrolled(CY, MARCH_2 + 5)])
    feed.at_end(1, NOW + 1)
    feed.keeper.placed(gaps=[Gap(TOPIC, 1, "new", GapReason.RECREATED, 1, 0, NOW + 2)])
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 6)])
    feed.tick(NOW + 3)

    assert standing(engine) == "pending"


def test_an_unconfirmed_reach_is_paged_once_after_fifteen_minutes(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    paged = []
    for minutes in (14, 15, 16, 60):
        feed.tick(NOW + minutes * MINUTE)
        paged.append(len(notices(engine, "reach_unconfirmed")))

    assert paged == [0, 1, 1, 1]
    assert (standing(engine), days(engine)) == ("pending", [])


def test_a_reach_that_waits_for_a_recount_is_paged_as_late_all_the_same(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2 - 5)])
    names = Registry(engine, POLICY.marks).names
    Looking(engine, POLICY, one_topic).confirm(names, NOW + 16 * MINUTE)

    assert now_status(engine, POLICY.rules).processors[0].recount_pending
    assert len(notices(engine, "reach_unconfirmed")) == 1


def test_a_pending_reach_that_moves_to_a_later_instant_needs_ends_looked_up_since(
    engine: Engine,
) -> None:
    """An end that was looked up for the earlier instant may be older than what raised the later."""
    feed = Feed(engine, partitions=3)
    feed.read(0, [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 10)])
    feed.at_end(1, NOW + 1)
    feed.read(0, [enrolled(CY, MARCH_2 + 50), enrolled(CY, MARCH_2 + 60)], NOW + 5)
    feed.read(2, [subject_removed(BOB, MARCH_2 + 10, 1), enrolled(CY, MARCH_2 + 70)], NOW + 6)
    feed.tick(NOW + 7)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.at_end(1, NOW + 8)
    feed.tick(NOW + 9)

    assert standing(engine) == "yes"


def moved_earlier(engine: Engine) -> Feed:
    """Return a feed whose pending reach moved earlier while partition 1 was not read to its end.

    That it once was at its end had been seen before anybody looked for the earlier instant.
    """
    feed = Feed(engine, partitions=3)
    feed.read(0, [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 20 * DAY)])
    feed.at_end(0, NOW + 1)
    feed.at_end(1, NOW + 1)
    feed.tick(NOW + 2)
    feed.read(2, [enrolled(CY, MARCH_2 + 12 * DAY)], NOW + 3)
    feed.tick(NOW + 4)
    feed.at_end(0, NOW + 5)
    feed.at_end(2, NOW + 5)
    feed.tick(NOW + 6)
    return feed


def test_a_pending_reach_that_moves_to_an_earlier_instant_needs_ends_looked_up_since(
    engine: Engine,
) -> None:
    feed = moved_earlier(engine)
    moved = (standing(engine), days(engine))
    feed.read(1, [subject_removed(ANN, MARCH_2 + 11 * DAY)], NOW + 7)
    for partition in range(3):
        feed.at_end(partition, NOW + 8)
    feed.tick(NOW + 9)
    for partition in range(3):
        feed.at_end(partition, NOW + 10)
    feed.tick(NOW + 11)

    assert moved == ("pending", [])
    assert days(engine) == [("frt.file", date(2026, 3, 22))]
    assert notices(engine, "restatement_waits") == []


def test_a_pending_reach_that_moves_earlier_is_paged_fifteen_minutes_after_it_was_first_seen(
    engine: Engine,
) -> None:
    feed = moved_earlier(engine)
    paged = []
    for at in (NOW + 15 * MINUTE - 1, NOW + 15 * MINUTE):
        feed.tick(at)
        paged.append(len(notices(engine, "reach_unconfirmed")))

    assert paged == [0, 1]
