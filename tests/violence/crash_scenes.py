"""The scenes of ``crash_commands``: apply, accept, abandon and the replay of rejects.

Each is told so that doing a part of it, or a part of it twice, would show: half of a file reaches
the threshold on a day that the whole of it does not, the second file moves the day more than once
on its way, and a decision is made of two parts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy import replaying
from deploy.cli.common import rfc3339
from deploy.wiring import Monitor, clock, open_monitor
from monitor.facts import Fact
from monitor.intake import Coordinates, EndSeen, Gap, GapReason, Move, Reject, TopicSeen
from streams.connection import Connection
from streams.decoding import decode_records
from streams.files import read_records
from streams.records import Record, Undecodable
from tests.integration.store_kit import SECOND
from tests.violence.crash_commands import Bench, Scene
from tests.violence.crash_steps import Probe
from tests.violence.crash_story import change, enrolled, event, key_of_row

DAY = 24 * 3600 * SECOND
CHUNK = 4  # records of one transaction
THRESHOLD = 5
BY = ("--by", "privacy office", "--because", "compared with the terminals")
_RULES = f'max_batch_records = {CHUNK}\n[[rules]]\nid = "frt.file"\nat_least = {THRESHOLD}\n'
_LAB = (
    '[[systems]]\nprocessor = "acme"\nsystem = "lab"\npurpose = "research"\n'
    'reason = "training"\nby = "office"\n'
)


def _recorded(offset: int, value: bytes | None) -> bytes:
    """Return a line as ``apply`` reads it of a recording of Kafka."""
    packed = None if value is None else base64.b64encode(value).decode()
    return json.dumps(
        {"topic": "gates", "partition": 1, "offset": offset, "timestamp": -1, "value": packed}
    ).encode()


# Its first half says that there were five on 14 March; the whole of it, on the 20th.
ONE = (
    enrolled("ann", "03-10"),
    enrolled("bob", "03-11"),
    b"{no json",
    _recorded(7, None),
    enrolled("cy", "03-12", gallery="vip", face="left"),
    enrolled("dan", "03-13"),
    enrolled("eve", "03-14"),
    enrolled("gus", "03-03", system="lab"),
    event("subject.removed", "03-12", "bob"),
    event("subject.linked", "03-06", "annie", individual="ann"),
    enrolled("annie", "03-06"),
    b'{"specversion": "1.0"}',
    enrolled("fay", "03-20"),
    event("nobody.knows", "03-21", "x"),
    enrolled("ivy", "03-01", processor="beta", system="hall"),
    event("processor.terminated", "03-22", None, processor="beta"),
    event("system.purged", "03-21", system="hall", processor="beta"),
    _recorded(8, enrolled("gil", "03-21")),
)
# Each chunk of it makes the day earlier, and the last takes back what the first had brought.
TWO = (
    enrolled("hal", "03-02"),
    enrolled("ike", "03-03"),
    enrolled("jo", "03-04"),
    b"{no json either",
    enrolled("kim", "03-05"),
    enrolled("lea", "03-05"),
    enrolled("moe", "03-05"),
    enrolled("nan", "03-05"),
    event("subject.removed", "03-03", "hal"),
    event("subject.removed", "03-04", "ike"),
    event("subject.removed", "03-05", "jo"),
    event("subject.removed", "03-06", "kim"),
    event("subject.removed", "03-06", "lea"),
    event("subject.removed", "03-06", "moe"),
    event("registration.changed", "03-13", changed=["address"]),
    event("gallery.purged", "03-16", system="gate", gallery="vip"),
)
OTHER = (enrolled("zoe", "03-01", processor="beta", system="hall"),)


def _told(monitor: Monitor, lines: Iterable[bytes], place: Path) -> Iterator[Fact]:
    """Yield what *lines* say, decoded as the program does."""
    file = place / "told.ndjson"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    adapter = monitor.adapter("cloudevents")
    for line in read_records([file]):
        if not isinstance(line, Reject):
            try:
                yield from adapter.decode(line, clock()).facts
            except Undecodable:
                continue


def applied() -> Scene:
    """Two files, one after the other, of several transactions each."""
    return Scene(
        settings=_RULES + _LAB,
        files={"one.ndjson": ONE, "two.ndjson": TWO},
        commands=[
            ("apply", "one.ndjson", "--source", "cloudevents"),
            ("apply", "two.ndjson", "--source", "cloudevents"),
        ],
        refusals=["", ""],
        facts=lambda monitor, place: list(_told(monitor, ONE + TWO, place)),
    )


# -- accept ------------------------------------------------------------------------------------

_FED = (enrolled("ann", "03-10"), enrolled("bob", "03-11"))
_TOPICS = '[[topics]]\nname = "{}"\nsource = "{}"\n'


def accepted() -> Scene:
    """Records of two topics are lost; one gap is accepted by its topic, then all that is left."""
    compared = ("--compared-at", rfc3339(clock()) or "")
    accept = ("accept", "--processor", "acme", "--reason", "gap.retention", *compared, *BY)
    topics = "".join(_TOPICS.format(name, "cloudevents") for name in ("doors", "gates", "halls"))
    refusal = "is not unverified for gap.retention"
    return Scene(
        settings=_RULES + topics,
        files={},
        prepare=_lose,
        commands=[(*accept, "--topic", "doors"), accept],
        refusals=[refusal, refusal],
        facts=lambda monitor, place: list(_told(monitor, _FED, place)),
    )


@contextmanager
def _opened(bench: Bench) -> Iterator[Monitor]:
    """Yield the database with the settings of now, for what happens before the first command."""
    monitor = open_monitor(bench.settings)
    try:
        yield monitor
    finally:
        monitor.engine.dispose()


def _lose(bench: Bench) -> None:
    with _opened(bench) as monitor:
        now = clock() - DAY  # before the numbers were compared
        keeper = monitor.keeper(now)
        topics = [topic.name for topic in monitor.settings.topics]
        keeper.topics([TopicSeen(name, f"id of {name}", 1) for name in topics])
        for name in topics:
            batch = decode_records(
                [Record(name, 0, n, -1, None, value) for n, value in enumerate(_FED)],
                monitor.adapter("cloudevents"),
                "cloudevents",
                now,
                Move(name, 0, f"id of {name}", None, len(_FED)),
            )
            keeper.keep([batch])
        gaps = [
            Gap(name, 0, f"id of {name}", GapReason.RETENTION, len(_FED), 9, now) for name in topics
        ]
        keeper.placed(gaps=gaps)
        moment = keeper.moment()
        keeper.ends([EndSeen(name, 0, 9, now + SECOND, moment) for name in topics])


# -- abandon -----------------------------------------------------------------------------------


def abandoned() -> Scene:
    """Two files whose ``apply`` died are dropped, then another one is applied to its end."""
    return Scene(
        settings=_RULES + _LAB,
        files={"one.ndjson": ONE, "two.ndjson": TWO, "other.ndjson": OTHER},
        prepare=_die,
        commands=[
            ("abandon", *BY),
            ("apply", "other.ndjson", "--source", "cloudevents"),
        ],
        refusals=["there is no unfinished file", ""],
        facts=lambda monitor, place: list(_told(monitor, ONE[: 2 * CHUNK] + OTHER, place)),
    )


def _die(bench: Bench) -> None:
    """Have ``apply`` killed when it has kept two chunks, which reach the threshold."""
    words = ("apply", "one.ndjson", "two.ndjson", "--source", "cloudevents")
    labels = bench.recorded(words)
    bench.begin_again()
    at = _second_chunk(labels)
    assert bench.killed(words, at) == "after COMMIT"
    with _opened(bench):
        pass  # SQLite tidies up after the one that was killed


def _second_chunk(labels: list[str]) -> int:
    """Return the step right after the second commit that brought facts."""
    brought, chunks = False, 0
    for at, label in enumerate(labels, start=1):
        brought |= "book" in label and ("INSERT" in label or "COPY" in label)
        if label == "after COMMIT":
            chunks += brought
            brought = False
            if chunks == 2:
                return at
    raise AssertionError("there are not two chunks")


# -- rejects replay ----------------------------------------------------------------------------

_TABLE = """
[sources.db]
adapter = "debezium"
[[sources.db.tables]]
table = "public.face"
face = "face_id"
subject = "{subject}"
processor = {{ column = "tenant" }}
system = "gate"
"""
_LOG: Mapping[int, tuple[bytes | None, bytes]] = {
    n: (key_of_row(face), value)
    for n, (face, value) in enumerate(
        [
            ("f0", change("c", "f0", "03-10", 100, person="ann")),
            ("f1", change("c", "f1", "03-11", 101, person="bob")),
            ("f1", b"{broken"),
            ("f2", change("c", "f2", "03-12", 102, person="cy")),
            ("f3", change("c", "f3", "03-13", 103, person="dan")),
            ("f4", change("c", "f4", "03-14", 104, person="eve")),
            ("f1", change("d", "f1", "03-15", 105)),
            ("f5", change("c", "f5", "03-16", 106, person="fay", tenant="beta")),
            ("f6", change("c", "f6", "03-17", 107, person="gus")),
            ("f5", change("u", "f5", "03-18", 108, person="fay")),
        ]
    )
}
_TABLES = _TOPICS.format("table", "db")


def replayed() -> Scene:
    """A column's name is mended and what was rejected for it is read again, in several goes."""
    return Scene(
        settings=_RULES + _TABLES + _TABLE.format(subject="person_id"),
        files={},
        prepare=_reject,
        commands=[("rejects", "replay")],
        refusals=[""],
        facts=lambda monitor, _place: list(_of_log(monitor)),
        after=_read_on,
        playing=_play_kafka,
    )


def _of_log(monitor: Monitor) -> Iterator[Fact]:
    adapter = monitor.adapter("db")
    for record in _records():
        try:
            yield from adapter.decode(record, clock()).facts
        except Undecodable:
            continue


def _records() -> list[Record]:
    return [Record("table", 0, n, -1, key, value) for n, (key, value) in _LOG.items()]


def _reject(bench: Bench) -> None:
    """Keep the log as a worker does whose settings have a misspelt column."""
    settings = bench.place / "facetally.toml"
    right = settings.read_text()
    settings.write_text(right.replace("person_id", "persn_id"))
    with _opened(bench) as monitor:
        now = clock()
        keeper = monitor.keeper(now)
        keeper.topics([TopicSeen("table", "id of table", 1)])
        move = Move("table", 0, "id of table", None, len(_LOG))
        keeper.keep([decode_records(_records(), monitor.adapter("db"), "db", now, move)])
    settings.write_text(right)


def _read_on(monitor: Monitor) -> None:
    """Be the worker that goes on: it finds the end of the log, and looks."""
    keeper = monitor.keeper(clock())
    keeper.ends([EndSeen("table", 0, len(_LOG), clock() + SECOND, keeper.moment())])
    keeper.tick(clock() + 2 * SECOND)


def _play_kafka(probe: Probe) -> None:
    """Be the broker, for a process that is about to replay: it asks for ids, then for records."""

    def topic_ids(_to: Connection, topics: Iterable[str], _patience: float) -> dict[str, str]:
        probe.before("topic ids")
        return {name: f"id of {name}" for name in topics}

    def reread(
        _from: Connection, wanted: Iterable[Coordinates]
    ) -> Iterator[tuple[Coordinates, Record | None]]:
        by_offset = {record.offset: record for record in _records()}
        for where in sorted(wanted):
            probe.before(f"read again {where.offset}")
            yield where, by_offset.get(where.offset)

    vars(replaying).update(topic_ids=topic_ids, reread=reread, _AT_ONCE=3)
