"""Steps of filings as they are told: what an event says, and each kept once with its audit entry.

What they mean for duties is brought about afterwards (``filings.bring_about``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from monitor.chain import canonical
from monitor.facts import Filed, Instant
from monitor.filings import Step, StepKind, family
from monitor.store import audit, filings_kept
from monitor.store.names import Names

OF_FILINGS: Final = frozenset(
    {
        StepKind.SUBMITTED,
        StepKind.RETURNED,
        StepKind.COMPLETED,
        StepKind.FAILED,
        StepKind.TERMINATED,
    }
)
"""What happens to a filing; the other kinds are decisions about a duty."""


def keep_step(connection: Connection, names: Names, processor: str, step: Step) -> bool:
    """Add *step* with its audit entry; return False if it was known."""
    if not filings_kept.append(connection, names.processor_ids[processor], step):
        return False
    what = "filing" if step.kind in OF_FILINGS else "duty"
    body = {
        "step": step.id,
        "rule": step.rule,
        "duty": step.duty,
        "at": step.at,
        "by": step.by,
        "reason": step.reason,
        "reference": step.reference,
        "withdraws": step.withdraws,
        "source": step.source,
        **{name: value for name, value in step.detail.items() if name != "places"},
    }
    audit.append(connection, step.known_at, f"{what}.{step.kind}", processor, body)
    return True


def told_step(fact: Filed, topic: str, known_at: Instant, filed: Mapping[str, object]) -> Step:
    """Return the step that an event tells: the same event is the same step, whoever reads it.

    *filed* is what a submission is taken to have said.
    """
    parts = [fact.kind, fact.rule, fact.duty, fact.reference, *fact.version]
    digest = hashlib.blake2b(canonical({"event": parts}).encode(), digest_size=16)
    return Step(
        id=f"event:{digest.hexdigest()}",
        kind=StepKind(fact.kind),
        at=fact.at,
        known_at=known_at,
        source=topic,
        rule=None if fact.rule is None else family(fact.rule),
        duty=fact.duty,
        reference=fact.reference,
        detail={**(filed if fact.kind == StepKind.SUBMITTED else {}), **_sequence(fact)},
    )


def _sequence(fact: Filed) -> dict[str, object]:
    """Return the producer's number of the event: it orders what happened at one instant."""
    version = fact.version
    return {"sequence": version.middle} if version.middle else {}
