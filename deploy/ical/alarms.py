"""When a deadline is announced in a calendar: so many working days before, by our calendars.

A calendar program could only count calendar days, which is wrong around every holiday and make-up
day; so each alarm has an instant of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.workdays import Calendar, overdue_from

WORKING_DAYS_BEFORE: Final = (20, 10, 5, 3, 1, 0)
"""The same days as those of the reminders; 0 is the last working day to act."""

_MORNING: Final[Instant] = 9 * 3_600_000_000  # 09:00 in Beijing, when offices open
_DAY = timedelta(days=1)


def alarms(duty: Duty, calendar: Calendar) -> Iterator[tuple[int, Instant]]:
    """Yield working days left and the instant of each alarm of *duty*, earliest first.

    To the early end while the deadline is provisional. None before the duty was known, and none
    when it is too late.
    """
    last = duty.deadline.earliest
    for left in WORKING_DAYS_BEFORE:
        at = overdue_from(first_day_with(left, last, calendar) - _DAY) + _MORNING
        if duty.opened_at < at < duty.overdue_at:
            yield left, at


def first_day_with(left: int, last: date, calendar: Calendar) -> date:
    """Return the first day on which only *left* working days are left to act by *last*.

    It is a working day itself. Days that are not published are taken as Monday to Friday.
    """
    day = last
    while calendar.working_days_left(day - _DAY, last) <= left:
        day -= _DAY
    return day
