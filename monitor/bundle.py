"""The bundle that an auditor takes home: what is in it, and what seals what. Pure.

Files, all of canonical JSON, one object a line: ``entries.ndjson`` (the whole chain),
``calendars.ndjson`` (the text of each year that was used), ``rules.ndjson`` (each set of rules
that was in force), ``manifest.json``, and ``README.txt`` in words. The chain seals the entries;
entries seal the calendars and rules; the manifest seals every file, and itself. Each line has one
spelling, so a changed byte changes what is said, or is no line of ours. How it is checked is in
``bundle_check``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from monitor import recounting
from monitor.chain import Entry, Links, canonical
from monitor.facts import Instant

FORMAT = "facetally-audit-bundle-1"
MANIFEST = "manifest.json"
ENTRIES, CALENDARS, RULES, README = (
    "entries.ndjson",
    "calendars.ndjson",
    "rules.ndjson",
    "README.txt",
)
FILES = (README, CALENDARS, RULES, ENTRIES)
"""What the manifest seals."""

CALENDAR_USED, CALENDAR_LOADED = "calendar.used", "calendar.loaded"
RULES_USED = recounting.RULES_USED
CALENDAR_KINDS = frozenset({CALENDAR_USED, CALENDAR_LOADED})
_SEALING = CALENDAR_KINDS | {RULES_USED}

LONGEST_LINE = 16 * 1024 * 1024


class Opener(Protocol):
    """The files of a bundle, whatever it lies in."""

    def names(self) -> Iterable[str]:
        """Return the name of everything that is in it."""

    def open(self, name: str) -> BinaryIO:
        """Open one of them, from its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """One thing that is wrong; *seq* is the link of the chain that it is about, if it is."""

    file: str
    seq: int | None
    why: str


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What a bundle is worth. Nothing of it may be relied on unless it ``holds``."""

    broken: list[Broken] = field(default_factory=list)
    chain: Mapping[str, object] = field(default_factory=dict)
    product: str = ""
    exported_at: Instant | None = None
    checkpoints: int = 0  # that an entry of this bundle was compared with
    younger: int = 0  # checkpoints that none was: younger than the bundle says it is
    days: int = 0  # last days of duties that were counted again

    @property
    def holds(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.broken

    @property
    def first_broken(self) -> Broken | None:
        """The first broken link of the chain if one is broken, else the first thing wrong."""
        links = [one for one in self.broken if one.seq is not None]
        if links:
            return min(links, key=lambda one: one.seq or 0)
        return self.broken[0] if self.broken else None

    def note(self, file: str, seq: int | None, why: str) -> None:
        """Add what is wrong."""
        self.broken.append(Broken(file=file, seq=seq, why=why))


class Summary:
    """What the manifest says of a chain: made while it is written, and again while it is read."""

    def __init__(self) -> None:
        self.links = Links()
        self.kinds: Counter[str] = Counter()
        self.first_at: Instant | None = None
        self.last_at: Instant | None = None
        self.sealing: dict[int, tuple[str, Mapping[str, Any]]] = {}
        self.whole = True
        self.checked = 0  # checkpoints
        self.genesis = self.links.hash

    def follow(self, entry: Entry) -> str | None:
        """Go on to *entry*; return why it does not follow, if it does not."""
        why = self.links.follow(entry)
        if why is not None:
            return why
        self.kinds[entry.kind] += 1
        self.first_at = entry.at if self.first_at is None else self.first_at
        self.last_at = entry.at
        if entry.kind in _SEALING:
            self.sealing[entry.seq] = (entry.kind, _object(entry.body))
        return None

    def as_json(self) -> dict[str, object]:
        """Return it as it stands in the manifest."""
        return {
            "entries": self.links.seq,
            "head": self.links.hash,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "kinds": dict(self.kinds),
        }

    @property
    def calendars(self) -> dict[tuple[object, ...], list[int]]:
        """The entries that seal each calendar: by year, version and hash."""
        found: dict[tuple[object, ...], list[int]] = {}
        for seq, (kind, body) in self.sealing.items():
            if kind != RULES_USED:
                found.setdefault(named(body), []).append(seq)
        return found

    @property
    def rules(self) -> dict[int, object]:
        """Each set of rules that was in force, by the entry that seals it."""
        return {
            seq: body.get("rules")
            for seq, (kind, body) in self.sealing.items()
            if kind == RULES_USED
        }


def calendar_line(seq: int | None, year: int, version: str, text: str) -> str:
    """Return the line of a year's calendar; *seq* is the entry that seals it."""
    sealed = hashlib.sha256(text.encode()).hexdigest()
    return canonical({"seq": seq, "year": year, "version": version, "sha256": sealed, "text": text})


def rules_line(seq: int | None, rules: object) -> str:
    """Return the line of a set of rules; without *seq* it is that of the settings at the export."""
    return canonical({"seq": seq, "rules": rules})


def manifest_line(
    *,
    product: str,
    exported_at: Instant,
    retention_years: int,
    chain: Mapping[str, object],
    files: Mapping[str, Mapping[str, object]],
) -> str:
    """Return the manifest, sealed by its last word."""
    said: dict[str, object] = {
        "format": FORMAT,
        "product": product,
        "exported_at": exported_at,
        "retention_years": retention_years,
        "chain": chain,
        "files": files,
    }
    return canonical(said | {"seal": seal_of(said)})


def seal_of(said: Mapping[str, object]) -> str:
    """Return the seal of a manifest that says *said*."""
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def named(said: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what a calendar is known by, in an entry and in its line."""
    return said.get("year"), said.get("version"), said.get("sha256")


def _object(body: str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
