"""``facetally filing pack``: what is known for a filing, as workbooks and JSON."""

from __future__ import annotations

from pathlib import Path

import click

from deploy.cli.common import (
    as_of_option,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
)
from deploy.pack.gathering import NothingKnown, gather
from deploy.pack.writing import NotWritten, write_pack
from deploy.wiring import clock, sources_of
from monitor.facts import Instant


@click.command("pack")
@config_option
@json_option
@click.argument("processor")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The folder to write into, made if need be. Default: here.",
)
@as_of_option
def pack_command(
    config: str | None, *, as_json: bool, processor: str, out: Path, as_of: Instant | None
) -> None:
    """Write what is known for a filing of PROCESSOR: XLSX in Chinese and English, and JSON.

    The check list of the nine materials, the number with its instant and proof, the systems, the
    history, the count of working days day by day, duties, calendars, audit head. What nobody told
    facetally is marked for the officer.
    """
    monitor = monitor_of(config)
    settings, now = monitor.settings, clock()
    try:
        found = gather(
            monitor.engine,
            processor,
            as_of=now if as_of is None else as_of,
            now=now,
            rules=settings.rules,
            marks=settings.marks,
            sources=sources_of(settings),
            calendar=monitor.calendar,
        )
        files = write_pack(found, out)
    except (NothingKnown, NotWritten) as exc:
        fail(str(exc))
        return
    if as_json:
        print_json(
            {
                "processor": processor,
                "as_of": rfc3339(found.as_of),
                "individuals": found.status.stock.individuals,
                "verified": not found.status.unverified,
                "files": [str(file) for file in files],
            }
        )
        return
    for file in files:
        click.echo(str(file))
