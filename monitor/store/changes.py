"""Candidates for a material change in SQL: proposed, listed, and decided by a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.chain import canonical
from monitor.changes import SEEN, Candidate, ChangeKind, Picture, candidates
from monitor.duties import Duty, owed
from monitor.facts import Instant
from monitor.filings import CHANGE, FILE, Life, Settled, State, Step, StepKind, family
from monitor.ledger import Stock
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import CHANGED, rule_for_trigger
from monitor.store import agreement, audit, filings_kept, owing, schema, stock, terminating
from monitor.store.engine import is_sqlite, reading
from monitor.store.filings import bring_about
from monitor.store.locks import lock_processors
from monitor.store.names import Names, ScopeKind
from monitor.store.terminating import Law
from monitor.workdays import beijing_day

_EVERY: Instant = 60_000_000
_AHEAD: Instant = 300_000_000
_ASSESSED = "assessment.recorded"
_MOST_NAMED = 10
COMMAND = "command"  # where a candidate came from that a person told
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
    """Return *now* as a submission keeps it: what was filed, unless a person says otherwise."""
    places = [[*place, research] for place, research in sorted(now.places.items())]
    return {"individuals": now.individuals, "places": places}


def filed_by(settled: Settled) -> tuple[Step, Picture] | None:
    """Return the newest completed filing's submission, and what it said; None: none was."""
    found = [
        life
        for target, life in settled.lives.items()
        if family(target.rule) in {FILE, CHANGE} and life.state is State.COMPLETED
    ]
    if not found:
        return None
    newest = max(found, key=_ended_at)
    step = [one for one in newest.taken if one.kind is StepKind.SUBMITTED][-1]
    detail: Any = step.detail
    if "places" not in detail:
        return None
    places = {(system, gallery): research for system, gallery, research in detail["places"]}
    return step, Picture(individuals=detail["individuals"], places=places)


def _ended_at(life: Life) -> Instant:
    return life.taken[-1].at


class Proposing:
    """Looks for changes about once a minute, and tells of those that are new."""

    def __init__(self, engine: Engine, far: float) -> None:
        self._engine, self._far = engine, far
        self._looked_at: Instant | None = None

    def look(self, names: Names, now: Instant) -> None:
        """Propose what differs from what was filed."""
        if self._looked_at is not None and 0 <= now - self._looked_at < _EVERY:
            return
        self._looked_at = now
        with reading(self._engine) as connection:
            settled = filings_kept.settled(connection, names.processor_by_id)
            fresh = {
                names.processor_by_id[number]: list(self._fresh(connection, names, number, one))
                for number, one in settled.items()
            }
        for processor, found in sorted(fresh.items()):
            if found:
                with self._engine.begin() as connection:
                    lock_processors(connection, [names.processor_ids[processor]])
                    _propose(connection, names, processor, found, now)

    def _fresh(
        self, connection: Connection, names: Names, number: int, settled: Settled
    ) -> Iterator[Candidate]:
        filed = filed_by(settled)
        if filed is None:
            return
        step, then = filed
        now = picture(connection, names, names.processor_by_id[number])
        query = select(_c.kind, _c.what).where(_c.processor_id == number)
        known = {(row.kind, row.what) for row in connection.execute(query)}
        told = schema.told_events.c
        recorded = select(told.reference).where(told.processor_id == number, told.kind == _ASSESSED)
        assessed = frozenset(connection.scalars(recorded))
        for one in candidates(step.id, then, now, assessed, self._far):
            if (one.kind.value, one.what) not in known:
                yield one


def _propose(
    connection: Connection,
    names: Names,
    processor: str,
    found: list[Candidate],
    now: Instant,
) -> None:
    added = [
        (number, one)
        for one in found
        if (number := _add(connection, names, processor, one, now, now, "monitor")) is not None
    ]
    if not added:
        return
    numbers = [number for number, _ in added]
    named = [
        " ".join(filter(None, (f"{number}:", one.kind.value, one.system, one.gallery)))
        for number, one in added[:_MOST_NAMED]
    ]
    more = len(added) - _MOST_NAMED
    notice = Notice(
        key=key_of(Kind.CHANGE_PROPOSED, processor, *map(str, numbers)),
        kind=Kind.CHANGE_PROPOSED,
        severity=Severity.WARNING,
        processor=processor,
        created_at=now,
        body={"change": ", ".join(named) + (f" and {more} more" if more > 0 else "")},
    )
    owing.notify(connection, notice)


def _add(
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
        body = {"change": number, "kind": one.kind.value, "at": at, "source": source, **evidence}
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
        _add(connection, names, said.processor, one, said.at, now, COMMAND)
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
    """Confirm a change, which opens its duty, or dismiss it; once. Raises NotDecided."""
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
        mark = update(schema.changes).where(_c.id == said.number, _c.decision.is_(None))
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
        if after.decision != decision:
            raise NotDecided(
                f"change {said.number} was {after.decision} by {after.by}: {after.reason}"
            )
        held = owing.find_duty(connection, names, change.processor, [CHANGE], _key(said.number))
        return after, None if held is None else held[1]


def _open(
    connection: Connection,
    names: Names,
    law: Law,
    change: Change,
    said: Verdict,
    at: Instant,
    now: Instant,
) -> None:
    rule = rule_for_trigger(law.rules, CHANGE, beijing_day(at))
    if rule is None:
        raise NotDecided(f"{CHANGE} is off, or owes nothing for {beijing_day(at)}")
    proof = terminating.proof_of(connection, names, law, change.processor, at, now)
    confirmed = {
        "event": CHANGED,
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
    owing.open_duty(connection, names, duty)
    bring_about(connection, names, law, change.processor, now)


def undecided(connection: Connection) -> int:
    """Return how many candidates wait for a person."""
    query = select(func.count()).select_from(schema.changes).where(_c.decision.is_(None))
    return connection.scalar(query) or 0


def _key(number: int) -> str:
    return f"change.{number}"


def _check_when(at: Instant, now: Instant) -> None:
    if at > now + _AHEAD:
        raise NotDecided("that is in the future; say it when it has changed")
