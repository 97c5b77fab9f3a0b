"""Ten years of working calendars as notices: 2025 and 2026 as they were published, the rest drawn.

The drawn years have the real dates of the lunar feasts and the habits of the State Council since
2025: blocks of days off, some weekend days worked instead. Each is published in the November
before, some late, some corrected in the middle of the year. Nothing of ours is imported.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

ONE = timedelta(days=1)
SATURDAY = 5
LAST_YEAR = 2035  # a deadline of December 2034 ends in the year after

# Spring Festival, Dragon Boat and Mid-Autumn by year.
LUNAR = {
    2027: ((2, 6), (6, 9), (9, 15)),
    2028: ((1, 26), (5, 28), (10, 3)),
    2029: ((2, 13), (6, 16), (9, 22)),
    2030: ((2, 3), (6, 5), (9, 12)),
    2031: ((1, 23), (6, 24), (10, 1)),
    2032: ((2, 11), (6, 12), (9, 19)),
    2033: ((1, 31), (6, 1), (9, 8)),
    2034: ((2, 19), (6, 20), (9, 27)),
    2035: ((2, 8), (6, 10), (9, 16)),
}


class Notice(NamedTuple):
    """What is off and what is worked in *year*, as published *on* a day; a later one replaces."""

    year: int
    version: int
    on: date
    off: frozenset[date]
    work: frozenset[date]


def run(first: date, length: int) -> set[date]:
    return {first + ONE * count for count in range(length)}


def _real() -> Iterable[Notice]:
    off = run(date(2025, 1, 1), 1) | run(date(2025, 1, 28), 8) | run(date(2025, 4, 4), 3)
    off |= run(date(2025, 5, 1), 5) | run(date(2025, 5, 31), 3) | run(date(2025, 10, 1), 8)
    days: tuple[tuple[int, int], ...] = ((1, 26), (2, 8), (4, 27), (9, 28), (10, 11))
    work = {date(2025, *day) for day in days}
    yield Notice(2025, 1, date(2024, 11, 12), frozenset(off), frozenset(work))
    off = run(date(2026, 1, 1), 3) | run(date(2026, 2, 15), 9) | run(date(2026, 4, 4), 3)
    off |= run(date(2026, 5, 1), 5) | run(date(2026, 6, 19), 3) | run(date(2026, 9, 25), 3)
    off |= run(date(2026, 10, 1), 7)
    days = ((1, 4), (2, 14), (2, 28), (5, 9), (9, 20), (10, 10))
    work = {date(2026, *day) for day in days}
    yield Notice(2026, 1, date(2025, 11, 4), frozenset(off), frozenset(work))


@lru_cache(maxsize=128)
def notices(seed: int) -> tuple[Notice, ...]:
    """Return all notices of one world, in the order of their publication."""
    rng = random.Random(seed)
    found = list(_real())
    for year in range(2027, LAST_YEAR + 1):
        first = _drawn(rng, year)
        found.append(first)
        if rng.random() < 0.5:
            found.append(_corrected(rng, first))
    return tuple(sorted(found, key=lambda one: one.on))


def _drawn(rng: random.Random, year: int) -> Notice:
    spring, boat, autumn = (date(year, *day) for day in LUNAR[year])
    on = date(year - 1, 11, 1) + ONE * rng.randint(0, 29)
    new_year = run(date(year, 1, 1), rng.choice((1, 3)))
    if rng.random() < 0.4:  # as in 2019: the days before are off, a weekend in December is worked
        new_year = run(date(year - 1, 12, 30) + ONE * rng.randint(0, 1), 3)
    elif rng.random() < 0.8:  # late, some of them when the year has begun
        on = date(year - 1, 12, 1) + ONE * rng.randint(0, 80)
    blocks = [
        (new_year, 1),
        (run(spring - ONE * rng.randint(0, 1), rng.choice((8, 9))), 4),
        (_around(date(year, 4, 4) + ONE * rng.randint(0, 1)), 1),
        (run(date(year, 5, 1), 5), 2),
        (_around(boat), 1),
        (run(date(year, 10, 1), rng.choice((7, 8))), 3),
    ]
    if autumn < date(year, 9, 28):
        blocks.append((_around(autumn), 1))
    off = set[date]().union(*(block for block, _ in blocks))
    work = set[date]()
    for block, statutory in blocks:
        lent = sum(day.weekday() < SATURDAY for day in block) - statutory
        near = [
            day
            for away in range(1, 13)
            for day in (min(block) - ONE * away, max(block) + ONE * away)
            if day.weekday() >= SATURDAY and day not in off | work and is_in(day, year)
        ]
        work |= set(near[: max(0, lent)])
    return Notice(year, 1, on, frozenset(off), frozenset(work))


def is_in(day: date, year: int) -> bool:
    """Tell whether the notice of *year* may speak of *day*: December of the year before, too."""
    return day.year == year or (day.year, day.month) == (year - 1, 12)


def _around(feast: date) -> set[date]:
    """Return the three days with the feast that lend the fewest weekdays."""
    runs = [run(feast - ONE * before, 3) for before in range(3)]
    return min(runs, key=lambda days: sum(day.weekday() < SATURDAY for day in days))


def _corrected(rng: random.Random, first: Notice) -> Notice:
    """Move something of the rest of the year: a day off, or the day that is worked for it."""
    on = date(first.year, 3, 1) + ONE * rng.randint(0, 200)
    off, work = set(first.off), set(first.work)
    later = sorted(day for day in work if day > on + ONE * 7)
    if rng.random() < 0.5:  # a day for a celebration, as in September 2015
        soon = [on + ONE * away for away in range(8, 40)]
        extra = rng.choice([d for d in soon if d.weekday() < SATURDAY and d not in off])
        off.add(extra)
    elif later and rng.random() < 0.7:
        moved = later[0]
        work.remove(moved)
        weekend = [moved + ONE * away for away in (-7, 7, 1, -1)]
        free = [d for d in weekend if d.weekday() >= SATURDAY and d not in off | work]
        work.add(free[0] if free else moved)
    else:
        national = date(first.year, 10, 1)
        end = max(day for day in off if day < national + ONE * 12)
        off.add(end + ONE)
        work.discard(end + ONE)
    return Notice(first.year, 2, on, frozenset(off), frozenset(work))
