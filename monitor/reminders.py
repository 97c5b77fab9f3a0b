"""When a duty's deadline is told again: a ladder of working days left, the last day, then daily.

A function of the duty's days, of when it was opened and of today, so that whoever asks, however
late, gets the rung that today is on and nothing of those before it. Days are Beijing's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Final

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.notices import Kind, Severity, key_of
from monitor.workdays import Calendar, beijing_day, overdue_from

DEFAULT: Final = (20, 10, 5, 3, 1)
MORNING: Final = 9 * 60
_MINUTE: Final = 60 * 1_000_000
_DAY: Final = 24 * 60
_ONE: Final = timedelta(days=1)
_PAGES, _WARNS = 1, 5  # working days left from which on somebody is woken, is warned


@dataclass(frozen=True, slots=True)
class Ladder:
    """Working days left at which a duty is told again, descending; ValueError for any other.

    The last day itself and each day after it are always told. All from *at* on, in minutes since
    midnight in Beijing: a day that begins wakes nobody.
    """

    working_days: tuple[int, ...] = DEFAULT
    at: int = MORNING

    def __post_init__(self) -> None:
        days = self.working_days
        if not 0 <= self.at < _DAY:
            raise ValueError("'at' is a time of the day")
        if any(day < 1 for day in days):
            raise ValueError("a rung is 1 or more working days before the last day")
        if any(later >= earlier for earlier, later in pairwise(days)):
            raise ValueError("rungs descend, each is there once")


@dataclass(frozen=True, slots=True)
class Rung:
    """Where today is: *name* tells rungs of one last day apart; *left* is below 0 once over."""

    name: str
    left: int
    severity: Severity


def rung_due(duty: Duty, ladder: Ladder, calendar: Calendar, now: Instant) -> Rung | None:
    """Return the rung to be told of *duty* now, if it is owed; telling it twice is for its key.

    None before the first rung, before the time of the day, and while today is on the rung on
    which it was opened: the page that opened it has said so. Of a provisional deadline the early
    end counts. A clock of hours waits for no time of the day.
    """
    early = now < overdue_from(beijing_day(now) - _ONE) + ladder.at * _MINUTE
    if not duty.owed or (early and duty.deadline.due_at is None):
        return None
    rung = _rung(duty, ladder, calendar, now)
    opened_on = _rung(duty, ladder, calendar, min(duty.opened_at, now))
    if rung is None or (opened_on is not None and opened_on.name == rung.name):
        return None
    return rung


def key_of_rung(duty: Duty, rung: Rung) -> str:
    """Return the key of its notice: the same for the same rung of the same last day."""
    first, last = duty.deadline.days
    due = str(duty.deadline.due_at or f"{first}/{last}")
    return key_of(Kind.REMINDER, duty.processor, duty.rule, duty.key, due, rung.name)


def _rung(duty: Duty, ladder: Ladder, calendar: Calendar, now: Instant) -> Rung | None:
    today, last = beijing_day(now), duty.deadline.earliest
    left = calendar.working_days_left(today, last)
    if now >= duty.deadline.overdue_at:
        return Rung(f"overdue {today}", min(left, -1), Severity.PAGE)
    if today == last:
        return Rung("last day", 0, Severity.PAGE)
    passed = [day for day in ladder.working_days if day >= left]
    if not passed:
        return None
    return Rung(str(min(passed)), left, _severity(min(passed)))


def _severity(rung: int) -> Severity:
    if rung <= _PAGES:
        return Severity.PAGE
    return Severity.WARNING if rung <= _WARNS else Severity.INFO
