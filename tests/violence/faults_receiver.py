"""A receiver of notices on a bare socket, so that it can do to an answer what no server would."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

_HEARS_OF_CLOSING = 20.0


class Got(NamedTuple):
    """A request as it came: when (monotonic seconds), its headers in lower case, its body."""

    when: float
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]


Script: TypeAlias = Callable[[socket.socket], None]
"""What to do with a connection once the request has been read."""


def says(text: str) -> Script:
    """Send *text* and close."""
    return lambda line: line.sendall(text.encode())


def status(code: int, *headers: str) -> Script:
    """Answer with *code* and *headers*, and wait until the sender has taken it in."""
    lines = [f"HTTP/1.1 {code} So", *headers, "content-length: 0", "connection: close", "", ""]

    def answer(line: socket.socket) -> None:
        line.sendall("\r\n".join(lines).encode())
        line.settimeout(_HEARS_OF_CLOSING)
        line.recv(1)  # nothing: it hangs up when it has read the answer

    return answer


def hangs(line: socket.socket) -> None:
    """Say nothing until the sender has had enough."""
    line.settimeout(_HEARS_OF_CLOSING)
    line.recv(1)


def drips(line: socket.socket) -> None:
    """Send one byte of an endless header after the other, each well within the sender's time."""
    line.sendall(b"HTTP/1.1 204 So\r\nx-slow: ")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        line.sendall(b"a")
        time.sleep(0.2)


@dataclass
class Receiver:
    """Does to the n-th request what the n-th of *scripts* says, to later ones the last."""

    scripts: Sequence[Script]
    url: str = ""
    got: list[Got] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            request = _read(line)
            with self._lock:
                script = self.scripts[min(len(self.got), len(self.scripts) - 1)]
                self.got.append(request)
            script(line)
            self.answered.append(time.monotonic())


@contextmanager
def receiving(*scripts: Script, path: str = "/notices") -> Iterator[Receiver]:
    """Run a receiver on a free loopback port."""
    receiver = Receiver(scripts)
    with socket.create_server(("127.0.0.1", 0)) as server:
        receiver.url = f"http://127.0.0.1:{server.getsockname()[1]}{path}"
        thread = threading.Thread(target=_accept, args=(server, receiver), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(server: socket.socket, receiver: Receiver) -> None:
    while True:
        try:
            line, _ = server.accept()
        except OSError:  # it was shut down: the block has ended
            return
        threading.Thread(target=receiver.serve, args=(line,), daemon=True).start()


def _read(line: socket.socket) -> Got:
    line.settimeout(10)
    text = b""
    while b"\r\n\r\n" not in text:
        text += _some(line)
    head, _, body = text.partition(b"\r\n\r\n")
    pairs = (one.split(": ", 1) for one in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value for name, value in pairs}
    while len(body) < int(headers["content-length"]):
        body += _some(line)
    return Got(time.monotonic(), headers, body)


def _some(line: socket.socket) -> bytes:
    got = line.recv(65_536)
    if not got:
        raise ConnectionError
    return got
