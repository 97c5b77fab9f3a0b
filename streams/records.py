"""A Kafka record as a value, and what an adapter must do with one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from monitor.facts import Instant
from monitor.intake import Decoded, Reason


class Record(NamedTuple):
    """One record of a topic. *timestamp* is Kafka's, milliseconds since 1970 UTC."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Undecodable(Exception):
    """These bytes are no fact of ours, and reading them again will not help.

    *reason* is of a closed list and never quotes the bytes: they may hold a name or a face.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Adapter(Protocol):
    """Turns records of one source into facts."""

    def decode(self, record: Record, read_at: Instant) -> Decoded:
        """Return what *record* says, or raise Undecodable; no other exception leaves.

        *read_at* is our clock when the record was first read, microseconds UTC: with the
        record's own timestamp it bounds how far ahead of its record a fact may be.
        """
