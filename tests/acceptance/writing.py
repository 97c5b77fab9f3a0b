"""Writes recorded records to Kafka as they were: partition, key, value, headers and timestamp.

Whole batches, by aiokafka: one by one, a hundred thousand records take most of a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.acceptance.recording import Line, outgoing

_LONG_RUN = 10
_LARGEST = 1024 * 1024 - 1024  # of a batch, in bytes


def write(bootstrap: str, lines: Iterable[Line], suffix: str) -> None:
    """Write *lines* to their topics, with *suffix* in their names; return when Kafka has them.

    A run of more than a few records of one partition is there before the next one begins.
    """
    asyncio.run(_write(bootstrap, lines, suffix))


async def _write(bootstrap: str, lines: Iterable[Line], suffix: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", max_batch_size=_LARGEST)
    await producer.start()
    try:
        batches = _Batches(producer, suffix)
        for _, run in groupby(lines, key=lambda line: line.at):
            records = 0
            for line in run:
                records += 1
                await batches.add(line)
            if records >= _LONG_RUN:
                await batches.send()
        await batches.send()
    finally:
        await producer.stop()


class _Batches:
    """An open batch for each partition that has something to be sent."""

    def __init__(self, producer: Any, suffix: str) -> None:
        self._producer, self._suffix = producer, suffix
        self._open: dict[tuple[str, int], Any] = {}

    async def add(self, line: Line) -> None:
        if self._appended(line):
            return
        await self.send()
        if not self._appended(line):
            raise ValueError(f"{line.at} {line.offset}: larger than a batch")

    def _appended(self, line: Line) -> bool:
        record, where = outgoing(line), (line.topic, line.partition)
        if where not in self._open:
            self._open[where] = self._producer.create_batch()
        taken = self._open[where].append(
            timestamp=record.timestamp,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
        )
        return taken is not None

    async def send(self) -> None:
        for (topic, partition), batch in self._open.items():
            sent = await self._producer.send_batch(batch, topic + self._suffix, partition=partition)
            await sent
        self._open.clear()
