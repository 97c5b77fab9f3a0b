"""Events that a person tells: a graded incident, a recorded assessment, the end of FR use.

Each is kept once, with who and why, in the transaction that opens the duties it asks for. The end
of use is the same fact by command as from the stream (``terminating.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.duties import Duty, event_key, owed
from monitor.facts import Instant, Terminated, Version
from monitor.notices import Severity
from monitor.rules import CHANGED, HEARD, TERMINATED, Rule, event_rules, rule_for_trigger
from monitor.store import agreement, assessments, audit, latching, owing, schema, terminating
from monitor.store.engine import is_sqlite
from monitor.store.external import NotTold, Taken, check_when, lock_known
from monitor.store.filings import bring_about
from monitor.store.keeping import Policy
from monitor.store.names import Names
from monitor.store.numbered import again, restate
from monitor.store.reopening import Before
from monitor.workdays import beijing_day

_events = schema.told_events.c


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSaid:
    """A person says that *kind* happened at *at*.

    *reference* tells apart what happened at one instant; of an assessment it is the system.
    """

    processor: str
    kind: str
    at: Instant
    by: str
    reason: str
    reference: str = ""


def tell_event(engine: Engine, said: EventSaid, policy: Policy, now: Instant) -> Taken:
    """Keep an event and open the duties that it asks for, in one transaction. Raises NotTold."""
    with engine.begin() as connection:
        names, _ = lock_known(connection, said.processor)
        agreement.check_command(connection, policy.agreed)
        return take_event(connection, names, said, policy, now)


def take_event(
    connection: Connection, names: Names, said: EventSaid, policy: Policy, now: Instant
) -> Taken:
    """Do what ``tell_event`` does within a transaction that holds the processor's lock."""
    check_when(said.at, now)
    _check_kind(said.kind, policy)
    row: Mapping[str, object] = {
        "processor_id": names.processor_ids[said.processor],
        "kind": said.kind,
        "reference": said.reference,
        "at": said.at,
        "known_at": now,
        "by": said.by,
        "reason": said.reason,
    }
    dialect = sqlite if is_sqlite(connection) else postgresql
    written = dialect.insert(schema.told_events).values(row).on_conflict_do_nothing()
    new = connection.execute(written.returning(_events.id)).first() is not None
    if new:
        body = {name: value for name, value in row.items() if name != "processor_id"}
        audit.append(connection, now, "event.told", said.processor, body)
    rules = event_rules(policy.rules, said.kind)
    if said.kind == TERMINATED:
        duties = _end_use(connection, names, said, policy, now)
    else:
        duties = [_open(connection, names, rule, said, policy, now) for rule in rules]
    there = tuple(duty for duty in duties if duty is not None)
    about = tuple(rule.id for rule in rules)
    if said.kind == assessments.RECORDED:
        about += tuple(r.id for r in policy.rules if r.id == assessments.PIPIA and r.enabled)
    if new and said.kind == assessments.RECORDED:
        there += assessments.settle(connection, names, policy, said.processor, row, now)
    return Taken(new=new, rules=about, duties=there)


def _end_use(
    connection: Connection, names: Names, said: EventSaid, policy: Policy, now: Instant
) -> Sequence[Duty | None]:
    """Keep an end of FR use with all it means; return what is owed for one now."""
    fact = Terminated(said.processor, Version(said.at, 0, 0), said.at)
    before = Before(connection, names, said.processor)
    terminating.keep(connection, names, fact, now)
    bring_about(connection, names, policy, before, now)
    rules = [rule.id for rule in event_rules(policy.rules, TERMINATED)]
    table = schema.duties.c
    mine = (table.processor_id == names.processor_ids[said.processor], table.rule.in_(rules))
    held = owing.read_duties(connection, names, [*mine, table.closed_at.is_(None)])
    return [duty for _, duty in held]


def _open(
    connection: Connection,
    names: Names,
    rule: Rule,
    said: EventSaid,
    policy: Policy,
    now: Instant,
) -> Duty | None:
    if rule_for_trigger(policy.rules, rule.id, beijing_day(said.at)) is None:
        return None
    key = _key_of(said)
    if rule.latched:
        key = latching.key_of(connection, names, policy.rules, rule, said)
    duty = owed(
        rule,
        processor=said.processor,
        key=key,
        trigger_at=said.at,
        known_at=now,
        calendar=policy.calendar,
        proof={
            "rule": rule.id,
            "event": said.kind,
            "at": said.at,
            "known_at": now,
            "reference": said.reference,
            "told": {"by": said.by, "reason": said.reason},
        },
    )
    held = owing.find_duty(connection, names, said.processor, [rule.id], duty.key)
    if held is None:
        severity = Severity.INFO if rule.keeps else Severity.PAGE
        owing.open_duty(connection, names, duty, severity)
        return duty
    if duty.trigger_day < held[1].trigger_day:  # of a latched rule: an event before the first one
        restate(connection, held, duty, policy)
    return again(connection, names, held[1])


def _key_of(said: EventSaid) -> str:
    """Return the key of the duty that an event opens: the same event, the same."""
    if said.reference:
        return f"{said.reference}.{said.at}"
    return event_key(Version(said.at, 0, 0))


def _check_kind(kind: str, policy: Policy) -> None:
    if kind == CHANGED:
        raise NotTold(f"{kind!r} comes in with the stream, or by 'facetally change'")
    if kind.startswith("filing."):
        raise NotTold(f"{kind!r} comes in with the stream, or by 'facetally filing'")
    kinds = {rule.event for rule in policy.rules if rule.event is not None} - (HEARD - {TERMINATED})
    known = sorted(one for one in kinds if not one.startswith("filing."))
    if kind not in known:
        raise NotTold(f"no rule is about an event {kind!r}; there are {', '.join(known)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventTold:
    """An event as it was told."""

    kind: str
    reference: str
    at: Instant
    known_at: Instant
    by: str
    reason: str


def every_event(connection: Connection, names: Names, processor: str) -> list[EventTold]:
    """Return what was told of *processor*, oldest first."""
    mine = _events.processor_id == names.processor_ids[processor]
    query = select(schema.told_events).where(mine).order_by(_events.at, _events.id)
    return [
        EventTold(
            kind=row.kind,
            reference=row.reference,
            at=row.at,
            known_at=row.known_at,
            by=row.by,
            reason=row.reason,
        )
        for row in connection.execute(query)
    ]
