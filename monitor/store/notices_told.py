"""Which notice went when, by which channel, with which answer, and who acknowledged it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from monitor.facts import Instant
from monitor.notices import Notice
from monitor.store import schema
from monitor.store.outbox import SENT
from monitor.store.owing import notice_of

_n, _d, _a = schema.notices.c, schema.deliveries.c, schema.acknowledgements.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a notice went on one channel: delivered, skipped, or owed still."""

    channel: str
    attempts: int
    sent_at: Instant | None
    answer: str | None
    error: str | None  # of the latest attempt that failed
    skipped_at: Instant | None
    skipped: str | None
    silence: int | None
    people: str | None = None  # behind the channel when it was delivered
    step: int | None = None  # of an escalation


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """By whom, when and how."""

    at: Instant
    by: str
    how: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A notice with all its ways."""

    notice: Notice
    ways: Sequence[Way]
    acknowledged: Acknowledged | None
    over_at: Instant | None = None  # a newer page tells of its duty: owed again, or due earlier


def told(
    connection: Connection,
    *,
    processor: str | None = None,
    duty: str | None = None,
    since: Instant | None = None,
) -> Iterator[Told]:
    """Yield the notices that agree with all that is given, oldest first.

    *duty* is ``RULE`` or ``RULE/KEY``; *since* is when they were written.
    """
    where: list[ColumnElement[bool]] = []
    if processor is not None:
        where.append(_n.processor == processor)
    if duty is not None:
        where.append((_n.rule == duty) | (_n.rule + "/" + _n.duty == duty))
        where.append(_n.duty.is_not(None))
    if since is not None:
        where.append(_n.created_at >= since)
    rows = connection.execute(select(schema.notices).where(*where).order_by(_n.id)).all()
    ways = _ways(connection, where)
    acks = {
        row.notice_id: Acknowledged(at=row.at, by=row.by, how=row.how, reason=row.reason)
        for row in connection.execute(select(schema.acknowledgements))
    }
    marked = connection.execute(select(schema.pages_over))
    over = {row.notice_id: row.at for row in marked}
    for row in rows:
        yield Told(
            notice=notice_of(row),
            ways=ways.get(row.id, ()),
            acknowledged=acks.get(row.id),
            over_at=over.get(row.id),
        )


def _ways(connection: Connection, where: Sequence[ColumnElement[bool]]) -> Mapping[int, list[Way]]:
    found: defaultdict[int, list[Way]] = defaultdict(list)
    reached = _reached(connection)
    query = (
        select(schema.deliveries, _n.key)
        .join(schema.notices, _n.id == _d.notice_id)
        .where(*where)
        .order_by(_d.notice_id, _d.channel)
    )
    for row in connection.execute(query):
        found[row.notice_id].append(
            Way(
                channel=row.channel,
                attempts=row.attempts,
                sent_at=row.sent_at,
                answer=row.answer,
                error=row.error,
                skipped_at=row.skipped_at,
                skipped=row.skipped,
                silence=row.silence,
                **reached.get((row.key, row.channel), {}),
            )
        )
    return found


def _reached(connection: Connection) -> Mapping[tuple[str, str], dict[str, Any]]:
    """Return whom each delivery reached, by notice and channel, as the audit log says."""
    sent = select(schema.audit.c.body).where(schema.audit.c.kind == SENT)
    bodies = [json.loads(text) for text in connection.scalars(sent)]
    return {
        (body["notice"], body["channel"]): {name: body.get(name) for name in ("people", "step")}
        for body in bodies
        if "step" in body
    }
