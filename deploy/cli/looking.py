"""Commands that only read: status, duties, positions, explain, verify, working-days."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import (
    MISUSE,
    WRONG,
    as_of_option,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    settings_of,
)
from deploy.cli.shapes import reached, status_json, still_stored_json, unverified_json
from deploy.cli.telling import (
    tell_ahead,
    tell_doubts,
    tell_groups,
    tell_still_stored,
    trust_of,
    wide_console,
)
from deploy.settings import has_settings
from deploy.wiring import clock, files_and_kept, sources_of
from monitor.duties import as_json as duty_json
from monitor.facts import Instant
from monitor.groups import GroupNumber
from monitor.store import listing, owing, stock
from monitor.store.approaching import Outlooks, outlooks
from monitor.store.as_of import status_as_of
from monitor.store.engine import reading
from monitor.store.grouping import numbers
from monitor.store.names import Names
from monitor.store.reading import Status, status
from monitor.store.terminating_watch import watched
from monitor.store.trust import Trust
from monitor.store.verifying import verify
from monitor.workdays import load_calendar

_OF_DAY = len("2026-11-22")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@click.command("status")
@config_option
@json_option
@as_of_option
def status_command(config: str | None, *, as_json: bool, as_of: Instant | None) -> None:
    """Show how many individuals each processor stores, and how its thresholds stand."""
    monitor = monitor_of(config)
    settings = monitor.settings
    now = clock()
    with reading(monitor.engine) as connection:
        ahead: Outlooks = {}
        if as_of is None:
            found = status(connection, settings.rules, sources_of(settings), now)
            ahead = outlooks(connection, Names.load(connection), settings.rules, now)
        else:
            found = status_as_of(
                connection, settings.rules, settings.marks, as_of, sources_of(settings), today=now
            )
        stocks = {one.processor: one.stock for one in found.processors}
        groups = numbers(connection, settings.marks, settings.groups, stocks, now=as_of is None)
    if as_json:
        print_json(status_json(found, ahead, groups))
    else:
        _show_status(found, ahead, groups)


def _show_status(found: Status, ahead: Outlooks, groups: Sequence[GroupNumber]) -> None:
    console = wide_console()
    table = Table(title="Stored individuals")
    for name in ("processor", "individuals", "research", "threshold", "reached", "number"):
        table.add_column(name, justify="right" if name in {"individuals", "research"} else "left")
    for one in found.processors:
        number = trust_of(one.unverified)
        if one.recount_pending:
            number += ", being recounted"
        counts = (f"{one.stock.individuals:,}", f"{one.stock.research:,}")
        for rule, state in [
            (f"{threshold.rule} >= {threshold.at_least:,}", reached(threshold))
            for threshold in one.thresholds
        ] or [("none", "")]:
            table.add_row(escape(one.processor), *counts, escape(rule), state, escape(number))
    console.print(table)
    if groups:
        tell_groups(console, groups, {one.processor: one.unverified for one in found.processors})
    tell_ahead(console, found, ahead)
    tell_doubts(console, [(one.processor, one.unverified) for one in found.processors])
    for what, reasons in (("rejected", found.rejected), ("ignored", found.ignored)):
        if reasons:
            each = ", ".join(f"{reason} {number:,}" for reason, number in sorted(reasons.items()))
            console.print(f"{what}: {sum(reasons.values()):,} ({each})", highlight=False)


@click.command("duties")
@config_option
@json_option
def duties_command(config: str | None, *, as_json: bool) -> None:
    """Show what is owed, by when, and why."""
    monitor = monitor_of(config)
    now = clock()
    with reading(monitor.engine) as connection:
        names = Names.load(connection)
        duties = [duty for _, duty in owing.read_duties(connection, names)]
        trust = Trust(connection, names, sources_of(monitor.settings), now)
        against = {one: trust.against(one) for one in sorted({d.processor for d in duties})}
        stocks = stock.read(connection, names)
        ends = watched(connection, names, duties)
    found = [
        duty_json(duty, now, monitor.calendar)
        | {"still_stored": still_stored_json(duty, ends, stocks)}
        | unverified_json(against[duty.processor])
        for duty in duties
    ]
    if as_json:
        print_json({"duties": found})
        return
    table = Table(title="Duties")
    for name in ("processor", "rule", "key", "status"):
        table.add_column(name, overflow="fold")
    for name in ("trigger day", "due"):
        table.add_column(name, min_width=_OF_DAY)
    for name in ("working days left", "number then", "number now"):
        table.add_column(name, overflow="fold")
    for duty, shown in zip(found, duties, strict=True):
        between = duty["due_between"]
        due = duty["due_day"] or (" .. ".join(between) if isinstance(between, list) else "")
        row = (*(duty[name] for name in ("processor", "rule", "key", "status", "trigger_day")), due)
        left = duty["working_days_left"]
        cells = (escape(str(cell)) for cell in row)
        table.add_row(
            *cells,
            "" if left is None else str(left),
            _trust_then(shown.proof),
            trust_of(against[shown.processor]),
        )
    console = wide_console()
    console.print(table)
    tell_still_stored(console, found)
    tell_doubts(console, against.items())


def _trust_then(proof: Mapping[str, object]) -> str:
    """Return whether the number that opened a duty was verified then; older proofs do not say."""
    said = proof.get("unverified")
    if not isinstance(said, list):
        return ""
    reasons = ", ".join(sorted({str(one["reason"]) for one in said}))
    return f"UNVERIFIED: {reasons}" if reasons else "verified"


@click.command("positions")
@config_option
@json_option
def positions_command(config: str | None, *, as_json: bool) -> None:
    """Show the next offset of each partition, and when reading was last at its end."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        found = [
            {
                "topic": one.topic,
                "partition": one.partition,
                "topic_id": one.topic_id,
                "next_offset": one.next_offset,
                "passed": rfc3339(one.passed),
                "at_end": rfc3339(one.at_end),
            }
            for one in listing.positions(connection)
        ]
    if as_json:
        print_json({"positions": found})
        return
    table = Table(title="Positions")
    for name in ("topic", "partition", "next offset", "passed", "at its end"):
        table.add_column(name)
    for one in found:
        row = (one["topic"], one["partition"], one["next_offset"], one["passed"], one["at_end"])
        table.add_row(*(escape(str(cell)) for cell in row))
    wide_console().print(table)


@click.command("verify")
@config_option
@json_option
def verify_command(config: str | None, *, as_json: bool) -> None:
    """Check the registers against the book, the numbers, the audit chain and the positions.

    An unverified number is shown as such; it is nothing wrong in the database.
    """
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        found = verify(connection, monitor.settings.marks, monitor.settings.rules)
        names = Names.load(connection)
        trust = Trust(connection, names, sources_of(monitor.settings), clock())
        against = {one: trust.against(one) for one in sorted(names.processor_ids)}
    holds = all(finding.holds for finding in found)
    if as_json:
        print_json(
            {
                "holds": holds,
                "checks": [
                    {"check": one.check, "holds": one.holds, "detail": one.detail} for one in found
                ],
                "processors": [
                    {"processor": one} | unverified_json(whys) for one, whys in against.items()
                ],
            }
        )
    else:
        for one in found:
            click.echo(f"{'ok   ' if one.holds else 'WRONG'} {one.check}: {one.detail}")
        tell_doubts(Console(), against.items())
    sys.exit(0 if holds else WRONG)


@click.command("working-days")
@config_option
@json_option
@click.argument("day", metavar="DATE")
@click.argument("count", metavar="N", type=int)
@click.option("--count-trigger-day", is_flag=True, help="Count DATE itself as day 1 (stricter).")
def working_days_command(
    config: str | None, *, as_json: bool, day: str, count: int, count_trigger_day: bool
) -> None:
    """Show the last day of N working days after DATE, by the published Chinese calendars."""
    try:
        # fromisoformat reads 20261122 and 2026-W47-7 too
        trigger = date.fromisoformat(day if _DAY.fullmatch(day) else "")
    except ValueError:
        fail(f"DATE must be a day such as 2026-11-22, not {day!r}")
        return
    given = config or click.get_current_context().find_root().params.get("config")
    # Of the settings only the calendars are needed, so it does without where there are none.
    configured = given or has_settings()
    calendar = files_and_kept(settings_of(given))[0] if configured else load_calendar()
    try:
        deadline = calendar.deadline(trigger, count, count_trigger_day)
    except ValueError as exc:
        fail(str(exc), MISUSE)
        return
    between = [one.isoformat() for one in deadline.days] if deadline.provisional else None
    answer = {
        "trigger_day": trigger.isoformat(),
        "working_days": count,
        "due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "due_between": between,
        "provisional": deadline.provisional,
        "calendar_version": deadline.calendar_version,
    }
    if as_json:
        print_json(answer)
    elif between:
        click.echo(f"between {between[0]} and {between[1]} (provisional: not all is published)")
    else:
        click.echo(str(answer["due_day"]))


COMMANDS = (
    status_command,
    duties_command,
    positions_command,
    verify_command,
    working_days_command,
)
