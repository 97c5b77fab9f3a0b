"""Calendars in the database: each version as it was used, and what was loaded at run time.

Every version stays, with its text; its hash is in the audit log. Only what a person loaded
(``calendars_loading.py``) is added to the files that a process begins with: two processes with
other files would not agree otherwise on what a missing file means.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.bundle import CALENDAR_USED, RULES_USED
from monitor.calendars import (
    LOADED,
    Sheet,
    Year,
    check_replaces,
    order,
    parse_year,
    settled,
    with_loaded,
)
from monitor.chain import canonical
from monitor.facts import Instant
from monitor.rules import Rule
from monitor.store import audit, bulk, schema
from monitor.store.engine import is_sqlite, reading
from monitor.store.locks import lock_audit
from monitor.workdays import Calendar

log = logging.getLogger(__name__)

_table = schema.calendars
_c = _table.c
_RULES = "rules_used"  # in meta: the hash of the newest set of rules in the audit log


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A version of a year as it was first used; *loaded_at* is when that was."""

    sheet: Sheet
    loaded_at: Instant | None = None
    by: str | None = None
    because: str | None = None


def kept(connection: Connection) -> list[Kept]:
    """Return every version that was ever used, by year, oldest version first.

    Of one version, that which was used first comes first.
    """
    query = select(_table).order_by(_c.loaded_at, _c.origin)
    found = [_kept(row) for row in connection.execute(query)]
    return sorted(found, key=lambda one: (one.sheet.year.year, order(one.sheet.year.version)))


def _kept(row: Row[Any]) -> Kept:
    year = parse_year(f"{row.year}.toml", row.text)
    sheet = Sheet(year=year, text=row.text, origin=row.origin)
    return Kept(sheet=sheet, loaded_at=row.loaded_at, by=row.by, because=row.because)


class Current:
    """The calendar to count by: the files that this process began with, and what was loaded."""

    def __init__(self, base: Calendar) -> None:
        self._base = base
        self._seen: tuple[int, Instant | None] = (0, None)
        self.calendar = base

    def refresh(self, connection: Connection) -> bool:
        """Look whether a year was loaded since; return whether the calendar is another now.

        Raises BadCalendar if what was loaded does not follow the files of this process.
        """
        loaded = _c.origin == LOADED
        row = connection.execute(select(func.count(), func.max(_c.loaded_at)).where(loaded)).one()
        seen = (row[0], row[1])
        if seen == self._seen:
            return False
        self._seen = seen  # also if it cannot be used: it is said once
        years = with_kept(self._base.years, (one.sheet for one in kept(connection)))
        self.calendar, before = Calendar(years), self.calendar
        return self.calendar != before


def with_kept(base: Sequence[Year], sheets: Iterable[Sheet]) -> tuple[Year, ...]:
    """Return *base* with what was loaded of *sheets* (as ``kept`` gives them).

    A year that would be missing between two others, because a file of it was taken away, is the
    newest that was ever used. Raises BadCalendar if there never was one.
    """
    sheets = list(sheets)
    loaded = [sheet.year for sheet in sheets if sheet.origin == LOADED]
    spare = {sheet.year.year: sheet.year for sheet in sheets}
    known = {year.year for year in (*base, *loaded)}
    between = set(range(min(known), max(known))) - known
    return with_loaded(base, [spare[year] for year in sorted(between & spare.keys())] + loaded)


def current(connection: Connection, base: Calendar) -> Calendar:
    """Return *base* with what was loaded. Raises BadCalendar if a year is missing between."""
    found = Current(base)
    found.refresh(connection)
    return found.calendar


def in_use(connection: Connection, sheets: Iterable[Sheet]) -> tuple[Sheet, ...]:
    """Return *sheets*, the files, as they are used here: one version means one set of days.

    A shipped file that has other days than were used before under its version gives way, and that
    is logged: neither may a release change what duties were counted by, nor stop for it.
    """
    files, had = tuple(sheets), [one.sheet for one in kept(connection)]
    found = settled(files, had)
    for file, used in zip(files, found, strict=True):
        if used is not file and not _is_corrected(file, had):
            log.warning(
                "the shipped calendar %s has other days than were used here before under that "
                "version, which hold: compare both with the notice (%s), and load a higher version "
                "with the right days",
                file.year.version,
                file.year.notice,
            )
    return found


def _is_corrected(file: Sheet, had: Iterable[Sheet]) -> bool:
    """Tell whether a person has loaded a higher version of the year since."""
    mine, version = file.year.year, order(file.year.version)
    loaded = (one.year for one in had if one.origin == LOADED)
    return any(year.year == mine and order(year.version) > version for year in loaded)


# -- what was used -----------------------------------------------------------------------------


def check_used(engine: Engine, sheets: Iterable[Sheet]) -> None:
    """Raise BadCalendar if other days were used before under the version of one of *sheets*."""
    with reading(engine) as connection:
        _known(connection, sheets)


def note_used(engine: Engine, sheets: Sequence[Sheet], rules: Iterable[Rule], now: Instant) -> None:
    """Keep, and write into the audit log, the calendars of files and the rules that are used.

    Once for each version of a year, and for each set of rules that is another than the one before.
    Raises BadCalendar if other days were used before under the version of one of *sheets*.
    """
    told = told_rules(rules)
    hashed = hashlib.sha256(canonical({"rules": told}).encode()).hexdigest()
    with reading(engine) as connection:
        if _known(connection, sheets) and _newest_rules(connection) == hashed:
            return
    with engine.begin() as connection:
        fresh = [sheet for sheet in sheets if insert(connection, sheet, now)]
        lock_audit(connection)
        for sheet in fresh:
            audit.append(connection, now, CALENDAR_USED, None, describe(sheet))
        if _newest_rules(connection) != hashed:
            audit.append(connection, now, RULES_USED, None, {"rules": told, "sha256": hashed})
            bulk.upsert(connection, schema.meta, [(_RULES, hashed)])


def told_rules(rules: Iterable[Rule]) -> list[object]:
    """Return *rules* as JSON says them."""
    found: list[object] = json.loads(json.dumps([asdict(rule) for rule in rules], default=str))
    return found


def _known(connection: Connection, sheets: Iterable[Sheet]) -> bool:
    """Return whether all of *sheets* are kept. Raises BadCalendar if one has other days there."""
    had = {(one.sheet.year.year, one.sheet.year.version): one.sheet for one in kept(connection)}
    known = True
    for sheet in sheets:
        old = had.get((sheet.year.year, sheet.year.version))
        check_replaces(old.year if old else None, sheet.year, "one used before,")
        known = known and old is not None
    return known


def _newest_rules(connection: Connection) -> str | None:
    query = select(schema.meta.c.value).where(schema.meta.c.name == _RULES)
    found: str | None = connection.scalar(query)
    return found


def insert(
    connection: Connection,
    sheet: Sheet,
    now: Instant,
    by: str | None = None,
    because: str | None = None,
) -> bool:
    """Keep *sheet*; return False if it is there already, with this version and origin."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    row = {
        "year": sheet.year.year,
        "version": sheet.year.version,
        "origin": sheet.origin,
        "notice": sheet.year.notice,
        "text": sheet.text,
        "sha256": sheet.sha256,
        "loaded_at": now,
        "by": by,
        "because": because,
    }
    statement = dialect.insert(_table).values(row).on_conflict_do_nothing().returning(_c.year)
    return connection.execute(statement).first() is not None


def describe(sheet: Sheet) -> dict[str, object]:
    """Return what the audit log says of a calendar: all but its text, of which it has the hash."""
    return {
        "year": sheet.year.year,
        "version": sheet.year.version,
        "origin": sheet.origin,
        "notice": sheet.year.notice,
        "sha256": sheet.sha256,
    }
