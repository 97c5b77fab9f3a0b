"""Ten simulated years on the pure core, against an oracle that walks day by day (tests/years).

2025 and 2026 are the real calendars, 2027 to 2035 are drawn, published late and corrected. Of
every duty in every world rule, key, trigger day, due day or interval, status, working days left
and clocks are compared after every day on which anything was heard, and around the due days.
"""

from __future__ import annotations

import os
from datetime import date
from functools import reduce

import pytest

from monitor.calendars import Year
from monitor.workdays import load_calendar
from tests.figures import report, sized
from tests.years.notices import ONE, SATURDAY, is_in, notices
from tests.years.older import OlderWorld
from tests.years.oracle import Days
from tests.years.story import World
from tests.years.worlds import WORLDS, Tally

SEEDS = int(os.environ.get("FACETALLY_SEEDS", sized(1_000, 20_000)))
PARTS = 8
LEFT_BEHIND = 144  # the seed of a world; find another if what is drawn has changed

# LAW.md, "Counting working days": what both must say before they may be compared.
LAW = [
    (date(2025, 6, 1), 30, date(2025, 7, 14)),
    (date(2025, 7, 18), 30, date(2025, 8, 29)),
    (date(2025, 6, 3), 30, date(2025, 7, 15)),
    (date(2025, 9, 26), 10, date(2025, 10, 16)),
    (date(2025, 9, 26), 30, date(2025, 11, 13)),
    (date(2026, 1, 15), 15, date(2026, 2, 5)),
    (date(2026, 9, 1), 30, date(2026, 10, 19)),
    (date(2026, 11, 19), 30, date(2026, 12, 31)),
]


def known(*years: int) -> Days:
    days = Days()
    for notice in notices(0):
        if notice.year in years:
            days.hear(notice)
    return days


@pytest.mark.parametrize(("trigger", "count", "due"), LAW)
def test_the_oracle_knows_the_dates_of_the_law(trigger: date, count: int, due: date) -> None:
    assert known(2025, 2026).due(trigger, count) == (due, due)


def test_the_oracle_knows_the_interval_of_the_law() -> None:
    found = known(2025, 2026).due(date(2026, 11, 22), 30)

    assert found == (date(2027, 1, 1), date(2027, 1, 11))


def test_the_oracle_has_the_real_years_as_they_ship() -> None:
    of = {notice.year: notice for notice in notices(0)}
    for year in load_calendar().years[:2]:
        assert isinstance(year, Year)
        assert (of[year.year].off, of[year.year].work) == (year.off, year.work)


@pytest.mark.parametrize("world", range(WORLDS))
def test_drawn_years_are_like_real_ones(world: int) -> None:
    """As many working days as there are, and only weekend days are worked for days off."""
    for notice in notices(world):
        days = Days()
        days.hear(notice)
        assert 245 <= sum(days.of.values()) <= 252
        assert all(day.weekday() >= SATURDAY for day in notice.work)
        assert not notice.work & notice.off
        assert all(is_in(day, notice.year) for day in notice.work | notice.off)
        assert notice.on < date(notice.year, 10, 1) - ONE


@pytest.mark.parametrize("part", range(PARTS))
def test_no_date_in_ten_years_is_missed_doubled_or_wrong(part: int) -> None:
    worlds = [(seed, World(seed)) for seed in range(part, SEEDS, PARTS)]
    tallies = []
    for seed, world in worlds:
        tallies.append(world.live())

        assert world.differences == [], f"seed {seed}"
    whole = reduce(lambda one, other: Tally(*map(sum, zip(one, other, strict=True))), tallies)
    report(f"ten years, part {part}", seeds=len(worlds), **whole._asdict())
    if len(worlds) >= 100:  # enough for every kind of thing but the rarest to have happened
        assert all(whole._replace(left=1)), whole


def test_a_duty_is_left_behind_in_the_worlds_that_are_lived() -> None:
    """Rare: its latch is not in force any more, as the duty before it was reopened."""
    world = World(LEFT_BEHIND)
    tally = world.live()

    assert world.differences == []
    assert tally.left > 0


def test_an_older_duty_moves_to_an_earlier_day_in_a_world_that_is_lived() -> None:
    """Rare: the next latch is armed, and its duty open, when one hears of an earlier day."""
    world = OlderWorld(0)
    world.live()
    days = {key: str(duty.trigger_day) for key, duty in world.product.duties.items()}

    assert world.differences == []
    assert days == {
        ("frt.file", "1"): "2026-02-10",
        ("frt.file", "2"): "2026-06-01",
        ("frt.cancel", "1"): "2026-03-10",
    }
