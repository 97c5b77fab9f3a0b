"""Reminders, against a calendar that is walked day by day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from monitor.calendars import SATURDAY
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.notices import Severity
from monitor.reminders import Ladder, Rung, key_of_rung, rung_due
from monitor.workdays import Deadline, beijing_day, load_calendar, overdue_from

CALENDAR = load_calendar()
LADDER = Ladder()
ONE = timedelta(days=1)
HOUR: Instant = 3_600_000_000
# Of 2026, from the notice of the State Council, written down once more.
OFF = {date(2026, 9, day) for day in (25, 26, 27)} | {date(2026, 10, day) for day in range(1, 8)}
WORK = {date(2026, 9, 20), date(2026, 10, 10)}


def noon(day: date) -> Instant:
    """Noon in Beijing."""
    return int(datetime(day.year, day.month, day.day, 4, tzinfo=UTC).timestamp()) * 1_000_000


def duty(trigger: date, due: date, *, opened: date | None = None) -> Duty:
    return Duty(
        processor="acme",
        rule="frt.file",
        key="1",
        trigger_day=trigger,
        trigger_at=noon(trigger),
        not_later_than=False,
        opened_at=noon(opened or trigger),
        deadline=Deadline.on(due, "2026-1"),
        proof={},
    )


# The third row of the law's table: 30 working days over a holiday and two make-up days.
FILE = duty(date(2026, 9, 1), date(2026, 10, 19))


def works(day: date) -> bool:
    return day in WORK or (day.weekday() < SATURDAY and day not in OFF)


def walked(due: date, until: date) -> dict[date, str]:
    """What is told on which day by one who counts the days on fingers, from the last day back."""
    earliest: dict[int, date] = {}
    day, count = due, 0
    while count < 30:
        count += works(day)
        day -= ONE
        earliest[count] = day  # so many are left on it, and on no day before it
    told = {earliest[rung]: str(rung) for rung in (20, 10, 5, 3, 1)} | {due: "last day"}
    day = due + ONE
    while day <= until:
        told[day] = f"overdue {day}"
        day += ONE
    return told


def told_by_the_product(one: Duty, first: date, last: date) -> dict[date, str]:
    """What is new on each day."""
    found: dict[date, str] = {}
    seen: set[str] = set()
    day = first
    while day <= last:
        rung = rung_due(one, LADDER, CALENDAR, noon(day))
        if rung is not None and key_of_rung(one, rung) not in seen:
            seen.add(key_of_rung(one, rung))
            found[day] = rung.name
        day += ONE
    return found


def test_a_duty_is_told_again_on_the_days_that_one_counts_on_fingers() -> None:
    until = date(2026, 10, 23)

    assert told_by_the_product(FILE, FILE.trigger_day, until) == walked(date(2026, 10, 19), until)


def test_the_rungs_of_a_filing_and_whom_they_wake() -> None:
    told = {
        day: rung_due(FILE, LADDER, CALENDAR, noon(date(2026, *day)))
        for day in ((9, 14), (9, 15), (10, 12), (10, 16), (10, 19), (10, 20))
    }

    assert told == {
        (9, 14): None,
        (9, 15): Rung("20", 20, Severity.INFO),
        (10, 12): Rung("5", 5, Severity.WARNING),
        (10, 16): Rung("1", 1, Severity.PAGE),
        (10, 19): Rung("last day", 0, Severity.PAGE),
        (10, 20): Rung("overdue 2026-10-20", -1, Severity.PAGE),
    }


def test_a_day_begins_at_16_00_utc() -> None:
    midnight = overdue_from(date(2026, 10, 18))
    at_once = Ladder(at=0)
    before, after = (rung_due(FILE, at_once, CALENDAR, at) for at in (midnight - 1, midnight))

    assert before is not None
    assert after is not None
    assert (before.name, after.name) == ("1", "last day")
    assert beijing_day(midnight) == date(2026, 10, 19)


@pytest.mark.parametrize("day", [date(2026, 10, 19), date(2026, 10, 24)])
def test_nobody_is_reminded_before_the_time_of_the_day(day: date) -> None:
    """Of the last day, and of a Saturday on which it is overdue."""
    nine = overdue_from(day - ONE) + 9 * HOUR
    found = rung_due(FILE, LADDER, CALENDAR, nine)
    afternoon = Ladder(at=15 * 60 + 30)
    half_past_three = nine + 6 * HOUR + HOUR // 2

    assert rung_due(FILE, LADDER, CALENDAR, nine - 1) is None
    assert found is not None
    assert found.severity is Severity.PAGE
    assert rung_due(FILE, afternoon, CALENDAR, half_past_three - 1) is None
    assert rung_due(FILE, afternoon, CALENDAR, half_past_three) == found


def test_a_clock_of_hours_waits_for_no_time_of_the_day() -> None:
    day = date(2026, 10, 19)
    due_at = overdue_from(day - ONE) + 3 * HOUR
    hours = replace(duty(day, day), deadline=Deadline.on(day, "2026-1", due_at))
    hours = replace(hours, opened_at=due_at - HOUR)

    assert rung_due(hours, LADDER, CALENDAR, due_at) == Rung(
        "overdue 2026-10-19", -1, Severity.PAGE
    )


@pytest.mark.parametrize("at", [-1, 24 * 60])
def test_a_time_that_no_day_has_is_refused(at: int) -> None:
    with pytest.raises(ValueError, match="time of the day"):
        Ladder(at=at)


def test_of_rungs_that_were_passed_while_nobody_looked_the_newest_is_told() -> None:
    rung = rung_due(FILE, LADDER, CALENDAR, noon(date(2026, 10, 13)))

    assert rung == Rung("5", 4, Severity.WARNING)


def test_a_duty_that_opens_late_is_not_told_at_once_again() -> None:
    late = duty(date(2026, 9, 1), date(2026, 10, 19), opened=date(2026, 10, 13))

    assert rung_due(late, LADDER, CALENDAR, late.opened_at + HOUR) is None
    assert told_by_the_product(late, date(2026, 10, 13), date(2026, 10, 20)) == {
        date(2026, 10, 14): "3",
        date(2026, 10, 16): "1",
        date(2026, 10, 19): "last day",
        date(2026, 10, 20): "overdue 2026-10-20",
    }


def test_a_duty_that_opens_overdue_is_told_from_the_next_day_on() -> None:
    late = duty(date(2026, 7, 1), date(2026, 8, 12), opened=date(2026, 8, 20))

    assert rung_due(late, LADDER, CALENDAR, late.opened_at) is None
    assert rung_due(late, LADDER, CALENDAR, noon(date(2026, 8, 21))) == Rung(
        "overdue 2026-08-21", -7, Severity.PAGE
    )


def test_a_moved_last_day_has_rungs_of_its_own() -> None:
    moved = replace(FILE, deadline=Deadline.on(date(2026, 10, 16), "2026-1"))
    rung = Rung("5", 5, Severity.WARNING)

    assert key_of_rung(FILE, rung) != key_of_rung(moved, rung)


def test_of_a_provisional_deadline_the_early_end_counts() -> None:
    later = replace(
        FILE,
        deadline=Deadline(
            due_day=None,
            earliest=date(2026, 10, 19),
            latest=date(2026, 10, 30),
            provisional=True,
            calendar_version="2026-1",
        ),
    )

    assert rung_due(later, LADDER, CALENDAR, noon(date(2026, 10, 19))) == Rung(
        "last day", 0, Severity.PAGE
    )


def test_a_clock_of_hours_is_overdue_by_the_hour() -> None:
    day = date(2026, 10, 19)
    due_at = noon(day) + 4 * HOUR
    hours = replace(
        duty(day, day), rule="incident.other", deadline=Deadline.on(day, "2026-1", due_at)
    )

    assert rung_due(hours, LADDER, CALENDAR, due_at - 1) is None
    assert rung_due(hours, LADDER, CALENDAR, due_at) == Rung(
        "overdue 2026-10-19", -1, Severity.PAGE
    )


def test_what_is_not_owed_is_not_told_again() -> None:
    closed = replace(FILE, closed_at=noon(date(2026, 10, 1)))

    assert rung_due(closed, LADDER, CALENDAR, noon(date(2026, 10, 20))) is None


def test_without_rungs_the_last_day_and_those_after_it_are_told() -> None:
    none = Ladder(())

    assert rung_due(FILE, none, CALENDAR, noon(date(2026, 10, 16))) is None
    assert rung_due(FILE, none, CALENDAR, noon(date(2026, 10, 19))) is not None


@pytest.mark.parametrize(
    ("days", "why"), [((5, 0), "1 or more"), ((3, 5), "descend"), ((5, 5), "descend")]
)
def test_a_ladder_that_is_none_is_refused(days: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Ladder(days)
