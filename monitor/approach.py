"""Early warnings: a number on its way to a threshold passes shares of it, each told once. Pure.

A level is a share of the threshold in per cent. It is passed when the number is at or over it, and
armed again only when the number has fallen below a lower bound, so that a number that goes to and
fro around a level is told once. Once the threshold itself is reached the duty speaks instead.

Nor need a number pass any share to come near: that it is forecast to reach the threshold within the
time that an impact assessment takes is told, too, once, as a level of its own (``AHEAD``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from monitor.facts import Instant
from monitor.forecast import Forecast, Outlook

AHEAD = 0
"""In the place of a share: the forecast, which passes when its first day is within the lead."""

LEAD_DAYS = 60
"""How long before the earliest trigger day it is told: two months for the impact assessment."""

_FAR_DAYS = 90
_QUIET: Instant = 30 * 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """At which *percent* of a threshold to warn, ascending.

    A level is armed again below the share that is *rearm* points lower. Raises ValueError.
    """

    percent: tuple[int, ...] = (80, 90, 95)
    rearm: int = 5

    def __post_init__(self) -> None:
        if any(not 1 <= one <= 99 for one in self.percent):  # noqa: PLR2004 - per cent
            raise ValueError("a level is 1 to 99 per cent of the threshold")
        if list(self.percent) != sorted(set(self.percent)):
            raise ValueError("levels ascend, each is there once")
        if self.rearm < 1:
            raise ValueError("a level is armed again at least 1 point lower")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approach:
    """How one level of one threshold stands; without *seen_at* it is armed.

    *newest_at* is the newest instant of the facts that the number was made of when it was first
    seen at or over the level: when those who could still take it back have passed it, the level
    is told. *seen_no* is the moment of that first sight, which its keeper gives it: instants are
    shown, moments compared. *passes* counts how often it was told.
    """

    percent: int
    passes: int = 0
    seen_at: Instant | None = None
    seen_no: int | None = None
    newest_at: Instant | None = None
    told_at: Instant | None = None

    @property
    def waiting(self) -> bool:
        """Seen at or over the level, and not told yet."""
        return self.seen_at is not None and self.told_at is None


def bound(percent: int, at_least: int) -> int:
    """Return the smallest number that is *percent* of *at_least* or more."""
    return -(-percent * at_least // 100)


def seen(
    level: Approach,
    individuals: int,
    at_least: int,
    rearm: int,
    *,
    newest_at: Instant,
    now: Instant,
) -> Approach:
    """Return how *level* stands once *individuals* were seen at *now*."""
    if individuals >= bound(level.percent, at_least):
        return level if level.seen_at is not None else _over(level, newest_at, now)
    # What was never told was never more than a number in passing: nothing to wait for.
    if level.waiting or individuals < bound(max(0, level.percent - rearm), at_least):
        return replace(level, seen_at=None, seen_no=None, newest_at=None, told_at=None)
    return level


def near(found: Forecast) -> bool | None:
    """Tell whether the threshold may be reached within the lead; None: neither that nor far off."""
    if found.first is None:
        return None if found.outlook is Outlook.TOO_LITTLE_HISTORY else False
    away = (found.first - found.today).days
    if away <= LEAD_DAYS:
        return True
    return False if away > _FAR_DAYS else None


def ahead(level: Approach, *, near: bool | None, newest_at: Instant, now: Instant) -> Approach:
    """Return how the level of the forecast stands once that was found *near* at *now*.

    Told, it is not armed again within a month: a forecast goes to and fro.
    """
    if near:
        return level if level.seen_at is not None else _over(level, newest_at, now)
    quiet = level.told_at is not None and now - level.told_at < _QUIET
    if level.seen_at is None or quiet or (near is None and not level.waiting):
        return level
    return replace(level, seen_at=None, seen_no=None, newest_at=None, told_at=None)


def _over(level: Approach, newest_at: Instant, now: Instant) -> Approach:
    return replace(level, seen_at=now, newest_at=newest_at)


def told(level: Approach, now: Instant) -> Approach:
    """Return *level* as told at *now*."""
    return replace(level, told_at=now, passes=level.passes + 1)


def in_force(levels: Iterable[Approach]) -> int:
    """Return the highest level that was told and is not armed again, 0 if there is none."""
    return max((one.percent for one in levels if one.told_at is not None), default=0)
