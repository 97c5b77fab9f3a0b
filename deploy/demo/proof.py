"""The end of the demo: what was counted against what truly is, and what ``verify`` finds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from deploy.cli.common import rfc3339
from deploy.demo import words
from deploy.demo.estate import Site
from deploy.demo.happenings import Happening, Truth
from deploy.wiring import Monitor
from monitor.store.engine import reading
from monitor.store.reading import ProcessorStatus
from monitor.store.verifying import verify


class Check(NamedTuple):
    """One thing that was compared."""

    what: str
    holds: bool
    detail: str


def compared(
    processors: Iterable[ProcessorStatus], sent: Mapping[Site, Sequence[Happening]]
) -> list[Check]:
    """Compare each processor with the truth about what was sent of it."""
    counted = {one.processor: one for one in processors}
    return [
        check
        for site, happenings in sent.items()
        if happenings
        for check in _site(site, happenings, counted.get(site.processor))
    ]


def _site(site: Site, happenings: Sequence[Happening], one: ProcessorStatus | None) -> list[Check]:
    if one is None:
        return [Check(site.processor, holds=False, detail="is not in the ledger")]
    threshold = words.watched(one)
    truth = Truth.of(happenings, site.research, threshold.at_least if threshold else 0)
    systems = {name: stored for name, stored in one.stock.systems.items() if stored}
    ours = (one.stock.individuals, one.stock.research)
    true = (truth.individuals, truth.research_individuals)
    checks = [
        _equal(f"{site.processor}: individuals, and research apart", ours, true),
        Check(
            f"{site.processor}: each of its systems",
            systems == truth.systems(),
            f"{len(systems)} systems",
        ),
    ]
    if threshold is not None and truth.reached_at is not None:
        at = rfc3339(threshold.reach.trigger_at), rfc3339(truth.reached_at)
        checks.append(_equal(f"{site.processor}: instant of {threshold.rule}", *at))
    return checks


def _equal(what: str, ours: object, true: object) -> Check:
    if ours == true:
        return Check(what, holds=True, detail=f"ledger {_said(ours)} = truth {_said(true)}")
    return Check(what, holds=False, detail=f"ledger {_said(ours)}, truth {_said(true)}")


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " + ".join(f"{number:,}" for number in value)
    return str(value)


def verified(monitor: Monitor) -> list[Check]:
    """Return what ``facetally verify`` finds."""
    with reading(monitor.engine) as connection:
        found = verify(connection, monitor.settings.marks, monitor.settings.rules)
    return [Check(f"verify: {one.check}", one.holds, one.detail) for one in found]
