"""A channel that works again: what it has put off while it failed need not wait any longer."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from monitor.facts import Instant
from monitor.notices import Claim, Severity
from monitor.store import schema

OUTAGE: Final = 60 * 1_000_000
"""A channel that failed for less than that has put nothing off for long."""

_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c


def works_again(connection: Connection, channel: str) -> Instant | None:
    """Note that *channel* has delivered; return since when it had failed, once, if it had."""
    failing = (_c.channel == channel, _c.failing_since.is_not(None))
    since = connection.scalar(select(_c.failing_since).where(*failing))
    well = update(schema.channels).where(*failing).values(failing_since=None)
    return since if connection.execute(well).rowcount == 1 else None


def wake(connection: Connection, claim: Claim, now: Instant) -> None:
    """End the pauses of the pages of the channel that has delivered *claim*.

    What another sender holds is left to it: it is held for as long as *claim* was.
    """
    number = select(_n.id).where(_n.key == claim.notice.key).scalar_subquery()
    ours = schema.deliveries.alias().c
    lease = (
        select(ours.not_before - ours.claimed_at)
        .where(ours.notice_id == number, ours.channel == claim.channel)
        .scalar_subquery()
    )
    paused = (
        _d.channel == claim.channel,
        _d.sent_at.is_(None),
        _d.skipped_at.is_(None),
        _d.error.is_not(None),
        _d.not_before > now,
        _d.not_before - _d.claimed_at != lease,
        _d.notice_id.in_(select(_n.id).where(_n.severity == Severity.PAGE.value)),
    )
    connection.execute(update(schema.deliveries).where(*paused).values(not_before=now))
