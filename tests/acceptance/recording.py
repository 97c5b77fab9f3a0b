"""Recorded change streams: their truth, where they are cut, and in what orders they are read.

What a recording is, and what its truth files say, is told in the README beside the recordings.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import zstandard

from streams.publish import Outgoing
from tests.conftest import REPOSITORY

ROW, ACTIVE, TEMPLATE = "row_present", "status_active", "template_present"
SLICES = ("compreface-slice-plain", "compreface-slice-schema", "compreface-slice-cloudevents")
COMPREFACE = ("compreface-default", "compreface-full", *SLICES)
BEFORE_SNAPSHOT = "before-snapshot"

STORED = {
    ROW: '"row"',
    ACTIVE: '{ column = "status", in = ["active"] }',
    TEMPLATE: '{ column = "template", present = true }',
}

Numbers: TypeAlias = Mapping[str, tuple[int, int]]
"""By processor: individuals, and individuals in research."""


class Line(NamedTuple):
    """One line of a recording as it is written, and where its record was."""

    raw: bytes
    topic: str
    partition: int
    offset: int

    @property
    def at(self) -> str:
        return f"{self.topic}/{self.partition}"


class _Where(msgspec.Struct, gc=False):
    topic: str
    partition: int
    offset: int


class _Whole(msgspec.Struct, gc=False):
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A moment at which SQL counted while nobody wrote."""

    label: str
    marker_us: int
    next_offsets: Mapping[str, int]
    truth: Mapping[str, Any]

    def numbers(self, rule: str) -> Numbers:
        """Return what ``status`` has to say then, if *rule* tells what is stored."""
        if "public" in self.truth:
            lab = self.truth.get("lab", {"persons": 0})["persons"]
            return {"compreface": (self.truth["public"]["persons"], lab)}
        if rule == TEMPLATE:
            return self._of_office()
        return {name: (n, 0) for name, n in self.truth[rule]["persons_by_tenant"].items()}

    def _of_office(self) -> Numbers:
        """Return the numbers of the only table whose template is in the stream."""
        by_table = self.truth[TEMPLATE]["persons_by_gallery_tenant"]
        tables = {name.partition("/")[::2]: n for name, n in by_table.items()}
        return {who: (n, 0) for (table, who), n in tables.items() if table.endswith("_office")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A recorded stream with its truth."""

    name: str
    lines: Sequence[Line]
    instants: Sequence[Instant]
    truth: Mapping[str, Any]

    @property
    def stops(self) -> list[Instant]:
        """The instants that a reader can stop at."""
        return [each for each in self.instants if each.next_offsets]

    def instant(self, label: str) -> Instant:
        return next(each for each in self.instants if each.label == label)

    def until(self, instant: Instant) -> list[Line]:
        """Return what had been written at *instant*, as it lies in the file."""
        return [line for line in self.lines if line.offset < instant.next_offsets.get(line.at, 0)]

    def pieces(self) -> Iterator[tuple[Instant, list[Line]]]:
        """Yield each instant to stop at, with the lines since the one before."""
        pieces: list[list[Line]] = [[] for _ in self.stops]
        last = len(pieces) - 1
        for line in self.lines:
            inside = (i for i, s in enumerate(self.stops) if line.offset < _end(s, line))
            pieces[next(inside, last)].append(line)
        yield from zip(self.stops, pieces, strict=True)


def _end(stop: Instant, line: Line) -> int:
    return stop.next_offsets.get(line.at, 0)


@lru_cache(maxsize=2)
def load(place: Path, name: str) -> Recording:
    """Read the recording *name* in the directory *place*."""
    of = "compreface-slice" if name in SLICES else name
    truth = json.loads((place / f"{of}.truth.json").read_text())
    instants = [
        Instant(
            label=each["instant"],
            marker_us=each["marker_commit_us"],
            next_offsets=each.get("next_offsets", {}),
            truth=each["truth"],
        )
        for each in truth["instants"]
    ]
    lines = list(_lines(place / f"{name}.jsonl.zst"))
    return Recording(name=name, lines=lines, instants=instants, truth=truth)


def _lines(file: Path) -> Iterator[Line]:
    where = msgspec.json.Decoder(_Where)
    with file.open("rb") as packed:
        for raw in BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed)):
            found = where.decode(raw)
            yield Line(raw.rstrip(b"\n"), found.topic, found.partition, found.offset)


# -- orders of reading -----------------------------------------------------------------------

Order: TypeAlias = Callable[[Sequence[Line]], Iterable[Line]]


def _by_partition(lines: Sequence[Line]) -> dict[str, list[Line]]:
    partitions: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        partitions[line.at].append(line)
    return partitions


def as_written(lines: Sequence[Line]) -> Iterable[Line]:
    return lines


def partition_by_partition(lines: Sequence[Line]) -> Iterable[Line]:
    partitions = _by_partition(lines)
    return [line for name in sorted(partitions) for line in partitions[name]]


def last_partition_first(lines: Sequence[Line]) -> Iterable[Line]:
    partitions = _by_partition(lines)
    return [line for name in sorted(partitions, reverse=True) for line in partitions[name]]


def merged(seed: int) -> Order:
    """Return an order in which partitions overtake each other by runs of random lengths."""

    def order(lines: Sequence[Line]) -> Iterator[Line]:
        chance = random.Random(seed)
        queues = [iter(queue) for _, queue in sorted(_by_partition(lines).items())]
        while queues:
            queue = chance.choice(queues)
            for _ in range(chance.choice((1, 2, 10, 200))):
                line = next(queue, None)
                if line is None:
                    queues.remove(queue)
                    break
                yield line

    return order


ORDERS: Mapping[str, Order] = {
    "as written": as_written,
    "partition by partition": partition_by_partition,
    "last partition first": last_partition_first,
    "merged, seed 1": merged(1),
    "merged, seed 2": merged(2),
}
"""Ways to interleave partitions; in each of them offset order holds within a partition."""


# -- settings --------------------------------------------------------------------------------


def settings_of(recording: str, rule: str = ROW, **changes: str) -> str:
    """Return the shipped settings for *recording*, with *rule* as what is stored.

    *changes* are lines to put into every table's mapping. The template of the gate table is left
    out at its source, so under the template rule only the office table is read.
    """
    text = (REPOSITORY / "deploy" / "examples" / f"{recording}.toml").read_text()
    if rule == TEMPLATE:
        text = _office_only(text)
    for key, value in {"stored": STORED[rule], **changes}.items():
        text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
        text = re.sub(r"^(table = .*\n)", rf"\1{key} = {value}\n", text, flags=re.MULTILINE)
    return text


def _office_only(text: str) -> str:
    topic = '[[topics]]\nname = "own-gallery.public.face_template_gate"\nsource = "own-gallery"\n'
    assert topic in text
    table = "[[sources.own-gallery.tables]]\n"
    head, office, _gate = text.replace(topic, "").split(table)
    return f"{head}{table}{office}"


# -- numbers ---------------------------------------------------------------------------------


def numbers_of(status: Mapping[str, Any]) -> Numbers:
    """Return the numbers that an answer of ``status --json`` tells."""
    return {
        one["processor"]: (one["individuals"], one["research_individuals"])
        for one in status["processors"]
    }


def trusted(status: Mapping[str, Any]) -> bool:
    """Tell whether everything in an answer of ``status --json`` is final and verified."""
    processors = status["processors"]
    settled = all(one["verified"] and not one["recount_pending"] for one in processors)
    return bool(processors) and settled and status["rejected"]["total"] == 0


def md5(names: Iterable[str]) -> str:
    return hashlib.md5(",".join(sorted(names)).encode(), usedforsecurity=False).hexdigest()


def rfc3339(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).isoformat()


def row_of(line: Line) -> dict[str, Any] | None:
    """Return the row that a record of any of the three shapes leaves behind."""
    value = json.loads(line.raw)["value"]
    event = json.loads(base64.b64decode(value)) if value else {}
    change = event.get("payload", event)
    change = change.get("data", change) if "specversion" in change else change
    row: dict[str, Any] | None = change.get("after") if isinstance(change, dict) else None
    return row


# -- Kafka -----------------------------------------------------------------------------------

_WHOLE = msgspec.json.Decoder(_Whole)


def outgoing(line: Line) -> Outgoing:
    """Return the record of *line*, to be written where and as it was."""
    found = _WHOLE.decode(line.raw)
    headers = tuple((name, value or b"") for name, value in found.headers)
    return Outgoing(found.value, found.key, headers, found.partition, found.timestamp)
