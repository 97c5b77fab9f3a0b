"""Decisions of a person: a number is accepted, an unfinished file is abandoned."""

from __future__ import annotations

import click
from rich.console import Console

from deploy.cli.common import (
    InstantType,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
)
from deploy.cli.shapes import unverified_json
from deploy.cli.telling import tell_doubts
from deploy.wiring import clock, sources_of
from monitor.facts import Instant
from monitor.store.accepting import Acceptance, accept
from monitor.store.files import NothingUnfinished, abandon
from monitor.trust import Doubt, NotAcceptable

_LONGEST = 1_000


def _said(context: click.Context, option: click.Parameter, text: str) -> str:
    del context
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise click.BadParameter(f"one line of 1 to {_LONGEST} characters", param=option)
    return text.strip()


@click.command("accept")
@config_option
@json_option
@click.option("--processor", required=True, help="Whose number it is.")
@click.option(
    "--reason",
    required=True,
    type=click.Choice([doubt.value for doubt in Doubt]),
    help="What made it unverified.",
)
@click.option("--topic", help="Of this topic only. Default: every topic with this reason.")
@click.option(
    "--compared-at",
    required=True,
    type=InstantType(),
    help="When the number was compared with its source, RFC 3339.",
)
@click.option("--by", required=True, callback=_said, help="Who compared it with its source.")
@click.option("--because", required=True, callback=_said, help="What was compared and found.")
@click.option(
    "--unread", is_flag=True, help="Also if the topic was not read to its end since: it is gone."
)
def accept_command(  # noqa: PLR0913 - one for each option
    config: str | None,
    *,
    as_json: bool,
    processor: str,
    reason: str,
    topic: str | None,
    compared_at: Instant,
    by: str,
    because: str,
    unread: bool,
) -> None:
    """Take an unverified mark away after a person has compared the number with its source.

    Who, why and the number are written into the audit log and told on every channel.
    """
    monitor = monitor_of(config)
    said = Acceptance(
        processor=processor,
        reason=Doubt(reason),
        topic=topic,
        compared_at=compared_at,
        by=by,
        because=because,
        unread=unread,
    )
    try:
        done = accept(monitor.engine, said, sources_of(monitor.settings), clock())
    except NotAcceptable as exc:
        fail(str(exc))
        return
    if as_json:
        print_json(
            {
                "processor": done.processor,
                "individuals": done.individuals,
                "research_individuals": done.research,
                "accepted": [
                    {"reason": why.reason.value, "topic": why.topic} for why in done.taken
                ],
                **unverified_json(done.left),
            }
        )
        return
    topics = ", ".join(why.topic for why in done.taken)
    click.echo(f"accepted: {done.individuals:,} individuals of {processor}, {reason} ({topics})")
    if done.left:
        tell_doubts(Console(), [(done.processor, done.left)])


@click.command("abandon")
@config_option
@json_option
@click.option("--source", help="Only files that were read as this. Default: all.")
@click.option("--by", required=True, callback=_said, help="Who decides it.")
@click.option("--because", required=True, callback=_said, help="Why they are not applied again.")
def abandon_command(
    config: str | None, *, as_json: bool, source: str | None, by: str, because: str
) -> None:
    """Drop files whose apply did not end: what was read of them counts as it is.

    Reaches are confirmed again. Who and why is written into the audit log.
    """
    monitor = monitor_of(config)
    try:
        dropped = abandon(monitor.engine, source, by=by, because=because, now=clock())
    except NothingUnfinished as exc:
        fail(str(exc))
        return
    if as_json:
        files = [
            {"source": one.source, "file": one.name, "since": rfc3339(one.since)} for one in dropped
        ]
        print_json({"abandoned": files})
        return
    for one in dropped:
        click.echo(f"abandoned: {one.name} ({one.source}), unfinished since {rfc3339(one.since)}")


COMMANDS = (accept_command, abandon_command)
