"""The number as it was: as-of stock, and the first instant of a reach. Pure folds of the book.

The stock as of t is the fold of the facts with ``at <= t``, evaluated after all facts of one
instant (DESIGN section 3). Deletions take effect for good by their version, but only from their
own instant on, so a number that existed only in event time is found too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from monitor.facts import Instant, Place, StorageFact
from monitor.ledger import Ledger

_AT = attrgetter("at")

Threshold: TypeAlias = tuple[int, Instant | None]
"""A number, and the instant after which it must be passed from below; None: its first reach."""


class Point(NamedTuple):
    """The statutory number of one processor from *at* on, until the next point."""

    at: Instant
    individuals: int


@dataclass(frozen=True, slots=True)
class History:
    """What a sweep over all facts of a processor found."""

    peak: int  # the highest number that ever was
    last_at: Instant | None  # the newest instant of any fact
    reaches: Mapping[int, Point | None]  # by threshold


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
    return follow(Ledger(research), facts, processor)


def follow(ledger: Ledger, facts: Iterable[StorageFact], processor: str) -> Iterator[Point]:
    """Fold *facts* into *ledger*; yield the number of *processor* after each of their instants."""
    for at, together in groupby(sorted(facts, key=_AT), key=_AT):
        ledger.apply_all(together)
        stock = ledger.stock.get(processor)
        yield Point(at, stock.individuals if stock else 0)


class Following:
    """Peak and first reaches of a curve, noted point by point; nothing else of it is kept.

    Points come oldest first; those at which the number stays as it is may be left out. Where
    every threshold is wanted after some instant only, the peak is that since the first of these;
    what is wanted of *older* ones has no part in it.
    """

    def __init__(self, thresholds: Iterable[Threshold], older: Iterable[Threshold] = ()) -> None:
        self.peak = 0
        self.last_at: Instant | None = None
        self._passes: dict[Threshold, Point | None] = dict.fromkeys(thresholds)
        afters = [after for _, after in self._passes]
        self._passes |= dict.fromkeys(older)
        self._since = min((at for at in afters if at is not None), default=None)
        if None in afters:
            self._since = None
        self._stay(0)

    def note(self, point: Point) -> None:
        """See what *point* reaches."""
        self.last_at = point.at
        if self._since is not None and point.at <= self._since:
            self.peak = point.individuals
        else:
            self.peak = max(self.peak, point.individuals)
        if not self._floor <= point.individuals < self._ceiling:
            self._pass(point)

    def _pass(self, point: Point) -> None:
        for (at_least, after), found in self._passes.items():
            rises = self._floor < at_least <= point.individuals
            if rises and found is None and (after is None or point.at > after):
                self._passes[at_least, after] = point
        self._stay(point.individuals)

    def _stay(self, individuals: int) -> None:
        """Note between which thresholds the number is: until it leaves them nothing happens."""
        self._floor = max((n for n, _ in self._passes if n <= individuals), default=-1)
        self._ceiling = min((n for n, _ in self._passes if n > individuals), default=sys.maxsize)

    @property
    def passes(self) -> Mapping[Threshold, Point | None]:
        """The first reach of each threshold that was asked for."""
        return self._passes

    @property
    def reaches(self) -> Mapping[int, Point | None]:
        """The same by number alone: for who asks for each number once."""
        return {at_least: point for (at_least, _), point in self._passes.items()}


def noting(
    points: Iterable[Point], day_of: Callable[[Instant], int]
) -> tuple[Iterator[Point], dict[int, int]]:
    """Return *points* as they are, and the number at the end of each day, filled as they are read.

    A day on which nothing changed is absent: the number is that of the day before.
    """
    closes: dict[int, int] = {}

    def note() -> Iterator[Point]:
        for point in points:
            closes[day_of(point.at)] = point.individuals
            yield point

    return note(), closes


def first_reach(
    points: Iterable[Point], at_least: int, after: Instant | None = None
) -> Point | None:
    """Return the first point at or over *at_least*; the law says reaches, so equal counts.

    With *after* (a completed cancellation or an annulled reach) it is the first later point at
    which the number passes from below.
    """
    following = Following([(at_least, after)])
    for point in points:
        following.note(point)
    return following.reaches[at_least]


def look_back(
    facts: Iterable[StorageFact],
    processor: str,
    thresholds: Iterable[Threshold],
    research: Callable[[Place], bool],
) -> History:
    """Sweep all *facts* that can move the number of *processor* once, oldest first.

    *thresholds* are pairs of a number and the instant after which its reach is wanted.
    """
    following = Following(thresholds)
    for point in curve(facts, processor, research):
        following.note(point)
    return History(peak=following.peak, last_at=following.last_at, reaches=following.reaches)
