"""The hash chain of the audit log: each entry seals everything before it. Pure.

An entry's hash is SHA-256 over the previous hash and the canonical JSON of the entry, so that one
changed byte, a removed or an inserted entry breaks every later link.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from monitor.facts import Instant

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the audit log; *body* is canonical JSON without personal data."""

    seq: int
    at: Instant
    kind: str
    processor: str | None
    body: str
    previous: str
    hash: str


def canonical(body: Mapping[str, object]) -> str:
    """Return *body* as JSON with one spelling: sorted keys, no spaces, UTF-8 text."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def seal(
    seq: int, at: Instant, kind: str, processor: str | None, body: str, previous: str
) -> Entry:
    """Return the entry that follows the one whose hash is *previous*."""
    sealed = _hash(seq, at, kind, processor, body, previous)
    return Entry(
        seq=seq, at=at, kind=kind, processor=processor, body=body, previous=previous, hash=sealed
    )


def first_broken(entries: Iterable[Entry]) -> int | None:
    """Return the number of the first entry that does not follow from those before it, if any."""
    previous = GENESIS
    for seq, entry in enumerate(entries, 1):
        sealed = _hash(seq, entry.at, entry.kind, entry.processor, entry.body, previous)
        if (entry.seq, entry.previous, entry.hash) != (seq, previous, sealed):
            return entry.seq
        previous = entry.hash
    return None


def _hash(seq: int, at: Instant, kind: str, processor: str | None, body: str, previous: str) -> str:
    text = json.dumps([previous, seq, at, kind, processor, body], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
