"""The product itself, from Kafka to what is committed: its real processes, its real databases."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from monitor.store.engine import open_engine
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.running import Stored, until
from tests.benchmarks.measured import Measured, cpu_of, cpu_of_family
from tests.benchmarks.workload import PROCESSORS
from tests.services.kafka import Kafka
from tests.services.process import Owned

_ASSIGNED = "partitions are assigned"
PATIENCE = 600.0


def settings(kafka: Kafka, topic: str, more: str = "") -> str:
    """Return a settings file that reads *topic* in a group of its own."""
    group = f"bench-{uuid.uuid4().hex[:8]}"
    head = f'bootstrap_servers = "{kafka.bootstrap}"\ngroup = "{group}"\n'
    return f'{head}{more}[[topics]]\nname = "{topic}"\nsource = "cloudevents"\n'


def work_through(
    name: str,
    facetally: Facetally,
    events: int,
    *,
    workers: int = 1,
    server: int | None = None,
) -> Measured:
    """Run *workers* until all *events* are committed; then check the number that they found.

    Measured from the moment at which all of them have partitions: what was kept before that does
    not count. *server* is the process of the database server.
    """
    stored = Stored(facetally.database_url)
    with ExitStack() as stack:
        stack.callback(stored.close)
        running = [facetally.start("worker") for _ in range(workers)]
        for worker in running:
            stack.callback(worker.stop)
        log = facetally.home / "worker.log"
        until(lambda: log.read_text().count(_ASSIGNED) >= workers, "partitions", PATIENCE)
        used = _cpu(running, server)
        before, started = stored.records(), time.monotonic()
        until(lambda: stored.records() >= events, "all events committed", PATIENCE)
        seconds = time.monotonic() - started
        cpu, server_cpu = (
            after - was for after, was in zip(_cpu(running, server), used, strict=True)
        )
    return Measured(
        name=name,
        events=events - before,
        seconds=seconds,
        cpu=cpu,
        server_cpu=server_cpu if server is not None else None,
    )


def _cpu(workers: list[Owned], server: int | None) -> tuple[float, float]:
    own = sum(cpu_of(worker.pid) for worker in workers)
    return own, 0.0 if server is None else cpu_of_family(server)


def postmaster(database_url: str) -> int:
    """Return the process whose children serve this PostgreSQL database."""
    engine = open_engine(database_url)
    with engine.connect() as connection:
        backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        parent = Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1]
    engine.dispose()
    return int(parent)


def counted(facetally: Facetally) -> int:
    """Return the sum of the numbers of all processors."""
    status = facetally.status()
    numbers = {one["processor"]: one["individuals"] for one in status["processors"]}
    assert set(numbers) == set(PROCESSORS)
    return sum(numbers.values())


def apply_recording(forker: Forker, home: Path, recording: Path, example: Path) -> Measured:
    """Measure ``facetally apply`` of the threshold recording, start of the program included."""
    facetally = Facetally(forker, home, example.read_text())
    started = time.monotonic()
    answer = facetally.apply("threshold", recording)
    seconds = time.monotonic() - started
    return Measured(name="apply", events=int(answer["records"]), seconds=seconds, cpu=0.0)
