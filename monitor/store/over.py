"""What calls nobody any more: acknowledged, its matter ended, or overtaken by a newer page.

Read where it is asked; only that a page is over for good is kept (``ending``). Nobody is marked
as having acknowledged anything by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import Connection, Row, exists, func, or_, select

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import OWED, State, Step, family, of_family
from monitor.notices import Kind, Notice, Severity
from monitor.store import owing, schema
from monitor.store.ending import OF_CLOCKS
from monitor.store.names import Names

_CALLING: Final = (Kind.REMINDER.value, Kind.ESCALATED.value)
_SOME: Final = 500
_T = TypeVar("_T")
_Which: TypeAlias = tuple[str, str, str]  # processor, rule, key
_n, _a, _o = schema.notices.c, schema.acknowledgements.c, schema.pages_over.c
_d = schema.deliveries.c


def not_over(connection: Connection, notices: Mapping[int, Notice]) -> list[int]:
    """Return the numbers of those *notices* whose matter is not over, in order.

    An older reminder of a duty is superseded by the next one there is, among *notices* or not:
    whoever has acknowledged the newest has not brought the one before back to life.
    """
    owed_until = _owed_until(connection, notices.values())
    ended = _ended(connection, notices) | _older(connection, notices)
    ended |= {
        number
        for number, one in notices.items()
        if one.kind in OF_CLOCKS and owed_until.get(_about(one)) is not None
    }
    return sorted(notices.keys() - ended)


def over(connection: Connection, numbers: Collection[int]) -> frozenset[int]:
    """Return those of the notices with these *numbers* that nobody has to be told any more.

    What somebody has acknowledged, whatever it is. Of pages, reminders and steps of escalations
    also what is about a matter that is over, and a reminder that has a newer one. What only tells
    something stays worth telling.
    """
    rows = list(_rows(connection, numbers))
    calling = {row.id: owing.notice_of(row) for row in rows if _calls(row)}
    heard = {row.id for row in rows if row.heard}
    ended = calling.keys() - set(not_over(connection, calling))
    return frozenset(heard | ended | _of_ended(connection, calling))


def calls_nobody(
    connection: Connection, notice: Notice, logs: Collection[str] = frozenset()
) -> bool:
    """Tell whether *notice* is not to be told on a channel any more that has not told it yet.

    What is over for good, a step of an escalation whose page is over, and a page about the clock of
    a duty that is owed no more. That one only if the duty was owed when it was written, and if
    somebody was told it or has acknowledged it: else a duty could open and end without a word, and
    that a filing was late after all would be told on one channel. Nobody is told by one of *logs*.
    """
    if ended_for_good(connection, notice):
        return True
    if notice.kind is Kind.ESCALATED:
        page = select(_n.id).where(_n.key == notice.body.get("page"))
        return bool(over(connection, connection.scalars(page).all()))
    if notice.severity is not Severity.PAGE or notice.kind not in OF_CLOCKS:
        return False
    until = _owed_until(connection, [notice]).get(_about(notice))
    stale = until is not None and notice.created_at < until
    return stale and _known_to_somebody(connection, notice, logs)


def _known_to_somebody(connection: Connection, notice: Notice, logs: Collection[str]) -> bool:
    sent = exists().where(
        _d.notice_id == _n.id, _d.sent_at.is_not(None), _d.channel.not_in(sorted(logs))
    )
    heard = exists().where(_a.notice_id == _n.id)
    query = select(_n.id).where(_n.key == notice.key, or_(sent, heard))
    return connection.execute(query).first() is not None


def ended_for_good(connection: Connection, notice: Notice) -> bool:
    """Tell whether *notice*, or the page that it escalates, was marked as over."""
    keys = [notice.key]
    page = notice.body.get("page")
    if notice.kind is Kind.ESCALATED and isinstance(page, str):
        keys.append(page)
    marked = select(_o.notice_id).join(schema.notices, _n.id == _o.notice_id)
    return connection.execute(marked.where(_n.key.in_(keys))).first() is not None


def _owed_until(
    connection: Connection, notices: Iterable[Notice]
) -> Mapping[_Which, Instant | None]:
    """Return since when the duties that *notices* may be about are owed no more; None: they are.

    By their rule, and by those that they may have had before.
    """
    about = sorted({one.processor or "" for one in notices if one.duty is not None})
    if not about:
        return {}
    few = len(about) <= _SOME
    names = Names.of_processors(connection, about if few else None)
    where = [schema.duties.c.processor_id.in_(sorted(names.processor_by_id))] if few else []
    exact, renamed = dict[_Which, Instant | None](), dict[_Which, Instant | None]()
    for _, duty in owing.read_duties(connection, names, where):
        until = _ended_at(duty)
        exact[duty.processor, duty.rule, duty.key] = until
        for rule in of_family(duty.rule):
            renamed[duty.processor, rule, duty.key] = until
    return renamed | exact


def _ended_at(duty: Duty) -> Instant | None:
    """Return when it was known first that nobody has to act, since when that is so."""
    if duty.owed:
        return None
    closed = duty.opened_at if duty.closed_at is None else duty.closed_at
    met = list(takewhile(_is_met, reversed(duty.life.taken)))
    return min((step.known_at for step in met), default=closed)


def _is_met(step: Step) -> bool:
    return State(step.kind.value) not in OWED


def _about(notice: Notice) -> _Which:
    return notice.processor or "", notice.rule or "", notice.duty or ""


def _calls(row: Row[Any]) -> bool:
    return row.severity == Severity.PAGE.value or row.kind in _CALLING


def _rows(connection: Connection, numbers: Collection[int]) -> Iterator[Row[Any]]:
    calls = or_(_n.severity == Severity.PAGE.value, _n.kind.in_(_CALLING))
    query = (
        select(schema.notices, _a.notice_id.is_not(None).label("heard"))
        .outerjoin(schema.acknowledgements, _a.notice_id == _n.id)
        .where(or_(calls, _a.notice_id.is_not(None)))
    )
    for some in _parts(sorted(numbers)):
        yield from connection.execute(query.where(_n.id.in_(some)))


def _of_ended(connection: Connection, calling: Mapping[int, Notice]) -> set[int]:
    """Return the steps of escalations whose page is over."""
    steps = {
        number: str(one.body.get("page"))
        for number, one in calling.items()
        if one.kind is Kind.ESCALATED
    }
    pages: dict[int, str] = {}
    for some in _parts(sorted(set(steps.values()))):
        found = connection.execute(select(_n.id, _n.key).where(_n.key.in_(some)))
        pages |= {row.id: row.key for row in found}
    ended = {pages[number] for number in over(connection, pages)} if pages else set()
    return {number for number, key in steps.items() if key in ended}


def _older(connection: Connection, calling: Mapping[int, Notice]) -> set[int]:
    """Return the reminders after which there is another one of the same duty."""
    reminders = {number: one for number, one in calling.items() if one.kind is Kind.REMINDER}
    if not reminders:
        return set()
    of = (_n.processor, _n.rule, _n.duty)
    query = select(*of, func.max(_n.id)).where(_n.kind == Kind.REMINDER.value).group_by(*of)
    newest: dict[_Which, int] = {}
    for who, rule, key, last in connection.execute(query):
        which = (who or "", family(rule or ""), key or "")
        newest[which] = max(last, newest.get(which, 0))
    return {
        number
        for number, one in reminders.items()
        if number < newest[one.processor or "", family(one.rule or ""), one.duty or ""]
    }


def _ended(connection: Connection, numbers: Collection[int]) -> set[int]:
    """Return those of *numbers* that were marked as over."""
    found = set[int]()
    for some in _parts(sorted(numbers)):
        query = select(_o.notice_id).where(_o.notice_id.in_(some))
        found.update(connection.scalars(query))
    return found


def _parts(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """Yield *values* in parts that are not too many for one statement."""
    for first in range(0, len(values), _SOME):
        yield values[first : first + _SOME]
