"""Candidates for a material change in SQL: kept, listed, and decided by a person.

``proposing.py`` finds them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.chain import canonical
from monitor.changes import SEEN, Candidate, ChangeKind, Picture
from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.filings import CHANGE
from monitor.ledger import Stock
from monitor.rules import rule_for_trigger
from monitor.store import agreement, audit, owing, schema, stock, terminating
from monitor.store.assessments import PIPIA, assessed
from monitor.store.engine import is_sqlite
from monitor.store.filings import bring_about
from monitor.store.locks import lock_processors
from monitor.store.names import Names, ScopeKind
from monitor.store.reopening import Before
from monitor.store.terminating import Law
from monitor.workdays import beijing_day

_AHEAD: Instant = 300_000_000
COMMAND = "command"  # where a candidate came from that a person told
MONITOR = "monitor"
_FIRST = date(2000, 1, 1)
_c, _p = schema.changes.c, schema.places.c


class NotDecided(ValueError):
    """A change cannot be recorded or decided so; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A candidate as it is kept; *decision* is ``confirmed``, ``dismissed``, or None."""

    number: int
    processor: str
    kind: ChangeKind
    at: Instant
    proposed_at: Instant
    source: str
    evidence: Mapping[str, object]
    decision: str | None
    decided_at: Instant | None
    by: str | None
    reason: str | None


def picture(connection: Connection, names: Names, processor: str) -> Picture:
    """Return the number of *processor* and its places with their marks, as they are now."""
    number = names.processor_ids[processor]
    mine = (_p.processor_id == number, _p.scope == ScopeKind.GALLERY)
    rows = connection.execute(select(_p.system, _p.gallery, _p.research).where(*mine))
    kept = stock.read(connection, names).get(processor, Stock())
    return Picture(
        individuals=kept.individuals,
        places={(row.system, row.gallery): row.research for row in rows},
    )


def in_detail(now: Picture) -> dict[str, object]:
    """Return *now* as a submission keeps it; the audit log seals the places by their hash."""
    places = [[*place, research] for place, research in sorted(now.places.items())]
    return {"individuals": now.individuals, "places": places, "places_sha256": sealed(places)}


def sealed(places: object) -> str:
    """Return the hash of *places*, as they stand in the detail of a submission."""
    return hashlib.sha256(canonical({"places": places}).encode()).hexdigest()


def add(
    connection: Connection,
    names: Names,
    processor: str,
    one: Candidate,
    at: Instant,
    now: Instant,
    source: str,
) -> int | None:
    """Write a candidate with its audit entry; return its number, None if it is there already."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    places = {"system": one.system, "gallery": one.gallery}
    evidence = {**{k: v for k, v in places.items() if v is not None}, **one.evidence}
    row = {
        "processor_id": names.processor_ids[processor],
        "kind": one.kind.value,
        "what": one.what,
        "at": at,
        "proposed_at": now,
        "source": source,
        "evidence": canonical(evidence),
    }
    added = dialect.insert(schema.changes).values(row).on_conflict_do_nothing()
    number: int | None = connection.scalar(added.returning(_c.id))
    if number is not None:
        said = {"change": number, "kind": one.kind.value, "at": at, "source": source}
        body = {**evidence, **said, "what": one.what}
        audit.append(connection, now, "change.proposed", processor, body)
    return number


# -- by a person ---------------------------------------------------------------------------------


def listing(connection: Connection, names: Names) -> list[Change]:
    """Return all candidates, oldest first."""
    return [
        _change(names, row) for row in connection.execute(select(schema.changes).order_by(_c.id))
    ]


def _change(names: Names, row: Row[Any]) -> Change:
    return Change(
        number=row.id,
        processor=names.processor_by_id[row.processor_id],
        kind=ChangeKind(row.kind),
        at=row.at,
        proposed_at=row.proposed_at,
        source=row.source,
        evidence=json.loads(row.evidence),
        decision=row.decision,
        decided_at=row.decided_at,
        by=row.by,
        reason=row.reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSaid:
    """A person tells of a change that no event says: it is a candidate like any other."""

    processor: str
    kind: ChangeKind
    at: Instant
    by: str
    reason: str


def record(engine: Engine, said: ChangeSaid, now: Instant) -> Change:
    """Keep a candidate that a person tells; the same one once. Raises NotDecided."""
    if said.kind in SEEN:
        seen = ", ".join(sorted(SEEN))
        raise NotDecided(f"{seen} are proposed from what is counted; tell of anything else")
    _check_when(said.at, now)
    with engine.begin() as connection:
        names = Names.load(connection)
        number = names.processor_ids.get(said.processor)
        if number is None:
            raise NotDecided(f"there is no processor {said.processor!r} in the database")
        lock_processors(connection, [number])
        one = Candidate(
            kind=said.kind,
            what=f"{said.at}:{said.reason}",
            evidence={"by": said.by, "because": said.reason},
        )
        add(connection, names, said.processor, one, said.at, now, COMMAND)
        same = (_c.processor_id == number, _c.kind == said.kind.value, _c.what == one.what)
        return _change(names, connection.execute(select(schema.changes).where(*same)).one())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A person's decision about a candidate; *at*: when it changed, if that is known better."""

    number: int
    confirmed: bool
    by: str
    reason: str
    at: Instant | None = None


def decide(engine: Engine, said: Verdict, law: Law, now: Instant) -> tuple[Change, Duty | None]:
    """Confirm a change, which opens its duty, or dismiss it; once. Raises NotDecided.

    One that was dismissed can be confirmed after all: both decisions are in the audit log. A
    confirmed one has a duty, which a person can annul.
    """
    decision = "confirmed" if said.confirmed else "dismissed"
    with engine.begin() as connection:
        names = Names.load(connection)
        found = connection.execute(select(schema.changes).where(_c.id == said.number)).first()
        if found is None:
            raise NotDecided(f"there is no change {said.number}; see 'facetally change list'")
        change = _change(names, found)
        lock_processors(connection, [names.processor_ids[change.processor]])
        agreement.check_command(connection, law.agreed)
        at = change.at if said.at is None else said.at
        _check_when(at, now)
        undecided = _c.decision.is_(None)
        dismissed = _c.decision == "dismissed"
        open_still = or_(undecided, dismissed) if said.confirmed else undecided
        mark = update(schema.changes).where(_c.id == said.number, open_still)
        values = {
            "decision": decision,
            "decided_at": now,
            "by": said.by,
            "reason": said.reason,
            "at": at,
        }
        if connection.execute(mark.values(values)).rowcount == 1:
            body = {"change": said.number, "at": at, "by": said.by, "reason": said.reason}
            audit.append(connection, now, f"change.{decision}", change.processor, body)
            if said.confirmed:
                _open(connection, names, law, change, said, at, now)
        row = connection.execute(select(schema.changes).where(_c.id == said.number)).one()
        after = _change(names, row)
        _check_same(after, said, decision)
        rules, key = [CHANGE, PIPIA], _key(said.number)
        held = owing.find_duty(connection, names, change.processor, rules, key)
        return after, None if held is None else held[1]


def _check_same(after: Change, said: Verdict, decision: str) -> None:
    """Raise NotDecided if what was decided before is not what is *said* now."""
    before = f"change {said.number} was {after.decision} by {after.by}"
    if after.decision != decision:
        raise NotDecided(f"{before}: {after.reason}")
    if said.at is not None and said.at != after.at:
        day = beijing_day(after.at)
        raise NotDecided(
            f"{before} as of {day}; 'facetally duty correct' with --key {_key(said.number)} moves "
            "its trigger day"
        )


def _open(
    connection: Connection,
    names: Names,
    law: Law,
    change: Change,
    said: Verdict,
    at: Instant,
    now: Instant,
) -> None:
    missing = change.kind is ChangeKind.ASSESSMENT
    system = change.evidence.get("system")
    if missing and system in assessed(connection, names.processor_ids[change.processor]):
        raise NotDecided(f"an assessment of {system} is recorded; dismiss the change")
    day = beijing_day(at)
    # What is owed is the assessment, at once (art. 9), and no filing; where that is not watched
    # (the rule is off, as shipped), a person can still say that the filing has to be updated.
    rule = rule_for_trigger(law.rules, PIPIA, day) if missing else None
    rule = rule or rule_for_trigger(law.rules, CHANGE, day)
    if rule is None:
        raise NotDecided(f"{CHANGE} is off, or owes nothing for {day}")
    proof = terminating.proof_of(connection, names, law, change.processor, at, now)
    confirmed = {
        "event": rule.event,
        "changed": [change.kind.value],
        "change": change.number,
        "evidence": dict(change.evidence),
        "confirmed": {"by": said.by, "reason": said.reason},
    }
    duty = owed(
        rule,
        processor=change.processor,
        key=_key(change.number),
        trigger_at=at,
        known_at=now,
        calendar=law.calendar,
        proof=proof | confirmed,
    )
    before = Before(connection, names, change.processor)
    owing.open_duty(connection, names, duty)
    bring_about(connection, names, law, before, now)


def undecided(connection: Connection) -> int:
    """Return how many candidates wait for a person."""
    query = select(func.count()).select_from(schema.changes).where(_c.decision.is_(None))
    return connection.scalar(query) or 0


def _key(number: int) -> str:
    return f"change.{number}"


def _check_when(at: Instant, now: Instant) -> None:
    if at > now + _AHEAD:
        raise NotDecided("that is in the future; say it when it has changed")
    if beijing_day(at) < _FIRST:
        raise NotDecided("that is before the year 2000")
