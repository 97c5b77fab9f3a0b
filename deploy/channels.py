"""The ``[[channels]]`` of the settings, and the channels that they describe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from alerts.channel import BadSettings, Channel, checked_name
from alerts.channels.alertmanager import Alertmanager, AlertmanagerSettings
from alerts.channels.apprise_channel import AppriseChannel, AppriseSettings
from alerts.channels.log import Log, LogSettings
from alerts.channels.webhook import Webhook, WebhookSettings
from alerts.origin import NOWHERE, Origin
from alerts.templates import checked_language
from alerts.values import Language
from deploy.channel_secrets import NotHere, Secrets
from deploy.reading import BadConfig, Table


@dataclass(frozen=True, slots=True)
class Unready:
    """A channel of which a secret cannot be read here; *why* says which, and never what it is."""

    name: str
    why: str


ChannelSettings: TypeAlias = (
    AlertmanagerSettings | AppriseSettings | WebhookSettings | LogSettings | Unready
)


class _Given(NamedTuple):
    """What a table is read with."""

    table: Table
    secrets: Secrets
    here: Path
    language: Language
    origin: Origin


def read_channels(
    tables: Sequence[Table],
    here: Path,
    environ: Mapping[str, str],
    language: str = "en",
    origin: Origin = NOWHERE,
) -> list[ChannelSettings]:
    """Return the channels in *tables*; without any, notices go to the log.

    *language* is that of channels that name none. One whose secret cannot be read is ``Unready``:
    it is for who opens it to refuse.
    """
    spoken = _language(language, "")
    if not tables:
        return [LogSettings()]
    channels = [
        _channel(_Given(table, Secrets(table, here, environ), here, spoken, origin))
        for table in tables
    ]
    names = [channel.name for channel in channels]
    for table, name in zip(tables, names, strict=True):
        if names.count(name) > 1:
            raise BadConfig(f"{table.at}.name: two channels are called {name!r}; name them apart")
    return channels


def _channel(given: _Given) -> ChannelSettings:
    table = given.table
    kind = table.required("kind")
    read = _KINDS.get(kind)
    if read is None:
        *some, last = (f'"{one}"' for one in _KINDS)
        raise BadConfig(f"{table.at}.kind: must be {', '.join(some)} or {last}")
    try:
        channel = _read_or_unready(read, given, kind)
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None
    if not isinstance(channel, Unready):  # then not every key was taken
        table.finish()
    return channel


def _read_or_unready(
    read: Callable[[_Given], ChannelSettings], given: _Given, kind: str
) -> ChannelSettings:
    try:
        return read(given)
    except NotHere as exc:
        return Unready(checked_name(given.table.text("name", kind)), str(exc))


def _alertmanager(given: _Given) -> AlertmanagerSettings:
    table, secrets = given.table, given.secrets
    return AlertmanagerSettings(
        origin=given.origin,
        name=table.text("name", "alertmanager"),
        timeout_s=table.number("timeout_s", 10.0, least=0.0),
        ca_file=table.file("ca_file", given.here),
        every_s=table.whole("every_s", 60, least=1),
        life_s=table.whole("life_s", 300, least=1),
        event_life_s=table.whole("event_life_s", 3600, least=1),
        generator_url=table.optional("generator_url"),
        allow_private=table.flag("allow_private", default=True),
        url=secrets.required("url"),
        authorization=secrets.take("authorization"),
        proxy=secrets.take("proxy"),
    )


def _webhook(given: _Given) -> WebhookSettings:
    table, secrets = given.table, given.secrets
    return WebhookSettings(
        origin=given.origin,
        name=table.text("name", "webhook"),
        timeout_s=table.number("timeout_s", 10.0, least=0.0),
        ca_file=table.file("ca_file", given.here),
        allow_private=table.flag("allow_private", default=False),
        url=secrets.required("url"),
        secret=secrets.required("secret", "whsec_..."),
        previous_secret=secrets.take("previous_secret"),
        authorization=secrets.take("authorization"),
        proxy=secrets.take("proxy"),
    )


def _apprise(given: _Given) -> AppriseSettings:
    table, secrets = given.table, given.secrets
    return AppriseSettings(
        origin=given.origin,
        name=table.text("name", "apprise"),
        language=_language(table.text("language", given.language), f"{table.at}."),
        timeout_s=table.number("timeout_s", 30.0, least=0.0),
        ca_file=table.file("ca_file", given.here),
        allow_private=table.flag("allow_private", default=False),
        url=secrets.required("url"),
        proxy=secrets.take("proxy"),
    )


def _log(given: _Given) -> LogSettings:
    return LogSettings(name=given.table.text("name", "log"))


_KINDS: Final[Mapping[str, Callable[[_Given], ChannelSettings]]] = {
    "alertmanager": _alertmanager,
    "apprise": _apprise,
    "webhook": _webhook,
    "log": _log,
}


def _language(text: str, at: str) -> Language:
    try:
        return checked_language(text)
    except BadSettings as exc:
        raise BadConfig(f"{at}{exc}") from None


def open_channel(settings: ChannelSettings) -> Channel:
    """Return the channel that *settings* describe. Raises BadConfig if it cannot be used."""
    try:
        return _open(settings)
    except BadSettings as exc:
        raise BadConfig(f"channel {settings.name}: {exc}") from None


def _open(settings: ChannelSettings) -> Channel:
    if isinstance(settings, Unready):
        raise BadConfig(settings.why)
    if isinstance(settings, AlertmanagerSettings):
        return Alertmanager(settings)
    if isinstance(settings, WebhookSettings):
        return Webhook(settings)
    if isinstance(settings, AppriseSettings):
        channel = AppriseChannel(settings)
        channel.check()
        return channel
    return Log(settings)
