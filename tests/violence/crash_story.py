"""The story that every crash is set in: what is published, when, and what of it is lost.

Five partitions of three topics, read by one worker and told to one receiver, in phases. It passes
all that the product writes: a snapshot that ends, named and unnamed faces, one that changes hands,
a link, removals of every scope, rejects, records to ignore, repeats, a reach that waits for a
partition, is paged and then confirmed, one that a late fact moves and one that it takes away,
duties by events, a silence, a gap. The broker's part is a function of the phase, which survives
any crash.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import NamedTuple

from monitor.approach import Levels
from monitor.facts import Fact, Instant
from monitor.identity import Identity
from monitor.marks import Marks, SystemMark
from monitor.trust import Sources
from streams.adapters.cloudevents import CloudEvents
from streams.adapters.debezium import Debezium
from streams.adapters.mapping import read_mapping
from streams.reader import Source
from streams.records import Record, Undecodable
from streams.transport import Partition
from tests.integration.store_kit import MINUTE, NOW, policy

GATES, TABLE, HALL = "gates", "table", "hall"
GATES_0, GATES_1, TABLE_0, HALL_0, HALL_1 = PARTITIONS = (
    (GATES, 0),
    (GATES, 1),
    (TABLE, 0),
    (HALL, 0),
    (HALL, 1),
)
FEEDING: Mapping[str, tuple[str, ...]] = {
    "acme": (GATES, TABLE),
    "beta": (TABLE,),
    "gamma": (HALL,),
}
IDENTITY = Identity("5e" * 32)
LAB = SystemMark(processor="acme", system="lab", research=True, reason="training", by="office")
BETWEEN: Instant = 60 * MINUTE  # two phases; longer than a reach may wait unpaged
SILENT_AFTER: Instant = 90 * MINUTE
POLICY = replace(
    policy(5, marks=Marks((LAB,))),
    sources=Sources(feeding=FEEDING.__getitem__, silent_after={HALL: SILENT_AFTER}),
    # A warning is of the number at a look; after a crash there is one look where there were two.
    levels=Levels(percent=()),
)
_MAPPING = {
    "epoch": 0,
    "tables": [
        {
            "table": "public.face",
            "face": "face_id",
            "subject": "person_id",
            "processor": {"column": "tenant"},
            "system": "gate",
        }
    ],
}


@dataclass(slots=True)
class Entry:
    """A record as the broker keeps it, and aiokafka gives it; *timestamp* in milliseconds."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_type: int | None = 0
    serialized_key_size: int = 0
    serialized_value_size: int = 0


class Phase(NamedTuple):
    """What the broker has in this part of the story.

    *ends* are the high watermarks, *given* is how far a fetch gets, *starts* what was lost.
    After *rounds* looks at the ends, each with a tick after it, nothing more can be due.
    """

    name: str
    at: Instant
    starts: Mapping[Partition, int]
    given: Mapping[Partition, int]
    ends: Mapping[Partition, int]
    rounds: int


@dataclass(slots=True)
class Story:
    """The log of every partition, and the phases."""

    logs: dict[Partition, list[Entry]] = field(
        default_factory=lambda: {tp: [] for tp in PARTITIONS}
    )
    phases: list[Phase] = field(default_factory=list)

    def put(self, tp: Partition, *values: bytes | None, key: bytes | None = None) -> None:
        log = self.logs[tp]
        for value in values:
            log.append(Entry(len(log), self._now // 1000, key, value))

    def phase(
        self, name: str, *, late: Partition | None = None, lost: int = 0, rounds: int = 1
    ) -> None:
        """End a phase: *late* gives nothing new yet; of ``HALL_0`` the first *lost* are gone."""
        ends = {tp: len(log) for tp, log in self.logs.items()}
        before = self.phases[-1].given if self.phases else dict.fromkeys(PARTITIONS, 0)
        given = {tp: before[tp] if tp == late else end for tp, end in ends.items()}
        starts = {tp: lost if tp == HALL_0 else 0 for tp in PARTITIONS}
        self.phases.append(Phase(name, self._now, starts, given, ends, rounds))

    @property
    def _now(self) -> Instant:
        return NOW + len(self.phases) * BETWEEN

    def readable(self, phase: int) -> Iterator[Record]:
        """Yield every record that could be read by the end of *phase*."""
        upto, lost = self.phases[phase], self._lost()
        for tp, log in self.logs.items():
            for entry in log[: upto.given[tp]]:
                if (tp, entry.offset) not in lost:
                    yield Record(*tp, entry.offset, entry.timestamp, entry.key, entry.value)

    def _lost(self) -> set[tuple[Partition, int]]:
        """Return what was gone before any phase let it be read."""
        lost = set()
        given = dict.fromkeys(PARTITIONS, 0)
        for phase in self.phases:
            for tp in PARTITIONS:
                lost |= {(tp, offset) for offset in range(given[tp], phase.starts[tp])}
            given = dict(phase.given)
        return lost

    def facts(self, phase: int) -> list[Fact]:
        """Return all facts known by the end of *phase*, decoded as the worker does."""
        sources = sources_of_story()
        found: list[Fact] = []
        for record in self.readable(phase):
            try:
                found += sources[record.topic].adapter.decode(record, NOW + BETWEEN * 100).facts
            except Undecodable:
                continue
        return found


def sources_of_story() -> dict[str, Source]:
    """Return what the worker reads, with fresh real adapters."""
    events = CloudEvents(IDENTITY)
    changes = Debezium(IDENTITY, read_mapping("src", _MAPPING))
    return {
        GATES: Source("events", events),
        TABLE: Source("changes", changes),
        HALL: Source("events", events),
    }


def day(text: str) -> Instant:
    """Return 04:00 UTC (noon in Beijing) of a day in March 2026."""
    return int(datetime.fromisoformat(f"2026-{text}T04:00:00").replace(tzinfo=UTC).timestamp()) * (
        1_000_000
    )


def event(kind: str, on: str, subject: str | None = None, **data: object) -> bytes:
    """Return a CloudEvent of *kind* at noon of a day, at acme's gate unless *data* says else."""
    content: dict[str, object] = {"processor": "acme", **data}
    body: dict[str, object] = {
        "specversion": "1.0",
        "id": "x",
        "source": "test",
        "type": f"facetally.{kind}",
        "time": f"2026-{on}T04:00:00Z",
        "data": content,
    }
    if subject is not None:
        body["subject"] = subject
    return json.dumps(body).encode()


def enrolled(subject: str, on: str, **data: object) -> bytes:
    return event("face.enrolled", on, subject, **{"system": "gate", **data})


def change(
    op: str,
    face: str,
    on: str,
    lsn: int,
    *,
    person: str = "",
    tenant: str = "acme",
    snapshot: str = "false",
) -> bytes:
    """Return what Debezium says of one row of ``public.face``."""
    row = {"face_id": face, "person_id": person, "tenant": tenant}
    at = day(on)
    source = {
        "connector": "postgresql",
        "name": "src",
        "ts_ms": at // 1000,
        "ts_us": at,
        "snapshot": snapshot,
        "sequence": json.dumps([None if op == "r" else str(lsn - 1), str(lsn)]),
        "schema": "public",
        "table": "face",
        "lsn": lsn,
    }
    gone = op in "dt"
    before = {"face_id": face, "person_id": "", "tenant": ""} if op == "d" else None
    value = {"before": before, "after": None if gone else row, "source": source, "op": op}
    return json.dumps(value | {"ts_ms": at // 1000}).encode()


def key_of_row(face: str) -> bytes:
    return json.dumps({"face_id": face}).encode()


def _told() -> Story:
    story = Story()
    _begin(story)
    _reach(story)
    _restate(story)
    _end(story)
    return story


def _begin(story: Story) -> None:
    put = story.put
    put(GATES_0, enrolled("ann", "03-01"), enrolled("bob", "03-02"), b"{no json", None)
    put(GATES_1, enrolled("cy", "03-03", gallery="vip", face="left"))
    put(GATES_1, enrolled("gus", "03-03", system="lab"), b'{"specversion": "1.0"}')
    first = change("r", "f1", "03-04", 90, person="dan", snapshot="first")
    put(TABLE_0, first, key=key_of_row("f1"))
    last = change("r", "f2", "03-04", 90, person="eve", tenant="beta", snapshot="last")
    put(TABLE_0, last, key=key_of_row("f2"))
    put(HALL_0, enrolled("ida", "03-01", processor="gamma", system="hall"))
    put(HALL_1, enrolled("jo", "03-02", processor="gamma", system="hall"))
    story.phase("begin")


def _reach(story: Story) -> None:
    put = story.put
    put(GATES_0, enrolled("fay", "03-10"))
    put(TABLE_0, change("c", "f3", "03-11", 100, person="ann"), key=key_of_row("f3"))
    put(TABLE_0, None, key=key_of_row("f9"))
    put(GATES_1, event("subject.linked", "03-06", "bobby", individual="bob"))
    put(GATES_1, enrolled("bobby", "03-06"))
    story.phase("reached", late=GATES_1)
    story.phase("waits", late=GATES_1)
    story.phase("confirmed")


def _restate(story: Story) -> None:
    put = story.put
    put(GATES_1, enrolled("hal", "03-05"), enrolled("hal", "03-05"), enrolled("bobby", "03-06"))
    story.phase("earlier", rounds=2)


def _end(story: Story) -> None:
    put = story.put
    put(GATES_0, event("subject.removed", "03-12", "bob"))
    put(GATES_0, event("registration.changed", "03-13", changed=["address"]))
    put(GATES_0, event("processor.terminated", "03-14"), enrolled("zoe", "04-30"))
    put(GATES_1, event("gallery.purged", "03-12", system="gate", gallery="vip"))
    moved = change("u", "f2", "03-12", 120, person="eve")
    put(TABLE_0, moved, key=key_of_row("f2"))
    put(TABLE_0, change("d", "f1", "03-12", 130), key=key_of_row("f1"))
    story.phase("ends")
    lost = [enrolled(name, "03-13", processor="gamma", system="hall") for name in ("k", "l")]
    put(HALL_0, *lost, enrolled("lea", "03-15", processor="gamma", system="hall"))
    put(GATES_0, event("subject.unlinked", "03-15", "bobby"))
    story.phase("gap", lost=3)
    put(GATES_0, event("face.removed", "03-04", "ann", system="gate"))
    put(TABLE_0, change("t", "", "03-16", 140))
    put(GATES_1, event("system.purged", "03-17", system="gate"), enrolled("nan", "03-18"))
    story.phase("later", lost=3)
    story.phase("quiet", lost=3, rounds=2)


STORY = _told()
