"""Read single records of Kafka again by their coordinates, for the replay of rejects."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from monitor.intake import Coordinates
from streams.admin import Admin
from streams.connection import Connection, KafkaUnreachable
from streams.records import Record

_PATIENCE = 10.0
_POLL_MS = 500


def topic_ids(connection: Connection, topics: Iterable[str], patience: float) -> dict[str, str]:
    """Return the id of each of *topics* that exists. Raises KafkaUnreachable."""
    wanted = set(topics)
    with Admin(connection) as admin:
        admin.wait_reachable(patience)
        try:
            return {seen.topic: seen.topic_id for seen in admin.topics(wanted)} if wanted else {}
        except (KafkaError, OSError) as exc:
            raise _unreachable(connection, exc) from None


def reread(
    connection: Connection, wanted: Iterable[Coordinates]
) -> Iterator[tuple[Coordinates, Record | None]]:
    """Yield the record at each of *wanted*, or None where Kafka has it no longer.

    Raises KafkaUnreachable: a record that is late is not taken for one that is gone.
    """
    by_partition = groupby(sorted(wanted), key=lambda one: one[:2])
    try:
        with closing(_consumer(connection)) as consumer:
            for _, of_partition in by_partition:
                yield from _of_partition(consumer, list(of_partition))
    except (KafkaError, OSError) as exc:
        raise _unreachable(connection, exc) from None


def _consumer(connection: Connection) -> Any:  # noqa: ANN401 - kafka-python is not typed
    return KafkaConsumer(
        **connection.for_kafka_python(),
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=1,
    )


def _of_partition(
    consumer: Any,  # noqa: ANN401 - kafka-python is not typed
    wanted: list[Coordinates],
) -> Iterator[tuple[Coordinates, Record | None]]:
    partition = TopicPartition(wanted[0].topic, wanted[0].partition)
    consumer.assign([partition])
    start = consumer.beginning_offsets([partition])[partition]
    end = consumer.end_offsets([partition])[partition]
    at = -1
    for where in wanted:
        if not start <= where.offset < end:
            yield where, None
            continue
        if at != where.offset:  # what follows is fetched already
            consumer.seek(partition, where.offset)
        found = _next(consumer, partition, where.offset)
        at = -1 if found is None else found.offset + 1
        same = found is not None and found.offset == where.offset
        yield where, _record(found) if same else None


def _next(consumer: Any, partition: TopicPartition, offset: int) -> Any:  # noqa: ANN401
    """Return the next record, or None if reading has passed *offset* without one."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = consumer.poll(timeout_ms=_POLL_MS).get(partition)
        if found:
            return found[0]
        if consumer.position(partition) > offset:  # it was compacted, or its transaction aborted
            return None
    raise TimeoutError


def _unreachable(connection: Connection, exc: Exception) -> KafkaUnreachable:
    return KafkaUnreachable(
        f"Kafka at {connection.bootstrap_servers} does not answer ({type(exc).__name__})"
    )


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
