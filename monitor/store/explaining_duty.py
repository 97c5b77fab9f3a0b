"""``facetally explain`` of a duty: what opened and moved it, its steps, and every entry about it.

Facts are shown without whom they are about: kind, place, version, instants.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from monitor.chain import Entry
from monitor.duties import Duty
from monitor.facts import Instant, StorageFact, Version
from monitor.filings import CLOCKS, Judged, Settled, family
from monitor.rules import TERMINATED, Rule
from monitor.store import audit, book, filings_kept, owing, schema
from monitor.store.explaining_more import NothingToExplain, check_known
from monitor.store.names import Names
from monitor.store.versions import Basis, bases
from monitor.superseding import because, newest, superseded_by
from monitor.workdays import Calendar

_MOST = 20  # facts
_AT = ("at", "trigger_at")  # in proofs: of an event, of a number
_b = schema.book.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact without its subject, or an event that was told."""

    what: str
    at: Instant
    known_at: Instant
    version: Version | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """An entry of the audit log about the duty, with who said it and why, if a person did."""

    entry: Entry
    by: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyExplained:
    """A duty, what it was counted by, the facts of its triggers, its steps and its entries.

    *facts* are the first ones of the instant that triggered it, and of those that did before it
    was moved; *steps* are all that were told about its filing, whatever became of them.
    *superseded_by* is the duty that is owed instead, if its latch is not in force any more.
    """

    duty: Duty
    basis: Basis
    facts: Sequence[Fact]
    more_facts: int
    steps: Sequence[Judged]
    entries: Sequence[Entered]
    superseded_by: Duty | None


def explain_duty(
    connection: Connection,
    processor: str,
    rule: str,
    key: str | None,
    rules: Iterable[Rule],
    calendar: Calendar,
) -> DutyExplained:
    """Return what made the duty of *processor* under *rule*.

    Without *key* it is the newest one that is not annulled. A legacy row is found by the rule that
    it stands in for. What the duty was counted by is what held then; *rules* and *calendar*, those
    of now, stand in for what was not kept. Raises NothingToExplain.
    """
    names = Names.load(connection)
    check_known(names, processor)
    number = names.processor_ids[processor]
    mine = [schema.duties.c.processor_id == number]
    duties = [duty for _, duty in owing.read_duties(connection, names, mine)]
    of_rule = [duty for duty in duties if rule in {duty.rule, family(duty.rule)}]
    wanted = [duty for duty in of_rule if key in {None, duty.key}]
    if not wanted:
        known = ", ".join(f"{duty.rule}:{duty.key}" for duty in duties) or "none"
        raise NothingToExplain(f"{processor!r} has no such duty; there are {known}")
    duty = newest(wanted)
    settled = filings_kept.settled(connection, [number]).get(number, Settled({}, ()))
    about = _About(duty, _steps(duty, settled))
    entries = [entry for entry in audit.entries(connection) if about.hears(entry)]
    facts = [*_told(duty), *_of_book(connection, names, duty, about.instants)]
    return DutyExplained(
        duty=duty,
        basis=bases(connection, [duty], rules, calendar)[0],
        facts=facts[:_MOST],
        more_facts=max(0, len(facts) - _MOST),
        steps=about.steps,
        entries=[_entered(entry) for entry in entries],
        superseded_by=superseded_by(duty, duties),
    )


# -- facts -----------------------------------------------------------------------------------------


def _of_book(
    connection: Connection, names: Names, duty: Duty, instants: Iterable[Instant]
) -> list[Fact]:
    found = book.entries(
        connection,
        names,
        _b.processor_id == names.processor_ids[duty.processor],
        _b.at.in_(sorted(instants)),
    )
    return [
        Fact(what=_what(fact), at=fact.at, known_at=known_at, version=fact.version)
        for _, known_at, fact in found
    ]


def _told(duty: Duty) -> list[Fact]:
    """Return the event or told number that opened the duty, as its proof has it."""
    proof: Mapping[str, Any] = duty.proof
    if (number := proof.get("number")) is not None:
        what, told = f"number {number} {proof['individuals']:,}", proof["told"]
        return [Fact(what=what, at=told["at"], known_at=told["known_at"], version=None)]
    event = proof.get("event")
    if event is None:
        return []
    version = proof.get("version")
    named = ", ".join(map(str, proof.get("changed", ())))
    known_at = proof.get("known_at", duty.opened_at)
    return [
        Fact(
            what=f"{event} ({named})" if named else str(event),
            at=proof.get("at", duty.trigger_at),
            known_at=known_at,
            version=None if version is None else Version(*version),
        )
    ]


def _what(fact: StorageFact) -> str:
    place = getattr(fact, "place", None)
    where = place if place is not None else fact
    named = (getattr(where, "system", None), getattr(where, "gallery", None))
    there = "/".join(filter(None, named))
    return type(fact).__name__ + (f" in {there}" if there else "")


# -- steps and entries -----------------------------------------------------------------------------


def _steps(duty: Duty, settled: Settled) -> Sequence[Judged]:
    """Return the steps that met the duty; of a clock, those between which it ran."""
    if duty.rule in CLOCKS:
        ends = {duty.trigger_at, duty.closed_at}
        of: Mapping[str, Any] = duty.proof
        filing = (of["of"]["rule"], of["of"]["key"])
        met = (one for one in settled.judged if one.target and one.target[:2] == filing)
        return [one for one in met if one.step.at in ends]
    name = (duty.rule, duty.key)
    return [one for one in settled.judged if one.target and one.target[:2] == name]


@dataclass(slots=True)
class _About:
    """What is about one duty, and the instants that were its trigger."""

    duty: Duty
    steps: Sequence[Judged]
    instants: set[Instant] = field(init=False)
    _ids: set[str] = field(init=False)
    _of_change: object = field(init=False)

    def __post_init__(self) -> None:
        self.instants = {self.duty.trigger_at}
        self._ids = {judged.step.id for judged in self.steps}
        self._of_change = self.duty.proof.get("change")

    def hears(self, entry: Entry) -> bool:
        """Tell whether *entry* is about the duty, as it is or was; note what triggered it then."""
        if entry.processor != self.duty.processor:
            return False
        body = json.loads(entry.body)
        said = [body, *(body.get(part) for part in ("duty", "before", "after"))]
        states = [one for one in said if isinstance(one, dict) and self._names(one, "key")]
        for state in states:
            proof = state.get("proof")
            said_at = [proof.get(name) for name in _AT] if isinstance(proof, dict) else []
            self.instants |= {at for at in said_at if isinstance(at, int)}
        return bool(states) or self._is_of_step(entry, body) or self._is_of_origin(entry, body)

    def _names(self, said: Mapping[str, Any], key: str) -> bool:
        rule = said.get("rule")
        same = isinstance(rule, str) and family(rule) == family(self.duty.rule)
        return same and said.get(key) == self.duty.key

    def _is_of_step(self, entry: Entry, body: Mapping[str, Any]) -> bool:
        """Tell whether it is a step of the filing, or what a person decided about the duty."""
        if not entry.kind.startswith(("filing.", "duty.")) or "step" not in body:
            return False
        known = bool(self._ids & {body["step"], body.get("withdraws")})
        return known or self._names(body, "duty")

    def _is_of_origin(self, entry: Entry, body: Mapping[str, Any]) -> bool:
        """Tell whether it is of the change, event, number or latch that the duty is due to."""
        if entry.kind.startswith("change."):
            return self._of_change is not None and body.get("change") == self._of_change
        if entry.kind == "latch.armed":
            named = {"rule": body["rule"], "key": str(body["latch"])}
            return self._names(named, "key")
        if entry.kind == "number.told":
            told = self.duty.proof.get("told")
            of = (self.duty.proof.get("number"), told.get("at") if isinstance(told, dict) else None)
            return of == (body["name"], body["at"])
        if entry.kind not in {"event.told", "termination.told"}:
            return False
        kind = TERMINATED if entry.kind == "termination.told" else body.get("kind")
        return kind == self.duty.proof.get("event") and body.get("at") in self.instants


def _entered(entry: Entry) -> Entered:
    body = json.loads(entry.body)
    reason = body.get("reason") or because(body.get("because")) or body.get("why")
    return Entered(entry=entry, by=body.get("by"), reason=reason)
