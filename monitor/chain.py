"""The hash chain of the audit log: each entry seals everything before it. Pure.

An entry's hash is SHA-256 over the previous hash and the canonical JSON of the entry, so that one
changed byte, a removed or an inserted entry breaks every later link. Who makes the whole chain
anew is found out by a checkpoint that was kept elsewhere: the hash that an entry had then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from monitor.facts import Instant

GENESIS = "0" * 64
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "seq": (int,),
    "at": (int,),
    "kind": (str,),
    "processor": (str, type(None)),
    "body": (str,),
    "previous": (str,),
    "hash": (str,),
}
_CHECKPOINT: Mapping[str, tuple[type, ...]] = {"seq": (int,), "hash": (str,), "at": (int,)}


class Unreadable(ValueError):
    """A line is not what we write; the message says why, and never quotes it."""


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


class Links:
    """A chain that is followed link by link: *seq* and *hash* are those of the newest entry.

    Takes the same memory however long the chain is.
    """

    def __init__(self) -> None:
        self.seq, self.hash = 0, GENESIS

    def follow(self, entry: Entry) -> str | None:
        """Go on to *entry*; return why it does not follow from those before it, if it does not."""
        wanted = self.seq + 1
        if entry.seq != wanted:
            return f"entry {wanted} should stand where entry {entry.seq} does"
        if entry.previous != self.hash:
            return f"entry {entry.seq} does not follow from the entry before it"
        sealed = _hash(entry.seq, entry.at, entry.kind, entry.processor, entry.body, entry.previous)
        if entry.hash != sealed:
            return f"entry {entry.seq} is not what its hash was made of"
        self.seq, self.hash = entry.seq, entry.hash
        return None


def first_broken(entries: Iterable[Entry]) -> int | None:
    """Return which entry is the first that is not there as it was sealed, or None.

    Of an entry that is missing it is the number of that one, not of what stands in its place.
    """
    links = Links()
    broken = any(links.follow(entry) is not None for entry in entries)
    return links.seq + 1 if broken else None


def line_of(entry: Entry) -> str:
    """Return *entry* as one line of canonical JSON, without the end of the line."""
    return canonical(asdict(entry))


def entry_from(line: bytes) -> Entry:
    """Return the entry in *line*, which ends with a newline. Raises Unreadable.

    Only the one spelling of ``line_of`` is read: any other byte is a change.
    """
    return Entry(**parsed(line, _FIELDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The head of the chain at an instant: keep it where those who could forge cannot write."""

    seq: int
    hash: str
    at: Instant

    def line(self) -> str:
        """Return it as one line of canonical JSON, without the end of the line."""
        return canonical(asdict(self))


def checkpoints_from(lines: Iterable[bytes]) -> list[Checkpoint]:
    """Return the checkpoints in *lines*, one in each. Raises Unreadable, which names the line."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(Checkpoint(**parsed(line.rstrip(b"\n") + b"\n", _CHECKPOINT)))
        except Unreadable as exc:
            raise Unreadable(f"line {number}: {exc}") from None
    return found


def parsed(line: bytes, fields: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return the object in *line*: exactly *fields*, each of one of its types, spelled our way.

    Raises Unreadable.
    """
    try:
        found = json.loads(line)
        same = isinstance(found, dict) and f"{canonical(found)}\n".encode() == line
    except (ValueError, RecursionError):
        raise Unreadable("it is no JSON") from None
    if not same:
        raise Unreadable("it is not spelled as it was written")
    # type() and not isinstance(): true is no number.
    if found.keys() != fields.keys() or any(
        type(value) not in fields[name] for name, value in found.items()
    ):
        raise Unreadable(f"it does not have just {', '.join(fields)}")
    return dict(found)


def _hash(seq: int, at: Instant, kind: str, processor: str | None, body: str, previous: str) -> str:
    text = json.dumps([previous, seq, at, kind, processor, body], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
