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
from monitor.workdays import beijing_day, overdue_from


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


class Clock(NamedTuple):
    """A clock that the number has begun; its periods are those that the number asks for.

    *first* None: the number is not reached yet, from below, after *after*.
    """

    latch: int
    after: Instant | None
    first: Point | None
    periods: tuple[Period, ...] = ()


def clocks(
    rule: Rule, points: Iterable[Point], annulled: Iterable[Instant], today: date
) -> list[Clock]:
    """Return the clocks of a recurring *rule* by *today*, the one that is in force last.

    A clock is over where a period would begin and the number does not hold: the next one begins
    when it passes from below. *annulled* are the triggers of the periods that a person annulled.
    That closes those periods and no other; only if the number has passed from below since, within
    the same period, does a new clock begin.
    """
    told, gone = list(points), sorted(annulled)
    found: list[Clock] = []
    after: Instant | None = None
    while True:
        first = first_reach(told, rule.reached_at, after)
        later = [at for at in gone if after is None or at > after]
        clock = Clock(len(found) + 1, after, first)
        if first is None:
            return [*found, clock]
        if later and later[0] < first.at:
            found.append(clock._replace(first=None))
            after = later[0]
            continue
        begun, after = _run(rule, told, first, later, today)
        found.append(clock._replace(periods=begun))
        if after is None:
            return found


def _run(
    rule: Rule, points: Iterable[Point], first: Point, annulled: Iterable[Instant], today: date
) -> tuple[tuple[Period, ...], Instant | None]:
    """Return the periods of the clock that begins with *first*, and when it was over, if it was."""
    points, at_least = list(points), rule.reached_at
    begun = tuple(periods(rule, first.at, beijing_day(first.at), today))
    for n, period in enumerate(begun):
        if n and not holds(points, at_least, period.trigger_at):
            return begun[:n], period.trigger_at
        until = begun[n + 1].trigger_at if n + 1 < len(begun) else None
        for at in annulled:
            if at >= period.trigger_at and (until is None or at < until):
                again = first_reach(points, at_least, at)
                if again is not None and (until is None or again.at < until):
                    return begun[: n + 1], at
    return begun, None
