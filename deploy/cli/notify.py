"""Test notices: the only way to know that a channel works is to have it tell something."""

from __future__ import annotations

import getpass
import secrets
from collections.abc import Sequence

import click

from alerts.channel import NotDelivered
from deploy.channels import ChannelSettings, open_channel
from deploy.cli.common import (
    EXPECTED,
    WRONG,
    config_option,
    json_option,
    monitor_of,
    print_json,
    said,
    settings_of,
)
from deploy.reading import BadConfig
from deploy.settings import Settings
from deploy.wiring import clock
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import tested
from monitor.store.tested import Tried


def _one_line(context: click.Context, option: click.Parameter, text: str | None) -> str | None:
    return None if text is None else said(context, option, text)


@click.group("notify")
def notify_group() -> None:
    """Try the channels."""


@notify_group.command("test")
@config_option
@json_option
@click.argument("names", metavar="[CHANNEL]...", nargs=-1)
@click.option("--processor", callback=_one_line, help="Whom it is said to be about.")
@click.option(
    "--severity",
    type=click.Choice([one.value for one in Severity]),
    default=Severity.PAGE.value,
    show_default=True,
    help="As which it is told; receivers route by it.",
)
@click.option("--by", callback=_one_line, help="Who tries them. Default: the user of the system.")
def test_command(
    config: str | None,
    *,
    as_json: bool,
    names: Sequence[str],
    processor: str | None,
    severity: str,
    by: str | None,
) -> None:
    """Send a test notice now to each CHANNEL, or to all, and print what was answered.

    It goes past the outbox: nothing else is sent or marked. Exits 1 if a channel failed.
    """
    settings = settings_of(config)
    chosen = _chosen(settings, names)
    now = clock()
    notice = Notice(
        key=key_of(Kind.TEST, secrets.token_hex(16)),
        kind=Kind.TEST,
        severity=Severity(severity),
        processor=processor,
        created_at=now,
    )
    tried = [_tried(one, notice) for one in chosen]
    kept = not _only_hears(settings)
    unwritten = _written(config, notice.key, tried, by or getpass.getuser()) if kept else None
    _tell(tried, unwritten, notice.key, as_json=as_json, audited=kept and unwritten is None)
    if not all(one.delivered for one in tried):
        click.get_current_context().exit(WRONG)


def _chosen(settings: Settings, names: Sequence[str]) -> list[ChannelSettings]:
    known = {one.name: one for one in settings.channels}
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(known)
        raise BadConfig(f"there is no channel {unknown[0]!r}; the settings have: {listed}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(known.values())


def _tried(settings: ChannelSettings, notice: Notice) -> Tried:
    """Try one channel; whatever is wrong with it, the others are tried as well."""
    try:
        answer = open_channel(settings).send(notice, clock())
    except (BadConfig, NotDelivered) as exc:
        return Tried(settings.name, delivered=False, answer=str(exc))
    return Tried(settings.name, delivered=True, answer=answer)


def _written(config: str | None, key: str, tried: Sequence[Tried], by: str) -> str | None:
    """Write it into the audit log; return why that is not possible, or None."""
    try:
        tested.note(monitor_of(config).engine, key, tried, by, clock())
    except EXPECTED as exc:
        return str(exc)
    return None


def _only_hears(settings: Settings) -> bool:
    """Whether these are the settings of a dead-man's machine: it has no database to write to."""
    return settings.deadman is not None and not settings.topics


def _tell(
    tried: Sequence[Tried], unwritten: str | None, key: str, *, as_json: bool, audited: bool
) -> None:
    if as_json:
        channels = [one._asdict() for one in tried]
        print_json({"notice": key, "channels": channels, "audited": audited})
    else:
        for one in tried:
            click.echo(f"{one.channel}: {'' if one.delivered else 'FAILED: '}{one.answer}")
    if unwritten is not None:
        click.echo(f"facetally: not written into the audit log: {unwritten}", err=True)


COMMANDS = (notify_group,)
