"""The audit log: exported for an auditor, verified anywhere, watched, and its checkpoints."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from deploy.bundles import NoBundle, check
from deploy.cli.common import (
    WRONG,
    config_option,
    fail,
    json_option,
    monitor_of,
    print_json,
    rfc3339,
    settings_of,
)
from deploy.exporting import NotEmpty, Product, export
from deploy.wiring import Monitor, clock, open_log
from monitor.bundle import Verdict
from monitor.chain import Checkpoint, Entry, Unreadable, checkpoints_from
from monitor.store import audit, calendars, evidence
from monitor.store.engine import answering, reading

_LOOK_EVERY = 0.5
_SHOWN = 10
_WIDE = 200  # of a body, for people; --json has all of it

_ELSEWHERE = "duties, steps, changes and notices are compared with the log by: facetally verify"

_path = click.Path(path_type=Path)
_checkpoint_option = click.option(
    "--checkpoint",
    "kept",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Checkpoints that were kept elsewhere: the chain must go through them.",
)


@click.group("audit")
def audit_group() -> None:
    """Export, verify and watch the audit log."""


@audit_group.command("export")
@config_option
@json_option
@click.argument("path", type=_path)
def export_command(config: str | None, *, as_json: bool, path: Path) -> None:
    """Write all that an auditor needs to PATH: a folder, or one file if it ends in .tar.

    Nothing is written beside it, and nothing over what is there. What was written is verified at
    once; exits 1 if it does not hold, or if the database is not as its log says. It is exported as
    it is all the same.
    """
    monitor = monitor_of(config)
    try:
        done = export(monitor.engine, path, _product(monitor), clock())
    except NotEmpty as exc:
        fail(str(exc))
        return
    wrong = [f"{table}: {why}" for table, why in done.wrong]
    if done.broken is not None:
        wrong.append(f"the chain is broken at entry {done.broken}")
    else:  # a year that was changed in the database would seal nothing, a day prove nothing
        wrong += [f"{one.file}: {one.why}" for one in check(path).broken]
    if as_json:
        print_json({"path": str(path), **done.chain, "first_broken": done.broken, "wrong": wrong})
    else:
        click.echo(f"{path}: {done.chain['entries']} entries, head {done.chain['head']}")
    for why in wrong[:_SHOWN]:
        click.echo(f"facetally: WRONG: {why}", err=True)
    sys.exit(WRONG if wrong else 0)


def _product(monitor: Monitor) -> Product:
    try:
        ours = version("facetally")
    except PackageNotFoundError:  # run from its source, not installed
        ours = "unreleased"
    return Product(
        version=ours,
        sheets=monitor.sheets,
        rules=calendars.told_rules(monitor.settings.rules),
        retention_years=monitor.settings.retention_years,
    )


@audit_group.command("verify")
@config_option
@json_option
@_checkpoint_option
@click.argument("path", type=_path, required=False)
def verify_command(
    config: str | None, *, as_json: bool, kept: Path | None, path: Path | None
) -> None:
    """Check every byte of the bundle at PATH, or without PATH the log in the database.

    For a bundle neither settings nor a database nor a secret is needed. Exits 1 and names the
    first broken link if anything was changed, removed or added, or if a duty's last day is not what
    the sealed calendars and rules count to. Who makes a whole log anew is found out by --checkpoint
    alone.
    """
    checkpoints = _kept(kept) if kept is not None else []
    if path is not None:
        try:
            found = check(path, checkpoints)
        except NoBundle as exc:
            fail(str(exc))
            return
    else:
        engine = open_log(settings_of(config))  # a calendar that was damaged is to be found
        click.get_current_context().call_on_close(engine.dispose)
        with answering(engine), reading(engine) as connection:
            found = evidence.examine(connection, checkpoints)
    _tell(found, "the database" if path is None else str(path), as_json=as_json)
    if path is None and not as_json:
        click.echo(_ELSEWHERE)
    sys.exit(0 if found.holds else WRONG)


def _kept(file: Path) -> list[Checkpoint]:
    try:
        found = checkpoints_from(line for line in file.read_bytes().splitlines() if line)
    except Unreadable as exc:
        raise click.BadParameter(f"{file}: {exc}") from None
    if not found:
        raise click.BadParameter(f"{file}: there is no checkpoint in it")
    return found


def _tell(found: Verdict, what: str, *, as_json: bool) -> None:
    first = found.first_broken
    if as_json:
        print_json(
            {
                "holds": found.holds,
                "entries": found.chain.get("entries"),
                "head": found.chain.get("head"),
                "checkpoints": found.checkpoints,
                "checkpoints_younger": found.younger,
                "days_recounted": found.days,
                "product": found.product or None,
                "exported_at": rfc3339(found.exported_at),
                "first_broken": first.seq if first else None,
                "broken": [
                    {"file": one.file, "entry": one.seq, "why": one.why} for one in found.broken
                ],
            }
        )
        return
    if first is None:
        entries, head = found.chain["entries"], found.chain["head"]
        days = f", {found.days} last days counted again" if found.days else ""
        click.echo(f"ok    {what}: {entries} entries, head {head}{days}{_through(found)}")
        return
    where = f"first broken link: entry {first.seq}" if first.seq else "no entry, but"
    click.echo(f"WRONG {what}: {where} ({_plain(first.file)}): {first.why}")
    for one in [other for other in found.broken if other is not first][:_SHOWN]:
        click.echo(f"      {_plain(one.file)}: {one.why}")


def _through(found: Verdict) -> str:
    """Say which checkpoints it was compared with, and which it was not."""
    total = found.checkpoints + found.younger
    if not total:
        return ""
    through = f", through {found.checkpoints} of {total} checkpoints"
    if not found.younger:
        return through
    return f"{through}; {found.younger} younger than the bundle says it is were not compared"


def _plain(name: str) -> str:
    """Return the name of a file that a stranger may have chosen, fit for a terminal."""
    return name if name.isprintable() else ascii(name)


@audit_group.command("checkpoint")
@config_option
@json_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def checkpoint_command(config: str | None, *, as_json: bool, file: Path | None) -> None:
    """Print the head of the chain, or add it to FILE: keep it where nobody of us can write.

    Checked again and again by 'audit verify --checkpoint FILE'.
    """
    del as_json  # a checkpoint is JSON
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        line = audit.checkpoint(connection, clock()).line()
    if file is None:
        click.echo(line)
        return
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "a") as stream:
        stream.write(f"{line}\n")
        stream.flush()
        os.fsync(stream.fileno())


@audit_group.command("tail")
@config_option
@json_option
@click.option(
    "-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many."
)
@click.option("--follow", is_flag=True, help="Go on with what is added, until interrupted.")
def tail_command(config: str | None, *, as_json: bool, count: int, follow: bool) -> None:
    """Show the newest entries, the newest last; with --json one object a line."""
    monitor = monitor_of(config)
    with reading(monitor.engine) as connection:
        newest, _ = audit.head(connection)
    seen = max(0, newest - count)
    show: Callable[[Entry], str] = _as_json if as_json else _in_words
    while True:
        with reading(monitor.engine) as connection:
            for entry in audit.entries(connection, after=seen):
                click.echo(show(entry))
                seen = entry.seq
        if not follow:
            return
        sys.stdout.flush()
        time.sleep(_LOOK_EVERY)


def _as_json(entry: Entry) -> str:
    found = {
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "kind": entry.kind,
        "processor": entry.processor,
        "body": json.loads(entry.body),
        "previous": entry.previous,
        "hash": entry.hash,
    }
    return json.dumps(found, ensure_ascii=False)


def _in_words(entry: Entry) -> str:
    whose = entry.processor or "-"
    body = entry.body if len(entry.body) <= _WIDE else f"{entry.body[:_WIDE]} ..."
    return f"{entry.seq} {rfc3339(entry.at)} {entry.kind} {whose} {body}"


COMMANDS: tuple[click.Command, ...] = (audit_group,)
