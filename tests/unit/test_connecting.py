"""Where a webhook connects to, whatever its name leads to. The receivers are real."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from alerts.channel import BadSettings, NotDelivered
from alerts.channels.alertmanager import AlertmanagerSettings
from alerts.channels.connecting import Resolve
from alerts.channels.webhook import Webhook, WebhookSettings
from tests.certificates import authority, certificate_for
from tests.outbox_contract import NOW, notice
from tests.receiver import Answer, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOT_ALLOWED = r"^its address is not allowed \(allow_private\)$"


class Names:
    """A resolver: the n-th question gets the n-th of *answers*, later ones the last."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = answers
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self._answers[min(len(self.asked), len(self._answers)) - 1]


def webhook(url: str, resolve: Resolve, **changes: object) -> Webhook:
    given = {"url": url, "secret": SECRET, "timeout_s": 5.0, **changes}
    return Webhook(WebhookSettings(**given), resolve)  # type: ignore[arg-type]  # each test names its own


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.9",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104 - an address, bound by nobody
        "224.0.0.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
    ],
)
def test_a_name_that_leads_to_where_it_may_not_is_refused(address: str) -> None:
    with receiving(Answer(200)) as receiver:
        names = Names([address])
        url = receiver.url.replace("127.0.0.1", "hook.example.org")
        with pytest.raises(NotDelivered, match=NOT_ALLOWED) as caught:
            webhook(url, names).send(notice("a"), NOW)

    assert caught.value.permanent
    assert receiver.requests == []
    assert [host for host, _ in names.asked] == ["hook.example.org"]


def test_one_wrong_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(NotDelivered, match=NOT_ALLOWED):
        webhook("http://hook.example.org:9/", Names(["8.8.8.8", "10.0.0.1"])).send(notice("a"), NOW)


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "::ffff:127.0.0.1"])
def test_what_no_setting_allows_is_refused_with_allow_private_too(address: str) -> None:
    for_us = webhook("http://hook.example.org:9/", Names([address]), allow_private=True)
    with pytest.raises(NotDelivered, match=NOT_ALLOWED):
        for_us.send(notice("a"), NOW)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    """A name that leads elsewhere the second time is never asked a second time."""
    with receiving(Answer(200)) as receiver:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        url = receiver.url.replace("127.0.0.1", "rebinding.example.org")
        answer = webhook(url, names, allow_private=True).send(notice("a"), NOW)

    assert answer == "200"
    assert len(names.asked) == 1


def test_a_name_that_leads_elsewhere_at_the_next_attempt_is_looked_at_again() -> None:
    with receiving(Answer(200)) as receiver:
        names = Names(["127.0.0.1"], ["169.254.169.254"])
        url = receiver.url.replace("127.0.0.1", "rebinding.example.org")
        channel = webhook(url, names, allow_private=True)
        channel.send(notice("a"), NOW)
        with pytest.raises(NotDelivered, match=NOT_ALLOWED):
            channel.send(notice("b"), NOW)

    assert len(receiver.requests) == 1


def test_the_receiver_is_called_by_its_name_and_its_certificate_is_for_that(
    tmp_path: Path,
) -> None:
    ours = authority(tmp_path)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate_for(ours, "hook.example.org"))
    asked: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: asked.append(name)
    with receiving(Answer(200), tls=served) as receiver:
        port = receiver.url.rpartition(":")[2]
        url = f"https://hook.example.org:{port}/"
        how = {"ca_file": ours.certificate, "allow_private": True}
        answer = webhook(url, Names(["127.0.0.1"]), **how).send(notice("a"), NOW)
        with pytest.raises(NotDelivered, match="its certificate is not accepted"):
            webhook(url.replace("hook.", "other."), Names(["127.0.0.1"]), **how).send(
                notice("b"), NOW
            )

    assert answer == "200"
    assert receiver.requests[0].headers["host"] == f"hook.example.org:{port}"
    assert asked[0] == "hook.example.org"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_where_it_may_not_go_is_not_followed(status: int) -> None:
    to = (("location", "http://169.254.169.254/latest/meta-data/"),)
    with receiving(Answer(status, to)) as receiver:
        names = Names(["127.0.0.1"])
        with pytest.raises(NotDelivered, match=f"answered {status}"):
            webhook(receiver.url, names, allow_private=True).send(notice("a"), NOW)

    assert len(names.asked) == len(receiver.requests) == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "0x7f.0.0.1",
        "0x7f000001",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "169.254.169.254",
        "0xa9fea9fe",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "127。0。0。1",
        "①②⑦.0.0.1",
    ],
)
def test_an_address_in_the_settings_is_refused_at_once_however_it_is_written(host: str) -> None:
    with pytest.raises(BadSettings, match=r"^url: ") as caught:
        WebhookSettings(url=f"http://{host}/hook", secret=SECRET)

    assert host not in str(caught.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::]", "0", "100.100.100.200"])
def test_allow_private_allows_no_address_of_a_clouds_metadata(host: str) -> None:
    with pytest.raises(BadSettings, match=r"leads to an address that is not public$"):
        WebhookSettings(url=f"http://{host}/", secret=SECRET, allow_private=True)


def test_an_alertmanager_may_be_beside_us_and_not_where_metadata_are() -> None:
    assert AlertmanagerSettings(url="http://127.0.0.1:9093").allow_private
    with pytest.raises(BadSettings, match=r"^url: leads to"):
        AlertmanagerSettings(url="http://169.254.169.254")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org@127.0.0.1/",
        "http://example.org:80@127.0.0.1/",
        "http://example.org%40127.0.0.1/",
        "http://127.0.0.1#@example.org/",
        "http://127.0.0.1\\@example.org/",
        "http://example.org\\@127.0.0.1/",
    ],
)
def test_no_trick_with_a_user_in_the_address_leads_elsewhere(url: str) -> None:
    """Refused at once, or taken for a name, and that is what the resolver is asked for."""
    names = Names(["127.0.0.1"])
    with pytest.raises((BadSettings, NotDelivered)):
        webhook(url, names).send(notice("a"), NOW)

    assert all(host not in {"127.0.0.1", "example.org"} for host, _ in names.asked)


def test_the_next_address_of_a_name_is_tried_when_one_does_not_answer() -> None:
    with receiving(Answer(200)) as receiver:
        url = receiver.url.replace("127.0.0.1", "hook.example.org")
        names = Names(["127.0.0.2", "127.0.0.1"])
        answer = webhook(url, names, allow_private=True).send(notice("a"), NOW)

    assert answer == "200"


def no_such_name(host: str, port: int) -> Sequence[str]:
    raise socket.gaierror(host, port)


@pytest.mark.parametrize("resolve", [no_such_name, Names([])])
def test_a_name_without_an_address_is_a_passing_failure(resolve: Resolve) -> None:
    with pytest.raises(NotDelivered, match=r"^no connection$") as caught:
        webhook("http://hook.example.org/", resolve).send(notice("a"), NOW)

    assert not caught.value.permanent


def test_a_resolver_that_hangs_ends_the_attempt_in_its_time() -> None:
    over = threading.Event()

    def hanging(host: str, port: int) -> Sequence[str]:
        over.wait(30)
        raise socket.gaierror(host, port)

    began = time.monotonic()
    with pytest.raises(NotDelivered, match=r"^no answer in time$"):
        webhook("http://hook.example.org/", hanging, timeout_s=0.5).send(notice("a"), NOW)
    took = time.monotonic() - began
    over.set()

    assert took < 20


def test_of_an_answer_of_any_size_the_body_is_not_read() -> None:
    """The receiver writes for as long as somebody reads, and is cut off."""
    written = 0
    listening = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        nonlocal written
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            try:
                while written < 100_000_000:
                    written += connection.send(b"x" * 65_536)
            except OSError:
                return

    thread = threading.Thread(target=babble)
    thread.start()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    answer = webhook(url, Names(["127.0.0.1"]), allow_private=True).send(notice("a"), NOW)
    thread.join()
    listening.close()

    assert answer == "200"
    assert written < 50_000_000  # what fits into the buffers of two sockets
