"""Duties in words: the closed lists that logs and receivers route by, and messages whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from monitor.duties import (
    Decision,
    Duty,
    Restatement,
    Status,
    Why,
    as_json,
    deadline_under,
    event_key,
    owed,
    recounted,
    restated,
)
from monitor.facts import Instant, Version
from monitor.rules import SHIPPED, Rule, RuleError
from monitor.workdays import Deadline, load_calendar

CALENDAR = load_calendar()
NOON: Instant = 1_752_811_200_000_000  # 2025-07-18T04:00:00Z, noon in Beijing
DAY: Instant = 24 * 3600 * 1_000_000
RULES = {rule.id: rule for rule in SHIPPED}
HELD = owed(
    RULES["frt.file"],
    processor="acme",
    key="1",
    trigger_at=NOON,
    known_at=NOON + 5,
    calendar=CALENDAR,
    proof={"individuals": 100_000},
)


def test_the_words_of_the_closed_lists_are_those_of_the_log() -> None:
    assert [status.value for status in Status] == [
        "open",
        "overdue",
        "submitted",
        "returned",
        "completed",
        "failed",
        "terminated",
        "annulled",
    ]
    assert [decision.value for decision in Decision] == ["keep", "move", "ask"]
    assert [why.value for why in Why] == [
        "same_day",
        "earlier_day",
        "later_day",
        "reach_vanished",
        "duty_closed",
        "decided",
        "no_rule_then",
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": ""}, "a duty needs a processor, a rule and a key"),
        ({"rule": ""}, "a duty needs a processor, a rule and a key"),
        ({"key": ""}, "a duty needs a processor, a rule and a key"),
        (
            {"trigger_day": date(2025, 7, 19)},
            "the trigger day must be the day of 'trigger_at' in Beijing",
        ),
        ({"annulled": "a test"}, "an annulled duty needs 'closed_at'"),
    ],
)
def test_a_duty_that_contradicts_itself_is_told_how(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        replace(HELD, **changes)  # type: ignore[arg-type]  # fields by name

    assert str(caught.value) == message


def test_a_duty_is_neither_closed_nor_annulled_nor_bounded_unless_it_is_said() -> None:
    assert (HELD.closed_at, HELD.annulled, HELD.not_later_than) == (None, None, False)
    assert HELD.opened_at == NOON + 5


def test_a_duty_may_be_closed_at_the_first_instant_of_all() -> None:
    at_zero = replace(HELD, closed_at=0, annulled="a test")

    assert at_zero.status(0) is Status.ANNULLED
    assert replace(HELD, closed_at=0).status(0) is Status.COMPLETED


def test_a_bounded_trigger_day_is_kept_as_a_bound() -> None:
    bounded = owed(
        RULES["frt.file"],
        processor="acme",
        key="1",
        trigger_at=NOON,
        known_at=NOON,
        calendar=CALENDAR,
        proof={},
        not_later_than=True,
    )

    assert bounded.not_later_than


def test_equal_duties_have_one_hash_whatever_their_proof() -> None:
    other = replace(HELD, proof={"individuals": 7})

    assert hash(HELD) == hash(other)
    assert other != HELD


def test_a_clock_of_hours_needs_the_instant() -> None:
    rule = Rule(id="own", at_least=1, unit="hours", period=4)

    with pytest.raises(RuleError) as caught:
        deadline_under(rule, date(2025, 7, 18), CALENDAR)
    assert str(caught.value) == "rule 'own': unit: a clock of hours needs more than a day"
    assert (caught.value.rule, caught.value.field) == ("own", "unit")


@pytest.mark.parametrize(
    ("day", "years", "last"),
    [
        (date(2025, 7, 18), 1, date(2026, 7, 18)),
        (date(2024, 2, 29), 1, date(2025, 2, 28)),
        (date(2024, 2, 29), 4, date(2028, 2, 29)),
    ],
)
def test_years_end_on_the_same_day_or_on_the_last_of_february(
    day: date, years: int, last: date
) -> None:
    rule = Rule(id="own", at_least=1, unit="years", period=years)

    assert deadline_under(rule, day, CALENDAR) == Deadline.on(last, CALENDAR.version)


def test_an_event_key_is_its_version_between_full_stops() -> None:
    assert event_key(Version(1, 2, 3)) == "1.2.3"


def test_what_changed_is_part_of_an_event_key_in_whatever_order_it_was_said() -> None:
    version = Version(1, 2, 3)
    said = event_key(version, ("purpose", "measures"))

    assert said == "1.2.3.64e49976ad409621"
    assert event_key(version, ("measures", "purpose", "measures")) == said
    assert event_key(version, ("purpose",)) not in {said, event_key(version)}


def found(duty: Duty, at: Instant | None) -> Restatement:
    return restated(
        duty, SHIPPED, at, known_at=NOON + 9, calendar=CALENDAR, proof={"individuals": 5}
    )


def test_a_moved_duty_is_bounded_only_if_that_is_said_and_keeps_when_it_was_opened() -> None:
    moved = found(replace(HELD, not_later_than=True), NOON - DAY)

    assert moved.duty.not_later_than is False
    assert (moved.duty.opened_at, moved.duty.processor, moved.duty.key) == (NOON + 5, "acme", "1")
    assert moved.known_at == NOON + 9


@pytest.mark.parametrize(("at", "day"), [(None, None), (NOON + DAY, date(2025, 7, 19))])
def test_a_restatement_that_waits_keeps_both_days(at: Instant | None, day: date | None) -> None:
    waiting = found(HELD, at)

    assert (waiting.held_day, waiting.found_day) == (date(2025, 7, 18), day)
    assert waiting.duty is HELD


def test_a_changed_period_is_counted_again_only_for_its_own_rule() -> None:
    shorter = [replace(rule, period=10) if rule.period == 30 else rule for rule in SHIPPED]
    renamed = replace(HELD, rule="frt.change")

    again = recounted(HELD, shorter, CALENDAR)
    assert again is not None
    assert again.deadline.due_day == date(2025, 8, 1)
    assert recounted(HELD, [shorter[2]], CALENDAR) is None
    assert recounted(renamed, [shorter[2]], CALENDAR) is not None


def test_another_calendar_with_the_same_last_day_is_no_change() -> None:
    same = replace(HELD, deadline=replace(HELD.deadline, calendar_version="older"))

    assert recounted(same, SHIPPED, CALENDAR) is None


def test_an_interval_that_becomes_its_own_single_day_is_a_change() -> None:
    due = HELD.deadline.due_day
    vague = replace(HELD.deadline, due_day=None, provisional=True)
    held = replace(HELD, deadline=vague)

    settled = recounted(held, SHIPPED, CALENDAR)
    assert settled is not None
    assert settled.deadline.due_day == due


@pytest.mark.parametrize("closed_at", [NOON + 1, NOON + 2])
def test_an_entry_of_a_closed_duty_names_its_status(closed_at: Instant) -> None:
    annulled = replace(HELD, closed_at=closed_at, annulled="a test")

    entry = as_json(annulled, NOON + 2, CALENDAR)
    assert (entry["status"], entry["working_days_left"]) == ("annulled", None)
    assert entry["due_between"] is None
