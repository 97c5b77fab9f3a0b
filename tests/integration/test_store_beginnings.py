"""Where reading begins, over the real store: what is found there is kept, and never lost."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar, cast

import pytest
from sqlalchemy import Engine, event

from monitor.intake import Gap, GapReason, PositionMoved, TopicSeen, Written
from monitor.store.engine import reading
from monitor.store.keeper import SqlKeeper
from monitor.store.reading import status
from monitor.trust import Sources
from streams.admin import Admin
from streams.placing import Committed, Known, Span, aheads, from_metadata, to_metadata
from streams.reader import Reader, Source
from streams.telling import Logged
from streams.transport import Partition
from streams.watch import Watch
from tests.builders import ANN, BOB, CY, enrolled
from tests.integration.store_kit import (
    NOW,
    SECOND,
    TOPIC,
    batch,
    keeper,
    notices,
    one_topic,
    policy,
    rows,
    sqlite_engine,
)
from tests.keeper import Names

T = TypeVar("T")
HERE = (TOPIC, 0)
POLICY = dataclasses.replace(policy(2), sources=Sources(feeding=one_topic))


def reasons(engine: Engine) -> dict[str, list[str]]:
    with reading(engine) as connection:
        found = status(connection, POLICY.rules, POLICY.sources, NOW).processors
    return {one.processor: [why.reason.value for why in one.unverified] for one in found}


class Broker:
    """What Kafka says of one partition and of the group, and what it is told."""

    def __init__(self, span: Span, committed: Committed, *more: Span) -> None:
        self.span, self.said, self.more = span, committed, more
        self.published: list[tuple[Mapping[Partition, int], str]] = []

    def spans(self, partitions: Iterable[Partition]) -> dict[Partition, Span]:
        return {tp: (self.span, *self.more)[tp[1]] for tp in partitions}

    def topics(self, names: Iterable[str]) -> list[TopicSeen]:
        return [TopicSeen(name, self.span.topic_id, 1 + len(self.more)) for name in names]

    def committed(self, group: str) -> Mapping[Partition, Committed]:  # noqa: ARG002 - there is one
        return {HERE: self.said}

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        del places
        return set()

    async def unplace(self, partitions: Iterable[Partition] | None = None) -> None: ...

    async def publish(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        self.published.append((offsets, metadata))


class Here:
    """Runs blocking work at once; *before* each piece of the keeper's something may happen."""

    def __init__(self) -> None:
        self.before: Callable[[], None] = lambda: None

    async def keeper(self, work: Callable[[], T]) -> T:
        self.before()
        return work()

    async def admin(self, work: Callable[[], T]) -> T:
        return work()


def reader_of(monitor: SqlKeeper, broker: Broker, threads: Here) -> Reader:
    reader = Reader(
        keeper=monitor,
        admin=broker,
        group="g",
        threads=threads,
        sources={TOPIC: Source("s", Names())},
        clock=lambda: NOW,
        observer=Logged(),
        max_records=10,
        retry_held=1.0,
        on_placed=lambda: None,
    )
    reader.consumer = broker
    return reader


async def placed(reader: Reader, *, wanted: bool = True, of: Iterable[Partition] = (HERE,)) -> None:
    """Have the reader place the partitions, trying again as often as it does.

    Raises what nobody catches, such as ``Killed``.
    """
    if wanted:
        reader.assigned(of)
    forever = asyncio.ensure_future(reader.place_forever())
    await until(lambda: forever.done() or reader.parts.keys() >= {*of})
    if forever.done():
        forever.result()
    forever.cancel()


class Killed(BaseException):
    """Ends a process where it is raised: nobody catches it."""


async def until(seen: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if seen():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


def failing_commit(engine: Engine, number: int) -> None:
    """Let the commit of this number fail, once."""
    done: list[None] = []

    def fail(_connection: object) -> None:
        done.append(None)
        if len(done) == number:
            raise OSError("the database is away")

    event.listen(engine, "commit", fail)


FIRST = Span("id", 1000, 1000)  # all was read, then retention took it


@pytest.mark.parametrize("before", [None, 100])
@pytest.mark.parametrize("fault", ["none", "first commit", "rebalance"])
def test_an_older_database_is_told_whatever_happens_while_reading_begins(
    engine: Engine, before: int | None, fault: str
) -> None:
    """The group had read 1000; the database is new, or an old copy, and its records are gone."""
    monitor = keeper(engine, POLICY)
    if before is not None:
        monitor.keep([batch([], move=(0, None, before), records=0)])
    broker, threads = Broker(FIRST, Committed(1000)), Here()
    reader = reader_of(monitor, broker, threads)
    calls: list[None] = []

    def rebalance() -> None:
        calls.append(None)
        if len(calls) in {2, 5}:  # after the look-up's first question, and when all is known
            reader.assigned([HERE])

    if fault == "first commit":
        failing_commit(engine, 1)
    if fault == "rebalance":
        threads.before = rebalance
    asyncio.run(placed(reader))
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 1000, 1001))])

    assert "database_restored" in reasons(engine)["acme"]
    assert ("gap.retention" in reasons(engine)["acme"]) is (before is not None)
    assert len(notices(engine, "database_restored")) == 1


@pytest.mark.parametrize("statement", range(1, 40))
def test_a_worker_that_dies_at_any_statement_of_its_beginning_finds_it_all_again(
    tmp_path: Path, statement: int
) -> None:
    """It is the same with every failure: nothing of it is kept, or all."""
    with sqlite_engine(tmp_path) as engine:
        monitor = keeper(engine, POLICY)
        monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
        broker = Broker(FIRST, Committed(1000, Written(9, 9)))
        done: list[None] = []

        def fail(*_: object) -> None:
            done.append(None)
            if len(done) == statement:
                raise Killed

        event.listen(engine, "before_cursor_execute", fail)
        died = False
        try:
            asyncio.run(placed(reader_of(monitor, broker, Here())))
        except Killed:
            died = True
        event.remove(engine, "before_cursor_execute", fail)
        asyncio.run(placed(reader_of(monitor, broker, Here())))
        found = reasons(engine)

    assert died is (len(done) >= statement)
    assert found == {"acme": ["database_restored", "gap.retention"]}


def test_what_was_found_is_published_at_once_so_that_it_is_not_found_again(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
    broker = Broker(Span("id", 0, 2000), Committed(1000, Written(9, 9)))
    asyncio.run(placed(reader_of(monitor, broker, Here())))

    zeros = "0" * 16
    assert broker.published == [({HERE: 100}, f"facetally audit=0 book=1 seal={zeros} known={NOW}")]


def test_a_database_that_went_back_under_a_running_worker_is_told(engine: Engine) -> None:
    """A replica that lagged took over before the worker had published how far it was."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
    broker = Broker(Span("id", 0, 2000), Committed(0))
    reader = reader_of(monitor, broker, Here())
    with asyncio.Runner() as loop:  # one loop, as in a worker: the reader's events belong to it
        loop.run(placed(reader))
        before = reasons(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE positions SET next_offset = 80")
        reader.lost([HERE])
        loop.run(placed(reader, wanted=False))

    assert before == {"acme": []}
    assert reasons(engine) == {"acme": ["database_restored"]}
    assert reader.parts[HERE].at == 80


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pace:
    topics: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    clock: Callable[[], int] = lambda: NOW
    observer: Logged = dataclasses.field(default_factory=Logged)
    look_every: float = 0.01
    look_at_topics_every: float = 0.01
    publish_offsets_every: float = 0.01


def test_a_database_that_holds_less_than_it_did_is_looked_at_anew_before_it_is_published(
    engine: Engine,
) -> None:
    """Nothing is read meanwhile, so no position can tell."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
    monitor.keep([batch([enrolled(BOB, 1)], topic="file")])
    broker = Broker(Span("id", 0, 100), Committed(0))
    threads = Here()
    reader = reader_of(monitor, broker, threads)
    watch = Watch(Pace(), monitor, cast("Admin", broker), threads, reader, [])

    async def live() -> None:
        await placed(reader)
        publishing = asyncio.ensure_future(watch.publish_forever(broker.publish))
        await until(lambda: len(broker.published) == 1)
        broker.said = Committed(100, from_metadata(broker.published[0][1]))
        with engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM book WHERE id = 2")
        await until(lambda: not reader.parts)
        publishing.cancel()
        await placed(reader, wanted=False)

    asyncio.run(live())

    assert [said.split(" seal=")[0] for _, said in broker.published] == [
        "facetally audit=0 book=2",
        "facetally audit=0 book=1",
    ]
    assert reasons(engine) == {"acme": ["database_restored"]}


@pytest.mark.parametrize("lost", [False, True])
def test_what_the_former_owner_keeps_while_the_new_one_looks_up_is_no_gap(
    engine: Engine, *, lost: bool
) -> None:
    """It wakes between the look at the log's end and that at the position, and goes on reading."""
    zombie, monitor = keeper(engine, POLICY), keeper(engine, POLICY)
    zombie.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
    broker, threads = Broker(Span("id", 0, 100), Committed(100)), Here()

    def wake() -> None:
        threads.before = lambda: None
        broker.span = Span("id", 0, 120 if lost else 150)
        zombie.keep([batch([enrolled(BOB, 2)], move=(0, 100, 150))])

    threads.before = wake
    reader = reader_of(monitor, broker, threads)
    asyncio.run(placed(reader))

    assert reasons(engine) == {"acme": ["gap.beyond_end"] if lost else []}
    assert reader.parts[HERE].at == (0 if lost else 150)


def test_a_topic_made_anew_whose_gap_was_kept_during_the_look_up_is_no_gap_again(
    engine: Engine,
) -> None:
    zombie, monitor = keeper(engine, POLICY), keeper(engine, POLICY)
    zombie.keep([batch([enrolled(ANN, 1)], move=(0, None, 100))])
    broker, threads = Broker(Span("id", 0, 100), Committed(0)), Here()

    def wake() -> None:
        threads.before = lambda: None
        broker.span = Span("id2", 0, 3)
        zombie.placed(gaps=[Gap(TOPIC, 0, "id2", GapReason.RECREATED, 100, 0, NOW)])

    threads.before = wake
    asyncio.run(placed(reader_of(monitor, broker, threads)))

    assert len(notices(engine, "gap")) == 1
    assert [row.topic_id for row in rows(engine, "positions")] == ["id2"]


def test_a_gap_that_somebody_else_has_kept_meanwhile_is_not_kept_again(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 7))])
    gap = Gap(TOPIC, 0, "id", GapReason.BEYOND_END, 7, 0, NOW)
    monitor.placed(gaps=[gap])
    monitor.keep([batch([enrolled(BOB, 1)], move=(0, 0, 3))])
    with pytest.raises(PositionMoved):
        monitor.placed(gaps=[gap._replace(seen_at=NOW + SECOND)])

    assert monitor.positions([HERE])[HERE].next_offset == 3
    assert len(notices(engine, "gap")) == 1


def found_at(engine: Engine, committed: int, topic_id: str = "id") -> list[tuple[int, int]]:
    monitor = keeper(engine, POLICY)
    stored = monitor.positions([HERE])
    known = Known({HERE: Committed(committed)}, {})
    span = {HERE: Span(topic_id, 0, 2_000_000)}
    return [
        (one.stored, one.committed) for one in aheads(span, stored, monitor.written(), known, NOW)
    ]


@pytest.mark.parametrize("topic_id", ["id", "id2"])
def test_after_a_gap_only_what_the_group_had_committed_then_is_no_news(
    engine: Engine, topic_id: str
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1_000_000))])
    why = GapReason.BEYOND_END if topic_id == "id" else GapReason.RECREATED
    gap = Gap(TOPIC, 0, topic_id, why, 1_000_000, 0, NOW)
    monitor.placed(gaps=[gap], committed={HERE: 999_000})
    killed = found_at(engine, 999_000, topic_id)
    move = batch([enrolled(ANN, 2)], move=(0, 0, 50_000)).move
    assert move is not None
    moved = move._replace(topic_id=topic_id)
    monitor.keep([dataclasses.replace(batch([enrolled(ANN, 2)]), move=moved)])

    assert killed == []
    assert found_at(engine, 999_000, topic_id) == []
    assert found_at(engine, 60_000, topic_id) == [(50_000, 60_000)]
    assert found_at(engine, 1_000_000, topic_id) == [(50_000, 1_000_000)]


def test_what_was_excused_is_forgotten_once_reading_has_passed_it(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 10))])
    monitor.placed(
        gaps=[Gap(TOPIC, 0, "id", GapReason.BEYOND_END, 10, 0, NOW)], committed={HERE: 8}
    )
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 0, 9))])
    (half,) = rows(engine, "positions")
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 9, 10))])
    (whole,) = rows(engine, "positions")

    assert (half.excused, half.passed) == (None, 10)
    assert (whole.excused, whole.passed) == (None, None)


def test_what_is_written_only_grows_with_facts_and_audit_entries(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    first = monitor.written()
    monitor.keep([batch([enrolled(ANN, 1), enrolled(BOB, 1)], topic="file")])
    second = monitor.written()

    assert first == Written(0, 0, "0" * 16, 0)
    assert second.book == 2
    assert second.audit >= first.audit


THERE = (TOPIC, 1)


def begun(engine: Engine) -> list[tuple[int, int]]:
    return [(row.partition, row.next_offset) for row in rows(engine, "positions")]


def test_what_retention_took_of_an_added_partition_before_it_was_read_is_a_gap(
    engine: Engine,
) -> None:
    monitor = keeper(engine, POLICY)
    asyncio.run(placed(reader_of(monitor, Broker(Span("id", 0, 1), Committed(0)), Here())))
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 0, 1))])
    added = Broker(Span("id", 0, 1), Committed(1), Span("id", 500, 800))
    for _ in range(2):  # found once
        asyncio.run(placed(reader_of(monitor, added, Here()), of=(HERE, THERE)))
    (page,) = notices(engine, "gap")

    assert begun(engine) == [(0, 1), (1, 500)]
    assert reasons(engine) == {"acme": ["gap.retention"]}
    assert {"expected": 0, "resume": 500}.items() <= json.loads(page.body).items()


@pytest.mark.parametrize("start", [0, 500])
def test_a_topic_that_is_read_for_the_first_time_has_no_gap_wherever_its_log_begins(
    engine: Engine, start: int
) -> None:
    """Two workers have a partition each: the first keeps where both begin."""
    monitor = keeper(engine, POLICY)
    broker = Broker(Span("id", 7, 9), Committed(0), Span("id", start, 800))
    asyncio.run(placed(reader_of(monitor, broker, Here())))
    first = begun(engine)
    asyncio.run(placed(reader_of(monitor, broker, Here()), of=(THERE,)))
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 7, 8))])

    assert first == [(0, 7), (1, start)]
    assert reasons(engine) == {"acme": []}
    assert notices(engine, "gap") == []


def test_an_added_partition_of_which_nothing_is_gone_is_no_gap(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    asyncio.run(placed(reader_of(monitor, Broker(Span("id", 5, 9), Committed(0)), Here())))
    added = Broker(Span("id", 5, 9), Committed(0), Span("id", 0, 800))
    asyncio.run(placed(reader_of(monitor, added, Here()), of=(HERE, THERE)))

    assert begun(engine) == [(0, 5), (1, 0)]
    assert notices(engine, "gap") == []


def test_a_partition_that_its_worker_never_reached_before_retention_did_is_a_gap(
    engine: Engine,
) -> None:
    monitor = keeper(engine, POLICY)
    first = Broker(Span("id", 7, 9), Committed(0), Span("id", 0, 800))
    asyncio.run(placed(reader_of(monitor, first, Here())))
    later = Broker(Span("id", 7, 9), Committed(0), Span("id", 500, 800))
    asyncio.run(placed(reader_of(monitor, later, Here()), of=(THERE,)))

    assert [json.loads(page.body)["expected"] for page in notices(engine, "gap")] == [0]


@pytest.mark.parametrize("grown_by", ["facts", "audit entries"])
def test_an_old_copy_that_has_grown_past_what_was_published_is_told(
    tmp_path: Path, grown_by: str
) -> None:
    """A file was applied to the copy before a worker looked at it."""
    with sqlite_engine(tmp_path) as engine:
        monitor = keeper(engine, POLICY)
        monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 5))])
        copy = tmp_path / "copy"
        with closing(sqlite3.connect(tmp_path / "store.db")) as beside:
            beside.execute("VACUUM INTO ?", (str(copy),))
        gap = Gap(TOPIC, 0, "id", GapReason.RETENTION, 5, 6, NOW)
        if grown_by == "facts":
            monitor.keep([batch([enrolled(BOB, 1)], topic="a file", read_at=NOW + SECOND)])
        else:
            monitor.placed(gaps=[gap])
        said = from_metadata(to_metadata(monitor.written()))
        right = reader_of(monitor, Broker(Span("id", 0, 9), Committed(5, said)), Here())
        asyncio.run(placed(right))
        false = notices(engine, "database_restored")
    copy.rename(tmp_path / "back.db")
    with sqlite_engine(tmp_path, "back") as engine:
        monitor = keeper(engine, POLICY)
        if grown_by == "facts":
            more = [enrolled(CY, 1), enrolled(BOB, 2)]
            monitor.keep([batch(more, topic="another", read_at=NOW + 2 * SECOND)])
        else:
            monitor.placed(gaps=[gap._replace(seen_at=NOW + SECOND)])
        now_written = monitor.written()
        broker = Broker(Span("id", 0, 9), Committed(5, said))
        asyncio.run(placed(reader_of(monitor, broker, Here())))
        found = notices(engine, "database_restored")

    assert false == []
    assert said is not None
    assert (now_written.audit, now_written.book) >= (said.audit, said.book)
    assert len(found) == 1
