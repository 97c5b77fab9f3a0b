"""Secrets of channels: from a file or the environment, of use to who opens the channel only."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerts.channels.apprise_channel import AppriseChannel, AppriseSettings
from alerts.channels.webhook import WebhookSettings
from deploy.channels import ChannelSettings, Unready, open_channel, read_channels
from deploy.reading import BadConfig, Table

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "dingtalk://canarycanarycanarycanary"


def read(here: Path, kind: str, environ: dict[str, str], **keys: object) -> ChannelSettings:
    table = Table({"kind": kind, **keys}, "channels[0]")
    [channel] = read_channels([table], here, environ)
    return channel


@pytest.mark.parametrize("way", ["url", "url_file", "url_env"])
def test_an_address_can_be_given_in_three_ways(tmp_path: Path, way: str) -> None:
    (tmp_path / "held").write_text(f"{URL}\n")
    (tmp_path / "held").chmod(0o600)
    given = {"url": URL, "url_file": "held", "url_env": "HELD"}[way]
    channel = read(tmp_path, "apprise", {"HELD": f" {URL} "}, **{way: given})

    assert isinstance(channel, AppriseSettings)
    assert channel.url == URL


@pytest.mark.parametrize("key", ["url", "secret", "previous_secret", "authorization", "proxy"])
def test_every_secret_of_a_webhook_can_be_in_the_environment(tmp_path: Path, key: str) -> None:
    values = {
        "url": "https://example.org/canary",
        "secret": SECRET,
        "previous_secret": SECRET,
        "authorization": "Bearer canary",
        "proxy": "http://me:canary@proxy.example.org:3128",
    }
    rest = {"url": values["url"], "secret": SECRET}
    rest.pop(key, None)
    channel = read(tmp_path, "webhook", {"HELD": values[key]}, **rest, **{f"{key}_env": "HELD"})

    assert isinstance(channel, WebhookSettings)
    assert getattr(channel, key) == values[key]
    assert "canary" not in repr(channel)
    assert SECRET not in repr(channel)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"url_file": "not-there"}, "channels[0].url_file: cannot be read"),
        (
            {"url_env": "NOT_THERE"},
            "channels[0].url_env: the environment has no variable NOT_THERE",
        ),
        ({"url_env": "EMPTY"}, "channels[0].url_env: the environment has no variable EMPTY"),
        ({"url_file": "binary"}, "channels[0].url_file: cannot be read"),
    ],
)
def test_a_secret_that_is_not_here_stops_only_who_opens_the_channel(
    tmp_path: Path, keys: dict[str, object], why: str
) -> None:
    """A worker reads the same settings under another account, and tells nobody anything."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    channel = read(tmp_path, "apprise", {"EMPTY": ""}, name="duty-phone", **keys)

    assert isinstance(channel, Unready)
    assert channel.name == "duty-phone"
    with pytest.raises(BadConfig) as caught:
        open_channel(channel)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({}, "channels[0].url: is missing; give url, url_file or url_env"),
        (
            {"url": URL, "url_env": "HELD"},
            "give one of url, url_file, url_env, not url and url_env",
        ),
        ({"url_file": "held", "url_env": "HELD"}, "not url_file and url_env"),
        ({"url_file": "empty"}, "channels[0].url_file: the file is empty or too long"),
        ({"url_file": "long"}, "channels[0].url_file: the file is empty or too long"),
        ({"url_file": "lines"}, "channels[0].url_file: must be a text, one line"),
        ({"url_env": "LINES"}, "channels[0].url_env: must be a text, one line"),
        ({"url_file": "open"}, "channels[0].url_file: anybody may write that file"),
    ],
)
def test_what_is_wrong_with_a_secret_is_named_and_not_quoted(
    tmp_path: Path, keys: dict[str, object], why: str
) -> None:
    for name, text in (("empty", " \n"), ("long", "x" * 70_000), ("lines", f"{URL}\n{URL}")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "held").write_text(URL)
    (tmp_path / "open").write_text(URL)
    (tmp_path / "open").chmod(0o666)
    with pytest.raises(BadConfig) as caught:
        read(tmp_path, "apprise", {"HELD": URL, "LINES": f"{URL}\n{URL}"}, **keys)

    assert why in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_file_that_anybody_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, *, warned: bool
) -> None:
    (tmp_path / "held").write_text(URL)
    (tmp_path / "held").chmod(mode)
    read(tmp_path, "apprise", {}, url_file="held")

    assert ("anybody on this machine may read held" in caplog.text) is warned
    assert "canary" not in caplog.text


def test_channels_speak_the_language_of_the_root_unless_they_name_one(tmp_path: Path) -> None:
    tables = [
        Table({"kind": "apprise", "name": "a", "url": URL}, "channels[0]"),
        Table({"kind": "apprise", "name": "b", "url": URL, "language": "en"}, "channels[1]"),
    ]
    channels = read_channels(tables, tmp_path, {}, "zh-CN")

    assert [one.language for one in channels if isinstance(one, AppriseSettings)] == ["zh-CN", "en"]


def test_opening_a_channel_of_apprise_asks_the_library(tmp_path: Path) -> None:
    wrong = read(tmp_path, "apprise", {}, name="phone", url="pigeon://canary")
    with pytest.raises(BadConfig, match=r"^channel phone: url: apprise knows no such") as caught:
        open_channel(wrong)
    opened = open_channel(read(tmp_path, "apprise", {}, url=URL))

    assert "canary" not in str(caught.value)
    assert isinstance(opened, AppriseChannel)
    opened.close()
