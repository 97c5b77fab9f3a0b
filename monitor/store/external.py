"""Numbers that a person tells: kept with who and why, and the duties they open.

A told number is one point of a step curve: from its instant on it is so, until a later point. Of
two points of one instant the one told last holds, which is how a number is corrected. What a curve
reaches, and when, is asked of ``monitor.history`` as for the stock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.history import Point, first_reach
from monitor.latches import reached_at
from monitor.recurring import Clock, clocks, holds, key_of, periods
from monitor.rule import LARGEST
from monitor.rules import Rule, number_rules, rule_for_trigger
from monitor.store import agreement, audit, latching, owing, schema
from monitor.store.engine import reading
from monitor.store.external_warning import warn
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.workdays import beijing_day

_FIRST: Instant = 946_684_800_000_000  # 2000-01-01, as for facts
_AHEAD: Instant = 300_000_000
_numbers = schema.told_numbers.c


class NotTold(ValueError):
    """What was told cannot be taken; the message says what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberSaid:
    """A person says that from *at* on there were *number* of what *name* counts."""

    processor: str
    name: str
    number: int
    at: Instant
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of it: *new* is False for what was told before; *duties* are those about it."""

    new: bool
    rules: tuple[str, ...]
    duties: tuple[Duty, ...]


# -- numbers -----------------------------------------------------------------------------------


def tell_number(engine: Engine, said: NumberSaid, policy: Policy, now: Instant) -> Taken:
    """Keep a number and open or move what it asks for, in one transaction. Raises NotTold.

    What holds already, told again, is neither kept nor audited twice.
    """
    check_when(said.at, now)
    names = sorted({rule.number for rule in policy.rules if rule.number is not None})
    if said.name not in names:
        raise NotTold(f"no rule is about a number {said.name!r}; there are {', '.join(names)}")
    if not 0 <= said.number <= LARGEST:
        raise NotTold(f"the number must be from 0 to {LARGEST:,}")
    with engine.begin() as connection:
        known, number = lock_known(connection, said.processor)
        agreement.check_command(connection, policy.agreed)
        row = {
            "processor_id": number,
            "name": said.name,
            "at": said.at,
            "number": said.number,
            "known_at": now,
            "by": said.by,
            "reason": said.reason,
        }
        told = told_numbers(connection, known, said.processor, said.name)
        new = (said.at, said.number) not in {(one.at, one.number) for one in told}
        if new:
            connection.execute(insert(schema.told_numbers).values(row))
            body = {name: value for name, value in row.items() if name != "processor_id"}
            audit.append(connection, now, "number.told", said.processor, body)
        rules = number_rules(policy.rules, said.name)
        duties = _look(connection, known, said.processor, rules, policy, now)
        return Taken(new=new, rules=tuple(rule.id for rule in rules), duties=tuple(duties))


class Numbers:
    """Opens what told numbers ask for later: a period that begins, a rule that is switched on."""

    def __init__(self, engine: Engine, policy: Policy) -> None:
        self._engine, self._policy = engine, policy
        self._rules = number_rules(policy.rules)
        self._day: date | None = None

    def look(self, now: Instant) -> None:
        """Look at all of them, once a day in Beijing; not at all where no rule is about one."""
        if not self._rules or self._day == beijing_day(now):
            return
        with reading(self._engine) as connection:
            told = sorted(connection.scalars(select(_numbers.processor_id).distinct()))
        for number in told:
            with self._engine.begin() as connection:
                names = Names.load(connection)
                lock_processors(connection, [number])
                agreement.check(connection, self._policy.agreed)
                processor = names.processor_by_id[number]
                _look(connection, names, processor, self._rules, self._policy, now)
        self._day = beijing_day(now)


def told_numbers(connection: Connection, names: Names, processor: str, name: str) -> list[Row[Any]]:
    """Return what holds of a told number, oldest first: of each instant what was told last."""
    where = (_numbers.processor_id == names.processor_ids[processor], _numbers.name == name)
    rows = connection.execute(select(schema.told_numbers).where(*where).order_by(_numbers.id))
    newest = {row.at: row for row in rows}
    return [newest[at] for at in sorted(newest)]


def every_number(connection: Connection, names: Names) -> list[tuple[str, Row[Any]]]:
    """Return all that was ever told, with whose number it is, oldest first."""
    query = select(schema.told_numbers).order_by(_numbers.at, _numbers.id)
    return [(names.processor_by_id[row.processor_id], row) for row in connection.execute(query)]


def _look(
    connection: Connection,
    names: Names,
    processor: str,
    rules: Sequence[Rule],
    policy: Policy,
    now: Instant,
) -> list[Duty]:
    found: list[Duty] = []
    for rule in rules:
        assert rule.number is not None  # noqa: S101 - of a number rule
        told = told_numbers(connection, names, processor, rule.number)
        found += _Numbered(connection, names, processor, rule, policy, now).look(told)
    return found


class _Numbered:
    """One rule about a told number at one processor."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        processor: str,
        rule: Rule,
        policy: Policy,
        now: Instant,
    ) -> None:
        self._connection, self._names, self._processor = connection, names, processor
        self._rule, self._policy, self._now = rule, policy, now
        family = [one.id for one in policy.rules if rule.id in {one.id, one.legacy_of}]
        self._family = family

    def look(self, told: Sequence[Row[Any]]) -> list[Duty]:
        """Open, move or ask about the duties of the number in *told*; return those there are."""
        points = [Point(row.at, row.number) for row in told]
        begun = self._clocks(points)
        if self._rule.recurring:
            self._ask_about_others(begun)
        newest = begun[-1]
        if newest.first is None:
            if self._held(newest.latch) is None:
                self._warn(points)
            elif not self._rule.recurring:
                self._vanished(newest.latch)
        return [duty for clock in begun for duty in self._opened(clock, told)]

    def _clocks(self, points: Sequence[Point]) -> list[Clock]:
        rule, today = self._rule, beijing_day(self._now)
        if rule.recurring and rule.measure != "stock":
            return clocks(rule, points, self._annulled(), today)
        latch, after = self._latch()
        first = first_reach(points, rule.reached_at, after)
        if first is None:
            return [Clock(latch, after, None)]
        begun = periods(rule, first.at, beijing_day(first.at), today)
        held = tuple(one for one in begun if holds(points, rule.reached_at, one.trigger_at))
        return [Clock(latch, after, first, held)]

    def _opened(self, clock: Clock, told: Sequence[Row[Any]]) -> Iterator[Duty]:
        rule = self._rule
        for turn, begins, at in clock.periods:
            under = rule_for_trigger(self._policy.rules, rule.id, begins)
            if under is None:
                continue
            row = [one for one in told if one.at <= at][-1]
            duty = owed(
                under,
                processor=self._processor,
                key=key_of(rule, clock.latch, turn),
                trigger_at=at,
                known_at=self._now,
                calendar=self._policy.calendar,
                proof=_proof(rule, row, at, self._now),
            )
            yield self._settle(duty)

    def _settle(self, duty: Duty) -> Duty:
        connection, names = self._connection, self._names
        held = owing.find_duty(connection, names, self._processor, self._family, duty.key)
        if held is None:
            owing.open_duty(connection, names, duty)
            return duty
        ours = held[1].proof.get("number") == self._rule.number
        if ours or duty.trigger_day < held[1].trigger_day:  # the stock may have proved it before
            restate(connection, held, duty, self._policy)
        return again(connection, names, held[1])

    def _vanished(self, latch: int) -> None:
        """Ask a person about a duty whose number, corrected since, was never reached."""
        held = self._held(latch)
        if held is not None:
            self._ask(*held)

    def _ask_about_others(self, begun: Sequence[Clock]) -> None:
        """Ask about the periods that numbers, corrected since, do not ask for any more."""
        asked = {key_of(self._rule, one.latch, turn) for one in begun for turn, *_ in one.periods}
        for number, duty in self._periods():
            if duty.key not in asked and duty.annulled is None:
                self._ask(number, duty)

    def _ask(self, number: int, duty: Duty) -> None:
        if duty.proof.get("number") != self._rule.number:
            return  # the stock has proved it
        found = owing.Found(trigger_at=None, known_at=self._now, proof=duty.proof)
        policy = self._policy
        owing.restate(self._connection, number, duty, policy.rules, policy.calendar, found)

    def _held(self, latch: int) -> tuple[int, Duty] | None:
        key = key_of(self._rule, latch, 1)
        return owing.find_duty(self._connection, self._names, self._processor, self._family, key)

    def _warn(self, points: Sequence[Point]) -> None:
        number, name = self._names.processor_ids[self._processor], self._processor
        held = [point for point in points if point.at <= self._now]
        if held:
            levels, newest = self._policy.levels, held[-1]
            warn(self._connection, (number, name), self._rule, levels, newest, self._now)

    def _periods(self) -> list[tuple[int, Duty]]:
        columns = schema.duties.c
        number = self._names.processor_ids[self._processor]
        ours = (columns.processor_id == number, columns.rule.in_(self._family))
        return list(owing.read_duties(self._connection, self._names, ours))

    def _annulled(self) -> list[Instant]:
        return [
            reached_at(duty.trigger_at, duty.proof)
            for _, duty in self._periods()
            if duty.annulled is not None
        ]

    def _latch(self) -> tuple[int, Instant | None]:
        """Return the number of the latch, and the instant after which a reach is wanted."""
        connection, names, rule = self._connection, self._names, self._rule
        if rule.measure != "stock":
            latches = latching.of_processor(connection, names, self._policy.rules, self._processor)
            return latches.turns(rule)[-1]
        columns = schema.reaches.c
        number = names.processor_ids[self._processor]
        mine = (columns.processor_id == number, columns.rule == rule.id)
        row = connection.execute(select(columns.latch, columns.after).where(*mine)).first()
        return (1, None) if row is None else (row.latch, row.after)


def _proof(rule: Rule, row: Row[Any], at: Instant, now: Instant) -> dict[str, object]:
    return {
        "rule": rule.id,
        "number": rule.number,
        "individuals": row.number,
        "at_least": rule.reached_at,
        "trigger_at": at,
        "told": {"at": row.at, "known_at": row.known_at, "by": row.by, "reason": row.reason},
        "confirmed_at": now,
    }


# -- both --------------------------------------------------------------------------------------


def restate(connection: Connection, held: tuple[int, Duty], found: Duty, policy: Policy) -> None:
    """Do to the duty *held* what the one *found* now, in its place, asks for."""
    what = owing.Found(trigger_at=found.trigger_at, known_at=found.opened_at, proof=found.proof)
    owing.restate(connection, *held, policy.rules, policy.calendar, what)


def again(connection: Connection, names: Names, duty: Duty) -> Duty:
    """Return *duty* as it is now: it may have moved to its legacy row."""
    where = (
        schema.duties.c.processor_id == names.processor_ids[duty.processor],
        schema.duties.c.key == duty.key,
        schema.duties.c.opened_at == duty.opened_at,
    )
    return next(one for _, one in owing.read_duties(connection, names, where))


def lock_known(connection: Connection, processor: str) -> tuple[Names, int]:
    """Lock a processor that an event has named before; raise NotTold for any other name."""
    names = Names.load(connection)
    number = names.processor_ids.get(processor)
    if number is None:
        raise NotTold(f"there is no processor {processor!r} in the database: no event named it yet")
    lock_processors(connection, [number])
    return names, number


def check_when(at: Instant, now: Instant) -> None:
    """Raise NotTold for an instant that is yet to come, or of another century."""
    if at > now + _AHEAD:
        raise NotTold("that is in the future; tell it when it is so")
    if at < _FIRST:
        raise NotTold("that is before the year 2000")
