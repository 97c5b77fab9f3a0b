"""The steps of filings as rows, and what they come to for each duty; only ever added to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.chain import canonical
from monitor.filing_clocks import clock_life, clocks
from monitor.filings import (
    CLOCKS,
    Life,
    Settled,
    Step,
    StepKind,
    Target,
    settle,
)
from monitor.latches import SUPERSEDED
from monitor.latches import target as target_from
from monitor.store import schema
from monitor.store.engine import is_sqlite

_s, _d = schema.steps.c, schema.duties.c

DutyName: TypeAlias = tuple[int, str, str]
"""The number of the processor, the rule, the key."""


def append(connection: Connection, number: int, step: Step) -> bool:
    """Add *step* of the processor with this *number*; return False if it is there already."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    row = {
        "processor_id": number,
        "step": step.id,
        "kind": step.kind.value,
        "at": step.at,
        "known_at": step.known_at,
        "source": step.source,
        "rule": step.rule,
        "duty": step.duty,
        "by": step.by,
        "reason": step.reason,
        "reference": step.reference,
        "withdraws": step.withdraws,
        "detail": canonical(step.detail),
    }
    added = dialect.insert(schema.steps).values(row).on_conflict_do_nothing().returning(_s.id)
    return connection.execute(added).first() is not None


def read(connection: Connection, numbers: Collection[int]) -> Mapping[int, list[Step]]:
    """Return the steps of these processors, by number, in the order in which they were told."""
    found: dict[int, list[Step]] = defaultdict(list)
    query = select(schema.steps).where(_s.processor_id.in_(sorted(numbers))).order_by(_s.id)
    for row in connection.execute(query):
        found[row.processor_id].append(_step(row))
    return found


def _step(row: Any) -> Step:  # noqa: ANN401 - a row of schema.steps
    return Step(
        id=row.step,
        kind=StepKind(row.kind),
        at=row.at,
        known_at=row.known_at,
        source=row.source,
        rule=row.rule,
        duty=row.duty,
        by=row.by,
        reason=row.reason,
        reference=row.reference,
        withdraws=row.withdraws,
        detail=_detail(row.detail),
    )


def _detail(text: str) -> Mapping[str, object]:
    """Return what a step says of itself. Raises for what none of ours ever said."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError("the detail of a step is no JSON object")
    return found


def settled(connection: Connection, numbers: Collection[int]) -> Mapping[int, Settled]:
    """Return what the steps of these processors come to; those without any step are absent."""
    if not numbers:
        return {}
    steps = read(connection, numbers)
    if not steps:
        return {}
    targets: dict[int, list[Target]] = defaultdict(list)
    left: dict[int, set[Target]] = defaultdict(set)
    query = select(_d.processor_id, _d.rule, _d.key, _d.trigger_at, _d.proof, _d.annulled)
    for row in connection.execute(query.where(_d.processor_id.in_(sorted(steps)))):
        found = target_from(row.rule, row.key, row.trigger_at, json.loads(row.proof))
        targets[row.processor_id].append(found)
        if row.annulled == SUPERSEDED:
            left[row.processor_id].add(found)
    return {number: settle(targets[number], told, left[number]) for number, told in steps.items()}


def lives(connection: Connection, numbers: Collection[int]) -> Mapping[DutyName, Life]:
    """Return the life of each duty of these processors to which anything has happened."""
    found: dict[DutyName, Life] = {}
    for number, one in settled(connection, numbers).items():
        for target, life in one.lives.items():
            if target.rule in CLOCKS:
                continue  # they live by the steps of their filings
            found[number, target.rule, target.key] = life
            for clock in clocks(target, life):
                found[number, clock.rule, clock.key] = clock_life(clock)
    return found
