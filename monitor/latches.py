"""Latches: which duty of a rule that latches is in force, and what arms the next one.

A stock rule, and the end of FR use, has one duty per processor until a completed cancellation or
an annulment arms its latch anew (DESIGN sections 3 and 5). Latches are numbered, and the number
is the key of the duty: after a cancellation only what comes later releases the next one, after an
annulment whatever comes after that which was annulled, whenever a person decided it. A number
that has a duty is never given to another one, and a duty that was submitted keeps what it came
after: a decision about an older one does not make it late. Pure: nothing here reads a clock or a
database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import CANCEL, Life, State, Step, Target, family

SUPERSEDED: Final = "latch:superseded"
"""Why a duty whose latch is not in force is closed: a code, kept in databases and the log."""


class Turn(NamedTuple):
    """A latch that was or is in force; it is released by the first that comes after *after*."""

    number: int
    after: Instant | None


class Past(NamedTuple):
    """What a latch that is not the newest may still have to say about its duty.

    The first that comes after *after*, and before *until* or at it: the duty with this *number*
    began earlier, or something came between it and the next one, and has no duty. Of a duty that
    is owed still, what armed the next latch is at *end*: if nothing up to then releases it, its
    reach is gone, and if something after *until* does, it began later.
    """

    number: int
    after: Instant | None
    until: Instant
    between: bool = False
    end: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The duty that a latch released; *reached_at* is when, by the facts."""

    number: int
    reached_at: Instant
    life: Life
    cancels: bool = False
    """Whether it is a cancellation, whose own completion arms its latch."""
    after: Instant | None = None
    """What armed its latch when its day was found; None: nothing, or it is not known."""

    def armed_at(self, ends: Sequence[Instant]) -> Instant | None:
        """Return the instant after which the next one is looked for; None while it is in force.

        *ends* are the instants of completed cancellations, in order.
        """
        if self.life.state is State.ANNULLED:
            return self.reached_at
        ended = self.life.ended
        if self.cancels and ended is not None:
            return max(ended.at, self.reached_at)  # a day may have been told, and not the hour
        return next((at for at in ends if at >= self.reached_at), None)


def reached_at(trigger_at: Instant, proof: Mapping[str, object]) -> Instant:
    """Return when a duty with this *proof* was reached by the facts.

    That is its trigger, unless a person decided on another day.
    """
    corrected = proof.get("corrected")
    if not isinstance(corrected, dict):
        return trigger_at
    said = (corrected.get("found_at"), proof.get("trigger_at"), proof.get("at"))
    return next((at for at in said if isinstance(at, int)), trigger_at)


def released(duties: Iterable[Duty], lives: Mapping[Target, Life]) -> list[Released]:
    """Return those of *duties* that a latch can have released; all of one rule or its legacy."""
    return [
        Released(
            number=int(duty.key),
            reached_at=reached_at(duty.trigger_at, duty.proof),
            life=lives[target_of(duty)],
            cancels=family(duty.rule) == CANCEL,
            after=_after(duty.proof),
        )
        for duty in duties
        if duty.key.isdecimal()
    ]


def _after(proof: Mapping[str, object]) -> Instant | None:
    after = proof.get("after")
    return after if isinstance(after, int) else None


def completed_cancellations(lives: Mapping[Target, Life]) -> list[Instant]:
    """Return when cancellations were completed, in order."""
    ended = (life.ended for target, life in lives.items() if family(target.rule) == CANCEL)
    return sorted(step.at for step in ended if step is not None and _completes(step))


def _completes(step: Step) -> bool:
    return State(step.kind.value) is State.COMPLETED


def turns(held: Iterable[Released], ends: Sequence[Instant]) -> list[Turn]:
    """Return the latches from the first to the one in force now, which is the last.

    A duty whose number is not among them is nobody's any more: what armed its latch was taken
    back. A latch that released nothing (its rule asked for no duty then) is passed over where a
    later one did.
    """
    by_number = {one.number: one for one in held}
    found = [Turn(1, None)]
    while True:
        newest = found[-1]
        one = by_number.get(newest.number)
        following = _over(by_number, newest, ends) if one is None else one.armed_at(ends)
        if following is None:
            return found
        number = _next(by_number, newest.number, following)
        found.append(Turn(number, _kept(by_number.get(number), following)))


def _kept(one: Released | None, following: Instant) -> Instant:
    """Return after what a duty came: of one that was submitted, what it came after then."""
    if one is None or one.after is None or one.life.submitted_at is None:
        return following
    return max(one.after, following)


def pasts(held: Iterable[Released], ends: Sequence[Instant]) -> Iterator[Past]:
    """Yield what is looked back on for the sake of the duties before the newest latch."""
    held = list(held)
    by_number, taken = {one.number: one for one in held}, turns(held, ends)
    for turn, following in pairwise(taken):
        one = by_number.get(turn.number)
        if one is None or following.after is None:
            continue
        armed = one.armed_at(ends)
        owed = one.life.ended is None
        yield Past(turn.number, turn.after, one.reached_at, end=armed if owed else None)
        if armed is not None and armed < following.after:
            yield Past(turn.number, armed, following.after, between=True)


def _over(by_number: Mapping[int, Released], turn: Turn, ends: Sequence[Instant]) -> Instant | None:
    """Return the end that armed a latch after *turn*, which has no duty; None: there is none."""
    later = min((number for number in by_number if number > turn.number), default=None)
    if later is None:
        return None
    since, until = turn.after, by_number[later].reached_at
    before = [at for at in ends if at < until and (since is None or at > since)]
    return before[-1] if before else None


def _next(by_number: Mapping[int, Released], number: int, after: Instant) -> int:
    """Return the next number that is free, or has the duty of something after *after*."""
    number += 1
    while number in by_number and by_number[number].reached_at <= after:
        number += 1
    return number


def firsts(told: Sequence[Instant], taken: Sequence[Turn]) -> Iterator[tuple[int, Instant]]:
    """Yield each of the latches *taken* that one of *told* releases, with the first that does.

    *told* are the instants of events, in order.
    """
    until = [turn.after for turn in taken[1:]]
    for turn, end in zip(taken, [*until, None], strict=True):
        at = next((at for at in told if turn.after is None or at > turn.after), None)
        if at is not None and (end is None or at <= end):
            yield turn.number, at


def of_instant(at: Instant, taken: Sequence[Turn]) -> tuple[int, bool]:
    """Return the latch that an event at *at* belongs to, and whether it is the last of *taken*."""
    found = [turn for turn in taken if turn.after is None or at > turn.after][-1]
    return found.number, found is taken[-1]


def left_behind(duties: Iterable[Duty]) -> frozenset[Target]:
    """Return those of *duties* that were closed because their latch is not in force."""
    return frozenset(target_of(duty) for duty in duties if duty.annulled == SUPERSEDED)


def target_of(duty: Duty) -> Target:
    """Return *duty* as what steps are about."""
    return target(duty.rule, duty.key, duty.trigger_at, duty.proof)


def target(rule: str, key: str, trigger_at: Instant, proof: Mapping[str, object]) -> Target:
    """Return a duty as what steps are about: what met it, it keeps when its day is corrected."""
    since = reached_at(trigger_at, proof)
    return Target(rule, key, trigger_at, since if since < trigger_at else None)
