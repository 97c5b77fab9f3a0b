"""Many records into Kafka quickly, batch by batch, through aiokafka: what tests only wait for."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.publish import Outgoing

_BATCH_BYTES = 256 * 1024


def publish_quickly(
    bootstrap: str,
    topic: str,
    records: Iterable[Outgoing],
    *,
    partitions: int,
    codec: str = "none",
) -> int:
    """Write *records*, by key or, without one, to any partition; return how many."""
    return asyncio.run(_publish(bootstrap, topic, records, partitions, codec))


async def _publish(
    bootstrap: str, topic: str, records: Iterable[Outgoing], partitions: int, codec: str
) -> int:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        compression_type=None if codec == "none" else codec,
        max_batch_size=_BATCH_BYTES,
    )
    await producer.start()
    try:
        return await _send(producer, topic, records, partitions)
    finally:
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer, topic: str, records: Iterable[Outgoing], partitions: int
) -> int:
    rng = random.Random(topic)
    open_batches: dict[int, Any] = {}  # aiokafka is not typed
    sent = []
    count = 0
    for record in records:
        count += 1
        anywhere = rng.randrange(partitions)
        number = zlib.crc32(record.key) % partitions if record.key else anywhere
        batch = open_batches.get(number) or producer.create_batch()
        if not _append(batch, record):
            sent.append(await producer.send_batch(batch, topic, partition=number))
            batch = producer.create_batch()
            if not _append(batch, record):
                raise ValueError("a record is larger than a batch")
        open_batches[number] = batch
    for number, batch in open_batches.items():
        sent.append(await producer.send_batch(batch, topic, partition=number))
    await asyncio.gather(*sent)
    return count


def _append(batch: Any, record: Outgoing) -> bool:
    took = batch.append(
        key=record.key, value=record.value, timestamp=record.timestamp, headers=[*record.headers]
    )
    return took is not None
