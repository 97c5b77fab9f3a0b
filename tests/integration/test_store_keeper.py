"""Batches, positions and what stops them: one transaction each, or nothing at all."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import Engine, event

from monitor.facts import Changed, Fact, Filed, StorageFact, Terminated, Version
from monitor.intake import (
    Batch,
    Coordinates,
    Gap,
    GapReason,
    Ignored,
    LogPoint,
    LogWentBack,
    Move,
    PositionMoved,
    Reason,
    Reject,
    TooManyRejects,
)
from monitor.limits import RejectLimit
from monitor.marks import Marks, SystemMark
from monitor.store import listing
from monitor.store.engine import AlreadyRunning, WorkerLock, reading
from monitor.store.keeper import SqlKeeper
from monitor.store.names import NamespaceChanged, Registry, Scope
from tests.builders import (
    ACME,
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    CY,
    LAB,
    LEFT,
    PAY,
    SHARED,
    enrolled,
    face_removed,
    linked,
    purged,
    row,
    row_deleted,
    subject_removed,
    truncated,
)
from tests.integration.store_kit import (
    NOW,
    TOPIC,
    batch,
    differences,
    dump,
    duties,
    empty,
    keeper,
    notices,
    now_status,
    policy,
    postgres_engine,
    rows,
    sqlite_engine,
)

HERE = (TOPIC, 0)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as engine:
        yield engine


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        with sqlite_engine(tmp_path) as made:
            yield made
    else:
        with postgres_engine(request.getfixturevalue("postgres_url")) as made:
            yield made


def numbers_of(engine: Engine) -> dict[str, int]:
    shown = now_status(engine, policy(2).rules)
    return {one.processor: one.stock.individuals for one in shown.processors}


# -- positions -------------------------------------------------------------------------------


def test_a_batch_moves_its_position(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([batch([enrolled(ANN, 1)], move=(0, None, 7))])

    assert kept.positions([HERE, (TOPIC, 1)])[HERE].next_offset == 7
    assert (TOPIC, 1) not in kept.positions([HERE, (TOPIC, 1)])


@pytest.mark.parametrize("expected", [None, 6, 8])
def test_a_batch_read_from_another_position_keeps_nothing(
    engine: Engine, expected: int | None
) -> None:
    kept = keeper(engine)
    kept.keep([batch([enrolled(ANN, 1)], move=(0, None, 7))])
    before = dump(engine)
    zombie = keeper(engine)
    with pytest.raises(PositionMoved):
        zombie.keep([batch([enrolled(ANN, 2)], move=(0, expected, 9))])

    assert dump(engine) == before


def test_a_first_position_is_not_expected_where_there_is_none(engine: Engine) -> None:
    with pytest.raises(PositionMoved):
        keeper(engine).keep([batch([enrolled(ANN, 1)], move=(0, 5, 7))])

    assert (rows(engine, "positions"), numbers_of(engine).get(ACME, 0)) == ([], 0)


def test_two_batches_of_one_partition_follow_each_other_in_one_transaction(engine: Engine) -> None:
    parts = [
        batch([enrolled(ANN, 1)], move=(0, None, 7)),
        batch([enrolled(BOB, 2)], move=(0, 7, 9)),
    ]
    kept = keeper(engine)
    kept.keep(parts)

    assert (kept.positions([HERE])[HERE].next_offset, numbers_of(engine)) == (9, {ACME: 2})


def test_one_refused_partition_takes_the_others_of_its_transaction_with_it(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([batch([enrolled(ANN, 1)], move=(1, None, 7))])
    parts = [
        batch([enrolled(BOB, 1)], move=(0, None, 7)),
        batch([enrolled(CY, 1)], move=(1, 3, 8)),
    ]
    with pytest.raises(PositionMoved):
        kept.keep(parts)

    assert (numbers_of(engine), HERE in kept.positions([HERE])) == ({ACME: 1}, False)


# -- everything or nothing -------------------------------------------------------------------


class Interrupted(Exception):
    """Raised in place of a statement."""


def small_batches() -> list[Batch]:
    """Return one transaction that writes to nearly every table."""
    facts: list[Fact] = [
        enrolled(ANN, 10),
        enrolled(BOB, 11, face=LEFT, store=SHARED),
        enrolled(CY, 12, place=BETA_GATE),
        row(LEFT, ANN, (0, 1, 1), 13, place=PAY),
        face_removed(LEFT, 14, store=SHARED),
        linked(ANN, BOB, 15),
        subject_removed(CY, 16, processor=BETA),
        purged(9, system="pay"),
        truncated((0, 0, 1), 13),
        Terminated(ACME, Version(NOW, 0, 0), NOW),
        Changed(ACME, ("purpose",), Version(NOW, 1, 0), NOW),
    ]
    more: dict[str, Any] = {
        "rejects": [Reject(Coordinates(TOPIC, 0, 3), Reason.NOT_JSON)],
        "ignored": {Ignored.HEARTBEAT: 2},
        "log": LogPoint(Version(0, 1, 1), 13),
        "instant": 16,
        "records": 14,
    }
    return [batch(facts, move=(0, None, 14), **more)]


def interrupt(engine: Engine, at: int) -> Callable[[], None]:
    """Raise at the *at*-th statement from now; return how to stop that."""
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == at:
            raise Interrupted

    event.listen(engine, "before_cursor_execute", count)
    return lambda: event.remove(engine, "before_cursor_execute", count)


NAMES = ("processors", "places", "stores", "tenants", "meta")  # known before a batch is kept


def test_whichever_statement_fails_nothing_is_half_kept(sqlite: Engine) -> None:
    facts = [f for f in small_batches()[0].facts if not isinstance(f, (Terminated, Changed, Filed))]
    kept_after = 0
    for statement in range(1, 500):
        empty(sqlite)
        keeping = keeper(sqlite, policy(2, 1))
        stop = interrupt(sqlite, statement)
        try:
            keeping.keep(small_batches())
        except Interrupted:
            pass
        else:
            kept_after = statement
            break
        finally:
            stop()
        left = {name: kept for name, kept in dump(sqlite, *NAMES).items() if kept}
        keeping.keep(small_batches())
        keeping.finish(NOW)

        assert (statement, left) == (statement, {})
        assert (statement, differences(sqlite, facts, policy(2, 1))) == (statement, [])
        assert (statement, {d.rule for d in duties(sqlite)} & {"frt.cancel", "frt.change"}) == (
            statement,
            {"frt.cancel", "frt.change"},
        )
    assert kept_after > 30


# -- what stops a partition ------------------------------------------------------------------


def rejecting(first: int, number: int) -> list[Reject]:
    return [Reject(Coordinates(TOPIC, 0, first + n), Reason.NOT_JSON) for n in range(number)]


def test_too_many_rejects_keep_nothing_and_page_once(engine: Engine) -> None:
    kept = keeper(engine, policy(2, limit=RejectLimit(rejects=3, share=0.5, window=100)))
    kept.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    bad = batch([enrolled(BOB, 2)], move=(0, 1, 6), rejects=rejecting(1, 4), records=5)
    told = ("notices", "audit", "audit_head", "positions")
    before = dump(engine, *told)
    (stood,) = rows(engine, "positions")
    for _ in range(3):
        with pytest.raises(TooManyRejects):
            kept.keep([bad])

    after = dump(engine, *told, *NAMES)
    (stands,) = rows(engine, "positions")
    assert stood.stopped_at is None
    assert [*stands] == [*stood[:-1], NOW]
    assert after == {name: kept for name, kept in before.items() if name not in NAMES}
    assert len(notices(engine, "partition_stopped")) == len(rows(engine, "audit")) == 1


STRICT = policy(2, limit=RejectLimit(rejects=3, share=0.5, window=100))


def stopped(kept: SqlKeeper, topic_id: str, expected: int, read_at: int = NOW) -> None:
    """Read what stops the partition, as a worker does that tries it again and again."""
    move = Move(TOPIC, 0, topic_id, expected, expected + 5)
    bad = batch([], rejects=rejecting(expected, 4), records=5, read_at=read_at)
    for later in range(2):
        with pytest.raises(TooManyRejects):
            kept.keep([replace(bad, move=move, read_at=read_at + later)])


def stops(engine: Engine) -> tuple[int, int]:
    """Return how often it was paged, and how often written down, that the partition stopped."""
    kind = "partition.partition_stopped"
    written = [row for row in rows(engine, "audit") if row.kind == kind]
    return len(notices(engine, "partition_stopped")), len(written)


def test_a_topic_made_anew_that_stops_at_the_same_offset_pages_again(engine: Engine) -> None:
    kept = keeper(engine, STRICT)
    kept.keep([batch([], move=(0, None, 0))])
    stopped(kept, "id", 0)
    kept.placed(gaps=[Gap(TOPIC, 0, "new", GapReason.RECREATED, 0, 0, NOW + 1)])
    stopped(keeper(engine, STRICT), "new", 0, NOW + 2)

    assert stops(engine) == (2, 2)


def test_a_topic_that_lost_records_and_stops_at_the_same_offset_pages_again_each_time(
    engine: Engine,
) -> None:
    """The topic is the same and so are the offsets: a broker has lost its log, more than once."""
    kept = keeper(engine, STRICT)
    kept.keep([batch([], move=(0, None, 0))])
    stopped(kept, "id", 0)
    for day in (1, 2):
        kept.keep([batch([], move=(0, 0, 50))])
        kept.placed(gaps=[Gap(TOPIC, 0, "id", GapReason.BEYOND_END, 50, 0, NOW + day)])
        stopped(kept, "id", 0)
        stopped(keeper(engine, STRICT), "id", 0, NOW + day)

    assert stops(engine) == (3, 3)


def test_a_log_that_goes_back_again_after_a_gap_pages_again(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([log_batch((0, None, 1), 500, NOW)])
    for day in (1, 2):
        with pytest.raises(LogWentBack):
            kept.keep([log_batch((0, 1, 2), 499, NOW + 60_000_001)])
        kept.placed(gaps=[Gap(TOPIC, 0, "id", GapReason.BEYOND_END, 1, 0, NOW + day)])
        kept.keep([log_batch((0, 0, 1), 500, NOW)])

    assert len(notices(engine, "log_went_back")) == 2


def test_rejects_within_the_limit_are_set_aside_with_their_coordinates(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([batch([], move=(0, None, 5), rejects=rejecting(2, 2), records=5)])

    found = [
        (r.topic, r.partition, r.offset, r.reason, r.topic_id) for r in rows(engine, "rejects")
    ]
    assert found == [(TOPIC, 0, n, "not_json", "id") for n in (2, 3)]
    assert now_status(engine, policy(2).rules).rejected == {"not_json": 2}


def test_a_replayed_reject_leaves_the_list_and_moves_no_position(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([batch([], move=(0, None, 5), rejects=rejecting(2, 2), records=5)])
    kept.keep_replayed([batch([enrolled(ANN, 1)])], [Coordinates(TOPIC, 0, 2)])

    assert [r.offset for r in rows(engine, "rejects")] == [3]
    assert (numbers_of(engine), kept.positions([HERE])[HERE].next_offset) == ({ACME: 1}, 5)


def test_what_is_ignored_is_counted(engine: Engine) -> None:
    kept = keeper(engine)
    for move in ((0, None, 5), (0, 5, 9)):
        ignored = {Ignored.HEARTBEAT: 2, Ignored.TOMBSTONE: 1}
        kept.keep([batch([], move=move, ignored=ignored, records=4)])

    assert now_status(engine, policy(2).rules).ignored == {"heartbeat": 4, "tombstone": 2}


def log_batch(move: tuple[int, int | None, int], position: int, at: int) -> Batch:
    return batch([], move=move, log=LogPoint(Version(0, position, position), at), records=1)


def test_a_log_that_went_back_keeps_nothing_and_pages_once(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([log_batch((0, None, 1), 500, NOW)])
    for _ in range(2):
        with pytest.raises(LogWentBack):
            kept.keep([log_batch((0, 1, 2), 499, NOW + 60_000_001)])

    stored = kept.positions([HERE])[HERE]
    assert (stored.next_offset, stored.log) == (1, LogPoint(Version(0, 500, 500), NOW))
    assert len(notices(engine, "log_went_back")) == 1


def test_a_batch_that_could_not_be_decoded_because_its_log_went_back_pages(
    engine: Engine,
) -> None:
    kept = keeper(engine)
    with pytest.raises(LogWentBack):
        kept.keep([batch([], move=(0, None, 1), went_back=True)])

    assert kept.positions([HERE]) == {}
    assert len(notices(engine, "log_went_back")) == 1


def test_a_log_read_again_within_a_minute_of_its_clock_is_no_step_back(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([log_batch((0, None, 1), 500, NOW)])
    kept.keep([log_batch((0, 1, 2), 499, NOW + 60_000_000)])

    assert kept.positions([HERE])[HERE].log == LogPoint(Version(0, 500, 500), NOW)


def test_a_raised_epoch_lets_a_log_begin_again(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([log_batch((0, None, 1), 500, NOW)])
    again = LogPoint(Version(1, 3, 3), NOW + 90_000_000)
    kept.keep([batch([], move=(0, 1, 2), log=again, records=1)])

    assert kept.positions([HERE])[HERE].log == again


# -- gaps ------------------------------------------------------------------------------------


def test_after_a_gap_everybody_whom_the_topic_ever_fed_is_unverified(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([batch([enrolled(ANN, 1), enrolled(BOB, 1, place=BETA_GATE)], move=(0, None, 7))])
    kept.keep([batch([linked(ANN, BOB, 2, processor="other")], topic="elsewhere")])
    gap = Gap(TOPIC, 0, "new", GapReason.RETENTION, 7, 100, NOW)
    kept.placed(gaps=[gap])
    with pytest.raises(PositionMoved):  # another worker that has found it, too
        kept.placed(gaps=[gap])

    shown = now_status(engine, policy(2).rules).processors
    why = {one.processor: [(w.reason, w.topic) for w in one.unverified] for one in shown}
    assert why == {ACME: [("gap.retention", TOPIC)], BETA: [("gap.retention", TOPIC)], "other": []}
    stored = kept.positions([HERE])[HERE]
    assert (stored.topic_id, stored.next_offset, stored.log) == ("new", 100, None)
    assert len(notices(engine, "gap")) == 1


@pytest.mark.parametrize("reason", GapReason)
def test_a_gap_at_the_same_offset_of_the_same_topic_is_paged_and_written_each_time(
    engine: Engine, reason: GapReason
) -> None:
    kept = keeper(engine)
    kept.keep([batch([enrolled(ANN, 1)], move=(0, None, 9))])
    for day in (1, 2):
        kept.placed(gaps=[Gap(TOPIC, 0, "new", reason, 9, 0, NOW + day)])
        kept.keep([batch([enrolled(BOB, day)], move=(0, 0, 9))])

    assert len({notice.key for notice in notices(engine, "gap")}) == 2
    assert [row.kind for row in rows(engine, "audit")].count("gap") == 2


def test_a_topic_made_anew_before_any_record_was_read_is_one_gap_for_all_workers(
    engine: Engine,
) -> None:
    """The position does not move, so that nothing refuses the second worker."""
    kept = keeper(engine)
    kept.keep([batch([], move=(0, None, 0))])
    for worker in range(3):
        seen_at = NOW + worker
        keeper(engine).placed(gaps=[Gap(TOPIC, 0, "new", GapReason.RECREATED, 0, 0, seen_at)])

    assert kept.positions([HERE])[HERE].topic_id == "new"
    assert len(notices(engine, "gap")) == 1
    assert [row.kind for row in rows(engine, "audit")] == ["gap"]


def test_after_a_gap_reading_goes_on_from_where_it_said(engine: Engine) -> None:
    kept = keeper(engine)
    kept.keep([log_batch((0, None, 7), 500, NOW)])
    kept.placed(gaps=[Gap(TOPIC, 0, "new", GapReason.RECREATED, 7, 0, NOW)])
    with pytest.raises(PositionMoved):
        kept.keep([batch([enrolled(ANN, 1)], move=(0, 7, 8))])
    kept.keep([log_batch((0, 0, 1), 3, NOW + 90_000_000)])

    assert kept.positions([HERE])[HERE].next_offset == 1


# -- changed settings ------------------------------------------------------------------------


def test_another_namespace_for_a_counted_system_is_refused(engine: Engine) -> None:
    keeper(engine).keep([batch([enrolled(ANN, 1)])])
    moved = Marks([SystemMark(processor=ACME, system="gate", namespace="badges")])
    with pytest.raises(NamespaceChanged, match=r"'gate'.*'badges'"):
        keeper(engine, policy(2, marks=moved))


def marked(*, research: bool) -> Marks:
    mark = SystemMark(processor=ACME, system="lab", research=research, reason="why", by="who")
    return Marks([mark])


def test_a_changed_research_mark_recounts_all_of_history_and_says_who(engine: Engine) -> None:
    facts = [enrolled(ANN, 1, place=LAB), enrolled(BOB, 2, place=LAB), enrolled(ANN, 3)]
    before, after = (policy(2, marks=marked(research=r)) for r in (False, True))
    kept = keeper(engine, before)
    kept.keep([batch(facts)])
    kept.finish(NOW)

    assert differences(engine, facts, before, [2]) == []
    again = keeper(engine, after)
    again.finish(NOW)

    assert differences(engine, facts, after, [2]) == []
    changed = [r.body for r in rows(engine, "audit") if r.kind == "purpose.changed"]
    assert changed == [
        '{"by":"who","gallery":"","purpose":"research","reason":"why","system":"lab"}'
    ]
    keeper(engine, after)
    assert len([r for r in rows(engine, "audit") if r.kind == "purpose.changed"]) == 1


@pytest.mark.parametrize("thresholds", [(1, 3), (3, 1), (2, 4), (2, 2)])
def test_a_changed_threshold_is_looked_for_in_all_of_history(
    engine: Engine, thresholds: tuple[int, int]
) -> None:
    facts: list[StorageFact] = [
        enrolled(ANN, 1),
        enrolled(BOB, 2),
        enrolled(CY, 3),
        subject_removed(CY, 4),
    ]
    for threshold in thresholds:
        kept = keeper(engine, policy(threshold))
        kept.keep([batch(facts)])
        kept.finish(NOW)

    assert differences(engine, facts, policy(thresholds[-1])) == []


def test_a_rule_that_was_off_while_its_number_was_reached_is_looked_for_when_it_is_on_again(
    sqlite: Engine,
) -> None:
    off = policy(9)
    on = policy(9, 2)
    first, while_off = [enrolled(ANN, 1)], [enrolled(BOB, 2), enrolled(CY, 3)]
    keeper(sqlite, on).keep([batch(first)])
    keeper(sqlite, off).keep([batch(while_off)])
    last = [enrolled(LEFT, 4)]
    kept = keeper(sqlite, on)
    kept.keep([batch(last)])
    kept.finish(NOW)

    assert differences(sqlite, [*first, *while_off, *last], on) == []


# -- several keepers -------------------------------------------------------------------------


def test_names_that_another_keeper_learned_are_read_when_a_row_uses_them(engine: Engine) -> None:
    idle, busy = keeper(engine), keeper(engine)
    busy.keep([batch([enrolled(ANN, 1, place=BETA_GATE), enrolled(BOB, 2, place=BETA_GATE)])])
    idle.tick(NOW)
    idle.keep([batch([enrolled(CY, 3)])])

    assert numbers_of(engine) == {ACME: 1, BETA: 2}


def test_a_keeper_counts_a_purge_for_tenants_that_another_brought_in(
    postgres_url: str,
) -> None:
    with postgres_engine(postgres_url) as engine:
        _keep_a_purge_for_new_tenants(engine)


def _keep_a_purge_for_new_tenants(engine: Engine) -> None:
    one, other = keeper(engine), keeper(engine)
    facts: list[StorageFact] = [
        row(LEFT, ANN, (0, 1, 1), 1),
        enrolled(BOB, 1, place=BETA_GATE),
        row(ANN, CY, (0, 2, 2), 2, place=BETA_GATE),
        truncated((0, 3, 3), 3),
    ]
    one.keep([batch(facts[:2])])
    other.keep([batch(facts[2:3])])
    one.keep([batch(facts[3:])])
    one.finish(NOW)

    assert numbers_of(engine) == {ACME: 0, BETA: 1}
    assert differences(engine, facts, policy(2)) == []


def test_two_workers_learn_the_same_scopes_at_once(postgres_url: str) -> None:
    """A system and its unnamed gallery, again and again: neither deadlocks nor leaves a hole."""
    with postgres_engine(postgres_url) as engine:
        registries = [Registry(engine, Marks()) for _ in range(2)]
        start = Barrier(2)

        def learn(registry: Registry) -> None:
            for number in range(40):
                start.wait(10)
                scopes: list[Scope] = [(ACME, f"s{number}", None), (ACME, f"s{number}", "")]
                registry.learn(scopes, [], [])

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(learn, registry) for registry in registries]:
                done.result()

    assert registries[0].names.scope_ids == registries[1].names.scope_ids
    assert len(registries[0].names.scope_ids) == 80


def test_a_reject_of_kafka_that_a_recording_brings_again_is_still_to_be_replayed(
    engine: Engine,
) -> None:
    """Each is one of its own; the replay takes only that of Kafka off the list."""
    where = Coordinates(TOPIC, 0, 0)
    found = [Reject(where, Reason.BAD_TEXT)]
    monitor = keeper(engine)
    monitor.keep([batch([], topic=TOPIC, rejects=found, file="0a1b", records=1)])
    monitor.keep([batch([], move=(0, None, 1), rejects=found, records=1)])
    monitor.keep([batch([], topic=TOPIC, rejects=found, file="0a1b", records=1)])
    with reading(engine) as connection:
        of_kafka = [(one.where, one.topic_id) for one in listing.rejects(connection, of_kafka=True)]
    monitor.keep_replayed([], [where])

    assert of_kafka == [(where, "id")]
    assert [row.file for row in rows(engine, "rejects")] == ["0a1b"]


HOLD = """
import sys, time
from monitor.store.engine import WorkerLock, open_engine
lock = WorkerLock(open_engine(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_worker_on_sqlite_is_refused_until_the_first_is_killed(sqlite: Engine) -> None:
    command = [sys.executable, "-c", HOLD, sqlite.url.render_as_string()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match="one at a time"):
            WorkerLock(sqlite)
        first.send_signal(signal.SIGKILL)
        first.wait(10)
        WorkerLock(sqlite).release()


# -- facts that nobody's number shows at first -----------------------------------------------


@pytest.mark.parametrize(
    "early",
    [
        [truncated((0, 9, 9), 100)],
        [row_deleted(LEFT, (0, 9, 9), 100)],
        [row(LEFT, BOB, (0, 9, 9), 100, place=BETA_GATE)],
    ],
    ids=["truncated", "deleted", "owned by another"],
)
def test_who_was_stored_only_before_what_we_knew_of_the_store_reached_the_number(
    engine: Engine, early: list[StorageFact]
) -> None:
    facts = [*early, row(LEFT, ANN, (0, 5, 5), 50)]
    for one in facts:
        keeper(engine, policy(1)).keep([batch([one])])
    keeper(engine, policy(1)).finish(NOW)

    assert differences(engine, facts, policy(1), [50, 99, 100]) == []


def test_a_purge_in_a_batch_leaves_no_number_that_never_was(engine: Engine) -> None:
    kept = keeper(engine, policy(4))
    before = [enrolled(one, 1) for one in (ANN, BOB, CY)]
    after: list[StorageFact] = [purged(2), enrolled(LEFT, 3, place=LAB)]
    kept.keep([batch(before)])
    kept.keep([batch(after)])

    assert [r.trigger_at for r in rows(engine, "reaches")] == [None]
    kept.finish(NOW)
    assert differences(engine, [*before, *after], policy(4)) == []


def test_an_unnamed_slot_of_a_shared_store_is_kept(engine: Engine) -> None:
    facts = [
        enrolled(ANN, 1, store=SHARED),
        enrolled(ANN, 2, store=SHARED, place=BETA_GATE),
        enrolled(BOB, 3, store=SHARED),
    ]
    kept = keeper(engine)
    for fact in facts:
        kept.keep([batch([fact])])
    kept.finish(NOW)

    assert differences(engine, facts, policy(2)) == []
