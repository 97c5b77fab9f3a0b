"""Channels that come, leave and come back, and what each is owed for it.

``monitor.notices.Outbox.ensure`` says what that is. What is over is skipped, with its entry of the
audit log, so that a channel that was away for a month wakes nobody for what is done.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    exists,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.notices import NEWS_OF_DUTIES, NEWS_OF_PAGES, OVER, Kind, Severity
from monitor.store import audit, schema
from monitor.store.engine import is_sqlite
from monitor.store.over import over

SKIPPED: Final = "notice.skipped"
_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c
_a = schema.acknowledgements.c
_SOME: Final = 500


def known_channels(connection: Connection) -> list[str]:
    """Return the names of the known channels, in order."""
    query = select(_c.channel).where(_c.active)
    return sorted(connection.scalars(query))


def returning(connection: Connection, wanted: Collection[str]) -> list[str]:
    """Return those of *wanted* that were known once and have left."""
    query = select(_c.channel).where(_c.channel.in_(wanted), ~_c.active)
    return sorted(connection.scalars(query))


def make_known(connection: Connection, wanted: Sequence[str], now: Instant) -> None:
    """Make *wanted* the known channels; one that comes back is known since *now*."""
    for channel in wanted:
        row = {"channel": channel, "known_since": now, "active": True}
        connection.execute(
            _insert(connection, schema.channels).values(row).on_conflict_do_nothing()
        )
    locked = select(schema.channels).order_by(_c.channel).with_for_update()
    for held in connection.execute(locked).all():
        if held.active != (held.channel in wanted):
            left = {"active": False, "away_since": now}
            back = {"active": True, "away_since": None, "known_since": now}
            change = update(schema.channels).where(_c.channel == held.channel)
            connection.execute(change.values(left if held.active else back))


def unowed(now: Instant) -> Select[Any]:
    """Select what known channels should be owed and are not, in one order."""
    owed, told, debt = (schema.deliveries.alias().c for _ in range(3))
    left = schema.channels.alias().c
    delivered = exists().where(told.notice_id == _n.id, told.sent_at.is_not(None))
    of_one_that_left = exists().where(
        debt.notice_id == _n.id,
        debt.sent_at.is_(None),
        debt.skipped_at.is_(None),
        debt.channel == left.channel,
        ~left.active,
    )
    # By both: a channel that has long been known is owed nothing anew.
    lately = [_n.created_at >= since - NEWS_OF_PAGES for since in (_c.known_since, now)]
    news = or_(
        _n.created_at >= _c.known_since,
        and_(_n.duty.is_not(None), _n.created_at >= _c.known_since - NEWS_OF_DUTIES),
        ~delivered,
        and_(_is_open(), or_(and_(*lately), of_one_that_left)),
    )
    missing = ~exists().where(owed.notice_id == _n.id, owed.channel == _c.channel)
    meant = or_(_n.channel.is_(None), _n.channel == _c.channel)
    return (
        select(_n.id, _n.key, _n.kind, _n.processor, _c.channel)
        .select_from(schema.notices.join(schema.channels, true()))
        .where(_c.active, missing, meant, news)
        # In one order, so that two who repair at once cannot wait for each other.
        .order_by(_n.id, _c.channel)
    )


def _is_open() -> ColumnElement[bool]:
    """Return whether a notice is a page that nobody has acknowledged."""
    return and_(
        _n.severity == Severity.PAGE.value,
        _n.kind.not_in([Kind.ESCALATED.value, Kind.TEST.value]),
        ~exists().where(_a.notice_id == _n.id),
    )


def owe(connection: Connection, now: Instant) -> None:
    """Owe what ``unowed`` selects; what is over is written as skipped, with an audit entry."""
    found = connection.execute(unowed(now)).all()
    ended = over(connection, {row.id for row in found})
    new = _insert(connection, schema.deliveries).on_conflict_do_nothing().returning(_d.channel)
    # Rows first: whoever marks a delivery takes the lock of the audit log after it, too.
    skipped = []
    for row in found:
        delivery = {"notice_id": row.id, "channel": row.channel, "attempts": 0, "not_before": 0}
        mark = {"skipped_at": now, "skipped": OVER.why} if row.id in ended else {}
        if connection.execute(new.values(delivery | mark)).first() is not None and mark:
            skipped.append(row)
    for row in skipped:
        note_over(connection, row, now)


def settle(connection: Connection, channels: Collection[str], now: Instant) -> None:
    """Skip what is over of what *channels* still owe from before they left."""
    query = (
        select(_n.id, _n.key, _n.kind, _n.processor, _d.channel)
        .join(schema.deliveries, _d.notice_id == _n.id)
        .where(_d.channel.in_(channels), _d.sent_at.is_(None), _d.skipped_at.is_(None))
        .order_by(_n.id, _d.channel)
    )
    found = connection.execute(query).all()
    ended = over(connection, {row.id for row in found})
    lock(connection, ended)
    skipped = [row for row in found if row.id in ended and skip_over(connection, row, now)]
    for row in skipped:
        note_over(connection, row, now)


def lock(connection: Connection, numbers: Collection[int]) -> None:
    """Wait for these notices in one order, before their deliveries: who reroutes does so, too."""
    locked = select(_n.id).order_by(_n.id).with_for_update()
    ordered = sorted(numbers)
    for first in range(0, len(ordered), _SOME):
        connection.execute(locked.where(_n.id.in_(ordered[first : first + _SOME]))).all()


def skip_over(
    connection: Connection,
    row: Any,  # noqa: ANN401 - as ``unowed`` selects them
    now: Instant,
    was: str | None = None,
) -> bool:
    """Mark the delivery in *row* as over unless it was told; False if it is not skipped as *was*.

    For ``note_over`` after all marks.
    """
    mine = (_d.notice_id == row.id, _d.channel == row.channel, _d.sent_at.is_(None))
    same = _d.skipped_at.is_(None) if was is None else _d.skipped == was
    mark = {"skipped_at": now, "skipped": OVER.why, "silence": None}
    done = connection.execute(update(schema.deliveries).where(*mine, same).values(mark))
    return done.rowcount == 1


def note_over(connection: Connection, row: Any, now: Instant) -> None:  # noqa: ANN401 - as above
    """Write the audit entry of what ``skip_over`` has marked."""
    said = {"notice": row.key, "kind": row.kind, "channel": row.channel, "why": OVER.why}
    audit.append(connection, now, SKIPPED, row.processor, said)


def _insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)
