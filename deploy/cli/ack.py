"""``facetally pages`` and ``ack``: what nobody has, and that somebody has it from now on."""

from __future__ import annotations

import click

from deploy.cli.common import (
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    said,
)
from deploy.wiring import Monitor, clock
from monitor.notices import Notice, Severity
from monitor.store import pages
from monitor.store.acknowledging import Said, Several, acknowledge, duty_name
from monitor.store.engine import reading

_MOST = 20


@click.command("ack")
@config_option
@json_option
@click.argument("what")
@click.option("--by", required=True, callback=said, help="Who has it.")
@click.option(
    "--reason", callback=lambda c, o, t: said(c, o, t) if t else None, help="Why, or how."
)
def ack_command(
    config: str | None, *, as_json: bool, what: str, by: str, reason: str | None
) -> None:
    """Acknowledge a page: it is escalated no more. No clock stops, and reminders go on.

    WHAT is the key of a page, or a duty as PROCESSOR/RULE or PROCESSOR/RULE/KEY: all its pages.
    'facetally pages' lists what is open.
    """
    monitor = monitor_of(config)
    now = clock()
    said_ = Said(what=what, by=by, how="command", reason=reason)
    try:
        done = acknowledge(monitor.engine, said_, now)
    except Several as exc:
        fail(str(exc))
        return
    if done is None:
        fail(f"there is no page {what!r}, and no duty of that name with one{_listed(monitor)}")
        return
    if as_json:
        print_json({"acknowledged": list(done.now), "acknowledged_before": list(done.before)})
        return
    for key in done.now:
        click.echo(f"acknowledged {key}")
    for key in done.before:
        click.echo(f"acknowledged before: {key}")


@click.command("pages")
@config_option
@json_option
def pages_command(config: str | None, *, as_json: bool) -> None:
    """List the pages that nobody has acknowledged and whose matter is not over, newest first."""
    found = _open(monitor_of(config))
    if as_json:
        print_json({"pages": [_described(one) for one in found]})
        return
    for one in found:
        click.echo(f"{_line(one)}  {one.kind}")
    if not found:
        click.echo("no page is open")


def _open(monitor: Monitor) -> list[Notice]:
    with reading(monitor.engine) as connection:
        found = pages.open_pages(connection, [Severity.PAGE], clock())
    return [page.notice for page in reversed(found)]


def _described(page: Notice) -> dict[str, object]:
    return {
        "key": page.key,
        "kind": page.kind,
        "processor": page.processor,
        "duty": duty_name(page),
        "created_at": rfc3339(page.created_at),
    }


def _line(page: Notice) -> str:
    named = duty_name(page) or page.processor
    return f"{rfc3339(page.created_at)}  {page.key}" + (f"  {named}" if named else "")


def _listed(monitor: Monitor) -> str:
    """Return what may be acknowledged, newest first."""
    found = _open(monitor)
    if not found:
        return "; no page is open"
    lines = [f"  {_line(page)}" for page in found[:_MOST]]
    more = [f"  and {len(found) - _MOST} older ones"] if len(found) > _MOST else []
    return "\n".join(["; open are", *lines, *more])


COMMANDS = (pages_command, ack_command)
