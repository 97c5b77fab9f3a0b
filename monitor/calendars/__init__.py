"""Years of the working calendar as data: one file ``YEAR.toml`` with its State Council notice.

A file says which days are off and which weekend days are worked instead; all other days follow
the week. Files are read at run time, so that a new year needs a file and no release. What is
read here is checked, because a wrong day in it becomes a wrong deadline.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
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


SHIPPED, FOLDER, LOADED = "shipped", "folder", "loaded"
"""Where a year came from: with the program, from ``calendar_dir``, by ``calendar load``."""

_OF_A_YEAR = re.compile(r"[0-9]{4}\.toml")
# A number first: what has none is in no order, and a correction would go unnoticed.
_VERSION = r"-[0-9][0-9A-Za-z._-]{0,31}"
_FIELDS = {
    "": frozenset({"year", "version", "notice", "holidays"}),
    "notice": frozenset({"title", "number", "published", "source"}),
    "holidays": frozenset({"name", "first", "last", "work"}),
}
_TABLE = re.compile(r"\s*\[+\s*(\w+)\s*\]+")


class BadCalendar(ValueError):
    """A calendar file cannot be used; the message names the file, the field and what to do.

    Where it can it names the line, too.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """One published year. *version* changes whenever the days do (``2026-1``, ``2026-2``).

    It begins with the year and a number, so that of two the later one is known. *off* and *work*
    are the exceptions from Monday to Friday. They may reach into the December before, as the
    notice for 2019 did: a later notice overrules an earlier one.
    """

    year: int
    version: str
    notice: str  # number, date and address of the notice
    off: frozenset[date]
    work: frozenset[date]
    published: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A year with the very text that it was read from, and where that came from."""

    year: Year
    text: str
    origin: str

    @property
    def sha256(self) -> str:
        """Return the hash of the text, by which the audit log names it."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_years(directory: Path | None = None) -> tuple[Year, ...]:
    """Return the shipped years and those in *directory*, ascending and without a hole.

    A year in *directory* replaces the shipped one, and needs another version if its days differ.
    Raises BadCalendar.
    """
    return tuple(sheet.year for sheet in read_sheets(directory))


def read_sheets(directory: Path | None = None) -> tuple[Sheet, ...]:
    """Return what ``read_years`` does, with the texts."""
    sheets = {sheet.year.year: sheet for sheet in _read_all(files(__name__), SHIPPED)}
    if directory is not None:
        for sheet in _read_all(directory, FOLDER):
            shipped = sheets.get(sheet.year.year)
            check_replaces(shipped.year if shipped else None, sheet.year, "shipped")
            sheets[sheet.year.year] = sheet
    check_follow(sheets)
    return tuple(sheets[year] for year in sorted(sheets))


def with_loaded(base: Iterable[Year], loaded: Iterable[Year]) -> tuple[Year, ...]:
    """Return *base* with each of *loaded* in the place of a lower version of its year.

    Raises BadCalendar if a year is missing between two others.
    """
    years = {year.year: year for year in base}
    for year in loaded:
        if year.year not in years or order(year.version) >= order(years[year.year].version):
            years[year.year] = year
    check_follow(years)
    return tuple(years[year] for year in sorted(years))


def order(version: str) -> tuple[tuple[int, ...], str]:
    """Return what versions are compared by: their numbers, so that 2027-10 is above 2027-9."""
    return tuple(int(number) for number in re.findall(r"[0-9]+", version)), version


def settled(sheets: Iterable[Sheet], kept: Iterable[Sheet]) -> tuple[Sheet, ...]:
    """Return *sheets* with what was used before in place of those with other days.

    *kept* is all that was ever used. One version means one set of days: that which was used first
    under it. A shipped file that says otherwise gives way, as nobody can change it; so does any
    file of which a higher version was loaded. Others stay, to be refused (``check_replaces``).
    """
    kept = list(kept)
    first = {one.year.version: one for one in reversed(kept)}
    loaded = {one.year.year: one.year.version for one in _ascending(kept) if one.origin == LOADED}
    return tuple(
        first[sheet.year.version] if _gives_way(sheet, first, loaded) else sheet for sheet in sheets
    )


def differ(sheet: Sheet, kept: Iterable[Sheet]) -> bool:
    """Tell whether *sheet* has other days than one in *kept* of its version."""
    year = sheet.year
    return any(
        one.year.version == year.version and (one.year.off, one.year.work) != (year.off, year.work)
        for one in kept
    )


def _gives_way(sheet: Sheet, first: Mapping[str, Sheet], loaded: Mapping[int, str]) -> bool:
    used = first.get(sheet.year.version)
    if used is None or not differ(sheet, [used]):
        return False
    newest = loaded.get(sheet.year.year, sheet.year.version)
    return sheet.origin == SHIPPED or order(newest) > order(sheet.year.version)


def _ascending(sheets: Iterable[Sheet]) -> list[Sheet]:
    return sorted(sheets, key=lambda one: order(one.year.version))


def check_follow(years: Iterable[int]) -> None:
    """Raise BadCalendar if a year is missing between two others."""
    for before, after in pairwise(sorted(years)):
        if after != before + 1:
            raise BadCalendar(
                f"{after}.toml: the year {before + 1} is missing before it; add {before + 1}.toml"
            )


def check_replaces(old: Year | None, new: Year, called: str) -> None:
    """Raise BadCalendar if *new* has other days than *old* (*called* so) under its version."""
    if old is None or (old.off, old.work) == (new.off, new.work):
        return
    if old.version == new.version:
        raise BadCalendar(
            f"{new.year}.toml: version: the days differ from the {called} {old.version}; raise it"
        )


def read_sheet(path: Path) -> Sheet:
    """Return the year in the file *path*, to be loaded. Raises BadCalendar.

    Only a name that is that of a year has to be that of this year.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as exc:
        raise BadCalendar(f"{path.name}: cannot be read as a text: {_why(exc)}") from None
    year = parse_year(path.name, text, any_name=_OF_A_YEAR.fullmatch(path.name) is None)
    return Sheet(year=year, text=text, origin=LOADED)


def parse_year(name: str, text: str, *, any_name: bool = False) -> Year:
    """Return the year in *text*, the content of the file *name*. Raises BadCalendar."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as exc:
        raise BadCalendar(f"{name}: no valid TOML: {exc}") from None
    root = _Part(name, text, table)
    number, version = _number_and_version(root, any_name=any_name)
    off: set[date] = set()
    work: set[date] = set()
    for index, holiday in enumerate(root.get("holidays", list)):
        if not isinstance(holiday, dict):
            raise root.wrong("holidays", "must be tables, [[holidays]]")
        part = _Part(name, text, holiday, "holidays", index)
        off |= _off_days(part, number)
        work |= _work_days(part, number)
        part.check_fields()
    if both := off & work:
        line = _line_of(text, "holidays", 0, str(min(both)))
        raise BadCalendar(f"{name}: {min(both)} is both off and a work day; remove one{line}")
    notice = _Part(name, text, root.get("notice", dict), "notice")
    published = notice.get("published", date)
    notice.check_fields()
    root.check_fields()
    return Year(
        year=number,
        version=version,
        notice=f"{notice.get('number', str)}, {published}, {notice.get('source', str)}",
        off=frozenset(off),
        work=frozenset(work),
        published=published,
    )


def _number_and_version(root: _Part, *, any_name: bool) -> tuple[int, str]:
    number, version = root.get("year", int), root.get("version", str)
    if number not in PLAUSIBLE:
        raise root.wrong("year", f"{number} is not one of {PLAUSIBLE[0]}-{PLAUSIBLE[-1]}")
    if root.name != f"{number}.toml" and not any_name:
        raise root.wrong("year", f"is {number}; call the file {number}.toml")
    if not re.fullmatch(f"{number}{_VERSION}", version):
        raise root.wrong("version", f"must begin with {number}- and a number, such as {number}-1")
    return number, version


def _read_all(directory: Traversable, origin: str) -> list[Sheet]:
    try:
        found = [item for item in directory.iterdir() if item.name.endswith(".toml")]
        texts = [(item.name, item.read_text("utf-8")) for item in found]
    except (OSError, UnicodeDecodeError) as exc:
        raise BadCalendar(f"the calendars in {directory} cannot be read: {exc}") from None
    return [Sheet(year=parse_year(name, text), text=text, origin=origin) for name, text in texts]


@dataclass(frozen=True, slots=True)
class _Part:
    """A table of a file: its values, and where they stand."""

    name: str
    text: str
    found: Mapping[str, object]
    table: str = ""
    index: int = 0

    def get(self, field: str, kind: type[_T]) -> _T:
        """Return the value of *field*, which must be there."""
        value = self.found.get(field)
        # type() and not isinstance(): to TOML a date is no datetime, and true is no number.
        if type(value) is not kind:
            raise self.wrong(field, f"must be given, as {kind.__name__}")
        return value

    def check_fields(self) -> None:
        """Raise BadCalendar for a field that means nothing: a misspelt one would be a lost day."""
        known = _FIELDS[self.table]
        for field in self.found:
            if field not in known:
                raise self.wrong(field, f"is not known; use {', '.join(sorted(known))}")

    def wrong(self, field: str, what: str) -> BadCalendar:
        """Return the error that says *what* is wrong with *field*, and in which line."""
        line = _line_of(self.text, self.table, self.index, field)
        return BadCalendar(f"{self.name}: {field}: {what}{line}")


def _line_of(text: str, table: str, index: int, word: str) -> str:
    """Return the line of *word* in the *index*-th *table*, else that of the table's head, if any.

    A file that is written otherwise than those we ship may have neither: then nothing is said.
    """
    current, seen, head = "", -1, 0
    for number, line in enumerate(text.splitlines(), 1):
        if opened := _TABLE.match(line):
            current = opened[1]
            seen += current == table
            head = number if (current, seen) == (table, index) else head
        here = current == table and (table != "holidays" or seen >= index)
        if here and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", line.partition("#")[0]):
            return f" (line {number})"
    return f" (line {head})" if head else ""


def _off_days(part: _Part, year: int) -> set[date]:
    first, last = part.get("first", date), part.get("last", date)
    if first > last:
        raise part.wrong("first", f"{first} is after last, {last}; exchange them")
    _check_within(part, "first", year, first)
    _check_within(part, "last", year, last)
    return {first + ONE_DAY * count for count in range((last - first).days + 1)}


def _work_days(part: _Part, year: int) -> set[date]:
    days: set[date] = set()
    given = part.get("work", list) if "work" in part.found else []
    for day in given:
        if type(day) is not date:
            raise part.wrong("work", f"must be days such as {year}-02-28, unquoted")
        if day.weekday() < SATURDAY:
            raise part.wrong("work", f"{day} is no Saturday or Sunday; see the notice")
        _check_within(part, "work", year, day)
        days.add(day)
    return days


def _check_within(part: _Part, field: str, year: int, day: date) -> None:
    if day.year != year and (day.year, day.month) != (year - 1, DECEMBER):
        raise part.wrong(field, f"{day} is not in {year}; move it to {day.year}.toml")


def _why(exc: OSError | UnicodeDecodeError) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else "it is not UTF-8"
