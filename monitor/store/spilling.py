"""Rows set aside on disk by key and read again key by key, so that memory stays flat.

The file has no name (it is unlinked while it is open), so a crash leaves nothing behind, and it
holds what the database holds: hashes and numbers. It is made in the folder for temporary files,
which ``TMPDIR`` chooses: about 100 bytes a row.
"""

from __future__ import annotations

import marshal
import os
import tempfile
from collections import defaultdict
from collections.abc import Hashable, Iterator
from typing import IO, Any, Generic, TypeAlias, TypeVar

Row: TypeAlias = tuple[Any, ...]
"""Of bytes, whole numbers and None."""

_CHUNK = 1_000  # rows that are read together: many keys may be read at the same time

K = TypeVar("K", bound=Hashable)


class Spill(Generic[K]):
    """Holds up to *held* rows in memory, the others in an unnamed file; ``close`` it."""

    def __init__(self, held: int) -> None:
        self._most = held
        self._held = 0
        self._rows: dict[K, list[Row]] = defaultdict(list)
        self._chunks: dict[K, list[tuple[int, int]]] = {}
        self._end = 0
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Spill[K]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, key: K, row: Row) -> None:
        """Set *row* aside under *key*."""
        self._rows[key].append(row)
        self._held += 1
        if self._held > self._most:
            self._write()

    def read(self, key: K) -> Iterator[Row]:
        """Yield the rows of *key* in the order in which they were added."""
        chunks = self._chunks.get(key, ())
        for offset, size in chunks:
            assert self._file is not None  # noqa: S101 - it holds the chunks
            data = os.pread(self._file.fileno(), size, offset)
            yield from marshal.loads(data)  # noqa: S302 - nobody else can write there
        yield from self._rows.get(key, ())

    def close(self) -> None:
        """Let go of everything, and of the room on the disk."""
        self._rows.clear()
        self._chunks.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="facetally-")  # noqa: SIM115 - until close
        for key, rows in self._rows.items():
            chunks = self._chunks.setdefault(key, [])
            for start in range(0, len(rows), _CHUNK):
                data = marshal.dumps(rows[start : start + _CHUNK])
                self._file.write(data)
                chunks.append((self._end, len(data)))
                self._end += len(data)
        self._file.flush()
        self._rows.clear()
        self._held = 0
