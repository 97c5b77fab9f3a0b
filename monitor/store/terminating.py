"""The end of FR use: every termination that was told, and the cancellation duty that it opens.

One after a completed cancellation, or after one whose duty was annulled, is a new end of use and
has a duty of its own; others are the same end told again, and the earliest day counts. One that
opens nothing because that end is over is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.agreeing import Agreed
from monitor.approach import Levels
from monitor.duties import Duty, Why, owed
from monitor.facts import Instant, Terminated
from monitor.latches import Past, Turn, firsts, of_instant
from monitor.ledger import Stock
from monitor.rules import TERMINATED, Rule, event_rules
from monitor.store import audit, owing, schema, stock
from monitor.store.engine import is_sqlite
from monitor.store.latching import Latches
from monitor.store.names import Names
from monitor.store.trust import Trust
from monitor.trust import Sources, in_proof
from monitor.workdays import Calendar, beijing_day

_t = schema.terminations.c


class Law(Protocol):
    """What the settings say that duties depend on; ``keeping.Policy`` is one."""

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules."""

    @property
    def agreed(self) -> Agreed:
        """What other processes must have the same."""

    @property
    def calendar(self) -> Calendar:
        """What days are counted by."""

    @property
    def sources(self) -> Sources:
        """Where numbers come from."""

    @property
    def levels(self) -> Levels:
        """When a told number is near."""


def keep(connection: Connection, names: Names, fact: Terminated, known_at: Instant) -> None:
    """Keep a termination that was told, with its audit entry; the same one once."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    row = {
        "processor_id": names.processor_ids[fact.processor],
        "at": fact.at,
        "known_at": known_at,
        "version": ".".join(map(str, fact.version)),
    }
    written = dialect.insert(schema.terminations).values(row).on_conflict_do_nothing()
    if connection.execute(written.returning(_t.at)).first() is not None:
        body = {"at": fact.at, "version": row["version"]}
        audit.append(connection, known_at, "termination.told", fact.processor, body)


def open_duties(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    latches: Latches,
    known_at: Instant,
) -> bool:
    """Open the duty of each end of use, or move it to an earlier day; return whether one is new."""
    query = select(schema.terminations).where(_t.processor_id == names.processor_ids[processor])
    told = connection.execute(query.order_by(_t.at)).all()
    opened = False
    for rule in event_rules(law.rules, TERMINATED):
        rows = {
            row.at: row for row in told if rule.since is None or beijing_day(row.at) >= rule.since
        }
        taken, restated = latches.turns(rule), set()
        for number, at in firsts(list(rows), taken):
            row = rows.pop(at)
            duty = _owed(connection, names, law, processor, rule, str(number), row, known_at)
            duty = _armed(duty, next(turn for turn in taken if turn.number == number))
            held = owing.find_duty(connection, names, processor, [rule.id], duty.key)
            if held is None:
                opened |= owing.open_duty(connection, names, duty)
            elif duty.trigger_day < held[1].trigger_day:
                found = owing.Found(trigger_at=duty.trigger_at, known_at=known_at, proof=duty.proof)
                owing.restate(connection, *held, law.rules, law.calendar, found)
                restated.add(number)
        _tell_covered(connection, names, processor, rule, rows, taken, known_at)
        for past in latches.pasts(rule):
            if past.between and past.number not in restated:
                _tell_between(connection, names, processor, rule, rows, past, known_at)
    return opened


def _tell_between(
    connection: Connection,
    names: Names,
    processor: str,
    rule: Rule,
    others: Mapping[Instant, Row[Any]],
    past: Past,
    known_at: Instant,
) -> None:
    """Ask about an end of use that came after an annulled one, and has no duty.

    The next duty was submitted for a later one, and keeps that.
    """
    at = next((at for at in others if past.after is not None and past.after < at), None)
    held = owing.find_duty(connection, names, processor, [rule.id], str(past.number))
    if held is not None and at is not None and at <= past.until:
        day = beijing_day(at).isoformat()
        owing.ask_about(connection, *held, day, known_at, Why.DUTY_CLOSED.value)


def _tell_covered(
    connection: Connection,
    names: Names,
    processor: str,
    rule: Rule,
    others: Mapping[Instant, Row[Any]],
    taken: Sequence[Turn],
    known_at: Instant,
) -> None:
    """Tell of an end of use, heard of now, that a duty covers which has ended: it opens none."""
    for at in sorted(others, reverse=True):
        number, newest = of_instant(at, taken)
        if others[at].known_at != known_at or newest:
            continue
        held = owing.find_duty(connection, names, processor, [rule.id], str(number))
        if held is not None:
            day = beijing_day(at).isoformat()
            owing.ask_about(connection, *held, day, known_at, Why.DUTY_CLOSED.value)
            return


def _owed(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    rule: Rule,
    key: str,
    row: Row[Any],
    known_at: Instant,
) -> Duty:
    proof = proof_of(connection, names, law, processor, row.at, known_at)
    told = {
        "event": TERMINATED,
        "known_at": row.known_at,
        "version": [int(part) for part in row.version.split(".")],
    }
    return owed(
        rule,
        processor=processor,
        key=key,
        trigger_at=row.at,
        known_at=known_at,
        calendar=law.calendar,
        proof=proof | told,
    )


def _armed(duty: Duty, turn: Turn) -> Duty:
    """Return *duty* with what armed its latch in its proof, if anything did."""
    return duty if turn.after is None else replace(duty, proof={**duty.proof, "after": turn.after})


def proof_of(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    at: Instant,
    known_at: Instant,
) -> dict[str, object]:
    """Return what the proof of a duty says that an event at *at* opened: the number then."""
    kept = stock.read(connection, names).get(processor, Stock())
    trust = Trust(connection, names, law.sources, known_at)
    number: Mapping[str, object] = {
        "at": at,
        "known_at": known_at,
        "individuals": kept.individuals,
    }
    return {**number, **in_proof(trust.against(processor))}
