"""The end of FR use: every termination that was told, and the cancellation duty that it opens.

One after a completed cancellation, or after an annulment, is a new end of use and has a duty of its
own; one before that is the same end told again, and the earliest day counts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Row, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.agreeing import Agreed
from monitor.duties import Duty, owed
from monitor.facts import Instant, Terminated
from monitor.ledger import Stock
from monitor.rules import TERMINATED, Rule, event_rules
from monitor.store import owing, schema, stock
from monitor.store.engine import is_sqlite
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


def keep(connection: Connection, names: Names, fact: Terminated, known_at: Instant) -> None:
    """Keep a termination that was told; the same one once."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    row = {
        "processor_id": names.processor_ids[fact.processor],
        "at": fact.at,
        "known_at": known_at,
        "version": ".".join(map(str, fact.version)),
    }
    connection.execute(dialect.insert(schema.terminations).values(row).on_conflict_do_nothing())


def open_duties(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    armed: Sequence[Instant],
    known_at: Instant,
) -> bool:
    """Open the duty of each end of use, or move it to an earlier day; return whether one is new.

    *armed* are the instants at which the latch was armed anew, in order.
    """
    query = select(schema.terminations).where(_t.processor_id == names.processor_ids[processor])
    told = connection.execute(query.order_by(_t.at)).all()
    opened = False
    for rule in event_rules(law.rules, TERMINATED):
        firsts: dict[str, Row[Any]] = {}
        for row in told:
            if rule.since is None or beijing_day(row.at) >= rule.since:
                firsts.setdefault(str(1 + bisect_left(armed, row.at)), row)
        for key, row in firsts.items():
            duty = _owed(connection, names, law, processor, rule, key, row, known_at)
            held = owing.find_duty(connection, names, processor, [rule.id], key)
            if held is None:
                opened |= owing.open_duty(connection, names, duty)
            elif duty.trigger_day < held[1].trigger_day:
                found = owing.Found(trigger_at=duty.trigger_at, known_at=known_at, proof=duty.proof)
                owing.restate(connection, *held, law.rules, law.calendar, found)
    return opened


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
