"""What late facts do to a duty, and what events open one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitor.facts import Changed, Instant, StorageFact, Terminated, Version
from monitor.rules import SHIPPED, with_overrides
from monitor.store.keeping import Policy
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, confirmed, days, on, standing
from tests.integration.store_kit import (
    NOW,
    duties,
    notices,
    now_status,
    policy,
    postgres_engine,
    rows,
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


def test_a_late_fact_that_makes_the_reach_earlier_moves_the_duty_at_once(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [enrolled(CY, MARCH_2 - DAY)], NOW + 3)
    feed.tick(NOW + 4)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]  # ann and cy, still on the second
    feed.read(0, [enrolled(ANN, MARCH_2 - DAY)], NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2026, 3, 1))]
    assert len(notices(engine, "duty_moved")) == 1
    moved = [row.kind for row in rows(engine, "audit")]
    assert moved == ["duty.opened", "duty.proof_refined", "duty.moved", "page.over"]


def test_a_late_fact_that_makes_the_reach_later_waits_for_a_person_once(engine: Engine) -> None:
    feed = confirmed(engine, [*TWO, enrolled(CY, MARCH_2 + 2 * DAY)])
    for sequence in (1, 2):
        feed.read(0, [subject_removed(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.tick(NOW + 4)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert now_status(engine, POLICY.rules).processors[0].thresholds[0].reach.trigger_at == (
        MARCH_2 + 2 * DAY
    )
    assert len(notices(engine, "restatement_waits")) == 1


def test_a_later_day_that_was_found_to_be_wrong_and_is_found_again_waits_again(
    engine: Engine,
) -> None:
    """Bob was there, was not, was, and was not: each time that the day moves later it is news."""
    feed = confirmed(engine, [*TWO, enrolled(CY, MARCH_2 + 2 * DAY)])
    for sequence in (1, 3):
        feed.read(0, [subject_removed(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.tick(NOW + 4)
        if sequence == 1:
            feed.read(0, [enrolled(BOB, MARCH_2 + 1, sequence=2)], NOW + 5)
            feed.tick(NOW + 6)

    waiting = notices(engine, "restatement_waits")
    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert len({notice.key for notice in waiting}) == 2
    assert {json.loads(n.body)["found_trigger_day"] for n in waiting} == {"2026-03-04"}


def test_a_reach_that_a_late_fact_takes_away_waits_for_a_person_once(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    for sequence in (1, 2):
        feed.read(0, [subject_removed(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.tick(NOW + 4)

    assert (standing(engine), days(engine)) == ("no", [("frt.file", date(2026, 3, 2))])
    assert len(notices(engine, "restatement_waits")) == 1


def test_a_reach_that_vanished_and_comes_again_earlier_moves_its_duty(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [subject_removed(BOB, MARCH_2 + 1, 1)], NOW + 3)
    feed.tick(NOW + 4)
    feed.read(0, [enrolled(CY, MARCH_2 - 3 * DAY), enrolled(ANN, MARCH_2 - 2 * DAY)], NOW + 5)
    feed.at_end(0, NOW + 6)
    feed.tick(NOW + 7)
    feed.tick(NOW + 8)

    assert (standing(engine), days(engine)) == ("yes", [("frt.file", date(2026, 2, 28))])


def test_a_pending_reach_moves_without_a_word(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, TWO)
    feed.read(0, [enrolled(CY, MARCH_2 - DAY), enrolled(ANN, MARCH_2 - DAY)], NOW + 1)
    feed.tick(NOW + 2)
    feed.read(0, [subject_removed(CY, MARCH_2 - DAY, 1)], NOW + 3)
    feed.tick(NOW + 4)

    assert (standing(engine), rows(engine, "notices"), rows(engine, "audit")) == ("pending", [], [])


def test_a_reach_before_the_rule_held_is_owed_under_the_legacy_row(engine: Engine) -> None:
    confirmed(engine, [enrolled(ANN, on("2025-05-01")), enrolled(BOB, on("2025-05-31"))])

    (duty,) = duties(engine)
    assert (duty.rule, duty.trigger_day) == ("frt.file.legacy", date(2025, 5, 31))
    assert duty.deadline.due_day == date(2025, 7, 14)


def test_a_late_fact_before_the_rule_held_turns_the_duty_into_the_legacy_one(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [enrolled(ANN, on("2025-05-01")), enrolled(BOB, on("2025-05-31"))], NOW + 3)
    feed.tick(NOW + 4)

    (duty,) = duties(engine)
    assert (duty.rule, duty.deadline.due_day) == ("frt.file.legacy", date(2025, 7, 14))


def without_legacy() -> Policy:
    overrides = [{"id": "frt.file", "at_least": 2}, {"id": "frt.file.legacy", "enabled": False}]
    base = policy(2)
    return Policy(
        rules=with_overrides(SHIPPED, overrides),
        calendar=base.calendar,
        marks=base.marks,
        limit=base.limit,
    )


def test_a_reach_that_owed_nothing_may_owe_something_once_it_is_later(engine: Engine) -> None:
    early, late = on("2025-05-31"), on("2025-07-01")
    feed = confirmed(
        engine,
        [enrolled(ANN, early - 1), enrolled(BOB, early), enrolled(CY, late)],
        without_legacy(),
    )

    assert days(engine) == []
    feed.read(0, [subject_removed(BOB, early, 1)], NOW + 3)
    feed.tick(NOW + 4)
    feed.at_end(0, NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2025, 7, 1))]


# -- duties of events --------------------------------------------------------------------------


def terminated(at: Instant) -> Terminated:
    return Terminated(ACME, Version(at, 0, 0), at)


def changed(at: Instant, sequence: int = 0, what: str = "purpose") -> Changed:
    return Changed(ACME, (what,), Version(at, sequence, 0), at)


def test_a_termination_opens_one_duty_however_often_it_is_told(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, terminated(MARCH_2 + DAY)])
    feed.read(1, [terminated(MARCH_2 + DAY), terminated(MARCH_2 + 3 * DAY)], NOW + 1)

    (duty,) = duties(engine)
    assert (duty.rule, duty.trigger_day) == ("frt.cancel", date(2026, 3, 3))
    assert duty.proof["individuals"] == 2
    assert len(notices(engine, "duty_opened")) == 1


def test_an_earlier_termination_moves_the_duty(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [terminated(MARCH_2 + DAY)])
    feed.read(0, [terminated(MARCH_2 - DAY)], NOW + 1)

    assert days(engine) == [("frt.cancel", date(2026, 3, 1))]
    assert len(notices(engine, "duty_moved")) == 1


def test_each_change_has_its_own_duty_and_the_same_change_one(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [changed(MARCH_2), changed(MARCH_2, 1), changed(MARCH_2)])
    feed.read(1, [changed(MARCH_2 + DAY), changed(MARCH_2)], NOW + 1)

    assert sorted(days(engine)) == [("frt.change", date(2026, 3, n)) for n in (2, 2, 3)]


@pytest.mark.parametrize("first", ["purpose", "storage_place"])
def test_two_changes_of_one_instant_have_a_duty_each_whichever_comes_first(
    engine: Engine, first: str
) -> None:
    """Two offices report; a bulk load dates all of them midnight."""
    both = {"purpose", "storage_place"}
    (second,) = both - {first}
    feed = Feed(engine)
    feed.read(0, [changed(MARCH_2, what=first)])
    feed.read(1, [changed(MARCH_2, what=second), changed(MARCH_2, what=first)], NOW + 1)
    found = duties(engine)

    assert [one.proof["changed"] for one in found] == [[first], [second]]
    assert len(notices(engine, "duty_opened")) == 2


def test_what_ended_or_changed_before_the_rules_held_opens_nothing(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [terminated(on("2025-05-31")), changed(on("2025-05-31"))])

    assert (duties(engine), rows(engine, "notices")) == ([], [])
    feed.read(0, [terminated(on("2025-06-01")), changed(on("2025-06-01"))], NOW + 1)

    assert sorted(rule for rule, _ in days(engine)) == ["frt.cancel", "frt.change"]


# -- an earlier reach is confirmed like a first one --------------------------------------------


def test_an_earlier_reach_that_a_lagging_partition_takes_away_moves_no_duty(
    engine: Engine,
) -> None:
    feed = Feed(engine)
    feed.read(0, TWO)
    feed.at_end(0, NOW + 1)
    feed.at_end(1, NOW + 1)
    feed.tick(NOW + 2)
    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    feed.read(0, [enrolled(ANN, MARCH_2 - 9 * DAY), enrolled(CY, MARCH_2 - 8 * DAY)], NOW + 3)
    feed.tick(NOW + 4)
    feed.read(1, [subject_removed(CY, MARCH_2 - 8 * DAY), subject_removed(ANN, MARCH_2 - 9 * DAY)])
    feed.read(1, [subject_removed(CY, MARCH_2 - 8 * DAY + 1)], NOW + 5)
    feed.read(1, [subject_removed(ANN, MARCH_2 - 8 * DAY - 1)], NOW + 5)
    feed.at_end(0, NOW + 6)
    feed.at_end(1, NOW + 6)
    feed.tick(NOW + 7)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert notices(engine, "duty_moved") == []


def three_partitions(engine: Engine) -> Feed:
    """Return a feed whose duty of 2 March is confirmed by all of its three partitions."""
    feed = Feed(engine, partitions=3)
    feed.read(0, TWO)
    for partition in range(3):
        feed.at_end(partition, NOW + 1)
    feed.tick(NOW + 2)
    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    return feed


def test_an_unconfirmed_earlier_reach_that_is_corrected_moves_no_duty_either(
    engine: Engine,
) -> None:
    feed = three_partitions(engine)
    feed.read(0, [enrolled(ANN, MARCH_2 - 4 * DAY), enrolled(CY, MARCH_2 - 4 * DAY)], NOW + 3)
    feed.tick(NOW + 4)
    moved: list[StorageFact] = [
        subject_removed(CY, MARCH_2 - 4 * DAY + 1),
        enrolled(CY, MARCH_2 - 2 * DAY),
    ]
    feed.read(1, [subject_removed(CY, MARCH_2 - 4 * DAY, 1), *moved], NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert notices(engine, "duty_moved") == []


def test_a_reach_that_vanished_and_comes_again_earlier_waits_for_lagging_partitions(
    engine: Engine,
) -> None:
    feed = three_partitions(engine)
    feed.read(0, [subject_removed(BOB, MARCH_2 + 1, 1)], NOW + 3)
    feed.tick(NOW + 4)
    feed.read(0, [enrolled(ANN, MARCH_2 - 4 * DAY), enrolled(CY, MARCH_2 - 4 * DAY)], NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert notices(engine, "duty_moved") == []
