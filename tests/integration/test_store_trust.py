"""Unverified numbers in the database: what marks them, what is told once, what a person accepts."""

from __future__ import annotations

import dataclasses
import json

import pytest
from sqlalchemy import Engine

from monitor.facts import Place
from monitor.intake import Ahead, EndSeen, Gap, GapReason, Ignored, TopicSeen
from monitor.store.accepting import Acceptance, Accepted, accept
from monitor.store.engine import reading
from monitor.store.outbox import SqlOutbox
from monitor.store.reading import status
from monitor.store.verifying import verify
from monitor.trust import Doubt, NotAcceptable, Sources
from tests.builders import ANN, BOB, enrolled
from tests.integration.store_kit import (
    MARKS,
    NOW,
    SECOND,
    TOPIC,
    batch,
    keeper,
    notices,
    one_topic,
    policy,
    rows,
)

BETA, LATE = Place("beta", "gate", ""), Place("late", "gate", "")
LIMIT = 100 * SECOND
HOUR = 3_600 * SECOND
SOURCES = Sources(feeding=one_topic, silent_after={TOPIC: LIMIT})
POLICY = dataclasses.replace(policy(2), sources=SOURCES)


def reasons(engine: Engine, now: int = NOW, sources: Sources = SOURCES) -> dict[str, list[str]]:
    with reading(engine) as connection:
        found = status(connection, POLICY.rules, sources, now).processors
    return {one.processor: [why.reason.value for why in one.unverified] for one in found}


def ahead(seen_at: int = NOW, topic: str = TOPIC, committed: int = 5) -> Ahead:
    return Ahead(topic, 0, 1, committed, seen_at)


def at_end(engine: Engine, end: int, looked_at: int) -> None:
    """Find the end of the partition there, and by this clock."""
    monitor = keeper(engine, POLICY)
    monitor.ends([EndSeen(TOPIC, 0, end, looked_at, monitor.moment())])


def accepting(
    engine: Engine,
    reason: Doubt,
    processor: str = "acme",
    now: int = NOW,
    topic: str | None = None,
) -> Accepted:
    """Accept; the worker has been at the end of the partition before."""
    at_end(engine, 0, NOW + 10 * HOUR)
    said = Acceptance(
        processor=processor, reason=reason, topic=topic, compared_at=now, by="office", because="b"
    )
    return accept(engine, said, SOURCES, now)


def gap(seen_at: int = NOW, expected: int = 1) -> Gap:
    return Gap(TOPIC, 0, "id", GapReason.RETENTION, expected, 9, seen_at)


def test_an_older_database_marks_everybody_and_pages_once_for_all_workers(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.keep([batch([enrolled(BOB, 1, place=BETA)], topic="file")])
    monitor.placed(found=[ahead()], committed={(TOPIC, 0): 5})
    keeper(engine, POLICY).placed(found=[ahead(NOW + SECOND, "other")])

    assert reasons(engine) == {
        "acme": ["database_restored", "database_restored"],
        "beta": ["database_restored", "database_restored"],
    }
    assert len(notices(engine, "database_restored")) == 1
    assert [r.kind for r in rows(engine, "audit")] == ["database.restored"] * 2
    assert monitor.positions([(TOPIC, 0)])[TOPIC, 0].excused == 5
    assert monitor.positions([(TOPIC, 0)])[TOPIC, 0].next_offset == 1


def test_an_older_database_is_paged_again_when_it_happens_again(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(found=[ahead()])
    accepting(engine, Doubt.DATABASE_RESTORED, now=NOW + SECOND)
    monitor.placed(found=[ahead(NOW + 3_600 * SECOND)])

    assert reasons(engine) == {"acme": ["database_restored"]}
    assert len(notices(engine, "database_restored")) == 2


def test_who_comes_after_an_older_database_is_unverified_until_all_have_been_accepted(
    engine: Engine,
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.placed(found=[ahead()])
    monitor.keep([batch([enrolled(ANN, 1)])])
    monitor.keep([batch([enrolled(BOB, 1, place=BETA)])])
    before = reasons(engine)
    accepting(engine, Doubt.DATABASE_RESTORED)
    one = reasons(engine)
    accepting(engine, Doubt.DATABASE_RESTORED, "beta")
    monitor.keep([batch([enrolled(ANN, 1, place=LATE)])])

    assert before == {"acme": ["database_restored"], "beta": ["database_restored"]}
    assert one == {"acme": [], "beta": ["database_restored"]}
    assert reasons(engine) == {"acme": [], "beta": [], "late": []}


def test_accepting_writes_who_and_why_and_the_number_and_tells_it(engine: Engine) -> None:
    SqlOutbox(engine).ensure(["log"], NOW)
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[gap()])
    done = accepting(engine, Doubt.GAP_RETENTION)
    (entry,) = [row for row in rows(engine, "audit") if row.kind == "number.accepted"]
    (notice,) = notices(engine, "number_accepted")
    body = json.loads(entry.body)

    assert (done.individuals, done.left) == (1, ())
    assert (body["by"], body["because"], body["individuals"]) == ("office", "b", 1)
    assert (body["reason"], body["topic"]) == ("gap.retention", TOPIC)
    assert json.loads(notice.body)["audit_head"] == entry.hash
    assert reasons(engine) == {"acme": []}
    with reading(engine) as connection:
        assert all(one.holds for one in verify(connection, MARKS))


def test_a_gap_after_the_acceptance_marks_again_and_one_before_it_keeps_its_beginning(
    engine: Engine,
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[gap()])
    monitor.placed(gaps=[gap(NOW + 1, expected=9)])
    first = {row.since for row in rows(engine, "unverified")}
    accepting(engine, Doubt.GAP_RETENTION, now=NOW + 2)
    monitor.placed(gaps=[gap(NOW + 3, expected=9)])

    assert first == {NOW}
    assert reasons(engine) == {"acme": ["gap.retention"]}
    assert {row.since for row in rows(engine, "unverified")} == {NOW + 3}


def test_an_acceptance_by_a_clock_that_is_behind_the_mark_is_refused(engine: Engine) -> None:
    """Nobody can tell then whether the mark came before the numbers were compared."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(found=[ahead()])
    with pytest.raises(NotAcceptable, match="happened again since"):
        accepting(engine, Doubt.DATABASE_RESTORED, now=NOW - HOUR)

    assert reasons(engine) == {"acme": ["database_restored"]}


@pytest.mark.parametrize("again", [NOW + HOUR // 2, NOW - HOUR])
def test_an_acceptance_swallows_no_later_mark_whatever_the_clocks_say(
    engine: Engine, again: int
) -> None:
    """The one who accepted had a clock that is ahead, or the worker that marks one behind."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(found=[ahead()])
    accepting(engine, Doubt.DATABASE_RESTORED, now=NOW + HOUR)
    monitor.placed(found=[ahead(again, committed=6)])

    assert reasons(engine) == {"acme": ["database_restored"]}


@pytest.mark.parametrize("reason", list(GapReason))
def test_who_is_first_seen_after_a_gap_in_its_topic_is_unverified_until_accepted(
    engine: Engine, reason: GapReason
) -> None:
    """Whoever it was that the lost records were of: it may be somebody nobody had heard of."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([], move=(0, None, 0), records=0)])
    monitor.placed(gaps=[Gap(TOPIC, 0, "id", reason, 0, 500, NOW)])
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, 500, 501))])
    monitor.keep([batch([enrolled(BOB, 1, place=BETA)], topic="file")])
    before = reasons(engine)
    accepting(engine, Doubt(f"gap.{reason.value}"))
    monitor.keep([batch([enrolled(ANN, 1, place=LATE)], move=(0, 501, 502))])

    assert before == {"acme": [f"gap.{reason.value}"], "beta": []}
    assert reasons(engine) == {"acme": [], "beta": [], "late": []}


def test_two_of_whom_one_is_accepted_leave_the_mark_for_newcomers(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    both = [enrolled(ANN, 1), enrolled(BOB, 1, place=BETA)]
    monitor.keep([batch(both, move=(0, None, 1))])
    monitor.placed(gaps=[gap()])
    accepting(engine, Doubt.GAP_RETENTION)
    monitor.keep([batch([enrolled(ANN, 1, place=LATE)], move=(0, 9, 10))])

    assert reasons(engine) == {"acme": [], "beta": ["gap.retention"], "late": ["gap.retention"]}


@pytest.mark.parametrize(
    ("processor", "reason", "topic", "says"),
    [
        ("acme", Doubt.SOURCE_SILENT, None, "ends by itself"),
        ("acme", Doubt.GAP_RECREATED, None, "is not unverified for gap.recreated"),
        ("acme", Doubt.GAP_RETENTION, "other", "by topic 'other'"),
        ("nobody", Doubt.GAP_RETENTION, None, "there is no processor 'nobody'"),
    ],
)
def test_what_cannot_be_accepted_is_refused_and_nothing_is_written(
    engine: Engine, processor: str, reason: Doubt, topic: str | None, says: str
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[gap()])
    before = len(rows(engine, "audit"))
    with pytest.raises(NotAcceptable, match=says):
        accepting(engine, reason, processor, topic=topic)

    assert reasons(engine) == {"acme": ["gap.retention"]}
    assert len(rows(engine, "audit")) == before


# -- silence ---------------------------------------------------------------------------------


def fed(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.topics([TopicSeen(TOPIC, "id", 1)])
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])


def test_a_silent_topic_marks_by_the_clock_and_its_next_record_ends_it(engine: Engine) -> None:
    fed(engine)
    late = NOW + LIMIT + 1
    silent = reasons(engine, late)
    beat = batch([], move=(0, 1, 2), read_at=late, records=1, ignored={Ignored.HEARTBEAT: 1})
    keeper(engine, POLICY).keep([beat])

    assert reasons(engine, NOW + LIMIT) == {"acme": []}
    assert silent == {"acme": ["source_silent"]}
    assert reasons(engine, late) == {"acme": []}
    assert rows(engine, "unverified") == []


def test_an_old_record_that_is_read_again_ends_no_silence(engine: Engine) -> None:
    fed(engine)
    late = NOW + 2 * LIMIT
    monitor = keeper(engine, POLICY)
    monitor.placed(gaps=[Gap(TOPIC, 0, "id", GapReason.BEYOND_END, 1, 0, late)])
    again = batch([enrolled(ANN, 1)], move=(0, 0, 1), read_at=late, sent_at=NOW)
    monitor.keep([again])
    reread = reasons(engine, late)
    monitor.keep([batch([], move=(0, 1, 2), read_at=late, records=1, sent_at=late - 1)])

    assert reread == {"acme": ["gap.beyond_end", "source_silent"]}
    assert reasons(engine, late) == {"acme": ["gap.beyond_end"]}


def test_a_record_that_its_producer_dates_ahead_is_a_sign_of_life_of_when_it_was_read(
    engine: Engine,
) -> None:
    fed(engine)
    beat = batch([], move=(0, 1, 2), read_at=NOW + 1, records=1, sent_at=NOW + 10 * LIMIT)
    keeper(engine, POLICY).keep([beat])

    assert reasons(engine, NOW + 1 + LIMIT) == {"acme": []}
    assert reasons(engine, NOW + 2 + LIMIT) == {"acme": ["source_silent"]}


def test_a_topic_that_never_said_anything_counts_from_when_reading_began(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], topic="file")])
    monitor.keep([batch([], move=(0, None, 0), records=0)])
    monitor.keep([batch([], move=(0, 0, 0), read_at=NOW + LIMIT, records=0)])

    assert reasons(engine, NOW + LIMIT) == {"acme": []}
    assert reasons(engine, NOW + LIMIT + 1) == {"acme": ["source_silent"]}


def test_a_topic_that_feeds_others_is_silent_for_them_only(engine: Engine) -> None:
    fed(engine)
    keeper(engine, POLICY).keep([batch([enrolled(BOB, 1, place=BETA)], topic="file")])

    assert reasons(engine, NOW + LIMIT + 1) == {"acme": ["source_silent"], "beta": []}


def test_a_silence_is_told_once_and_its_end_once_through_restarts(engine: Engine) -> None:
    fed(engine)
    late = NOW + LIMIT + 1
    at_end(engine, 1, late)
    for second in range(3):
        keeper(engine, POLICY).tick(late + second * SECOND)
    told = len(notices(engine, "source_silent"))
    again = late + 10 * SECOND
    keeper(engine, POLICY).keep([batch([], move=(0, 1, 2), read_at=again, records=1)])
    for second in range(3):
        keeper(engine, POLICY).tick(again + second * SECOND)

    assert (told, len(notices(engine, "source_silent"))) == (1, 1)
    assert len(notices(engine, "source_heard")) == 1


def test_two_silences_are_told_twice(engine: Engine) -> None:
    fed(engine)
    for turn, end in ((0, 1), (1, 2)):
        last = NOW + turn * 10 * LIMIT
        if turn:
            keeper(engine, POLICY).keep([batch([], move=(0, 1, 2), read_at=last, records=1)])
            keeper(engine, POLICY).tick(last)
        at_end(engine, end, last + LIMIT + 1)
        keeper(engine, POLICY).tick(last + LIMIT + 1)

    assert len(notices(engine, "source_silent")) == 2
    assert len(notices(engine, "source_heard")) == 1


def test_a_worker_that_was_down_does_not_page_a_silence_before_it_has_read_to_the_end(
    engine: Engine,
) -> None:
    fed(engine)
    at_end(engine, 1, NOW + SECOND)
    keeper(engine, POLICY).tick(NOW + LIMIT + 1)

    assert notices(engine, "source_silent") == []
    assert reasons(engine, NOW + LIMIT + 1) == {"acme": ["source_silent"]}


def test_without_a_limit_nobody_is_silent_and_ticks_do_not_look(engine: Engine) -> None:
    fed(engine)
    quiet = policy(2)
    at_end(engine, 1, NOW + 10 * LIMIT)
    keeper(engine, quiet).tick(NOW + 10 * LIMIT)

    assert reasons(engine, NOW + 10 * LIMIT, Sources()) == {"acme": []}
    assert notices(engine, "source_silent") == []


def test_an_open_duty_says_whether_its_number_was_verified_then_and_is_now(engine: Engine) -> None:
    fed(engine)
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(BOB, 1)], move=(0, 1, 2), instant=1)])
    monitor.finish(NOW)
    sources = dataclasses.replace(SOURCES, silent_after={})
    (before,) = SqlOutbox(engine, sources, lambda: NOW).open_duties()
    monitor.placed(gaps=[gap(expected=2)])
    (after,) = SqlOutbox(engine, sources, lambda: NOW).open_duties()
    (told,) = notices(engine, "duty_opened")

    assert (before.body["verified"], before.body["verified_when_opened"]) == (True, True)
    assert (after.body["verified"], after.body["verified_when_opened"]) == (False, True)
    assert after.body["unverified"] == f"gap.retention {TOPIC}"
    assert json.loads(told.body)["verified"] is True
