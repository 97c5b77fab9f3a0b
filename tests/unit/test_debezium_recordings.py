"""Every recorded change stream in full, against counts that SQL made in the source database.

The facts go into a naive fold that knows the merge rule and nothing else: what is checked here is
that the adapter says the right things, in whatever order its records are read.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest
import zstandard

from monitor.facts import Enrolled, FaceHash, Fact, Place, Removed, SubjectHash, Truncated, Version
from monitor.identity import Identity
from monitor.intake import Decoded, Ignored
from streams.adapters.debezium import Debezium
from streams.adapters.mapping import read_mapping
from streams.records import Record
from tests.conftest import REPOSITORY

IDENTITY = Identity("5a" * 32)
NOW = 1_800_000_000_000_000  # after all recordings
SLICES = ("compreface-slice-plain", "compreface-slice-schema", "compreface-slice-cloudevents")
ACTIVE = {"column": "status", "in": ["active"]}
TEMPLATE = {"column": "template", "present": True}
OFFICE = "public.face_template_office"

Slot: TypeAlias = tuple[str, FaceHash]
Owner: TypeAlias = tuple[Place, SubjectHash]


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Hundreds of thousands of values are alive here, and walking them costs half the time."""
    gc.disable()
    yield
    gc.enable()


class Line(msgspec.Struct, gc=False):
    """One line of a recording; msgspec reads base64 into bytes."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class Told(NamedTuple):
    """What one record said, and before which labelled instant it was read."""

    segment: int
    partition: str
    decoded: Decoded


@dataclass
class Recording:
    told: list[Told]
    instants: list[dict[str, Any]]
    names: dict[SubjectHash, str]

    def up_to(self, segment: int) -> list[Fact]:
        return [
            fact for each in self.told if each.segment <= segment for fact in each.decoded.facts
        ]


class Fold:
    """Last writer wins for each slot, less what a truncation of its store emptied."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.slots: dict[Slot, tuple[Version, int, Owner | None]] = {}
        self.emptied: dict[str, Version] = {}
        for fact in facts:
            self.add(fact)

    def add(self, fact: Fact) -> None:
        if isinstance(fact, Enrolled):
            self._put(fact, (fact.version, 1, (fact.place, fact.subject)))
        elif isinstance(fact, Removed):
            self._put(fact, (fact.version, 0, None))
        elif isinstance(fact, Truncated):
            self.emptied[fact.store.name] = max(
                fact.version, self.emptied.get(fact.store.name, fact.version)
            )

    def _put(self, fact: Enrolled | Removed, new: tuple[Version, int, Owner | None]) -> None:
        slot = (fact.store.name, fact.face)
        old = self.slots.get(slot)
        if old is None or old[:2] < new[:2]:
            self.slots[slot] = new

    def live(self) -> Iterator[tuple[Slot, Owner]]:
        for slot, (version, rank, owner) in self.slots.items():
            emptied = self.emptied.get(slot[0])
            if owner is not None and (emptied is None or (version, rank) > (emptied, 0)):
                yield slot, owner


@lru_cache(maxsize=2)
def lines_of(path: Path) -> tuple[Record, ...]:
    decoder = msgspec.json.Decoder(Line)
    with path.open("rb") as packed:
        unpacked = BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed))
        read = (decoder.decode(line) for line in unpacked)
        return tuple(
            Record(line.topic, line.partition, line.offset, line.timestamp, line.key, line.value)
            for line in read
        )


def adapter(recording: str, stored: object = "row", only: str | None = None) -> Debezium:
    """Build the adapter from the shipped example, with another rule, or for one table only."""
    example = REPOSITORY / "deploy" / "examples" / f"{recording}.toml"
    settings = tomllib.loads(example.read_text())["sources"][recording]
    tables = [
        {**table, "stored": stored}
        for table in settings["tables"]
        if only is None or table["table"] == only
    ]
    return Debezium(IDENTITY, read_mapping(recording, {**settings, "tables": tables}))


def replay(recordings: Path, recording: str, decoder: Debezium) -> Recording:
    truth = "compreface-slice" if recording in SLICES else recording
    instants = json.loads((recordings / f"{truth}.truth.json").read_text())["instants"]
    stops = [each for each in instants if each.get("next_offsets")]
    told, names = [], {}
    for record in lines_of(recordings / f"{recording}.jsonl.zst"):
        decoded = decoder.decode(record, NOW)
        partition = f"{record.topic}/{record.partition}"
        told.append(Told(_segment(stops, partition, record.offset), partition, decoded))
        for fact in decoded.facts:
            if isinstance(fact, Enrolled):
                names[fact.subject] = _name(record)
    return Recording(told, stops, names)


def _segment(stops: Sequence[Mapping[str, Any]], partition: str, offset: int) -> int:
    read = (i for i, stop in enumerate(stops) if offset < stop["next_offsets"].get(partition, 0))
    return next(read, len(stops))


def _name(record: Record) -> str:
    """Return the person's raw id as the truth files write it."""
    value = msgspec.json.decode(record.value or b"")
    row = value.get("payload", value).get("data", value.get("payload", value))["after"]
    return row["subject_id"] if "subject_id" in row else f"{row['tenant']}/{row['person_id']}"


def orders(recording: Recording) -> Iterator[Iterator[tuple[int, Fold]]]:
    """Yield, for several orders of reading, the fold at each labelled instant."""
    yield in_file_order(recording)
    if len({each.partition for each in recording.told if each.decoded.facts}) > 1:
        yield from (interleaved(recording, random.Random(seed)) for seed in (1, 2, 3))
    yield shuffled(recording, random.Random(4))


def in_file_order(recording: Recording) -> Iterator[tuple[int, Fold]]:
    fold = Fold()
    for segment in range(len(recording.instants)):
        for each in recording.told:
            if each.segment == segment:
                for fact in each.decoded.facts:
                    fold.add(fact)
        yield segment, fold


def interleaved(recording: Recording, chance: random.Random) -> Iterator[tuple[int, Fold]]:
    """Partitions overtake each other at will; within each, offset order is kept."""
    fold = Fold()
    for segment in range(len(recording.instants)):
        queues: dict[str, list[Decoded]] = defaultdict(list)
        for each in recording.told:
            if each.segment == segment and each.decoded.facts:
                queues[each.partition].append(each.decoded)
        turns = [partition for partition, queue in queues.items() for _ in queue]
        chance.shuffle(turns)
        heads = {partition: iter(queue) for partition, queue in queues.items()}
        for partition in turns:
            for fact in next(heads[partition]).facts:
                fold.add(fact)
        yield segment, fold


def shuffled(recording: Recording, chance: random.Random) -> Iterator[tuple[int, Fold]]:
    for segment in range(len(recording.instants)):
        facts = recording.up_to(segment)
        chance.shuffle(facts)
        yield segment, Fold(facts)


def md5(names: Iterable[str]) -> str:
    return hashlib.md5(",".join(sorted(names)).encode(), usedforsecurity=False).hexdigest()


def by_gallery(fold: Fold) -> dict[str, int]:
    pairs = {(place.gallery, place.processor, subject) for _, (place, subject) in fold.live()}
    return dict(Counter(f"face_template_{gallery}/{tenant}" for gallery, tenant, _ in pairs))


def by_tenant(fold: Fold) -> dict[str, int]:
    pairs = {(place.processor, subject) for _, (place, subject) in fold.live()}
    return dict(Counter(tenant for tenant, _ in pairs))


@pytest.mark.parametrize("recording", ["compreface-default", "compreface-full", *SLICES])
def test_compreface_has_the_persons_that_its_database_had(recordings: Path, recording: str) -> None:
    replayed = replay(recordings, recording, adapter(recording))

    for order in orders(replayed):
        for segment, fold in order:
            truth = replayed.instants[segment]["truth"]
            for system, expected in truth.items():
                owners = [s for _, (place, s) in fold.live() if place.system == system]
                assert len(set(owners)) == expected["persons"]
                assert len(owners) == expected["embedding_rows"]
                assert md5({replayed.names[s] for s in owners}) == expected["person_ids_md5"]


@pytest.mark.parametrize(("rule", "stored"), [("row_present", "row"), ("status_active", ACTIVE)])
def test_an_own_gallery_has_the_persons_of_each_tenant_that_its_database_had(
    recordings: Path, rule: str, stored: object
) -> None:
    replayed = replay(recordings, "own-gallery", adapter("own-gallery", stored))

    for order in orders(replayed):
        for segment, fold in order:
            expected = replayed.instants[segment]["truth"][rule]
            slots = list(fold.live())
            persons = {replayed.names[subject] for _, (_, subject) in slots}
            assert len(slots) == expected["face_rows"]
            assert len(persons) == expected["persons_tenant_pairs"]
            assert md5(persons) == expected["person_ids_md5"]
            assert by_gallery(fold) == expected["persons_by_gallery_tenant"]
            assert by_tenant(fold) == expected["persons_by_tenant"]


def test_a_template_that_an_update_did_not_touch_is_still_there(recordings: Path) -> None:
    office = adapter("own-gallery", TEMPLATE, only=OFFICE)
    replayed = replay(recordings, "own-gallery", office)

    for order in orders(replayed):
        for segment, fold in order:
            truth = replayed.instants[segment]["truth"]["template_present"]
            names = {replayed.names[subject] for _, (_, subject) in fold.live()}
            assert by_gallery(fold) == {
                gallery: persons
                for gallery, persons in truth["persons_by_gallery_tenant"].items()
                if gallery.startswith("face_template_office/")
            }
            bare = {name.partition("/")[2] for name in names}
            assert len(bare) == truth["persons_by_gallery"]["face_template_office"]


@pytest.mark.parametrize(("rule", "stored"), [("row_present", "row"), ("status_active", ACTIVE)])
def test_the_threshold_recording_is_right_at_every_instant_and_every_step(
    recordings: Path, rule: str, stored: object
) -> None:
    replayed = replay(recordings, "threshold", adapter("threshold", stored))
    for order in orders(replayed):
        for segment, fold in order:
            expected = replayed.instants[segment]["truth"][rule]
            slots = list(fold.live())
            assert by_tenant(fold) == expected["persons_by_tenant"]
            assert len(slots) == expected["face_rows"]
            names = {replayed.names[subject] for _, (_, subject) in slots}
            assert md5(names) == expected["person_ids_md5"]

    truth = json.loads((recordings / "threshold.truth.json").read_text())
    stock = stock_by_instant(replayed.up_to(len(replayed.instants)), "acme")
    steps = {step["commit_us"]: step["acme"][rule] for step in truth["steps"]}
    assert {at: stock[at] for at in steps} == steps
    crossed = [each["commit_us"] for each in truth["crossings"] if each["rule"] == rule]
    assert passages(stock, 100_000) == crossed


def stock_by_instant(facts: Sequence[Fact], processor: str) -> dict[int, int]:
    """Return the stock after each commit, by a fold in the order of the log."""
    owners: dict[FaceHash, SubjectHash] = {}
    faces: Counter[SubjectHash] = Counter()
    stock: dict[int, int] = {}
    ordered = [fact for fact in facts if isinstance(fact, Enrolled | Removed)]
    for fact in sorted(ordered, key=lambda fact: fact.version):
        old = owners.pop(fact.face, None)
        if old is not None:
            faces[old] -= 1
            if not faces[old]:
                del faces[old]
        if isinstance(fact, Enrolled) and fact.place.processor == processor:
            owners[fact.face] = fact.subject
            faces[fact.subject] += 1
        stock[fact.at] = len(faces)
    return stock


def passages(stock: Mapping[int, int], limit: int) -> list[int]:
    """Return the instants at which the stock passes *limit*, upwards or downwards."""
    above = [(at, stock[at] >= limit) for at in sorted(stock)]
    return [at for (_, was), (at, is_now) in pairwise(above) if was != is_now]


@pytest.mark.parametrize(
    ("recording", "ignored"),
    [
        ("compreface-default", {"tombstone": 4942, "unmapped_table": 11797}),
        ("compreface-full", {"tombstone": 4942, "unmapped_table": 11797, "heartbeat": 27}),
        (
            "own-gallery",
            {"tombstone": 4649, "unmapped_table": 11, "transaction": 27036, "message": 8},
        ),
    ],
)
def test_what_is_about_no_gallery_is_ignored_by_kind_and_nothing_else_is(
    recordings: Path, recording: str, ignored: Mapping[str, int]
) -> None:
    replayed = replay(recordings, recording, adapter(recording))

    counted = Counter(each.decoded.ignored for each in replayed.told)
    facts = counted.pop(None)
    assert counted == {Ignored(kind): count for kind, count in ignored.items()}
    assert facts == len(replayed.told) - sum(ignored.values())


@pytest.mark.parametrize("recording", ["compreface-default", "own-gallery", *SLICES])
def test_each_connector_has_one_end_of_its_snapshot_and_it_comes_before_live_records(
    recordings: Path, recording: str
) -> None:
    replayed = replay(recordings, recording, adapter(recording))
    signs = [each.decoded.sign for each in replayed.told if each.decoded.sign is not None]

    ends = [sign for sign in signs if sign.row and sign.ends_all]
    rows = {sign.at for sign in signs if sign.row}
    live = [sign.at for sign in signs if not sign.row]
    assert len(ends) == 1
    assert rows == {ends[0].at}
    assert min(live) > ends[0].at
    assert len({sign.connector for sign in signs}) == 1


@pytest.mark.parametrize("recording", ["compreface-default", "own-gallery"])
def test_the_log_of_one_partition_goes_forward(recordings: Path, recording: str) -> None:
    replayed = replay(recordings, recording, adapter(recording))
    logs: dict[str, list[Version]] = defaultdict(list)
    for each in replayed.told:
        if each.decoded.log is not None:
            logs[each.partition].append(each.decoded.log.version)

    assert len(logs) > 0
    assert all(versions == sorted(versions) for versions in logs.values())
