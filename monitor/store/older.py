"""Duties of latches that are not the newest: what a look back still has to say about them.

An earlier day that is found late moves a duty that is open, whatever has been armed since, and is
asked about for one that has ended (DESIGN section 3). A later day of an open one, and a reach that
a late fact took away, wait for a person as they do of the newest (section 5). An earlier reach has
to be confirmed first, so its latch is looked for once more: the newest one is again as soon as that
is done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, select

from monitor.duties import Decision, Duty, Why, restated
from monitor.facts import Instant
from monitor.filings import State
from monitor.history import Threshold
from monitor.latches import Past
from monitor.notices import Kind
from monitor.rules import stock_rules
from monitor.store import audit, latching, owing, schema, stock
from monitor.store.moments import Sight
from monitor.store.names import Names
from monitor.store.sweeping import Swept
from monitor.store.terminating import Law
from monitor.store.watches import Reach, Since

STANDS = "number_stands"
"""Why a person is asked: after an annulled reach the number stands where nothing is passed."""


class Older:
    """What is to be known of the older latches of one processor, whose lock is held."""

    def __init__(
        self,
        connection: Connection,
        names: Names,
        law: Law,
        processor: str,
        reaches: Mapping[str, Reach],
    ) -> None:
        self._connection, self._names, self._law = connection, names, law
        self._processor, self._reaches = processor, reaches
        self._pasts: dict[str, list[Past]] = {}
        self._families: dict[str, list[str]] = {}
        if all(reach.after is None for reach in reaches.values()):
            return  # nothing was ever armed anew
        latches = latching.of_processor(connection, names, law.rules, processor)
        for rule in stock_rules(law.rules):
            reach = reaches.get(rule.id)
            # Where another latch than the newest is looked for, that one comes first.
            if reach is not None and latches.turns(rule)[-1] == (reach.latch, reach.after):
                self._pasts[rule.id] = latches.pasts(rule)
                family = [one.id for one in law.rules if rule.id in {one.id, one.legacy_of}]
                self._families[rule.id] = family

    @property
    def wanted(self) -> list[Threshold]:
        """What is looked for beside the reaches of the newest latches."""
        return [self._threshold(rule, past) for rule, past in self._each()]

    def _each(self) -> Iterator[tuple[str, Past]]:
        return ((rule, past) for rule, found in self._pasts.items() for past in found)

    def _threshold(self, rule: str, past: Past) -> Threshold:
        return self._reaches[rule].at_least, past.after

    def outdated(self, swept: Swept, since: Since) -> bool:
        """Tell whether *swept* does not say it, or facts that came in meanwhile can change it."""
        return any(
            self._threshold(rule, past) not in swept.reaches
            or (since.first_at is not None and since.first_at <= (past.end or past.until))
            for rule, past in self._each()
        )

    def news(self, swept: Swept, seen: Sight) -> dict[str, Reach]:
        """Return the older reaches that are to be confirmed now, instead of the newest ones.

        A person is asked one thing of a duty at a time.
        """
        found: dict[str, Reach] = {}
        for rule, pasts in self._pasts.items():
            told: set[int] = set()
            for past in pasts:
                reach = self._reach(rule, past, swept, seen)
                if past.number in told:
                    continue
                if reach is None:
                    self._ask_of_a_later_day(rule, past, swept, seen.at)
                    continue
                told.add(past.number)
                if rule not in found and self._is_news(rule, reach, seen.at):
                    found[rule] = reach
                    body = {"rule": rule, "latch": reach.latch, "after": reach.after}
                    audit.append(self._connection, seen.at, "latch.armed", self._processor, body)
            if rule not in found and pasts and pasts[-1].number not in told:
                self._ask_if_it_stands(rule, pasts[-1].number, seen.at)
        return found

    def _reach(self, rule: str, past: Past, swept: Swept, seen: Sight) -> Reach | None:
        """Return the reach that *past* is about, if it says anything new of its duty."""
        point = swept.reaches[self._threshold(rule, past)]
        held = self._duty(rule, past.number)
        if point is None or point.at > past.until or held is None:
            return None
        if self._decided(held[1], point.at, seen.at)[0] is Decision.KEEP:
            return None
        return self._reaches[rule].rearmed(past.number, past.after).found(point, seen)

    def _ask_of_a_later_day(self, rule: str, past: Past, swept: Swept, now: Instant) -> None:
        """Ask about a duty that is owed if its reach is found later now, or not any more.

        What comes after its *end* is about the next latch. A later day than that which a person
        knew who decided on another one is asked about, too.
        """
        held, point = self._duty(rule, past.number), swept.reaches[self._threshold(rule, past)]
        if past.end is None or held is None or "number" in held[1].proof:
            return  # a told number proves its day, whatever the stock does later
        at = point.at if point is not None and point.at <= past.end else None
        law, duty = self._law, held[1]
        found = restated(duty, law.rules, at, known_at=now, calendar=law.calendar, proof=duty.proof)
        if found.decision is Decision.KEEP:
            owing.ask_no_more(self._connection, *held, now)
            return
        why = Why.LATER_DAY if found.decision is Decision.MOVE else found.why
        day = None if found.found_day is None else found.found_day.isoformat()
        owing.ask_about(self._connection, *held, day, now, why.value)

    def _is_news(self, rule: str, reach: Reach, now: Instant) -> bool:
        held = self._duty(rule, reach.latch)
        if held is None or reach.trigger_at is None:
            return False
        decision, asked = self._decided(held[1], reach.trigger_at, now)
        query = select(schema.duties.c.asked).where(schema.duties.c.id == held[0])
        return decision is Decision.MOVE or self._connection.scalar(query) != asked

    def _decided(self, duty: Duty, at: Instant, now: Instant) -> tuple[Decision, str]:
        """Return what a trigger *at* does to *duty*, and what a person would be asked."""
        law = self._law
        found = restated(duty, law.rules, at, known_at=now, calendar=law.calendar, proof=duty.proof)
        return found.decision, f"{found.why.value} {found.found_day}"

    def _duty(self, rule: str, number: int) -> tuple[int, Duty] | None:
        family = self._families[rule]
        return owing.find_duty(self._connection, self._names, self._processor, family, str(number))

    def _ask_if_it_stands(self, rule: str, number: int, now: Instant) -> None:
        """Ask about the duty that was annulled last if nothing can pass the threshold after it.

        Not if the notice of its annulment said so.
        """
        held, reach = self._duty(rule, number), self._reaches[rule]
        counted = stock.read(self._connection, self._names).get(self._processor)
        if held is None or counted is None or reach.trigger_at is not None:
            return
        annulled = held[1].life.state is State.ANNULLED
        stands = counted.individuals >= reach.at_least
        if annulled and stands and not self._was_told(held[1]):
            owing.ask_about(self._connection, *held, None, now, STANDS)

    def _was_told(self, duty: Duty) -> bool:
        notices = schema.notices.c
        query = select(notices.body).where(
            notices.kind == Kind.DUTY_CLOSED.value,
            notices.processor == duty.processor,
            notices.rule == duty.rule,
            notices.duty == duty.key,
        )
        last = self._connection.scalar(query.order_by(notices.id.desc()).limit(1))
        return last is not None and "number_now" in json.loads(last)
