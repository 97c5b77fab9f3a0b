"""When a person may accept a number: not before all has been read that there is."""

from __future__ import annotations

import dataclasses
import json

import pytest
from sqlalchemy import Engine

from monitor.intake import Ahead, EndSeen, Gap, GapReason, TopicSeen
from monitor.store.accepting import Acceptance, accept
from monitor.store.engine import reading
from monitor.store.reading import status
from monitor.trust import Doubt, NotAcceptable, Sources
from tests.builders import ANN, enrolled
from tests.integration.store_kit import (
    NOW,
    TOPIC,
    batch,
    keeper,
    one_topic,
    policy,
    rows,
)

SOURCES = Sources(feeding=one_topic)
POLICY = dataclasses.replace(policy(2), sources=SOURCES)
AHEAD = Ahead(TOPIC, 0, 1, 5, NOW)
GAP = Gap(TOPIC, 0, "id", GapReason.RETENTION, 1, 9, NOW)


def reasons(engine: Engine, now: int = NOW, sources: Sources = SOURCES) -> dict[str, list[str]]:
    with reading(engine) as connection:
        found = status(connection, POLICY.rules, sources, now).processors
    return {one.processor: [why.reason.value for why in one.unverified] for one in found}


def accepting(engine: Engine, reason: Doubt, *, unread: bool = False) -> None:
    said = Acceptance(
        processor="acme", reason=reason, topic=None, by="office", because="b", unread=unread
    )
    accept(engine, said, SOURCES, NOW)


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
    monitor.ends([EndSeen(TOPIC, 0, 1, NOW - 1), EndSeen(TOPIC, 1, 0, NOW - 1)])
    if reason is None:
        monitor.placed(found=[AHEAD])
    else:
        monitor.placed(gaps=[GAP])
    with pytest.raises(NotAcceptable, match=f"not yet: {TOPIC}/0, {TOPIC}/1 has not been read"):
        accepting(engine, doubt)
    monitor.ends([EndSeen(TOPIC, 0, 1, NOW + 1)])
    with pytest.raises(NotAcceptable, match=f"not yet: {TOPIC}/1 has not been read"):
        accepting(engine, doubt)
    refused = reasons(engine)
    monitor.ends([EndSeen(TOPIC, 1, 0, NOW + 1)])
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
