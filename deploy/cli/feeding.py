"""Commands that bring records in: apply, publish, rejects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.applying import apply_files
from deploy.cli.common import (
    WRONG,
    InstantType,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    settings_of,
)
from deploy.collecting import collect_seldom
from deploy.replaying import replay
from deploy.wiring import clock
from monitor.facts import Instant
from monitor.intake import Reject
from monitor.store import listing
from monitor.store.engine import reading
from streams.connection import Connection
from streams.files import UNKNOWN, read_records, total_size
from streams.publish import NotPublished, Outgoing, publish
from streams.records import Record
from streams.rereading import topic_ids

_FILES = click.Path(exists=True, dir_okay=False, path_type=Path)


@contextmanager
def progress_bar(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal's standard error; yield what to call with each advance."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _advance: None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda advance: progress.advance(task, advance)


@click.command("apply")
@config_option
@json_option
@click.option("--source", required=True, help="How to read them: 'cloudevents' or [sources.NAME].")
@click.option("--recorded-until", type=InstantType(), help="Bare events were written by then.")
@click.option("--take-settings", is_flag=True, help="These hold from now on, for workers too.")
@click.argument("files", nargs=-1, required=True, type=_FILES)
def apply_command(
    config: str | None,
    *,
    as_json: bool,
    source: str,
    recorded_until: Instant | None,
    take_settings: bool,
    files: tuple[Path, ...],
) -> None:
    """Read records from FILES (NDJSON, also .zst and .gz) instead of from Kafka."""
    monitor = monitor_of(config)
    if source not in monitor.settings.sources:
        known = ", ".join(sorted(monitor.settings.sources))
        fail(f"there is no source {source!r} in the settings; known are {known}")
    with progress_bar(total_size(files), "apply") as advance:
        collect_seldom()
        applied = apply_files(
            monitor,
            files,
            source,
            now=clock(),
            clock=clock,
            recorded_until=recorded_until,
            consumed=advance,
            take_settings=take_settings,
        )
    answer = {
        "records": applied.records,
        "facts": applied.facts,
        "rejected": {
            "total": applied.rejected.total(),
            "by_reason": dict(sorted(applied.rejected.items())),
        },
        "ignored": {
            "total": applied.ignored.total(),
            "by_reason": dict(sorted(applied.ignored.items())),
        },
        "too_many_rejects": applied.too_many_rejects,
    }
    if as_json:
        print_json(answer)
    else:
        click.echo(
            f"{applied.records:,} records, {applied.facts:,} facts, "
            f"{applied.rejected.total():,} rejected, {applied.ignored.total():,} ignored"
        )
        for reason, number in sorted(applied.rejected.items()):
            click.echo(f"  rejected {reason}: {number:,}")
    if applied.records and not applied.facts and applied.rejected:
        click.echo(
            f"facetally: nothing in these files was a fact: is --source {source} right?", err=True
        )
    if applied.unfinished:
        named = ", ".join(applied.unfinished[:9])
        click.echo(
            f"facetally: no reach is confirmed: unfinished are {named}; "
            "wait for their apply or apply them again (see 'facetally abandon --help')",
            err=True,
        )
    if applied.too_many_rejects:
        fail("more records were rejected than reject_limit allows: is --source right?", WRONG)


@click.command("publish")
@config_option
@click.option("--topic", help="Where to; not needed for recorded records, which name theirs.")
@click.option(
    "--codec",
    type=click.Choice(["none", "gzip", "snappy", "lz4", "zstd"]),
    default="none",
    show_default=True,
    help="How batches are compressed.",
)
@click.argument("files", nargs=-1, required=True, type=_FILES)
def publish_command(
    config: str | None, *, topic: str | None, codec: str, files: tuple[Path, ...]
) -> None:
    """Write the records of FILES (NDJSON, also .zst and .gz) to Kafka, in order."""
    settings = settings_of(config)
    connection = Connection(
        bootstrap_servers=settings.bootstrap_servers, tls=settings.tls, sasl=settings.sasl
    )
    patience = max(1.0, settings.start_patience_seconds)
    known: dict[str, str] = {}
    sent = 0
    with progress_bar(total_size(files), "publish") as advance:
        for name, records in _by_topic(files, topic, advance):
            if name not in known:
                known |= topic_ids(connection, [name], patience)
            if name not in known:
                fail(f"there is no topic {name!r} in Kafka; {sent:,} records were published before")
            try:
                sent += publish(connection, name, records, codec=codec, patience=patience)
            except NotPublished as exc:
                fail(f"{exc}; {sent:,} records were published before")
    click.echo(f"{sent:,} records published")


def _by_topic(
    files: tuple[Path, ...], topic: str | None, advance: Callable[[int], None]
) -> Iterator[tuple[str, list[Outgoing]]]:
    """Yield some thousand records at a time by topic, in the order that they have in the files."""
    runs: dict[str, list[Outgoing]] = {}
    held = 0
    for line in read_records(files, consumed=advance):
        if isinstance(line, Reject):
            yield from runs.items()
            fail(f"{line.where.topic}, line {line.where.offset + 1}: {line.reason.value}")
            return
        runs.setdefault(topic or line.topic, []).append(_outgoing(line, keep=topic is None))
        held += 1
        if held >= _AT_ONCE:
            yield from runs.items()
            runs, held = {}, 0
    yield from runs.items()


def _outgoing(line: Record, *, keep: bool) -> Outgoing:
    """Return the record to write; *keep* the recorded partition and time, if it has them.

    Change logs are ordered within their partition, so a recording goes back as it was.
    """
    recorded = keep and line.timestamp != UNKNOWN
    return Outgoing(
        value=line.value,
        key=line.key,
        headers=tuple((name, value or b"") for name, value in line.headers),
        partition=line.partition if recorded else None,
        timestamp=line.timestamp if recorded else None,
    )


_AT_ONCE = 5_000


@click.group("rejects")
def rejects_group() -> None:
    """Look at the records that were set aside, and read them again after a fix."""


@rejects_group.command("list")
@config_option
@json_option
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, help="At most so many."
)
def list_command(config: str | None, *, as_json: bool, limit: int) -> None:
    """List where rejected records are, and why; never what is in them."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        rows = [
            {
                "topic": one.where.topic,
                "partition": one.where.partition,
                "offset": one.where.offset,
                "source": one.source,
                "reason": one.reason,
                "read_at": rfc3339(one.read_at),
            }
            for one in listing.rejects(connection, limit=limit)
        ]
    if as_json:
        print_json({"rejects": rows})
        return
    for row in rows:
        click.echo(f"{row['topic']}/{row['partition']} {row['offset']}: {row['reason']}")
    if len(rows) == limit:
        click.echo(f"(the first {limit:,}; --limit shows more)")


@rejects_group.command("replay")
@config_option
@json_option
def replay_command(config: str | None, *, as_json: bool) -> None:
    """Read the rejected records again from Kafka; those that are facts now are kept."""
    monitor = monitor_of(config)
    result = replay(monitor, clock)
    answer = {"replayed": result.replayed, "still_rejected": result.still, "gone": result.gone}
    if as_json:
        print_json(answer)
    else:
        click.echo(
            f"{result.replayed:,} kept now, {result.still:,} still rejected, "
            f"{result.gone:,} no longer in Kafka"
        )


COMMANDS = (apply_command, publish_command, rejects_group)
