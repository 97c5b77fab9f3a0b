"""Calendars at run time: load a year, check a file, show what is used and what is provisional."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import (
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    said,
    settings_of,
)
from deploy.cli.telling import wide_console
from deploy.settings import Settings, has_settings
from deploy.wiring import clock, files_and_kept
from monitor.calendars import Sheet, Year, read_sheet, read_sheets
from monitor.calendars.checking import doubts, working_days_of
from monitor.moving import Moved
from monitor.store.calendars import Kept
from monitor.store.calendars_loading import Decision, load
from monitor.workdays import Calendar, Deadline, beijing_day

_file = click.Path(path_type=Path, dir_okay=False)
_EXAMPLE = 30  # working days: the period of most rules


@click.group("calendar")
def calendar_group() -> None:
    """Load, show and check the calendars of working days."""


def _somebody() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@calendar_group.command("load")
@config_option
@json_option
@click.argument("file", type=_file)
@click.option(
    "--by", default=_somebody, callback=said, help="Who loads it. Default: who is logged in."
)
@click.option("--because", default="published", callback=said, show_default=True, help="Why.")
@click.option("--despite-doubts", is_flag=True, help="Load it although something is strange.")
def load_command(
    config: str | None, *, as_json: bool, file: Path, by: str, because: str, despite_doubts: bool
) -> None:
    """Use the year in FILE from now on, in all running processes, and count open duties again.

    Loading the same file again does nothing. Another content needs a higher version. A year in
    which something is strange (see 'calendar check') moves no day unless --despite-doubts is given.
    """
    monitor = monitor_of(config)
    sheet = read_sheet(file)
    strange = doubts(sheet.year)
    if strange and not despite_doubts:
        _refuse(sheet, strange)
    now = clock()
    policy = monitor.counting(now)
    decided = Decision(sheet=sheet, by=by, because=because)
    done = load(monitor.engine, monitor.sheets, decided, policy, now)
    if as_json:
        print_json(
            {
                **_year_json(sheet.year),
                "loaded": done.fresh,
                "calendar_version": done.calendar.version,
                "moved": [_moved_json(one) for one in done.moved],
                "doubts": strange,
            }
        )
        return
    what = "loaded" if done.fresh else "already in use"
    click.echo(f"{sheet.year.version}: {what}; published to {done.calendar.last_day}")
    for one in done.moved:
        before, after = _days(one.before.deadline), _days(one.after.deadline)
        click.echo(f"  {one.after.processor} {one.after.rule}: was {before}, now {after}")
    _tell_doubts(strange)


def _refuse(sheet: Sheet, strange: Sequence[str]) -> None:
    lines = "".join(f"\n  compare with the notice: {doubt}" for doubt in strange)
    fail(
        f"{sheet.year.version}: not loaded, for something in it is strange; "
        f"if the notice says so, give --despite-doubts{lines}"
    )


def _moved_json(one: Moved) -> dict[str, object]:
    return {
        "processor": one.after.processor,
        "rule": one.after.rule,
        "key": one.after.key,
        "before": _deadline_json(one.before.deadline),
        "after": _deadline_json(one.after.deadline),
        "earlier": one.earlier,
        "why": one.why.value,
    }


def _deadline_json(deadline: Deadline) -> dict[str, object]:
    between = [day.isoformat() for day in deadline.days] if deadline.provisional else None
    return {
        "due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "due_between": between,
        "calendar_version": deadline.calendar_version,
    }


def _days(deadline: Deadline) -> str:
    return " .. ".join(sorted({day.isoformat() for day in deadline.days}))


def _tell_doubts(strange: Sequence[str]) -> None:
    for doubt in strange:
        click.echo(f"  compare with the notice: {doubt}")


@calendar_group.command("check")
@config_option
@json_option
@click.argument("file", type=_file, required=False)
def check_command(config: str | None, *, as_json: bool, file: Path | None) -> None:
    """Check FILE without loading it, or without FILE the calendars in use.

    Exits 2 for what cannot be right, with file, field and line. What is only strange is listed, to
    be compared with the notice.
    """
    settings = _settings(config)
    if file is not None:
        years: Sequence[Year] = [read_sheet(file).year]
    else:
        calendar, _, _ = _known(settings)
        years = calendar.years
    found = [(year, doubts(year)) for year in years]
    if as_json:
        print_json({"years": [_year_json(year) | {"doubts": strange} for year, strange in found]})
        return
    for year, strange in found:
        click.echo(f"{year.version}: good, {working_days_of(year)} working days ({year.notice})")
        _tell_doubts(strange)


@calendar_group.command("show")
@config_option
@json_option
@click.option(
    "--toml", "as_toml", is_flag=True, help="Print YEAR as the file that it was read from."
)
@click.argument("year", type=int, required=False)
def show_command(config: str | None, *, as_json: bool, as_toml: bool, year: int | None) -> None:
    """Show the years: version, source, and what is not published yet; or the days of one YEAR.

    With --toml the very text of the file in use: one to begin another year's with.
    """
    if as_toml and (year is None or as_json):
        raise click.UsageError("--toml goes with a YEAR, and without --json")
    calendar, sheets, kept = _known(_settings(config))
    if year is not None:
        found = next((one for one in calendar.years if one.year == year), None)
        if found is None:
            fail(f"the calendar of {year} is not loaded; days in it are provisional")
            return
        if as_toml:
            click.echo(_text_of(found, [*(one.sheet for one in kept), *sheets]), nl=False)
        else:
            _show_year(found, as_json=as_json)
        return
    today = beijing_day(clock())
    example = calendar.deadline(today, _EXAMPLE)
    rows = _rows(calendar, sheets, kept)
    if as_json:
        print_json(
            {
                "calendar_version": calendar.version,
                "published_to": calendar.last_day.isoformat(),
                "years": rows,
                "provisional_from": date(calendar.years[-1].year + 1, 1, 1).isoformat(),
                "today": {"trigger_day": today.isoformat(), "working_days": _EXAMPLE}
                | _deadline_json(example),
            }
        )
        return
    _show_rows(rows)
    following = calendar.years[-1].year + 1
    click.echo(f"{following} and later: not published, deadlines in them are provisional")
    kind = "provisional" if example.provisional else "known"
    click.echo(f"{_EXAMPLE} working days from {today}: {_days(example)} ({kind})")


def _settings(config: str | None) -> Settings | None:
    """Return the settings, or None where there are none: then the shipped calendars are meant."""
    given = config or click.get_current_context().find_root().params.get("config")
    return settings_of(given) if given or has_settings() else None


def _known(settings: Settings | None) -> tuple[Calendar, Sequence[Sheet], Sequence[Kept]]:
    if settings is not None:
        return files_and_kept(settings)
    sheets = read_sheets()
    return Calendar(tuple(sheet.year for sheet in sheets)), sheets, ()


def _year_json(year: Year) -> dict[str, object]:
    return {
        "year": year.year,
        "version": year.version,
        "source": year.notice,
        "working_days": working_days_of(year),
    }


def _rows(
    calendar: Calendar, sheets: Sequence[Sheet], kept: Sequence[Kept]
) -> list[dict[str, object]]:
    """Return every version that is or was used, those in use and where they came from."""
    used = {year.year: year.version for year in calendar.years}
    rows = []
    known = {(one.sheet.year.version, one.sheet.origin) for one in kept}
    fresh = [Kept(sheet=one, loaded_at=None) for one in sheets]
    others = [one for one in fresh if (one.sheet.year.version, one.sheet.origin) not in known]
    for one in sorted((*kept, *others), key=lambda one: one.sheet.year.year):
        year = one.sheet.year
        rows.append(
            _year_json(year)
            | {
                "in_use": used.get(year.year) == year.version,
                "origin": one.sheet.origin,
                "sha256": one.sheet.sha256,
                "since": rfc3339(one.loaded_at),
                "by": one.by,
                "because": one.because,
            }
        )
    return rows


def _show_rows(rows: Sequence[dict[str, object]]) -> None:
    table = Table(title="Calendars")
    columns = ("year", "version", "in use", "working days", "origin", "by", "source")
    for name in columns:
        table.add_column(name)
    for row in rows:
        shown = {**row, "in use": "yes" if row["in_use"] else "no"}
        shown["working days"] = row["working_days"]
        table.add_row(*(escape(str(shown[name] or "")) for name in columns))
    wide_console().print(table)


def _text_of(year: Year, sheets: Sequence[Sheet]) -> str:
    """Return what *year* was read from."""
    return next(sheet.text for sheet in sheets if sheet.year == year)


def _show_year(year: Year, *, as_json: bool) -> None:
    off, work = ([day.isoformat() for day in sorted(days)] for days in (year.off, year.work))
    if as_json:
        print_json(_year_json(year) | {"off": off, "work": work, "doubts": doubts(year)})
        return
    click.echo(f"{year.version}: {working_days_of(year)} working days ({year.notice})")
    click.echo(f"  off: {', '.join(off)}")
    click.echo(f"  worked: {', '.join(work)}")
    _tell_doubts(doubts(year))


COMMANDS: tuple[click.Command, ...] = (calendar_group,)
