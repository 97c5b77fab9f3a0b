"""Which steps of an escalation are due: a function of age, now and working hours. Pure.

Nothing is planned ahead. Whoever asks later, after a restart or with another clock, gets the same
steps or more of them, so that none is lost; a step has a number, a round and a channel, and is
written once under these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from alerts.people import Hours, WorkingTime
from alerts.routing import Escalation, Routing, Step
from monitor.facts import Instant
from monitor.notices import Severity


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """A step, from 1 on, that is to be told on a *channel*; *round* 0 is its first time."""

    step: int
    round: int
    channel: str
    people: tuple[str, ...] = ()  # behind that channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What decides beside the settings: working days, and channels that are known to fail."""

    times: WorkingTime
    broken: Collection[str] = ()


def due(
    routing: Routing,
    escalation: Escalation,
    severity: Severity,
    since: Instant,
    now: Instant,
    given: Circumstances,
) -> list[Turn]:
    """Return all turns that are due *now* for something *since* then; of repeats the newest.

    Somebody out of working hours is told when they begin. But of a page at once, while nobody else
    of the step can be told.
    """
    turns: list[Turn] = []
    for number, step in enumerate(escalation.steps, start=1):
        repeat = escalation.repeat if number == len(escalation.steps) else None
        turns += _of_step(routing, number, step, repeat, severity, since, now, given)
    return sorted(turns)


def at_once(
    routing: Routing,
    escalation: Escalation,
    severity: Severity,
    now: Instant,
    given: Circumstances,
) -> frozenset[str]:
    """Return the channels on which something that is new *now* is told at once."""
    turns = due(routing, escalation, severity, now, now, given)
    return frozenset(turn.channel for turn in turns)


def _of_step(
    routing: Routing,
    number: int,
    step: Step,
    repeat: Instant | None,
    severity: Severity,
    since: Instant,
    now: Instant,
    given: Circumstances,
) -> list[Turn]:
    begins = since + step.after
    if begins > now:
        return []
    people = behind(routing, step)
    hours = {channel: _hours(routing, names) for channel, names in people.items()}
    rounds = {0} if repeat is None else _rounds(hours.values(), begins, repeat, now, given.times)
    newest: dict[str, int] = {}
    for one in sorted(rounds):
        told = _told(hours, begins + one * (repeat or 0), severity, now, given)
        newest |= dict.fromkeys(told, one)
    return [Turn(number, one, channel, people[channel]) for channel, one in newest.items()]


def behind(routing: Routing, step: Step) -> dict[str, tuple[str, ...]]:
    """Return the channels of *step*, each with the people behind it; none for one of its own."""
    found: dict[str, tuple[str, ...]] = dict.fromkeys(step.channels, ())
    for name in step.people:
        for channel in routing.person(name).channels:
            found[channel] = (*found.get(channel, ()), name)
    return {channel: () if channel in step.channels else names for channel, names in found.items()}


def _hours(routing: Routing, names: Iterable[str]) -> tuple[Hours | None, ...]:
    """Return the hours in which a channel reaches somebody; one of its own always does."""
    return tuple(routing.person(name).hours for name in names) or (None,)


def _rounds(
    hours: Iterable[tuple[Hours | None, ...]],
    begins: Instant,
    repeat: Instant,
    now: Instant,
    times: WorkingTime,
) -> set[int]:
    """Return the rounds that can be the newest for any channel."""
    moments = {now} | {times.latest(one, now) for some in hours for one in some}
    return {(moment - begins) // repeat for moment in moments if moment >= begins}


def _told(
    hours: Mapping[str, tuple[Hours | None, ...]],
    at: Instant,
    severity: Severity,
    now: Instant,
    given: Circumstances,
) -> list[str]:
    """Return the channels on which what is due from *at* on is told by *now*."""
    times = given.times
    there = any(
        times.runs(one, at)
        for channel, some in hours.items()
        if channel not in given.broken
        for one in some
    )
    if severity is Severity.PAGE and not there:
        return list(hours)
    return [
        channel
        for channel, some in hours.items()
        if any(at <= times.latest(one, now) for one in some)
    ]
