"""Early warnings: a level is told once for each time that the number passes it from below."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.approach import (
    AHEAD,
    LEAD_DAYS,
    Approach,
    Levels,
    ahead,
    bound,
    in_force,
    near,
    seen,
    told,
)
from monitor.forecast import Forecast, Outlook

THRESHOLD = 1_000
LEVEL = Approach(percent=80)


def walk(numbers: list[int], *, sure: bool = True, percent: int = 80, rearm: int = 5) -> list[int]:
    """Return after which looks a warning was told; *sure*: nothing could take the number back."""
    level, tellings = Approach(percent=percent), []
    for now, number in enumerate(numbers):
        level = seen(level, number, THRESHOLD, rearm, newest_at=now, now=now)
        if sure and level.waiting:
            level = told(level, now)
            tellings.append(now)
    return tellings


@pytest.mark.parametrize(
    ("percent", "at_least", "number"),
    [(80, 1_000, 800), (80, 6, 5), (95, 100_000, 95_000), (1, 1, 1)],
)
def test_a_level_is_passed_at_the_number_that_is_its_share_or_more(
    percent: int, at_least: int, number: int
) -> None:
    assert bound(percent, at_least) == number
    assert number * 100 >= percent * at_least > (number - 1) * 100


def test_a_level_that_is_passed_is_told_once_however_often_it_is_looked_at() -> None:
    assert walk([799, 800, 800, 850, 900]) == [1]


def test_a_number_that_goes_to_and_fro_around_a_level_is_told_once() -> None:
    assert walk([800, 799, 801, 760, 830, 750, 800]) == [0]


def test_below_the_lower_bound_a_level_is_armed_again() -> None:
    assert walk([800, 749, 799, 800, 900, 700, 810]) == [0, 3, 6]


def test_a_number_that_falls_before_it_was_certain_was_never_passed() -> None:
    level = seen(LEVEL, 800, THRESHOLD, 5, newest_at=7, now=9)
    assert (level.seen_at, level.newest_at, level.waiting) == (9, 7, True)

    assert seen(level, 799, THRESHOLD, 5, newest_at=8, now=10) == LEVEL


def test_a_level_waits_with_the_newest_fact_of_its_first_sight() -> None:
    level = seen(LEVEL, 800, THRESHOLD, 5, newest_at=7, now=9)

    assert seen(level, 900, THRESHOLD, 5, newest_at=70, now=90) == level


def test_passes_are_counted_over_the_re_arming() -> None:
    once = told(seen(LEVEL, 800, THRESHOLD, 5, newest_at=1, now=1), 1)
    armed = seen(once, 0, THRESHOLD, 5, newest_at=2, now=2)

    assert (once.passes, armed.passes, armed.told_at, armed.waiting) == (1, 1, None, False)


def test_a_lower_bound_below_nobody_is_nobody() -> None:
    """A level that can never be armed again is told once for all."""
    assert walk([10, 0, 10], percent=1, rearm=5) == [0]


def test_the_level_in_force_is_the_highest_that_was_told() -> None:
    levels = [
        Approach(percent=80, told_at=1),
        Approach(percent=90, told_at=2),
        Approach(percent=95, seen_at=3),
    ]

    assert in_force(levels) == 90
    assert in_force([]) == 0


@given(st.lists(st.integers(0, 1_000), max_size=60), st.integers(1, 99), st.integers(1, 30))
def test_two_tellings_have_a_fall_below_the_lower_bound_between_them(
    numbers: list[int], percent: int, rearm: int
) -> None:
    tellings = walk(numbers, percent=percent, rearm=rearm)
    upper, lower = bound(percent, THRESHOLD), bound(max(0, percent - rearm), THRESHOLD)
    # Word for word: armed, wait for the level; told, wait for the bound.
    expected, armed = [], True
    for look, number in enumerate(numbers):
        if armed and number >= upper:
            expected.append(look)
            armed = False
        elif not armed and number < lower:
            armed = True

    assert tellings == expected


def test_levels_are_80_90_and_95_unless_said_otherwise() -> None:
    assert (Levels().percent, Levels().rearm) == ((80, 90, 95), 5)
    assert Levels(percent=()).percent == ()


@pytest.mark.parametrize(
    ("percent", "rearm"), [((0,), 5), ((100,), 5), ((90, 80), 5), ((80, 80), 5), ((80,), 0)]
)
def test_levels_that_make_no_sense_are_refused(percent: tuple[int, ...], rearm: int) -> None:
    with pytest.raises(ValueError, match="level"):
        Levels(percent=percent, rearm=rearm)


# The forecast in the place of a share

TODAY = date(2026, 11, 23)
SKY = Approach(percent=AHEAD)
DAY = 86_400_000_000


def found(outlook: Outlook, days: int | None = None) -> Forecast:
    first = None if days is None else TODAY + timedelta(days=days)
    return Forecast(outlook=outlook, today=TODAY, individuals=1, at_least=9, first=first)


@pytest.mark.parametrize(
    ("outlook", "days", "expected"),
    [
        (Outlook.EXPECTED, 0, True),
        (Outlook.POSSIBLE, LEAD_DAYS, True),
        (Outlook.EXPECTED, LEAD_DAYS + 1, None),
        (Outlook.EXPECTED, 90, None),
        (Outlook.EXPECTED, 91, False),
        (Outlook.NOT_GROWING, None, False),
        (Outlook.TOO_LITTLE_HISTORY, None, None),
    ],
)
def test_a_forecast_is_near_within_the_lead_and_far_well_beyond_it(
    outlook: Outlook, days: int | None, *, expected: bool | None
) -> None:
    assert near(found(outlook, days)) is expected


def test_a_near_forecast_waits_to_be_certain_and_is_told_once() -> None:
    level = ahead(SKY, near=True, newest_at=7, now=9)
    again = ahead(told(level, 10), near=True, newest_at=8, now=40 * DAY)

    assert (level.waiting, level.seen_at, level.newest_at) == (True, 9, 7)
    assert again == told(level, 10)


@pytest.mark.parametrize("later", [None, False])
def test_a_forecast_that_goes_before_it_was_certain_was_never_near(*, later: bool | None) -> None:
    level = ahead(SKY, near=True, newest_at=7, now=9)

    assert ahead(level, near=later, newest_at=7, now=10) == SKY
    assert ahead(SKY, near=later, newest_at=7, now=10) == SKY


def test_a_told_forecast_is_armed_again_when_it_is_far_off_after_a_month() -> None:
    level = told(ahead(SKY, near=True, newest_at=7, now=9), 10)

    assert ahead(level, near=False, newest_at=7, now=29 * DAY) == level
    assert ahead(level, near=None, newest_at=7, now=31 * DAY) == level
    assert ahead(level, near=False, newest_at=7, now=31 * DAY) == Approach(percent=AHEAD, passes=1)
