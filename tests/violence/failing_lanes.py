"""Lives the story while statements fail, in lanes as the crashes do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.violence.crash_driver import Lane, Tally, lane
from tests.violence.failing import KINDS, UNKNOWN, Each, One, Site, Sites


@dataclass(slots=True)
class Failures(Tally):
    """Beside the kills of none: how many statements failed, by kind."""

    failed: dict[str, int] = field(default_factory=dict)


FailingWork: TypeAlias = Callable[..., Failures]
"""Called as ``crash_driver.Work`` is."""


def each_statement(url: str | None, number: int, of: int) -> Failures:
    """Let every statement fail once, in a run for each kind of this lane."""
    found = Failures()
    with lane(url) as one:
        sites = _sites(one)
        found.points = len(sites)
        for kind in KINDS[number::of]:
            probe = Each(lambda: one.world.number, kind)
            found.wrong += [f"{kind}: {line}" for line in _lived(one, probe)]
            found.failed[kind] = len(probe.failed)
            reached = {(site.call, site.step) for site in probe.failed}
            missed = {
                (site.call, site.step)
                for site in sites
                if (site.step == "committed") == (kind == UNKNOWN)
            }
            found.wrong += [f"{kind}: never failed: {site}" for site in sorted(missed - reached)]
    return found


def single_statements(url: str | None, number: int, of: int, each: int) -> Failures:
    """Let one statement fail and no other, for every *each*-th statement and every kind."""
    found = Failures(failed=dict.fromkeys(KINDS, 0))
    with lane(url) as one:
        sites = _sites(one)
        found.points = len(sites)
        for kind in KINDS:
            fitting = [s for s in sites if (s.step == "committed") == (kind == UNKNOWN)]
            for site in fitting[::each][number::of]:
                probe = One(lambda: one.world.number, kind, site)
                found.wrong += [f"{kind} at {site}: {line}" for line in _lived(one, probe)]
                found.failed[kind] += probe.failures
                found.wrong += [] if probe.failures else [f"{kind} at {site}: never came to it"]
    return found


def _sites(one: Lane) -> list[Site]:
    sites = Sites(lambda: one.world.number)
    wrong = _lived(one, sites)
    assert wrong == []
    return list(sites.seen)


def _lived(one: Lane, probe: Sites) -> list[str]:
    one.reset()
    one.live(probe)
    return one.wrong()
