"""Clocks that begin again, and told numbers: on which days a period begins, and whether it does."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from monitor.history import Point
from monitor.recurring import (
    Clock,
    Period,
    Turned,
    begins_on,
    clocks,
    holds,
    key_of,
    periods,
    turn_of,
)
from monitor.rules import SHIPPED, Rule
from monitor.workdays import beijing_day, overdue_from

AUDIT = next(rule for rule in SHIPPED if rule.id == "audit.periodic")
MONTHLY = Rule(
    id="own",
    at_least=5,
    period=30,
    unit="calendar_days",
    recurring=True,
    measure="external",
    number="told",
)
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


def gone(at: int, latch: int = 1, turn: int = 1) -> Turned:
    return Turned(latch, turn, at, annulled=True)


def run(
    points: list[Point], held: list[Turned] | None = None, today: date = date(1970, 1, 1)
) -> list[Clock]:
    return clocks(MONTHLY, points, held or [], today)


@pytest.mark.parametrize(
    ("held", "latch"),
    [
        ([], (1, None)),
        ([Turned(1, 1, 10)], (1, None)),
        ([gone(30)], (1, None)),  # the number stays above: the period is over, not the clock
        ([gone(10)], (2, 10)),  # it has passed from below since
        ([gone(5)], (2, 5)),  # what was annulled was of a number that was corrected since
        ([gone(5), gone(10, latch=2)], (3, 10)),
        ([gone(5), gone(7, latch=2)], (3, 7)),
        ([gone(5, latch=2)], (1, None)),  # of another clock, whose number was corrected since
        ([gone(10, latch=2), gone(10, latch=3)], (1, None)),
        # The next clock has none of the numbers that have duties of what came before it.
        ([gone(10), gone(8, latch=2)], (3, 10)),
        ([gone(10), Turned(2, 1, 10), Turned(2, 2, 50), Turned(3, 1, 9)], (4, 10)),
        ([gone(10), Turned(2, 2, 50), Turned(2, 1, 30)], (2, 10)),
    ],
)
def test_an_annulled_period_begins_a_new_clock_only_if_the_number_is_reached_anew(
    held: list[Turned], latch: tuple[int, int | None]
) -> None:
    assert run(ABOVE_DIP_ABOVE, held)[-1][:2] == latch


def test_what_was_annulled_of_a_number_that_was_never_reached_leaves_a_clock_to_begin() -> None:
    assert run([BELOW], [gone(5)]) == [Clock(1, None, None), Clock(2, 5, None)]


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
    found = run([ABOVE, *dip], [gone(ABOVE.at)], date(2026, 3, 2))

    assert days_of(found) == [[date(2026, 1, 1), NEXT, date(2026, 3, 2)]]


def test_an_annulled_later_period_begins_a_new_clock_where_the_number_is_reached_anew() -> None:
    dip = [Point(noon(date(2026, 2, 10)), 4), Point(noon(date(2026, 2, 20)), 6)]
    found = run([ABOVE, *dip], [gone(MIDNIGHT, turn=2)], date(2026, 3, 2))

    assert days_of(found) == [[date(2026, 1, 1), NEXT], [date(2026, 2, 20)]]
    assert found[-1].after == MIDNIGHT


def test_what_was_annulled_of_another_clock_ends_no_period_of_this_one() -> None:
    """It was of a dip that was corrected; a real one lies in the same period."""
    foreign = gone(noon(date(2026, 2, 5)), latch=2)
    dip = [Point(noon(date(2026, 2, 10)), 4), Point(noon(date(2026, 2, 20)), 6)]
    found = run([ABOVE, *dip], [foreign], date(2026, 3, 2))

    assert days_of(found) == [[date(2026, 1, 1), NEXT, date(2026, 3, 2)]]


def test_a_period_that_moved_later_than_what_was_annulled_of_it_is_the_one_that_is_over() -> None:
    """A dip that is over before the period begins is none within it."""
    dip = [Point(noon(date(2026, 1, 10)), 4), Point(noon(date(2026, 1, 20)), 6)]
    found = run([ABOVE, *dip], [gone(noon(date(2026, 1, 5)), turn=2)], date(2026, 2, 1))

    assert days_of(found) == [[date(2026, 1, 1), NEXT]]


def test_a_clock_after_one_that_lapsed_takes_no_number_that_has_older_duties() -> None:
    older = Turned(2, 1, noon(date(2026, 1, 10)))
    found = run([ABOVE, BELOW, Point(noon(date(2026, 2, 10)), 6)], [older], date(2026, 2, 11))

    assert [(one.latch, len(one.periods)) for one in found] == [(1, 1), (3, 1)]


IN_FORCE = Rule(
    id="own",
    at_least=5,
    period=30,
    unit="calendar_days",
    recurring=True,
    measure="external",
    number="told",
    since=date(2026, 1, 1),
)
NEW_YEAR = overdue_from(date(2025, 12, 31))
REACHED_2025 = Point(noon(date(2025, 6, 1)), 9)


@pytest.mark.parametrize(
    ("points", "begins"),
    [
        ([REACHED_2025], [date(2026, 1, 1), NEXT]),
        ([REACHED_2025, Point(noon(date(2025, 7, 1)), 4)], []),
        ([REACHED_2025, Point(NEW_YEAR, 4)], []),
        ([Point(noon(date(2025, 6, 1)), 4), Point(NEW_YEAR, 9)], [date(2026, 1, 1), NEXT]),
        ([Point(noon(date(2025, 6, 1)), 4), ABOVE], [date(2026, 1, 1), NEXT]),
        ([REACHED_2025, BELOW], [date(2026, 1, 1)]),
        ([Point(noon(date(2026, 1, 15)), 9)], [date(2026, 1, 15)]),
        ([], []),
    ],
)
def test_the_first_period_begins_when_the_rule_is_in_force_and_the_number_reached(
    points: list[Point], begins: list[date]
) -> None:
    found = clocks(IN_FORCE, points, [], date(2026, 2, 1))

    assert [day for days in days_of(found) for day in days] == begins


def test_of_a_number_reached_before_the_first_period_begins_at_midnight_in_beijing() -> None:
    (clock,) = clocks(IN_FORCE, [REACHED_2025], [], date(2026, 1, 30))

    assert clock.periods == (Period(1, date(2026, 1, 1), NEW_YEAR),)


def test_before_a_rule_is_in_force_no_clock_has_begun() -> None:
    assert clocks(IN_FORCE, [REACHED_2025], [], date(2025, 12, 31)) == [Clock(1, None, None)]


@pytest.mark.parametrize(
    ("key", "expected"), [("1-3", (1, 3)), ("12-1", (12, 1)), ("1", None), ("a-1", None)]
)
def test_the_key_of_a_period_says_its_latch_and_turn(
    key: str, expected: tuple[int, int] | None
) -> None:
    assert turn_of(key) == expected


def test_a_number_that_was_never_reached_has_a_clock_that_has_not_begun() -> None:
    assert run([BELOW]) == [Clock(1, None, None)]
