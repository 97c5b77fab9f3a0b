"""``facetally explain``: why a subject is counted, a duty owed, a number so many, a day due."""

from __future__ import annotations

import sys
from datetime import date

import click
from rich.console import Console

from deploy.cli.common import (
    DayType,
    as_of_option,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    settings_of,
)
from deploy.cli.explaining_days import days_json, tell_days
from deploy.cli.explaining_duty import show_duty
from deploy.cli.shapes import unverified_json
from deploy.cli.telling import tell_doubts
from deploy.pack.counting import counted
from deploy.settings import has_settings
from deploy.wiring import Monitor, clock, files_and_kept, sources_of
from monitor.facts import Instant
from monitor.store.engine import reading
from monitor.store.explaining import Explanation, Told, explain
from monitor.store.explaining_more import NothingToExplain, NumberExplained, explain_number
from monitor.store.names import Names
from monitor.store.trust import Trust
from monitor.workdays import Calendar, load_calendar
from streams.adapters import checks
from streams.records import Undecodable


class _Discreet(click.Command):
    """A command whose complaints never repeat what was typed: it may be the id of a person."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, or say what is wrong without the words that are."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            why = "there is no such option; a SUBJECT that begins with - comes after --"
        except click.MissingParameter:
            raise
        except click.UsageError as exc:
            if type(exc) is not click.UsageError:
                raise
            why = "give one SUBJECT; in quotation marks if there are blanks in it"
        raise click.UsageError(why, ctx)


@click.command("explain", cls=_Discreet)
@config_option
@json_option
@click.option("--processor", help="Whose number, subject or duty it is about.")
@click.option("--namespace", default="default", show_default=True, help="Where the id belongs.")
@click.option("--duty", metavar="RULE[:KEY]", help="Explain this duty. Default KEY: the newest.")
@click.option("--number", is_flag=True, help="Explain the number of the processor.")
@as_of_option
@click.option(
    "--date", "counting", type=(DayType(), int), metavar="DAY N", help="Explain N working days."
)
@click.argument("subject", required=False)
def explain_command(  # noqa: PLR0913 - each is an option
    config: str | None,
    *,
    as_json: bool,
    processor: str | None,
    namespace: str,
    duty: str | None,
    number: bool,
    as_of: Instant | None,
    counting: tuple[date, int] | None,
    subject: str | None,
) -> None:
    """Show why SUBJECT is counted or not: the facts, and which of them decide.

    '-' reads the id from standard input, to keep it out of the shell's history. It is hashed at
    once and never shown. Or explain a duty, the number, or a count of working days instead: the
    facts, versions, rules and calendar days that made it.
    """
    asked = [subject is not None, duty is not None, number, counting is not None]
    if sum(asked) != 1:
        raise click.UsageError("give one of SUBJECT, --duty, --number, --date DAY N")
    if as_of is not None and not number:
        raise click.UsageError("--as-of goes with --number")
    if counting is not None:
        _show_date(_calendar(config), *counting, as_json=as_json)
        return
    if processor is None:
        raise click.UsageError("give --processor")
    monitor = monitor_of(config)
    if subject is not None:
        _show_subject(monitor, processor, namespace, subject, as_json=as_json)
    elif duty is not None:
        show_duty(monitor, processor, duty, as_json=as_json)
    else:
        _show_number(monitor, processor, as_of, as_json=as_json)


# -- a subject ---------------------------------------------------------------------------------


def _show_subject(
    monitor: Monitor, processor: str, namespace: str, subject: str, *, as_json: bool
) -> None:
    hashed = monitor.identity.subject_in(processor, namespace, _subject(subject))
    with reading(monitor.engine) as connection:
        found = explain(connection, monitor.settings.marks, processor, hashed)
        names = Names.load(connection)
        known = processor in names.processor_ids
        trust = Trust(connection, names, sources_of(monitor.settings), clock())
        against = trust.against(processor) if known else ()
    answer = _explanation_json(found) | unverified_json(against)
    if as_json:
        print_json(answer)
        return
    click.echo(f"counted: {'yes' if found.standing.operation else 'no'}")
    for told in found.told:
        mark = "*" if told.decides else " "
        click.echo(f"{mark} {rfc3339(told.fact.at)} {_what(told)}")
    click.echo("(* decides today)" if found.told else "nothing is known of this subject")
    tell_doubts(Console(), [(processor, against)])


def _subject(given: str) -> str:
    """Return the id that is *given*, or is to be read; what is wrong with it never quotes it."""
    try:
        read = sys.stdin.buffer.readline().decode() if given == "-" else given
        return checks.ident(read.removesuffix("\n").removesuffix("\r"))
    except UnicodeDecodeError:
        reason = "it is not UTF-8"
    except Undecodable as exc:
        reason = exc.reason.value
    raise click.UsageError(f"SUBJECT cannot be an id: {reason}")


def _explanation_json(found: Explanation) -> dict[str, object]:
    return {
        "counted": found.standing.operation,
        "research": found.standing.research,
        "systems": sorted(found.standing.systems),
        "linked": found.linked,
        "facts": [
            {
                "fact": "Moved" if told.elsewhere else type(told.fact).__name__,
                "what": _what(told),
                "at": rfc3339(told.fact.at),
                "known_at": rfc3339(told.known_at),
                "version": list(told.fact.version),
                "decides": told.decides,
            }
            for told in found.told
        ],
    }


def _what(told: Told) -> str:
    fact = told.fact
    if told.elsewhere:
        return "Moved: the face belongs to another owner from then on"
    place = getattr(fact, "place", None)
    if place is not None:
        where = f"{place.system}/{place.gallery}" if place.gallery else place.system
    else:
        parts = (getattr(fact, "system", None), getattr(fact, "gallery", None))
        where = "/".join(part for part in parts if part)
    named = " (a named face)" if getattr(fact, "face", b"") else ""
    return f"{type(fact).__name__}{f' in {where}' if where else ''}{named}"


# -- a number ----------------------------------------------------------------------------------


def _show_number(monitor: Monitor, processor: str, as_of: Instant | None, *, as_json: bool) -> None:
    settings, now = monitor.settings, clock()
    try:
        with reading(monitor.engine) as connection:
            found = explain_number(
                connection,
                processor,
                settings.marks,
                sources_of(settings),
                as_of=now if as_of is None else as_of,
                now=now,
            )
    except NothingToExplain as exc:
        fail(str(exc))
        return
    if as_json:
        print_json(_number_json(found))
        return
    click.echo(f"{found.processor}: {found.stock.individuals:,} as of {rfc3339(found.as_of)}")
    click.echo(f"research, apart: {found.stock.research:,}")
    for system, individuals in sorted(found.stock.systems.items()):
        click.echo(f"system {system}: {individuals:,}")
    for mark in found.marks:
        where = "/".join(filter(None, (mark.system, mark.gallery)))
        click.echo(f"research mark on {where}: by {mark.by}: {mark.reason}")
    for fact, count in found.facts.items():
        click.echo(f"facts {fact}: {count:,}")
    if found.newest_at is not None:
        known = f"known {rfc3339(found.known_at)}"
        click.echo(f"newest fact {rfc3339(found.newest_at)}, {known}")
    for topic in found.topics:
        click.echo(f"fed by {topic}")
    click.echo(f"audit head {found.audit_entries} {found.audit_head}")
    tell_doubts(Console(), [(processor, found.unverified)])


def _number_json(found: NumberExplained) -> dict[str, object]:
    return {
        "processor": found.processor,
        "as_of": rfc3339(found.as_of),
        "individuals": found.stock.individuals,
        "research_individuals": found.stock.research,
        "systems": [
            {"system": system, "individuals": individuals}
            for system, individuals in sorted(found.stock.systems.items())
        ],
        "research_marks": [
            {"system": one.system, "gallery": one.gallery, "by": one.by, "reason": one.reason}
            for one in found.marks
        ],
        "facts": dict(found.facts),
        "newest_fact_at": rfc3339(found.newest_at),
        "newest_known_at": rfc3339(found.known_at),
        "topics": list(found.topics),
        "audit": {"entries": found.audit_entries, "head": found.audit_head},
        **unverified_json(found.unverified),
    }


# -- a date ------------------------------------------------------------------------------------


def _calendar(config: str | None) -> Calendar:
    given = config or click.get_current_context().find_root().params.get("config")
    if given or has_settings():
        return files_and_kept(settings_of(given))[0]
    return load_calendar()


def _show_date(calendar: Calendar, day: date, count: int, *, as_json: bool) -> None:
    try:
        deadline = calendar.deadline(day, count)
    except ValueError as exc:
        fail(str(exc))
        return
    days = list(counted(day, count, calendar))
    if as_json:
        between = [one.isoformat() for one in deadline.days] if deadline.provisional else None
        answer: dict[str, object] = {
            "trigger_day": day.isoformat(),
            "working_days": count,
            "due_day": deadline.due_day.isoformat() if deadline.due_day else None,
            "due_between": between,
        }
        print_json(answer | days_json(days, calendar))
        return
    tell_days(days)
    for year in calendar.years:
        click.echo(f"calendar {year.version}: {year.notice}")


COMMANDS = (explain_command,)
