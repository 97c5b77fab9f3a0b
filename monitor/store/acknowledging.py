"""Acknowledgements: somebody says that they have a page. The first one stays for ever.

It ends the escalation of the page, and nothing else: no clock stops, and reminders go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, and_, exists, or_, select, true
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.filings import of_family
from monitor.notices import Kind, Notice, Severity
from monitor.rules import SHIPPED
from monitor.store import audit, schema
from monitor.store.engine import is_sqlite
from monitor.store.over import not_over
from monitor.store.owing import notice_of

ENTRY: Final = "page.acknowledged"
_TWO: Final = 2
_TURNED: Final = tuple(rule.id for rule in SHIPPED if len(of_family(rule.id)) > 1)
_n, _a = schema.notices.c, schema.acknowledgements.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """*by* has *what*: the key of a notice, or a duty as ``PROCESSOR/RULE`` or ``P/RULE/KEY``.

    *how* is ``command`` or ``webhook``. Of a duty only pages from before *until* are meant: what
    was signed before a page was written is not about it.
    """

    what: str
    by: str
    how: str
    reason: str | None = None
    until: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The keys of the pages that are acknowledged *now*, and of those that were *before*."""

    now: tuple[str, ...]
    before: tuple[str, ...]


class Several(Exception):
    """``PROCESSOR/RULE`` names more than one duty with an open page; *names* are theirs."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"several duties have an open page, name one: {', '.join(names)}")
        self.names = names


def acknowledge(engine: Engine, said: Said, now: Instant) -> Done | None:
    """Acknowledge what *said* names, with an audit entry each; None if there is nothing of it.

    Of a duty all its pages; of a step of an escalation the page that it escalates. Raises Several
    for a rule that has open pages of several duties: nobody may have those that they do not know.
    """
    with engine.begin() as connection:
        meant = _meant(connection, said)
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


def _meant(connection: Connection, said: Said) -> Sequence[tuple[int, Notice]]:
    page = _page(connection, said.what)
    if page is not None:
        return [page]
    named = _n.processor + "/" + _n.rule
    query = select(schema.notices, _a.notice_id.is_not(None).label("had")).where(
        or_(named == said.what, named + "/" + _n.duty == said.what, _renamed(said.what)),
        _n.duty.is_not(None),
        _n.severity == Severity.PAGE.value,
        _n.kind != Kind.ESCALATED.value,
        true() if said.until is None else _n.created_at < said.until,
    )
    query = query.outerjoin(schema.acknowledgements, _a.notice_id == _n.id).order_by(_n.id)
    found = {row.id: (notice_of(row), bool(row.had)) for row in connection.execute(query)}
    meant = {number: notice for number, (notice, _) in found.items()}
    _check_one(connection, {number: one for number, one in meant.items() if not found[number][1]})
    return list(meant.items())


def _renamed(what: str) -> ColumnElement[bool]:
    """Return whether the duty of a notice has *what* as its name now, under another rule."""
    duty, who = schema.duties.c, schema.processors.c
    named = who.name + "/" + duty.rule
    turned = [and_(_n.rule == was, duty.rule.in_(of_family(was) - {was})) for was in _TURNED]
    return exists().where(
        who.id == duty.processor_id,
        who.name == _n.processor,
        duty.key == _n.duty,
        or_(*turned),
        or_(named == what, named + "/" + duty.key == what),
    )


def _page(connection: Connection, key: str) -> tuple[int, Notice] | None:
    row = connection.execute(select(schema.notices).where(_n.key == key)).first()
    if row is None:
        return None
    notice = notice_of(row)
    page = notice.body.get("page")
    if notice.kind is Kind.ESCALATED and isinstance(page, str):
        return _page(connection, page)
    return row.id, notice


def _check_one(connection: Connection, unheard: Mapping[int, Notice]) -> None:
    """Raise Several if the pages that nobody has and that are not over are of several duties."""
    if len({one.duty for one in unheard.values()}) < _TWO:
        return
    still = [unheard[number] for number in not_over(connection, unheard)]
    names = sorted({name for one in still if (name := duty_name(one)) is not None})
    if len(names) >= _TWO:
        raise Several(names)


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
