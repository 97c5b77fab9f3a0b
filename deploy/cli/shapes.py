"""The shapes of ``--json`` answers (DESIGN section 8): other people's scripts rely on them."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.cli.common import rfc3339
from monitor.store.reading import ProcessorStatus, Status, ThresholdStatus
from monitor.trust import Why
from monitor.workdays import beijing_day


def status_json(status: Status) -> dict[str, object]:
    """Return the answer of ``status --json``."""
    return {
        "processors": [_processor(one) for one in status.processors],
        "rejected": _counts(status.rejected),
        "ignored": _counts(status.ignored),
    }


def _counts(by_reason: object) -> dict[str, object]:
    assert isinstance(by_reason, dict)  # noqa: S101 - of Status
    return {"total": sum(by_reason.values()), "by_reason": dict(sorted(by_reason.items()))}


def _processor(one: ProcessorStatus) -> dict[str, object]:
    return {
        "processor": one.processor,
        "individuals": one.stock.individuals,
        "research_individuals": one.stock.research,
        "systems": [
            {"system": system, "individuals": individuals}
            for system, individuals in sorted(one.stock.systems.items())
        ],
        "thresholds": [_threshold(threshold) for threshold in one.thresholds],
        **unverified_json(one.unverified),
        "recount_pending": one.recount_pending,
    }


def unverified_json(whys: Sequence[Why]) -> dict[str, object]:
    """Return what stands beside every number: whether it is verified, and what is against it."""
    return {
        "verified": not whys,
        "unverified": [
            {
                "reason": why.reason.value,
                "topic": why.topic,
                "since": rfc3339(why.since or None),
                "way_back": why.way_back,
            }
            for why in whys
        ],
    }


def _threshold(threshold: ThresholdStatus) -> dict[str, object]:
    reach = threshold.reach
    day = None
    if reach.trigger_at is not None and reach.confirmed_at is not None:
        day = beijing_day(reach.trigger_at).isoformat()
    return {
        "rule": threshold.rule,
        "at_least": threshold.at_least,
        "reached": reached(threshold),
        "trigger_day": day,
        "not_later_than": threshold.not_later_than,
        "known_at": rfc3339(reach.first_seen_at),
    }


def reached(threshold: ThresholdStatus) -> str:
    """Return ``yes``, ``no`` or ``pending``."""
    if threshold.reach.trigger_at is None:
        return "no"
    return "pending" if threshold.reach.pending else "yes"
