"""Working days and deadlines, in Beijing's days. The only module that knows the authority's zone.

The trigger day is not counted; the first working day after it is day 1, the n-th is the last day
to act, and it is overdue from 00:00 of the next day in Beijing. (By the two dates that the CAC's
announcements give, 2025-07-14 and 2025-08-29, and Civil Code art. 201 by analogy.)

Days that no published calendar answers for are never guessed silently: such a deadline is
*provisional*, an interval that is counted again when the year is loaded. Reads no clock.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from monitor.calendars import ONE_DAY, SATURDAY, BadCalendar, Year, read_years
from monitor.facts import Instant

__all__ = [
    "BadCalendar",
    "Calendar",
    "Deadline",
    "NotPublished",
    "Uncountable",
    "beijing_day",
    "beijing_ordinal",
    "load_calendar",
    "overdue_from",
]

# China has kept UTC+8 without summer time since 1992, and facts begin in 2000.
_OFFSET_US = 8 * 3600 * 1_000_000
_DAY_US = 24 * 3600 * 1_000_000
_EPOCH = date(1970, 1, 1).toordinal()

# How far the true last day lay from the plain Monday-to-Friday answer, 2010-2026 (LAW.md). From
# the end of a year this holds for up to 60 working days; beyond, it grows in proportion.
_DAYS_BEFORE = 3
_DAYS_AFTER = 10
_MEASURED_FOR = 60


class NotPublished(LookupError):
    """No loaded calendar says whether *day* is a working day; load the file of its year."""

    def __init__(self, day: date) -> None:
        super().__init__(f"the working calendar of {day.year} is not loaded; add {day.year}.toml")
        self.day = day


class Uncountable(ValueError):
    """The question has no answer: fewer than one working day, or a day outside years 1-9999."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The last day to act: *due_day*, or while *provisional* a day from *earliest* to *latest*.

    Both ends are inclusive and equal to *due_day* when that is known. Alerts use *earliest*.
    A clock of hours ends within its last day: *due_at* is the first instant that is too late.
    """

    due_day: date | None
    earliest: date
    latest: date
    provisional: bool
    calendar_version: str
    due_at: Instant | None = None

    def __post_init__(self) -> None:
        exact = (self.earliest, self.latest) == (self.due_day, self.due_day)
        if self.provisional != (self.due_day is None) or not (self.provisional or exact):
            raise ValueError("a deadline has either a due day or, while provisional, two ends")
        if self.earliest > self.latest:
            raise ValueError("the early end of a deadline is after its late end")

    @classmethod
    def on(cls, day: date, calendar_version: str, due_at: Instant | None = None) -> Deadline:
        """Return the deadline whose last day is known to be *day*."""
        return cls(
            due_day=day,
            earliest=day,
            latest=day,
            provisional=False,
            calendar_version=calendar_version,
            due_at=due_at,
        )

    @property
    def overdue_at(self) -> Instant:
        """The first instant that is too late; by the early end while provisional."""
        return overdue_from(self.earliest) if self.due_at is None else self.due_at

    @property
    def days(self) -> tuple[date, date]:
        """What two deadlines are compared by, whatever calendar gave them."""
        return self.earliest, self.latest


@dataclass(frozen=True, slots=True)
class Calendar:
    """The published working days. *years* ascend without a hole (BadCalendar otherwise)."""

    years: tuple[Year, ...]
    _working: tuple[date, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        numbers = [year.year for year in self.years]
        if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            raise BadCalendar("a calendar needs years that follow each other")
        object.__setattr__(self, "_working", tuple(_working_days(self.years)))

    @property
    def version(self) -> str:
        """The versions of the years used, such as ``2025-1+2026-1``."""
        return "+".join(year.version for year in self.years)

    @property
    def first_day(self) -> date:
        """The first day that a loaded year answers for."""
        return date(self.years[0].year, 1, 1)

    @property
    def last_day(self) -> date:
        """The last day that a loaded year answers for."""
        return date(self.years[-1].year, 12, 31)

    def is_working_day(self, day: date) -> bool:
        """Raise NotPublished for a day outside the loaded years: never an estimate."""
        if not self.first_day <= day <= self.last_day:
            raise NotPublished(day)
        return self._up_to(day) > self._up_to(day - ONE_DAY)

    def deadline(
        self,
        trigger_day: date,
        n: int,
        count_trigger_day: bool = False,  # noqa: FBT001, FBT002 - named by every caller
    ) -> Deadline:
        """Return the day by which *n* working days after *trigger_day* are over.

        Answers for every trigger day. Where the count leaves the loaded years it is provisional:
        published days are counted exactly and the rest is 3 calendar days before to 10 after its
        plain Monday-to-Friday answer, but not before the first unpublished day. A trigger day
        before the loaded years makes the whole count such an estimate; so load its year.

        *count_trigger_day* makes the trigger day, if it is a working day, day 1. Raises
        Uncountable.
        """
        if n < 1:
            raise Uncountable(f"cannot count {n} working days; ask for at least 1")
        try:
            return self._deadline(trigger_day - ONE_DAY if count_trigger_day else trigger_day, n)
        except (OverflowError, ValueError):
            raise Uncountable(
                f"{n} working days from {trigger_day} are not within the years 1 to 9999"
            ) from None

    def working_days_left(self, today: date, due: Deadline | date) -> int:
        """Return how many working days after *today* there are up to the last day to act.

        0 on that day itself, negative (at least -1) once it is over; of a provisional deadline
        the early end counts. Days outside the loaded years are estimated as Monday to Friday.
        """
        last = due.earliest if isinstance(due, Deadline) else due
        if today <= last:
            return self._between(today, last)
        return -max(1, self._between(last, today))

    def _deadline(self, after: date, n: int) -> Deadline:
        if after < self.first_day - ONE_DAY:
            return self._estimate(after, n)
        start = self._up_to(after)
        if start + n <= len(self._working):
            return Deadline.on(self._working[start + n - 1], self.version)
        return self._estimate(max(after, self.last_day), n - (len(self._working) - start))

    def _estimate(self, after: date, n: int) -> Deadline:
        plain = _weekday_after(after, n)
        before, after_it = _spread(_DAYS_BEFORE, n), _spread(_DAYS_AFTER, n)
        return Deadline(
            due_day=None,
            earliest=max(after + ONE_DAY, plain - before),
            latest=plain + after_it,
            provisional=True,
            calendar_version=self.version,
        )

    def _up_to(self, day: date) -> int:
        """Return the number of published working days up to and including *day*."""
        return bisect_right(self._working, day)

    def _between(self, after: date, last: date) -> int:
        published = self._up_to(last) - self._up_to(after)
        early = _weekdays(after, min(last, self.first_day - ONE_DAY))
        late = _weekdays(max(after, self.last_day), last)
        return early + published + late


def load_calendar(directory: Path | None = None) -> Calendar:
    """Return the shipped years, with those in *directory* added or put in their place.

    Raises BadCalendar, whose message says which file to mend and how.
    """
    return Calendar(read_years(directory))


def beijing_day(instant_us: Instant) -> date:
    """Return the date in Beijing at *instant_us*: from 16:00 UTC on it is the next day."""
    return date.fromordinal(beijing_ordinal(instant_us))


def beijing_ordinal(instant_us: Instant) -> int:
    """Return the date in Beijing at *instant_us* as a number, for where there are millions."""
    return _EPOCH + (instant_us + _OFFSET_US) // _DAY_US


def overdue_from(day: date) -> Instant:
    """Return the first instant that is too late if *day* is the last day to act."""
    return (day.toordinal() - _EPOCH + 1) * _DAY_US - _OFFSET_US


def _working_days(years: tuple[Year, ...]) -> Iterator[date]:
    exceptions: dict[date, bool] = {}
    for year in years:  # ascending: a later notice overrules what an earlier one said of December
        exceptions |= dict.fromkeys(year.off, False) | dict.fromkeys(year.work, True)
    day = date(years[0].year, 1, 1)
    while day.year <= years[-1].year:
        if exceptions.get(day, day.weekday() < SATURDAY):
            yield day
        day += ONE_DAY


def _weekdays(after: date, last: date) -> int:
    """Return the number of days from Monday to Friday in (*after*, *last*], 0 if that is empty."""
    return max(0, _weekdays_up_to(last.toordinal()) - _weekdays_up_to(after.toordinal()))


def _weekdays_up_to(ordinal: int) -> int:
    weeks, days = divmod(ordinal, 7)  # ordinal 1, 0001-01-01, is a Monday
    return 5 * weeks + min(days, 5)


def _spread(days: int, n: int) -> timedelta:
    return timedelta(days=-(-days * max(n, _MEASURED_FOR) // _MEASURED_FOR))


def _weekday_after(day: date, n: int) -> date:
    weeks, days = divmod(_weekdays_up_to(day.toordinal()) + n - 1, 5)
    return date.fromordinal(7 * weeks + days + 1)
