"""Clocks that begin again, and told numbers: on which days a period begins, and whether it does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from monitor.history import Point
from monitor.recurring import Clock, Period, begins_on, clocks, holds, key_of, periods
from monitor.rules import SHIPPED, Rule
from monitor.workdays import beijing_day, overdue_from

AUDIT = next(rule for rule in SHIPPED if rule.id == "audit.periodic")
MONTHLY = Rule(id="own", at_least=5, period=30, unit="calendar_days", recurring=True)
ONCE = Rule(id="once", at_least=5, period=30)


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 4, tzinfo=UTC).timestamp()) * 1_000_000


def begun(rule: Rule, first: date, today: date) -> list[date]:
    found = list(periods(rule, noon(first), first, today))
    assert [one.turn for one in found] == list(range(1, len(found) + 1))
    assert all(beijing_day(one.trigger_at) == one.begins for one in found)
    return [one.begins for one in found]


@pytest.mark.parametrize(
    ("today", "years"),
    [
        (date(2026, 5, 1), [2026]),
        (date(2028, 4, 30), [2026]),
        # The last day of a period is the first of the next.
        (date(2028, 5, 1), [2026, 2028]),
        (date(2033, 1, 1), [2026, 2028, 2030, 2032]),
    ],
)
def test_an_audit_is_owed_again_every_two_years(today: date, years: list[int]) -> None:
    assert begun(AUDIT, date(2026, 5, 1), today) == [date(year, 5, 1) for year in years]


def test_the_29th_of_february_comes_back() -> None:
    found = begun(AUDIT, date(2024, 2, 29), date(2028, 3, 1))

    assert found == [date(2024, 2, 29), date(2026, 2, 28), date(2028, 2, 29)]


def test_days_recur_by_their_number() -> None:
    found = begun(MONTHLY, date(2026, 1, 1), date(2026, 3, 2))

    assert found == [date(2026, 1, 1), date(2026, 1, 31), date(2026, 3, 2)]
    assert begins_on(MONTHLY, date(2026, 1, 1), 3) == date(2026, 3, 2)


def test_a_period_begins_at_midnight_in_beijing_but_the_first_with_its_trigger() -> None:
    first, second = periods(MONTHLY, noon(date(2026, 1, 1)), date(2026, 1, 1), date(2026, 2, 1))

    assert first == Period(1, date(2026, 1, 1), noon(date(2026, 1, 1)))
    midnight = datetime(2026, 1, 31, tzinfo=UTC) - timedelta(hours=8)
    assert second.trigger_at == int(midnight.timestamp()) * 1_000_000


def test_what_does_not_recur_has_one_period() -> None:
    assert begun(ONCE, date(2026, 1, 1), date(2036, 1, 1)) == [date(2026, 1, 1)]


def test_a_duty_of_a_recurring_rule_is_named_by_its_turn() -> None:
    assert (key_of(MONTHLY, 1, 3), key_of(ONCE, 2, 1)) == ("1-3", "2")


@pytest.mark.parametrize(
    ("instant", "expected"), [(9, False), (10, True), (19, True), (20, False), (30, True)]
)
def test_a_told_number_holds_until_the_next_one(instant: int, *, expected: bool) -> None:
    points = [Point(10, 5), Point(20, 4), Point(30, 6)]

    assert holds(points, 5, instant) is expected


ABOVE_DIP_ABOVE = [Point(10, 6), Point(20, 4), Point(30, 7), Point(40, 8)]


def run(
    points: list[Point], annulled: list[int] | None = None, today: date = date(1970, 1, 1)
) -> list[Clock]:
    return clocks(MONTHLY, points, annulled or [], today)


@pytest.mark.parametrize(
    ("annulled", "latch"),
    [
        ([], (1, None)),
        ([30], (1, None)),  # the number stays above: the period is over, not the clock
        ([30, 40], (1, None)),
        ([10], (2, 10)),  # it has passed from below since
        ([40, 10], (2, 10)),
        ([5], (2, 5)),  # what was annulled was of a number that was corrected since
        ([5, 10], (3, 10)),
    ],
)
def test_an_annulled_period_begins_a_new_clock_only_if_the_number_is_reached_anew(
    annulled: list[int], latch: tuple[int, int | None]
) -> None:
    assert run(ABOVE_DIP_ABOVE, annulled)[-1][:2] == latch


def days_of(found: list[Clock]) -> list[list[date]]:
    return [[period.begins for period in clock.periods] for clock in found]


ABOVE = Point(noon(date(2026, 1, 1)), 5)  # its periods begin on 01-01, 01-31, 03-02, 04-01
BELOW = Point(noon(date(2026, 1, 20)), 4)
NEXT = date(2026, 1, 31)
MIDNIGHT = overdue_from(date(2026, 1, 30))


def test_a_number_that_is_below_where_a_period_would_begin_ends_the_clock() -> None:
    found = run([ABOVE, BELOW], today=date(2026, 4, 2))

    assert days_of(found) == [[date(2026, 1, 1)], []]
    assert found[-1] == Clock(2, MIDNIGHT, None)


def test_the_next_passing_from_below_begins_a_clock_of_its_own() -> None:
    again = Point(noon(date(2026, 2, 10)), 6)
    found = run([ABOVE, BELOW, again], today=date(2026, 4, 2))

    assert days_of(found) == [[date(2026, 1, 1)], [date(2026, 2, 10), date(2026, 3, 12)]]
    assert (found[-1].latch, found[-1].first) == (2, again)


@pytest.mark.parametrize("again", [noon(date(2026, 1, 25)), MIDNIGHT])
def test_a_number_that_is_reached_again_before_the_period_is_over_goes_on(again: int) -> None:
    found = run([ABOVE, BELOW, Point(again, 5)], today=date(2026, 3, 1))

    assert days_of(found) == [[date(2026, 1, 1), NEXT]]


def test_before_the_period_is_over_nothing_has_ended() -> None:
    assert days_of(run([ABOVE, BELOW], today=date(2026, 1, 30))) == [[date(2026, 1, 1)]]


def test_an_annulled_period_ends_no_later_period_of_the_clock() -> None:
    """The dip lies in the second one, over whose begin the number held."""
    dip = [Point(noon(date(2026, 2, 10)), 4), Point(noon(date(2026, 2, 20)), 6)]
    found = run([ABOVE, *dip], [ABOVE.at], date(2026, 3, 2))

    assert days_of(found) == [[date(2026, 1, 1), NEXT, date(2026, 3, 2)]]


def test_an_annulled_later_period_begins_a_new_clock_where_the_number_is_reached_anew() -> None:
    dip = [Point(noon(date(2026, 2, 10)), 4), Point(noon(date(2026, 2, 20)), 6)]
    found = run([ABOVE, *dip], [MIDNIGHT], date(2026, 3, 2))

    assert days_of(found) == [[date(2026, 1, 1), NEXT], [date(2026, 2, 20)]]
    assert found[-1].after == MIDNIGHT


def test_a_number_that_was_never_reached_has_a_clock_that_has_not_begun() -> None:
    assert run([BELOW]) == [Clock(1, None, None)]
