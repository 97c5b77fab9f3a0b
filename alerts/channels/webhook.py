"""A signed webhook, by the Standard Webhooks specification.

The id is the notice's key, behind the name of the installation if it has one, so it is the same
for every attempt; so is the body. Only the timestamp, and with it the signature, is of the attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Final

from alerts import words
from alerts.channel import BadSettings
from alerts.channels.connecting import Resolve, system_addresses
from alerts.channels.http import HttpSettings, Poster, rfc3339
from alerts.origin import NOWHERE, Origin
from monitor.facts import Instant
from monitor.notices import Notice

_PREFIX: Final = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes, as the specification has it


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings(HttpSettings):
    """*secret* is ``whsec_`` and base64 of 24 to 64 bytes. Raises BadSettings.

    While receivers change over to a new secret, *previous_secret* signs beside it.
    """

    name: str = "webhook"
    secret: str = field(repr=False)
    previous_secret: str | None = field(default=None, repr=False)
    origin: Origin = NOWHERE

    def __post_init__(self) -> None:
        HttpSettings.__post_init__(self)
        key_bytes("secret", self.secret)
        if self.previous_secret is not None:
            key_bytes("previous_secret", self.previous_secret)


class Webhook:
    """Posts each notice as JSON, signed. Any 2xx confirms it."""

    def __init__(self, settings: WebhookSettings, resolve: Resolve = system_addresses) -> None:
        self._name, self._origin = settings.name, settings.origin
        self._poster = Poster(settings, resolve)
        self._keys = [key_bytes("secret", settings.secret)]
        if settings.previous_secret is not None:
            self._keys.append(key_bytes("previous_secret", settings.previous_secret))

    @property
    def name(self) -> str:
        return self._name

    def send(self, notice: Notice, now: Instant) -> str:
        """Return the status code, or raise NotDelivered."""
        body, named = payload(notice, self._origin), self._origin.id_of(notice)
        timestamp = now // 1_000_000
        headers = {
            "webhook-id": named,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                signature(key, named, timestamp, body) for key in self._keys
            ),
        }
        return self._poster.post("", body, headers, now)


def payload(notice: Notice, origin: Origin = NOWHERE) -> bytes:
    """Return the body for *notice*: ``type``, ``timestamp`` and ``data``, always the same bytes."""
    said, facts = words.summary(notice), words.description(notice.body)
    content = {
        "type": f"facetally.{notice.kind}",
        "timestamp": rfc3339(notice.created_at),
        "data": {
            "key": notice.key,
            "severity": notice.severity,
            "processor": notice.processor,
            "rule": notice.rule,
            "duty": notice.duty,
            "summary": said._asdict(),
            "description": facts._asdict(),
            "facts": dict(notice.body),
            **origin.named(notice.kind),
        },
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def signature(key: bytes, webhook_id: str, timestamp: int, body: bytes) -> str:
    """Return the ``v1`` signature of *body*, sent as *webhook_id* at *timestamp* (Unix seconds)."""
    signed = b".".join((webhook_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def key_bytes(setting: str, secret: str) -> bytes:
    """Return the key in *secret*. Raises BadSettings, which names *setting* and quotes nothing."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise BadSettings(f"{setting}: must be whsec_ and base64 of 24 to 64 bytes")
    return key
