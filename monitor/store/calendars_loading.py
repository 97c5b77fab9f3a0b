"""Loading a year at run time, and counting open duties again by it.

All open duties are counted again in the transaction that loads the year, and by any worker that
finds a duty that was counted by an older calendar: one may have been opened by somebody who did
not know yet. A duty is never counted back by an older calendar than it has, so workers whose
files differ do not undo each other's work.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, select, update

from monitor.bundle import CALENDAR_LOADED
from monitor.calendars import LOADED, BadCalendar, Sheet, order
from monitor.duties import Duty, recounted
from monitor.facts import Instant
from monitor.notices import BodyValue, Kind, Notice, Severity, key_of
from monitor.rules import Rule
from monitor.store import agreement, audit, calendars, owing, schema
from monitor.store.engine import reading
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.terminating import Law
from monitor.workdays import Calendar, Deadline

_duties = schema.duties


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A duty whose last day is another now."""

    before: Duty
    after: Duty

    @property
    def earlier(self) -> bool:
        """Whether there is less time than was thought: by the early end, which alerts use."""
        return self.after.overdue_at < self.before.overdue_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loading came to; not *fresh*: the same file had been loaded, and nothing was done."""

    calendar: Calendar
    fresh: bool
    moved: Sequence[Moved] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who loads *sheet*, and why."""

    sheet: Sheet
    by: str
    because: str | None


def check(connection: Connection, base: Sequence[Sheet], sheet: Sheet) -> Calendar:
    """Return the calendar with *sheet*. Raises BadCalendar if it may not be loaded.

    *base* are the files of this process.
    """
    year = sheet.year
    if not re.fullmatch(rf"{year.year}-[0-9A-Za-z._-]{{1,32}}", year.version):
        raise _refused(sheet, f"must begin with {year.year}-, such as {year.year}-1")
    had = [one.sheet for one in calendars.kept(connection)]
    for old in (*base, *had):
        same = (old.year.year, old.year.version) == (year.year, year.version)
        if same and old.sha256 != sheet.sha256:
            raise _refused(sheet, f"{year.version} was used with other content; raise it")
    files = [one.year for one in base]
    used = {one.year: one.version for one in calendars.with_kept(files, had)}
    newest = used.get(year.year)
    if newest is not None and order(year.version) < order(newest):
        raise _refused(sheet, f"{newest} is in use, which is higher; raise it")
    return Calendar(calendars.with_kept(files, [*had, replace(sheet, origin=LOADED)]))


def _refused(sheet: Sheet, why: str) -> BadCalendar:
    return BadCalendar(f"{sheet.year.year}.toml: version: {why}")


def load(
    engine: Engine,
    base: Sequence[Sheet],
    decided: Decision,
    law: Law,
    now: Instant,
) -> Loaded:
    """Load a year and count every open duty again, in one transaction.

    Raises BadCalendar, and SettingsDiffer if the workers would count by other rules.
    """
    sheet = decided.sheet
    with engine.begin() as connection:
        calendar = check(connection, base, sheet)
        if not calendars.insert(connection, sheet, now, decided.by, decided.because):
            # Another one may have loaded other content under this version just now.
            check(connection, base, sheet)
            return Loaded(calendar=calendar, fresh=False)
        names = Names.load(connection)
        _lock_open(connection)
        agreement.check_command(connection, law.agreed)
        body = calendars.describe(sheet) | {"by": decided.by, "because": decided.because}
        audit.append(connection, now, CALENDAR_LOADED, None, body)
        moved = _recount(connection, names, law.rules, calendar, now)
    return Loaded(calendar=calendar, fresh=True, moved=moved)


def recount(
    engine: Engine, names: Names, law: Law, calendar: Calendar, now: Instant
) -> Sequence[Moved]:
    """Count the open duties again that an older calendar than *calendar* gave their days.

    Writes, and takes locks, only if a day is another. Raises SettingsReplaced.
    """
    with reading(engine) as connection:
        if not any(
            _after(duty, law.rules, calendar) for _, duty in _stale(connection, names, calendar)
        ):
            return ()
    with engine.begin() as connection:
        _lock_open(connection)
        agreement.check(connection, law.agreed)
        return _recount(connection, names, law.rules, calendar, now)


def _stale(connection: Connection, names: Names, calendar: Calendar) -> Iterable[tuple[int, Duty]]:
    where = (_duties.c.closed_at.is_(None), _duties.c.calendar_version != calendar.version)
    return owing.read_duties(connection, names, where)


def _lock_open(connection: Connection) -> None:
    query = select(_duties.c.processor_id).where(_duties.c.closed_at.is_(None)).distinct()
    lock_processors(connection, connection.scalars(query).all())


def _after(duty: Duty, rules: Iterable[Rule], calendar: Calendar) -> Duty | None:
    if not _is_older(duty.deadline.calendar_version, calendar.version):
        return None
    return recounted(duty, rules, calendar)


def _is_older(version: str, ours: str) -> bool:
    """Tell whether the calendar *version* has no year, and none higher, that *ours* lacks."""
    known = _years(ours)
    return all(
        year in known and order(one) <= order(known[year]) for year, one in _years(version).items()
    )


def _years(version: str) -> dict[str, str]:
    return {one.partition("-")[0]: one for one in version.split("+")}


def _recount(
    connection: Connection,
    names: Names,
    rules: Iterable[Rule],
    calendar: Calendar,
    now: Instant,
) -> list[Moved]:
    moved = []
    rules = list(rules)
    for number, duty in _stale(connection, names, calendar):
        after = _after(duty, rules, calendar)
        if after is None:
            continue
        moved.append(Moved(before=duty, after=after))
        _move(connection, number, moved[-1], now)
    return moved


def _move(connection: Connection, number: int, moved: Moved, now: Instant) -> None:
    """Write the new last day, with an audit entry that has both, and a notice."""
    before, after = moved.before, moved.after
    deadline = after.deadline
    values = {
        "due_day": deadline.due_day,
        "earliest": deadline.earliest,
        "latest": deadline.latest,
        "calendar_version": deadline.calendar_version,
    }
    connection.execute(update(_duties).where(_duties.c.id == number).values(values))
    settled = before.deadline.provisional and not deadline.provisional
    was = _was(before.deadline)
    said = {"before": owing.describe(before), "after": owing.describe(after)}
    entry = audit.append(
        connection, now, "duty.due_moved", after.processor, {"why": "calendar", **said}
    )
    kind = Kind.DUE_SETTLED if settled else Kind.DUE_MOVED
    notice = Notice(
        key=key_of(kind, after.processor, after.rule, after.key, str(entry.seq)),
        kind=kind,
        severity=Severity.PAGE if moved.earlier else Severity.WARNING,
        processor=after.processor,
        rule=after.rule,
        duty=after.key,
        created_at=now,
        body={**owing.body_of(after), **was, "audit_head": entry.hash},
    )
    owing.notify(connection, notice)


def _was(deadline: Deadline) -> dict[str, BodyValue]:
    first, last = (day.isoformat() for day in deadline.days)
    return {
        "was_due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "was_due_between": f"{first}/{last}" if deadline.provisional else None,
        "was_calendar_version": deadline.calendar_version,
    }
