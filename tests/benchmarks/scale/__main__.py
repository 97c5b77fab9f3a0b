"""``python -m tests.benchmarks.scale`` (``make scale``): millions in one processor.

Writes docs/scale.md. Needs Kafka and PostgreSQL as the tests do, room on the disk (about 0.5 kB an
individual, twice that on PostgreSQL), and time: see the page for how much. Any number that is not
the true one ends the run without a page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.scale.climbing import Climb, climb
from tests.benchmarks.scale.commands import Home
from tests.benchmarks.scale.page import Page
from tests.benchmarks.scale.restart import Restarts, copied, restarts
from tests.conftest import REPOSITORY
from tests.services import kafka as kafkas
from tests.services import postgres as postgreses
from tests.services.guardian import guardian
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres

PAGE = REPOSITORY / "docs" / "scale.md"
MILESTONES = (100_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000)


def milestones_to(individuals: int) -> Sequence[int]:
    """Return the milestones on the way, and *individuals*."""
    return [*(one for one in MILESTONES if one < individuals), individuals]


class Run:
    """What was asked for, over a folder that is gone at the end; TMPDIR says where it is made."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options, self._stack = options, stack
        self._folder = guardian().directory("scale")  # gone even if this process is killed
        stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._restarts: Restarts | None = None

    def sqlite(self) -> Climb:
        """Climb on SQLite, with the restarts on the way."""
        home = Home(self._made("sqlite"), f"sqlite:///{self._folder / 'sqlite' / 'facetally.db'}")
        found = self._climb("SQLite", home, self._options.individuals)
        shutil.rmtree(home.folder)
        return found

    def postgres(self) -> Climb | None:
        """Climb on PostgreSQL, if that was asked for."""
        if not self._options.postgres_individuals:
            return None
        server = Postgres()
        self._stack.callback(server.close)
        server.start()
        home = Home(self._made("postgres"), server.database())
        return self._climb("PostgreSQL", home, self._options.postgres_individuals)

    def small_again(self) -> Climb:
        """Measure the first milestone once more, now that the others are behind us."""
        home = Home(self._made("again"), f"sqlite:///{self._folder / 'again' / 'facetally.db'}")
        return self._climb("SQLite again", home, MILESTONES[0])

    @property
    def restarts(self) -> Restarts | None:
        return self._restarts

    def _climb(self, name: str, home: Home, individuals: int) -> Climb:
        started = time.monotonic()

        def pausing(stored: int) -> None:
            print(f"{name}: {stored:,} after {time.monotonic() - started:,.0f} s", flush=True)
            if name == "SQLite" and stored == self._options.restart_at:
                self._restarts = self._restart(home, stored)

        events = str(self._options.events)
        options = ("--events", events, "--seed", str(self._options.seed))
        milestones = milestones_to(individuals)
        found = climb(home, milestones, *options, purge=True, pausing=pausing)
        for one in found.milestones:
            print(
                f"{name}: {one.individuals:>10,}: {one.lived.each:.1f} us an event "
                f"({found.ratio(one):.2f}), {one.resident / 1e6:.0f} MB, "
                f"{one.lived.written / one.lived.facts:,.0f} B written an event",
                flush=True,
            )
        return found

    def _restart(self, home: Home, stored: int) -> Restarts:
        copy = copied(home, self._folder / "restart")
        broker = Kafka()
        try:
            broker.start()
            found = restarts(broker, copy, stored, self._options.restarts)
        finally:
            broker.close()
            shutil.rmtree(copy.folder)
        print(f"restarts: {', '.join(f'{one:.2f}' for one in found.each)} s", flush=True)
        return found

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale", description=__doc__)
    parser.add_argument("--individuals", type=int, default=MILESTONES[-1], help="on SQLite")
    parser.add_argument("--postgres-individuals", type=int, default=2_000_000, help="0 for none")
    parser.add_argument("--events", type=int, default=300_000, help="measured at each milestone")
    parser.add_argument("--restart-at", type=int, default=2_000_000, help="one of the milestones")
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, default=PAGE, help="where the report is written")
    options = parser.parse_args()
    options.restart_at = min(options.restart_at, options.individuals)
    if options.restart_at not in milestones_to(options.individuals):
        parser.error(f"--restart-at: no milestone; these are {milestones_to(options.individuals)}")
    for missing in (kafkas.available(), postgreses.available()):
        if missing:
            raise SystemExit(missing)
    started, load = time.monotonic(), os.getloadavg()
    with ExitStack() as stack:
        run = Run(options, stack)
        sqlite, postgres, again = run.sqlite(), run.postgres(), run.small_again()
        page = Page(
            command=" ".join(["python -m tests.benchmarks.scale", *sys.argv[1:]]),
            load=load,
            seconds=time.monotonic() - started,
            sqlite=sqlite,
            again=again,
            postgres=postgres,
            restarts=run.restarts,
        )
    options.page.write_text(page.text())
    print(f"written: {options.page.name}")


if __name__ == "__main__":
    main()
