"""A local HTTP receiver that fails as told, and remembers what it was sent."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeAlias


class Request(NamedTuple):
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class Answer(NamedTuple):
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


CUT = Answer(0)
"""The connection is cut without an answer."""

Behaviour: TypeAlias = Callable[[Request], Answer]
"""What to answer; may wait, to hang."""


@dataclass
class Receiver:
    """Answers the n-th request by the n-th of *behaviours*, later ones by the last."""

    behaviours: Sequence[Behaviour]
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Answer:
        with self._lock:
            behaviour = self.behaviours[min(len(self.requests), len(self.behaviours) - 1)]
            self.requests.append(request)
        return behaviour(request)


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections that break are what these tests are about."""


@contextmanager
def receiving(
    *behaviours: Behaviour | Answer, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """Run a receiver on a free loopback port; give the behaviours in the order of requests."""
    receiver = Receiver([_constant(b) if isinstance(b, Answer) else b for b in behaviours])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver.answer(Request(self.path, names, body))
            if answer == CUT:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            try:
                self._write(answer)
            except OSError:  # the sender has given up, as it should
                self.close_connection = True

        def _write(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _constant(answer: Answer) -> Behaviour:
    return lambda _: answer
