"""What is found where reading begins: gaps, and a database older than what was read with it.

The group's offsets in Kafka are published from stored positions only, after their commit, so they
are never ahead of a database that nobody has put back, and neither is what they say of its audit
log and book. What Kafka still has is read again and counted right, but files, decisions and audit
entries since may be missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, select

from monitor.facts import Instant
from monitor.intake import Ahead, Gap, Written
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import audit, owing, positions, schema, trust
from monitor.store.locks import lock_audit
from monitor.trust import Doubt, Why, in_body

ONE_EVENT: Instant = 600 * 1_000_000
_SEAL = 16


def written(connection: Connection) -> Written:
    """Return how much has been written, with what tells it from another history as long."""
    seq, hashed = audit.head(connection)
    book = schema.book.c
    newest = connection.execute(select(book.id, book.known_at).order_by(book.id.desc()).limit(1))
    number, known_at = newest.one_or_none() or (0, 0)
    return Written(seq, number, hashed[:_SEAL], known_at)


def holds(connection: Connection, told: Written) -> bool:
    """Tell whether the entry and the fact that *told* names are those of this database.

    They never change and never go: another one, or none, is of another history.
    """
    if not told.seal:
        return True
    entry, book = schema.audit.c, schema.book.c
    hashed = connection.scalar(select(entry.hash).where(entry.seq == told.audit))
    known_at = connection.scalar(select(book.known_at).where(book.id == told.book))
    sealed = (hashed or "").startswith(told.seal)
    return (told.audit == 0 or sealed) and (told.book == 0 or known_at == told.known_at)


def note(
    connection: Connection,
    gaps: Sequence[Gap],
    found: Sequence[Ahead],
    committed: Mapping[tuple[str, int], int],
) -> None:
    """Set positions behind *gaps*, mark whom *gaps* and *found* are about, write and page it.

    A gap that another worker has noted is noted once. Raises PositionMoved. All marks come before
    the audit log: it is the last lock of all.
    """
    fresh = [gap for gap in sorted(gaps) if positions.apply_gap(connection, gap)]
    explained = [(gap.topic, gap.partition) for gap in gaps]
    explained += [(one.topic, one.partition) for one in found]
    for tp in sorted(explained):
        positions.excuse(connection, *tp, committed.get(tp))
    for gap in fresh:
        trust.mark_fed(connection, _doubt(gap), gap.topic, gap.seen_at)
    for topic, seen_at in sorted({(one.topic, one.seen_at) for one in found}):
        trust.mark_everybody(connection, Doubt.DATABASE_RESTORED, topic, seen_at)
    for gap in fresh:
        owing.note(connection, _gap_page(gap), "gap")
    if found:
        _tell(connection, found)


def _doubt(gap: Gap) -> Doubt:
    return Doubt(f"gap.{gap.reason.value}")


def latest_gap(connection: Connection, partition: str) -> str:
    """Return the key of the latest gap in *partition* (``TOPIC/NUMBER``), empty if none was.

    Only a gap sets a position back, so it tells apart what happened at one offset before and after.
    """
    notices = schema.notices.c
    query = select(notices.key, notices.body).where(notices.kind == Kind.GAP.value)
    for row in connection.execute(query.order_by(notices.id.desc())):
        if json.loads(row.body)["partition"] == partition:
            return str(row.key)
    return ""


def _gap_page(gap: Gap) -> Notice:
    why = Why(reason=_doubt(gap), topic=gap.topic, since=gap.seen_at)
    where = (gap.topic, str(gap.partition), gap.topic_id)
    return Notice(
        # The same offset may be lost again: by when it was seen each is one of its own.
        key=key_of(Kind.GAP, *where, str(gap.expected), str(gap.resume), str(gap.seen_at)),
        kind=Kind.GAP,
        severity=Severity.PAGE,
        created_at=gap.seen_at,
        body={
            "partition": f"{gap.topic}/{gap.partition}",
            "reason": gap.reason.value,
            "expected": gap.expected,
            "resume": gap.resume,
            **in_body([why]),
        },
    )


def _tell(connection: Connection, found: Sequence[Ahead]) -> None:
    """Write it into the audit log, and page unless another worker just did."""
    seen_at = max(one.seen_at for one in found)
    topics = sorted({one.topic for one in found})
    whys = [Why(reason=Doubt.DATABASE_RESTORED, topic=topic, since=seen_at) for topic in topics]
    lock_audit(connection)  # of two workers the second then sees the page of the first
    for one in found:
        body = {
            "partition": f"{one.topic}/{one.partition}",
            "stored": one.stored,
            "committed": one.committed,
            "audit_entries": one.entries,
            "facts": one.facts,
        }
        audit.append(connection, seen_at, "database.restored", None, body)
    if not _paged(connection, seen_at):
        owing.notify(connection, _page(found, whys, seen_at))


def _paged(connection: Connection, now: Instant) -> bool:
    notices = schema.notices.c
    at = notices.created_at  # one that lies far ahead is of a clock that was wrong, and no excuse
    around = at.between(now - ONE_EVENT + 1, now + ONE_EVENT)
    query = select(notices.id).where(notices.kind == Kind.DATABASE_RESTORED.value, around)
    return connection.execute(query.limit(1)).first() is not None


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
            "audit_entries": max(one.entries for one in found),
            "facts": max(one.facts for one in found),
            **in_body(whys),
        },
    )
