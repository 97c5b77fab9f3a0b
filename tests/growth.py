"""How stocks of faces grow, day by day, from a seed: what forecasts are tried on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import TypeAlias

Growth: TypeAlias = Callable[[random.Random], Iterator[float]]

FIRST = date(2025, 3, 3)
SATURDAY = 5
LONGEST = 1_500


def linear(rng: random.Random) -> Iterator[float]:
    """About as many each day, and some who leave."""
    rate = rng.uniform(150, 900)
    while True:
        yield rng.gauss(rate, rate / 4)


def seasonal(rng: random.Random) -> Iterator[float]:
    """Enrolment on working days; at weekends only people who leave."""
    rate = rng.uniform(200, 1_200)
    day = FIRST
    while True:
        yield rng.gauss(rate, rate / 5) if day.weekday() < SATURDAY else -rng.uniform(0, rate / 20)
        day += timedelta(days=1)


def campaigns(rng: random.Random) -> Iterator[float]:
    """A little each day, and now and then a site is brought in within a week."""
    rate = rng.uniform(50, 150)
    pause, left, each = rng.randint(10, 40), 0, 0.0
    while True:
        if left:
            left -= 1
        elif pause:
            pause, each = pause - 1, 0.0
        else:
            pause, left = rng.randint(20, 60), rng.randint(3, 7)
            each = rng.uniform(4_000, 15_000) / (left + 1)
        yield rng.gauss(rate, rate / 3) + each


def slowing(rng: random.Random) -> Iterator[float]:
    """Fast at first, and ever slower, towards a number somewhat over the threshold."""
    gap, share = rng.uniform(120_000, 150_000), rng.uniform(0.004, 0.012)
    while True:
        step = gap * share
        gap -= step
        yield rng.gauss(step, step / 5)


def ramp(rng: random.Random) -> Iterator[float]:
    """Faster every week."""
    rate, faster = rng.uniform(30, 100), rng.uniform(1.002, 1.012)
    while True:
        rate = min(rate * faster, 3_000)
        yield rng.gauss(rate, rate / 4)


def stale(rng: random.Random) -> Iterator[float]:
    """As many who come as who go."""
    while True:
        yield rng.gauss(0, 40)


GROWING: Mapping[str, Growth] = {
    one.__name__: one for one in (linear, seasonal, campaigns, slowing, ramp)
}


def days(growth: Growth, seed: int, *, begin: int = 20_000) -> list[tuple[date, int]]:
    """Return the number at the end of each day, up to the one on which it is 100,000."""
    rng = random.Random(seed)
    number, found = begin, list[tuple[date, int]]()
    for count, step in enumerate(growth(rng)):
        number = max(0, number + round(step))
        found.append((FIRST + timedelta(days=count), number))
        if number >= 100_000 or count >= LONGEST:
            return found
    raise AssertionError
