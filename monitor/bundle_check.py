"""Checking a bundle: every byte, every link, and every last day that the log gives a duty. Pure.

Neither settings, nor a database, nor a secret is needed, and memory does not grow with the log.
Who makes all of it anew, in itself consistent, is found out by a checkpoint kept elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

from monitor.bundle import (
    CALENDAR_KINDS,
    CALENDARS,
    ENTRIES,
    FILES,
    FORMAT,
    LONGEST_LINE,
    MANIFEST,
    README,
    RULES,
    Opener,
    Summary,
    Verdict,
    named,
    seal_of,
)
from monitor.chain import Checkpoint, Unreadable, entry_from, parsed
from monitor.recounting import Recount, years_from

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


def verify(bundle: Opener, checkpoints: Iterable[Checkpoint] = ()) -> Verdict:
    """Check every byte of *bundle*, and its chain against *checkpoints* kept elsewhere.

    If all of that holds, the last day of each duty is counted again, too.
    """
    verdict = Verdict()
    names = set(bundle.names())
    for name in sorted(names - {MANIFEST, *FILES}):
        verdict.note(name, None, "it does not belong to the bundle")
    for name in (MANIFEST, *FILES):
        if name not in names:
            verdict.note(name, None, "it is missing")
    summary, recount = Summary(), Recount(years_from(_texts(bundle, names)))
    kept: dict[int, list[Checkpoint]] = {}
    for one in checkpoints:
        kept.setdefault(one.seq, []).append(one)
    manifest = _manifest(bundle, verdict) if MANIFEST in names else None
    reading: Mapping[str, Callable[[_Reader], None]] = {
        ENTRIES: lambda reader: _entries(reader, summary, kept, recount),
        CALENDARS: lambda reader: _calendars(reader, summary),
        RULES: lambda reader: _rules(reader, summary),
        README: lambda _: None,  # words are checked by their hash alone
    }
    found = {}
    for name, read in reading.items():  # entries first: they seal the others
        if name in names:
            with bundle.open(name) as stream:
                reader = _Reader(stream, name, verdict)
                read(reader)
                found[name] = reader.rest()
    if manifest is not None:
        _compare(manifest, summary, found, verdict)
    _compare_checkpoints(kept, summary, verdict)
    verdict.days = recount.days
    for seq, why in recount.end() if verdict.holds else ():
        verdict.note(ENTRIES, seq, why)
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
    if manifest.pop("seal") != seal_of(manifest):
        verdict.note(MANIFEST, None, "it is not what its seal was made of")
        return None
    if manifest["format"] != FORMAT:
        verdict.note(MANIFEST, None, f"it is not of the form {FORMAT}: use another facetally")
    verdict.product, verdict.exported_at = manifest["product"], manifest["exported_at"]
    return manifest


def _texts(bundle: Opener, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the years before the entries are read; whether they are sealed is asked later."""
    if CALENDARS not in names:
        return
    with bundle.open(CALENDARS) as stream:
        while line := stream.readline(LONGEST_LINE):
            with suppress(Unreadable):
                said = parsed(line, _CALENDAR)
                yield said["year"], said["text"]


def _entries(
    reader: _Reader,
    summary: Summary,
    kept: Mapping[int, list[Checkpoint]],
    recount: Recount,
) -> None:
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
        recount.hear(entry)
        for one in kept.get(seq, ()):
            summary.checked += 1
            if one.hash != entry.hash:
                reader.note(seq, f"entry {seq} is another than the checkpoint says")


def _calendars(reader: _Reader, summary: Summary) -> None:
    sealed = {s: b for s, (kind, b) in summary.sealing.items() if kind in CALENDAR_KINDS}
    for line in reader.lines():
        try:
            said = parsed(line, _CALENDAR)
        except Unreadable as exc:
            reader.note(None, str(exc))
            continue
        if hashlib.sha256(said["text"].encode()).hexdigest() != said["sha256"]:
            reader.note(said["seq"], "the text of a calendar is not what its hash was made of")
        entry = sealed.pop(said["seq"], None)
        if said["seq"] is not None and (entry is None or named(entry) != named(said)):
            reader.note(said["seq"], "a calendar is not the one that the entry seals")
    if summary.whole:
        for seq in sealed:
            reader.note(seq, "a calendar that the entry seals is missing")


def _rules(reader: _Reader, summary: Summary) -> None:
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
    """Note that entries are missing, unless the bundle says that it is older than the checkpoint.

    That nothing proves, so it is counted, for a person to see.
    """
    exported_at = verdict.exported_at
    for one in ones:
        if exported_at is None or one.at <= exported_at:
            why = f"entry {missing} is missing: there were {one.seq} before this was exported"
            verdict.note(ENTRIES, missing, why)
        else:
            verdict.younger += 1
