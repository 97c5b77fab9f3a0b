"""What worlds are made of: their days, their calendars, and what there was in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from monitor.workdays import Calendar
from tests.years import product
from tests.years.notices import Notice, notices
from tests.years.oracle import Days

FIRST, LAST = date(2025, 1, 1), date(2034, 12, 31)
WORLDS = 40  # of calendars; what happens in them is of each seed


class Tally(NamedTuple):
    """What a world had in it, to see that the worlds have everything in them."""

    duties: int
    legacy: int
    second: int
    restated: int
    moved: int
    provisional: int
    overdue: int
    clocks: int
    refused: int
    reopened: int
    corrected: int
    left: int
    late: int
    denied: int


@lru_cache(maxsize=WORLDS)
def calendars(world: int) -> Sequence[tuple[date, Notice, Calendar]]:
    return product.calendars(notices(world))


@lru_cache(maxsize=WORLDS)
def in_the_end(world: int) -> Days:
    """Return the days as they turned out to be, corrections and all."""
    days = Days()
    for notice in notices(world):
        days.hear(notice)
    return days


def instant(day: date, seconds: int = 43_200) -> int:
    midnight = datetime.combine(day, time(), tzinfo=UTC) - timedelta(hours=8)
    return (int(midnight.timestamp()) + seconds) * 1_000_000
