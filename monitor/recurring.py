"""Clocks that begin again: the periods of a recurring rule, and whether the number still holds.

The first period begins on the trigger day; the last day of each is the trigger day of the next,
counted from the first trigger day, so that a 29 February comes back when it is there.

Of a number that was reached before the rule was in force, and is reached then, the first period
begins on the day from which it is in force. The Compliance Audit Measures (in force 2025-05-01)
say how often, art. 4, and not from when: nothing was asked before they held, and a period that
began any later could miss an audit. Pure: nothing here reads a clock or a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Turned(NamedTuple):
    """A period that has a duty: which one, when it was reached by the facts, if it was annulled."""

    latch: int
    turn: int
    reached_at: Instant
    annulled: bool = False


def turn_of(key: str) -> tuple[int, int] | None:
    """Return the latch and the turn of a *key* that ``key_of`` made of a period; else None."""
    latch, _, turn = key.partition("-")
    return (int(latch), int(turn)) if latch.isdecimal() and turn.isdecimal() else None


class Clock(NamedTuple):
    """A clock that the number has begun; its periods are those that the number asks for.

    *first* None: the number is not reached yet, from below, after *after*.
    """

    latch: int
    after: Instant | None
    first: Point | None
    periods: tuple[Period, ...] = ()


def clocks(rule: Rule, points: Iterable[Point], held: Iterable[Turned], today: date) -> list[Clock]:
    """Return the clocks of a recurring *rule* by *today*, the one that is in force last.

    A clock is over where a period would begin and the number does not hold: the next one begins
    when it passes from below. *held* are the periods that have duties. Annulling one closes that
    period and no other; only if the number has passed from below since, within the same period,
    does a new clock begin. What was annulled of one clock does nothing to another, and a latch
    that has duties is never given to a clock that begins after them.
    """
    told, held = _in_force(rule, points, today), list(held)
    annulled = {(one.latch, one.turn): one.reached_at for one in held if one.annulled}
    begun: dict[int, Instant] = {}
    for one in held:
        begun[one.latch] = min(one.reached_at, begun.get(one.latch, one.reached_at))
    found: list[Clock] = []
    latch = 1
    after: Instant | None = None
    while True:
        clock, over = _clock(rule, told, Clock(latch, after, None), annulled, today)
        found.append(clock)
        if over is None:
            return found
        latch, after = _next(begun, latch, over), over


def _next(begun: Mapping[int, Instant], latch: int, after: Instant) -> int:
    """Return the next latch that is free, or has duties of what came after *after* only."""
    latch += 1
    while latch in begun and begun[latch] <= after:
        latch += 1
    return latch


def _clock(
    rule: Rule,
    told: Sequence[Point],
    clock: Clock,
    annulled: Mapping[tuple[int, int], Instant],
    today: date,
) -> tuple[Clock, Instant | None]:
    """Return *clock* with what it has begun, and when it was over, if it was."""
    first = first_reach(told, rule.reached_at, clock.after)
    gone = annulled.get((clock.latch, 1))
    if gone is not None and (first is None or gone < first.at):
        return clock, gone  # of a number that was corrected since
    if first is None:
        return clock, None
    begun, over = _run(rule, told, (clock.latch, first), annulled, today)
    return clock._replace(first=first, periods=begun), over


def _run(
    rule: Rule,
    told: Sequence[Point],
    clock: tuple[int, Point],
    annulled: Mapping[tuple[int, int], Instant],
    today: date,
) -> tuple[tuple[Period, ...], Instant | None]:
    """Return the periods of the *clock* of a latch that begins with a point, and when it was over.

    None: it is in force.
    """
    (latch, first), at_least = clock, rule.reached_at
    begun = tuple(periods(rule, first.at, beijing_day(first.at), today))
    for n, period in enumerate(begun):
        if n and not holds(told, at_least, period.trigger_at):
            return begun[:n], period.trigger_at
        gone = annulled.get((latch, period.turn))
        if gone is None:
            continue
        since = max(gone, period.trigger_at)
        until = begun[n + 1].trigger_at if n + 1 < len(begun) else None
        again = first_reach(told, at_least, since)
        if again is not None and (until is None or again.at < until):
            return begun[: n + 1], since
    return begun, None


def _in_force(rule: Rule, points: Iterable[Point], today: date) -> list[Point]:
    """Return what *rule* goes by: what was told of before it was in force, it finds on that day."""
    if rule.since is None:
        return list(points)
    start = overdue_from(rule.since - timedelta(days=1))
    told = list(points)
    before = [point for point in told if point.at < start]
    within = [point for point in told if point.at >= start]
    if before and rule.since <= today and (not within or within[0].at > start):
        within.insert(0, Point(start, before[-1].individuals))
    return within
