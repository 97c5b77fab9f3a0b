"""The bundle that an auditor takes home: what is in it, and how every byte of it is checked. Pure.

Files, all of canonical JSON, one object a line: ``entries.ndjson`` (the whole chain),
``calendars.ndjson`` (the text of each year that was used), ``rules.ndjson`` (each set of rules
that was in force), ``manifest.json``, and ``README.txt`` in words. The chain seals the entries;
entries seal the calendars and rules; the manifest seals every file, and itself. Each line has one
spelling, so a changed byte changes what is said, or is no line of ours.

Neither settings, nor a database, nor a secret is needed, and memory does not grow with the log.
Who makes all of it anew, in itself consistent, is found out by a checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

from monitor.chain import Checkpoint, Entry, Links, Unreadable, canonical, entry_from, parsed
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

CALENDAR_USED, CALENDAR_LOADED, RULES_USED = "calendar.used", "calendar.loaded", "rules.used"
_CALENDAR_KINDS = frozenset({CALENDAR_USED, CALENDAR_LOADED})
_SEALING = _CALENDAR_KINDS | {RULES_USED}

LONGEST_LINE = 16 * 1024 * 1024
_BLOCK = 1024 * 1024

_NUMBER = (int, type(None))
_CALENDAR = {"seq": _NUMBER, "year": (int,), "version": (str,), "sha256": (str,), "text": (str,)}
_RULES = {"seq": _NUMBER, "rules": (list,)}
_MANIFEST = {
    "format": (str,),
    "product": (str,),
    "exported_at": (int,),
    "retention_years": (int,),
    "chain": (dict,),
    "files": (dict,),
    "seal": (str,),
}


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
                found.setdefault(_named(body), []).append(seq)
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
    return canonical(said | {"seal": _seal(said)})


def verify(bundle: Opener, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
    """Check every byte of *bundle*, and its chain against *checkpoints* kept elsewhere."""
    verdict = Verdict()
    names = set(bundle.names())
    for name in sorted(names - {MANIFEST, *FILES}):
        verdict.note(name, None, "it does not belong to the bundle")
    for name in (MANIFEST, *FILES):
        if name not in names:
            verdict.note(name, None, "it is missing")
    summary = Summary()
    kept: dict[int, list[Checkpoint]] = {}
    for one in checkpoints:
        kept.setdefault(one.seq, []).append(one)
    manifest = _manifest(bundle, verdict) if MANIFEST in names else None
    found = {}
    for name in (ENTRIES, CALENDARS, RULES, README):  # entries first: they seal the others
        if name in names:
            with bundle.open(name) as stream:
                reader = _Reader(stream, name, verdict)
                _READING[name](reader, summary, kept)
                found[name] = reader.rest()
    if manifest is not None:
        _compare(manifest, summary, found, verdict)
    _compare_checkpoints(kept, summary, verdict)
    return verdict


class _Reader:
    """One file, read once: its lines, and what the manifest says of it."""

    def __init__(self, stream: BinaryIO, name: str, verdict: Verdict) -> None:
        self._stream, self.name, self.verdict = stream, name, verdict
        self._hash = hashlib.sha256()
        self._bytes = 0

    def lines(self) -> Iterator[bytes]:
        """Yield the lines, each with its end; one that is longer than any of ours is cut off."""
        while line := self._stream.readline(LONGEST_LINE):
            self._hash.update(line)
            self._bytes += len(line)
            yield line

    def rest(self) -> dict[str, object]:
        """Read what was left, and return the sum of all."""
        while block := self._stream.read(_BLOCK):
            self._hash.update(block)
            self._bytes += len(block)
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}

    def note(self, seq: int | None, why: str) -> None:
        """Add what is wrong in this file."""
        self.verdict.note(self.name, seq, why)


def _manifest(bundle: Opener, verdict: Verdict) -> dict[str, Any] | None:
    with bundle.open(MANIFEST) as stream:
        read = stream.read(LONGEST_LINE)
    try:
        manifest = parsed(read, _MANIFEST)
    except Unreadable as exc:
        verdict.note(MANIFEST, None, str(exc))
        return None
    if manifest.pop("seal") != _seal(manifest):
        verdict.note(MANIFEST, None, "it is not what its seal was made of")
        return None
    if manifest["format"] != FORMAT:
        verdict.note(MANIFEST, None, f"it is not of the form {FORMAT}: use another facetally")
    verdict.product, verdict.exported_at = manifest["product"], manifest["exported_at"]
    return manifest


def _entries(reader: _Reader, summary: Summary, kept: Mapping[int, list[Checkpoint]]) -> None:
    for line in reader.lines():
        seq = summary.links.seq + 1
        try:
            entry = entry_from(line)
        except Unreadable as exc:
            why: str | None = str(exc)
        else:
            why = summary.follow(entry)
        if why is not None:
            reader.note(seq, why)
            summary.whole = False
            return
        for one in kept.get(seq, ()):
            summary.checked += 1
            if one.hash != entry.hash:
                reader.note(seq, f"entry {seq} is another than the checkpoint says")


def _calendars(reader: _Reader, summary: Summary, _kept: object) -> None:
    sealed = {s: b for s, (kind, b) in summary.sealing.items() if kind in _CALENDAR_KINDS}
    for line in reader.lines():
        try:
            said = parsed(line, _CALENDAR)
        except Unreadable as exc:
            reader.note(None, str(exc))
            continue
        if hashlib.sha256(said["text"].encode()).hexdigest() != said["sha256"]:
            reader.note(said["seq"], "the text of a calendar is not what its hash was made of")
        entry = sealed.pop(said["seq"], None)
        if said["seq"] is not None and (entry is None or _named(entry) != _named(said)):
            reader.note(said["seq"], "a calendar is not the one that the entry seals")
    if summary.whole:
        for seq in sealed:
            reader.note(seq, "a calendar that the entry seals is missing")


def _rules(reader: _Reader, summary: Summary, _kept: object) -> None:
    sealed = dict(summary.rules)
    for line in reader.lines():
        try:
            said = parsed(line, _RULES)
        except Unreadable as exc:
            reader.note(None, str(exc))
            continue
        if said["seq"] is not None and sealed.pop(said["seq"], None) != said["rules"]:
            reader.note(said["seq"], "rules are not those that the entry seals")
    if summary.whole:
        for seq in sealed:
            reader.note(seq, "rules that the entry seals are missing")


def _readme(_reader: _Reader, _summary: Summary, _kept: object) -> None:
    """Words are checked by their hash alone."""


_READING = {ENTRIES: _entries, CALENDARS: _calendars, RULES: _rules, README: _readme}


def _named(said: Mapping[str, Any]) -> tuple[object, ...]:
    return said.get("year"), said.get("version"), said.get("sha256")


def _compare(
    manifest: Mapping[str, Any],
    summary: Summary,
    found: Mapping[str, object],
    verdict: Verdict,
) -> None:
    """Compare what the manifest says with what was read."""
    for name in sorted({*found, *manifest["files"]}):
        if manifest["files"].get(name) != found.get(name):
            verdict.note(name, None, "it is not the file that the manifest was made of")
    said = manifest["chain"]
    verdict.chain = said
    if not summary.whole or said == summary.as_json():
        return
    entries = said.get("entries")
    if isinstance(entries, int) and entries > summary.links.seq:
        missing = summary.links.seq + 1
        verdict.note(ENTRIES, missing, f"entry {missing} is missing: {entries} were exported")
    else:
        verdict.note(MANIFEST, None, "it says other things of the chain than the entries do")


def _compare_checkpoints(
    kept: Mapping[int, list[Checkpoint]], summary: Summary, verdict: Verdict
) -> None:
    """Compare the checkpoints that no entry was compared with: before the first, after the last."""
    for seq, ones in sorted(kept.items()):
        if seq == 0:
            summary.checked += len(ones)
            if any(one.hash != summary.genesis for one in ones):
                verdict.note(ENTRIES, 1, "the checkpoint of an empty log has a hash")
        elif seq > summary.links.seq and summary.whole:
            _compare_later(ones, summary.links.seq + 1, verdict)
    verdict.checkpoints = summary.checked
    if kept and not summary.checked and verdict.holds:
        verdict.note(ENTRIES, None, "no checkpoint is of an entry of this bundle: use a newer one")


def _compare_later(ones: Iterable[Checkpoint], missing: int, verdict: Verdict) -> None:
    """Note that entries are missing, unless the bundle is older than the checkpoint."""
    exported_at = verdict.exported_at
    for one in ones:
        if exported_at is None or one.at <= exported_at:
            why = f"entry {missing} is missing: there were {one.seq} before this was exported"
            verdict.note(ENTRIES, missing, why)


def _seal(said: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def _object(body: str) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
