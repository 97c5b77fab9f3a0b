"""Candidates for a material change, found: what differs from the newest completed filing.

What was filed is what was so when it was submitted, whenever that was told: a place was filed if a
face had been enrolled there by then, and the number is what a person says was filed, else that at
the end of the day before. Each candidate is dated by the book, not by when it was looked at: an
update is owed within 30 working days of the change (Order No. 19 art. 15).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, func, select

from monitor.changes import Candidate, ChangeKind, Picture, PlaceName, candidates, passed_on
from monitor.facts import Instant
from monitor.filings import CANCEL, CHANGE, FILE, Life, Settled, State, Step, StepKind, family
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import Rule
from monitor.store import book, filings_kept, history_days, owing, schema
from monitor.store.assessments import PIPIA, assessed
from monitor.store.changes import MONITOR, add, picture
from monitor.store.engine import reading
from monitor.store.filling import is_stale
from monitor.store.locks import lock_processors
from monitor.store.names import Names, ScopeKind
from monitor.workdays import beijing_day, overdue_from

_EVERY: Instant = 60_000_000
_LONGEST: Instant = 3_600_000_000  # that a number waits for the days that are past
_MOST_NAMED = 10
_NOTHING = Settled({}, ())
_DAY = timedelta(days=1)
_b, _p, _a = schema.book.c, schema.places.c, schema.audit.c


@dataclass(frozen=True, slots=True)
class Proposed:
    """A candidate, and since when it is so."""

    candidate: Candidate
    at: Instant


def filed_by(settled: Settled) -> Step | None:
    """Return the newest submission of a completed filing; None: none was, or it was cancelled.

    Not that of the filing completed last: an update may be answered before what it updates.
    """
    ended = [(life.taken[-1].at, target, life) for target, life in _completed(settled)]
    cancelled = max((at for at, target, _ in ended if target == CANCEL), default=None)
    filed = [
        next(one for one in reversed(life.taken) if one.kind is StepKind.SUBMITTED)
        for at, rule, life in ended
        if rule in {FILE, CHANGE} and (cancelled is None or at > cancelled)
    ]
    return max(filed, key=lambda one: (one.at, one.sequence, one.id), default=None)


def _completed(settled: Settled) -> Iterator[tuple[str, Life]]:
    for target, life in settled.lives.items():
        if life.state is State.COMPLETED:
            yield family(target.rule), life


class Proposing:
    """Looks for changes about once a minute, and tells of those that are new."""

    def __init__(self, engine: Engine, far: float, rules: Sequence[Rule] = ()) -> None:
        self._engine, self._far = engine, far
        self._minds = any(rule.id == PIPIA and rule.enabled for rule in rules)
        self._looked_at: Instant | None = None
        self._waiting_since: Instant | None = None
        self._asked = _Asked()

    def look(self, names: Names, now: Instant) -> None:
        """Propose what differs from what was filed."""
        if self._looked_at is not None and 0 <= now - self._looked_at < _EVERY:
            return
        self._looked_at = now
        with reading(self._engine) as connection:
            settled = filings_kept.settled(connection, names.processor_by_id)
            # A missing assessment is nothing that a filing has to be there for (art. 9).
            wanted = sorted(names.processor_by_id) if self._minds else sorted(settled)
            counts = bool(settled) and self._has_days(connection, now)
            fresh = {
                names.processor_by_id[number]: _Look(
                    connection, names, number, settled.get(number, _NOTHING), now
                ).fresh(self._far, self._asked, minds=self._minds, counts=counts)
                for number in wanted
            }
        for processor, found in sorted(fresh.items()):
            if found:
                with self._engine.begin() as connection:
                    lock_processors(connection, [names.processor_ids[processor]])
                    _propose(connection, names, processor, found, now)

    def _has_days(self, connection: Connection, now: Instant) -> bool:
        """Tell whether numbers can be dated by their days: not before those past are filled in.

        Where facts of the past keep coming in they never all are; so it does not wait for long.
        """
        if not is_stale(connection, now):
            self._waiting_since = None
            return True
        if self._waiting_since is None:
            self._waiting_since = now
        return now - self._waiting_since >= _LONGEST


@dataclass(slots=True)
class _Asked:
    """What the book was asked before, as it is only added to: it can be long."""

    # Of a submission: which places a face had been enrolled in by then.
    there: dict[tuple[int, str], dict[PlaceName, bool]] = field(default_factory=dict)
    # Up to which entry no enrolment was found of what a candidate is about.
    none_up_to: dict[tuple[int, str], int] = field(default_factory=dict)


class _Look:
    """One look at one processor."""

    def __init__(
        self, connection: Connection, names: Names, number: int, settled: Settled, now: Instant
    ) -> None:
        self._connection, self._names, self._now = connection, names, now
        self._number, self._processor = number, names.processor_by_id[number]
        self._step = filed_by(settled)

    def fresh(self, far: float, asked: _Asked, *, minds: bool, counts: bool) -> list[Proposed]:
        """Return the candidates that are not known; those about the number only if it *counts*."""
        if self._step is None and not minds:
            return []
        now = picture(self._connection, self._names, self._processor)
        has = assessed(self._connection, self._number)
        if self._step is None:
            found = candidates(None, now, now, has, far)
        else:
            known = asked.there.setdefault((self._number, self._step.id), {})
            filed = self._filed(self._step, now, known)
            found = candidates(self._step.id, filed, now, has, far)
        table = schema.changes.c
        query = select(table.kind, table.what).where(table.processor_id == self._number)
        told = {(row.kind, row.what) for row in self._connection.execute(query)}
        new = (
            one
            for one in found
            if (one.kind.value, one.what) not in told
            and (counts or one.kind is not ChangeKind.NUMBER)
        )
        dated = (self._dated(one, now, far, asked, told) for one in new)
        return [one for one in dated if one is not None]

    # -- what was filed --------------------------------------------------------------------

    def _filed(self, step: Step, now: Picture, known: dict[PlaceName, bool]) -> Picture:
        """Return what *step* submitted, by all that is known today of that time."""
        detail: Mapping[str, Any] = step.detail
        marks = {(system, gallery): mark for system, gallery, mark in detail["places"]}
        for place in now.places:
            if place not in known:
                known[place] = self._was_there(place, step.at)
        places = {place: marks.get(place, mark) for place, mark in now.places.items()}
        return Picture(
            individuals=self._number_filed(step, detail),
            places={place: mark for place, mark in places.items() if known[place]},
        )

    def _was_there(self, place: PlaceName, at: Instant) -> bool:
        """Tell whether a face had been enrolled in *place* by *at*."""
        query = select(_b.id).where(
            _b.place_id.in_(self._ids([place])), _b.kind == book.ENROLLED, _b.at <= at
        )
        return self._connection.execute(query.limit(1)).first() is not None

    def _number_filed(self, step: Step, detail: Mapping[str, Any]) -> int:
        individuals: int = detail["individuals"]
        day = beijing_day(step.at)
        if detail.get("said") or day == beijing_day(step.known_at):
            return individuals
        days = self._days(day)
        noted = [number for one, number in days.items() if one < day]
        # Filed on the first day of all, it is that day's; where no day is noted, that of now.
        return noted[-1] if noted else days.get(day, individuals)

    def _days(self, since: date) -> dict[date, int]:
        return history_days.read(self._connection, self._number, since)

    # -- since when ------------------------------------------------------------------------

    def _dated(
        self,
        one: Candidate,
        now: Picture,
        far: float,
        asked: _Asked,
        told: Collection[tuple[str, str]],
    ) -> Proposed | None:
        if one.kind is ChangeKind.NUMBER:
            return self._number_since(one, far, told)
        if one.kind is ChangeKind.PURPOSE:
            return Proposed(one, self._marked_at(one))
        return self._enrolled_since(one, now, asked)

    def _number_since(
        self, one: Candidate, far: float, told: Collection[tuple[str, str]]
    ) -> Proposed:
        """Date *one* by the day on which the number got further than was told, as it was noted."""
        assert self._step is not None  # noqa: S101 - else there is no number to compare with
        filing, _, away = one.what.rpartition(":")
        sign, times = away[0], int(away[1:])
        while times > 1 and (one.kind.value, f"{filing}:{sign}{times - 1}") not in told:
            times -= 1
        filed, first = one.evidence["filed"], beijing_day(self._step.at)
        assert isinstance(filed, int)  # noqa: S101 - of ``candidates``
        noted = ((day, number) for day, number in self._days(first).items() if day >= first)
        day = passed_on(filed, int(f"{sign}{times}"), noted, far)
        if day is None:
            return Proposed(one, self._now)
        dated = replace(one, evidence={**one.evidence, "passed_on": day.isoformat()})
        return Proposed(dated, min(max(overdue_from(day - _DAY), self._step.at), self._now))

    def _marked_at(self, one: Candidate) -> Instant:
        """Return when its mark was changed, or now."""
        query = select(_a.at, _a.body).where(
            _a.kind == "purpose.changed", _a.processor == self._processor
        )
        for row in self._connection.execute(query.order_by(_a.seq.desc())):
            body = json.loads(row.body)
            if (body["system"], body["gallery"]) == (one.system, one.gallery):
                at: Instant = row.at
                return at
        return self._now

    def _enrolled_since(self, one: Candidate, now: Picture, asked: _Asked) -> Proposed | None:
        """Date *one* by the first enrolment in its place; None: there is none."""
        places = [
            place
            for place, research in now.places.items()
            if place[0] == one.system and one.gallery in {None, place[1]} and not research
        ]
        key = (self._number, repr((one.system, one.gallery)))
        newest = self._connection.scalar(select(func.max(_b.id))) or 0
        where = (
            _b.place_id.in_(self._ids(places)),
            _b.kind == book.ENROLLED,
            _b.id > asked.none_up_to.get(key, 0),
        )
        at: Instant | None = self._connection.scalar(select(func.min(_b.at)).where(*where))
        if at is None:
            asked.none_up_to[key] = newest
            return None
        evidence = {**one.evidence, "first_enrolment_at": at}
        return Proposed(replace(one, evidence=evidence), at)

    def _ids(self, places: Collection[PlaceName]) -> list[int]:
        mine = (_p.processor_id == self._number, _p.scope == ScopeKind.GALLERY)
        rows = self._connection.execute(select(_p.id, _p.system, _p.gallery).where(*mine))
        return [row.id for row in rows if (row.system, row.gallery) in places]


def _propose(
    connection: Connection,
    names: Names,
    processor: str,
    found: Sequence[Proposed],
    now: Instant,
) -> None:
    added = [
        (number, one.candidate)
        for one in found
        if (number := add(connection, names, processor, one.candidate, one.at, now, MONITOR))
        is not None
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
