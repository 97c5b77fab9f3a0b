"""What told numbers mean for duties: open them, move them, begin them again, or ask a person.

``look`` compares the curve of a told number with the duties that there are and writes the
difference, so it does not matter when or how often it is called. Whoever calls it holds the
processor's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.filings import State
from monitor.history import Point, first_reach
from monitor.latches import Past, reached_at
from monitor.recurring import Clock, Turned, clocks, holds, key_of, periods, turn_of
from monitor.rules import Rule, number_rules, rule_for_trigger
from monitor.store import latching, owing, schema
from monitor.store.external_warning import warn
from monitor.store.names import Names
from monitor.store.older import STANDS
from monitor.store.terminating import Law
from monitor.workdays import beijing_day

_numbers = schema.told_numbers.c


class Asked(NamedTuple):
    """A person is asked about the day of a duty: *why* and the day found are as in the notice."""

    rule: str
    key: str
    why: str
    found_day: str | None


class Looked(NamedTuple):
    """What a look came to: the duties about the numbers, and whether it opened one of them."""

    duties: tuple[Duty, ...] = ()
    opened: bool = False
    asked: tuple[Asked, ...] = ()
    """What a person is asked since this look, and was not before."""


def look(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    now: Instant,
    number: str | None = None,
) -> Looked:
    """Bring about what the numbers told of *processor* ask for; of one *number*, if it is named."""
    rules = number_rules(law.rules, number)
    if not rules:
        return Looked()
    before = _questions(connection, names, processor)
    duties: list[Duty] = []
    opened = False
    for rule in rules:
        assert rule.number is not None  # noqa: S101 - of a number rule
        told = told_numbers(connection, names, processor, rule.number)
        if told:
            one = _Numbered(connection, names, processor, rule, law, now)
            duties += one.look(told)
            opened = opened or one.opened
    after = _questions(connection, names, processor)
    news = {row: what for row, what in after.items() if what != before.get(row)}
    family = {one.id for rule in rules for one in law.rules if rule.id in {one.id, one.legacy_of}}
    asked = tuple(what for what in news.values() if what.rule in family)
    return Looked(tuple(duties), opened, asked)


def _questions(connection: Connection, names: Names, processor: str) -> dict[int, Asked]:
    """Return what a person is asked about the duties of *processor*, by their rows."""
    columns = schema.duties.c
    mine = (columns.processor_id == names.processor_ids[processor], columns.asked.is_not(None))
    query = select(columns.id, columns.rule, columns.key, columns.asked).where(*mine)
    found = {}
    for row in connection.execute(query.order_by(columns.id)):
        why, _, day = row.asked.partition(" ")
        found[row.id] = Asked(row.rule, row.key, why, None if day == "None" else day)
    return found


def told_numbers(connection: Connection, names: Names, processor: str, name: str) -> list[Row[Any]]:
    """Return what holds of a told number, oldest first: of each instant what was told last."""
    where = (_numbers.processor_id == names.processor_ids[processor], _numbers.name == name)
    rows = connection.execute(select(schema.told_numbers).where(*where).order_by(_numbers.id))
    newest = {row.at: row for row in rows}
    return [newest[at] for at in sorted(newest)]


class _Numbered:
    """One rule about a told number at one processor."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        processor: str,
        rule: Rule,
        law: Law,
        now: Instant,
    ) -> None:
        self._connection, self._names, self._processor = connection, names, processor
        self._rule, self._law, self._now = rule, law, now
        self._family = [one.id for one in law.rules if rule.id in {one.id, one.legacy_of}]
        self._latches = latching.of_processor(connection, names, law.rules, processor)
        self.opened = False

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
        older = self._look_back(newest, told)
        return [*older, *(duty for clock in begun for duty in self._opened(clock, told))]

    def _clocks(self, points: Sequence[Point]) -> list[Clock]:
        rule, today = self._rule, beijing_day(self._now)
        if rule.recurring:
            return clocks(rule, points, self._turned(), today)
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
            under = rule_for_trigger(self._law.rules, rule.id, begins)
            if under is None:
                continue
            duty = owed(
                under,
                processor=self._processor,
                key=key_of(rule, clock.latch, turn),
                trigger_at=at,
                known_at=self._now,
                calendar=self._law.calendar,
                proof=self._proof(told, at),
            )
            yield self._settle(duty)

    def _settle(self, duty: Duty) -> Duty:
        connection, names = self._connection, self._names
        held = owing.find_duty(connection, names, self._processor, self._family, duty.key)
        if held is None:
            self.opened = owing.open_duty(connection, names, duty) or self.opened
            return duty
        if self._ours(held[1], duty.trigger_day):
            restate(connection, held, duty, self._law)
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
        law = self._law
        owing.restate(self._connection, number, duty, law.rules, law.calendar, found)

    def _held(self, latch: int) -> tuple[int, Duty] | None:
        key = key_of(self._rule, latch, 1)
        return owing.find_duty(self._connection, self._names, self._processor, self._family, key)

    def _warn(self, points: Sequence[Point]) -> None:
        number, name = self._names.processor_ids[self._processor], self._processor
        held = [point for point in points if point.at <= self._now]
        if held:
            levels, newest = self._law.levels, held[-1]
            warn(self._connection, (number, name), self._rule, levels, newest, self._now)

    def _periods(self) -> list[tuple[int, Duty]]:
        columns = schema.duties.c
        number = self._names.processor_ids[self._processor]
        ours = (columns.processor_id == number, columns.rule.in_(self._family))
        return list(owing.read_duties(self._connection, self._names, ours))

    def _turned(self) -> list[Turned]:
        found = []
        for _, duty in self._periods():
            turn = turn_of(duty.key)
            if turn is not None:
                reached = reached_at(duty.trigger_at, duty.proof)
                found.append(Turned(*turn, reached, annulled=duty.annulled is not None))
        return found

    def _latch(self) -> tuple[int, Instant | None]:
        """Return the number of the latch, and the instant after which a reach is wanted."""
        connection, names, rule = self._connection, self._names, self._rule
        if rule.measure != "stock":
            return self._latches.turns(rule)[-1]
        columns = schema.reaches.c
        number = names.processor_ids[self._processor]
        mine = (columns.processor_id == number, columns.rule == rule.id)
        row = connection.execute(select(columns.latch, columns.after).where(*mine)).first()
        return (1, None) if row is None else (row.latch, row.after)

    def _proof(self, told: Sequence[Row[Any]], at: Instant) -> dict[str, object]:
        rule, row = self._rule, [one for one in told if one.at <= at][-1]
        return {
            "rule": rule.id,
            "number": rule.number,
            "individuals": row.number,
            "at_least": rule.reached_at,
            "trigger_at": at,
            "told": {"at": row.at, "known_at": row.known_at, "by": row.by, "reason": row.reason},
            "confirmed_at": self._now,
        }

    # -- before the newest latch -----------------------------------------------------------

    def _look_back(self, newest: Clock, told: Sequence[Row[Any]]) -> list[Duty]:
        """Return the duties of older latches of which the numbers say something else now.

        As for a stock (``older.py``): an earlier day moves one that is open, and is asked about
        for one that has ended; so are a later day, or none, of one that is open, and a number
        that stands where nothing can be passed.
        """
        taken = None if self._rule.recurring else self._latches.turns(self._rule)[-1]
        if taken != (newest.latch, newest.after):
            return []  # periods begin again by themselves, or the stock looks for an older reach
        points, found = [Point(row.at, row.number) for row in told], dict[int, Duty]()
        pasts = self._latches.pasts(self._rule)
        for past in pasts:
            if (
                past.number not in found
                and (duty := self._other_day(past, points, told)) is not None
            ):
                found[past.number] = duty
        last = pasts[-1].number if pasts else None
        if last is not None and last not in found and newest.first is None:
            return [*found.values(), *self._standing(last, points)]
        return list(found.values())

    def _other_day(
        self, past: Past, points: Sequence[Point], told: Sequence[Row[Any]]
    ) -> Duty | None:
        """Move the duty of *past*, or ask about it, if it is news to it when it was reached."""
        held = self._held(past.number)
        if held is None:
            return None
        duty, law = held[1], self._law
        # Only of what a told number began, and is owed still, the numbers say that it began later.
        owed_still = past.end is not None and duty.proof.get("number") == self._rule.number
        until = past.end if owed_still and past.end is not None else past.until
        point = first_reach(points, self._rule.reached_at, past.after)
        at = None if point is None or point.at > until else point.at
        day = None if at is None else beijing_day(at)
        if not owed_still and (day is None or not self._is_news(past, duty, day)):
            return None
        proof = duty.proof if at is None else self._proof(told, at)
        found = owing.Found(trigger_at=at, known_at=self._now, proof=proof)
        owing.restate(self._connection, *held, law.rules, law.calendar, found)
        return None if day == duty.trigger_day else again(self._connection, self._names, duty)

    def _is_news(self, past: Past, duty: Duty, day: date) -> bool:
        return day != duty.trigger_day and (past.between or self._ours(duty, day))

    def _standing(self, last: int, points: Sequence[Point]) -> Iterator[Duty]:
        """Ask about the duty that was annulled *last* if only a fall and a rise open another."""
        held = self._held(last)
        stands = holds(points, self._rule.reached_at, self._now)
        if held is not None and stands and held[1].life.state is State.ANNULLED:
            owing.ask_about(self._connection, *held, None, self._now, STANDS)
            yield held[1]

    def _ours(self, duty: Duty, day: date) -> bool:
        """Tell whether a told number, reached on *day*, says when *duty* began."""
        told = duty.proof.get("number") == self._rule.number
        return told or day < duty.trigger_day  # the stock may have proved it before


def restate(connection: Connection, held: tuple[int, Duty], found: Duty, law: Law) -> None:
    """Do to the duty *held* what the one *found* now, in its place, asks for."""
    what = owing.Found(trigger_at=found.trigger_at, known_at=found.opened_at, proof=found.proof)
    owing.restate(connection, *held, law.rules, law.calendar, what)


def again(connection: Connection, names: Names, duty: Duty) -> Duty:
    """Return *duty* as it is now: it may have moved to its legacy row."""
    where = (
        schema.duties.c.processor_id == names.processor_ids[duty.processor],
        schema.duties.c.key == duty.key,
        schema.duties.c.opened_at == duty.opened_at,
    )
    return next(one for _, one in owing.read_duties(connection, names, where))
