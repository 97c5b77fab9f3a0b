"""The working calendar against the official dates, another package, and a walk day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import chinese_calendar as package
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.calendars import Year, parse_year
from monitor.workdays import (
    BadCalendar,
    Calendar,
    Deadline,
    NotPublished,
    Uncountable,
    beijing_day,
    load_calendar,
    overdue_from,
)

CALENDAR = load_calendar()
is_workday = cache(package.is_workday)  # the independent oracle, for 2004-2026
ONE_DAY = timedelta(days=1)
DAY = date.fromisoformat
WORDS = {
    "OFF_2025": "01-01 01-28..02-04 04-04..04-06 05-01..05-05 05-31..06-02 10-01..10-08",
    "WORK_2025": "01-26 02-08 04-27 09-28 10-11",
    "OFF_2026": (
        "01-01..01-03 02-15..02-23 04-04..04-06 05-01..05-05 06-19..06-21 09-25..09-27 10-01..10-07"
    ),
    "WORK_2026": "01-04 02-14 02-28 05-09 09-20 10-10",
}


def days(first: date, last: date) -> Iterator[date]:
    for count in range((last - first).days + 1):
        yield first + ONE_DAY * count


def spelt_out(kind: str, year: int) -> set[date]:
    found: set[date] = set()
    for part in WORDS[f"{kind}_{year}"].split():
        first, _, last = part.partition("..")
        found |= set(days(DAY(f"{year}-{first}"), DAY(f"{year}-{last or first}")))
    return found


def walked(trigger: date, n: int, works: Callable[[date], bool]) -> date:
    """The last day to act, found the slow way: one day after another."""
    day = trigger
    while n:
        day += ONE_DAY
        n -= works(day)
    return day


def is_weekday(day: date) -> bool:
    return day.isoweekday() <= 5


def microseconds(text: str) -> int:
    instant = datetime.fromisoformat(text)
    assert instant.utcoffset() is not None
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# The days themselves


@pytest.mark.parametrize("year", [2025, 2026])
def test_every_day_of_a_shipped_year_agrees_with_another_package(year: int) -> None:
    every = list(days(date(year, 1, 1), date(year, 12, 31)))

    ours = {day: CALENDAR.is_working_day(day) for day in every}

    assert ours == {day: is_workday(day) for day in every}


@pytest.mark.parametrize("year", [2025, 2026])
def test_a_shipped_year_is_the_table_of_the_notice(year: int) -> None:
    shipped = next(known for known in CALENDAR.years if known.year == year)

    assert (set(shipped.off), set(shipped.work)) == (
        spelt_out("OFF", year),
        spelt_out("WORK", year),
    )


@pytest.mark.parametrize("year", [2025, 2026])
def test_a_shipped_year_has_248_working_days(year: int) -> None:
    every = days(date(year, 1, 1), date(year, 12, 31))

    assert sum(CALENDAR.is_working_day(day) for day in every) == 248


@pytest.mark.parametrize("day", ["2024-12-31", "2027-01-01", "0001-01-01", "9999-12-31"])
def test_a_day_outside_the_loaded_years_is_not_answered(day: str) -> None:
    with pytest.raises(NotPublished, match=f"add {DAY(day).year}.toml") as caught:
        CALENDAR.is_working_day(DAY(day))

    assert caught.value.day == DAY(day)


def test_the_version_names_the_years_used() -> None:
    assert CALENDAR.version == "2025-1+2026-1"


def test_a_shipped_year_names_its_notice() -> None:
    notices = [year.notice for year in CALENDAR.years]

    assert [notice.split(", ")[:2] for notice in notices] == [
        ["国办发明电〔2024〕12号", "2024-11-12"],
        ["国办发明电〔2025〕7号", "2025-11-04"],
    ]


# Deadlines that the published years answer for


@pytest.mark.parametrize(
    ("trigger", "n", "last"),
    [
        # Official: the announcement of the filing.
        ("2025-06-01", 30, "2025-07-14"),
        # Official: the announcement about protection officers.
        ("2025-07-18", 30, "2025-08-29"),
        # Tells counting and not counting the trigger day apart.
        ("2025-06-03", 30, "2025-07-15"),
        # Crosses the make-up Sunday 09-28, Saturday 10-11 and National Day.
        ("2025-09-26", 10, "2025-10-16"),
        ("2025-09-26", 15, "2025-10-23"),
        ("2025-09-26", 30, "2025-11-13"),
        # Make-up Saturdays 02-14 and 02-28, Spring Festival.
        ("2026-01-15", 10, "2026-01-29"),
        ("2026-01-15", 15, "2026-02-05"),
        ("2026-01-15", 30, "2026-03-04"),
        # Make-up Sunday 09-20, Saturday 10-10.
        ("2026-09-01", 10, "2026-09-15"),
        ("2026-09-01", 15, "2026-09-21"),
        ("2026-09-01", 30, "2026-10-19"),
        # The last trigger day that the published years answer for.
        ("2026-11-19", 30, "2026-12-31"),
        # The day before the first published one needs no unpublished day.
        ("2024-12-31", 1, "2025-01-02"),
        # A make-up Sunday is a working day like any other.
        ("2025-09-26", 1, "2025-09-28"),
    ],
)
def test_the_last_day_is_the_nth_working_day_after_the_trigger(
    trigger: str, n: int, last: str
) -> None:
    deadline = CALENDAR.deadline(DAY(trigger), n)

    assert deadline == Deadline.on(DAY(last), "2025-1+2026-1")


@pytest.mark.parametrize(
    ("trigger", "n", "last"),
    [
        # One day stricter than the official 08-29.
        ("2025-07-18", 30, "2025-08-28"),
        # A trigger day that is off is not day 1 either way.
        ("2025-06-01", 30, "2025-07-14"),
        ("2025-06-03", 1, "2025-06-03"),
        ("2025-01-01", 1, "2025-01-02"),
    ],
)
def test_the_trigger_day_is_counted_if_asked_for(trigger: str, n: int, last: str) -> None:
    deadline = CALENDAR.deadline(DAY(trigger), n, count_trigger_day=True)

    assert deadline.due_day == DAY(last)


@given(st.dates(date(2024, 12, 31), date(2026, 12, 31)), st.integers(1, 300))
def test_a_deadline_within_the_published_years_is_the_one_found_day_by_day(
    trigger: date, n: int
) -> None:
    deadline = CALENDAR.deadline(trigger, n)

    left = sum(map(is_workday, days(trigger + ONE_DAY, date(2026, 12, 31))))
    assert deadline.provisional == (left < n)
    if left >= n:
        assert deadline.due_day == walked(trigger, n, is_workday)


@given(st.dates(date(2025, 1, 1), date(2026, 12, 31)), st.integers(1, 60))
def test_counting_the_trigger_day_is_counting_from_the_day_before(trigger: date, n: int) -> None:
    counted = CALENDAR.deadline(trigger, n, count_trigger_day=True)

    assert counted == CALENDAR.deadline(trigger - ONE_DAY, n)


def test_a_plain_week_would_be_wrong_for_446_of_669_trigger_days() -> None:
    triggers = list(days(date(2025, 1, 1), date(2026, 10, 31)))

    wrong = [
        day for day in triggers if CALENDAR.deadline(day, 30).due_day != walked(day, 30, is_weekday)
    ]

    assert (len(wrong), len(triggers)) == (446, 669)


# Deadlines that leave the published years


@pytest.mark.parametrize(
    ("trigger", "n", "earliest", "latest"),
    [
        # 29 working days of 2026 are left; the plain answer for the 30th is 2027-01-01.
        ("2026-11-22", 30, "2027-01-01", "2027-01-11"),
        # The same from the Friday before, the first trigger day that leaves the year.
        ("2026-11-20", 30, "2027-01-01", "2027-01-11"),
        # Two days are missing: plain 2027-01-04, and 01-01 is three days before it.
        ("2026-11-23", 30, "2027-01-01", "2027-01-14"),
        # Five are missing: plain 2027-01-07.
        ("2026-11-26", 30, "2027-01-04", "2027-01-17"),
        # Nothing published is left to count: plain 2027-02-11.
        ("2026-12-31", 30, "2027-02-08", "2027-02-21"),
        # The trigger itself is not published: plain 2027-04-12.
        ("2027-03-01", 30, "2027-04-09", "2027-04-22"),
        # Never on or before the trigger day: plain 2027-03-02.
        ("2027-03-01", 1, "2027-03-02", "2027-03-12"),
        # Before the published years the whole count is an estimate: plain 2025-01-31.
        ("2024-12-20", 30, "2025-01-28", "2025-02-10"),
        ("2019-05-04", 1, "2019-05-05", "2019-05-16"),
        # Up to 60 days the uncertainty is the measured one: plain 2027-03-25.
        ("2026-12-31", 60, "2027-03-22", "2027-04-04"),
        # Beyond, it grows in proportion: plain 2027-03-26, and 2027-06-17 for twice 60.
        ("2026-12-31", 61, "2027-03-22", "2027-04-06"),
        ("2026-12-31", 120, "2027-06-11", "2027-07-07"),
    ],
)
def test_a_deadline_that_leaves_the_published_years_is_an_interval(
    trigger: str, n: int, earliest: str, latest: str
) -> None:
    deadline = CALENDAR.deadline(DAY(trigger), n)

    assert deadline == Deadline(
        due_day=None,
        earliest=DAY(earliest),
        latest=DAY(latest),
        provisional=True,
        calendar_version="2025-1+2026-1",
    )


def test_counting_an_unpublished_trigger_day_may_make_it_the_last_day() -> None:
    deadline = CALENDAR.deadline(date(2027, 3, 1), 1, count_trigger_day=True)

    assert deadline.days == (date(2027, 3, 1), date(2027, 3, 11))


def known_year(number: int) -> Year:
    every = list(days(date(number, 1, 1), date(number, 12, 31)))
    return Year(
        year=number,
        version=f"{number}-oracle",
        notice="chinesecalendar",
        off=frozenset(d for d in every if is_weekday(d) and not is_workday(d)),
        work=frozenset(d for d in every if not is_weekday(d) and is_workday(d)),
    )


@pytest.mark.parametrize("year", range(2009, 2026))
def test_the_true_last_day_of_past_years_lies_within_the_interval(year: int) -> None:
    calendar = Calendar((known_year(year),))
    outside = [
        (trigger, n)
        for trigger in days(date(year, 10, 1), date(year, 12, 31))
        for n in (10, 15, 30, 60, 61, 120)
        if (deadline := calendar.deadline(trigger, n)).provisional
        and not (deadline.earliest <= walked(trigger, n, is_workday) <= deadline.latest)
    ]

    assert outside == []


@given(st.dates(date(2024, 12, 31), date(2028, 12, 31)), st.integers(1, 200))
@example(date(2026, 12, 30), 61)
def test_a_later_trigger_never_has_an_earlier_deadline(trigger: date, n: int) -> None:
    first, then = CALENDAR.deadline(trigger, n), CALENDAR.deadline(trigger + ONE_DAY, n)

    assert first.days <= then.days
    assert first.latest <= then.latest


@given(st.dates(date(2026, 6, 1), date(2027, 12, 31)), st.integers(1, 200))
def test_an_interval_begins_with_the_first_unpublished_day_or_later(trigger: date, n: int) -> None:
    deadline = CALENDAR.deadline(trigger, n)

    assert deadline.provisional == (deadline.latest > date(2026, 12, 31))
    assert deadline.earliest > trigger
    assert not deadline.provisional or deadline.earliest > date(2026, 12, 31)


@pytest.mark.parametrize(
    ("trigger", "n"),
    [
        # No working day at all.
        ("2026-01-05", 0),
        ("2026-01-05", -1),
        # Beyond what dates can say.
        ("9999-12-20", 30),
        ("2026-01-05", 10**7),
        ("2026-01-05", 10**30),
    ],
)
def test_a_count_without_an_answer_is_refused(trigger: str, n: int) -> None:
    with pytest.raises(Uncountable):
        CALENDAR.deadline(DAY(trigger), n)


def test_counting_the_first_day_of_all_is_refused() -> None:
    with pytest.raises(Uncountable):
        CALENDAR.deadline(date.min, 1, count_trigger_day=True)


@pytest.mark.parametrize(
    ("due_day", "earliest", "latest", "provisional"),
    [
        # A due day and provisional at once.
        ("2026-01-05", "2026-01-05", "2026-01-05", True),
        # Neither.
        (None, "2026-01-05", "2026-01-05", False),
        # A due day that is not both ends.
        ("2026-01-05", "2026-01-04", "2026-01-05", False),
        # Ends in the wrong order.
        (None, "2026-01-05", "2026-01-04", True),
    ],
)
def test_a_deadline_that_contradicts_itself_cannot_be_built(
    due_day: str | None,
    earliest: str,
    latest: str,
    *,
    provisional: bool,
) -> None:
    with pytest.raises(ValueError, match="deadline"):
        Deadline(
            due_day=DAY(due_day) if due_day else None,
            earliest=DAY(earliest),
            latest=DAY(latest),
            provisional=provisional,
            calendar_version="2026-1",
        )


# How long is left


@pytest.mark.parametrize(
    ("today", "due", "left"),
    [
        # On the trigger day all thirty are left.
        ("2025-07-18", "2025-08-29", 30),
        ("2025-08-28", "2025-08-29", 1),
        # The last day itself.
        ("2025-08-29", "2025-08-29", 0),
        # Over, though no working day has passed since.
        ("2025-08-30", "2025-08-29", -1),
        ("2025-09-01", "2025-08-29", -1),
        ("2025-09-02", "2025-08-29", -2),
        # Across a make-up Sunday and National Day: 09-28..30 and 10-09.
        ("2025-09-27", "2025-10-09", 4),
        # Unpublished days count as Monday to Friday: 2026-12-31, then 2027-01-01, 01-04.
        ("2026-12-30", "2027-01-04", 3),
        ("2027-01-04", "2026-12-31", -2),
        ("2024-12-27", "2025-01-02", 3),
        # Both ends unpublished.
        ("2019-05-03", "2019-05-10", 5),
        ("2028-01-03", "2028-01-10", 5),
        # All published years between: 248 and 248, and a weekday on either side.
        ("2024-12-30", "2027-01-01", 498),
    ],
)
def test_working_days_left(today: str, due: str, left: int) -> None:
    assert CALENDAR.working_days_left(DAY(today), DAY(due)) == left


def test_the_early_end_of_a_provisional_deadline_is_what_is_left_to() -> None:
    deadline = CALENDAR.deadline(date(2026, 11, 22), 30)

    assert CALENDAR.working_days_left(date(2026, 11, 22), deadline) == 30
    assert CALENDAR.working_days_left(date(2027, 1, 1), deadline) == 0
    assert CALENDAR.working_days_left(date(2027, 1, 2), deadline) == -1


@given(st.dates(date(2024, 12, 31), date(2026, 12, 1)), st.integers(1, 60))
def test_on_the_trigger_day_the_whole_period_is_left(trigger: date, n: int) -> None:
    deadline = CALENDAR.deadline(trigger, n)

    if not deadline.provisional:
        assert CALENDAR.working_days_left(trigger, deadline) == n


@given(
    st.dates(date(2024, 6, 1), date(2027, 6, 1)),
    st.dates(date(2024, 6, 1), date(2027, 6, 1)),
)
def test_days_left_are_those_found_day_by_day(today: date, due: date) -> None:
    def works(day: date) -> bool:
        published = date(2025, 1, 1) <= day <= date(2026, 12, 31)
        return is_workday(day) if published else is_weekday(day)

    first, last = sorted((today, due))
    passed = sum(map(works, days(first + ONE_DAY, last)))

    assert CALENDAR.working_days_left(today, due) == (passed if today <= due else -max(1, passed))


# Beijing's day


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2026-11-22T15:59:59.999999+00:00", "2026-11-22"),
        ("2026-11-22T16:00:00+00:00", "2026-11-23"),
        ("2025-05-31T15:59:59.999999+00:00", "2025-05-31"),
        ("2025-05-31T16:00:00+00:00", "2025-06-01"),
        ("2026-12-31T16:00:00+00:00", "2027-01-01"),
        ("1970-01-01T00:00:00+00:00", "1970-01-01"),
        ("1969-12-31T15:59:59.999999+00:00", "1969-12-31"),
        ("2026-11-23T00:00:00+08:00", "2026-11-23"),
    ],
)
def test_the_day_in_beijing_begins_at_16_utc(instant: str, day: str) -> None:
    assert beijing_day(microseconds(instant)) == DAY(day)


def test_a_duty_is_overdue_from_midnight_in_beijing_after_its_last_day() -> None:
    assert overdue_from(date(2026, 12, 31)) == microseconds("2027-01-01T00:00:00+08:00")


@given(st.dates(date(1970, 1, 2), date(9999, 12, 30)))
def test_the_first_overdue_instant_is_the_first_of_the_next_day(day: date) -> None:
    instant = overdue_from(day)

    assert (beijing_day(instant - 1), beijing_day(instant)) == (day, day + ONE_DAY)


# Years as data

YEAR_2027 = """
year = 2027
version = "2027-1"

[notice]
title = "made up for this test"
number = "test 1"
published = 2026-11-30
source = "https://example.org/2027"

[[holidays]]
name = "New Year"
first = 2027-01-01
last = 2027-01-03
work = [2026-12-27]
"""


def changed(old: str, new: str) -> str:
    assert old in YEAR_2027
    return YEAR_2027.replace(old, new)


def test_a_year_from_a_directory_turns_a_provisional_deadline_into_a_day(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_text(changed("work = [2026-12-27]\n", ""), "utf-8")

    deadline = load_calendar(tmp_path).deadline(date(2026, 11, 22), 30)

    assert deadline == Deadline.on(date(2027, 1, 4), "2025-1+2026-1+2027-1")


def test_a_later_notice_overrules_the_december_before(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_text(YEAR_2027, "utf-8")

    calendar = load_calendar(tmp_path)

    assert calendar.is_working_day(date(2026, 12, 27))
    assert calendar.deadline(date(2026, 11, 22), 30).due_day == date(2026, 12, 31)


def test_a_year_from_a_directory_replaces_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("any other file is left alone", "utf-8")
    corrected = YEAR_2027.replace("2027", "2026").replace("work = [2026-12-27]", "")
    (tmp_path / "2026.toml").write_text(corrected.replace('2026-1"', '2026-2"'), "utf-8")

    calendar = load_calendar(tmp_path)

    assert calendar.version == "2025-1+2026-2"
    assert not calendar.is_working_day(date(2026, 2, 28))


def test_other_days_under_the_version_of_the_shipped_year_are_refused(tmp_path: Path) -> None:
    corrected = YEAR_2027.replace("2027", "2026").replace("work = [2026-12-27]", "")
    (tmp_path / "2026.toml").write_text(corrected, "utf-8")

    with pytest.raises(BadCalendar, match=r"2026\.toml: version: the days differ"):
        load_calendar(tmp_path)


def test_a_copy_of_a_shipped_year_changes_nothing(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "monitor" / "calendars" / "2026.toml"
    (tmp_path / "2026.toml").write_bytes(shipped.read_bytes())

    assert load_calendar(tmp_path) == CALENDAR


def test_a_hole_between_years_is_refused(tmp_path: Path) -> None:
    text = YEAR_2027.replace("2027", "2028").replace("work = [2026-12-27]", "")
    (tmp_path / "2028.toml").write_text(text, "utf-8")

    with pytest.raises(BadCalendar, match=r"add 2027\.toml"):
        load_calendar(tmp_path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCalendar, match="absent"):
        load_calendar(tmp_path / "absent")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_bytes(b"\xff\xfe")

    with pytest.raises(BadCalendar, match="cannot be read"):
        load_calendar(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year = ", "no valid TOML"),
        (changed("year = 2027", 'year = "2027"'), "year: must be given, as int"),
        (changed("year = 2027", "year = true"), "year: must be given, as int"),
        (changed("year = 2027", "year = 9999"), "year: 9999 is not one of"),
        (changed("year = 2027", "year = 2028"), "call the file 2028.toml"),
        (changed('version = "2027-1"', ""), "version: must be given"),
        (changed("[notice]", "[other]"), "notice: must be given"),
        (changed("2026-11-30", '"2026-11-30"'), "published: must be given, as date"),
        (changed("[[holidays]]", "[holidays]"), "holidays: must be given, as list"),
        ("holidays = [1]\n" + changed("[[holidays]]", "[new]"), "holidays: must be tables"),
        (changed("first = 2027-01-01", "first = 2027-01-01T00:00:00"), "first: must be given"),
        (changed("first = 2027-01-01", "first = 2027-02-01"), "is after last"),
        (changed("last = 2027-01-03", "last = 2028-01-03"), "last: 2028-01-03 is not in 2027"),
        (changed("first = 2027-01-01", "first = 2026-11-30"), "first: 2026-11-30 is not in 2027"),
        (changed("2026-12-27", "2026-12-28"), "2026-12-28 is no Saturday or Sunday"),
        (changed("2026-12-27", "2026-11-29"), "work: 2026-11-29 is not in 2027"),
        (changed("2026-12-27", '"2026-12-27"'), "work: must be days"),
        (changed("2026-12-27", "2027-01-03"), "2027-01-03 is both off and a work day"),
    ],
)
def test_a_year_that_cannot_be_right_is_refused(text: str, message: str) -> None:
    with pytest.raises(BadCalendar, match=message) as caught:
        parse_year("2027.toml", text)

    assert str(caught.value).startswith("2027.toml: ")


def years(numbers: tuple[int, ...]) -> tuple[Year, ...]:
    empty: frozenset[date] = frozenset()
    return tuple(
        Year(year=number, version=str(number), notice="", off=empty, work=empty)
        for number in numbers
    )


@pytest.mark.parametrize("numbers", [(), (2026, 2025), (2025, 2027)])
def test_a_calendar_needs_years_that_follow_each_other(numbers: tuple[int, ...]) -> None:
    with pytest.raises(BadCalendar):
        Calendar(years(numbers))
