"""The dead-man's receiver: a real server that is posted to, and channels that fail as told."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from alerts.channel import BadSettings, NotDelivered
from alerts.deadman.couriers import Courier, notice_of
from alerts.deadman.pulse import Patience, Said
from alerts.deadman.service import LOOKING, Deadman, DeadmanSettings, run_deadman
from alerts.doors import opened
from alerts.outbox import Retry
from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity
from tests.outbox_contract import NOW, SECOND

MINUTE = 60 * SECOND
TOKEN = "a-token-of-the-tests"
RETRY = Retry(jitter=lambda: 0.5)


@dataclass
class Channel:
    """Has what it was sent; raises what *failing* holds, first things first."""

    name: str = "pager"
    sent: list[Notice] = field(default_factory=list)
    failing: list[Exception] = field(default_factory=list)
    hangs: threading.Event | None = None

    def send(self, notice: Notice, now: Instant) -> str:
        del now
        if self.hangs is not None:
            self.hangs.wait()
        if self.failing:
            raise self.failing.pop(0)
        self.sent.append(notice)
        return "200"


@dataclass
class Clock:
    now: Instant = 0

    def __call__(self) -> Instant:
        return self.now


@dataclass
class Receiving:
    """A receiver at work on a port; time passes by ``up`` alone."""

    deadman: Deadman
    up: Clock
    port: int = 0

    def post(
        self,
        body: bytes | None = None,
        *,
        path: str = "/watchdog",
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        body = message() if body is None else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, json.loads(read)

    def after(self, minutes: float) -> None:
        """Let time pass, and look."""
        self.up.now += int(minutes * MINUTE)
        self.deadman.look()
        for courier in self.deadman.couriers:
            while self.deadman.turn(courier):
                pass


def alert(
    name: str = "FacetallyWatchdog", status: str = "firing", installation: str | None = None
) -> dict[str, object]:
    labels = {"alertname": name, "severity": "none"}
    if installation is not None:
        labels["installation"] = installation
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "The way of alerts works as far as here"},
        "startsAt": "2026-11-23T08:00:00.000Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "0",
    }


def message(*alerts: Mapping[str, object], **changes: object) -> bytes:
    """As Alertmanager posts it."""
    said = {
        "receiver": "deadman",
        "status": "firing",
        "alerts": list(alerts or (alert(),)),
        "groupLabels": {"alertname": "FacetallyWatchdog"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://127.0.0.1:9093",
        "version": "4",
        "groupKey": '{}/{alertname="FacetallyWatchdog"}:{}',
        "truncatedAlerts": 0,
    }
    return json.dumps({**said, **changes}).encode()


def given(**changes: Any) -> DeadmanSettings:
    patience = Patience(silence=5 * MINUTE, repeat=60 * MINUTE)
    found = {"address": "127.0.0.1:0", "channels": ("pager",), "patience": patience, **changes}
    return DeadmanSettings(**found)


@contextmanager
def receivers(*channels: Channel, **changes: Any) -> Iterator[Receiving]:
    up = Clock(1_000 * MINUTE)
    found = Receiving(Deadman(given(**changes), channels, Clock(NOW), up), up)
    with opened("127.0.0.1:0", found.deadman.door()) as (_, found.port):
        yield found


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def receiver(channel: Channel) -> Iterator[Receiving]:
    with receivers(channel) as found:
        yield found


def kinds(channel: Channel) -> list[Kind]:
    return [one.kind for one in channel.sent]


# -- what counts as a beat ---------------------------------------------------------------------


def test_while_the_watchdog_is_told_nobody_else_is(receiver: Receiving, channel: Channel) -> None:
    answers = []
    for _ in range(20):
        answers.append(receiver.post())
        receiver.after(4)

    assert answers == [(200, {"beats": 1})] * 20
    assert channel.sent == []


def test_a_watchdog_that_is_told_no_more_pages_and_is_told_once_when_it_is_back(
    receiver: Receiving, channel: Channel
) -> None:
    receiver.post()
    receiver.after(5)
    receiver.after(30)
    paged = kinds(channel)
    receiver.post()
    receiver.post()
    receiver.after(1)

    assert paged == [Kind.WATCHDOG_SILENT]
    assert kinds(channel) == [Kind.WATCHDOG_SILENT, Kind.WATCHDOG_HEARD]
    assert [one.severity for one in channel.sent] == [Severity.PAGE, Severity.WARNING]


def test_a_page_says_when_it_was_heard_last_by_the_clock_on_the_wall(
    receiver: Receiving, channel: Channel
) -> None:
    receiver.post()
    receiver.after(7)

    assert dict(channel.sent[0].body) == {"last_beat_at": NOW - 7 * MINUTE}


def test_what_was_never_heard_pages_and_says_since_when_we_listen(
    receiver: Receiving, channel: Channel
) -> None:
    receiver.after(5)

    assert dict(channel.sent[0].body) == {"listening_since": NOW - 5 * MINUTE}


@pytest.mark.parametrize(
    "body",
    [
        message(alert(status="resolved")),
        message(alert("FacetallyWorkerDown")),
        message(alert("FacetallyWatchdog", "resolved"), alert("FacetallyWorkerDown")),
        message(alerts=[]),
    ],
)
def test_another_alert_and_one_that_has_ended_are_taken_and_count_for_nothing(
    receiver: Receiving, channel: Channel, body: bytes
) -> None:
    answer = receiver.post(body)
    receiver.after(5)

    assert answer == (200, {"beats": 0})
    assert kinds(channel) == [Kind.WATCHDOG_SILENT]


def test_one_watchdog_among_other_alerts_counts(receiver: Receiving) -> None:
    assert receiver.post(message(alert("Other"), alert()))[1] == {"beats": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 60_000,
        message(version="3"),
        message(version=None),
        message(alerts=None),
        message(alerts={}),
        message(alerts=["firing"]),
        message(alerts=[{"labels": {"alertname": "FacetallyWatchdog"}}]),
        message(alerts=[{"status": "firing"}]),
        message(alerts=[{"status": "firing", "labels": []}]),
        message(alerts=[{"status": "firing", "labels": {"alertname": 7}}]),
    ],
)
def test_a_body_that_is_none_of_alertmanagers_is_refused_and_is_no_beat(
    receiver: Receiving, channel: Channel, body: bytes
) -> None:
    status, _ = receiver.post(body)
    receiver.after(5)

    assert status == 400
    assert kinds(channel) == [Kind.WATCHDOG_SILENT]
    assert receiver.post(method="GET", path="/health")[1]["refused"] == 1


def test_a_long_body_is_not_read_and_there_is_one_path(receiver: Receiving) -> None:
    assert receiver.post(b"x" * 65_537)[0] == 413
    assert receiver.post(path="/")[0] == 404
    assert receiver.post(path="/health")[0] == 404
    assert receiver.post(method="GET")[0] == 404


def test_anybody_may_ask_whether_it_lives(receiver: Receiving) -> None:
    receiver.post()
    receiver.post(b"{")

    assert receiver.post(method="GET", path="/health") == (
        200,
        {"beats": 1, "refused": 1, "silent": 0, "undelivered": 0},
    )


def test_where_a_token_is_asked_for_nothing_counts_without_it(channel: Channel) -> None:
    with receivers(channel, token=TOKEN) as receiver:
        found = [
            receiver.post(headers={"Authorization": value})[0]
            for value in (f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer \u00e9", f"Bearer {TOKEN}")
        ]
        bare = receiver.post()[0]
        receiver.after(4)
        health = receiver.post(method="GET", path="/health")[1]

    assert (found, bare) == ([401, 401, 401, 200], 401)
    assert (health["beats"], health["refused"]) == (1, 4)


def test_each_installation_that_is_named_is_told_of_by_its_name(channel: Channel) -> None:
    with receivers(channel, installations=("harbour", "city")) as receiver:
        receiver.post(message(alert(installation="harbour"), alert(installation="strange")))
        receiver.after(4)
        receiver.post(message(alert(installation="harbour"), alert()))
        receiver.after(4)
        receiver.post(message(alert(installation="city")))
        receiver.after(0)

    assert [one.body["watched"] for one in channel.sent] == ["city", "city"]
    assert kinds(channel) == [Kind.WATCHDOG_SILENT, Kind.WATCHDOG_HEARD]


@pytest.mark.parametrize(
    ("named", "heard", "said"),
    [
        (("harbour",), ["harbour", "city", "city", "moon"], 1),
        (("harbour",), ["harbour", "harbour"], 0),
        ((), [None, "city", "moon"], 1),
        ((), ["city", "city"], 0),
    ],
)
def test_what_the_settings_should_name_is_logged_once(
    channel: Channel,
    caplog: pytest.LogCaptureFixture,
    named: tuple[str, ...],
    heard: Sequence[str | None],
    said: int,
) -> None:
    with receivers(channel, installations=named) as receiver:
        for one in heard:
            receiver.post(message(alert(installation=one)))

    assert len([one for one in caplog.records if "installations" in one.getMessage()]) == said


# -- what a channel is owed --------------------------------------------------------------------


def test_every_silence_and_every_repeat_has_a_key_of_its_own_in_every_run() -> None:
    channels = [Channel(), Channel()]
    for channel in channels:
        with receivers(channel) as receiver:
            receiver.after(5)
            receiver.after(60)
            receiver.post()
            receiver.after(5)
    keys = [one.key for channel in channels for one in channel.sent]

    assert len(keys) == 8
    assert len(set(keys)) == 8


def test_a_channel_that_fails_is_tried_again_later_and_later_and_holds_up_no_other() -> None:
    bad = Channel("bad", failing=[NotDelivered("no connection", permanent=True)] * 3)
    good = Channel("good")
    with receivers(bad, good) as receiver:
        receiver.after(5)
        at_once = (kinds(bad), kinds(good))
        tries = []
        for second in range(30):
            before = len(bad.failing), len(bad.sent)
            receiver.after(1 / 60)
            if (len(bad.failing), len(bad.sent)) != before:
                tries.append(second)

    assert at_once == ([], [Kind.WATCHDOG_SILENT])
    assert kinds(bad) == [Kind.WATCHDOG_SILENT]
    assert [1 <= tries[0] <= 3, len(tries)] == [True, 3]
    assert tries[2] - tries[1] > tries[1] - tries[0] >= 3


def said(number: int = 1, *, silent: bool = True, name: str | None = None) -> Said:
    return Said(name, silent, 0, heard=True, number=number)


def offered(courier: Courier, *what: Said) -> None:
    for one in what:
        courier.give(notice_of(one, "run", 0, NOW))


def test_the_pause_doubles_up_to_five_minutes_whatever_the_receiver_asks_for() -> None:
    away = NotDelivered("answered 503", retry_after_s=3_600.0)
    channel = Channel(failing=[*[NotDelivered("no connection")] * 9, away])
    courier = Courier(channel, RETRY)
    offered(courier, said())
    tries, left = list[int](), 99
    for second in range(1_500):
        courier.turn(second * SECOND, NOW)
        if len(channel.failing) + courier.owed != left:
            left = len(channel.failing) + courier.owed
            tries.append(second)

    assert [after - before for before, after in pairwise(tries)] == [
        *(2, 4, 8, 16, 32, 64, 128, 256, 300, 300)
    ]


def test_a_later_page_that_comes_while_one_is_sent_is_sent_as_well() -> None:
    channel = Channel(hangs=threading.Event())
    courier = Courier(channel, RETRY)
    offered(courier, said(1))
    sending = threading.Thread(target=courier.turn, args=(0, NOW))
    sending.start()
    offered(courier, said(2))
    assert channel.hangs is not None
    channel.hangs.set()
    sending.join()
    courier.turn(0, NOW)

    assert len({one.key for one in channel.sent}) == 2
    assert courier.owed == 0


def test_an_error_of_ours_in_a_channel_is_a_failure_as_any() -> None:
    channel = Channel(failing=[RuntimeError("hunter2")])
    courier = Courier(channel, RETRY)
    offered(courier, said())

    assert (courier.turn(0, NOW), courier.owed) == (False, 1)
    assert (courier.turn(10 * SECOND, NOW), courier.owed) == (True, 0)


# -- all of it, by its own clock ---------------------------------------------------------------


def test_it_pages_by_itself_while_one_channel_hangs_and_ends_when_it_is_told_to() -> None:
    hanging, good = Channel("hanging", hangs=threading.Event()), Channel("good")
    patience = Patience(silence=SECOND // 5, repeat=SECOND // 5)
    stop, turned = threading.Event(), list[str]()
    running = threading.Thread(
        target=run_deadman,
        args=(given(patience=patience), [hanging, good], Clock(NOW), stop, turned.append),
    )
    running.start()
    ends = time.monotonic() + 30
    while len(good.sent) < 3 and time.monotonic() < ends:
        time.sleep(0.02)
    stop.set()
    assert hanging.hangs is not None
    hanging.hangs.set()
    running.join(30)

    assert len(good.sent) >= 3
    assert not running.is_alive()
    assert {LOOKING, "good"} <= set(turned)


def test_what_is_not_delivered_at_the_end_is_said(caplog: pytest.LogCaptureFixture) -> None:
    channel = Channel(failing=[NotDelivered("no connection")] * 9)
    stop = threading.Event()

    def turned(loop: str) -> None:
        if loop == "pager" and len(channel.failing) < 9:
            stop.set()

    run_deadman(
        given(patience=Patience(silence=1, repeat=MINUTE)), [channel], Clock(NOW), stop, turned
    )

    assert "1 notices are not delivered" in caplog.text


@pytest.mark.parametrize(
    ("address", "token", "is_open"),
    [
        ("127.0.0.1:9466", None, False),
        ("[::1]:9466", None, False),
        ("localhost:9466", None, False),
        ("0.0.0.0:9466", None, True),
        ("deadman.internal:9466", None, True),
        ("0.0.0.0:9466", TOKEN, False),
    ],
)
def test_whether_others_can_keep_it_quiet_is_known(
    address: str,
    token: str | None,
    is_open: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert given(address=address, token=token).is_open is is_open


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"address": "here"}, "HOST:PORT"),
        ({"token": "short"}, "token: at least 16"),
        ({"token": "with a space in the middle"}, "token: at least 16"),
        ({"token": "\u00e9" * 20}, "token: at least 16"),
        ({"installations": ("Harbour City",)}, "installations: 1 to 63"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: Mapping[str, Any], why: str) -> None:
    with pytest.raises(BadSettings, match=why):
        given(**changes)


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(given(token=TOKEN))
