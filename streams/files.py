"""Records from files: NDJSON, one Kafka record or one bare CloudEvent a line, also packed.

The same records as from Kafka, so that ``apply`` takes the same way as the worker. Files are read
as a stream: memory does not grow with their size, and a line that is no record is set aside with
its number while the lines after it count.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeAlias

import msgspec
import zstandard

from monitor.facts import Instant
from monitor.intake import Coordinates, Reason, Reject
from streams.adapters import checks
from streams.records import Record, Undecodable

Line: TypeAlias = Record | Reject
"""What a line of a file is."""

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Longer lines are skipped unread and rejected as TOO_LARGE."""

UNKNOWN: Final = -1
"""The timestamp of a bare event of which nobody said when it was recorded."""

_CHUNK: Final = 64 * 1024
_PACKED_BITE: Final = 512  # unpacked at a time: zstd may make 16 MB of it
_BOM: Final = b"\xef\xbb\xbf"
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")

_Int31 = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Int63 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class FileDamaged(Exception):
    """A file is not whole: which one, and how many of its bytes were good or were there.

    *position* is exact where the file breaks off; where a packed one is corrupt, the damage was
    noticed within the next kilobyte.
    """

    def __init__(self, path: Path, position: int, what: str) -> None:
        super().__init__(f"{path} {what} after {position} bytes")
        self.path = path
        self.position = position


class _Written(msgspec.Struct, gc=False):
    """A line as in the recordings; a field that only a bare event has tells the two apart."""

    topic: str | msgspec.UnsetType = msgspec.UNSET
    partition: _Int31 = 0
    offset: _Int63 | msgspec.UnsetType = msgspec.UNSET
    timestamp: _Int64 = UNKNOWN
    key: bytes | None = None
    value: bytes | msgspec.UnsetType | None = msgspec.UNSET
    headers: list[tuple[str, bytes | None]] | None = None
    specversion: object = msgspec.UNSET


class _Unpacker(Protocol):
    """A decompressor of one frame, as zlib and zstandard have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def total_size(paths: Iterable[Path]) -> int:
    """Return the bytes of *paths* on disk, packed as they are: the length of a progress bar."""
    return sum(path.stat().st_size for path in paths)


def read_records(
    paths: Iterable[Path],
    *,
    recorded_until: Instant | None = None,
    consumed: Callable[[int], object] = lambda _bytes: None,
) -> Iterator[Line]:
    """Yield what each line of *paths* is, in order; lines without text are passed over.

    A bare event becomes a record of topic = name of its file, partition 0, offset = number of
    its line (from 0), without key. Its timestamp is *recorded_until* (microseconds UTC), or
    ``UNKNOWN``. A line that is neither is a Reject at the same coordinates. *consumed* is called
    with the number of bytes that were read since it was called last; they add up to
    ``total_size``.

    Raises FileDamaged where a packed file (``.zst``, ``.gz``) breaks off or is corrupt, and where
    any file ends in the middle of a line (without a line end, and what is there is no record),
    after all whole lines before it; OSError where a file cannot be read. Of a plain file that was
    cut off just behind a line nobody can tell.
    """
    timestamp = UNKNOWN if recorded_until is None else recorded_until // 1000
    for path in paths:
        reader = _Reader(topic_of(path), timestamp)
        for number, (line, ended) in enumerate(_lines(_chunks(path, consumed))):
            if number == 0 and line is not None:
                line = line.removeprefix(_BOM)  # noqa: PLW2901 - the same line, for all that follows
            if line is None or line.strip():
                said = reader.line(number, line)
                if not ended and isinstance(said, Reject):
                    raise FileDamaged(path, path.stat().st_size, "ends in the middle of a line")
                yield said


class _Reader:
    """Turns lines of one file into records."""

    def __init__(self, name: str, timestamp: int) -> None:
        self._name = name
        self._timestamp = timestamp
        self._decode = msgspec.json.Decoder(_Written).decode
        self._topics: dict[str, str] = {}

    def line(self, number: int, line: bytes | None) -> Line:
        if line is None:
            return self._reject(number, Reason.TOO_LARGE)
        try:
            written = self._decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return self._odd(number, line)
        if written.specversion is not msgspec.UNSET:
            return self._bare(number, line)
        return self._record(number, line, written)

    def _record(self, number: int, line: bytes, written: _Written) -> Line:
        if written.topic is msgspec.UNSET and written.offset is msgspec.UNSET:
            return self._bare(number, line)  # the adapter says what is wrong with it
        topic = None
        if isinstance(written.topic, str):
            topic = self._topics.get(written.topic) or self._new_topic(written.topic)
        if topic is None or not isinstance(written.offset, int):
            return self._reject(number, Reason.BAD_RECORD)
        if isinstance(written.value, msgspec.UnsetType):
            return self._reject(number, Reason.BAD_RECORD)
        return Record(
            topic,
            written.partition,
            written.offset,
            written.timestamp,
            written.key,
            written.value,
            written.headers or (),
        )

    def _new_topic(self, topic: str) -> str | None:
        # Its name goes to the database with a reject: only what Kafka itself allows.
        if not _TOPIC.fullmatch(topic):
            return None
        return self._topics.setdefault(topic, topic)

    def _odd(self, number: int, line: bytes) -> Line:
        # A bare event may call an attribute "key", and may hold a lone surrogate, which is for
        # the adapter to refuse by its reason.
        try:
            value: Any = checks.load_json(line, LONGEST_LINE)
        except Undecodable:
            return self._reject(number, Reason.BAD_RECORD)
        if isinstance(value, dict) and ("specversion" in value or "topic" not in value):
            return self._bare(number, line)
        return self._reject(number, Reason.BAD_RECORD)

    def _bare(self, number: int, line: bytes) -> Record:
        return Record(self._name, 0, number, self._timestamp, None, line)

    def _reject(self, number: int, reason: Reason) -> Reject:
        return Reject(Coordinates(self._name, 0, number), reason)


def topic_of(path: Path) -> str:
    """Return the name of the file as text that any database stores."""
    return "".join(char if char.isprintable() else "?" for char in path.name)


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes | None, bool]]:
    """Yield the lines in *chunks* without their ends, None for one that is over-long.

    With each, whether it had an end: the last one may lack it.
    """
    parts: list[bytes] = []
    length = 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            length += len(piece)
            parts.append(piece)
            yield (b"".join(parts) if length <= LONGEST_LINE else None), True
            parts.clear()
            length = 0
        length += len(rest)
        if length <= LONGEST_LINE:
            parts.append(rest)
        else:
            parts.clear()  # only its length is remembered
    if length:
        yield (b"".join(parts) if length <= LONGEST_LINE else None), False


def _chunks(path: Path, consumed: Callable[[int], object]) -> Iterator[bytes]:
    new = _UNPACKERS.get(path.suffix.lower())
    with path.open("rb") as file:
        raw = _counted(iter(lambda: file.read(_CHUNK), b""), consumed)
        yield from raw if new is None else _unpacked(path, raw, new)


def _counted(chunks: Iterable[bytes], consumed: Callable[[int], object]) -> Iterator[bytes]:
    for chunk in chunks:
        consumed(len(chunk))
        yield chunk


def _bites(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), _PACKED_BITE):
            yield chunk[start : start + _PACKED_BITE]


def _unpacked(path: Path, raw: Iterable[bytes], new: Callable[[], _Unpacker]) -> Iterator[bytes]:
    position = 0
    unpacker: _Unpacker | None = None
    for bite in _bites(raw):
        rest = bite
        while rest:
            unpacker = unpacker or new()
            try:
                yield unpacker.decompress(rest)
            except (zlib.error, zstandard.ZstdError) as exc:
                raise FileDamaged(path, position, "does not unpack") from exc
            rest = unpacker.unused_data if unpacker.eof else b""
            unpacker = None if unpacker.eof else unpacker  # files may be several frames
        position += len(bite)
    if unpacker is not None or position == 0:
        raise FileDamaged(path, position, "breaks off")


_UNPACKERS: Final[dict[str, Callable[[], _Unpacker]]] = {
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
    ".gz": lambda: zlib.decompressobj(wbits=31),
}
