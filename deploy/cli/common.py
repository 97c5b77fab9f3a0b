"""What all commands share: the settings option, JSON output, and errors that end with exit 2."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import click

from deploy.applying import WentBack
from deploy.instance import TooManyWorkers
from deploy.reading import BadConfig
from deploy.secret import NoSecret
from deploy.settings import Settings, load
from deploy.wiring import Monitor, clock, open_monitor
from monitor.calendars import BadCalendar
from monitor.facts import Instant
from monitor.identity import BadSecret
from monitor.store.agreement import SettingsDiffer, SettingsReplaced
from monitor.store.database import WrongDatabase
from monitor.store.engine import (
    AlreadyRunning,
    BadDatabaseUrl,
    DatabaseUnreachable,
    answering,
)
from monitor.store.files import TakenOver
from monitor.store.names import NamespaceChanged
from monitor.workdays import overdue_from
from streams.adapters import checks
from streams.connection import KafkaUnreachable
from streams.files import FileDamaged
from streams.records import Undecodable

F = TypeVar("F", bound=Callable[..., Any])

WRONG, MISUSE = 1, 2
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAY_US: Instant = 86_400_000_000  # Beijing has no summer time

EXPECTED = (
    AlreadyRunning,
    BadCalendar,
    BadConfig,
    BadDatabaseUrl,
    BadSecret,
    DatabaseUnreachable,
    FileDamaged,
    KafkaUnreachable,
    NamespaceChanged,
    NoSecret,
    SettingsDiffer,
    SettingsReplaced,
    TakenOver,
    TooManyWorkers,
    WentBack,
    WrongDatabase,
)
"""Errors that a user can mend: shown as one sentence, without a traceback."""


def config_option(command: F) -> F:
    """Give *command* ``--config``; before the command's name it works too."""
    return click.option(
        "--config",
        "config",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Settings file. Default: facetally.toml here.",
    )(command)


def json_option(command: F) -> F:
    """Give *command* ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def settings_of(config: str | None) -> Settings:
    """Load the settings that *config*, or the option before the command, names."""
    context = click.get_current_context()
    return load(config or context.find_root().params.get("config"))


def monitor_of(config: str | None) -> Monitor:
    """Open the configured database for the running command, whose end closes it."""
    monitor = open_monitor(settings_of(config))
    context = click.get_current_context()
    context.call_on_close(monitor.engine.dispose)
    context.with_resource(answering(monitor.engine))
    return monitor


def print_json(value: Mapping[str, object]) -> None:
    """Print *value* as JSON, readable, keys as they come."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def rfc3339(instant: Instant | None) -> str | None:
    """Return *instant* as RFC 3339 in UTC, microseconds only where there are any."""
    if instant is None:
        return None
    seconds, micro = divmod(instant, 1_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{micro:06d}Z" if micro else f"{text}Z"


def parse_instant(text: str) -> Instant:
    """Return the instant that *text* (RFC 3339, any offset) names. Raises click.BadParameter."""
    try:
        return checks.rfc3339(text)
    except Undecodable:
        raise click.BadParameter(
            "give an instant with its offset, such as 2026-11-22T12:00:00+08:00"
        ) from None


def first_instant(at: date | Instant) -> Instant:
    """Return the first instant of a day in Beijing, or the instant that was given."""
    return overdue_from(at) - _DAY_US if isinstance(at, date) else at


class DayType(click.ParamType):
    """A day such as 2026-11-22, in that spelling alone."""

    name = "DAY"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """Return the day, or fail with a sentence that shows the form."""
        if isinstance(value, date):
            return value
        try:
            # fromisoformat reads 20261122 and 2026-W47-7 too
            return date.fromisoformat(str(value) if _DAY.fullmatch(str(value)) else "")
        except ValueError:
            self.fail(f"give a day such as 2026-11-22, not {str(value)!r}", param, ctx)


class InstantType(click.ParamType):
    """An RFC 3339 instant with any offset, as microseconds UTC."""

    name = "INSTANT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Instant:
        """Return the instant, or fail with a sentence that shows the form."""
        del param, ctx
        return value if isinstance(value, int) else parse_instant(str(value))


class PastType(InstantType):
    """An instant that is not ahead of the clock: of a later one there is nothing to be known."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Instant:
        """Return the instant, or fail; nothing is ever shown as known of a day to come."""
        instant = super().convert(value, param, ctx)
        if instant > clock():
            self.fail(
                f"{value} is in the future; what will be stored then is not known", param, ctx
            )
        return instant


def as_of_option(command: F) -> F:
    """Give *command* ``--as-of``, an instant that is over."""
    of = "The numbers as of this instant (RFC 3339), not a later one than now."
    return click.option("--as-of", type=PastType(), help=of)(command)


_LONGEST = 1_000


def said(context: click.Context, option: click.Parameter, text: str) -> str:
    """Return what a person says of a decision: one line. The callback of ``--by`` and its kin."""
    del context
    if not text.strip() or not text.isprintable() or len(text) > _LONGEST:
        raise click.BadParameter(f"one line of 1 to {_LONGEST} characters", param=option)
    return text.strip()


def fail(message: str, code: int = MISUSE) -> None:
    """Say what is wrong and end with *code*."""
    click.echo(f"facetally: {message}", err=True)
    sys.exit(code)
