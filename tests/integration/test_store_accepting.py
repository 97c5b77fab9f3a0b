"""When a person may accept a number: not before all has been read that there is."""

from __future__ import annotations

import dataclasses
import json
from threading import Thread

import pytest
from sqlalchemy import Engine, event

from monitor.intake import (
    Ahead,
    Coordinates,
    EndSeen,
    Gap,
    GapReason,
    LogWentBack,
    Reason,
    Reject,
    TooManyRejects,
    TopicSeen,
)
from monitor.store import positions, trust
from monitor.store.accepting import Acceptance, accept
from monitor.store.engine import reading
from monitor.store.keeper import SqlKeeper
from monitor.store.reading import status
from monitor.trust import Doubt, NotAcceptable, Sources
from tests.builders import ANN, enrolled
from tests.integration.store_kit import (
    NOW,
    SECOND,
    TOPIC,
    batch,
    keeper,
    one_topic,
    policy,
    rows,
)

HOUR = 3600 * SECOND
SOURCES = Sources(feeding=one_topic)
POLICY = dataclasses.replace(policy(2), sources=SOURCES)
AHEAD = Ahead(TOPIC, 0, 1, 5, NOW)
GAP = Gap(TOPIC, 0, "id", GapReason.RETENTION, 1, 9, NOW)


def reasons(engine: Engine, now: int = NOW, sources: Sources = SOURCES) -> dict[str, list[str]]:
    with reading(engine) as connection:
        found = status(connection, POLICY.rules, sources, now).processors
    return {one.processor: [why.reason.value for why in one.unverified] for one in found}


def accepting(
    engine: Engine, reason: Doubt, *, unread: bool = False, compared_at: int = NOW, now: int = NOW
) -> None:
    said = Acceptance(
        processor="acme",
        reason=reason,
        topic=None,
        compared_at=compared_at,
        by="office",
        because="b",
        unread=unread,
    )
    accept(engine, said, SOURCES, now)


@pytest.mark.parametrize(
    ("reason", "doubt"),
    [(None, Doubt.DATABASE_RESTORED), (GapReason.RETENTION, Doubt.GAP_RETENTION)],
)
def test_a_number_that_still_changes_is_not_accepted_before_its_topic_was_read_to_the_end(
    engine: Engine, reason: GapReason | None, doubt: Doubt
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.topics([TopicSeen(TOPIC, "id", 2)])
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    before = monitor.moment()
    monitor.ends([EndSeen(TOPIC, 0, 1, NOW + 1, before), EndSeen(TOPIC, 1, 0, NOW + 1, before)])
    if reason is None:
        monitor.placed(found=[AHEAD])
    else:
        monitor.placed(gaps=[GAP])
    with pytest.raises(NotAcceptable, match=f"not yet: {TOPIC}/0, {TOPIC}/1 has not been read"):
        accepting(engine, doubt)
    after = monitor.moment()
    monitor.ends([EndSeen(TOPIC, 0, 1, NOW - 1, after)])
    with pytest.raises(NotAcceptable, match=f"not yet: {TOPIC}/1 has not been read"):
        accepting(engine, doubt)
    refused = reasons(engine)
    monitor.ends([EndSeen(TOPIC, 1, 0, NOW - 1, after)])
    accepting(engine, doubt)

    assert refused == {"acme": [doubt.value]}
    assert reasons(engine) == {"acme": []}


def test_a_number_of_a_topic_that_is_gone_is_accepted_if_the_person_says_so(
    engine: Engine,
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[GAP])
    accepting(engine, Doubt.GAP_RETENTION, unread=True)
    (entry,) = [row for row in rows(engine, "audit") if row.kind == "number.accepted"]

    assert reasons(engine) == {"acme": []}
    assert json.loads(entry.body)["unread"] is True


def test_a_gap_between_comparing_and_accepting_is_not_accepted(engine: Engine) -> None:
    """The worker has read on from it to the end before the person has finished typing."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[GAP])
    monitor.placed(gaps=[GAP._replace(expected=9, resume=500, seen_at=NOW + HOUR)])
    monitor.ends([EndSeen(TOPIC, 0, 500, NOW + HOUR + SECOND, monitor.moment())])
    later = NOW + 2 * HOUR
    with pytest.raises(NotAcceptable, match=rf"happened again since .* \({TOPIC}\)"):
        accepting(engine, Doubt.GAP_RETENTION, compared_at=NOW + SECOND, now=later)
    refused = reasons(engine)
    accepting(engine, Doubt.GAP_RETENTION, compared_at=NOW + HOUR + SECOND, now=later)

    assert refused == {"acme": ["gap.retention"]}
    assert reasons(engine) == {"acme": []}


def test_a_number_cannot_be_accepted_as_compared_later_than_now(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[GAP])
    with pytest.raises(NotAcceptable, match="--compared-at lies in the future"):
        accepting(engine, Doubt.GAP_RETENTION, compared_at=NOW + 1)

    assert reasons(engine) == {"acme": ["gap.retention"]}


def test_a_mark_that_is_being_written_is_waited_for_and_not_accepted(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[GAP])
    refused: list[str] = []

    def person() -> None:
        try:
            accepting(engine, Doubt.GAP_RETENTION, unread=True, now=NOW + HOUR)
        except NotAcceptable as exc:
            refused.append(str(exc))

    accepts = Thread(target=person)
    with engine.begin() as connection:
        trust.mark_fed(connection, Doubt.GAP_RETENTION, TOPIC, NOW + SECOND)
        accepts.start()
        accepts.join(0.5)
        waits = accepts.is_alive()
    accepts.join(30)

    assert waits
    assert len(refused) == 1
    assert reasons(engine) == {"acme": ["gap.retention"]}


def test_a_mark_that_comes_while_a_person_accepts_waits_and_marks_again(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    monitor.placed(gaps=[GAP])
    again = GAP._replace(expected=9, resume=500, seen_at=NOW + SECOND)
    marks = Thread(target=lambda: monitor.placed(gaps=[again]))
    waits: list[bool] = []

    def before(*_: object) -> None:  # the transaction of the acceptance is still open
        if not waits:
            waits.append(False)
            marks.start()
            marks.join(0.5)
            waits[0] = marks.is_alive()

    event.listen(engine, "commit", before)
    accepting(engine, Doubt.GAP_RETENTION, unread=True)
    event.remove(engine, "commit", before)
    marks.join(30)

    assert waits == [True]
    assert reasons(engine) == {"acme": ["gap.retention"]}


def test_a_topic_that_is_gone_is_told_until_it_is_back(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.topics([TopicSeen(TOPIC, "id", 1)])
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    there = reasons(engine)
    monitor.topics([], gone=[TOPIC], now=NOW)
    monitor.topics([], gone=[TOPIC], now=NOW + SECOND)
    with reading(engine) as connection:
        (gone,) = status(connection, POLICY.rules, SOURCES, NOW).processors
    monitor.topics([TopicSeen(TOPIC, "id2", 1)], gone=["another"], now=NOW + 2 * SECOND)

    assert there == {"acme": []}
    assert [(why.reason.value, why.topic, why.since) for why in gone.unverified] == [
        ("topic_missing", TOPIC, NOW)
    ]
    assert reasons(engine) == {"acme": []}


def stop(monitor: SqlKeeper, stops: type[Exception], at: int) -> None:
    """Have a partition refused as too many rejects, or as a log that went back."""
    back = stops is LogWentBack
    bad = [Reject(Coordinates(TOPIC, 0, at + n), Reason.NOT_JSON) for n in range(1500)]
    one = batch([], move=(0, at, at + 1500), rejects=() if back else bad, records=1500)
    with pytest.raises(stops):
        monitor.keep([dataclasses.replace(one, went_back=back)])


@pytest.mark.parametrize("stops", [TooManyRejects, LogWentBack])
def test_a_partition_that_is_stopped_leaves_no_verified_number_until_it_is_read_on(
    engine: Engine, stops: type[Exception]
) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    stop(monitor, stops, 1)
    stop(monitor, stops, 1)
    with reading(engine) as connection:
        (held,) = status(connection, POLICY.rules, SOURCES, NOW).processors
    monitor.keep([batch([enrolled(ANN, 2)], move=(0, 1, 2))])
    (page,) = rows(engine, "notices")

    assert [(why.reason.value, why.topic, why.since) for why in held.unverified] == [
        ("partition_stopped", TOPIC, NOW)
    ]
    assert json.loads(page.body)["unverified"] == f"partition_stopped {TOPIC}"
    assert reasons(engine) == {"acme": []}


def test_a_gap_ends_that_a_partition_is_stopped(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    stop(monitor, TooManyRejects, 1)
    monitor.placed(gaps=[GAP._replace(reason=GapReason.RECREATED, topic_id="id2")])

    assert reasons(engine) == {"acme": ["gap.recreated"]}


def test_who_has_read_on_meanwhile_is_not_said_to_be_stopped(engine: Engine) -> None:
    """A worker that lost the partition notes late what it had met with."""
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([enrolled(ANN, 1)], move=(0, None, 1))])
    with engine.begin() as connection:
        positions.stop(connection, TOPIC, 0, 0, NOW)

    assert reasons(engine) == {"acme": []}


def test_a_configured_topic_that_no_worker_has_seen_is_told(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    sources = Sources(feeding=lambda _: (TOPIC, "not there"))
    monitor.keep([batch([enrolled(ANN, 1)], topic="file")])
    unknown = reasons(engine, sources=sources)
    monitor.topics([TopicSeen(TOPIC, "id", 1)])
    missing = reasons(engine, sources=sources)
    monitor.topics([TopicSeen("not there", "id", 1)])

    assert unknown == {"acme": []}
    assert missing == {"acme": ["topic_missing"]}
    assert reasons(engine, sources=sources) == {"acme": []}
