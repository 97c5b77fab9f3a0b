"""``facetally deadman`` as a process: a real webhook receiver is paged when nobody is heard."""

from __future__ import annotations

import base64
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.homes import Home, home
from tests.manager import Manager
from tests.receiver import Answer, Receiver, Request, receiving
from tests.services.process import LOOPBACK, Owned, free_port
from tests.unit.test_deadman import alert, message
from tests.workers import until

SECRET = "whsec_" + base64.b64encode(b"d" * 32).decode()
TOKEN = "a-token-of-the-tests"
SILENCE_S = 2.0
BUSY_S = 240.0  # a machine that is busy is not at fault


def webhook(url: str, name: str = "pager") -> str:
    return (
        f'[[channels]]\nkind = "webhook"\nname = "{name}"\nurl = "{url}"\nsecret = "{SECRET}"\n'
        "allow_private = true\n"
    )


@dataclass
class Down:
    """A receiver that answers 503 until it is mended."""

    mended: bool = False
    refused: list[float] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        del request
        if self.mended:
            return Answer(200)
        self.refused.append(time.monotonic())
        return Answer(503)


@dataclass
class Running:
    """The process, and the receiver that it pages."""

    home: Home
    process: Owned
    url: str
    receiver: Receiver

    def beat(self) -> int:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = httpx.post(
            self.url, content=message(alert()), headers=headers, timeout=20, trust_env=False
        )
        return answer.status_code

    def told(self) -> list[str]:
        return [json.loads(one.body)["type"] for one in self.receiver.requests]

    def pages(self) -> int:
        return self.told().count("facetally.watchdog_silent")

    def lives(self, seconds: float) -> float:
        """Beat twice a second for so long; return the longest that it may have heard nothing."""
        began = last = time.monotonic()
        longest = 0.0
        while time.monotonic() < began + seconds:
            assert self.beat() == 200
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            time.sleep(0.5)
        return longest


def settings(path: Path, port: int, *channels: str, repeat: str = "1h") -> Home:
    (path / "token").write_text(TOKEN)
    (path / "token").chmod(0o600)
    own = (
        f'[deadman]\naddress = "{LOOPBACK}:{port}"\ntoken_file = "token"\n'
        f'silence = "{SILENCE_S:.0f}s"\nrepeat = "{repeat}"\n'
    )
    return home(path, *channels, own)


@contextmanager
def running(path: Path, receiver: Receiver, *more: str, **changes: Any) -> Iterator[Running]:
    """Run it until the block ends, in a folder without a database and without a secret of ids."""
    port = free_port()
    environ = changes.pop("environ", {})
    made = settings(path, port, webhook(receiver.url), *more, **changes)
    process = Home(made.path, secret=None).start("deadman", env=environ)
    found = Running(made, process, f"http://{LOOPBACK}:{port}/watchdog", receiver)
    try:
        process.until(lambda: "the watchdog is heard on" in made.said(), seconds=BUSY_S)
        yield found
    finally:
        process.stop()


def test_nobody_is_paged_while_it_is_heard_and_somebody_is_when_it_is_not(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver, running(tmp_path, receiver) as found:
        found.beat()
        already = found.pages()  # of a machine that stood still between start and beat
        gap = found.lives(2 * SILENCE_S)
        before, last = found.pages(), time.monotonic()
        paged = until(lambda: found.pages() > before, BUSY_S)
        waited = time.monotonic() - last
        found.beat()
        back = until(lambda: found.told()[-1] == "facetally.watchdog_heard", BUSY_S)
        told = found.told()

    assert before == already or gap > SILENCE_S - 0.5
    assert (paged, back) == (True, True)
    assert waited >= SILENCE_S - 1
    assert told[::2] == ["facetally.watchdog_silent"] * (len(told) // 2)
    assert told[1::2] == ["facetally.watchdog_heard"] * (len(told) // 2)


def test_who_is_never_heard_is_told_after_the_start_and_again(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver, running(tmp_path, receiver, repeat="2s") as found:
        repeated = until(lambda: len(found.told()) >= 2, BUSY_S)
    keys = {json.loads(one.body)["data"]["key"] for one in receiver.requests}
    facts = json.loads(receiver.requests[0].body)["data"]["facts"]

    assert repeated
    assert set(found.told()) == {"facetally.watchdog_silent"}
    assert len(keys) == len(receiver.requests)
    assert set(facts) == {"listening_since"}


def test_a_channel_that_is_down_then_is_told_later_and_another_at_once(tmp_path: Path) -> None:
    down = Down()
    with (
        receiving(down) as receiver,
        receiving(Answer(200)) as other,
        running(tmp_path, receiver, webhook(other.url, "other")) as found,
    ):
        at_once = until(lambda: len(other.requests) == 1, BUSY_S)
        tried = until(lambda: len(down.refused) >= 2, BUSY_S)

        def told(to: Receiver, number: int) -> bool:
            found.beat()
            return len(to.requests) == number

        told_back = until(lambda: told(other, 2), BUSY_S)
        down.mended = True
        later = until(lambda: told(receiver, len(down.refused) + 2), BUSY_S)

    keys = [json.loads(one.body)["data"]["key"] for one in receiver.requests[len(down.refused) :]]
    assert (at_once, tried, told_back, later) == (True, True, True, True)
    assert keys == [json.loads(one.body)["data"]["key"] for one in other.requests]


def test_a_beat_without_the_token_counts_for_nothing(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver, running(tmp_path, receiver) as found:
        ends, codes = time.monotonic() + BUSY_S, set[int]()
        while time.monotonic() < ends and not found.told():
            answer = httpx.post(found.url, content=message(), timeout=20, trust_env=False)
            codes.add(answer.status_code)
            time.sleep(0.2)

    assert codes == {401}
    assert found.told() == ["facetally.watchdog_silent"]


def test_a_service_manager_is_told_and_the_end_is_asked_for(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager, receiving(Answer(200)) as receiver:
        environ = {**manager.environ, "WATCHDOG_USEC": "2000000"}
        heard: list[str] = []

        def lives() -> bool:
            heard.extend(manager.heard())
            return heard.count("WATCHDOG=1") >= 3

        with running(tmp_path, receiver, environ=environ) as found:
            alive = until(lives, BUSY_S)
            found.process.stop(how=signal.SIGTERM, seconds=BUSY_S)
        code, last = found.process.code(), manager.heard()[-1]

    assert alive
    assert heard[0] == "READY=1"
    assert (code, last) == (0, "STOPPING=1")
    assert TOKEN not in found.home.said()
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "facetally.toml",
        "notify",
        "output.log",
        "token",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "deadman: is missing; add [deadman]"),
        ('[deadman]\ntoken_file = "no"\n', "deadman.token_file: cannot be read as a text"),
        ("[deadman]\naddress = 5\n", "deadman.address: must be a text"),
    ],
)
def test_settings_without_what_it_needs_are_named_by_file_and_key(
    tmp_path: Path, text: str, why: str
) -> None:
    made = home(tmp_path, webhook("http://127.0.0.1:1/hook"), text)
    answer = made.run("deadman")

    assert answer.code == 2
    assert f"{made.settings}: " in answer.err
    assert why in answer.err


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver:
        port = int(receiver.url.rpartition(":")[2])
        made = settings(tmp_path, port, webhook(receiver.url))
        answer = made.program("deadman", seconds=BUSY_S)

    assert answer.code == 2
    assert f"deadman.address: {LOOPBACK}:{port} cannot be taken" in answer.err


def test_config_check_reads_the_token(tmp_path: Path) -> None:
    made = settings(tmp_path, 9466, webhook("http://127.0.0.1:1/hook"))
    good = made.run("config", "check")
    (made.path / "token").unlink()
    bad = made.run("config", "check")

    assert (good.code, bad.code) == (0, 2)
    assert "deadman.token_file: cannot be read" in bad.err


def test_the_check_warns_of_a_silence_that_is_shorter_than_the_watchdog_is_told(
    tmp_path: Path,
) -> None:
    channels = webhook("http://127.0.0.1:1/hook")
    hasty = home(tmp_path / "a", channels, '[deadman]\nsilence = "4s"\n').good("config", "check")
    usual = home(tmp_path / "b", channels, "[deadman]\n").good("config", "check")

    assert "warning: deadman.silence is under 3m" in hasty.err
    assert "deadman.silence" not in usual.err


def test_the_check_shows_where_the_watchdog_is_heard_of_whom_and_who_is_paged(
    tmp_path: Path,
) -> None:
    channels = webhook("http://127.0.0.1:1/hook"), '[[channels]]\nkind = "log"\n'
    both = f'installations = ["east", "west"]\nchannels = ["pager"]\ntoken = "{TOKEN}"\n'
    alone = home(tmp_path / "a", *channels, "[deadman]\n").good("config", "check").out
    named = home(tmp_path / "b", *channels, f"[deadman]\n{both}").good("config", "check").out

    heard = "  deadman 127.0.0.1:9466, "
    assert f"{heard}without a token: hears any installation, pages by pager, log\n" in alone
    assert f"{heard}with a token: hears east, west, pages by pager\n" in named
    assert TOKEN not in named
