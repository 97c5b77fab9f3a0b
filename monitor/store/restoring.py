"""A database that is older than what was read with it: a restored backup, a lost transaction.

The group's offsets in Kafka are published from stored positions only, after their commit, so they
are never ahead of a database that nobody has put back. Found where reading begins; what Kafka still
has is read again and counted right, but files, decisions and audit entries since may be missing.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from monitor.facts import Instant
from monitor.intake import Ahead
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import audit, owing, positions, schema, trust
from monitor.store.locks import lock_audit
from monitor.trust import Doubt, Why, in_body

_ONE_EVENT: Instant = 600 * 1_000_000


def note(connection: Connection, found: Sequence[Ahead]) -> None:
    """Mark everybody for the topics of *found*, write it into the audit log, and page once."""
    seen_at = max(one.seen_at for one in found)
    topics = sorted({one.topic for one in found})
    whys = [Why(reason=Doubt.DATABASE_RESTORED, topic=topic, since=seen_at) for topic in topics]
    for one in found:
        positions.excuse(connection, one)
    for why in whys:
        trust.mark_everybody(connection, why.reason, why.topic, why.since)
    lock_audit(connection)  # last; of two workers the second then sees the page of the first
    for one in found:
        body = {
            "partition": f"{one.topic}/{one.partition}",
            "stored": one.stored,
            "committed": one.committed,
        }
        audit.append(connection, seen_at, "database.restored", None, body)
    if not _paged(connection, seen_at):
        owing.notify(connection, _page(found, whys, seen_at))


def _paged(connection: Connection, now: Instant) -> bool:
    notices = schema.notices.c
    recent = (notices.kind == Kind.DATABASE_RESTORED.value, notices.created_at > now - _ONE_EVENT)
    return connection.execute(select(notices.id).where(*recent).limit(1)).first() is not None


def _page(found: Sequence[Ahead], whys: Sequence[Why], seen_at: Instant) -> Notice:
    first = found[0]
    where = f"{first.topic}/{first.partition}"
    return Notice(
        key=key_of(
            Kind.DATABASE_RESTORED, where, str(first.stored), str(first.committed), str(seen_at)
        ),
        kind=Kind.DATABASE_RESTORED,
        severity=Severity.PAGE,
        created_at=seen_at,
        body={
            "partition": where,
            "partitions": len(found),
            "stored": first.stored,
            "committed": first.committed,
            "records": sum(one.committed - one.stored for one in found),
            **in_body(whys),
        },
    )
