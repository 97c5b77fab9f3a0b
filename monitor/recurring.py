"""Clocks that begin again: the periods of a recurring rule, and whether the number still holds.

The first period begins on the trigger day; the last day of each is the trigger day of the next,
counted from the first trigger day, so that a 29 February comes back when it is there. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

from monitor.duties import years_after
from monitor.facts import Instant
from monitor.history import Point, first_reach
from monitor.rule import Rule
from monitor.workdays import overdue_from


class Period(NamedTuple):
    """One turn of a recurring clock, from 1 on; it begins at *trigger_at*, within *begins*."""

    turn: int
    begins: date
    trigger_at: Instant


def periods(rule: Rule, first_at: Instant, first_day: date, today: date) -> Iterator[Period]:
    """Yield the periods that have begun by *today*; just one if *rule* does not recur.

    *first_at* is the instant of the trigger, on *first_day*; later ones begin at 00:00 in Beijing.
    """
    yield Period(1, first_day, first_at)
    turn, begins = 2, begins_on(rule, first_day, 2)
    while rule.recurring and begins <= today:
        yield Period(turn, begins, overdue_from(begins - timedelta(days=1)))
        turn += 1
        begins = begins_on(rule, first_day, turn)


def begins_on(rule: Rule, first_day: date, turn: int) -> date:
    """Return the day on which the period of this *turn* begins."""
    length = (rule.period or 0) * (turn - 1)
    if rule.unit == "years":
        return years_after(first_day, length)
    return first_day + timedelta(days=length)


def key_of(rule: Rule, latch: int, turn: int) -> str:
    """Return the key of the duty of a period; a rule that does not recur has one per latch."""
    return f"{latch}-{turn}" if rule.recurring else str(latch)


def holds(points: Iterable[Point], at_least: int, instant: Instant) -> bool:
    """Tell whether the number, told in *points* (oldest first), was reached at *instant*."""
    told = [point.individuals for point in points if point.at <= instant]
    return bool(told) and told[-1] >= at_least


def latch_after(
    annulled: Iterable[Instant], points: Iterable[Point], at_least: int
) -> tuple[int, Instant | None]:
    """Return the number of the latch in force, and the instant after which its reach is looked for.

    *annulled* are the triggers of the periods that a person annulled. That closes those periods
    and no other; only if the number has passed from below since does a new clock begin.
    """
    points = list(points)
    latch, after = 1, None
    for at in sorted(annulled):
        if first_reach(points, at_least, at) is not None:
            latch, after = latch + 1, at
    return latch, after
