"""Pages about the clock of a duty that are over for good: a newer page tells what is so now.

That they are is kept in the transaction of the newer one, with an entry of the audit log each.
Nobody is marked as having acknowledged them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, insert, or_, select, true

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import of_family
from monitor.notices import Kind, Severity
from monitor.store import audit, schema

ENTRY: Final = "page.over"

OF_CLOCKS: Final = frozenset(
    {
        Kind.DUTY_OPENED,
        Kind.DUTY_MOVED,
        Kind.DUE_MOVED,
        Kind.DUTY_REOPENED,
        Kind.FILING_STEP,
        Kind.REMINDER,
    }
)
"""The kinds that are about the clock of a duty, and over with it."""

_MET: Final = frozenset({Kind.DUTY_CLOSED, Kind.FILING_STEP})
_n, _o = schema.notices.c, schema.pages_over.c


def about(duties: Iterable[Duty]) -> ColumnElement[bool]:
    """Return whether a notice is about one of *duties*, by its rule of now or of any time before.

    There has to be one.
    """
    names = {(one.processor, rule, one.key) for one in duties for rule in of_family(one.rule)}
    named = [
        and_(_n.processor == who, _n.rule == rule, _n.duty == key)
        for who, rule, key in sorted(names)
    ]
    return or_(*named)


def end_pages(
    connection: Connection,
    duty: Duty,
    now: Instant,
    *,
    until: int | None = None,
    met: bool = False,
) -> None:
    """Mark what is told of *duty* as over, up to the notice with the number *until* if given.

    What calls somebody; if *met* also what said that nobody has to act any more: whom it was not
    told, it is not told now. No other news: it told what was so.
    """
    calls = or_(_n.severity != Severity.INFO.value, _n.kind == Kind.REMINDER.value)
    ended = and_(_n.kind.in_([kind.value for kind in OF_CLOCKS]), calls)
    if met:
        ended = or_(ended, _n.kind.in_([kind.value for kind in _MET]))
    query = (
        select(_n.id, _n.key, _n.kind)
        .where(ended, about([duty]))
        .where(true() if until is None else _n.id <= until)
        .where(_n.id.not_in(select(_o.notice_id)))
        .order_by(_n.id)
    )
    for row in connection.execute(query).all():
        connection.execute(insert(schema.pages_over).values(notice_id=row.id, at=now))
        said = {"notice": row.key, "kind": row.kind, "rule": duty.rule, "duty": duty.key}
        audit.append(connection, now, ENTRY, duty.processor, said)
