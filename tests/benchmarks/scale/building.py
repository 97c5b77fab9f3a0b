"""The keeping process: builds the population through the real keeper, and measures itself.

``python -m tests.benchmarks.scale.building DATABASE_URL MILESTONE...`` prints two lines of JSON
per milestone, one when exactly so many individuals are stored and one after a measured mix of
events about anybody, and one at the end; after each it waits for a line on standard input, so that
its database can be looked at. Its memory is that of a process that keeps: of the population it
holds one byte a person, all of them from the start.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.collecting import collect_seldom
from monitor.facts import StorageFact
from monitor.identity import Identity
from monitor.intake import Batch
from monitor.limits import RejectLimit
from monitor.marks import Marks
from monitor.rules import SHIPPED, stock_rules
from monitor.store.engine import open_engine
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.workdays import load_calendar
from tests.benchmarks.scale.population import Population

BATCH = 20_000  # as ``apply``, and a worker that is behind
NOW = 1_795_000_000_000_000
SPARE = 1.4  # how many people there can be for each who is stored at the last milestone


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What keeping some facts took: seconds on the clock and of the processors, bytes to disk."""

    facts: int
    seconds: float
    cpu: float
    written: int

    @property
    def each(self) -> float:
        """Microseconds a fact."""
        return self.seconds / max(1, self.facts) * 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the keeping process says of itself and of what is true."""

    stored: int
    systems: dict[str, int]
    people: int
    facts: int
    resident: int
    reached_at: dict[str, int]
    spent: Spent


class Building:
    """A population, and the keeper that its facts go through."""

    def __init__(self, database_url: str, most: int, seed: int) -> None:
        identity = Identity(os.environ["FACETALLY_SECRET"])
        policy = Policy(rules=SHIPPED, calendar=load_calendar(), marks=Marks(), limit=RejectLimit())
        self._keeper = SqlKeeper(open_engine(database_url), policy, lambda _processor: (), NOW)
        self.population = Population(int(most * SPARE), identity, seed)
        self.population.watch(*{rule.reached_at for rule in stock_rules(SHIPPED)})

    def grow(self, individuals: int) -> Said:
        """Keep facts about new people until exactly so many individuals are stored."""
        return self._said(self.keep(self.population.growing(individuals)))

    def live(self, facts: int, warm_up: int) -> Said:
        """Keep so many facts about anybody, after *warm_up* that are not measured."""
        self.keep(self.population.living(warm_up))
        return self._said(self.keep(self.population.living(facts)))

    def empty(self, system: int) -> Said:
        """Keep that one system was emptied."""
        return self._said(self.keep([self.population.emptied(system)]))

    def finish(self) -> None:
        """Recount what is due and confirm what was reached, as at the end of ``apply``."""
        self._keeper.finish(NOW)

    def keep(self, facts: Iterable[StorageFact]) -> Spent:
        """Keep *facts* in batches; the time of making them does not count."""
        count, seconds, cpu, written = 0, 0.0, 0.0, 0
        for some in _chunks(facts):
            batch = Batch(source="scale", topic="", facts=some, read_at=NOW, records=len(some))
            before, used, started = _written(), time.process_time(), time.perf_counter()
            self._keeper.keep([batch])
            seconds += time.perf_counter() - started
            cpu += time.process_time() - used
            written += _written() - before
            count += len(some)
        return Spent(facts=count, seconds=seconds, cpu=cpu, written=written)

    def _said(self, spent: Spent) -> Said:
        people = self.population
        return Said(
            stored=people.counted(),
            systems=people.numbers(),
            people=people.people,
            facts=people.facts,
            resident=_resident(),
            reached_at={str(number): at for number, at in people.reached.items()},
            spent=spent,
        )


def _chunks(facts: Iterable[StorageFact]) -> Iterator[list[StorageFact]]:
    rest = iter(facts)
    while some := list(itertools.islice(rest, BATCH)):
        yield some


def _resident() -> int:
    """Return the bytes of memory that are this process's own; the page cache is not."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _written() -> int:
    """Return the bytes that this process had written to a disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    fields = dict(line.split(": ") for line in lines)
    return int(fields["write_bytes"])


def _tell(said: Said) -> None:
    """Print *said* and wait to be told to go on; end when nobody listens any more."""
    print(json.dumps(asdict(said)), flush=True)
    if not sys.stdin.readline():
        raise SystemExit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database_url")
    parser.add_argument("milestones", type=int, nargs="+")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--warm-up", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--purge", action="store_true", help="empty a system at the end")
    options = parser.parse_args()
    building = Building(options.database_url, max(options.milestones), options.seed)
    collect_seldom()
    for individuals in options.milestones:
        _tell(building.grow(individuals))
        _tell(building.live(options.events, options.warm_up))
    building.finish()
    if options.purge:
        _tell(building.empty(1))


if __name__ == "__main__":
    main()
