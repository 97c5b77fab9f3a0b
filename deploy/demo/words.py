"""What is seen, in words: the same for the live view and for plain lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from deploy.cli.common import rfc3339
from deploy.cli.telling import trust_of
from deploy.demo.receiver import Received
from deploy.demo.seen import DutySeen
from monitor.notices import Kind
from monitor.store.reading import ProcessorStatus, ThresholdStatus
from monitor.store.showing import Told

_SHORT = 12


def watched(one: ProcessorStatus) -> ThresholdStatus | None:
    """Return the threshold that the view draws: the lowest one."""
    return min(one.thresholds, key=lambda threshold: threshold.at_least, default=None)


def trust(one: ProcessorStatus) -> str:
    """Return how far the number of a processor is sure."""
    if one.unverified:
        return trust_of(one.unverified)
    return "looking back" if one.recount_pending else "verified"


def due(duty: DutySeen) -> str:
    """Return by when, and what is not certain about it."""
    if duty.due_between is None:
        return f"{duty.due_day}"
    first, last = duty.due_between
    return f"{first} .. {last} (provisional: a calendar is not published yet)"


def left(duty: DutySeen) -> str:
    """Return how many working days are left."""
    return "" if duty.working_days_left is None else f"{duty.working_days_left} working days left"


def proof(duty: DutySeen) -> str:
    """Return what established the duty."""
    at = rfc3339(duty.trigger_at)
    unsure = "" if duty.verified else " (UNVERIFIED then)"
    if duty.at_least is None:
        return f"FR use ended at {at}; {duty.individuals or 0:,} individuals stored then{unsure}"
    return f"{duty.individuals or 0:,} individuals >= {duty.at_least:,} at {at}{unsure}"


def still_stored(duty: DutySeen, processors: Iterable[ProcessorStatus]) -> str:
    """Return what is still to be disposed of, for a duty to cancel."""
    if not duty.rule.startswith("frt.cancel"):
        return ""
    one = next((p for p in processors if p.processor == duty.processor), None)
    if one is None:
        return "still stored: 0"
    unsure = f" ({trust_of(one.unverified)})" if one.unverified else ""
    return f"still stored: {one.stock.individuals:,}{unsure}"


def audit_of(duty: DutySeen, told: Sequence[Told]) -> str:
    """Return the audit entry that opened the duty, as its notice has it."""
    for one in told:
        if (one.kind, one.processor, one.rule) == (Kind.DUTY_OPENED, duty.processor, duty.rule):
            return short(str(one.body.get("audit_head", "")))
    return ""


def delivered(one: Told, received: Mapping[str, Received]) -> str:
    """Return how far a notice has got on its channel; the receiver's word counts for a webhook."""
    if one.channel == "webhook":
        if one.key in received:
            return "received by the webhook, signature verified"
        return "sent to the webhook" if one.sent_at else f"on its way, attempt {one.attempts}"
    if one.sent_at is None:
        return f"on its way to the {one.channel}"
    return f"in the {one.channel}"


def rejected(by_reason: Mapping[str, int]) -> str:
    """Return the number of rejects with their reasons."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(by_reason.items()))
    return f"{sum(by_reason.values())} rejected" + (f" ({reasons})" if reasons else "")


def short(digest: str) -> str:
    """Return the beginning of a long hash or key."""
    return digest if len(digest) <= _SHORT else f"{digest[:_SHORT]}…"
