"""A small server that strangers can reach: one path, small bodies, few callers, none for long.

It knows nothing of what is asked: a ``Door`` says whether a request is taken. Nothing of a request
is logged, and an error of ours is told to nobody.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from alerts.callers import Callers
from alerts.channel import BadSettings

log = logging.getLogger(__name__)

HEALTH: Final = "/health"
SLOWEST_S: Final = 10.0
_AT_ONCE: Final = 16
_TOLD_EVERY_S: Final = 60.0
_POLL_S: Final = 0.1  # so long the end of the block waits at most

Answer: TypeAlias = Mapping[str, object]


class Refused(Exception):
    """A request that is not taken; *status* says why, and so does the text."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What ``POST`` to *path* does: *take* gets headers (lower case) and a body of *longest* bytes.

    *what* names one request in the log. *count* is called with the status of each answer.
    *health*, where there is one, answers ``GET /health`` to anybody.
    """

    path: str
    what: str
    take: Callable[[Mapping[str, str], bytes], Answer]
    longest: int
    count: Callable[[int], None] = lambda _: None
    health: Callable[[], Answer] | None = None


def host_and_port(text: str) -> tuple[str, int]:
    """Return the two parts of *text*. Raises BadSettings."""
    try:
        found = urlsplit(f"//{text}")
        host, port = found.hostname, found.port
    except ValueError:
        host, port = None, None
    if host is None or port is None or found.netloc != text or "@" in text:
        raise BadSettings("address: must be HOST:PORT, such as 127.0.0.1:9465")
    return host, port


@contextmanager
def opened(address: str, door: Door, patience_s: float = SLOWEST_S) -> Iterator[tuple[str, int]]:
    """Take requests in threads until the block ends; yield host and port.

    A request has *patience_s* to come whole. Raises OSError if *address* is taken.
    """
    host, port = host_and_port(address)
    server = _Server((host, port), door, Callers(_AT_ONCE, patience_s))
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_S,), daemon=True)
    thread.start()
    try:
        yield host, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # whoever drips a request must not keep the process from ending

    def __init__(self, where: tuple[str, int], door: Door, callers: Callers) -> None:
        self.door, self.callers = door, callers
        self._told: dict[HTTPStatus, float] = {}
        if ":" in where[0]:
            self.address_family = socket.AF_INET6
        super().__init__(where, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - of socketserver
        """Answer in a thread, unless too many are at work: then hang up."""
        if not self.callers.admit(request):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - of socketserver
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.callers.left(request)

    def answered(self, status: HTTPStatus) -> None:
        """Count an answer, and log that one was refused: seldom, for anybody can ask."""
        self.door.count(int(status))
        now = time.monotonic()
        if status is HTTPStatus.OK or now < self._told.get(status, 0.0):
            return
        self._told[status] = now + _TOLD_EVERY_S
        log.warning("%s was refused: %d %s", self.door.what, status, status.phrase)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - of socketserver
        log.debug("a connection to %s was cut", self.door.path)


class _Handler(BaseHTTPRequestHandler):
    timeout = SLOWEST_S
    server_version = "facetally"
    sys_version = ""
    server: _Server

    def do_POST(self) -> None:
        """Take one request."""
        status, said = self._tried(self._taken)
        self.server.answered(status)
        self._say(status, said)

    def do_GET(self) -> None:
        """Say that we live, where the door has that."""
        self._say(*self._tried(self._health))

    def _tried(self, what: Callable[[], Answer]) -> tuple[HTTPStatus, Answer]:
        try:
            return HTTPStatus.OK, what()
        except Refused as exc:
            return exc.status, {"error": str(exc)}
        except Exception:
            log.exception("%s could not be taken", self.server.door.what)
            return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "try again"}

    def _health(self) -> Answer:
        health = self.server.door.health
        if health is None or self.path != HEALTH:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing to read")
        self.server.callers.heard(self.connection)
        return health()

    def _taken(self) -> Answer:
        door = self.server.door
        if self.path != door.path:
            raise Refused(HTTPStatus.NOT_FOUND, f"there is only {door.path}")
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say how long the body is")
        if len(length) > len(str(door.longest)) or int(length) > door.longest:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time")
        self.server.callers.heard(self.connection)
        return door.take({name.lower(): value for name, value in self.headers.items()}, body)

    def _say(self, status: HTTPStatus, said: Answer) -> None:
        body = json.dumps(said, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of http.server
        """Say nothing: a request line may hold anything."""
