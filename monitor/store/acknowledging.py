"""Acknowledgements: somebody says that they have a page. The first one stays for ever.

It ends the escalation of the page, and nothing else: no clock stops, and reminders go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity
from monitor.store import audit, schema
from monitor.store.engine import is_sqlite
from monitor.store.outbox import notice_of

ENTRY: Final = "page.acknowledged"
_n, _a = schema.notices.c, schema.acknowledgements.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """*by* has *what*: the key of a notice, or a duty as ``PROCESSOR/RULE`` or ``P/RULE/KEY``.

    *how* is ``command`` or ``webhook``.
    """

    what: str
    by: str
    how: str
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The keys of the pages that are acknowledged *now*, and of those that were *before*."""

    now: tuple[str, ...]
    before: tuple[str, ...]


def acknowledge(engine: Engine, said: Said, now: Instant) -> Done | None:
    """Acknowledge what *said* names, with an audit entry each; None if there is nothing of it.

    Of a duty all its pages; of a step of an escalation the page that it escalates.
    """
    with engine.begin() as connection:
        meant = _meant(connection, said.what)
        if not meant:
            return None
        # Rows first: nobody waits for one while holding the lock of the audit log.
        new = [notice for number, notice in meant if _write(connection, number, said, now)]
        for notice in new:
            audit.append(connection, now, ENTRY, notice.processor, _described(notice, said))
    keys = tuple(notice.key for notice in new)
    return Done(now=keys, before=tuple(one.key for _, one in meant if one.key not in keys))


def duty_name(notice: Notice) -> str | None:
    """Return by what the duty of *notice* can be acknowledged, if it is about one."""
    if notice.duty is None:
        return None
    return f"{notice.processor}/{notice.rule}/{notice.duty}"


def _meant(connection: Connection, what: str) -> Sequence[tuple[int, Notice]]:
    row = connection.execute(select(schema.notices).where(_n.key == what)).first()
    if row is not None:
        notice = notice_of(row)
        page = notice.body.get("page")
        if notice.kind is Kind.ESCALATED and isinstance(page, str):
            return _meant(connection, page)
        return [(row.id, notice)]
    named = _n.processor + "/" + _n.rule
    query = select(schema.notices).where(
        or_(named == what, named + "/" + _n.duty == what),
        _n.duty.is_not(None),
        _n.severity == Severity.PAGE.value,
        _n.kind != Kind.ESCALATED.value,
    )
    return [(row.id, notice_of(row)) for row in connection.execute(query.order_by(_n.id))]


def _write(connection: Connection, number: int, said: Said, now: Instant) -> bool:
    row = {
        "notice_id": number,
        "at": now,
        "by": said.by,
        "how": said.how,
        "reason": said.reason,
    }
    dialect = sqlite if is_sqlite(connection) else postgresql
    statement = dialect.insert(schema.acknowledgements).values(row).on_conflict_do_nothing()
    return connection.execute(statement.returning(_a.notice_id)).first() is not None


def _described(notice: Notice, said: Said) -> dict[str, object]:
    return {
        "notice": notice.key,
        "kind": notice.kind.value,
        "rule": notice.rule,
        "duty": notice.duty,
        "by": said.by,
        "how": said.how,
        "reason": said.reason,
    }
