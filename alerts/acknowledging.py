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
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol

from alerts.channels.webhook import key_bytes, signature
from alerts.doors import SLOWEST_S, Door, Refused, host_and_port, opened
from monitor.facts import Instant

GOOD_FOR_S: Final = 300
AHEAD_S: Final = 60
PATH: Final = "/ack"
_LONGEST: Final = 16_384
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
    patience_s: float = SLOWEST_S,
) -> Iterator[tuple[str, int]]:
    """Take acknowledgements in threads; yield host and port. Raises OSError if it is taken.

    *count* is called with the status of each answer. A request has *patience_s* to come whole.
    """
    messages = Taken(settings, acknowledge)

    def take(headers: Mapping[str, str], body: bytes) -> Mapping[str, object]:
        done = messages.take(headers, body, clock())
        return {"acknowledged": done.now, "acknowledged_before": done.before}

    door = Door(path=PATH, what="an acknowledgement", take=take, longest=_LONGEST, count=count)
    with opened(settings.address, door, patience_s) as where:
        yield where


__all__ = [
    "AckSettings",
    "Acknowledge",
    "Answered",
    "Refused",
    "Said",
    "host_and_port",
    "serving",
    "taken",
    "words_of",
]
