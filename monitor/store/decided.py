"""Behind ``facetally verify``: steps of filings, changes and latches, against the audit log.

A duty is met by what stands in ``steps``, an update is owed by what was decided in ``changes``, and
a threshold is looked for again since what stands in ``reaches``: each row has its entries. Reads
only, within the caller's view.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, select

from monitor.chain import Entry
from monitor.facts import Instant
from monitor.filings import StepKind
from monitor.store import audit, schema
from monitor.store.changes import sealed
from monitor.store.names import Names

_Name: TypeAlias = tuple[str | None, object]
"""A processor, and what a row of its is known by."""

_DECISIONS: Final = frozenset({StepKind.ANNULLED, StepKind.REOPENED, StepKind.CORRECTED})
_STEPS: Final = {
    f"{'duty' if kind in _DECISIONS else 'filing'}.{kind}": kind.value for kind in StepKind
}
_PROPOSED: Final = "change.proposed"
_DECIDED: Final = {f"change.{decision}": decision for decision in ("confirmed", "dismissed")}
_ARMED: Final = "latch.armed"
_OF_CHANGE: Final = ("kind", "at", "source", "what")
_SEALED: Final = ("places", "places_sha256")


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is not as the log says, for a person to read, by table."""

    steps: list[str]
    changes: list[str]
    latches: list[str]


@dataclass(slots=True)
class _Told:
    """What the log says."""

    steps: dict[_Name, dict[str, Any]] = field(default_factory=dict)
    changes: dict[_Name, dict[str, Any]] = field(default_factory=dict)
    latches: dict[_Name, tuple[int, Instant | None]] = field(default_factory=dict)

    def hear(self, entry: Entry) -> None:
        """Take in one entry."""
        if entry.kind in _STEPS:
            body = json.loads(entry.body)
            if "step" in body:  # else it is what came of a decision
                said = {"kind": _STEPS[entry.kind], "known_at": entry.at}
                self.steps[entry.processor, body["step"]] = body | said
        elif entry.kind == _PROPOSED:
            body = json.loads(entry.body)
            number = body.pop("change")
            said = {name: body.pop(name, None) for name in _OF_CHANGE}
            self.changes[entry.processor, number] = said | {
                "proposed_at": entry.at,
                "evidence": body,
            }
        elif entry.kind in _DECIDED:
            body = json.loads(entry.body)
            known = self.changes.setdefault((entry.processor, body.pop("change")), {})
            known |= body | {"decision": _DECIDED[entry.kind], "decided_at": entry.at}
        elif entry.kind == _ARMED:
            body = json.loads(entry.body)
            self.latches[entry.processor, body["rule"]] = (body["latch"], body["after"])


def decided_wrong(connection: Connection, names: Names) -> Wrong:
    """Return which steps, changes and latches are not there as the audit log says."""
    told = _Told()
    for entry in audit.entries(connection):
        told.hear(entry)
    return Wrong(
        steps=sorted(_steps(connection, names, told.steps)),
        changes=sorted(_changes(connection, names, told.changes)),
        latches=sorted(_latches(connection, names, told.latches)),
    )


def _steps(
    connection: Connection, names: Names, told: dict[_Name, dict[str, Any]]
) -> Iterator[str]:
    for row in connection.execute(select(schema.steps)):
        whose = names.processor_by_id.get(row.processor_id)
        told_of = told.pop((whose, row.step), None)
        detail = _object(row.detail)
        if detail is None:
            yield f"{whose} {row.step} (not as the audit log says: detail is no JSON object)"
            continue
        places, seal = (detail.pop(name, None) for name in _SEALED)
        have = {**_columns(row), **detail}
        if seal is not None:
            have["places_sha256"] = seal if sealed(places) == seal else "of other places"
        yield from _compared(whose, row.step, have, told_of)
    for processor, step in told:
        yield f"{processor} {step} (missing)"


def _changes(
    connection: Connection, names: Names, told: dict[_Name, dict[str, Any]]
) -> Iterator[str]:
    for row in connection.execute(select(schema.changes)):
        whose = names.processor_by_id.get(row.processor_id)
        have = _columns(row) | {"evidence": _object(row.evidence)}  # None: no JSON, told by none
        yield from _compared(whose, row.id, have, told.pop((whose, row.id), None))
    for processor, number in told:
        yield f"{processor} {number} (missing)"


def _latches(
    connection: Connection, names: Names, told: dict[_Name, tuple[int, Instant | None]]
) -> Iterator[str]:
    for row in connection.execute(select(schema.reaches)):
        whose = names.processor_by_id.get(row.processor_id)
        want = told.pop((whose, row.rule), (1, None))
        if (row.latch, row.after) != want:
            yield f"{whose} {row.rule} (latch {row.latch}, the audit log says {want[0]})"
    for processor, rule in told:
        yield f"{processor} {rule} (missing)"


def _object(text: str) -> dict[str, Any] | None:
    """Return what a column of JSON says; None if that is no object, as no entry ever was."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _columns(row: Row[Any]) -> dict[str, Any]:
    """Return what a row says beyond what it is known by."""
    other = {"id", "processor_id", "detail", "evidence"}
    columns = row._mapping  # noqa: SLF001 - the documented way to a row's dict
    return {name: value for name, value in columns.items() if name not in other}


def _compared(
    processor: str | None, name: object, have: Mapping[str, Any], told: Mapping[str, Any] | None
) -> Iterator[str]:
    if told is None:
        yield f"{processor} {name} (no entry of the audit log told it)"
        return
    differ = sorted(one for one in {*have, *told} if have.get(one) != told.get(one))
    if differ:
        yield f"{processor} {name} (not as the audit log says: {', '.join(differ)})"
