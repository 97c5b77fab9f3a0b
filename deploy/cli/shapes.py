"""The shapes of ``--json`` answers (DESIGN section 8): other people's scripts rely on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploy.cli.common import rfc3339
from monitor.duties import Duty
from monitor.forecast import Forecast, Outlook
from monitor.forecast import as_json as forecast_json
from monitor.groups import GroupNumber
from monitor.ledger import Stock
from monitor.store.approaching import Outlooks
from monitor.store.reading import ProcessorStatus, Status, ThresholdStatus
from monitor.store.terminating_watch import still_stored
from monitor.trust import Why
from monitor.workdays import beijing_day


def status_json(
    status: Status, outlooks: Outlooks | None = None, groups: Sequence[GroupNumber] = ()
) -> dict[str, object]:
    """Return the answer of ``status --json``; *outlooks* are of now, so none are as of then."""
    against = {one.processor: one.unverified for one in status.processors}
    return {
        "processors": [_processor(one, outlooks) for one in status.processors],
        "groups": [_group(one, against) for one in groups],
        "rejected": _counts(status.rejected),
        "ignored": _counts(status.ignored),
    }


def _counts(by_reason: object) -> dict[str, object]:
    assert isinstance(by_reason, dict)  # noqa: S101 - of Status
    return {"total": sum(by_reason.values()), "by_reason": dict(sorted(by_reason.items()))}


def _processor(one: ProcessorStatus, outlooks: Outlooks | None) -> dict[str, object]:
    return {
        "processor": one.processor,
        "individuals": one.stock.individuals,
        "research_individuals": one.stock.research,
        "systems": [
            {"system": system, "individuals": individuals}
            for system, individuals in sorted(one.stock.systems.items())
        ],
        "thresholds": [
            _threshold(threshold) | _outlook((outlooks or {}).get((one.processor, threshold.rule)))
            for threshold in one.thresholds
        ],
        **unverified_json(one.unverified),
        "recount_pending": one.recount_pending,
    }


def _group(number: GroupNumber, against: Mapping[str, Sequence[Why]]) -> dict[str, object]:
    group = number.group
    return {
        "group": group.name,
        "members": list(group.members),
        "filed_by": group.filed_by,
        "individuals": number.individuals,
        "research_individuals": number.research,
        "exact": number.exact,
        "upper_bound": not number.exact,
        "namespace": number.namespace,
        "why_not_exact": number.why,
        "verified": not any(against.get(member) for member in group.members),
    }


def still_stored_json(
    duty: Duty, watched: Mapping[str, Duty], stocks: Mapping[str, Stock]
) -> dict[str, object] | None:
    """Return what is stored after the end of use, for the duty that is *watched*; else None.

    None, too, once nobody is stored any more.
    """
    stored = still_stored(stocks.get(duty.processor, Stock()))
    if watched.get(duty.processor) is not duty or not (stored.individuals or stored.research):
        return None
    return {
        "individuals": stored.individuals,
        "research_individuals": stored.research,
        "systems": [
            {"system": system, "individuals": individuals}
            for system, individuals in stored.systems.items()
        ],
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


def _outlook(found: tuple[int, Forecast] | None) -> dict[str, object]:
    if found is None:
        return {"warned_percent": None, "forecast": None}
    percent, forecast = found
    return {"warned_percent": percent or None, "forecast": dict(forecast_json(forecast))}


def outlook_words(found: Forecast) -> str:
    """Return a forecast in words."""
    last = f" and {found.last}" if found.last is not None else ", with no late end"
    match found.outlook:
        case Outlook.EXPECTED if found.last is not None:
            return f"{found.day} (between {found.first}{last})"
        case Outlook.EXPECTED:
            return f"{found.day} (from {found.first} on{last})"
        case Outlook.POSSIBLE:
            return f"possible from {found.first} on"
        case _:
            return found.outlook.value.replace("_", " ")


def reached(threshold: ThresholdStatus) -> str:
    """Return ``yes``, ``no`` or ``pending``."""
    if threshold.reach.trigger_at is None:
        return "no"
    return "pending" if threshold.reach.pending else "yes"
