"""Tells whether the main file of a SQLite database is older than the ``-wal`` beside it.

A killed process leaves a ``-wal``: what was committed since the main file was last brought up to
date. Whoever puts an old copy in the place of the main file and leaves that ``-wal`` has a mix of
both, which SQLite opens as if it were whole; the first process that closes it makes it so for ever.
Hence this is read off the files before SQLite is let near them.

Each commit of ours raises ``user_version``, which is in the header of page 1, so each puts page 1
into the ``-wal``. The main file's page 1 is either the one from before the ``-wal`` began, and then
at most one commit older than the first there, or one that a checkpoint brought over from it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

_LOG_HEADER, _FRAME_HEADER, _PAGE_HEADER = 32, 24, 100
_MAGIC: Final = (0x377F0682, 0x377F0683)
_ROUND: Final = 1 << 31
_ASKS: Final = 3
_PAUSE: Final = 0.05


class MixedFiles(Exception):
    """An old copy lies beside a newer ``-wal``; the message says what to do."""


class _Header(NamedTuple):
    """What of page 1 tells one state of a database from another."""

    format: bytes  # size of a page, and that there is a -wal
    cookie: int  # changes of the schema; VACUUM raises it
    commits: int


def check(path: Path) -> None:
    """Raise MixedFiles if the files of the database at *path* do not belong together.

    Safe beside processes that use it: what they change meanwhile is looked at again.
    """
    for _ in range(_ASKS):
        before = _state(path)
        if _belongs(path):
            return
        if _state(path) == before:
            break
        time.sleep(_PAUSE)
    else:
        return  # somebody is writing all the time, who has opened it before us
    raise MixedFiles(
        f"{path} is older than {path.name}-wal beside it, which a killed process left: a copy was "
        "put back without taking away the files of the old one. Nothing was changed. Stop all "
        f"processes, remove {path.name}-wal and {path.name}-shm, put the copy back once more, and "
        "start again"
    )


class Opened:
    """Counts the connections of this process to each database, and checks before the first.

    Not later: who closes a file loses all locks that his process has on it (POSIX), SQLite's too.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._open: Counter[Path] = Counter()

    def connect(self, path: Path, make: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
        """Return a new connection to the database at *path*. Raises MixedFiles."""
        with self._gate:
            if not self._open[path]:
                check(path)
            made = make()
            self._open[path] += 1
            return made

    def closed(self, path: Path) -> None:
        """Note that a connection to the database at *path* is closed."""
        with self._gate:
            self._open[path] = max(0, self._open[path] - 1)


def commits_one_more(connection: sqlite3.Connection) -> None:
    """Put into a transaction that changes something that it is one more."""
    (commits,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {(commits + 1) % _ROUND}")


def _state(path: Path) -> tuple[bytes, bytes]:
    """Return what changes with every checkpoint and every new beginning of the log."""
    return _start(path, _PAGE_HEADER), _start(_log(path), _LOG_HEADER)


def _belongs(path: Path) -> bool:
    try:
        with _log(path).open("rb") as log:
            first_pages = _first_pages(log)
            first = next(first_pages, None)
            if first is None:
                return True
            page = _start(path, len(first))
            if page == first or _before(_header(page), _header(first)):
                return True
            return page in first_pages
    except FileNotFoundError:
        return True


def _before(main: _Header | None, first: _Header | None) -> bool:
    """Tell whether *main* can be what was there when the log began with *first*."""
    if main is None or first is None:
        return main is None  # an empty file: SQLite drops the log
    return (
        main.format == first.format
        and main.cookie <= first.cookie
        and main.commits in {(first.commits - 1) % _ROUND, first.commits}
    )


def _header(page: bytes) -> _Header | None:
    if len(page) < _PAGE_HEADER:
        return None
    return _Header(page[16:20], _number(page[40:44]), _number(page[60:64]))


def _first_pages(log: BinaryIO) -> Iterator[bytes]:
    """Yield each page 1 in *log* that is of its present beginning, the oldest first."""
    header = log.read(_LOG_HEADER)
    if len(header) < _LOG_HEADER or _number(header[:4]) not in _MAGIC:
        return
    size, salts = _number(header[8:12]), header[16:24]
    while len(frame := log.read(_FRAME_HEADER)) == _FRAME_HEADER and frame[8:16] == salts:
        if _number(frame[:4]) != 1:
            log.seek(size, 1)
        elif len(page := log.read(size)) == size:
            yield page


def _start(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except FileNotFoundError:
        return b""


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
