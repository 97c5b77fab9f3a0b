"""Recounts that are due: since when, whose look back may say what it found, and paging late ones.

``watches.recount_due`` says that one is due; a row here is written where a worker first sees it,
and goes with the look back that settles it.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import owing, schema
from monitor.store.engine import is_sqlite, reading
from monitor.store.names import Names
from monitor.store.trust import Trust
from monitor.trust import Sources, in_body

_table = schema.recounts
_c = schema.recounts.c


def begin(connection: Connection, number: int) -> str:
    """Return the token of a look back that begins; that of an earlier one is worth nothing now.

    Under the lock of the processor with this *number*, as are ``is_ours`` and ``settled``.
    """
    look = secrets.token_hex(8)
    _write(connection, number, {"look": look})
    return look


def is_ours(connection: Connection, number: int, look: str) -> bool:
    """Tell whether no other look back has begun or settled since ``begin`` gave *look*."""
    # The row before the audit log, as everywhere, or two could wait for each other.
    query = select(_c.look).where(_c.processor_id == number).with_for_update()
    return connection.scalar(query) == look


def settled(connection: Connection, number: int) -> None:
    """Note that nothing is due any more."""
    connection.execute(delete(_table).where(_c.processor_id == number))


def note(
    engine: Engine,
    names: Names,
    due: Iterable[str],
    now: Instant,
    *,
    after: Instant,
    sources: Sources,
) -> None:
    """Note since when recounts of *due* are due, and page, once, those due for over *after*.

    One that a clock which was ahead noted is taken as due since now.
    """
    wanted = {names.processor_ids[processor]: processor for processor in due}
    with reading(engine) as connection:
        known = {row.processor_id: row for row in connection.execute(select(_table))}
    for number in known.keys() - wanted.keys():
        _forget(engine, number)
    for number, processor in sorted(wanted.items()):
        row = known.get(number)
        if row is None or row.due_since is None or row.due_since > now:
            with engine.begin() as connection:
                _write(connection, number, {"due_since": now})
        elif row.told_at is None and now - row.due_since >= after:
            _page(engine, names, processor, row.due_since, now, sources)


def _forget(engine: Engine, number: int) -> None:
    """Drop what is known of a recount that is not due any more; it may be due again by now."""
    watches = schema.watches.c
    still = select(watches.processor_id).where(watches.recount_due)
    with engine.begin() as connection:
        gone = (_c.processor_id == number, _c.processor_id.not_in(still))
        connection.execute(delete(_table).where(*gone))


def _page(
    engine: Engine, names: Names, processor: str, since: Instant, now: Instant, sources: Sources
) -> None:
    mine = (
        _c.processor_id == names.processor_ids[processor],
        _c.due_since == since,
        _c.told_at.is_(None),
    )
    with engine.begin() as connection:
        if connection.execute(update(_table).where(*mine).values(told_at=now)).rowcount != 1:
            return  # another worker, or it was settled just now
        whys = Trust(connection, names, sources, now).against(processor)
        notice = Notice(
            key=key_of(Kind.RECOUNT_OVERDUE, processor, str(since)),
            kind=Kind.RECOUNT_OVERDUE,
            severity=Severity.PAGE,
            processor=processor,
            created_at=now,
            body={"due_since": since, **in_body(whys)},
        )
        owing.note(connection, notice, "recount.overdue")


def _write(connection: Connection, number: int, values: dict[str, object]) -> None:
    dialect = sqlite if is_sqlite(connection) else postgresql
    statement = dialect.insert(_table).values(processor_id=number, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[_c.processor_id], set_=values)
    )
