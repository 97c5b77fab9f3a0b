"""Test notices in the audit log: that a channel was tried, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from monitor.facts import Instant
from monitor.store import audit


class Tried(NamedTuple):
    """One channel that was tried; *answer* is its receiver's word, or why it has none."""

    channel: str
    delivered: bool
    answer: str


def note(engine: Engine, key: str, tried: Sequence[Tried], by: str, now: Instant) -> None:
    """Write an entry ``notice.tested`` for each, in one transaction. Marks nothing as sent."""
    with engine.begin() as connection:
        for one in tried:
            body: Mapping[str, object] = {"notice": key, "by": by, **one._asdict()}
            audit.append(connection, now, "notice.tested", None, body)
