"""Loading a year at run time, and counting open duties again by it, or by another clock of a rule.

All open duties are counted again in the transaction that loads the year, and by any worker that
finds a duty whose last day is not what its rule and calendar give: one may have been opened by
somebody who did not know yet, or under settings that were changed since. How days move is decided
by ``monitor.moving``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, or_, select, update

from monitor.bundle import CALENDAR_LOADED, RULES_USED
from monitor.calendars import LOADED, BadCalendar, Sheet, order
from monitor.duties import deadline_under
from monitor.facts import Instant
from monitor.moving import Cause, Known, Moved, clock_of, is_older, moves
from monitor.notices import BodyValue, Kind, Notice, Severity, key_of
from monitor.recounting import RULES_OF, rules_from
from monitor.store import agreement, audit, calendars, ending, owing, schema
from monitor.store.engine import reading
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.terminating import Law
from monitor.workdays import Calendar, Deadline

_duties = schema.duties
# Of one that has ended nobody may know yet whether it was met in time: ``is_unsettled``.
_COUNTED = or_(_duties.c.closed_at.is_(None), _duties.c.due_day.is_(None))


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
    had = [one.sheet for one in calendars.kept(connection)]
    again = any(one.origin == LOADED and one.sha256 == sheet.sha256 for one in had)
    for old in (*base, *had):
        if old.year.version == year.version and old.sha256 != sheet.sha256 and not again:
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
        moved = _recount(connection, names, law, calendar, now)
    return Loaded(calendar=calendar, fresh=True, moved=moved)


def recount(
    engine: Engine, names: Names, law: Law, calendar: Calendar, now: Instant
) -> Sequence[Moved]:
    """Count the open duties again whose last day is not what their rule and *calendar* give.

    Writes, and takes locks, only if a day is another. Raises SettingsReplaced.
    """
    with reading(engine) as connection:
        if not _found(connection, names, law, calendar):
            return ()
    with engine.begin() as connection:
        _lock_open(connection)
        agreement.check(connection, law.agreed)
        return _recount(connection, names, law, calendar, now)


def _lock_open(connection: Connection) -> None:
    query = select(_duties.c.processor_id).where(_COUNTED).distinct()
    lock_processors(connection, connection.scalars(query).all())


def _recount(
    connection: Connection, names: Names, law: Law, calendar: Calendar, now: Instant
) -> list[Moved]:
    found = _found(connection, names, law, calendar)
    for number, moved, rules_of in found:
        _move(connection, number, moved, rules_of, now)
    return [moved for _, moved, _ in found]


def _found(
    connection: Connection, names: Names, law: Law, calendar: Calendar
) -> list[tuple[int, Moved, int | None]]:
    """Return how days move, in the order of opening, with the row number of the duty.

    And with the entry that seals the rules which it is still counted by, if they are older ones.
    """
    numbers = _other(connection, law, calendar)
    if not numbers:
        return []
    known, sealed_by = _known(connection, calendar)
    held = owing.read_duties(connection, names, [_duties.c.id.in_(numbers)])
    return [
        (number, moved, None if moved.by is None else sealed_by[moved.by])
        for number, duty in held
        for moved in moves(duty, law.rules, calendar, known)
    ]


def _other(connection: Connection, law: Law, calendar: Calendar) -> list[int]:
    """Return the rows whose last day is not what their rule gives: cheap, it is asked often.

    Of a rule that is off or gone, what held is only looked for if the calendar is another one.
    """
    rules, found = {rule.id: rule for rule in law.rules if rule.enabled}, []
    told = (_duties.c.id, _duties.c.rule, _duties.c.trigger_day, _duties.c.trigger_at)
    counted = (_duties.c.due_at, _duties.c.earliest, _duties.c.latest, _duties.c.due_day)
    query = select(*told, *counted, _duties.c.calendar_version).where(_COUNTED)
    for row in connection.execute(query):
        rule = rules.get(row.rule)
        if not is_older(row.calendar_version, calendar.version):
            continue
        if rule is None:
            found += [row.id] if row.calendar_version != calendar.version else []
            continue
        ours = deadline_under(rule, row.trigger_day, calendar, row.trigger_at)
        held = (row.due_day, row.earliest, row.latest, row.due_at)
        if held != (ours.due_day, ours.earliest, ours.latest, ours.due_at):
            found.append(row.id)
    return found


def _known(connection: Connection, calendar: Calendar) -> tuple[Known, list[int]]:
    """Return what was ever counted by, and the entries that seal its sets of rules."""
    years = {one.sheet.year.version: one.sheet.year for one in calendars.kept(connection)}
    years |= {year.version: year for year in calendar.years}
    log = schema.audit.c
    query = select(log.seq, log.body).where(log.kind == RULES_USED).order_by(log.seq.desc())
    said = connection.execute(query).all()
    sets = [rules_from(json.loads(row.body).get("rules")) for row in said]
    return Known(years=years, sets=sets), [row.seq for row in said]


def _move(
    connection: Connection, number: int, moved: Moved, rules_of: int | None, now: Instant
) -> None:
    """Write the new last day, with an audit entry that has both, and a notice."""
    before, after = moved.before, moved.after
    deadline = after.deadline
    values = {
        "due_day": deadline.due_day,
        "earliest": deadline.earliest,
        "latest": deadline.latest,
        "due_at": deadline.due_at,
        "calendar_version": deadline.calendar_version,
    }
    connection.execute(update(_duties).where(_duties.c.id == number).values(values))
    by_calendar = moved.why is Cause.CALENDAR
    settled = before.deadline.provisional and not deadline.provisional and by_calendar
    was = _was(before.deadline)
    said: dict[str, object] = {"before": owing.describe(before), "after": owing.describe(after)}
    if not by_calendar:
        said["clock"] = {"before": clock_of(moved.was), "after": clock_of(moved.rule)}
    if rules_of is not None:
        said[RULES_OF] = rules_of
    entry = audit.append(
        connection, now, "duty.due_moved", after.processor, {"why": moved.why.value, **said}
    )
    kind = Kind.DUE_SETTLED if settled else Kind.DUE_MOVED
    notice = Notice(
        key=key_of(kind, after.processor, after.rule, after.key, str(entry.seq)),
        kind=kind,
        severity=_severity(moved),
        processor=after.processor,
        rule=after.rule,
        duty=after.key,
        created_at=now,
        body={
            **owing.body_of(after),
            **was,
            "why": moved.why.value,
            "in_time": after.in_time,
            "audit_head": entry.hash,
        },
    )
    if notice.severity is Severity.PAGE:
        # The older pages would go on telling the later day.
        ending.end_pages(connection, after, now)
    owing.notify(connection, notice)


def _severity(moved: Moved) -> Severity:
    if moved.after.closed_at is not None:
        return Severity.INFO  # what is known now is whether it was met in time
    return Severity.PAGE if moved.earlier else Severity.WARNING


def _was(deadline: Deadline) -> dict[str, BodyValue]:
    first, last = (day.isoformat() for day in deadline.days)
    return {
        "was_due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "was_due_between": f"{first}/{last}" if deadline.provisional else None,
        "was_calendar_version": deadline.calendar_version,
    }
