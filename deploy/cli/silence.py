"""``facetally silence``: mute notices for a while, by name and with a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from deploy.cli.common import (
    InstantType,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    said,
)
from deploy.wiring import clock
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.muting import Silence
from monitor.notices import Kind, Severity
from monitor.store import muted
from monitor.store.engine import reading

_BY = click.option("--by", required=True, callback=said, help="Who decides it.")


@click.group("silence")
def silence() -> None:
    """Mute notices until a time. No clock stops, nothing is unwritten, no duty opens unheard."""


@silence.command("add")
@config_option
@json_option
@_BY
@click.option("--reason", required=True, callback=said, help="Why.")
@click.option("--until", required=True, type=InstantType(), help="RFC 3339, with its offset.")
@click.option("--processor", help="Only what is about this processor.")
@click.option("--rule", help="Only what is about this rule.")
@click.option("--kind", type=click.Choice([one.value for one in Kind]), help="Only this kind.")
@click.option(
    "--severity", type=click.Choice([one.value for one in Severity]), help="Only this severity."
)
def add_command(  # noqa: PLR0913 - one for each option
    config: str | None,
    *,
    as_json: bool,
    by: str,
    reason: str,
    until: Instant,
    processor: str | None,
    rule: str | None,
    kind: str | None,
    severity: str | None,
) -> None:
    """Mute what agrees with all that is given.

    What opens a duty, opens it again or makes it due earlier, that its filing failed and its last
    day are told; enrolments after the end of use are not.
    """
    monitor = monitor_of(config)
    wanted = muted.Wanted(
        until=until,
        by=by,
        reason=reason,
        processor=processor,
        rule=rule,
        kind=Kind(kind) if kind else None,
        severity=Severity(severity) if severity else None,
    )
    now = clock()
    try:
        made = muted.add(monitor.engine, wanted, now, monitor.settings.silence_max_days)
    except muted.NotSilenced as exc:
        fail(str(exc))
        return
    with reading(monitor.engine) as connection:
        within = muted.deadlines(connection, made)
    shown = _as_json(made, now, monitor.settings.silence_max_days, within)
    if as_json:
        print_json(shown)
        return
    click.echo(f"silence {made.number} until {rfc3339(made.until)}")
    for duty in within:
        name = f"{duty.processor}/{duty.rule}/{duty.key}"
        click.echo(f"    within it: {name}, last day {duty.deadline.earliest}")


@silence.command("list")
@config_option
@json_option
@click.option("--all", "every", is_flag=True, help="Those that have ended, too.")
def list_command(config: str | None, *, as_json: bool, every: bool) -> None:
    """Show the silences in force."""
    monitor = monitor_of(config)
    now, longest = clock(), monitor.settings.silence_max_days
    with reading(monitor.engine) as connection:
        shown = [
            _as_json(one, now, longest, muted.deadlines(connection, one))
            for one in muted.every(connection)
            if every or one.in_force(now, longest)
        ]
    if as_json:
        print_json({"silences": shown})
        return
    for one in shown:
        what = " ".join(
            f"{name} {one[name]}"
            for name in ("processor", "rule", "kind", "severity")
            if one[name] is not None
        )
        state = "in force" if one["in_force"] else f"ended {one['ended_at'] or one['until']}"
        click.echo(
            f"{one['id']}  {what}  until {one['until']}  {state}  {one['by']}: {one['reason']}"
        )
    if not shown:
        click.echo("no silence is in force")


@silence.command("end")
@config_option
@click.argument("number", metavar="ID", type=int)
@_BY
def end_command(config: str | None, *, number: int, by: str) -> None:
    """End a silence now; what it kept back and is still open is told."""
    if not muted.end(monitor_of(config).engine, number, by, clock()):
        fail(f"there is no silence {number} that lasts; see 'facetally silence list'")
    click.echo(f"silence {number} is over")


def _as_json(
    one: Silence, now: Instant, longest_days: int, within: Sequence[Duty]
) -> Mapping[str, Any]:
    return {
        "id": one.number,
        "processor": one.processor,
        "rule": one.rule,
        "kind": one.kind,
        "severity": one.severity,
        "made_at": rfc3339(one.made_at),
        "until": rfc3339(one.until),
        "in_force": one.in_force(now, longest_days),
        "by": one.by,
        "reason": one.reason,
        "ended_at": rfc3339(one.ended_at),
        "ended_by": one.ended_by,
        "deadlines": [
            {
                "processor": duty.processor,
                "rule": duty.rule,
                "key": duty.key,
                "last_day": duty.deadline.earliest.isoformat(),
            }
            for duty in within
        ],
    }


COMMANDS = (silence,)
