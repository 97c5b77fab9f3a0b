"""Lives the story while statements fail, in lanes as the crashes do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.violence.crash_driver import Lane, Tally, lane
from tests.violence.failing import KINDS, UNKNOWN, Each, One, Site, Sites


@dataclass(slots=True)
class Failures(Tally):
    """Beside the kills of none: how many statements failed, by kind."""

    failed: dict[str, int] = field(default_factory=dict)


# A channel that works again ends its pauses in a transaction of its own, which is not tried again:
# where its BEGIN is a statement and has failed, what follows never comes. Alone it does.
_WAKE = (
    "UPDATE deliveries SET not_before=? "
    "WHERE deliveries.channel = ? AND deliveries.sent_at IS NULL AND d"
)
_NOT_TRIED_AGAIN = {("sent", _WAKE)}

FailingWork: TypeAlias = Callable[..., Failures]
"""Called as ``crash_driver.Work`` is."""


def each_statement(url: str | None, number: int, of: int, kinds: Sequence[str]) -> Failures:
    """Let every statement fail once, in a run for each of *kinds* in this lane."""
    found = Failures()
    with lane(url, stubborn=True) as one:
        sites = _sites(one)
        found.points = len(sites)
        for kind in kinds[number::of]:
            probe = Each(lambda: one.world.number, kind)
            found.wrong += [f"{kind}: {line}" for line in _lived(one, probe)]
            found.failed[kind] = len(probe.failed)
            reached = {(site.call, _shape(site.step)) for site in probe.failed}
            missed = {
                (site.call, _shape(site.step))
                for site in sites
                if (site.step == "committed") == (kind == UNKNOWN)
            }
            missed -= reached | _NOT_TRIED_AGAIN
            found.wrong += [f"{kind}: never failed: {site}" for site in sorted(missed)]
    return found


def single_statements(url: str | None, number: int, of: int, each: int) -> Failures:
    """Let one statement fail and no other, for every *each*-th statement and every kind."""
    found = Failures(failed=dict.fromkeys(KINDS, 0))
    with lane(url, stubborn=True) as one:
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


_VALUE = re.compile(r"(?:%\(\w+\)s|%s|\?|\b\d+)(?:::\w+(?:\[\])?)?")
_VALUES = re.compile(r"\?(?:::\w+)?(?:, ?\?(?:::\w+)?)+")
_TELLING = 100


def _shape(step: str) -> str:
    """Return a statement whatever the number of its values: failures make other batches."""
    return _VALUES.sub("?", _VALUE.sub("?", step))[:_TELLING]


def _sites(one: Lane) -> list[Site]:
    sites = Sites(lambda: one.world.number)
    wrong = _lived(one, sites)
    assert wrong == []
    return list(sites.seen)


def _lived(one: Lane, probe: Sites) -> list[str]:
    one.reset()
    one.live(probe)
    return one.wrong()
