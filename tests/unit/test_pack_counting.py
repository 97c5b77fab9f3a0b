"""The count of days in a filing pack: each clock spelled out, and where the calendars end."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from deploy.pack.counting import Counted, counted, spelled
from monitor.duties import Duty, owed
from monitor.rules import SHIPPED, Rule
from monitor.workdays import load_calendar
from tests.years.oracle import beijing

CALENDAR = load_calendar()
RULES = {rule.id: rule for rule in SHIPPED}


def duty(rule: Rule, day: date) -> Duty:
    noon = int(datetime(day.year, day.month, day.day, 4, tzinfo=UTC).timestamp()) * 1_000_000
    assert beijing(noon) == day
    return owed(
        rule,
        processor="acme",
        key="1",
        trigger_at=noon,
        known_at=noon,
        calendar=CALENDAR,
        proof={},
    )


def days_of(name: str, day: date) -> list[Counted]:
    rule = RULES[name]
    return list(spelled(rule, duty(rule, day), CALENDAR))


@pytest.mark.parametrize(
    ("trigger", "count", "last"),
    [
        (date(2025, 6, 1), 30, date(2025, 7, 14)),
        (date(2025, 9, 26), 15, date(2025, 10, 23)),
        (date(2026, 1, 15), 30, date(2026, 3, 4)),
        (date(2026, 11, 19), 30, date(2026, 12, 31)),
    ],
)
def test_the_last_day_of_the_count_is_that_of_the_law(
    trigger: date, count: int, last: date
) -> None:
    rows = list(counted(trigger, count, CALENDAR))

    assert (rows[0].day, rows[0].count) == (trigger, None)
    assert (rows[-1].day, rows[-1].works, rows[-1].count) == (last, True, count)
    assert [row.count for row in rows if row.works] == list(range(1, count + 1))


def test_a_trigger_day_that_counts_is_the_first() -> None:
    rows = list(counted(date(2025, 7, 18), 30, CALENDAR, count_trigger_day=True))

    assert (rows[0].day, rows[0].count) == (date(2025, 7, 18), 1)
    assert rows[-1].day == date(2025, 8, 28)


def test_where_the_calendars_end_the_rest_is_said_and_not_guessed() -> None:
    *rows, unknown, rest = counted(date(2026, 11, 22), 30, CALENDAR)

    assert (rows[-1].day, rows[-1].count) == (date(2026, 12, 31), 29)
    assert (unknown.day, unknown.works, unknown.count) == (date(2027, 1, 1), None, None)
    assert unknown.why.zh == "2027 年节假日安排尚未公布"
    assert rest.day == date(2027, 1, 11)
    assert rest.why.en.startswith("1 working days are left")
    assert "between 2027-01-01 and 2027-01-11" in rest.why.en


@pytest.mark.parametrize(
    ("name", "last", "why"),
    [
        ("frt.file.legacy", date(2025, 7, 14), "fixed date of the announcement"),
        ("frt.retain", date(2028, 5, 20), "3 years from the trigger day on"),
        ("incident.other", date(2025, 5, 20), "4 hours from the trigger day on"),
        ("frt.pipia", date(2025, 5, 20), "last day to act"),
    ],
)
def test_other_clocks_are_two_days_and_a_reason(name: str, last: date, why: str) -> None:
    first, end = days_of(name, date(2025, 5, 20))

    assert first.day == date(2025, 5, 20)
    assert (end.day, end.works, end.count, end.why.en) == (last, None, None, why)


def test_thirty_days_of_a_duty_end_on_its_last_day() -> None:
    rows = days_of("frt.file", date(2025, 7, 18))

    assert (rows[-1].day, rows[-1].count) == (date(2025, 8, 29), 30)
