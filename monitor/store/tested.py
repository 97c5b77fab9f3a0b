"""Test notices in the audit log: that a channel was tried, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, update

from monitor.facts import Instant
from monitor.store import audit, schema

_c = schema.channels.c


class Tried(NamedTuple):
    """One channel that was tried; *answer* is its receiver's word, or why it has none."""

    channel: str
    delivered: bool
    answer: str


def note(engine: Engine, key: str, tried: Sequence[Tried], by: str, now: Instant) -> None:
    """Write an entry ``notice.tested`` for each, in one transaction. Marks nothing as sent.

    A channel that has delivered does not count as failing any more, whatever failed on it before.
    """
    well = [one.channel for one in tried if one.delivered]
    with engine.begin() as connection:
        mended = (_c.channel.in_(well), _c.failing_since.is_not(None))
        connection.execute(update(schema.channels).where(*mended).values(failing_since=None))
        for one in tried:
            body: Mapping[str, object] = {"notice": key, "by": by, **one._asdict()}
            audit.append(connection, now, "notice.tested", None, body)
