"""Numbers that a person tells: kept with who and why, and the duties they open.

A told number is one point of a step curve: from its instant on it is so, until a later point. Of
two points of one instant the one told last holds, which is how a number is corrected. What a curve
reaches, and when, is asked of ``monitor.history`` as for the stock (``numbered.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.rule import LARGEST
from monitor.rules import number_rules
from monitor.store import agreement, audit, schema
from monitor.store.engine import reading
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.numbered import Asked, look, told_numbers
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
    """What became of it: *new* is False for what was told before; *duties* are those about it.

    *asked* is what a person has to decide since then.
    """

    new: bool
    rules: tuple[str, ...]
    duties: tuple[Duty, ...]
    asked: tuple[Asked, ...] = ()


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
        found = look(connection, known, policy, said.processor, now, said.name)
        return Taken(
            new=new,
            rules=tuple(rule.id for rule in rules),
            duties=found.duties,
            asked=found.asked,
        )


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
                look(connection, names, self._policy, names.processor_by_id[number], now)
        self._day = beijing_day(now)


def every_number(connection: Connection, names: Names) -> list[tuple[str, Row[Any]]]:
    """Return all that was ever told, with whose number it is, oldest first."""
    query = select(schema.told_numbers).order_by(_numbers.at, _numbers.id)
    return [(names.processor_by_id[row.processor_id], row) for row in connection.execute(query)]


# -- both --------------------------------------------------------------------------------------


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
