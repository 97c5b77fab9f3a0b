"""Who can be told when: people, their channels and their working hours, in Beijing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from monitor.facts import Instant
from monitor.workdays import Calendar, NotPublished, beijing_day, overdue_from

_MINUTE: Final = 60 * 1_000_000
_DAY: Final = timedelta(days=1)
_SATURDAY: Final = 5
_LONGEST_HOLIDAY: Final = 30  # days


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """The working time of a working day, in minutes from midnight in Beijing: [begins, ends)."""

    begins: int = 9 * 60
    ends: int = 18 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody who can be told; *hours* None: always."""

    name: str
    channels: tuple[str, ...]
    hours: Hours | None = None


@dataclass(frozen=True, slots=True)
class WorkingTime:
    """Working hours by the days of a calendar; beyond its years Monday to Friday work."""

    calendar: Calendar

    def latest(self, hours: Hours | None, at: Instant) -> Instant:
        """Return the last instant within *hours* up to *at*: *at* itself if they run then.

        What was due by that instant has been due in somebody's working time.
        """
        if hours is None:
            return at
        day = beijing_day(at)
        for _ in range(_LONGEST_HOLIDAY):
            midnight = overdue_from(day - _DAY)
            if self._works(day) and midnight + hours.begins * _MINUTE <= at:
                return min(at, midnight + hours.ends * _MINUTE - 1)
            day -= _DAY
        return at  # no calendar of ours is like that: rather now than never

    def runs(self, hours: Hours | None, at: Instant) -> bool:
        """Tell whether *at* is within *hours*."""
        return self.latest(hours, at) == at

    def _works(self, day: date) -> bool:
        try:
            return self.calendar.is_working_day(day)
        except NotPublished:
            return day.weekday() < _SATURDAY
