"""Impact assessments (Order No. 19 art. 9): which are recorded, and what recording one ends.

An assessment is an event that a person tells, with the system as its reference. A system that is
used without one owes it at once under ``frt.pipia``, if that rule is on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, select

from monitor.chain import canonical
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import Step, StepKind
from monitor.store import owing, schema
from monitor.store.filings import bring_about
from monitor.store.names import Names
from monitor.store.reopening import Before
from monitor.store.stepping import keep_step
from monitor.store.terminating import Law

PIPIA: Final = "frt.pipia"
RECORDED: Final = "assessment.recorded"
_told, _d = schema.told_events.c, schema.duties.c


def assessed(connection: Connection, number: int) -> frozenset[str]:
    """Return the systems of the processor with this *number* that have a recorded assessment."""
    query = select(_told.reference).where(_told.processor_id == number, _told.kind == RECORDED)
    return frozenset(connection.scalars(query))


def settle(
    connection: Connection,
    names: Names,
    law: Law,
    processor: str,
    told: Mapping[str, object],
    now: Instant,
) -> tuple[Duty, ...]:
    """End each open duty to assess the system that *told*, an event as it is kept, is about.

    Return those that it ended, as they are then.
    """
    mine = (_d.processor_id == names.processor_ids[processor], _d.rule == PIPIA)
    held = owing.read_duties(connection, names, [*mine, _d.closed_at.is_(None)])
    ended = {row: duty for row, duty in held if _system(duty.proof) == told["reference"]}
    before = Before(connection, names, processor)
    for duty in ended.values():
        for kind in (StepKind.SUBMITTED, StepKind.COMPLETED):
            step = _step(duty, kind, told, now)
            if kind is StepKind.COMPLETED or kind in duty.life.legal:
                keep_step(connection, names, processor, step)
    if not ended:
        return ()
    bring_about(connection, names, law, before, now)
    after = owing.read_duties(connection, names, [_d.id.in_(list(ended))])
    return tuple(duty for _, duty in after)


def _system(proof: Mapping[str, object]) -> object:
    evidence = proof.get("evidence")
    return evidence.get("system") if isinstance(evidence, dict) else proof.get("reference")


def _step(duty: Duty, kind: StepKind, told: Mapping[str, object], now: Instant) -> Step:
    said = [kind, duty.rule, duty.key, told["reference"], told["at"], told["known_at"]]
    digest = hashlib.blake2b(canonical({"assessed": said}).encode(), digest_size=16)
    submitted = duty.life.submitted_at
    assessed_at = told["at"]
    assert isinstance(assessed_at, int)  # noqa: S101 - an instant
    return Step(
        id=f"assessed:{digest.hexdigest()}",
        kind=kind,
        # Made before anybody knew that it was missing, it meets the duty on its first instant.
        at=max(assessed_at, duty.trigger_at, submitted or 0),
        known_at=now,
        source="command",
        rule=duty.rule,
        duty=duty.key,
        by=str(told["by"]),
        reason=str(told["reason"]),
        detail={"assessed_at": assessed_at},
    )
