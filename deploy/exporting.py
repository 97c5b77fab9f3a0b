"""``facetally audit export``: the bundle is written to exactly one path, and nothing beside it.

A name that ends in ``.tar`` or ``.TAR`` (or an empty file that is there) becomes one file, any
other a folder. The file appears at once and whole where the file system can do that (``O_TMPFILE``,
which leaves nothing behind if the process is killed). A folder gets its manifest last: without it
it is no bundle. What failed is taken away again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from deploy import archive
from monitor.bundle import (
    CALENDARS,
    ENTRIES,
    MANIFEST,
    README,
    RULES,
    Summary,
    calendar_line,
    manifest_line,
    rules_line,
)
from monitor.calendars import Sheet
from monitor.chain import line_of
from monitor.facts import Instant
from monitor.store import audit, calendars
from monitor.store.engine import Engine, reading
from monitor.store.evidence import Evidence

WORDS = """\
facetally audit bundle / facetally 审计包

To check it / 校验: facetally audit verify PATH [--checkpoint FILE]
Neither settings nor a database nor a secret is needed. 无需配置、数据库或密钥。

entries.ndjson    the whole audit log, one entry a line / 审计日志全文，每行一条
calendars.ndjson  the text of each calendar that was used / 曾使用的工作日历原文
rules.ndjson      each set of rules that was in force / 曾生效的规则
manifest.json     counts, head of the chain, SHA-256 of each file / 清单：数量、链头、各文件摘要

Instants are microseconds since 1970-01-01 UTC; days are days in Beijing.
时刻为自 1970-01-01 UTC 起的微秒数；日期为北京时间日期。

By hand: the hash of an entry is SHA-256 of the UTF-8 text of the JSON list
[previous, seq, at, kind, processor, body] (", " between, nothing else escaped than JSON must);
"previous" of the first is 64 zeros. "seal" is SHA-256 of the manifest without it, keys sorted, no
spaces. "sha256" of a calendar is that of its text, and stands in the entry "seq", too.

Whoever has all keys could make another log, in itself consistent. A checkpoint that was kept
elsewhere tells. 若有人整体重做日志，须以另存的检查点核对。
"""


class NotEmpty(RuntimeError):
    """There is something at the path already; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written. *broken* is the first entry that breaks the chain in the database.

    *wrong* are tables that are not as the log speaks of them, each with what is wrong.
    """

    chain: dict[str, object]
    broken: int | None
    wrong: tuple[tuple[str, str], ...] = ()


class _Target(Protocol):
    """What a bundle is written into, file after file, the manifest last."""

    def file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Return a new file, to be written to and closed before the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Who exports, and what is used now: *version*, files of calendars, rules as JSON."""

    version: str
    sheets: tuple[Sheet, ...]
    rules: list[object]
    retention_years: int


def export(engine: Engine, path: Path, product: Product, now: Instant) -> Exported:
    """Write the bundle to *path*. Raises NotEmpty, and OSError for what cannot be written."""
    with _target(path) as target, reading(engine) as connection:
        summary, evidence = Summary(), Evidence()
        broken: int | None = None
        with target.file(ENTRIES) as stream:
            entries = _Lines(stream)
            for entry in audit.entries(connection):
                seq = summary.links.seq + 1
                if broken is None and summary.follow(entry) is not None:
                    broken = seq
                if broken is None:
                    evidence.hear(entry)
                entries.add(line_of(entry))
        kept = [one.sheet for one in calendars.kept(connection)]
        files = {ENTRIES: entries.sums}
        files[CALENDARS] = _lines(target, CALENDARS, _calendars(summary, kept, product.sheets))
        files[RULES] = _lines(target, RULES, _rules(summary, product.rules))
        files[README] = _lines(target, README, WORDS.splitlines())
        chain = summary.as_json()
        manifest = manifest_line(
            product=f"facetally {product.version}",
            exported_at=now,
            retention_years=product.retention_years,
            chain=chain,
            files=files,
        )
        _lines(target, MANIFEST, [manifest])
        wrong = tuple(evidence.wrong(connection)) if broken is None else ()
    return Exported(chain=chain, broken=broken, wrong=wrong)


def _calendars(summary: Summary, kept: Iterable[Sheet], used: Iterable[Sheet]) -> Iterator[str]:
    """Yield a line for each calendar that an entry seals, then for those that none does."""
    sealed = dict(summary.calendars)
    said = set()
    for sheet in (*kept, *used):
        year = sheet.year
        key = (year.year, year.version, sheet.sha256)
        for seq in sealed.pop(key, [] if key in said else [None]):
            yield calendar_line(seq, year.year, year.version, sheet.text)
        said.add(key)


def _rules(summary: Summary, configured: list[object]) -> Iterator[str]:
    """Yield each set of rules that was in force, and that of the settings if it is another."""
    sets = summary.rules
    for seq, rules in sets.items():
        yield rules_line(seq, rules)
    if not sets or sets[max(sets)] != configured:
        yield rules_line(None, configured)


def _lines(target: _Target, name: str, lines: Iterable[str]) -> dict[str, object]:
    with target.file(name) as stream:
        written = _Lines(stream)
        for line in lines:
            written.add(line)
    return written.sums


class _Lines:
    """A file of lines, and what the manifest says of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._hash, self._bytes = stream, hashlib.sha256(), 0

    def add(self, text: str) -> None:
        """Write one line."""
        encoded = f"{text}\n".encode()
        self._stream.write(encoded)
        self._hash.update(encoded)
        self._bytes += len(encoded)

    @property
    def sums(self) -> dict[str, object]:
        """Length and hash."""
        return {"bytes": self._bytes, "sha256": self._hash.hexdigest()}


# -- where it is written to --------------------------------------------------------------------


@contextmanager
def _target(path: Path) -> Iterator[_Target]:
    there = path.exists()
    if there and (any(path.iterdir()) if path.is_dir() else path.stat().st_size):
        raise NotEmpty(f"{path} is there and not empty: give a path that is not there yet")
    if path.is_dir() or (not there and path.suffix.lower() != ".tar"):
        with _folder(path, made=not there) as folder:
            yield folder
    else:
        with _file(path, there=there) as file:
            yield file


class _Folder:
    """A folder of files, each on the disk before the next one is begun."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """Yield a new file of the folder."""
        with (self.path / name).open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())


@contextmanager
def _folder(path: Path, *, made: bool) -> Iterator[_Folder]:
    if made:
        path.mkdir()
    try:
        yield _Folder(path)
        _sync(path)
    except BaseException:
        for name in (MANIFEST, README, RULES, CALENDARS, ENTRIES):
            (path / name).unlink(missing_ok=True)
        if made:
            path.rmdir()
        raise


@contextmanager
def _file(path: Path, *, there: bool) -> Iterator[archive.Writer]:
    """Yield the archive that appears at *path* when all of it is written."""
    hidden = None if there else _unnamed(path.parent)
    if hidden is None:
        yield from _visible(path, there=there)
        return
    with hidden as stream:
        writer = archive.Writer(stream)
        yield writer
        writer.end()
        _name(stream, path)
    _sync(path.parent)


def _visible(path: Path, *, there: bool) -> Iterator[archive.Writer]:
    """Write in the place itself; take away what failed."""
    try:
        with path.open("r+b" if there else "xb") as stream:
            writer = archive.Writer(stream)
            yield writer
            writer.end()
    except FileExistsError:
        raise NotEmpty(f"{path} is there: give a path that is not there yet") from None
    except BaseException:
        if there:
            os.truncate(path, 0)
        else:
            path.unlink(missing_ok=True)
        raise


def _unnamed(folder: Path) -> BinaryIO | None:
    """Open a file without a name in *folder*, or None where the file system has none."""
    try:
        descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except (AttributeError, OSError):
        return None  # a folder that cannot be written to says so when the name is tried
    return os.fdopen(descriptor, "w+b")


def _name(stream: BinaryIO, path: Path) -> None:
    """Give the file without a name its own. Raises NotEmpty if somebody else has it meanwhile."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # A folder has to be given by descriptor, or Python asks for a link of the link.
        link = f"/proc/self/fd/{stream.fileno()}"
        os.link(link, path.name, dst_dir_fd=folder, follow_symlinks=True)
    except FileExistsError:
        raise NotEmpty(f"{path} is there: give a path that is not there yet") from None
    finally:
        os.close(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
