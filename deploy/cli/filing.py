"""What happened to a filing, as a person says it: submitted, returned, completed, failed, .."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import (
    config_option,
    fail,
    json_option,
    monitor_of,
    parse_instant,
    print_json,
    rfc3339,
    said,
)
from deploy.cli.pack import pack_command
from deploy.cli.telling import wide_console
from deploy.wiring import clock
from monitor.duties import Duty
from monitor.duties import as_json as duty_json
from monitor.facts import Instant
from monitor.filings import CLOCKS, Judged, Settled, StepKind, Target, family
from monitor.latches import target_of
from monitor.store import owing, schema
from monitor.store.engine import reading
from monitor.store.filings_said import (
    NotRecorded,
    Recorded,
    StepSaid,
    listing,
    of_duty,
    record,
)
from monitor.store.names import Names
from monitor.superseding import newest, superseded_by
from monitor.workdays import Calendar, beijing_day

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class WhenType(click.ParamType):
    """A day in Beijing, or an RFC 3339 instant with any offset."""

    name = "DAY|INSTANT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date | Instant:
        """Return a day or microseconds UTC, or fail with a sentence that shows both forms."""
        del param, ctx
        text = str(value)
        try:
            return date.fromisoformat(text) if _DAY.fullmatch(text) else parse_instant(text)
        except (ValueError, click.BadParameter):
            raise click.BadParameter(
                "give a day in Beijing, such as 2026-11-22, or an instant with its offset, such "
                "as 2026-11-22T12:00:00+08:00"
            ) from None


def _maybe(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    return None if text is None else said(context, option, text)


@click.group("filing")
def filing() -> None:
    """Record and show what happened to filings."""


def _step(kind: StepKind, meaning: str) -> click.Command:
    """Return the command that records a step of *kind*."""

    def run(config: str | None, *, as_json: bool, key: str | None, **given: Any) -> None:  # noqa: ANN401 - the options below
        monitor = monitor_of(config)
        step = StepSaid(kind=kind, duty=key, **given)
        try:
            now = clock()
            done = record(monitor.engine, step, monitor.counting(now), now)
        except NotRecorded as exc:
            fail(str(exc))
            return
        show_recorded(done, monitor.calendar, as_json=as_json)

    options: list[Callable[[click.Command], click.Command]] = [
        config_option,
        json_option,
        click.argument("processor"),
        click.option("--rule", required=True, help="The rule of the duty, such as frt.file."),
        click.option("--key", help="Which duty of that rule, where there are several."),
        click.option(
            "--at", required=True, type=WhenType(), help="When: a day in Beijing, or an instant."
        ),
        click.option("--by", required=True, callback=said, help="Who says so."),
        click.option("--reference", callback=_maybe, help="The number of the receipt or letter."),
        click.option("--reason", callback=_maybe, help="What was said with it."),
    ]
    if kind is StepKind.SUBMITTED:
        individuals = click.option(
            "--individuals",
            type=click.IntRange(min=0),
            help="The number that was filed. Default: the number of now.",
        )
        options.append(individuals)
    command = click.command(kind.value, help=meaning)(run)
    for option in options:
        command = option(command)
    return command


_MEANINGS = {
    StepKind.SUBMITTED: "Record that the materials were submitted: the review clock starts.",
    StepKind.RETURNED: "Record that they were returned for improvement: 10 working days start.",
    StepKind.COMPLETED: "Record that the filing is completed: the duty ends.",
    StepKind.FAILED: "Record that the review failed: the duty is owed again.",
    StepKind.TERMINATED: "Record that the procedure was terminated: the duty is owed again.",
}

for _kind, _meaning in _MEANINGS.items():
    filing.add_command(_step(_kind, _meaning))


def show_recorded(done: Recorded, calendar: Calendar, *, as_json: bool) -> None:
    """Show the duty as it is now, and whether anything is new."""
    now = clock()
    shown = None if done.duty is None else duty_json(done.duty, now, calendar)
    if as_json:
        stays = [step.id for step in done.stays]
        print_json({"recorded": done.new, "step": done.step, "duty": shown, "stays": stays})
        return
    what = "recorded" if done.new else "known already"
    if done.duty is None:
        click.echo(what)
        return
    status = done.duty.status(now).value
    click.echo(f"{what}: {done.duty.processor} {done.duty.rule} {done.duty.key} is {status}")
    for step in done.stays:
        told = " ".join(filter(None, ("submitted of", str(beijing_day(step.at)), step.reference)))
        click.echo(
            f"{told} stays with it; if it was about another duty, record it again with the --key "
            "of that one, once it is open"
        )


@filing.command("list")
@config_option
@json_option
@click.option("--processor", help="Only of this one.")
def list_command(config: str | None, *, as_json: bool, processor: str | None) -> None:
    """Show every step that was told, and what became of it."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        found = listing(connection, Names.load(connection))
    told = [
        (name, judged)
        for name, settled in found.items()
        for judged in settled.judged
        if processor in {None, name}
    ]
    if as_json:
        print_json({"steps": [step_json(name, judged) for name, judged in told]})
        return
    table = Table(title="Steps of filings")
    for column in ("processor", "at", "step", "duty", "became", "why", "by", "reference"):
        table.add_column(column)
    for name, judged in told:
        table.add_row(*map(escape, (name, *_cells(judged))))
    wide_console().print(table)


@filing.command("show")
@config_option
@json_option
@click.argument("processor")
@click.option("--rule", required=True, help="The rule of the duty, such as frt.file.")
@click.option("--key", help="Which duty of that rule. Default: the newest not annulled.")
def show_command(
    config: str | None, *, as_json: bool, processor: str, rule: str, key: str | None
) -> None:
    """Show one duty with its steps, its clocks, and the steps that are possible now."""
    monitor = monitor_of(config)
    now = clock()
    with reading(monitor.engine) as connection:
        names = Names.load(connection)
        where = [schema.duties.c.processor_id == names.processor_ids.get(processor, 0)]
        duties = [duty for _, duty in owing.read_duties(connection, names, where)]
        settled = listing(connection, names).get(processor, Settled({}, ()))
    of_rule = [one for one in duties if rule in {one.rule, family(one.rule)}]
    found = [one for one in of_rule if key in {None, one.key}]
    if not found:
        known = ", ".join(f"{one.rule} {one.key}" for one in of_rule or duties) or "none"
        wanted = rule if key is None else f"{rule} {key}"
        fail(f"{processor} has no duty {wanted}; its duties are: {known}")
    duty = newest(found)
    instead = superseded_by(duty, duties)
    possible = _possible(duty) if instead is None else [StepKind.ANNULLED.value]
    of = {"rule": duty.rule, "key": duty.key}
    running = [one for one in duties if one.rule in CLOCKS and one.proof.get("of") == of]
    steps = of_duty(settled, target_of(duty))
    if as_json:
        answer = {
            "duty": duty_json(duty, now, monitor.calendar),
            "steps": [step_json(processor, judged) for judged in steps],
            "clocks": [duty_json(one, now, monitor.calendar) for one in running],
            "possible": possible,
            "superseded_by": named_duty(instead),
        }
        print_json(answer)
        return
    status = duty.status(now).value + superseded_words(instead)
    click.echo(f"{processor} {duty.rule} {duty.key}: {status}, {due_words(duty)}")
    for judged in steps:
        click.echo("  " + " ".join(filter(None, _cells(judged))))
    for one in running:
        whose = "the authority's" if one.of_authority else "ours"
        click.echo(f"  {one.rule} ({whose}): {one.status(now).value}, {due_words(one)}")
    click.echo(f"  possible now: {', '.join(possible) or 'nothing'}")


def step_json(processor: str, judged: Judged) -> dict[str, object]:
    """Return one step with what became of it."""
    step = judged.step
    return {
        "processor": processor,
        "step": step.id,
        "kind": step.kind.value,
        "at": rfc3339(step.at),
        "known_at": rfc3339(step.known_at),
        "source": step.source,
        "became": judged.verdict.value,
        "why": judged.why or None,
        "duty": None if judged.target is None else _named(judged.target),
        "by": step.by,
        "reason": step.reason,
        "reference": step.reference,
    }


def _duty_of(judged: Judged) -> str:
    if judged.target is not None:
        return f"{judged.target.rule} {judged.target.key}"
    return " ".join(filter(None, (judged.step.rule, judged.step.duty)))


def _named(target: Target) -> dict[str, str]:
    return {"rule": target.rule, "key": target.key}


def _cells(judged: Judged) -> tuple[str, ...]:
    step = judged.step
    return (
        rfc3339(step.at) or "",
        step.kind.value,
        _duty_of(judged),
        judged.verdict.value,
        judged.why,
        step.by or "",
        step.reference or "",
    )


def _possible(duty: Duty) -> list[str]:
    return [] if duty.rule in CLOCKS else [kind.value for kind in duty.life.legal]


def named_duty(duty: Duty | None) -> dict[str, str] | None:
    """Return rule and key of *duty*."""
    return None if duty is None else {"rule": duty.rule, "key": duty.key}


def superseded_words(duty: Duty | None) -> str:
    """Return which *duty* is owed instead, if there is one, to follow a status."""
    return "" if duty is None else f" (superseded by {duty.rule} {duty.key})"


def due_words(duty: Duty) -> str:
    """Return by when *duty* is due, or between which days."""
    first, last = duty.deadline.days
    return f"due {first}" if first == last else f"due between {first} and {last}"


filing.add_command(pack_command)

COMMANDS = (filing,)
