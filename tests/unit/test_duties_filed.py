"""How a duty stands with its filing, and what a person's correction of its day does."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from monitor.calendars import Year
from monitor.duties import (
    Decision,
    Duty,
    Status,
    Why,
    as_json,
    corrected,
    owed,
    recounted,
    restated,
)
from monitor.facts import Instant
from monitor.filings import Life, Step, StepKind, Target, settle
from monitor.rules import SHIPPED, RuleError
from monitor.workdays import Calendar, beijing_day, load_calendar
from tests.unit.test_duties import CALENDAR, DAY_US, KNOWN, RULES, at, duty

K = StepKind
OVERDUE_AT = at("2025-08-30T00:00:00+08:00")  # of a trigger on 2025-07-18


def lived(*steps: tuple[StepKind, str]) -> Life:
    """Return the life of these steps, each on a day."""
    target = Target("frt.file", "1", at("2025-07-18"))
    told = [
        Step(
            id=f"{kind} {day}",
            kind=kind,
            at=at(day),
            known_at=at(day),
            source="command",
            rule="frt.file",
            duty="1",
            by="office",
            reason="why",
        )
        for kind, day in steps
    ]
    return settle([target], told).lives[target]


def filed(*steps: tuple[StepKind, str], **more: object) -> Duty:
    return replace(duty("2025-07-18"), life=lived(*steps), **more)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("steps", "status", "owed_now"),
    [
        ([], Status.OVERDUE, True),
        ([K.SUBMITTED], Status.SUBMITTED, False),
        ([K.SUBMITTED, K.RETURNED], Status.RETURNED, False),
        ([K.SUBMITTED, K.FAILED], Status.FAILED, True),
        ([K.SUBMITTED, K.TERMINATED], Status.TERMINATED, True),
    ],
)
def test_the_status_is_that_of_the_filing_and_what_failed_is_owed(
    steps: list[StepKind], status: Status, *, owed_now: bool
) -> None:
    held = filed(*((kind, f"2025-08-0{n}") for n, kind in enumerate(steps, 1)))

    assert held.status(OVERDUE_AT + DAY_US) is status
    assert held.owed is owed_now


def test_before_a_step_the_duty_stood_as_it_did_then() -> None:
    held = filed((K.SUBMITTED, "2025-08-01"), (K.RETURNED, "2025-08-05"))
    days = ("2025-07-31", "2025-08-01", "2025-08-06")

    assert [held.status(at(day)).value for day in days] == ["open", "submitted", "returned"]


def test_the_first_submission_is_compared_with_the_last_day() -> None:
    again = ((K.FAILED, "2025-08-10"), (K.SUBMITTED, "2025-09-10"))

    assert duty("2025-07-18").in_time is None
    assert filed((K.SUBMITTED, "2025-08-29"), *()).in_time is True
    assert filed((K.SUBMITTED, "2025-08-30")).in_time is False
    assert filed((K.SUBMITTED, "2025-08-01"), *again).in_time is True


def test_a_supplement_that_was_not_made_ends_as_terminated() -> None:
    ended = filed((K.SUBMITTED, "2025-08-01"), (K.TERMINATED, "2025-08-20"))
    held = replace(ended, rule="frt.supplement", closed_at=at("2025-08-20"))

    assert held.status(OVERDUE_AT) is Status.TERMINATED
    assert not held.owed


def test_a_review_is_the_authoritys_and_never_overdue() -> None:
    review = owed(
        RULES["frt.review"],
        processor="acme",
        key="frt.file.1.7",
        trigger_at=at("2025-08-01"),
        known_at=KNOWN,
        calendar=CALENDAR,
        proof={},
    )
    shown = as_json(review, OVERDUE_AT + 90 * DAY_US, CALENDAR)

    assert (review.status(OVERDUE_AT + 90 * DAY_US), review.owed) == (Status.OPEN, False)
    assert (shown["owed_by"], shown["due_day"]) == ("authority", "2025-08-22")


@pytest.mark.parametrize(
    ("steps", "day", "in_time", "left"),
    [
        ([], None, None, -1),
        ([(K.SUBMITTED, "2025-08-01")], "2025-08-01", True, None),
        ([(K.SUBMITTED, "2025-08-01"), (K.FAILED, "2025-08-04")], "2025-08-01", True, -1),
    ],
)
def test_the_json_says_when_it_was_submitted_and_days_only_while_somebody_has_to_act(
    steps: list[tuple[StepKind, str]], day: str | None, *, in_time: bool | None, left: int | None
) -> None:
    shown = as_json(filed(*steps), OVERDUE_AT, CALENDAR)

    assert (shown["key"], shown["owed_by"]) == ("1", "processor")
    assert (shown["submitted_day"], shown["submitted_in_time"]) == (day, in_time)
    assert shown["working_days_left"] == left


# -- a corrected day -------------------------------------------------------------------------------


def decided(day: str, found_at: Instant | None, held: Duty | None = None) -> Duty:
    return corrected(
        held or duty("2025-07-18"),
        SHIPPED,
        date.fromisoformat(day),
        known_at=KNOWN + 1,
        calendar=CALENDAR,
        by="office",
        reason="a test run",
        found_at=found_at,
    )


def test_a_corrected_day_has_its_deadline_and_says_who_and_why() -> None:
    moved = decided("2025-07-21", at("2025-07-18"))

    assert moved.trigger_at == at("2025-07-21T00:00:00+08:00")
    assert moved.deadline.due_day == date(2025, 9, 1)
    assert moved.opened_at == KNOWN
    assert moved.proof["corrected"] == {
        "by": "office",
        "reason": "a test run",
        "at": KNOWN + 1,
        "was_trigger_day": "2025-07-18",
        "found_trigger_day": "2025-07-18",
        "found_at": at("2025-07-18"),
    }


def test_a_day_that_the_facts_say_too_keeps_their_instant_and_the_life_stays() -> None:
    held = filed((K.SUBMITTED, "2025-08-01"))
    moved = decided("2025-07-21", at("2025-07-21"), held)

    assert moved.trigger_at == at("2025-07-21")
    assert moved.life == held.life


def test_a_day_before_the_measures_turns_the_duty_into_the_legacy_one() -> None:
    assert decided("2025-05-30", None).rule == "frt.file.legacy"
    with pytest.raises(RuleError, match="annul the duty instead"):
        decided("2025-05-30", None, replace(duty("2025-07-18"), rule="frt.change"))


def found(held: Duty, day: str | None) -> tuple[Decision, Why, date]:
    restatement = restated(
        held,
        SHIPPED,
        None if day is None else at(day),
        known_at=KNOWN + 2,
        calendar=CALENDAR,
        proof={},
    )
    return restatement.decision, restatement.why, restatement.duty.trigger_day


def test_a_decision_holds_while_the_facts_say_what_they_said() -> None:
    held = decided("2025-07-21", at("2025-07-18"))

    assert found(held, "2025-07-18")[:2] == (Decision.KEEP, Why.DECIDED)
    assert found(held, "2025-07-16") == (Decision.MOVE, Why.EARLIER_DAY, date(2025, 7, 16))
    assert found(held, None)[:2] == (Decision.ASK, Why.REACH_VANISHED)


def test_a_decision_about_a_reach_that_had_vanished_does_not_hold_against_a_new_one() -> None:
    held = decided("2025-07-21", None)

    assert found(held, "2025-07-18")[:2] == (Decision.MOVE, Why.EARLIER_DAY)


def test_a_moved_duty_keeps_what_happened_to_its_filing() -> None:
    held = filed((K.SUBMITTED, "2025-08-28"))
    restatement = restated(
        held, SHIPPED, at("2025-06-03"), known_at=KNOWN, calendar=CALENDAR, proof={}
    )

    assert restatement.duty.life == held.life
    assert (held.in_time, restatement.duty.in_time) == (True, False)
    assert beijing_day(restatement.duty.trigger_at) == date(2025, 6, 3)


# -- in time, or not, or not to be known ---------------------------------------------------------

NEXT = Calendar(
    (
        *load_calendar().years,
        Year(year=2027, version="2027-1", notice="drawn", off=frozenset(), work=frozenset()),
    )
)


def of_november(submitted: str, **more: object) -> Duty:
    """Return the duty of a trigger whose last day is of a year that is not published yet."""
    step = Step(
        id="s", kind=K.SUBMITTED, at=at(submitted), known_at=at(submitted), source="command"
    )
    return replace(duty("2026-11-22"), life=Life((step,)), **more)  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("submitted", "in_time"),
    [
        ("2026-12-31T23:59:00+08:00", True),
        ("2027-01-05T12:00:00+08:00", None),
        ("2027-01-11T23:59:00+08:00", None),
        ("2027-01-12T00:00:00+08:00", False),
    ],
)
def test_in_time_is_not_said_while_nobody_can_know(submitted: str, *, in_time: bool | None) -> None:
    held = of_november(submitted)

    assert held.deadline.days == (date(2027, 1, 1), date(2027, 1, 11))
    assert held.in_time is in_time
    assert as_json(held, at("2027-02-01"), CALENDAR)["submitted_in_time"] is in_time


def test_what_nobody_could_know_of_a_closed_duty_is_settled_when_the_year_is_published() -> None:
    closed_at = at("2027-01-09")
    held = of_november("2027-01-05T12:00:00+08:00", closed_at=closed_at)
    settled = recounted(held, SHIPPED, NEXT)

    assert settled is not None
    assert (settled.in_time, settled.deadline.provisional) == (False, False)
    assert settled.closed_at == closed_at
    # While it is not, and where it was known before, nothing is counted again.
    assert recounted(held, SHIPPED, CALENDAR) is None
    known = of_november("2026-12-31T12:00:00+08:00", closed_at=closed_at)
    assert recounted(known, SHIPPED, NEXT) is None


@pytest.mark.parametrize(
    ("day", "kind", "in_time"),
    [
        ("2025-08-10", K.COMPLETED, True),
        ("2025-09-01", K.COMPLETED, False),
        ("2025-09-01", K.TERMINATED, None),
        (None, None, None),
    ],
)
def test_a_supplement_says_whether_it_was_made_in_time(
    day: str | None, kind: StepKind | None, *, in_time: bool | None
) -> None:
    life = Life()
    if day is not None and kind is not None:
        life = Life((Step(id="s", kind=kind, at=at(day), known_at=at(day), source="command"),))
    held = replace(duty("2025-07-18"), rule="frt.supplement", key="frt.file.1.5", life=life)

    assert held.in_time is in_time


def test_a_corrected_duty_to_keep_something_ends_with_its_new_last_day() -> None:
    rule = next(one for one in SHIPPED if one.id == "frt.retain")
    rules = [replace(rule, enabled=True)]
    held = owed(
        rules[0],
        processor="acme",
        key="1",
        trigger_at=at("2025-07-18"),
        known_at=KNOWN,
        calendar=CALENDAR,
        proof={},
    )
    moved = corrected(
        held,
        rules,
        date(2025, 7, 20),
        known_at=KNOWN,
        calendar=CALENDAR,
        by="office",
        reason="the date of the report",
    )

    assert moved.closed_at == moved.overdue_at == held.overdue_at + 2 * DAY_US
