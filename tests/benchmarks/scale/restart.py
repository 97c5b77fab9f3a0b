"""How long a worker is away: from the start of its process to the first commit after a SIGKILL.

A real worker, a real broker, static membership. While nobody reads, a record is appended; the
clock starts with the new process and stops when that record is committed.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from monitor.store import schema
from monitor.store.engine import open_engine, reading
from streams.connection import Connection
from streams.publish import publish
from tests.acceptance.command import MODULE
from tests.acceptance.estate_truth import Told
from tests.acceptance.running import Stored, until
from tests.benchmarks.scale.commands import Home
from tests.benchmarks.scale.population import PROCESSOR
from tests.conftest import REPOSITORY
from tests.services.kafka import Kafka
from tests.services.process import Owned

_LOOK = 0.005
_PATIENCE = 120.0
_PARTITIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """Seconds of each restart, over so many individuals; memory of the last worker in bytes."""

    individuals: int
    each: Sequence[float]
    resident: int

    @property
    def median(self) -> float:
        return statistics.median(self.each)


def copied(home: Home, folder: Path) -> Home:
    """Return a copy of a SQLite database that nobody is writing to."""
    engine = open_engine(home.database_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.exec_driver_sql("BEGIN")
    source = engine.url.database
    engine.dispose()
    assert source is not None
    folder.mkdir()
    shutil.copyfile(source, folder / "facetally.db")
    return Home(folder, f"sqlite:///{folder / 'facetally.db'}")


def restarts(kafka: Kafka, home: Home, individuals: int, times: int) -> Restarts:
    """Kill a worker over this database so many times; check what it counted in the end."""
    topic = f"restart-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(topic, _PARTITIONS)
    settings = home.folder / "facetally.toml"
    settings.write_text(
        f'bootstrap_servers = "{kafka.bootstrap}"\ngroup = "{topic}"\n'
        f'[[topics]]\nname = "{topic}"\nsource = "cloudevents"\n'
    )
    newcomers = _Newcomers(kafka, topic)
    stored = Stored(home.database_url)
    worker = _worker(home, settings)
    seconds: list[float] = []
    try:
        newcomers.come()
        until(lambda: stored.records() == newcomers.came, "the first commit", _PATIENCE)
        for _ in range(times):
            worker.kill()
            newcomers.come()
            started = time.perf_counter()
            worker = _worker(home, settings)
            _wait(stored, newcomers.came)
            seconds.append(time.perf_counter() - started)
        found = Restarts(individuals=individuals, each=seconds, resident=_resident(worker.pid))
    finally:
        worker.stop()
        stored.close()
    counted = _individuals(home)
    assert counted == individuals + newcomers.came, f"counted {counted} after the restarts"
    return found


class _Newcomers:
    def __init__(self, kafka: Kafka, topic: str) -> None:
        self._connection = Connection(bootstrap_servers=kafka.bootstrap)
        self._topic = topic
        self.came = 0

    def come(self) -> None:
        """Append a record about somebody new."""
        at = time.time_ns() // 1000
        subject = f"newcomer-{self.came}"
        told = Told(at, 0, "face.enrolled", PROCESSOR, "gates", subject=subject)
        publish(self._connection, self._topic, [told.record(binary=False, keyed=True)])
        self.came += 1


def _worker(home: Home, settings: Path) -> Owned:
    command = [sys.executable, *MODULE, "--config", str(settings), "worker"]
    return Owned(command, log=home.folder / "worker.log", env=home.environ, cwd=REPOSITORY)


def _wait(stored: Stored, records: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while stored.records() < records:
        assert time.monotonic() < deadline, "no commit after a restart"
        time.sleep(_LOOK)


def _individuals(home: Home) -> int:
    engine = open_engine(home.database_url)
    columns = schema.stock.c
    query = select(columns.individuals).where(columns.kind == 0)
    with reading(engine) as connection:
        found = int(connection.execute(query).scalar_one())
    engine.dispose()
    return found


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmRSS"].split()[0]) * 1024
