"""What the working calendar says of itself, and whole sentences where it refuses."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from monitor import workdays
from monitor.workdays import (
    BadCalendar,
    Calendar,
    Deadline,
    NotPublished,
    Uncountable,
    load_calendar,
)

CALENDAR = load_calendar()
LAST_WORKING_DAY = date(2026, 12, 31)


def test_what_the_module_offers_is_there() -> None:
    offered = {name: getattr(workdays, name) for name in workdays.__all__}

    assert {"BadCalendar", "Calendar", "Deadline", "NotPublished", "Uncountable"} < set(offered)
    assert len(offered) == 9


def test_a_year_that_is_not_loaded_is_named_with_its_file() -> None:
    with pytest.raises(NotPublished) as caught:
        CALENDAR.is_working_day(date(2027, 1, 4))

    assert str(caught.value) == "the working calendar of 2027 is not loaded; add 2027.toml"
    assert caught.value.day == date(2027, 1, 4)


@pytest.mark.parametrize(
    ("day", "n", "message"),
    [
        (date(2026, 1, 5), 0, "cannot count 0 working days; ask for at least 1"),
        (date(2026, 1, 5), -3, "cannot count -3 working days; ask for at least 1"),
        (
            date(9999, 12, 20),
            30,
            "30 working days from 9999-12-20 are not within the years 1 to 9999",
        ),
    ],
)
def test_a_count_that_is_refused_says_why(day: date, n: int, message: str) -> None:
    with pytest.raises(Uncountable) as caught:
        CALENDAR.deadline(day, n)

    assert str(caught.value) == message
    assert caught.value.__cause__ is None


KNOWN = Deadline.on(date(2026, 1, 5), "2026-1")
EITHER = "a deadline has either a due day or, while provisional, two ends"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provisional": True}, EITHER),
        ({"due_day": None}, EITHER),
        ({"earliest": date(2026, 1, 4)}, EITHER),
        ({"latest": date(2026, 1, 6)}, EITHER),
        ({"due_day": date(2026, 1, 6)}, EITHER),
        (
            {"due_day": None, "provisional": True, "latest": date(2026, 1, 4)},
            "the early end of a deadline is after its late end",
        ),
    ],
)
def test_a_deadline_that_contradicts_itself_is_told_how(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        replace(KNOWN, **changes)  # type: ignore[arg-type]  # fields by name

    assert str(caught.value) == message


def test_a_provisional_deadline_may_have_one_day_only() -> None:
    single = replace(KNOWN, due_day=None, provisional=True)

    assert single.days == (date(2026, 1, 5), date(2026, 1, 5))


def test_a_known_deadline_says_its_day_three_times_and_its_calendar() -> None:
    assert Deadline(
        due_day=date(2026, 1, 5),
        earliest=date(2026, 1, 5),
        latest=date(2026, 1, 5),
        provisional=False,
        calendar_version="2026-1",
    ) == Deadline.on(date(2026, 1, 5), "2026-1")


@pytest.mark.parametrize("chosen", [[], [0, 0], [1, 0]])
def test_years_with_a_hole_or_out_of_order_are_no_calendar(chosen: list[int]) -> None:
    years = tuple(CALENDAR.years[index] for index in chosen)

    with pytest.raises(BadCalendar) as caught:
        Calendar(years)
    assert str(caught.value) == "a calendar needs years that follow each other"


def test_one_year_is_a_calendar() -> None:
    alone = Calendar(CALENDAR.years[1:])

    assert (alone.first_day, alone.last_day) == (date(2026, 1, 1), date(2026, 12, 31))
    assert alone.version == CALENDAR.years[1].version
    assert alone.is_working_day(date(2026, 1, 4))
    assert not alone.is_working_day(date(2026, 1, 1))


def test_equal_years_make_equal_calendars_that_show_only_the_years() -> None:
    again = Calendar(CALENDAR.years)

    assert again == CALENDAR
    assert "_working" not in repr(again)


@pytest.mark.parametrize("day", [date(2025, 1, 1), date(2026, 12, 31)])
def test_the_first_and_the_last_loaded_day_are_answered(day: date) -> None:
    assert CALENDAR.is_working_day(day) is (day == LAST_WORKING_DAY)


def test_the_day_before_the_loaded_years_is_counted_exactly_and_the_one_before_is_not() -> None:
    assert not CALENDAR.deadline(date(2024, 12, 31), 1).provisional
    assert CALENDAR.deadline(date(2024, 12, 30), 1).provisional


def test_the_last_working_day_can_be_a_deadline_and_the_next_one_is_an_estimate() -> None:
    left = CALENDAR.working_days_left(date(2026, 11, 2), LAST_WORKING_DAY)

    assert CALENDAR.deadline(date(2026, 11, 2), left).due_day == LAST_WORKING_DAY
    assert CALENDAR.deadline(date(2026, 11, 2), left + 1).provisional
