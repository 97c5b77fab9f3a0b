"""What one process can do at best: reading alone, and reading into a dict that nothing keeps.

``python -m tests.benchmarks.baselines consume|dict BOOTSTRAP TOPIC EVENTS`` prints one line of
JSON: seconds and processor seconds from the first record to the last, and what was counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiokafka
import msgspec


class Data(msgspec.Struct, gc=False):
    processor: str
    system: str


class Event(msgspec.Struct, gc=False):
    type: str
    subject: str
    time: str
    data: Data


class Latest:
    """Last writer wins per subject and system, and the exact number of subjects, in memory."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(Event).decode
        self._newest: dict[tuple[str, str, str], tuple[str, bool]] = {}
        self._stored: dict[tuple[str, str], int] = {}

    def take(self, records: Sequence[Any]) -> None:
        decode, newest, stored = self._decode, self._newest, self._stored
        for record in records:
            event = decode(record.value)
            data = event.data
            key = (data.processor, event.subject, data.system)
            enrolled = event.type == "facetally.face.enrolled"
            known = newest.get(key)
            if known is not None and known[0] >= event.time:
                continue
            newest[key] = (event.time, enrolled)
            change = enrolled - (known is not None and known[1])
            if change:
                person = key[:2]
                left = stored.get(person, 0) + change
                if left:
                    stored[person] = left
                else:
                    del stored[person]

    def count(self) -> int:
        return len(self._stored)


async def read(
    bootstrap: str, topic: str, events: int, take: Callable[[Sequence[Any]], None]
) -> tuple[float, float]:
    """Hand all records to *take*; return seconds and processor seconds."""
    consumer = aiokafka.AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 1024 * 1024,
    )
    await consumer.start()
    try:
        started, cpu, left = time.monotonic(), time.process_time(), events
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                take(records)
                left -= len(records)
        return time.monotonic() - started, time.process_time() - cpu
    finally:
        await consumer.stop()


def main(what: str, bootstrap: str, topic: str, events: str) -> None:
    latest = Latest()
    take = latest.take if what == "dict" else lambda _: None
    seconds, cpu = asyncio.run(read(bootstrap, topic, int(events), take))
    print(json.dumps({"seconds": seconds, "cpu": cpu, "counted": latest.count()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
