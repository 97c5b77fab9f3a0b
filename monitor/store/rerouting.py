"""What routes kept from a channel, owed again once nobody else is told of it.

Routes may change while a notice waits, and two alerts processes may have different ones. So that
a channel is passed over holds only as long as another tells the notice, has told it, or has a
reason of its own not to.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, and_, exists, or_, select, update

from monitor.facts import Instant
from monitor.notices import NOT_ROUTED, Claim
from monitor.store import audit, channels, schema
from monitor.store.over import over

OWED_AGAIN: Final = "notice.owed_again"
OFTEN: Final = 3
"""After so many attempts a channel does not rely on one that had passed the notice over."""

_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c
_a = schema.acknowledgements.c


class Passed(NamedTuple):
    """Whether a channel may pass a notice over, and which others are owed it *again*."""

    over: bool = True
    again: Sequence[str] = ()


def told_instead(connection: Connection, claim: Claim, instead: frozenset[str]) -> Passed:
    """Return whether one of *instead* tells the notice of *claim* in its channel's place.

    Those that were passed over for it are owed it again, whoever else tells it: the routes have
    changed since, and the others may be a log. Not passed over if nobody tells it, nor if it has
    come back often: two processes with other routes could pass it to each other for ever. For
    ``note`` after the mark.
    """
    mine = _n.key == claim.notice.key
    # Two who pass it over at once must not each rely on the other.
    number = connection.execute(select(_n.id).where(mine).with_for_update()).scalar_one()
    query = (
        select(_d.channel, _d.sent_at, _d.skipped_at, _d.skipped, _c.active)
        .join(schema.channels, _c.channel == _d.channel)
        .where(_d.notice_id == number, _d.channel != claim.channel)
        .order_by(_d.channel)
    )
    others = connection.execute(query).all()
    held = any(
        one.sent_at is not None or (one.active and not _passed_over(one.skipped_at, one.skipped))
        for one in others
    )
    again = [
        one.channel
        for one in others
        if one.active and one.channel in instead and _passed_over(one.skipped_at, one.skipped)
    ]
    for channel in again:
        _owe(connection, number, channel)
    there_and_back = bool(again) and claim.attempts > OFTEN
    return Passed((held or bool(again)) and not there_and_back, again)


class Change(NamedTuple):
    """Which channels are *wanted*: some were not known any more, and others are no longer wanted.

    All of them are names in order.
    """

    wanted: Sequence[str]
    leaving: Sequence[str] = ()
    returning: Sequence[str] = ()


def left_untold(change: Change) -> Select[Any]:
    """Select what the channels that are wanted were passed over for and nobody tells.

    And, once, what is still owed on a channel that is leaving: its routes have changed, too. For a
    channel that comes back also what is owed on any that has left, meanwhile or before.
    """
    wanted = change.wanted
    other = schema.deliveries.alias().c
    same = other.notice_id == _n.id
    own_way = or_(other.skipped_at.is_(None), other.skipped != NOT_ROUTED.why)
    holds = or_(other.sent_at.is_not(None), and_(other.channel.in_(wanted), own_way))
    gone = or_(
        other.channel.in_(change.leaving),
        and_(_d.channel.in_(change.returning), other.channel.not_in(wanted)),
    )
    owed = (other.sent_at.is_(None), other.skipped_at.is_(None), gone)
    return (
        select(_n.id, _n.key, _n.kind, _n.processor, _d.channel)
        .join(schema.deliveries, _d.notice_id == _n.id)
        .where(
            _d.skipped == NOT_ROUTED.why,
            _d.sent_at.is_(None),
            _d.channel.in_(wanted),
            or_(~exists().where(same, holds), exists().where(same, *owed)),
            ~exists().where(_a.notice_id == _n.id),
        )
        .order_by(_n.id, _d.channel)
    )


def owe_left_untold(connection: Connection, change: Change, now: Instant) -> None:
    """Owe again what ``left_untold`` selects, with an audit entry each; skip what is over."""
    # Two processes do this at once, and others pass notices over: all lock the notices first.
    channels.lock(connection, {row.id for row in connection.execute(left_untold(change))})
    found = connection.execute(left_untold(change)).all()
    ended = over(connection, {row.id for row in found})
    # Rows first: whoever marks a delivery takes the lock of the audit log after it, too.
    going_on = [row for row in found if row.id not in ended]
    again = [row for row in going_on if _owe(connection, row.id, row.channel)]
    done = [
        row
        for row in found
        if row.id in ended and channels.skip_over(connection, row, now, NOT_ROUTED.why)
    ]
    for row in again:
        _note(connection, now, row.processor, row.key, row.kind, row.channel)
    for row in done:
        channels.note_over(connection, row, now)


def owe_for_left(
    connection: Connection, kept: Collection[tuple[int, str]]
) -> list[tuple[int, str]]:
    """Owe again what known channels were passed over for, where it was *kept* on one that left.

    Of these, given by number and channel, others may have told it: that may be a log. Return what
    is owed again. Each channel is judged by the routes of now before it tells.
    """
    active = set(connection.scalars(select(_c.channel).where(_c.active)))
    left = {number for number, channel in kept if channel not in active}
    return [
        (number, channel)
        for number in sorted(left)
        for channel in sorted(active)
        if _owe(connection, number, channel)
    ]


def note(connection: Connection, claim: Claim, again: Sequence[str], now: Instant) -> None:
    """Write the audit entries of what ``told_instead`` has returned."""
    one = claim.notice
    for channel in again:
        _note(connection, now, one.processor, one.key, one.kind.value, channel)


def _passed_over(skipped_at: Instant | None, why: str | None) -> bool:
    return skipped_at is not None and why == NOT_ROUTED.why


def _owe(connection: Connection, number: int, channel: str) -> bool:
    mine = (_d.notice_id == number, _d.channel == channel, _d.sent_at.is_(None))
    back = {"skipped_at": None, "skipped": None, "silence": None, "not_before": 0}
    owe = update(schema.deliveries).where(*mine, _d.skipped == NOT_ROUTED.why).values(back)
    return connection.execute(owe).rowcount == 1


def _note(
    connection: Connection, now: Instant, processor: str | None, key: str, kind: str, channel: str
) -> None:
    body = {"notice": key, "kind": kind, "channel": channel, "why": NOT_ROUTED.why}
    audit.append(connection, now, OWED_AGAIN, processor, body)
