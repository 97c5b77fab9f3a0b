"""Write records to a topic, for ``facetally publish`` and the tests, through kafka-python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from streams.connection import Connection, KafkaUnreachable

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")

_FLUSH_EVERY = 5_000
_LARGEST_REQUEST = 16 * 1024 * 1024


class NotPublished(Exception):
    """Kafka did not take a record. Earlier ones may have been taken; the message says which."""


class Outgoing(NamedTuple):
    """A record to write. Without *partition* its key decides; *timestamp* is milliseconds UTC.

    kafka-python refuses a record that has neither value nor key, so a tombstone needs its key.
    """

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None
    timestamp: int | None = None


def publish(
    connection: Connection,
    topic: str,
    records: Iterable[Outgoing],
    *,
    codec: str = "none",
    on_sent: Callable[[int], None] | None = None,
    patience: float = 30.0,
) -> int:
    """Write *records* in order and return how many, once all replicas in sync have them.

    *on_sent* is called with the number so far now and then, for a progress bar. Raises
    KafkaUnreachable if Kafka does not answer within *patience* seconds, NotPublished if it
    refuses a record; neither quotes one.
    """
    producer = _producer(connection, codec, patience)
    sent = 0
    pending: list[Any] = []
    try:
        for record in records:
            pending.append(_send(producer, topic, record))
            sent += 1
            if len(pending) >= _FLUSH_EVERY:
                _settle(producer, pending, patience)
                if on_sent is not None:
                    on_sent(sent)
        _settle(producer, pending, patience)
    except (KafkaError, ValueError, AssertionError) as exc:
        first = sent - len(pending) + 1
        raise NotPublished(
            f"topic {topic}: {type(exc).__name__} among records {first} to {max(first, sent + 1)}"
        ) from None
    finally:
        producer.close(timeout=patience)
    if on_sent is not None:
        on_sent(sent)
    return sent


def _producer(connection: Connection, codec: str, patience: float) -> Any:  # noqa: ANN401 - kafka-python is not typed
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}")
    try:
        return KafkaProducer(
            client_id="facetally-publish",
            acks="all",
            compression_type=None if codec == "none" else codec,
            linger_ms=20,
            batch_size=256 * 1024,
            max_request_size=_LARGEST_REQUEST,
            max_block_ms=int(patience * 1000),
            bootstrap_timeout_ms=int(patience * 1000),
            **connection.for_kafka_python(),
        )
    except (KafkaError, OSError) as exc:
        raise KafkaUnreachable(
            f"Kafka at {connection.bootstrap_servers} did not answer within {patience:g} s "
            f"({type(exc).__name__})"
        ) from None


def _send(producer: Any, topic: str, record: Outgoing) -> Any:  # noqa: ANN401
    return producer.send(
        topic,
        value=record.value,
        key=record.key,
        headers=list(record.headers),
        partition=record.partition,
        timestamp_ms=record.timestamp,
    )


def _settle(producer: Any, pending: list[Any], patience: float) -> None:  # noqa: ANN401
    """Wait for *pending*, raise the first error among them, and empty the list."""
    producer.flush(timeout=patience)
    for future in pending:
        future.get(timeout=patience)
    pending.clear()
