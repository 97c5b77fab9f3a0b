"""The settings about reminders, and about acknowledgements over HTTP."""

from __future__ import annotations

from pathlib import Path

from alerts.acknowledging import AckSettings
from alerts.channel import BadSettings
from deploy.reading import BadConfig, Table
from monitor.reminders import DEFAULT, Ladder


def read_ladder(table: Table | None) -> Ladder:
    """Return what ``[reminders]`` says. Raises BadConfig."""
    if table is None:
        return Ladder()
    days = table.whole_numbers("working_days", DEFAULT)
    table.finish()
    try:
        return Ladder(tuple(days))
    except ValueError as exc:
        raise BadConfig(f"{table.at}.working_days: {exc}, such as [20, 10, 5, 3, 1]") from None


def read_acknowledging(table: Table | None, here: Path) -> AckSettings | None:
    """Return where acknowledgements are taken, or None: nowhere. Raises BadConfig."""
    if table is None:
        return None
    address, secret = table.required("address"), table.secret("secret", here)
    previous = table.secret("previous_secret", here)
    table.finish()
    if secret is None:
        raise BadConfig(f"{table.at}.secret: give secret or secret_file (whsec_...)")
    try:
        return AckSettings(address=address, secret=secret, previous_secret=previous)
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None
