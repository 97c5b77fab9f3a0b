"""The ``[[channels]]`` of the settings, and the channels that they describe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from alerts.channel import BadSettings, Channel
from alerts.channels.alertmanager import Alertmanager, AlertmanagerSettings
from alerts.channels.log import Log, LogSettings
from alerts.channels.webhook import Webhook, WebhookSettings
from deploy.reading import BadConfig, Table

ChannelSettings: TypeAlias = AlertmanagerSettings | WebhookSettings | LogSettings


def read_channels(tables: Sequence[Table], here: Path) -> list[ChannelSettings]:
    """Return the channels in *tables*; without any, notices go to the log."""
    if not tables:
        return [LogSettings()]
    channels = [_channel(table, here) for table in tables]
    names = [channel.name for channel in channels]
    for table, name in zip(tables, names, strict=True):
        if names.count(name) > 1:
            raise BadConfig(f"{table.at}.name: two channels are called {name!r}; name them apart")
    return channels


def _channel(table: Table, here: Path) -> ChannelSettings:
    kind = table.required("kind")
    try:
        if kind == "alertmanager":
            channel: ChannelSettings = _alertmanager(table, here)
        elif kind == "webhook":
            channel = _webhook(table, here)
        elif kind == "log":
            channel = LogSettings(name=table.text("name", "log"))
        else:
            raise BadConfig(f'{table.at}.kind: must be "alertmanager", "webhook" or "log"')
    except BadSettings as exc:
        raise BadConfig(f"{table.at}.{exc}") from None
    table.finish()
    return channel


def _alertmanager(table: Table, here: Path) -> AlertmanagerSettings:
    return AlertmanagerSettings(
        name=table.text("name", "alertmanager"),
        url=table.required("url"),
        timeout_s=table.number("timeout_s", 10.0, least=0.0),
        authorization=table.secret("authorization", here),
        ca_file=table.file("ca_file", here),
        proxy=table.optional("proxy"),
        every_s=table.whole("every_s", 60, least=1),
        life_s=table.whole("life_s", 300, least=1),
        event_life_s=table.whole("event_life_s", 3600, least=1),
        generator_url=table.optional("generator_url"),
    )


def _webhook(table: Table, here: Path) -> WebhookSettings:
    secret = table.secret("secret", here)
    if secret is None:
        raise BadConfig(f"{table.at}.secret: give secret or secret_file (whsec_...)")
    return WebhookSettings(
        name=table.text("name", "webhook"),
        url=table.required("url"),
        timeout_s=table.number("timeout_s", 10.0, least=0.0),
        authorization=table.secret("authorization", here),
        ca_file=table.file("ca_file", here),
        proxy=table.optional("proxy"),
        secret=secret,
        previous_secret=table.secret("previous_secret", here),
    )


def open_channel(settings: ChannelSettings) -> Channel:
    """Return the channel that *settings* describe. Raises BadConfig for a file it cannot use."""
    try:
        return _open(settings)
    except BadSettings as exc:
        raise BadConfig(f"channel {settings.name}: {exc}") from None


def _open(settings: ChannelSettings) -> Channel:
    if isinstance(settings, AlertmanagerSettings):
        return Alertmanager(settings)
    if isinstance(settings, WebhookSettings):
        return Webhook(settings)
    return Log(settings)
