"""Many histories, in several processes: what was done, what was in them, and what failed.

History *number* of a run has the seed *base + number*, for itself and for its deliveries, so that
any one can be run again alone (``python -m tests.violence.histories --seed BASE --number N``).
Every history is folded in memory; every ``kept_every``-th also goes through the real ``SqlKeeper``
on SQLite; the truth of every ``brute_every``-th is held against the brute force of
``tests/oracle.py``. A share of the histories is looked into for what they are full of.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random

from monitor.facts import StorageFact
from tests.integration.store_kit import sqlite_engine
from tests.violence import histories_folding as folding
from tests.violence import histories_keeping as keeping
from tests.violence.histories_making import history
from tests.violence.histories_shares import traits
from tests.violence.histories_shrinking import reproduction, smallest
from tests.violence.histories_truth import truth

_PIECE = 250  # histories that a process takes at once
_TRIES = 8  # a smaller history is delivered otherwise: look for a delivery that fails, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Every how manieth history is also kept, held against brute force, and looked into."""

    kept_every: int
    brute_every: int
    looked_every: int = 10


@dataclass(slots=True)
class Failure:
    """A history that came out wrong, and the smallest test that shows it."""

    number: int
    way: str
    found: list[str]
    test: str


@dataclass(slots=True)
class Outcome:
    """What was done."""

    histories: int = 0
    facts: int = 0
    kept: int = 0
    by_brute_force: int = 0
    looked_into: int = 0
    traits: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Count what another process did, too."""
        self.histories += other.histories
        self.facts += other.facts
        self.kept += other.kept
        self.by_brute_force += other.by_brute_force
        self.looked_into += other.looked_into
        self.traits += other.traits
        self.failures += other.failures

    def share(self, trait: str) -> float:
        """Return the share of the histories looked into that have *trait*."""
        return self.traits[trait] / max(1, self.looked_into)


@contextmanager
def fast_directory() -> Iterator[Path]:
    """Yield a directory in memory if there is one: what is tested here is no disk."""
    memory = Path("/dev/shm")  # noqa: S108 - only as the parent of a directory of our own
    parent = memory if os.access(memory, os.W_OK) else None
    made = Path(tempfile.mkdtemp(prefix="facetally-histories-", dir=parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def run(
    base: int,
    count: int,
    shares: Shares,
    *,
    processes: int = 2,
    nice: int = 0,
    told: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Run the histories 0 to *count* of *base*; stop early where one fails.

    *told* is called with what was done so far whenever a piece is ready.
    """
    total = Outcome()
    with (
        fast_directory() as directory,
        ProcessPoolExecutor(
            processes,
            mp_context=get_context("spawn"),
            initializer=_begin,
            initargs=(directory, nice),
        ) as pool,
    ):
        pieces = iter(range(0, count, _PIECE))
        busy: set[Future[Outcome]] = set()
        while True:
            while len(busy) < 2 * processes and not total.failures:
                first = next(pieces, None)
                if first is None:
                    break
                numbers = range(first, min(count, first + _PIECE))
                busy.add(pool.submit(_piece, base, numbers, shares))
            if not busy:
                return total
            ready, busy = wait(busy, return_when=FIRST_COMPLETED)
            for piece in ready:
                total.add(piece.result())
                told(total)


_directory = Path()


def _begin(directory: Path, nice: int) -> None:
    global _directory  # noqa: PLW0603 - what a process of the pool is told once
    _directory = directory
    os.nice(nice)


def _piece(base: int, numbers: Sequence[int], shares: Shares) -> Outcome:
    done = Outcome()
    for number in numbers:
        failure = _fold(base, number, shares, done)
        if failure is not None:
            done.failures.append(failure)
            return done
    kept = [number for number in numbers if number % shares.kept_every == 0]
    if kept:
        with sqlite_engine(_directory, f"of-{os.getpid()}") as engine:
            for number in kept:
                done.kept += 1
                wrong = keeping.wrong_of(engine, base + number)
                if wrong:
                    done.failures.append(failed(base, number, "kept", _directory))
                    return done
    return done


def _fold(base: int, number: int, shares: Shares, done: Outcome) -> Failure | None:
    seed = base + number
    facts = history(seed)
    said = truth(facts)
    done.histories += 1
    done.facts += len(facts)
    if number % shares.looked_every == 0:
        done.looked_into += 1
        done.traits += traits(facts, said, Random(seed))
    if number % shares.brute_every == 0:
        done.by_brute_force += 1
        wrong = folding.wrong_truth(facts, said)
        if wrong:
            return Failure(number, "brute force", wrong, "\n".join(map(repr, facts)))
    if folding.wrong(facts, Random(seed), said):
        return failed(base, number, "folded", _directory)
    return None


def failed(base: int, number: int, way: str, directory: Path) -> Failure:
    """Return the failure of a history, shrunk; *way* is ``folded`` or ``kept``."""
    facts = history(base + number)
    with checker(way, directory) as check:
        least = smallest(facts, lambda some: _seed_of(check, base + number, some) is not None)
        seed = _seed_of(check, base + number, least)
        found = check(least, Random(base + number if seed is None else seed))
    return Failure(number, way, found, reproduction(least, way, seed or 0, found))


Check = Callable[[Sequence[StorageFact], Random], list[str]]


@contextmanager
def checker(way: str, directory: Path) -> Iterator[Check]:
    """Yield what tells what is wrong with a history that goes this *way*."""
    if way == "folded":
        yield folding.wrong
        return
    with sqlite_engine(directory, f"one-{os.getpid()}") as engine:
        yield lambda facts, rnd: keeping.wrong(engine, facts, rnd)


def _seed_of(check: Check, first: int, facts: Sequence[StorageFact]) -> int | None:
    """Return a seed by whose deliveries *facts* fail, if there is one near."""
    return next((s for s in range(first, first + _TRIES) if check(facts, Random(s))), None)
