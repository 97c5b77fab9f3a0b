"""Notices that tell nobody anything new: overtaken by the next, or acknowledged before."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, exists, select

from monitor.facts import Instant
from monitor.filings import of_family
from monitor.notices import Kind, Notice
from monitor.store import schema
from monitor.store.owing import notice_of

_n, _c, _a = schema.notices.c, schema.channels.c, schema.acknowledgements.c
_d = schema.deliveries.c
_ROUND = ("page", "escalation", "escalation_step")


def newer(connection: Connection, notice: Notice) -> Notice | None:
    """Return the newest reminder of the duty of a reminder, or round of the step of a step.

    None if there is none newer than *notice*, and for any other kind.
    """
    same: tuple[ColumnElement[bool], ...]
    if notice.kind is Kind.REMINDER:
        same = (_n.rule.in_(of_family(notice.rule or "")), _n.duty == notice.duty)
    elif notice.kind is Kind.ESCALATED:
        same = (_n.channel == notice.channel, _n.severity == notice.severity)
    else:
        return None
    own = select(_n.id).where(_n.key == notice.key).scalar_subquery()
    processor = (
        _n.processor.is_(None) if notice.processor is None else (_n.processor == notice.processor)
    )
    query = (
        select(schema.notices)
        .where(_n.id > own, _n.kind == notice.kind.value, processor, *same)
        .order_by(_n.id.desc())
    )
    step = [notice.body.get(name) for name in _ROUND]
    for row in connection.execute(query):
        found = notice_of(row)
        if [found.body.get(name) for name in _ROUND] == step:
            return found
    return None


def heard(
    connection: Connection, notice: Notice, before: Instant, logs: Collection[str] = frozenset()
) -> bool:
    """Tell whether somebody had acknowledged *notice* *before* then, having been told it.

    Who acknowledges a duty acknowledges all its pages, also one that no channel could tell yet, or
    one of *logs* alone.
    """
    number = select(_n.id).where(_n.key == notice.key).scalar_subquery()
    told = exists().where(
        _d.notice_id == _a.notice_id, _d.sent_at <= _a.at, _d.channel.not_in(sorted(logs))
    )
    query = select(_a.notice_id).where(_a.notice_id == number, _a.at < before, told)
    return connection.execute(query).first() is not None


def late(connection: Connection, notice: Notice) -> frozenset[str]:
    """Return the channels that became known after somebody had acknowledged *notice*."""
    number = select(_n.id).where(_n.key == notice.key).scalar_subquery()
    at = select(_a.at).where(_a.notice_id == number).scalar_subquery()
    return frozenset(connection.scalars(select(_c.channel).where(_c.known_since > at)))
