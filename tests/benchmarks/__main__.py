"""``python -m tests.benchmarks`` (``make bench``): everything in one run, into docs/performance.md.

Needs Kafka and PostgreSQL as the tests do (``scripts/get-parts``). Nothing here is a test: no
figure can fail.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.acceptance.command import Facetally, Forker
from tests.benchmarks.latency import LOWEST_THRESHOLD, Latencies, crossings
from tests.benchmarks.measured import Measured
from tests.benchmarks.product import (
    apply_recording,
    counted,
    postmaster,
    settings,
    work_through,
)
from tests.benchmarks.report import Report
from tests.benchmarks.workload import PARTITIONS, Workload
from tests.conftest import REPOSITORY
from tests.publishing import publish_quickly
from tests.services import kafka as kafkas
from tests.services import postgres as postgreses
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres

PAGE = REPOSITORY / "docs" / "performance.md"
RECORDING = "threshold.jsonl.zst"


class Bench:
    """One run: a broker with the events, a place for databases."""

    def __init__(self, kafka: Kafka, forker: Forker, home: Path, workload: Workload) -> None:
        self._kafka, self._forker, self._home = kafka, forker, home
        self._events = workload.events
        self.topic = "bench"
        kafka.create_topic(self.topic, PARTITIONS)
        publish_quickly(kafka.bootstrap, self.topic, workload.records(), partitions=PARTITIONS)

    def alone(
        self, name: str, *module: str, note: str = "", events: int = 0
    ) -> tuple[Measured, int]:
        """Measure one of the scripts beside this one; also return what it counted."""
        events = events or self._events
        program, *arguments = module
        command = [sys.executable, "-m", f"tests.benchmarks.{program}", *arguments]
        more = [str(PARTITIONS)] if program == "naive" else []
        line = _first_line([*command, self._kafka.bootstrap, self.topic, str(events), *more])
        found = json.loads(line)
        done = Measured(
            name=name, events=events, seconds=found["seconds"], cpu=found["cpu"], note=note
        )
        return _said(done), int(found.get("counted", 0))

    def product(
        self, name: str, right: int, *, workers: int = 1, postgres: Postgres | None = None
    ) -> Measured:
        """Measure facetally, and see that its number is *right*."""
        url = None if postgres is None else postgres.database()
        home = self._home / name.replace(" ", "-").replace(",", "")
        facetally = Facetally(
            self._forker, home, settings(self._kafka, self.topic), database_url=url
        )
        server = None if url is None else postmaster(url)
        done = work_through(name, facetally, self._events, workers=workers, server=server)
        number = counted(facetally)
        if number != right:
            raise SystemExit(f"{name} counted {number}, the dict {right}: no figure is worth it")
        return _said(done)

    def latencies(self, count: int) -> Latencies:
        """Measure crossings on SQLite."""
        topic = "crossings"
        dated = {"message.timestamp.type": "LogAppendTime"}
        self._kafka.create_topic(topic, PARTITIONS, dated)
        text = settings(self._kafka, topic, LOWEST_THRESHOLD)
        facetally = Facetally(self._forker, self._home / "crossings", text)
        return crossings(self._kafka.bootstrap, topic, facetally, count)

    def applied(self) -> Measured | None:
        """Measure ``apply``, if the recordings are here."""
        chosen = os.environ.get("FACETALLY_RECORDINGS")
        place = Path(chosen) if chosen else REPOSITORY.parent / "shared" / "recordings"
        recording = place / RECORDING
        if not recording.exists():
            return None
        example = REPOSITORY / "deploy" / "examples" / "threshold.toml"
        done = apply_recording(self._forker, self._home / "apply", recording, example)
        print(f"apply: {done.rate:,.0f} records/s", flush=True)
        return done


def _first_line(command: list[str]) -> str:
    """Return the first line that *command* prints, and end it."""
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        running.kill()
    return line


def _said(one: Measured) -> Measured:
    print(f"{one.name}: {one.rate:,.0f}/s, {one.cpu_per_million:.1f} CPU-s per million", flush=True)
    return one


@contextmanager
def _parts() -> Iterator[tuple[Kafka, Postgres, Forker, Path]]:
    for missing in (kafkas.available(), postgreses.available()):
        if missing:
            raise SystemExit(missing)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facetally-bench-")))
        kafka, postgres = Kafka(), Postgres()
        stack.callback(kafka.close)
        stack.callback(postgres.close)
        kafka.start()
        postgres.start()
        yield kafka, postgres, stack.enter_context(Forker(home)), home


def run(options: argparse.Namespace) -> Report:
    """Measure everything, the dict before and after the product: the machine may get slower."""
    load = os.getloadavg()
    workload = Workload(options.events, options.subjects)
    with _parts() as (kafka, postgres, forker, home):
        bench = Bench(kafka, forker, home, workload)
        consumed, _ = bench.alone("read only (aiokafka)", "baselines", "consume")
        ceiling, right = bench.alone("a Python dict, not durable", "baselines", "dict")
        sqlite = bench.product("facetally, SQLite", right)
        one = bench.product("facetally, PostgreSQL", right, postgres=postgres)
        two = bench.product("two workers, PostgreSQL", right, workers=2, postgres=postgres)
        again, _ = bench.alone("the dict again", "baselines", "dict")
        few = min(options.naive, options.events)
        naive, _ = bench.alone(
            "Faust, an agent per event with a table",
            "naive",
            note=f"measured over {few:,} events only; its table is not exact after a crash",
            events=few,
        )
        return Report(
            command=options.command,
            events=options.events,
            subjects=options.subjects,
            kafka=kafkas_version(),
            load=load,
            systems=[consumed, naive, ceiling, again, sqlite, one, two],
            ceiling=max(ceiling, again, key=lambda measured: measured.rate),
            latencies=bench.latencies(options.crossings),
            applied=bench.applied(),
        )


def kafkas_version() -> str:
    return max(path.name for path in kafkas.JARS.glob("[0-9]*"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--subjects", type=int, default=200_000)
    parser.add_argument("--naive", type=int, default=20_000, help="events for the naive agent")
    parser.add_argument("--crossings", type=int, default=200)
    parser.add_argument("--page", type=Path, default=PAGE, help="where the report is written")
    options = parser.parse_args()
    options.command = " ".join(["python -m tests.benchmarks", *sys.argv[1:]])
    options.page.write_text(run(options).text())
    print(f"written: {options.page.name}")


if __name__ == "__main__":
    main()
