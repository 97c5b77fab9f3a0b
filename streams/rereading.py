"""Read single records of Kafka again by their coordinates, for the replay of rejects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from monitor.intake import Coordinates
from streams.connection import Connection, KafkaUnreachable
from streams.records import Record

_PATIENCE_MS = 5_000


def reread(
    connection: Connection, wanted: Iterable[Coordinates]
) -> Iterator[tuple[Coordinates, Record | None]]:
    """Yield the record at each of *wanted*, or None where Kafka has it no longer.

    Raises KafkaUnreachable.
    """
    try:
        consumer = KafkaConsumer(
            **connection.for_kafka_python(),
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_poll_records=1,
        )
    except (KafkaError, OSError) as exc:
        raise KafkaUnreachable(
            f"Kafka at {connection.bootstrap_servers} does not answer ({type(exc).__name__})"
        ) from None
    try:
        for _, of_partition in groupby(sorted(wanted), key=lambda one: one[:2]):
            yield from _of_partition(consumer, list(of_partition))
    finally:
        consumer.close()


def _of_partition(
    consumer: Any,  # noqa: ANN401 - kafka-python is not typed
    wanted: list[Coordinates],
) -> Iterator[tuple[Coordinates, Record | None]]:
    partition = TopicPartition(wanted[0].topic, wanted[0].partition)
    consumer.assign([partition])
    start = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    for where in wanted:
        if not start <= where.offset < end:
            yield where, None
            continue
        consumer.seek(partition, where.offset)
        found = consumer.poll(timeout_ms=_PATIENCE_MS).get(partition, [])
        record = found[0] if found and found[0].offset == where.offset else None
        yield where, None if record is None else _record(record)


def _record(found: Any) -> Record:  # noqa: ANN401 - kafka-python is not typed
    return Record(
        found.topic,
        found.partition,
        found.offset,
        found.timestamp,
        found.key,
        found.value,
        found.headers,
    )
