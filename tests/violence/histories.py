"""Histories by the million, by hand: ``python -m tests.violence.histories --help``.

With ``--number`` one history is run again, folded and kept, and told fact by fact; what fails is
shrunk and printed as a test to paste. Without it ``--count`` histories are run, as
``test_histories.py`` does.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from random import Random

from tests.figures import report
from tests.violence.histories_making import history
from tests.violence.histories_running import (
    Outcome,
    Shares,
    checker,
    failed,
    fast_directory,
    run,
)
from tests.violence.histories_shrinking import source

IN_FULL = Shares(kept_every=100, brute_every=20)


def main() -> int:
    """Run what the arguments ask for; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="the base seed of the run")
    parser.add_argument("--number", type=int, help="run this one history again")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many to run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--nice", type=int, default=10)
    asked = parser.parse_args()
    if asked.number is not None:
        return one(asked.seed, asked.number)
    started = time.monotonic()
    done = run(
        asked.seed,
        asked.count,
        IN_FULL,
        processes=asked.processes,
        nice=asked.nice,
        told=progress(started),
    )
    tell(done, asked.seed, time.monotonic() - started, "histories, in process")
    for failure in done.failures:
        say(f"history {failure.number} of seed {asked.seed}, {failure.way}:\n{failure.test}")
    return 1 if done.failures else 0


def progress(started: float) -> Callable[[Outcome], None]:
    """Return what says how far a run is that began at *started*, every ten thousand histories."""

    def told(so_far: Outcome) -> None:
        if so_far.histories % 10_000 == 0:
            rate = so_far.histories / (time.monotonic() - started)
            say(f"{so_far.histories} histories, {so_far.kept} kept, {rate:.0f} a second")

    return told


def one(base: int, number: int) -> int:
    """Run history *number* of *base* both ways and say what is wrong with it."""
    facts = history(base + number)
    say("\n".join(map(source, facts)))
    wrong = False
    with fast_directory() as directory:
        for way in ("folded", "kept"):
            with checker(way, directory) as check:
                found = check(facts, Random(base + number))
            say(f"{way}: {'right' if not found else 'WRONG'}")
            if found:
                wrong = True
                say(failed(base, number, way, directory).test)
    return 1 if wrong else 0


def tell(done: Outcome, seed: int, seconds: float, name: str) -> None:
    """Report what was done under *name*."""
    shares = {trait: round(done.share(trait), 3) for trait in sorted(done.traits)}
    report(
        name,
        seed=seed,
        histories=done.histories,
        facts=done.facts,
        through_sqlite=done.kept,
        by_brute_force=done.by_brute_force,
        failures=len(done.failures),
        seconds=round(seconds, 1),
        histories_per_second=round(done.histories / seconds, 1),
        **{f"share: {trait}": share for trait, share in shares.items()},
    )


def say(text: str) -> None:
    """Say something to whoever watches."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
