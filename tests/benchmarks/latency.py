"""How long a record takes from Kafka's append to a committed crossing, when nothing is behind.

A threshold of 1 makes the first enrolment of each new processor a crossing. The broker dates the
record (LogAppendTime, whole milliseconds), and the database is looked at every 2 ms: what is
measured is never too short by more than one millisecond.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaProducer
from sqlalchemy import select

from monitor.store import schema
from monitor.store.engine import open_engine, reading
from tests.acceptance.command import Facetally
from tests.acceptance.estate_truth import Told
from tests.acceptance.running import until

LOWEST_THRESHOLD = '[[rules]]\nid = "frt.file"\nat_least = 1\n'
_LOOK = 0.002
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds, one for each crossing."""

    each: Sequence[float]

    def at(self, share: float) -> float:
        ordered = sorted(self.each)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def crossings(bootstrap: str, topic: str, facetally: Facetally, count: int) -> Latencies:
    """Have *count* processors cross one after the other, some fifteen a second."""
    worker = facetally.start("worker")
    try:
        log = facetally.home / "worker.log"
        until(lambda: "partitions are assigned" in log.read_text(), "partitions")
        found = asyncio.run(_cross(bootstrap, topic, facetally.database_url, count + _WARM_UP))
    finally:
        worker.stop()
    return Latencies(found[_WARM_UP:])


async def _cross(bootstrap: str, topic: str, database_url: str, count: int) -> list[float]:
    engine = open_engine(database_url)
    reached, processors = schema.reaches.c, schema.processors.c
    query = (
        select(reached.processor_id)
        .join(schema.processors, processors.id == reached.processor_id)
        .where(reached.trigger_at.is_not(None))
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    await producer.start()
    try:
        found = []
        for number in range(count):
            name = f"processor-{number:04d}"
            record = _enrolment(name).record(binary=False, keyed=True)
            appended = await producer.send_and_wait(topic, record.value, key=record.key)
            while True:
                with reading(engine) as connection:
                    if connection.execute(query.where(processors.name == name)).first():
                        break
                await asyncio.sleep(_LOOK)
            found.append(time.time() * 1000 - appended.timestamp)
            await asyncio.sleep(0.03)
        return found
    finally:
        await producer.stop()
        engine.dispose()


def _enrolment(processor: str) -> Told:
    at = int(datetime.now(UTC).timestamp() * 1e6)
    return Told(at, 0, "face.enrolled", processor, "gates", subject="somebody")
