"""Years of the working calendar as data: one file ``YEAR.toml`` with its State Council notice.

A file says which days are off and which weekend days are worked instead; all other days follow
the week. Files are read at run time, so that a new year needs a file and no release. What is
read here is checked, because a wrong day in it becomes a wrong deadline.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")

ONE_DAY = timedelta(days=1)
SATURDAY = 5
DECEMBER = 12
PLAUSIBLE = range(2000, 3000)


class BadCalendar(ValueError):
    """A calendar file cannot be used; the message names the file, the field and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """One published year. *version* changes whenever the days do (``2026-1``, ``2026-2``).

    *off* and *work* are the exceptions from Monday to Friday. They may reach into the December
    before, as the notice for 2019 did: a later notice overrules an earlier one.
    """

    year: int
    version: str
    notice: str  # number, date and address of the notice
    off: frozenset[date]
    work: frozenset[date]


def read_years(directory: Path | None = None) -> tuple[Year, ...]:
    """Return the shipped years and those in *directory*, ascending and without a hole.

    A year in *directory* replaces the shipped one, and needs another version if its days differ.
    Raises BadCalendar.
    """
    years = {year.year: year for year in _read_all(files(__name__))}
    if directory is not None:
        for year in _read_all(directory):
            _check_replaces(years.get(year.year), year)
            years[year.year] = year
    found = sorted(years)
    for before, after in pairwise(found):
        if after != before + 1:
            raise BadCalendar(
                f"{after}.toml: the year {before + 1} is missing before it; add {before + 1}.toml"
            )
    return tuple(years[year] for year in found)


def parse_year(name: str, text: str) -> Year:
    """Return the year in *text*, the content of the file *name*. Raises BadCalendar."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise BadCalendar(f"{name}: no valid TOML: {exc}") from None
    number, version = _get(name, table, "year", int), _get(name, table, "version", str)
    if number not in PLAUSIBLE:
        raise BadCalendar(f"{name}: year: {number} is not one of {PLAUSIBLE[0]}-{PLAUSIBLE[-1]}")
    if name != f"{number}.toml":
        raise BadCalendar(f"{name}: year: is {number}; call the file {number}.toml")
    off: set[date] = set()
    work: set[date] = set()
    for holiday in _get(name, table, "holidays", list):
        if not isinstance(holiday, dict):
            raise BadCalendar(f"{name}: holidays: must be tables, [[holidays]]")
        off |= _off_days(name, number, holiday)
        work |= _work_days(name, number, holiday)
    if both := off & work:
        raise BadCalendar(f"{name}: {min(both)} is both off and a work day; remove one")
    return Year(
        year=number,
        version=version,
        notice=_notice(name, _get(name, table, "notice", dict)),
        off=frozenset(off),
        work=frozenset(work),
    )


def _read_all(directory: Traversable) -> list[Year]:
    try:
        found = [item for item in directory.iterdir() if item.name.endswith(".toml")]
        return [parse_year(item.name, item.read_text("utf-8")) for item in found]
    except (OSError, UnicodeDecodeError) as exc:
        raise BadCalendar(f"the calendars in {directory} cannot be read: {exc}") from None


def _check_replaces(old: Year | None, new: Year) -> None:
    if old is None or (old.off, old.work) == (new.off, new.work):
        return
    if old.version == new.version:
        raise BadCalendar(
            f"{new.year}.toml: version: the days differ from the shipped {old.version}; raise it"
        )


def _notice(name: str, table: Mapping[str, object]) -> str:
    number, source = _get(name, table, "number", str), _get(name, table, "source", str)
    return f"{number}, {_get(name, table, 'published', date)}, {source}"


def _off_days(name: str, year: int, holiday: Mapping[str, object]) -> set[date]:
    first, last = _get(name, holiday, "first", date), _get(name, holiday, "last", date)
    if first > last:
        raise BadCalendar(f"{name}: first: {first} is after last, {last}; exchange them")
    _check_within(name, "first", year, first)
    _check_within(name, "last", year, last)
    return {first + ONE_DAY * count for count in range((last - first).days + 1)}


def _work_days(name: str, year: int, holiday: Mapping[str, object]) -> set[date]:
    days: set[date] = set()
    for day in _get(name, {"work": [], **holiday}, "work", list):
        if type(day) is not date:
            raise BadCalendar(f"{name}: work: must be days such as {year}-02-28, unquoted")
        if day.weekday() < SATURDAY:
            raise BadCalendar(f"{name}: work: {day} is no Saturday or Sunday; see the notice")
        _check_within(name, "work", year, day)
        days.add(day)
    return days


def _check_within(name: str, field: str, year: int, day: date) -> None:
    if day.year != year and (day.year, day.month) != (year - 1, DECEMBER):
        raise BadCalendar(f"{name}: {field}: {day} is not in {year}; move it to {day.year}.toml")


def _get(name: str, table: Mapping[str, object], field: str, kind: type[_T]) -> _T:
    value = table.get(field)
    # type() and not isinstance(): to TOML a date is no datetime, and true is no number.
    if type(value) is not kind:
        raise BadCalendar(f"{name}: {field}: must be given, as {kind.__name__}")
    return value
