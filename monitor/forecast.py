"""When a number will reach its threshold: a day, and the days between which it is expected. Pure.

The method, on the number at the end of each day of the latest eight weeks:

- The **expected** rate is the Theil-Sen slope: the median of the slopes between all pairs of days
  at least a week apart. One jump at either end of the weeks does not bend it; jumps that come
  again and again count as the growth that they are.
- The **band** is that of a random walk with drift over the weeks' increments (whole weeks, so that
  a weekday pattern cancels): after *h* weeks the number is expected within ``z * s * sqrt(h +
  h*h/m)`` of the line, where *s* is the standard deviation of the *m* weekly increments and *z*
  Student's quantile for 90 % on each side. The early side runs with the fastest of three rates
  (Theil-Sen, the mean of all weeks, the latest week), so that a campaign that began some days ago
  is seen at once; the late side with the slowest.
- If the later half of the weeks is faster than the earlier one, the early side goes on getting
  faster at that pace, by at most 15 % a week, for as many weeks as were seen; if it is slower, the
  late side goes on getting slower.
- Nothing is forecast from less than two weeks, for a number that does not grow, or beyond two
  years: it says so instead.

How often the band holds and how early it tells is measured by ``tests/unit/test_forecast*.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import fmean, median, stdev

WINDOW_DAYS = 56
LEAST_DAYS = 14
HORIZON_DAYS = 730
_WEEK = 7
_MOST_TURN = 1.15  # a week; beyond, a campaign began or ended, and the spread speaks for it

# Student's t, 90 % one-sided, by degrees of freedom.
_T = {1: 3.078, 2: 1.886, 3: 1.638, 4: 1.533, 5: 1.476, 6: 1.440, 7: 1.415}


class Outlook(StrEnum):
    """What can be said; a closed list."""

    REACHED = "reached"  # the number is at the threshold, or over it
    EXPECTED = "expected"  # a day, and a first one; the last one where it has one
    POSSIBLE = "possible"  # not at the present rate, but within the band
    NOT_GROWING = "not_growing"
    TOO_FAR = "too_far"  # not within two years
    TOO_LITTLE_HISTORY = "too_little_history"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The trigger day as expected on *today*, by numbers from *since* on.

    *day* is None unless ``expected``; *first* is the early end of the band, None where there is
    none; *last* is None where the band has no late end within the horizon. *per_day* is the
    expected rate.
    """

    outlook: Outlook
    today: date
    individuals: int
    at_least: int
    since: date | None = None
    per_day: float | None = None
    day: date | None = None
    first: date | None = None
    last: date | None = None


def forecast(days: Sequence[tuple[date, int]], at_least: int) -> Forecast:
    """Return when the number will be *at_least*; *days* are successive, today the last one."""
    today, individuals = days[-1]
    window = days[-WINDOW_DAYS - 1 :]
    numbers = [number for _, number in window]
    none = Forecast(
        outlook=Outlook.REACHED,
        today=today,
        individuals=individuals,
        at_least=at_least,
        since=window[0][0],
    )
    if individuals >= at_least:
        return none
    if len(numbers) <= LEAST_DAYS:
        return replace(none, outlook=Outlook.TOO_LITTLE_HISTORY)
    rate = slope(numbers)
    rated = replace(none, per_day=rate)
    early, late = _reaches(numbers, rate, at_least - individuals)
    if early is None:
        growing = rate > 0 or numbers[-1] > numbers[-1 - _WEEK]
        return replace(rated, outlook=Outlook.TOO_FAR if growing else Outlook.NOT_GROWING)
    first = today + timedelta(days=early)
    expected = _days_at(rate, at_least - individuals)
    if expected is None:
        return replace(rated, outlook=Outlook.POSSIBLE, first=first)
    day = today + timedelta(days=expected)
    return replace(
        rated,
        outlook=Outlook.EXPECTED,
        day=day,
        first=min(first, day),
        last=None if late is None else max(day, today + timedelta(days=late)),
    )


def slope(numbers: Sequence[int]) -> float:
    """Return the Theil-Sen slope a day: the median over pairs that are a week or more apart."""
    return median(
        (numbers[j] - numbers[i]) / (j - i)
        for j in range(_WEEK, len(numbers))
        for i in range(j - _WEEK + 1)
    )


def weekly(numbers: Sequence[int]) -> list[int]:
    """Return the increments of the whole weeks up to the last number, latest first."""
    return [later - earlier for later, earlier in pairwise(numbers[::-1][::_WEEK])]


def _reaches(numbers: Sequence[int], rate: float, missing: int) -> tuple[int | None, int | None]:
    """Return after how many days the band's early and late side first miss nothing any more."""
    weeks = weekly(numbers)
    mean, turn = fmean(weeks) / _WEEK, _turn(weeks)
    latest = weeks[0] / _WEEK * turn**0.5  # of today, not of the middle of the week
    spread = _T[min(len(weeks) - 1, max(_T))] * stdev(weeks)
    fast, slow = max(rate, mean, latest), min(rate, mean, latest)
    fastest = slowest = 0.0
    early = late = None
    for day in range(1, HORIZON_DAYS + 1):
        after = day / _WEEK
        turned = turn ** min(after, len(weeks))
        fastest += fast * max(1.0, turned)
        slowest += slow * min(1.0, turned)
        width = spread * math.sqrt(after + after * after / len(weeks))
        if early is None and fastest + width >= missing:
            early = day
        if slowest - width >= missing:
            late = day
            break
    # A band alone is no growth: somebody who gains and loses the same few is not forecast.
    return (early if fast > 0 else None), late


def _turn(weeks: Sequence[int]) -> float:
    """Return by how much each week is faster than the one before, from half against half."""
    half = len(weeks) // 2
    recent, before = fmean(weeks[:half]), fmean(weeks[-half:])
    if recent <= 0 or before <= 0:
        return 1.0
    ratio: float = (recent / before) ** (1 / (len(weeks) - half))
    return min(max(ratio, 1 / _MOST_TURN), _MOST_TURN)


def _days_at(rate: float, missing: int) -> int | None:
    days = missing / rate if rate > 0 else math.inf
    return math.ceil(days) if days <= HORIZON_DAYS else None


def as_json(found: Forecast) -> Mapping[str, object]:
    """Return a forecast as ``--json`` prints it; days are ``YYYY-MM-DD``."""
    return {
        "outlook": found.outlook.value,
        "today": found.today.isoformat(),
        "individuals": found.individuals,
        "at_least": found.at_least,
        "since": _day(found.since),
        "per_day": None if found.per_day is None else round(found.per_day, 1),
        "day": _day(found.day),
        "between": None if found.first is None else [_day(found.first), _day(found.last)],
    }


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
