"""One file of several: a plain tar (USTAR) with one spelling, so that a changed byte is found.

No owner, no time, no padding but zeros: what any ``tar`` unpacks, and what we read byte by byte.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)
_NAME, _SIZE = 100, slice(124, 136)


class Damaged(ValueError):
    """The file is no archive of ours any more; the message says where."""


class Writer:
    """Writes files, one after the other, into *stream*, which can seek."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """Yield a stream to write the content of *name* to; nothing else is written meanwhile."""
        head = self._stream.tell()
        self._stream.write(bytes(_BLOCK))
        yield self._stream
        end = self._stream.tell()
        size = end - head - _BLOCK
        self._stream.write(bytes(-size % _BLOCK))
        after = self._stream.tell()
        self._stream.seek(head)
        self._stream.write(_header(name, size))
        self._stream.seek(after)

    def end(self) -> None:
        """Write the end, and wait until all is on the disk."""
        self._stream.write(_END)
        self._stream.flush()
        os.fsync(self._stream.fileno())


class Reader:
    """The files of an archive. Raises Damaged for any byte that ``Writer`` would not write."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, tuple[int, int]] = {}
        with path.open("rb") as stream:
            while self._member(stream):
                pass

    def _member(self, stream: BinaryIO) -> bool:
        """Note the next file; return False at the end of the archive."""
        at = stream.tell()
        block = stream.read(_BLOCK)
        if block == _END[:_BLOCK]:
            if stream.read(_BLOCK + 1) != _END[_BLOCK:]:
                raise Damaged(f"it does not end where it should, at byte {at}")
            return False
        try:
            name = block[:_NAME].rstrip(b"\0").decode("ascii")
            size = int(block[_SIZE].rstrip(b"\0"), 8)
            same = bool(name) and block == _header(name, size)
        except (ValueError, OverflowError):
            same = False
        if not same:
            raise Damaged(f"it is cut off or changed at byte {at}")
        if name in self._found:
            raise Damaged(f"{name} is in it twice")
        self._found[name] = (at + _BLOCK, size)
        stream.seek(size, os.SEEK_CUR)
        padding = -size % _BLOCK
        if stream.read(padding) != bytes(padding):
            raise Damaged(f"it is cut off or changed behind {name}")
        return True

    def names(self) -> list[str]:
        """Return the names of the files."""
        return list(self._found)

    def open(self, name: str) -> BinaryIO:
        """Open one of them, from its beginning."""
        return io.BufferedReader(_Slice(self._path.open("rb"), *self._found[name]))


class _Slice(io.RawIOBase):
    """Some bytes of a file, as a file of its own."""

    def __init__(self, stream: BinaryIO, at: int, size: int) -> None:
        self._stream, self._left = stream, size
        stream.seek(at)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io gives
        found = self._stream.read(min(len(buffer), self._left))
        buffer[: len(found)] = found
        self._left -= len(found)
        return len(found)

    def close(self) -> None:
        self._stream.close()
        super().close()


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o444
    return member.tobuf(tarfile.USTAR_FORMAT)
