"""Material changes: the candidates, and what a person decides about them."""

from __future__ import annotations

import json
from datetime import date

import click
from rich.markup import escape
from rich.table import Table

from deploy.cli.common import (
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
from deploy.cli.telling import wide_console
from deploy.wiring import clock
from monitor.changes import SEEN, ChangeKind
from monitor.duties import as_json as duty_json
from monitor.facts import Instant
from monitor.store import changes
from monitor.store.changes import Change, ChangeSaid, NotDecided, Verdict
from monitor.store.engine import reading
from monitor.store.names import Names

_TOLD = [kind.value for kind in ChangeKind if kind not in SEEN]
_BY = click.option("--by", required=True, callback=said, help="Who says or decides it.")
_REASON = click.option("--reason", required=True, callback=said, help="What changed, or why.")


@click.group("change")
def change() -> None:
    """Show and decide what may have changed since the filing."""


@change.command("list")
@config_option
@json_option
@click.option("--all", "everything", is_flag=True, help="Those that were decided, too.")
def list_command(config: str | None, *, as_json: bool, everything: bool) -> None:
    """Show the candidates for a material change, each with its evidence."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        found = changes.listing(connection, Names.load(connection))
    shown = [one for one in found if everything or one.decision is None]
    if as_json:
        print_json({"changes": [_json(one) for one in shown]})
        return
    table = Table(title="Changes")
    for column in ("number", "processor", "kind", "since", "evidence", "decision", "by"):
        table.add_column(column)
    for one in shown:
        evidence = ", ".join(f"{name} {value}" for name, value in one.evidence.items())
        cells = (
            str(one.number),
            one.processor,
            one.kind.value,
            rfc3339(one.at) or "",
            evidence,
            one.decision or "",
            one.by or "",
        )
        table.add_row(*map(escape, cells))
    wide_console().print(table)


@change.command("record")
@config_option
@json_option
@click.argument("processor")
@click.option("--kind", required=True, type=click.Choice(_TOLD), help="What has changed.")
@click.option(
    "--at", required=True, type=WhenType(), help="Since when: a day in Beijing, or an instant."
)
@_BY
@_REASON
def record_command(
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    kind: str,
    at: date | Instant,
    by: str,
    reason: str,
) -> None:
    """Tell of a change that no event says; it waits for a decision like any other."""
    monitor = monitor_of(config)
    told = ChangeSaid(
        processor=processor, kind=ChangeKind(kind), at=first_instant(at), by=by, reason=reason
    )
    try:
        done = changes.record(monitor.engine, told, clock())
    except NotDecided as exc:
        fail(str(exc))
        return
    if as_json:
        print_json({"change": _json(done)})
        return
    click.echo(f"change {done.number} of {done.processor}: {done.decision or 'undecided'}")


@change.command("confirm")
@config_option
@json_option
@click.argument("number", type=int)
@click.option("--at", type=WhenType(), help="When it changed, if that is known better.")
@_BY
@_REASON
def confirm_command(
    config: str | None,
    *,
    as_json: bool,
    number: int,
    at: date | Instant | None,
    by: str,
    reason: str,
) -> None:
    """Confirm that a change is material: its own clock of frt.change starts."""
    since = None if at is None else first_instant(at)
    verdict = Verdict(number=number, confirmed=True, by=by, reason=reason, at=since)
    _decide(config, verdict, as_json=as_json)


@change.command("dismiss")
@config_option
@json_option
@click.argument("number", type=int)
@_BY
@_REASON
def dismiss_command(
    config: str | None, *, as_json: bool, number: int, by: str, reason: str
) -> None:
    """Say that a change is not material."""
    verdict = Verdict(number=number, confirmed=False, by=by, reason=reason)
    _decide(config, verdict, as_json=as_json)


def _decide(config: str | None, verdict: Verdict, *, as_json: bool) -> None:
    monitor = monitor_of(config)
    now = clock()
    try:
        done, duty = changes.decide(monitor.engine, verdict, monitor.counting(now), now)
    except NotDecided as exc:
        fail(str(exc))
        return
    if as_json:
        shown = None if duty is None else duty_json(duty, now, monitor.calendar)
        print_json({"change": _json(done), "duty": shown})
        return
    due = "" if duty is None else f"; {duty.rule} {duty.key} is {duty.status(now).value}"
    click.echo(f"change {done.number} of {done.processor}: {done.decision}{due}")


def _json(one: Change) -> dict[str, object]:
    return {
        "change": one.number,
        "processor": one.processor,
        "kind": one.kind.value,
        "at": rfc3339(one.at),
        "proposed_at": rfc3339(one.proposed_at),
        "source": one.source,
        "evidence": json.loads(json.dumps(dict(one.evidence))),
        "decision": one.decision,
        "decided_at": rfc3339(one.decided_at),
        "by": one.by,
        "reason": one.reason,
    }


COMMANDS = (change,)
