"""``facetally ack``, ``silence`` and ``notices``, and an alerts process that does what they say."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.webhook import key_bytes, signature
from tests.homes import Home, event, ready
from tests.receiver import Answer, Receiver, receiving

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
EVENTS = [event(who, time="2026-03-02T01:00:00Z") for who in ("ann", "bob")]
BY = ("--by", "duty officer")
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
PATIENCE = 30.0


def filled(home: Home) -> Home:
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


@pytest.fixture(params=["sqlite", "postgresql"])
def owing(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    """A processor that owes a filing: one page, that nobody has."""
    if request.param == "sqlite":
        return filled(ready(tmp_path, AT_TWO))
    url = request.getfixturevalue("postgres_url")
    return filled(ready(tmp_path, AT_TWO, database_url=url))


def pages(home: Home) -> list[Any]:
    found = home.json("notices", "--duty", "frt.file/1")["notices"]
    return [one for one in found if one["kind"] == "duty_opened"]


def test_a_page_is_acknowledged_by_its_key_once(owing: Home) -> None:
    (page,) = pages(owing)
    first = owing.good("ack", page["key"], *BY, "--reason", "on it").out
    again = owing.good("ack", page["key"], "--by", "somebody else").out
    (after,) = pages(owing)

    assert first == f"acknowledged {page['key']}\n"
    assert again == f"acknowledged before: {page['key']}\n"
    assert page["acknowledged"] is None
    assert after["acknowledged"].pop("at")
    assert after["acknowledged"] == {"by": "duty officer", "how": "command", "reason": "on it"}
    assert owing.good("verify")


def test_a_page_is_acknowledged_by_its_duty(owing: Home) -> None:
    (page,) = pages(owing)
    done = owing.json("ack", "acme/frt.file", *BY)

    assert done == {"acknowledged": [page["key"]], "acknowledged_before": []}


def test_open_pages_are_listed_until_somebody_has_them(owing: Home) -> None:
    (page,) = pages(owing)
    listed, plain = owing.json("pages")["pages"], owing.good("pages").out
    owing.good("ack", page["key"], *BY)

    assert listed == [
        {
            "key": page["key"],
            "kind": "duty_opened",
            "processor": "acme",
            "duty": "acme/frt.file/1",
            "created_at": page["created_at"],
        }
    ]
    assert plain == f"{page['created_at']}  {page['key']}  acme/frt.file/1  duty_opened\n"
    assert owing.good("pages").out == "no page is open\n"


def test_what_is_not_there_is_refused_with_what_is(owing: Home) -> None:
    (page,) = pages(owing)
    refused = owing.run("ack", "acme/frt.cancel", *BY)
    owing.good("ack", page["key"], *BY)
    then = owing.run("ack", "gap:1", *BY)

    assert (refused.code, then.code) == (2, 2)
    assert f"{page['key']}  acme/frt.file/1" in refused.err
    assert "no page is open" in then.err


def test_an_acknowledgement_is_by_somebody(owing: Home) -> None:
    assert owing.run("ack", "acme/frt.file").code == 2
    assert owing.run("ack", "acme/frt.file", "--by", " ").code == 2


def test_a_silence_is_made_listed_and_ended(owing: Home) -> None:
    made = owing.json(
        "silence", "add", *BY, "--reason", "works", "--until", SOON, "--kind", "gap",
        "--processor", "acme",
    )  # fmt: skip
    listed = owing.json("silence", "list")["silences"]
    plain = owing.good("silence", "list").out
    ended = owing.good("silence", "end", "1", *BY).out
    none = owing.good("silence", "list").out
    every = owing.json("silence", "list", "--all")["silences"]

    assert listed == [made]
    assert (made["id"], made["in_force"], made["kind"]) == (1, True, "gap")
    assert re.fullmatch(
        r"1  processor acme kind gap  until \S+  in force  duty officer: works\n", plain
    )
    assert (ended, none) == ("silence 1 is over\n", "no silence is in force\n")
    assert (every[0]["ended_by"], every[0]["in_force"]) == ("duty officer", False)
    assert owing.good("verify")


def test_a_silence_says_which_deadlines_it_is_longer_than(owing: Home) -> None:
    words = ("silence", "add", *BY, "--reason", "works", "--until", SOON)
    plain = owing.good(*words, "--processor", "acme").out
    other = owing.json(*words, "--processor", "beta")

    assert plain.splitlines()[1:] == ["    within it: acme/frt.file/1, last day 2026-04-14"]
    assert other["deadlines"] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--until", "2020-01-01T00:00:00Z", "--kind", "gap"), "over already"),
        (("--until", "2099-01-01T00:00:00Z", "--kind", "gap"), "no silence is longer"),
        (("--until", SOON), "say what is to be muted"),
        (("--until", SOON, "--kind", "nonsense"), "nonsense"),
        (("--until", "tomorrow", "--kind", "gap"), "give an instant"),
    ],
)
def test_a_silence_that_may_not_be_is_refused(owing: Home, words: Sequence[str], why: str) -> None:
    answer = owing.run("silence", "add", *BY, "--reason", "works", *words)

    assert answer.code == 2
    assert why in answer.err
    assert owing.json("silence", "list", "--all") == {"silences": []}


def test_the_settings_say_how_long_a_silence_may_be(tmp_path: Path) -> None:
    home = ready(tmp_path, silence_max_days=1)
    day = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    answer = home.run(
        "silence", "add", *BY, "--reason", "works", "--kind", "gap", "--until", day
    )  # fmt: skip

    assert "more than 1 days ahead" in answer.err


def test_a_silence_that_is_not_there_cannot_be_ended(owing: Home) -> None:
    assert "there is no silence 7 that lasts" in owing.run("silence", "end", "7", *BY).err


def test_without_a_notice_the_evidence_says_so(tmp_path: Path) -> None:
    assert ready(tmp_path).good("notices").out == "no notice\n"


# -- the alerts process, as a program --------------------------------------------------------------


@dataclass
class Running:
    home: Home
    receivers: dict[str, Receiver]

    def got(self, name: str) -> list[tuple[str, object]]:
        """Return kind and step of what a receiver got."""
        bodies = [json.loads(one.body) for one in self.receivers[name].requests]
        return [(one["type"], one["data"]["facts"].get("escalation_step")) for one in bodies]

    def until(self, seen: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not seen():
            assert time.monotonic() < deadline, self.home.said()
            time.sleep(0.05)

    @property
    def ack_port(self) -> int:
        self.until(lambda: "acknowledgements on" in self.home.said())
        found = re.search(r"acknowledgements on http://127.0.0.1:(\d+)/ack", self.home.said())
        assert found is not None
        return int(found[1])


def channel(name: str, receiver: Receiver) -> str:
    return (
        f'[[channels]]\nkind = "webhook"\nname = "{name}"\nurl = "{receiver.url}"\n'
        f'secret = "{SECRET}"\nallow_private = true\n'
    )


TELLING = f"""
[[people]]
name = "ann"
channels = ["first"]

[[people]]
name = "bob"
channels = ["second"]

[[escalations]]
name = "duties"
steps = [{{ after = "0m", people = ["ann"] }}, {{ after = "3s", people = ["bob"] }}]

[[routes]]
severities = ["page"]
escalation = "duties"

[acknowledge]
address = "127.0.0.1:0"
secret = "{SECRET}"
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with ExitStack() as stack:
        receivers = {
            name: stack.enter_context(receiving(Answer(200)))
            for name in ("first", "second", "third")
        }
        channels = "".join(channel(name, one) for name, one in receivers.items())
        home = ready(tmp_path, AT_TWO, channels, TELLING)
        process = home.start("alerts")
        stack.callback(process.stop)
        running = Running(home, receivers)
        running.until(lambda: "sending to" in home.said())
        filled(home)
        yield running


def test_a_page_goes_up_the_steps_and_the_evidence_says_to_whom(running: Running) -> None:
    running.until(lambda: bool(running.got("second")))
    running.until(lambda: all(way["sent_at"] or way["skipped_at"] for way in ways(running.home)))
    page, step = running.home.json("notices")["notices"]

    assert running.got("first") == [("facetally.duty_opened", None)]
    assert running.got("second") == [("facetally.escalated", 2)]
    assert running.got("third") == []
    assert [(one["channel"], one["answer"], one["skipped"]) for one in page["channels"]] == [
        ("first", "200", None),
        ("second", None, "not_routed"),
        ("third", None, "not_routed"),
    ]
    assert (step["escalates"], step["step"], step["people"]) == (page["key"], 2, "bob")
    assert running.home.good("verify")


def ways(home: Home) -> list[Any]:
    return [way for one in home.json("notices")["notices"] for way in one["channels"]]


def test_an_acknowledgement_by_webhook_ends_the_escalation(running: Running) -> None:
    running.until(lambda: bool(running.got("first")))
    answered = post(running.ack_port, {"what": "acme/frt.file", "by": "ann"})
    time.sleep(5)  # the second step would be due after three, and is looked for every two
    (page,) = running.home.json("notices")["notices"]

    assert answered == (200, {"acknowledged": [page["key"]], "acknowledged_before": []})
    assert page["acknowledged"]["how"] == "webhook"
    assert running.got("second") == []


def post(port: int, said: dict[str, str]) -> tuple[int, Any]:
    body, at = json.dumps(said).encode(), int(time.time())
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(at),
        "webhook-signature": signature(key_bytes("secret", SECRET), "msg_1", at, body),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/ack", body, headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_an_address_of_acknowledgements_that_is_taken_keeps_no_page_back(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver, socket.create_server(("127.0.0.1", 0)) as neighbour:
        address = f"127.0.0.1:{neighbour.getsockname()[1]}"
        own = f'[acknowledge]\naddress = "{address}"\nsecret = "{SECRET}"\n'
        home = filled(ready(tmp_path, AT_TWO, channel("first", receiver), own))
        process = home.start("alerts")
        try:
            running = Running(home, {"first": receiver})
            running.until(lambda: bool(running.got("first")))
        finally:
            process.stop()

    assert running.got("first") == [("facetally.duty_opened", None)]
    assert f"ERROR facetally: acknowledge.address: {address} cannot be taken" in home.said()
