"""Acknowledgements over HTTP: ``POST /ack``, signed as our own webhooks are. Off by default.

The same headers that a webhook of ours carries (Standard Webhooks): ``webhook-id``,
``webhook-timestamp``, ``webhook-signature``. A signature is good for five minutes, and a message
that comes again within them does nothing: its id is remembered, and of a duty only pages from
before it was signed are acknowledged. Nothing is in the address, and no answer says more than
whoever has the key may know.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import urlsplit

from alerts.callers import Callers
from alerts.channel import BadSettings
from alerts.channels.webhook import key_bytes, signature
from monitor.facts import Instant

log = logging.getLogger(__name__)

GOOD_FOR_S: Final = 300
AHEAD_S: Final = 60
PATH: Final = "/ack"
_LONGEST: Final = 16_384
_SLOWEST_S: Final = 10.0
_AT_ONCE: Final = 16
_TOLD_EVERY_S: Final = 60.0
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_STAMP = re.compile(r"[0-9]{1,15}")
_WORDS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AckSettings:
    """Where acknowledgements are taken, ``HOST:PORT``, and the key that signs them.

    *previous_secret* is good, too, while senders change over. Raises BadSettings.
    """

    address: str
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        host_and_port(self.address)
        key_bytes("secret", self.secret)
        if self.previous_secret is not None:
            key_bytes("previous_secret", self.previous_secret)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys of which one has to have signed."""
        given = (("secret", self.secret), ("previous_secret", self.previous_secret))
        return tuple(key_bytes(name, secret) for name, secret in given if secret is not None)


class Said(NamedTuple):
    """*by* has the page or the duty *what*."""

    what: str
    by: str
    reason: str | None


class Signed(NamedTuple):
    """A message that one of the keys has signed lately: *name* is its id, *at* in Unix seconds."""

    name: str
    at: int
    said: Mapping[str, Any]


class Answered(NamedTuple):
    """What became of it: keys of pages, or None where there is nothing of that name to be."""

    now: tuple[str, ...]
    before: tuple[str, ...]


class Acknowledge(Protocol):
    """How the store takes one."""

    def __call__(self, said: Said, until: Instant, now: Instant) -> Answered | None:
        """Acknowledge the page *said* names, or pages of the duty that were there before *until*.

        None if there is none of that name. Raises Refused.
        """


class Refused(Exception):
    """A request that is not taken; *status* says why, and so does the text."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


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


def taken(headers: Mapping[str, str], body: bytes, settings: AckSettings, now: Instant) -> Signed:
    """Return what a request says that one of the keys has signed lately. Raises Refused."""
    name, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not _ID.fullmatch(name) or not _STAMP.fullmatch(stamp):
        raise Refused(HTTPStatus.UNAUTHORIZED, "not signed")
    good = [signature(key, name, int(stamp), body) for key in settings.keys]
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(a.encode(), b.encode()) for a in given for b in good):
        raise Refused(HTTPStatus.UNAUTHORIZED, "not signed by a key that is known here")
    if not -AHEAD_S <= now // 1_000_000 - int(stamp) <= GOOD_FOR_S:
        raise Refused(HTTPStatus.UNAUTHORIZED, "signed too long ago, or a clock is wrong")
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Refused(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    return Signed(name, int(stamp), said)


def words_of(said: Mapping[str, Any]) -> Said:
    """Return page or duty, name and reason. Raises Refused for what is no line of text."""
    what, by, reason = said.get("what"), said.get("by"), said.get("reason")
    for name, value in (("what", what), ("by", by)):
        if not _is_line(value):
            raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: one line of text")
    if reason is not None and not _is_line(reason):
        raise Refused(HTTPStatus.BAD_REQUEST, "reason: one line of text, or left out")
    assert isinstance(what, str)  # noqa: S101 - it is a line
    assert isinstance(by, str)  # noqa: S101 - likewise
    return Said(what, by.strip(), reason.strip() if reason else None)


def _is_line(value: object) -> bool:
    return (
        isinstance(value, str)
        and bool(value.strip())
        and value.isprintable()
        and len(value) <= _WORDS
    )


class Taken:
    """Takes each message once: what was done by it is remembered while its signature is good."""

    def __init__(self, settings: AckSettings, acknowledge: Acknowledge) -> None:
        self._settings, self._acknowledge = settings, acknowledge
        self._lock = threading.Lock()
        self._done: dict[tuple[str, bytes], tuple[int, Answered]] = {}

    def take(self, headers: Mapping[str, str], body: bytes, now: Instant) -> Answered:
        """Acknowledge what a request says; for one that was taken before, say so. Raises Refused.

        *until* of the store is the end of the second in which it was signed.
        """
        signed = taken(headers, body, self._settings, now)
        which = (signed.name, hashlib.sha256(body).digest())
        with self._lock:
            done = self._done.get(which)
        if done is not None:
            return Answered((), (*done[1].now, *done[1].before))
        answered = self._acknowledge(words_of(signed.said), (signed.at + 1) * 1_000_000, now)
        if answered is None:
            why = "there is no such page, and no such duty with one from before this was signed"
            raise Refused(HTTPStatus.NOT_FOUND, why)
        self._remember(which, signed.at + GOOD_FOR_S, answered, now // 1_000_000)
        return answered

    def _remember(
        self, which: tuple[str, bytes], until_s: int, answered: Answered, now_s: int
    ) -> None:
        with self._lock:
            self._done = {one: held for one, held in self._done.items() if held[0] >= now_s}
            self._done[which] = (until_s, answered)


@contextmanager
def serving(
    settings: AckSettings,
    acknowledge: Acknowledge,
    clock: Callable[[], Instant],
    count: Callable[[int], None] = lambda _: None,
    patience_s: float = _SLOWEST_S,
) -> Iterator[tuple[str, int]]:
    """Take acknowledgements in threads; yield host and port. Raises OSError if it is taken.

    *count* is called with the status of each answer. A request has *patience_s* to come whole.
    """
    host, port = host_and_port(settings.address)
    callers = Callers(_AT_ONCE, patience_s)
    server = _Server((host, port), Taken(settings, acknowledge), callers, clock, count)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
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

    def __init__(
        self,
        where: tuple[str, int],
        taken: Taken,
        callers: Callers,
        clock: Callable[[], Instant],
        count: Callable[[int], None],
    ) -> None:
        self.taken, self.callers, self.clock, self._count = taken, callers, clock, count
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
        self._count(int(status))
        now = time.monotonic()
        if status is HTTPStatus.OK or now < self._told.get(status, 0.0):
            return
        self._told[status] = now + _TOLD_EVERY_S
        log.warning("an acknowledgement was refused: %d %s", status, status.phrase)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - of socketserver
        log.debug("a connection to %s was cut", PATH)


class _Handler(BaseHTTPRequestHandler):
    timeout = _SLOWEST_S
    server_version = "facetally"
    sys_version = ""
    server: _Server

    def do_POST(self) -> None:
        """Take one acknowledgement."""
        try:
            status, said = self._answer()
        except Refused as exc:
            status, said = exc.status, {"error": str(exc)}
        except Exception:
            log.exception("an acknowledgement could not be taken")
            status, said = HTTPStatus.SERVICE_UNAVAILABLE, {"error": "try again"}
        self.server.answered(status)
        body = json.dumps(said, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _answer(self) -> tuple[HTTPStatus, Mapping[str, object]]:
        if self.path != PATH:
            raise Refused(HTTPStatus.NOT_FOUND, "there is only /ack")
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "say how long the body is")
        if len(length) > len(str(_LONGEST)) or int(length) > _LONGEST:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too long")
        body, now = self.rfile.read(int(length)), self.server.clock()
        if len(body) < int(length):
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time")
        self.server.callers.heard(self.connection)
        headers = {name.lower(): value for name, value in self.headers.items()}
        done = self.server.taken.take(headers, body, now)
        return HTTPStatus.OK, {"acknowledged": done.now, "acknowledged_before": done.before}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - of http.server
        """Say nothing: a request line may hold anything."""


__all__ = [
    "AckSettings",
    "Acknowledge",
    "Answered",
    "Refused",
    "Said",
    "serving",
    "taken",
    "words_of",
]
