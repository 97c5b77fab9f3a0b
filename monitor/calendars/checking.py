"""What is strange in a published year: for a person to compare with the notice, refused by nobody.

A year that cannot be right is refused by ``parse_year``. What is looked for here could be right,
but a mistyped day looks just like it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from monitor.calendars import SATURDAY, Year

WORKING_DAYS = range(244, 257)
"""2010-2026 have 248 to 251."""

_NEAR = timedelta(days=14)
_FIXED = (("New Year", 1, 1), ("Labour Day", 5, 1), ("National Day", 10, 1))
# The earliest and the latest day of the other holidays by law, whatever the year.
_MOVING = (
    ("Spring Festival", (1, 21), (2, 23)),
    ("Qingming", (4, 4), (4, 6)),
    ("Dragon Boat", (5, 27), (6, 26)),
    ("Mid-Autumn", (9, 7), (10, 8)),
)


def doubts(year: Year) -> list[str]:
    """Return what a person should compare with the notice; empty if nothing is strange."""
    return [*_published(year), *_missing(year), *_lonely(year), *_number(year)]


def working_days_of(year: Year) -> int:
    """Return how many working days *year* has by its own notice."""
    return sum(
        day in year.work or (day.weekday() < SATURDAY and day not in year.off)
        for day in _days(year.year)
    )


def _days(year: int) -> Iterator[date]:
    first = date(year, 1, 1)
    return (first + timedelta(days=n) for n in range((date(year, 12, 31) - first).days + 1))


def _published(year: Year) -> Iterator[str]:
    """Yield a day of publication that is not in the year before, nor early in the year itself."""
    day = year.published
    if day is not None and not date(year.year - 1, 1, 1) <= day <= date(year.year, 12, 31):
        yield f"it was published on {day}; a notice comes in the year before, or in the year"


def _missing(year: Year) -> Iterator[str]:
    for name, month, day in _FIXED:
        if date(year.year, month, day) not in year.off:
            yield f"{date(year.year, month, day)} ({name}) is not off"
    for name, (month, day), (last_month, last_day) in _MOVING:
        first, last = date(year.year, month, day), date(year.year, last_month, last_day)
        if not any(first <= off <= last for off in year.off):
            yield f"no day from {first} to {last} ({name}) is off"


def _lonely(year: Year) -> Iterator[str]:
    """Yield what has nothing to do with a holiday of the week."""
    for day in sorted(year.work):
        if not any(abs(day - off) <= _NEAR for off in year.off):
            yield f"{day} is worked, but no holiday is near"
    for first, last in _runs(year.off):
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        if all(day.weekday() >= SATURDAY for day in days):
            yield f"{first} to {last} is off, which a weekend is anyway"


def _runs(days: frozenset[date]) -> Iterator[tuple[date, date]]:
    for day in sorted(days):
        if day - timedelta(days=1) not in days:
            last = day
            while last + timedelta(days=1) in days:
                last += timedelta(days=1)
            yield day, last


def _number(year: Year) -> Iterator[str]:
    found = working_days_of(year)
    if found not in WORKING_DAYS:
        usual = f"{WORKING_DAYS[0]} to {WORKING_DAYS[-1]}"
        yield f"it has {found} working days; {usual} are usual"
