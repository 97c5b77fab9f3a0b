"""Duties: what a processor owes by a day, since when and why, and what a late fact does to it.

A duty is a value. Its status is computed from it and one *now*, never stored; its clock does not
stop when the stock falls. ``restated`` only decides: the caller writes what was decided, with its
reason, into the audit log, and pages. How far the filing that meets it has got is its *life*
(``monitor.filings``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from hashlib import blake2b

from monitor.facts import Instant, Version
from monitor.filings import OWED, REVIEW, SUPPLEMENT, UNTOUCHED, Life, State
from monitor.rules import Rule, RuleError, rule_for_trigger
from monitor.workdays import Calendar, Deadline, beijing_day, overdue_from

_HOUR_US: Instant = 3_600_000_000


class Status(StrEnum):
    """Where a duty stands at an instant."""

    OPEN = "open"
    OVERDUE = "overdue"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    COMPLETED = "completed"
    FAILED = "failed"  # and still owed
    TERMINATED = "terminated"  # and, but for a supplement clock, still owed
    ANNULLED = "annulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What *processor* owes under *rule* because of what happened at *trigger_at*.

    *key* tells apart the duties of one processor and rule: the number of the latch ("1", "2", ..)
    or ``event_key``. *trigger_at* is event time, *opened_at* is when we knew; *not_later_than*
    says that the trigger day is only bounded from above. *proof* is JSON, without personal data.
    *annulled* is the reason a person gave for closing it without anything being done. *life* is
    what happened to its filing.
    """

    processor: str
    rule: str
    key: str
    trigger_day: date
    trigger_at: Instant
    not_later_than: bool
    opened_at: Instant
    deadline: Deadline
    proof: Mapping[str, object] = field(hash=False)
    closed_at: Instant | None = None
    annulled: str | None = None
    life: Life = UNTOUCHED

    def __post_init__(self) -> None:
        if not (self.processor and self.rule and self.key):
            raise ValueError("a duty needs a processor, a rule and a key")
        if self.trigger_day != beijing_day(self.trigger_at):
            raise ValueError("the trigger day must be the day of 'trigger_at' in Beijing")
        if self.annulled is not None and self.closed_at is None:
            raise ValueError("an annulled duty needs 'closed_at'")
        # Our own copy, in the form in which a database gives it back; refuses what is no JSON.
        proof = json.loads(json.dumps(dict(self.proof), allow_nan=False))
        object.__setattr__(self, "proof", proof)

    @property
    def overdue_at(self) -> Instant:
        """The first instant that is too late; by the early end while provisional."""
        return self.deadline.overdue_at

    def status(self, now: Instant) -> Status:
        """Return how the duty stood at *now*, also for a *now* before it was closed."""
        state = self.life.state_at(now)
        if self.closed_at is not None and self.closed_at <= now:
            if self.annulled is not None:
                return Status.ANNULLED
            return Status.TERMINATED if state is State.TERMINATED else Status.COMPLETED
        if state is not State.OPEN:
            return Status(state.value)
        late = now >= self.overdue_at and not self.of_authority
        return Status.OVERDUE if late else Status.OPEN

    @property
    def of_authority(self) -> bool:
        """Whether the clock is the authority's: shown, and never owed by the processor."""
        return self.rule == REVIEW

    @property
    def owed(self) -> bool:
        """Whether the processor has to act now: nothing was submitted, or what was has failed."""
        return self.closed_at is None and self.life.state in OWED and not self.of_authority

    @property
    def met_at(self) -> Instant | None:
        """When its filing was first submitted; of a supplement, when that was made."""
        last = self.life.taken[-1] if self.life.taken else None
        if self.rule == SUPPLEMENT and last is not None:
            return last.at if self.life.state is State.COMPLETED else None
        return self.life.submitted_at

    @property
    def in_time(self) -> bool | None:
        """Whether it was met in time; None while it is not, or while nobody can know."""
        met_at = self.met_at
        if met_at is None or met_at < self.overdue_at:
            return None if met_at is None else True
        deadline = self.deadline
        unknown = deadline.provisional and met_at < overdue_from(deadline.latest)
        return None if unknown else False


class Decision(StrEnum):
    """What is to be done about a trigger day that was found anew."""

    KEEP = "keep"  # nothing has changed
    MOVE = "move"  # store Restatement.duty at once, and page
    ASK = "ask"  # leave the duty as it is; a person decides


class Why(StrEnum):
    """The reason of a decision, for the audit log; a closed list."""

    SAME_DAY = "same_day"
    EARLIER_DAY = "earlier_day"
    LATER_DAY = "later_day"
    REACH_VANISHED = "reach_vanished"
    DUTY_CLOSED = "duty_closed"
    DECIDED = "decided"  # by a person, who knew of that day
    NO_RULE_THEN = "no_rule_then"  # nothing was owed for the day found, or the rule is off


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """A decision, with the day that the duty had and the day found now (None: no reach).

    *duty* is the duty that holds after the decision: moved, or as it was.
    """

    decision: Decision
    why: Why
    held_day: date
    found_day: date | None
    known_at: Instant
    duty: Duty


def event_key(version: Version, what: Iterable[str] = ()) -> str:
    """Return the key of the duty that an event opens: the same event, the same.

    Two offices may report changes of one instant: *what* changed, in any order, tells them apart.
    """
    key = ".".join(map(str, version))
    said = sorted(set(what))
    if not said:
        return key
    return f"{key}.{blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()}"


def owed(
    rule: Rule,
    *,
    processor: str,
    key: str,
    trigger_at: Instant,
    known_at: Instant,
    calendar: Calendar,
    proof: Mapping[str, object],
    not_later_than: bool = False,
) -> Duty:
    """Return the duty that *rule* opens; *rule* is what ``rule_for_trigger`` gave for its day.

    One that keeps something is over, by itself, when its last day is.
    """
    trigger_day = beijing_day(trigger_at)
    deadline = deadline_under(rule, trigger_day, calendar, trigger_at)
    return Duty(
        processor=processor,
        rule=rule.id,
        key=key,
        trigger_day=trigger_day,
        trigger_at=trigger_at,
        not_later_than=not_later_than,
        opened_at=known_at,
        deadline=deadline,
        proof=proof,
        closed_at=deadline.overdue_at if rule.keeps else None,
    )


def deadline_under(
    rule: Rule, trigger_day: date, calendar: Calendar, trigger_at: Instant | None = None
) -> Deadline:
    """Return the last day to act under *rule*; clocks of hours need the instant of the trigger.

    Calendar days and years end on whatever day they end: that a last day that is off may move to
    the next working day is not counted on. What is to be done at once is to be done on the
    trigger day.
    """
    match rule:
        case Rule(unit="working_days", period=int(period)):
            return calendar.deadline(trigger_day, period, rule.count_trigger_day)
        case Rule(unit="calendar_days", period=int(period)):
            last = trigger_day + timedelta(days=period - rule.count_trigger_day)
        case Rule(unit="years", period=int(period)):
            last = years_after(trigger_day, period)
        case Rule(unit="fixed_date", fixed_date=date() as last):
            pass
        case Rule(unit="at_once"):
            last = trigger_day
        case Rule(unit="hours", period=int(period)) if trigger_at is not None:
            due_at = trigger_at + period * _HOUR_US
            return Deadline.on(beijing_day(due_at - 1), calendar.version, due_at)
        case _:
            raise RuleError(rule.id, "unit", f"a clock of {rule.unit} needs more than a day")
    return Deadline.on(last, calendar.version)


def recounted(duty: Duty, rules: Iterable[Rule], calendar: Calendar) -> Duty | None:
    """Return *duty* with its deadline by *calendar*, or None if its last day stays as it was.

    For when a year is loaded or corrected, or the period of a rule is changed in the settings. A
    duty that is closed, or whose rule is gone or switched off, stays as it was; but for one of
    which nobody could know whether it was met in time, until its last day is known.
    """
    rule = next((rule for rule in rules if rule.id == duty.rule and rule.enabled), None)
    if rule is None or (duty.closed_at is not None and not is_unsettled(duty)):
        return None
    deadline = deadline_under(rule, duty.trigger_day, calendar, duty.trigger_at)
    if duty.closed_at is not None and deadline.provisional:
        return None
    same = replace(deadline, calendar_version=duty.deadline.calendar_version) == duty.deadline
    return None if same else replace(duty, deadline=deadline)


def is_unsettled(duty: Duty) -> bool:
    """Tell whether it depends on a year to come if *duty* was met in time."""
    return duty.deadline.provisional and duty.met_at is not None and duty.in_time is None


def restated(
    duty: Duty,
    rules: Iterable[Rule],
    new_trigger_at: Instant | None,
    *,
    known_at: Instant,
    calendar: Calendar,
    proof: Mapping[str, object],
    not_later_than: bool = False,
) -> Restatement:
    """Decide what a newly found trigger (None: the number was never reached) does to *duty*.

    An earlier day moves an open duty at once, from ``frt.file`` to its legacy row if need be. A
    later day, a reach that vanished, and whatever concerns a closed duty wait for a person, so
    that a duty never turns from the legacy row back by itself.
    """
    found = None if new_trigger_at is None else beijing_day(new_trigger_at)
    rule = None if found is None else rule_for_trigger(rules, duty.rule, found)
    decision, why = _judged(duty, found, rule)
    moved = duty
    if decision is Decision.MOVE and rule is not None and new_trigger_at is not None:
        moved = owed(
            rule,
            processor=duty.processor,
            key=duty.key,
            trigger_at=new_trigger_at,
            known_at=duty.opened_at,
            calendar=calendar,
            proof=proof,
            not_later_than=not_later_than,
        )
        moved = replace(moved, life=duty.life)
    return Restatement(
        decision=decision,
        why=why,
        held_day=duty.trigger_day,
        found_day=found,
        known_at=known_at,
        duty=moved,
    )


def as_json(duty: Duty, now: Instant, calendar: Calendar) -> dict[str, object]:
    """Return one entry of ``duties --json``. Days are ``YYYY-MM-DD``; *now* gives the day today.

    ``working_days_left`` is to the early end while provisional, and None unless it is to be acted.
    ``owed_by`` is who has to act: a review clock is the authority's.
    """
    deadline = duty.deadline
    status = duty.status(now)
    ended = duty.closed_at is not None and duty.closed_at <= now
    running = not ended and duty.life.state_at(now) in OWED
    submitted = duty.met_at
    return {
        "processor": duty.processor,
        "rule": duty.rule,
        "key": duty.key,
        "status": status.value,
        "trigger_day": duty.trigger_day.isoformat(),
        "due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "due_between": [day.isoformat() for day in deadline.days] if deadline.provisional else None,
        "working_days_left": (
            calendar.working_days_left(beijing_day(now), deadline) if running else None
        ),
        "calendar_version": deadline.calendar_version,
        "owed_by": "authority" if duty.of_authority else "processor",
        "submitted_day": None if submitted is None else beijing_day(submitted).isoformat(),
        "submitted_in_time": duty.in_time,
        "proof": dict(duty.proof),
        **_too_late(deadline),
    }


def corrected(
    duty: Duty,
    rules: Iterable[Rule],
    day: date,
    *,
    known_at: Instant,
    calendar: Calendar,
    by: str,
    reason: str,
    found_at: Instant | None = None,
) -> Duty:
    """Return *duty* with the trigger *day* on which a person decided, and its deadline by it.

    *found_at* is the trigger as the facts have it now. While they say the same, that decision
    holds; an earlier day than that which is found later moves the duty as always. Raises
    RuleError if nothing is owed for a trigger of that day.
    """
    rule = rule_for_trigger(rules, duty.rule, day)
    if rule is None:
        raise RuleError(duty.rule, "since", f"owes nothing for {day}; annul the duty instead")
    found = None if found_at is None else beijing_day(found_at)
    decided: dict[str, object] = {
        "by": by,
        "reason": reason,
        "at": known_at,
        "was_trigger_day": duty.trigger_day.isoformat(),
        "found_trigger_day": None if found is None else found.isoformat(),
        "found_at": found_at,
    }
    moved = owed(
        rule,
        processor=duty.processor,
        key=duty.key,
        trigger_at=found_at if found_at is not None and found == day else _first_instant(day),
        known_at=duty.opened_at,
        calendar=calendar,
        proof={**duty.proof, "corrected": decided},
    )
    closed_at = moved.closed_at if rule.keeps else duty.closed_at
    return replace(moved, closed_at=closed_at, life=duty.life)


def _first_instant(day: date) -> Instant:
    return overdue_from(day - timedelta(days=1))


def _known_when_decided(duty: Duty) -> object:
    decided = duty.proof.get("corrected")
    return decided.get("found_trigger_day") if isinstance(decided, dict) else None


def _judged(duty: Duty, found: date | None, rule: Rule | None) -> tuple[Decision, Why]:
    if found == duty.trigger_day:
        return Decision.KEEP, Why.SAME_DAY
    if found is not None and found.isoformat() == _known_when_decided(duty):
        return Decision.KEEP, Why.DECIDED
    if duty.closed_at is not None or found is None:
        closed = duty.closed_at is not None
        return Decision.ASK, Why.DUTY_CLOSED if closed else Why.REACH_VANISHED
    if found > duty.trigger_day:
        return Decision.ASK, Why.LATER_DAY
    if rule is None:
        return Decision.ASK, Why.NO_RULE_THEN
    return Decision.MOVE, Why.EARLIER_DAY


def _too_late(deadline: Deadline) -> dict[str, str]:
    """Return the first instant that is too late, of a clock of hours; of days their end is."""
    if deadline.due_at is None:
        return {}
    return {"due_at": datetime.fromtimestamp(deadline.due_at / 1e6, UTC).isoformat()}


def years_after(day: date, years: int) -> date:
    """Return the same day *years* later."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:  # 29 February: the last day of the month (Civil Code art. 202)
        return day.replace(year=day.year + years, day=28)
