"""Commands for setting up: config check, db upgrade."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click

from alerts.deadman.service import DeadmanSettings
from deploy.channels import Unready, open_channel
from deploy.cli.common import config_option, settings_of
from deploy.reading import BadConfig
from deploy.settings import Settings
from deploy.settings_deadman import hasty
from deploy.settings_people import hasty_repeats
from deploy.settings_untold import parted, reaching, unescalated, warnings
from deploy.wiring import calendar_of, upgrade_database


@click.group("db")
def db_group() -> None:
    """Make and upgrade the database."""


@db_group.command("upgrade")
@config_option
def upgrade_command(config: str | None) -> None:
    """Make the tables, or bring them to this version; make the secret of a new database."""
    settings = settings_of(config)
    version, made = upgrade_database(settings)
    click.echo(f"database at version {version}")
    if made:
        click.echo(
            f"made the secret {settings.secret_file}: keep a copy apart from the database; "
            "without it nobody can be recognised again"
        )


@click.group("config")
def config_group() -> None:
    """Look at the settings."""


@config_group.command("check")
@config_option
def check_command(config: str | None) -> None:
    """Check the settings file without Kafka or a database."""
    settings = settings_of(config)
    calendar = calendar_of(settings)
    for channel in settings.channels:
        open_channel(channel)  # reads its secrets; nothing is sent
    if isinstance(settings.acknowledging, Unready):
        raise BadConfig(settings.acknowledging.why)
    if isinstance(settings.deadman, Unready):
        raise BadConfig(settings.deadman.why)
    click.echo(f"{settings.path}: good")
    for warning in _warnings(settings):
        click.echo(f"warning: {warning}", err=True)
    _show(settings)
    click.echo(f"  calendar {calendar.version}, published to {calendar.last_day}")


def _show(settings: Settings) -> None:
    for topic in settings.topics:
        click.echo(f"  topic {topic.name}: source {topic.source}")
    for rule in settings.rules:
        if rule.enabled:
            click.echo(f"  rule {rule.id}: {rule.source}")
    for channel in settings.channels:
        click.echo(f"  channel {channel.name}")
    for heard in _heard(settings.deadman):
        click.echo(f"  deadman {heard}")


def _warnings(settings: Settings) -> list[str]:
    said = warnings(settings.channels, settings.path, _written(settings.path))
    # The dead-man's receiver repeats by itself; where nobody is reached that is said already.
    alone = settings.deadman is not None and not settings.topics
    if reaching(settings.channels) and not alone:
        said += unescalated(settings.routing)
    said += hasty_repeats(settings.routing) + parted(settings.routing)
    if isinstance(settings.deadman, DeadmanSettings):
        said += hasty(settings.deadman)
    return said


def _heard(deadman: DeadmanSettings | Unready | None) -> list[str]:
    """Return where the watchdog is heard, of whom, and who is paged; never the token."""
    if not isinstance(deadman, DeadmanSettings):
        return []
    whom = ", ".join(deadman.installations) or "any installation"
    token = "without" if deadman.token is None else "with"
    paged = ", ".join(deadman.channels)
    return [f"{deadman.address}, {token} a token: hears {whom}, pages by {paged}"]


def _written(path: Path | None) -> object:
    return {} if path is None else tomllib.loads(path.read_text(encoding="utf-8"))


COMMANDS = (db_group, config_group)
