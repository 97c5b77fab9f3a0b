"""The number as it was: as-of stock, and the first instant of a reach. Pure folds of the book.

The stock as of t is the fold of the facts with ``at <= t``, evaluated after all facts of one
instant (DESIGN section 3). Deletions take effect for good by their version, but only from their
own instant on, so a number that existed only in event time is found too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from monitor.facts import Instant, Place, StorageFact
from monitor.ledger import Ledger

_AT = attrgetter("at")


class Point(NamedTuple):
    """The statutory number of one processor from *at* on, until the next point."""

    at: Instant
    individuals: int


@dataclass(frozen=True, slots=True)
class History:
    """What a sweep over all facts of a processor found."""

    peak: int  # the highest number that ever was
    last_at: Instant | None  # the newest instant of any fact
    reaches: dict[int, Point | None]  # by threshold


def as_of(
    facts: Iterable[StorageFact], instant: Instant, research: Callable[[Place], bool]
) -> Ledger:
    """Return the settled ledger of what had happened by *instant*, as we know it now."""
    ledger = Ledger(research)
    ledger.apply_all(fact for fact in facts if fact.at <= instant)
    return ledger


def curve(
    facts: Iterable[StorageFact], processor: str, research: Callable[[Place], bool]
) -> Iterator[Point]:
    """Yield the number of *processor* after each instant of *facts*, oldest first."""
    ledger = Ledger(research)
    for at, together in groupby(sorted(facts, key=_AT), key=_AT):
        ledger.apply_all(together)
        stock = ledger.stock.get(processor)
        yield Point(at, stock.individuals if stock else 0)


def first_reach(
    points: Iterable[Point], at_least: int, after: Instant | None = None
) -> Point | None:
    """Return the first point at or over *at_least*; the law says reaches, so equal counts.

    With *after* (a completed cancellation or an annulled reach) it is the first later point at
    which the number passes from below.
    """
    below = True
    for point in points:
        over = point.individuals >= at_least
        if over and below and (after is None or point.at > after):
            return point
        below = not over
    return None


def look_back(
    facts: Iterable[StorageFact],
    processor: str,
    thresholds: Iterable[tuple[int, Instant | None]],
    research: Callable[[Place], bool],
) -> History:
    """Sweep all *facts* that can move the number of *processor* once, oldest first.

    *thresholds* are pairs of a number and the instant after which its reach is wanted.
    """
    points = list(curve(facts, processor, research))
    return History(
        peak=max((point.individuals for point in points), default=0),
        last_at=points[-1].at if points else None,
        reaches={n: first_reach(points, n, after) for n, after in thresholds},
    )
