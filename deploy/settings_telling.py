"""The settings about reminders, and about acknowledgements over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from alerts.acknowledging import AckSettings
from alerts.channel import BadSettings
from deploy.channel_secrets import NotHere, Secrets
from deploy.channels import Unready
from deploy.reading import BadConfig, Table
from deploy.settings_people import time_of_day
from monitor.muting import LONGEST_DAYS
from monitor.reminders import DEFAULT, Ladder

_LATEST: Final = 18 * 60


def read_ladder(table: Table | None) -> Ladder:
    """Return what ``[reminders]`` says. Raises BadConfig."""
    if table is None:
        return Ladder()
    days = table.whole_numbers("working_days", DEFAULT)
    at = time_of_day(table, "at", "09:00")
    table.finish()
    if at > _LATEST:
        raise BadConfig(f"{table.at}.at: must leave time to act: 18:00 at the latest")
    try:
        return Ladder(tuple(days), at)
    except ValueError as exc:
        raise BadConfig(f"{table.at}.working_days: {exc}, such as [20, 10, 5, 3, 1]") from None


def silence_days(root: Table) -> int:
    """Return how many days a silence lasts at most. Raises BadConfig."""
    days = root.whole("silence_max_days", LONGEST_DAYS, least=1)
    if days > LONGEST_DAYS:
        raise BadConfig(f"silence_max_days: must be {LONGEST_DAYS} at most")
    return days


def read_acknowledging(
    table: Table | None, here: Path, environ: Mapping[str, str]
) -> AckSettings | Unready | None:
    """Return where acknowledgements are taken, or None: nowhere. Raises BadConfig.

    Where a secret cannot be read it is ``Unready``: only who takes them has to refuse that.
    """
    if table is None:
        return None
    address, secrets = table.required("address"), Secrets(table, here, environ)
    try:
        secret = secrets.required("secret", "whsec_...")
        previous = secrets.take("previous_secret")
    except NotHere as exc:
        return Unready(table.at, str(exc))
    table.finish()
    try:
        return AckSettings(address=address, secret=secret, previous_secret=previous)
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None
