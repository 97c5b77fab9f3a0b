"""Where the process of a channel of kind apprise may not go, whichever service tries."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from alerts.channel import BadSettings, NotDelivered
from tests.apprise_kit import (
    TOKEN,
    by_mail,
    channel,
    told,
)
from tests.outbox_contract import NOW
from tests.post_office import post_office
from tests.receiver import Answer, receiving


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "169.254.169.254"]
)
def test_a_service_of_ones_own_that_is_not_public_is_refused_before_a_byte_is_sent(
    host: str,
) -> None:
    with receiving(Answer(200)) as receiver:
        port = receiver.url.rpartition(":")[2]
        with (
            closing(channel(f"gotify://{host}:{port}/{TOKEN}")) as sender,
            pytest.raises(NotDelivered, match=r"^its address is not allowed") as caught,
        ):
            sender.send(told(), NOW)

    assert caught.value.permanent
    assert receiver.requests == []


def test_mail_to_a_server_of_ones_own_needs_to_be_allowed_as_well() -> None:
    with (
        post_office() as office,
        closing(channel(by_mail(office))) as sender,
        pytest.raises(NotDelivered, match=r"^its address is not allowed"),
    ):
        sender.send(told(), NOW)

    assert office.letters == []


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "167838211"])
def test_a_proxy_is_not_asked_to_go_where_we_may_not(host: str) -> None:
    with receiving(Answer(200)) as proxy:
        url, by = f"gotify://{host}/{TOKEN}", proxy.url.replace("127.0.0.1", "localhost")
        with (
            closing(channel(url, proxy=by)) as sender,
            pytest.raises(NotDelivered, match=r"^its address is not allowed") as caught,
        ):
            sender.send(told(), NOW)

    assert caught.value.permanent
    assert proxy.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "100.100.100.200"])
def test_a_proxy_is_nowhere_that_nobody_may_go(host: str) -> None:
    with pytest.raises(BadSettings, match=r"^proxy: leads to an address that no channel may go to"):
        channel(f"gotify://push.example.org/{TOKEN}", proxy=f"http://{host}:80")


def test_a_redirect_is_not_followed_though_the_address_asks_for_it() -> None:
    with receiving(Answer(200)) as other:
        moved = Answer(307, (("location", other.url),))
        with receiving(moved) as receiver:
            url = receiver.url.replace("http://", "json://") + "/?redirect=yes&retry=3"
            with (
                closing(channel(url, allow_private=True)) as sender,
                pytest.raises(NotDelivered, match=r"^answered 307$"),
            ):
                sender.send(told(), NOW)

    assert len(receiver.requests) == 1
    assert other.requests == []


def test_a_failure_is_one_though_the_address_calls_it_optional() -> None:
    with receiving(Answer(500)) as receiver:
        url = receiver.url.replace("http://", "json://") + "/?optional=yes"
        with (
            closing(channel(url, allow_private=True)) as sender,
            pytest.raises(NotDelivered, match=r"^answered 500$"),
        ):
            sender.send(told(), NOW)

    assert len(receiver.requests) == 1


def test_whatever_a_service_tries_it_gets_nowhere_else() -> None:
    """Each way out of a process, tried under the guard."""
    code = """
import socket, subprocess, os, sys
sys.path.insert(0, sys.argv[1])
from alerts.channels.apprise_guard import Guard, NotAllowed
guard = Guard(private=False, proxy=None)
sys.addaudithook(guard.watch)
inet, unix = socket.AF_INET, socket.AF_UNIX
stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
for way in (
    lambda: socket.socket(inet, stream).connect(("127.0.0.1", 9)),
    lambda: socket.socket(inet, stream).connect_ex(("10.0.0.1", 9)),
    lambda: socket.socket(inet, stream).connect(("localhost", 9)),
    lambda: socket.socket(socket.AF_INET6, stream).connect(("::1", 9)),
    lambda: socket.socket(inet, datagram).sendto(b"x", ("127.0.0.1", 9)),
    lambda: socket.socket(inet, datagram).sendmsg([b"x"], [], 0, ("127.0.0.1", 9)),
    lambda: socket.create_connection(("localhost", 9)),
    lambda: socket.socket(unix, stream).connect("/run/dbus/system_bus_socket"),
    lambda: subprocess.run(["true"]),
    lambda: os.system("true"),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: os.posix_spawn("/bin/true", ["true"], {}),
    lambda: os.fork() or os._exit(0),
):
    guard.begin()
    try:
        way()
    except NotAllowed:
        print("kept")
    else:
        print("OUT")
"""
    words = [sys.executable, "-W", "ignore", "-c", code, str(Path(__file__).parents[2])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["kept"] * 13


def test_of_an_endless_answer_a_part_is_read_and_the_rest_is_left() -> None:
    written = 0
    listening = socket.create_server(("127.0.0.1", 0))

    def babble() -> None:
        nonlocal written
        connection, _ = listening.accept()
        with connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                while written < 200_000_000:
                    written += connection.send(b"x" * 65_536)
            except OSError:
                return

    thread = threading.Thread(target=babble)
    thread.start()
    url = f"json://127.0.0.1:{listening.getsockname()[1]}"
    with closing(channel(url, allow_private=True)) as sender:
        answer = sender.send(told(), NOW)
    thread.join()
    listening.close()

    assert answer == "accepted, 200"
    assert written < 50_000_000
