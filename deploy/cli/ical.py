"""``facetally ical``: the deadlines as a calendar that calendar programs subscribe to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from deploy.cli.common import config_option, fail, json_option, monitor_of, print_json
from deploy.ical.words import LANGUAGES, Language
from deploy.ical.writing import write_feed
from deploy.wiring import clock, sources_of


@click.command("ical")
@config_option
@json_option
@click.option(
    "--processor", "processors", multiple=True, help="Of this processor only; may be given again."
)
@click.option(
    "--language",
    type=click.Choice(LANGUAGES),
    default=LANGUAGES[0],
    show_default=True,
    help="The language of titles and texts.",
)
@click.argument("path")
def ical_command(
    config: str | None,
    *,
    as_json: bool,
    processors: Sequence[str],
    language: Language,
    path: str,
) -> None:
    """Write the deadlines of all duties to PATH as iCalendar; - is standard output.

    An all-day event for each duty, with alarms so many working days before. Run it from a timer:
    a file that would say the same is left as it is.
    """
    from deploy.ical.feed import feed  # noqa: PLC0415 - no other command needs icalendar (70 ms)
    from deploy.ical.gathering import NobodyKnown, gather  # noqa: PLC0415 - the same

    if as_json and path == "-":
        fail("--json and the calendar cannot both go to standard output; give a PATH")
    monitor = monitor_of(config)
    now = clock()
    try:
        entries = gather(monitor.engine, sources_of(monitor.settings), now, processors)
    except NobodyKnown as exc:
        fail(str(exc))
        return
    made = feed(
        entries,
        installation=monitor.identity.fingerprint,
        workdays=monitor.calendar,
        language=language,
        now=now,
    )
    if path == "-":
        click.echo(made, nl=False)
        return
    changed = write_feed(Path(path), made)
    if as_json:
        print_json({"file": path, "events": len(entries), "changed": changed})
    else:
        click.echo(f"{path}: {len(entries)} deadlines{'' if changed else ', nothing new'}")


COMMANDS: tuple[click.Command, ...] = (ical_command,)
