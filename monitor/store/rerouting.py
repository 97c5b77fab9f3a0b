"""What routes kept from a channel, owed again once nobody else is told of it.

Routes may change while a notice waits, and two alerts processes may have different ones. So that
a channel is passed over holds only as long as another tells the notice, has told it, or has a
reason of its own not to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, exists, or_, select, update

from monitor.facts import Instant
from monitor.notices import NOT_ROUTED, Claim
from monitor.store import audit, schema

OWED_AGAIN: Final = "notice.owed_again"
_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c
_a = schema.acknowledgements.c


def told_instead(
    connection: Connection, claim: Claim, instead: frozenset[str]
) -> Sequence[str] | None:
    """Return which of the channels *instead* are now owed the notice of *claim* again.

    They are if nobody else tells it, and if the channel has tried to: then the routes have changed
    since. None if there is nobody who tells it. For ``note`` after the mark.
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
    if held and claim.attempts == 1:
        return ()
    again = [
        one.channel
        for one in others
        if one.active and one.channel in instead and _passed_over(one.skipped_at, one.skipped)
    ]
    for channel in again:
        _owe(connection, number, channel)
    return again if held or again else None


def left_untold(wanted: Sequence[str], leaving: Sequence[str]) -> Select[Any]:
    """Select what the channels *wanted* were passed over for and nobody tells.

    And, once, what is still owed on a channel that is *leaving*: its routes have changed, too.
    """
    other = schema.deliveries.alias().c
    same = other.notice_id == _n.id
    own_way = or_(other.skipped_at.is_(None), other.skipped != NOT_ROUTED.why)
    holds = or_(other.sent_at.is_not(None), and_(other.channel.in_(wanted), own_way))
    owed = (other.sent_at.is_(None), other.skipped_at.is_(None), other.channel.in_(leaving))
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


def owe_left_untold(
    connection: Connection, wanted: Sequence[str], leaving: Sequence[str], now: Instant
) -> None:
    """Owe again what ``left_untold`` selects, with an audit entry each."""
    found = connection.execute(left_untold(wanted, leaving)).all()
    # Rows first: whoever marks a delivery takes the lock of the audit log after it, too.
    again = [row for row in found if _owe(connection, row.id, row.channel)]
    for row in again:
        _note(connection, now, row.processor, row.key, row.kind, row.channel)


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
