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
from tests.benchmarks.latency import LOWEST_THRESHOLD, crossings
from tests.benchmarks.measured import Measured
from tests.benchmarks.product import apply_recording, counted, settings, work_through
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

    def alone(self, name: str, *module: str, note: str = "", events: int = 0) -> tuple[Measured, int]:
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
        server = None if postgres is None else postgres.pid
        done = work_through(name, facetally, self._events, workers=workers, server=server)
        number = counted(facetally)
        if number != right:
            raise SystemExit(f"{name} counted {number}, the dict {right}: no figure is worth it")
        return _said(done)

    def latency(self, count: int) -> object:
        raise NotImplementedError


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
