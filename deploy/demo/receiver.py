"""A webhook receiver as a customer would write one: it checks the signature, then keeps the notice.

It shares no code with the sender, so that what it accepts is by the Standard Webhooks
specification and not by our reading of it twice.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

_TOLERANCE_S = 300
_LARGEST = 1 << 20


class Received(NamedTuple):
    """A notice that came with a good signature; *at* is ``time.time()``."""

    key: str
    kind: str
    rule: str | None
    processor: str | None
    facts: Mapping[str, object]
    at: float


class Receiver:
    """What has been received; *secret* is ``whsec_`` and base64."""

    def __init__(self, secret: str) -> None:
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._lock = threading.Lock()
        self._received: dict[str, Received] = {}
        self.refused = 0
        self.url = ""

    @property
    def received(self) -> Sequence[Received]:
        """The notices, in the order of their first arrival; a repeat is dropped by its key."""
        with self._lock:
            return list(self._received.values())

    def take(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        """Keep the notice in *body* if its signature is good; return whether it is."""
        good = self._signed(headers, body, now)
        with self._lock:
            if good:
                notice = _notice(headers["webhook-id"], body, now)
                self._received.setdefault(notice.key, notice)
            else:
                self.refused += 1
        return good

    def _signed(self, headers: Mapping[str, str], body: bytes, now: float) -> bool:
        named, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not stamp.isdecimal() or abs(now - int(stamp)) > _TOLERANCE_S:
            return False
        signed = hmac.digest(self._key, f"{named}.{stamp}.".encode() + body, hashlib.sha256)
        wanted = "v1," + base64.b64encode(signed).decode()
        given = headers.get("webhook-signature", "").split(" ")
        return any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given)


def _notice(key: str, body: bytes, now: float) -> Received:
    content = json.loads(body)
    about = content["data"]
    return Received(
        key=key,
        kind=content["type"].removeprefix("facetally."),
        rule=about["rule"],
        processor=about["processor"],
        facts=about["facts"],
        at=now,
    )


@contextmanager
def receiving(secret: str, host: str) -> Iterator[Receiver]:
    """Run a receiver on a free port of *host* until the block ends."""
    receiver = Receiver(secret)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers["content-length"]), _LARGEST)
            names = {name.lower(): value for name, value in self.headers.items()}
            good = receiver.take(names, self.rfile.read(length), time.time())
            self.send_response(204 if good else 401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing: the terminal is the view's."""

    with ThreadingHTTPServer((host, 0), Handler) as server:
        receiver.url = f"http://{host}:{server.server_port}/facetally"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
