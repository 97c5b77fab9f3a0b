"""Latches in the database: armed anew, and duties whose latch is not in force any more.

What arms and releases a latch is ``monitor.latches``; here it is compared with the rows. Whoever
calls holds the processor's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from sqlalchemy import Connection, select, update

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import Life, Target, settle
from monitor.latches import (
    Past,
    Released,
    Turn,
    completed_cancellations,
    left_behind,
    of_instant,
    pasts,
    released,
    target_of,
    turns,
)
from monitor.rules import Rule, stock_rules
from monitor.store import audit, filings_kept, owing, schema
from monitor.store.names import Names
from monitor.store.watches import Reach, Watches


class Latches:
    """The latches of one processor: its duties, with what its steps come to."""

    def __init__(
        self, rules: Sequence[Rule], duties: Iterable[Duty], lives: Mapping[Target, Life]
    ) -> None:
        self._rules, self._duties, self._lives = rules, list(duties), lives
        self._ends = completed_cancellations(lives)

    def released(self, rule: Rule) -> list[Released]:
        """Return the duties of *rule*, or of its legacy row."""
        family = self._family(rule)
        return released((one for one in self._duties if one.rule in family), self._lives)

    def _family(self, rule: Rule) -> set[str]:
        return {one.id for one in self._rules if rule.id in {one.id, one.legacy_of}}

    def ends(self, rule: Rule) -> Sequence[Instant]:
        """Return the completed cancellations that arm latches of *rule*: not of other numbers."""
        return () if rule.measure == "external" else self._ends

    def turns(self, rule: Rule) -> list[Turn]:
        """Return the latches of *rule* up to the one in force."""
        return turns(self.released(rule), self.ends(rule))

    def pasts(self, rule: Rule) -> list[Past]:
        """Return what late facts can say of the duties of *rule* before the newest latch."""
        return list(pasts(self.released(rule), self.ends(rule)))

    def superseded(self) -> set[Target]:
        """Return the duties that no step has ended, and whose latch is not in force."""
        found = set()
        for rule in self._rules:
            if rule.enabled and rule.latched and not rule.recurring and rule.legacy_of is None:
                taken = {turn.number for turn in self.turns(rule)}
                family = self._family(rule)
                found |= {
                    target_of(duty)
                    for duty in self._duties
                    if duty.rule in family and duty.key.isdecimal() and int(duty.key) not in taken
                }
        return {target for target in found if self._lives[target].ended is None}

    # -- reaches ---------------------------------------------------------------------------

    def arm_stock(
        self, connection: Connection, names: Names, processor: str, known_at: Instant
    ) -> None:
        """Look for the reach of each stock rule that its latch is armed for now."""
        rules = {rule.id: rule for rule in stock_rules(self._rules)}
        if not self._may_arm(connection, names.processor_ids[processor]):
            return
        watches = Watches(connection, names, rules.values(), [processor])
        reaches, watch = watches.reaches[processor], watches.watch[processor]
        for rule_id, reach in reaches.items():
            armed = self._armed(rules[rule_id], reach, due=watch.recount_due)
            if armed is not reach:
                reaches[rule_id] = armed
                watches.watch[processor] = replace(watch, recount_due=True)
                body = {"rule": rule_id, "latch": armed.latch, "after": armed.after}
                audit.append(connection, known_at, "latch.armed", processor, body)
            elif self._left_between(rules[rule_id], known_at):
                watches.watch[processor] = replace(watch, recount_due=True)
        watches.save()

    def _left_between(self, rule: Rule, known_at: Instant) -> bool:
        """Tell whether what was annulled now can have hidden what no latch waits for."""
        between = {past.number for past in self.pasts(rule) if past.between}
        ended = (one.life.ended for one in self.released(rule) if one.number in between)
        return any(step is not None and step.known_at == known_at for step in ended)

    def look_again(self, connection: Connection, number: int, duty: Duty) -> None:
        """Have the book looked back on for a *duty* that is owed again.

        What was found while it was closed did not move it. *number* is that of its processor.
        """
        if any(duty.rule in self._family(rule) for rule in stock_rules(self._rules)):
            mine = schema.watches.c.processor_id == number
            connection.execute(update(schema.watches).where(mine).values(recount_due=True))

    def _may_arm(self, connection: Connection, number: int) -> bool:
        """Tell whether any latch can be another than it was: something has ended, or had."""
        if any(life.ended is not None for life in self._lives.values()):
            return True
        columns = schema.reaches.c
        held = select(columns.after).where(
            columns.processor_id == number, columns.after.is_not(None)
        )
        return connection.execute(held).first() is not None

    def _armed(self, rule: Rule, reach: Reach, *, due: bool) -> Reach:
        """Return the reach of the latch that is to be looked for; the same one if it is that.

        A latch whose reach is still looked for, or not confirmed, keeps waiting, so that what
        happened before a cancellation that was told first is found too.
        """
        held, ends = self.released(rule), self.ends(rule)
        numbers = {one.number for one in held}
        newest = turns(held, ends)[-1]
        waits = due or reach.pending
        if newest.number > reach.latch:
            known = reach.trigger_at is not None or reach.latch in numbers
            return reach if waits or not known else reach.rearmed(*newest)
        if newest.number < reach.latch and newest.number not in numbers and reach.after in ends:
            # A latch before it released no duty, as its rule asked for none then.
            newest = Turn(reach.latch, reach.after)
        if newest != (reach.latch, reach.after):
            return reach.rearmed(*newest)
        reached = None if waits or reach.latch in numbers else reach.trigger_at
        end = None if reached is None else next((at for at in ends if at >= reached), None)
        return reach if end is None else reach.rearmed(reach.latch + 1, end)


def of_processor(
    connection: Connection, names: Names, rules: Sequence[Rule], processor: str
) -> Latches:
    """Return the latches of *processor* as its duties and steps are now."""
    number = names.processor_ids[processor]
    mine = [schema.duties.c.processor_id == number]
    duties = [duty for _, duty in owing.read_duties(connection, names, mine)]
    steps = filings_kept.read(connection, [number]).get(number, [])
    settled = settle(map(target_of, duties), steps, left_behind(duties))
    return Latches(rules, duties, settled.lives)


class Event(Protocol):
    """Something that happened to a processor at an instant."""

    @property
    def processor(self) -> str:
        """Whose."""

    @property
    def at(self) -> Instant:
        """When."""


def key_of(
    connection: Connection, names: Names, rules: Sequence[Rule], rule: Rule, event: Event
) -> str:
    """Return the key of the duty of a *rule* that latches which *event* is about."""
    taken = of_processor(connection, names, rules, event.processor).turns(rule)
    return str(of_instant(event.at, taken)[0])
