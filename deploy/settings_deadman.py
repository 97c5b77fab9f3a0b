"""The settings of the dead-man's receiver, ``[deadman]``: for the machine that it runs on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from alerts.channel import BadSettings
from alerts.channels.alertmanager import AlertmanagerSettings
from alerts.channels.log import LogSettings
from alerts.deadman.pulse import Patience
from alerts.deadman.service import DeadmanSettings
from deploy.channel_secrets import NotHere, Secrets
from deploy.channels import ChannelSettings, Unready
from deploy.reading import BadConfig, Table
from deploy.settings_people import span

_MINUTE: Final = 60_000_000
_SILENCE: Final = 5 * _MINUTE
_SHORTEST: Final = 3 * _MINUTE
_REPEAT: Final = 60 * _MINUTE


def read_deadman(
    table: Table | None,
    here: Path,
    environ: Mapping[str, str],
    channels: Sequence[ChannelSettings],
) -> DeadmanSettings | Unready | None:
    """Return where the watchdog is heard, and who is told, or None. Raises BadConfig.

    Where the token cannot be read it is ``Unready``: only who hears has to refuse that.
    """
    if table is None:
        return None
    address, patience = table.text("address", "127.0.0.1:9466"), _patience(table)
    installations = _names(table, "installations")
    named = _told(table, channels)
    try:
        token = Secrets(table, here, environ).take("token")
    except NotHere as exc:
        return Unready(table.at, str(exc))
    table.finish()
    try:
        return DeadmanSettings(
            address=address,
            channels=named,
            patience=patience,
            installations=installations,
            token=token,
        )
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None


def hasty(deadman: DeadmanSettings) -> list[str]:
    """Return what is wrong with settings that can be used all the same, in sentences."""
    if deadman.patience.silence >= _SHORTEST:
        return []
    often = "and the watchdog is told each minute or two"
    return [f"deadman.silence is under 3m, {often}: it would page and take it back, for ever"]


def _patience(table: Table) -> Patience:
    silence, repeat = span(table, "silence"), span(table, "repeat")
    try:
        return Patience(
            silence=_SILENCE if silence is None else silence,
            repeat=_REPEAT if repeat is None else repeat,
        )
    except ValueError as exc:
        raise BadConfig(f"{table.at}.{exc}") from None


def _told(table: Table, channels: Sequence[ChannelSettings]) -> tuple[str, ...]:
    known = {one.name: one for one in channels}
    names = _names(table, "channels") or tuple(known)
    at = f"{table.at}.channels"
    for name in names:
        if name not in known:
            raise BadConfig(f"{at}: there is no channel {name!r}; there are {', '.join(known)}")
    if all(isinstance(known[name], LogSettings | AlertmanagerSettings) for name in names):
        raise BadConfig(
            f"{at}: give one that reaches somebody by itself; a log wakes nobody, and an "
            "Alertmanager may be what is dead"
        )
    return names


def _names(table: Table, key: str) -> tuple[str, ...]:
    names = table.texts(key)
    if names == []:
        raise BadConfig(f"{table.at}.{key}: name one, or leave it out")
    return tuple(dict.fromkeys(names or ()))
