"""What a person tells: numbers from elsewhere and events; and the forecasts of trigger days."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import click
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import (
    InstantType,
    config_option,
    fail,
    first_instant,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    said,
)
from deploy.cli.filing import WhenType
from deploy.cli.shapes import outlook_words
from deploy.cli.telling import wide_console
from deploy.wiring import clock
from monitor.duties import Duty
from monitor.duties import as_json as duty_json
from monitor.facts import Instant
from monitor.forecast import as_json as forecast_json
from monitor.rules import Rule
from monitor.store import external
from monitor.store.engine import reading
from monitor.store.external import NotTold, NumberSaid, Taken
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.history_days import forecasts_from_book
from monitor.store.names import Names
from monitor.store.numbered import Asked
from monitor.store.older import STANDS
from monitor.workdays import Calendar, beijing_day

_INCIDENT = "incident.graded"
_STANDS = "the number stands above after it was annulled; only a fall and a rise open another"


@click.group("number")
def number_group() -> None:
    """Numbers that no event tells: told by a person, and watched by rules."""


@number_group.command("set")
@config_option
@json_option
@click.argument("processor")
@click.argument("measure")
@click.argument("number", metavar="N", type=int)
@click.option("--at", required=True, type=InstantType(), help="From when on it is so (RFC 3339).")
@click.option("--by", required=True, callback=said, help="Who says so.")
@click.option("--reason", required=True, callback=said, help="Where it was read, or why it moved.")
def set_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    measure: str,
    number: int,
    at: Instant,
    by: str,
    reason: str,
) -> None:
    """Tell that from --at on PROCESSOR had N of MEASURE, such as pi.individuals.

    The number told last for one instant holds: so a wrong one is corrected. Who and why is written
    into the audit log; a duty that this opens, or moves to an earlier day, pages.
    """
    monitor, now = monitor_of(config), clock()
    told = NumberSaid(processor=processor, name=measure, number=number, at=at, by=by, reason=reason)
    try:
        taken = external.tell_number(monitor.engine, told, monitor.counting(now), now)
    except NotTold as exc:
        fail(str(exc))
        return
    _show(taken, f"{measure} of {processor}: {number:,}", now, monitor.calendar, as_json=as_json)


@number_group.command("list")
@config_option
@json_option
@click.argument("processor", required=False)
def list_command(config: str | None, *, as_json: bool, processor: str | None) -> None:
    """Show every number that was told, corrected ones too, oldest first."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        rows = [
            {
                "processor": name,
                "measure": row.name,
                "number": row.number,
                "at": rfc3339(row.at),
                "known_at": rfc3339(row.known_at),
                "by": row.by,
                "reason": row.reason,
            }
            for name, row in external.every_number(connection, Names.load(connection))
            if processor in {None, name}
        ]
    if as_json:
        print_json({"numbers": rows})
        return
    for row in rows:
        said_by = f"by {row['by']}: {row['reason']}"
        click.echo(f"{row['at']} {row['processor']} {row['measure']} {row['number']:,} {said_by}")


@click.command("event")
@config_option
@json_option
@click.argument("processor")
@click.argument("kind")
@click.option(
    "--at", required=True, type=WhenType(), help="When: a day in Beijing, or an instant (RFC 3339)."
)
@click.option("--by", required=True, callback=said, help="Who says so.")
@click.option("--reason", required=True, callback=said, help="What happened.")
@click.option("--reference", default="", help="Its case number; of an assessment, the system.")
def event_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    kind: str,
    at: date | Instant,
    by: str,
    reason: str,
    reference: str,
) -> None:
    """Tell that an event of KIND happened at PROCESSOR: its rules open their duties.

    KIND is one that a rule is about, such as incident.graded, assessment.recorded or, for the end
    of FR use, processor.terminated. Told again (the same kind, reference and instant) it changes
    nothing.
    """
    when = first_instant(at)
    _tell(
        config,
        EventSaid(
            processor=processor, kind=kind, at=when, by=by, reason=reason, reference=reference
        ),
        as_json=as_json,
    )


@click.command("incident")
@config_option
@json_option
@click.argument("processor")
@click.option("--at", required=True, type=InstantType(), help="When it was graded (RFC 3339).")
@click.option("--by", required=True, callback=said, help="Who graded it.")
@click.option("--reason", required=True, callback=said, help="What happened, without names.")
@click.option("--reference", default="", help="A name that tells it apart, such as a case number.")
def incident_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    at: Instant,
    by: str,
    reason: str,
    reference: str,
) -> None:
    """Tell of a security incident that was graded: the clock of incident.other runs in hours."""
    _tell(
        config,
        EventSaid(
            processor=processor, kind=_INCIDENT, at=at, by=by, reason=reason, reference=reference
        ),
        as_json=as_json,
    )


def _tell(config: str | None, event: EventSaid, *, as_json: bool) -> None:
    monitor, now = monitor_of(config), clock()
    try:
        taken = tell_event(monitor.engine, event, monitor.counting(now), now)
    except NotTold as exc:
        fail(str(exc))
        return
    what = f"{event.kind} at {event.processor}, {rfc3339(event.at)}"
    early = _too_early(monitor.settings.rules, taken, event)
    _show(taken, what, now, monitor.calendar, early, as_json=as_json)


def _show(
    taken: Taken,
    what: str,
    now: Instant,
    calendar: Calendar,
    notes: Iterable[str] = (),
    *,
    as_json: bool,
) -> None:
    if as_json:
        print_json(
            {
                "new": taken.new,
                "rules": list(taken.rules),
                "duties": [duty_json(duty, now, calendar) for duty in taken.duties],
                "asked": [one._asdict() for one in taken.asked],
            }
        )
        return
    click.echo(f"{'kept' if taken.new else 'known already'}: {what}")
    if not taken.rules:
        click.echo("no rule that is on is about it: nothing is watched")
    for line in (*_lines(taken.duties, now), *map(_question, taken.asked), *notes):
        click.echo(line)


def _question(asked: Asked) -> str:
    began = f"it began on {asked.found_day}" if asked.found_day else "it was never reached"
    what = _STANDS if asked.why == STANDS else f"by what is told now {began}"
    return f"to be decided: {asked.rule} ({asked.key}): {what} ({asked.why}); see 'facetally duty'"


def _too_early(rules: Iterable[Rule], taken: Taken, event: EventSaid) -> list[str]:
    """Say of each rule that *event* opens a duty under that it was not in force yet."""
    return [
        f"{rule.id} is in force from {rule.since}: nothing is owed for what was before"
        for rule in rules
        if rule.id in taken.rules and rule.event == event.kind
        if rule.since is not None and beijing_day(event.at) < rule.since
    ]


def _lines(duties: Iterable[Duty], now: Instant) -> Iterable[str]:
    for duty in duties:
        deadline = duty.deadline
        if duty.annulled is not None:
            due = f"annulled: {duty.annulled}"
        elif duty.closed_at is not None and duty.closed_at <= now:
            due = f"{duty.status(now).value}, was due {deadline.due_day or deadline.latest}"
        elif deadline.due_at is not None:
            due = f"too late from {rfc3339(deadline.due_at)} on"
        elif deadline.provisional:
            due = f"due between {deadline.earliest} and {deadline.latest} (provisional)"
        else:
            due = f"{'kept to' if duty.closed_at is not None else 'due'} {deadline.due_day}"
        yield f"duty {duty.rule} ({duty.key}): trigger day {duty.trigger_day}, {due}"


@click.command("forecast")
@config_option
@json_option
@click.argument("processor", required=False)
def forecast_command(config: str | None, *, as_json: bool, processor: str | None) -> None:
    """Show when each threshold is expected to be reached, and between which days.

    Reads the whole book, so that every day's number is exact by the facts known now; 'status'
    shows the same from the days as they were noted.
    """
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        names = Names.load(connection)
        wanted = sorted(names.processor_ids)
        if processor is not None and processor not in wanted:
            fail(f"there is no processor {processor!r} in the database")
        wanted = [processor] if processor is not None else wanted
        settings = monitor.settings
        found = forecasts_from_book(
            connection, names, wanted, settings.rules, settings.marks.research, clock()
        )
    if as_json:
        print_json(
            {
                "forecasts": [
                    {"processor": one, "rule": rule} | dict(forecast_json(forecast))
                    for one, rule, forecast in found
                ]
            }
        )
        return
    table = Table(title="Forecast of trigger days")
    columns = ("processor", "threshold", "individuals", "a day", "trigger day")
    for column in columns:
        table.add_column(column, justify="right" if column in columns[2:4] else "left")
    for one, rule, forecast in found:
        rate = "" if forecast.per_day is None else f"{forecast.per_day:,.1f}"
        threshold = f"{rule} >= {forecast.at_least:,}"
        cells = (escape(one), escape(threshold), f"{forecast.individuals:,}", rate)
        table.add_row(*cells, outlook_words(forecast))
    wide_console().print(table)


COMMANDS = (number_group, event_command, incident_command, forecast_command)
