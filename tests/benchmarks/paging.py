"""``python -m tests.benchmarks.paging`` (``make paging``): from Kafka's append to the page.

A threshold of 1 makes the first enrolment of each new processor a crossing. The broker dates the
record (LogAppendTime, whole milliseconds); our own webhook receiver says when the page was there.
Real processes, a real broker, a real database: idle, under load, and after a SIGKILL.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.acceptance.command import Facetally, Forker
from tests.acceptance.estate_truth import Told
from tests.acceptance.running import until
from tests.benchmarks.latency import LOWEST_THRESHOLD, Latencies
from tests.benchmarks.paging_report import Paging, Pause, page
from tests.benchmarks.product import settings
from tests.benchmarks.workload import PARTITIONS
from tests.conftest import REPOSITORY
from tests.receiver import Answer, Receiver, Request, receiving
from tests.services import kafka as kafkas
from tests.services import postgres as postgreses
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.process import Owned

PAGE = REPOSITORY / "docs" / "paging.md"
DATABASES = ("sqlite", "postgresql")
_KEY = "whsec_" + base64.b64encode(bytes(32)).decode()
_CHANNEL = '[[channels]]\nkind = "webhook"\nurl = "{url}"\nallow_private = true\nsecret = "{key}"\n'
ASSIGNED = "looking up where to read"  # by Kafka; nothing has been asked of the database yet
READING = "partitions are assigned"
_WARM_UP = 20
_PATIENCE = 120.0
_TOPIC = "paging"
_IDLE_PAUSE, _BUSY_PAUSE = 0.25, 0.1  # seconds between two crossings


@dataclass
class Arrivals:
    """When the page of each processor was here first, in milliseconds of the wall clock."""

    at: dict[str, float] = field(default_factory=dict)
    repeated: int = 0
    _keys: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, processor: str) -> bool:
        """Tell whether the page of *processor* is here."""
        return processor in self.at

    def __call__(self, request: Request) -> Answer:
        now = time.time() * 1000
        said = json.loads(request.body)
        with self._lock:
            self.repeated += request.headers["webhook-id"] in self._keys
            self._keys.add(request.headers["webhook-id"])
            if said["type"] == "facetally.duty_opened":
                self.at.setdefault(said["data"]["processor"], now)
        return Answer(204)


@dataclass(frozen=True, slots=True)
class Place:
    """What one measurement runs in."""

    facetally: Facetally
    arrivals: Arrivals
    kafka: Kafka

    def said(self, line: str) -> int:
        """Return how many times workers here have said *line* in their log."""
        log = self.facetally.home / "worker.log"
        return log.read_text().count(line) if log.exists() else 0

    def worker(self) -> Owned:
        """Start a worker and wait until it reads its partitions."""
        before = self.said(READING)
        worker = self.facetally.start("worker")
        until(lambda: self.said(READING) > before, "partitions", _PATIENCE)
        return worker


def enrolment(processor: str, subject: str = "somebody") -> Told:
    """Return an enrolment that happens now."""
    at = int(datetime.now(UTC).timestamp() * 1e6)
    return Told(at, 0, "face.enrolled", processor, "gates", subject=subject)


async def cross(place: Place, name: str, count: int, pause: float) -> Latencies:
    """Have *count* processors cross, one each *pause* s, and wait for all pages."""
    producer = AIOKafkaProducer(bootstrap_servers=place.kafka.bootstrap, acks="all", linger_ms=0)
    await producer.start()
    appended: dict[str, float] = {}
    try:
        for number in range(count + _WARM_UP):
            processor = f"{name}-{number:04d}"
            record = enrolment(processor).record(binary=False, keyed=True)
            done = await producer.send_and_wait(_TOPIC, record.value, key=record.key)
            appended[processor] = done.timestamp
            await asyncio.sleep(pause)
    finally:
        await producer.stop()
    arrived = place.arrivals.at
    until(lambda: appended.keys() <= arrived.keys(), "all pages", _PATIENCE)
    return Latencies([arrived[one] - at for one, at in appended.items()][_WARM_UP:])


async def load(place: Place, rate: int, stop: threading.Event) -> int:
    """Write *rate* enrolments a second, happening now, until *stop*; return how many it were.

    Of the past they must not be: a partition that tells of the past holds every page back, since
    what it tells next may take the crossing away.
    """
    producer = AIOKafkaProducer(bootstrap_servers=place.kafka.bootstrap, acks="all", linger_ms=5)
    await producer.start()
    began, sent = time.monotonic(), 0
    try:
        while not stop.is_set():
            due = int((time.monotonic() - began) * rate)
            for number in range(sent, due):
                told = enrolment(f"busy {number % 3}", f"person-{number % 200_000}")
                record = told.record(binary=False, keyed=True)
                await producer.send(_TOPIC, record.value, key=record.key)
            sent = max(due, sent)
            await asyncio.sleep(0.02)
    finally:
        await producer.stop()
    return sent


def under_load(place: Place, count: int, rate: int) -> tuple[Latencies, float]:
    """Measure as *cross* does, beside other events; also return their rate."""
    stop, sent = threading.Event(), list[int]()
    thread = threading.Thread(target=lambda: sent.append(asyncio.run(load(place, rate, stop))))
    began = time.monotonic()
    thread.start()
    try:
        found = asyncio.run(cross(place, "busy", count, _BUSY_PAUSE))
    finally:
        stop.set()
        thread.join()
    return found, sent[0] / (time.monotonic() - began)


def after_kills(place: Place, worker: Owned, kills: int) -> tuple[list[Pause], Owned]:
    """SIGKILL the worker *kills* times; each time a processor crosses while nobody reads."""
    found = []
    for number in range(kills):
        worker.kill()
        processor = f"killed-{number:04d}"
        asyncio.run(_send(place, processor))
        before = place.said(ASSIGNED)
        started = time.time() * 1000
        worker = place.facetally.start("worker")
        while place.said(ASSIGNED) == before:
            time.sleep(0.005)
        assigned = time.time() * 1000
        until(partial(place.arrivals.of, processor), "the page", _PATIENCE)
        found.append(Pause(assigned - started, place.arrivals.at[processor] - assigned))
    return found, worker


async def _send(place: Place, processor: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=place.kafka.bootstrap, acks="all")
    await producer.start()
    try:
        record = enrolment(processor).record(binary=False, keyed=True)
        await producer.send_and_wait(_TOPIC, record.value, key=record.key)
    finally:
        await producer.stop()


@contextmanager
def parts(database: str) -> Iterator[Place]:
    """Start a broker, a database of the kind *database* and a receiver."""
    for missing in (kafkas.available(), postgreses.available()):
        if missing:
            raise SystemExit(missing)
    arrivals = Arrivals()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="facetally-paging-")))
        receiver: Receiver = stack.enter_context(receiving(arrivals))
        kafka = Kafka()
        stack.callback(kafka.close)
        kafka.start()
        kafka.create_topic(_TOPIC, PARTITIONS, {"message.timestamp.type": "LogAppendTime"})
        url = None
        if database == "postgresql":
            postgres = Postgres()
            stack.callback(postgres.close)
            postgres.start()
            url = postgres.database()
        forker = stack.enter_context(Forker(home))
        channel = _CHANNEL.format(url=receiver.url, key=_KEY)
        text = settings(kafka, _TOPIC) + LOWEST_THRESHOLD + channel
        yield Place(Facetally(forker, home / "run", text, database_url=url), arrivals, kafka)


def run(options: argparse.Namespace, database: str) -> Paging:
    """Measure idle, then under load, then kills, in one run over one *database*."""
    with parts(database) as place:
        worker, alerts = place.worker(), place.facetally.start("alerts")
        try:
            idle = asyncio.run(cross(place, "idle", options.crossings, _IDLE_PAUSE))
            print(f"idle: p99 {idle.at(0.99):.0f} ms", flush=True)
            busy, rate = under_load(place, options.crossings, options.rate)
            print(f"at {rate:,.0f}/s: p99 {busy.at(0.99):.0f} ms", flush=True)
            pauses, worker = after_kills(place, worker, options.kills)
        finally:
            worker.stop()
            alerts.stop()
        return Paging(
            database=database,
            idle=idle,
            busy=busy,
            rate=rate,
            pauses=pauses,
            repeated=place.arrivals.repeated,
            idle_rate=1 / _IDLE_PAUSE,
            busy_rate=1 / _BUSY_PAUSE,
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.paging", description=__doc__)
    parser.add_argument("--crossings", type=int, default=1_000)
    parser.add_argument("--rate", type=int, default=1_000, help="other events a second, under load")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--database", choices=DATABASES, action="append", help="both, if not said")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the report is written")
    options = parser.parse_args()
    command = " ".join(["python -m tests.benchmarks.paging", *sys.argv[1:]])
    load = os.getloadavg()
    runs = [run(options, database) for database in options.database or DATABASES]
    options.page.write_text(page(runs, command=command, load=load))
    print(f"written: {options.page.name}")


if __name__ == "__main__":
    main()
