"""``facetally ack``: somebody has a page, and its escalation ends."""

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
from monitor.notices import Severity
from monitor.store import pages
from monitor.store.acknowledging import Said, acknowledge, duty_name
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
    """
    monitor = monitor_of(config)
    now = clock()
    said_ = Said(what=what, by=by, how="command", reason=reason)
    done = acknowledge(monitor.engine, said_, now)
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


def _listed(monitor: Monitor) -> str:
    """Return what may be acknowledged, newest first."""
    with reading(monitor.engine) as connection:
        found = pages.open_pages(connection, [Severity.PAGE], clock())
    if not found:
        return "; no page is open"
    lines = [
        f"  {rfc3339(page.notice.created_at)}  {page.notice.key}"
        + (f"  {name}" if (name := duty_name(page.notice)) else "")
        for page in reversed(found[-_MOST:])
    ]
    more = [f"  and {len(found) - _MOST} older ones"] if len(found) > _MOST else []
    return "\n".join(["; open are", *lines, *more])


COMMANDS = (ack_command,)
