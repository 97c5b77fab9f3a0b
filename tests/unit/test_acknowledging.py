"""Acknowledgements over HTTP: a real server on loopback, asked by a real client."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest

from alerts.acknowledging import (
    AHEAD_S,
    GOOD_FOR_S,
    AckSettings,
    Answered,
    Refused,
    Said,
    host_and_port,
    serving,
)
from alerts.channel import BadSettings
from alerts.channels.webhook import key_bytes, signature
from monitor.facts import Instant
from tests.outbox_contract import NOW

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
OLD = "whsec_" + base64.b64encode(b"o" * 32).decode()
OTHER = "whsec_" + base64.b64encode(b"x" * 32).decode()
SECONDS = NOW // 1_000_000
SAID = {"what": "gap:1", "by": "ann", "reason": "on it"}


@dataclass
class Store:
    """Knows one page, and remembers who has it."""

    taken: list[tuple[str, str, str | None, Instant]] = field(default_factory=list)
    until: list[Instant] = field(default_factory=list)
    error: Exception | None = None

    def __call__(self, said: Said, until: Instant, now: Instant) -> Answered | None:
        self.until.append(until)
        if self.error is not None:
            raise self.error
        if said.what != "gap:1":
            return None
        before = bool(self.taken)
        if not before:
            self.taken.append((*said, now))
        return Answered((), (said.what,)) if before else Answered((said.what,), ())


@dataclass
class Door:
    port: int
    store: Store
    counted: list[int] = field(default_factory=list)
    late_s: int = 0

    def clock(self) -> Instant:
        return NOW + self.late_s * 1_000_000

    def post(
        self,
        body: bytes | None = None,
        *,
        secret: str = SECRET,
        at: int = SECONDS,
        path: str = "/ack",
        headers: Mapping[str, str] | None = None,
        name: str = "msg_1",
    ) -> tuple[int, Any]:
        body = json.dumps(SAID).encode() if body is None else body
        signed = {
            "webhook-id": name,
            "webhook-timestamp": str(at),
            "webhook-signature": signature(key_bytes("secret", secret), name, at, body),
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("POST", path, body, signed if headers is None else dict(headers))
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        return answer.status, json.loads(read)


@contextmanager
def doors(previous: str | None = None, patience_s: float = 10.0) -> Iterator[Door]:
    settings = AckSettings(address="127.0.0.1:0", secret=SECRET, previous_secret=previous)
    door = Door(0, Store())
    with serving(settings, door.store, door.clock, door.counted.append, patience_s) as (_, port):
        door.port = port
        yield door


@pytest.fixture
def door() -> Iterator[Door]:
    with doors() as opened:
        yield opened


def test_a_signed_acknowledgement_is_taken(door: Door) -> None:
    answered = door.post()

    assert answered == (200, {"acknowledged": ["gap:1"], "acknowledged_before": []})
    assert door.store.taken == [("gap:1", "ann", "on it", NOW)]


def test_a_repeat_changes_nothing_and_is_answered_as_such(door: Door) -> None:
    door.post()

    assert door.post(name="msg_2") == (
        200,
        {"acknowledged": [], "acknowledged_before": ["gap:1"]},
    )
    assert len(door.store.taken) == 1


@pytest.mark.parametrize("at", [SECONDS, SECONDS + AHEAD_S])
def test_a_message_that_comes_again_does_nothing_for_as_long_as_its_signature_is_good(
    door: Door, at: int
) -> None:
    door.post(at=at)
    door.late_s = at - SECONDS + GOOD_FOR_S
    again = door.post(at=at)
    door.late_s += 1

    assert again == (200, {"acknowledged": [], "acknowledged_before": ["gap:1"]})
    assert door.post(at=at)[0] == 401
    assert len(door.store.until) == 1


def test_another_message_under_the_same_id_is_taken(door: Door) -> None:
    door.post(b'{"what": "gap:2", "by": "ann"}')
    door.post()
    door.post(b'{"what": "gap:1", "by": "bob"}')

    assert len(door.store.until) == 3


def test_what_was_not_done_is_tried_again_under_the_same_id(door: Door) -> None:
    door.store.error = RuntimeError()
    door.post()
    door.store.error = None

    assert door.post()[1] == {"acknowledged": ["gap:1"], "acknowledged_before": []}


def test_the_store_is_told_of_which_second_it_is(door: Door) -> None:
    door.post(at=SECONDS - 100)

    assert door.store.until == [(SECONDS - 99) * 1_000_000]


def test_what_the_store_refuses_is_told(door: Door) -> None:
    door.store.error = Refused(HTTPStatus.CONFLICT, "name one: a, b")

    assert door.post() == (409, {"error": "name one: a, b"})


def test_every_answer_is_counted_and_a_kind_of_refusal_logged_once_a_minute(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.post()
    door.post(secret=OTHER)
    door.post(secret=OTHER)
    door.post(b"[]")

    assert door.counted == [200, 401, 401, 400]
    assert [one.getMessage() for one in caplog.records] == [
        "an acknowledgement was refused: 401 Unauthorized",
        "an acknowledgement was refused: 400 Bad Request",
    ]


def test_a_reason_may_be_left_out(door: Door) -> None:
    assert door.post(b'{"what": "gap:1", "by": "ann"}')[0] == 200
    assert door.store.taken[0][2] is None


def test_another_key_is_refused(door: Door) -> None:
    assert door.post(secret=OTHER) == (401, {"error": "not signed by a key that is known here"})
    assert door.store.taken == []


def test_the_previous_key_is_good_while_there_is_one(door: Door) -> None:
    with doors(previous=OLD) as other:
        assert other.post(secret=OLD)[0] == 200
    assert door.post(secret=OLD)[0] == 401


@pytest.mark.parametrize(("good", "bad"), [(-GOOD_FOR_S, -1), (AHEAD_S, 1)])
def test_what_was_signed_at_another_time_is_refused(door: Door, good: int, bad: int) -> None:
    assert door.post(at=SECONDS + good + bad)[0] == 401
    assert door.post(at=SECONDS + good)[0] == 200


def test_a_signature_is_of_that_body_and_that_time(door: Door) -> None:
    body = json.dumps(SAID).encode()
    good = signature(key_bytes("secret", SECRET), "msg_1", SECONDS, body)
    base = {"webhook-id": "msg_1", "webhook-timestamp": str(SECONDS), "webhook-signature": good}
    changed = [
        door.post(body.replace(b"ann", b"eve"), headers=base)[0],
        door.post(body, headers=base | {"webhook-timestamp": str(SECONDS + 1)})[0],
        door.post(body, headers=base | {"webhook-id": "msg_2"})[0],
    ]

    assert changed == [401, 401, 401]
    assert door.store.taken == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "m", "webhook-timestamp": "soon", "webhook-signature": "v1,x"},
        {"webhook-id": "m", "webhook-timestamp": "-5", "webhook-signature": "v1,x"},
        {"webhook-id": "", "webhook-timestamp": str(SECONDS), "webhook-signature": "v1,x"},
        {"webhook-id": "m", "webhook-timestamp": "9" * 40, "webhook-signature": "v1,x"},
        {"webhook-id": "m", "webhook-timestamp": str(SECONDS), "webhook-signature": "v1,\u00e9"},
    ],
)
def test_what_is_not_signed_is_refused(door: Door, headers: Mapping[str, str]) -> None:
    assert door.post(headers=headers)[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 9_000,
        b"\xff",
        b'{"what": "gap:1"}',
        b'{"what": 5, "by": "ann"}',
        b'{"what": "gap:1", "by": " "}',
        b'{"what": "gap:1", "by": "a\\nb"}',
        b'{"what": "gap:1", "by": "ann", "reason": ""}',
        json.dumps({"what": "gap:1", "by": "a" * 1_001}).encode(),
    ],
)
def test_a_body_that_says_nothing_of_use_is_refused(door: Door, body: bytes) -> None:
    assert door.post(body)[0] == 400
    assert door.store.taken == []


def test_a_page_that_is_not_there_is_not_found(door: Door) -> None:
    body = b'{"what": "gap:2", "by": "ann"}'

    assert door.post(body)[0] == 404


def test_there_is_one_path(door: Door) -> None:
    assert door.post(path="/")[0] == 404
    assert door.post(path="/ack?what=gap:1")[0] == 404


def test_a_long_body_is_not_read(door: Door) -> None:
    assert door.post(b"x" * 20_000)[0] == 413


def test_a_store_that_is_away_is_told_to_try_again_and_shown_to_nobody(door: Door) -> None:
    door.store.error = RuntimeError("password=hunter2")

    assert door.post() == (503, {"error": "try again"})


def test_a_request_that_is_dripped_holds_up_no_other(door: Door) -> None:
    slow = [socket.create_connection(("127.0.0.1", door.port)) for _ in range(5)]
    for one in slow:
        one.sendall(b"POST /ack HTTP/1.1\r\n")
    answered = door.post()[0]
    for one in slow:
        one.close()

    assert answered == 200


def test_a_request_that_does_not_come_whole_in_time_is_cut_though_it_drips() -> None:
    with doors(patience_s=0.5) as door, dripping(door, 1) as (one,):
        ends = time.monotonic() + 20
        while time.monotonic() < ends and not closed(one):
            with suppress(OSError):
                one.sendall(b"x")

    assert time.monotonic() < ends


def test_however_many_drip_a_good_one_is_let_in(door: Door) -> None:
    with dripping(door, 40) as slow:
        answered = door.post()[0]
        youngest, oldest = closed(slow[-1]), closed(slow[0])

    assert answered == 200
    assert (youngest, oldest) == (False, True)


@contextmanager
def dripping(door: Door, count: int) -> Iterator[Sequence[socket.socket]]:
    """Begin so many requests, one after the other, that never end."""
    with ExitStack() as stack:
        made = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", door.port)))
            one.sendall(b"POST /ack HTTP/1.1\r\ncontent-length: 16000\r\n\r\n")
            made.append(one)
        yield made


def closed(one: socket.socket) -> bool:
    """Tell whether the other side has ended, within a tenth of a second."""
    one.settimeout(0.1)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "a@b:1", "h:99999", "http://h:1"])
def test_an_address_is_host_and_port(address: str) -> None:
    with pytest.raises(BadSettings, match="HOST:PORT"):
        AckSettings(address=address, secret=SECRET)


def test_an_address_may_be_of_version_6() -> None:
    assert host_and_port("[::1]:9465") == ("::1", 9465)


def test_no_secret_is_shown() -> None:
    shown = repr(AckSettings(address="h:1", secret=SECRET, previous_secret=OLD))

    assert SECRET not in shown
    assert OLD not in shown
