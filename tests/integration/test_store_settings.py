"""Two processes with different settings: the older keeps, settles and confirms nothing more."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, update

from monitor.facts import StorageFact
from monitor.intake import EndSeen, TopicSeen
from monitor.marks import Marks, SystemMark
from monitor.rules import with_overrides
from monitor.store import schema
from monitor.store.agreement import SettingsDiffer, SettingsReplaced
from monitor.store.engine import is_sqlite, open_engine
from monitor.store.files import File, Run
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from tests.builders import ANN, BOB, CY, GATE_VIP, enrolled
from tests.integration.feed import MARCH_2, TWO, days
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    SECOND,
    TOPIC,
    batch,
    differences,
    keeper,
    no_topics,
    notices,
    now_status,
    one_topic,
    policy,
    postgres_engine,
    rows,
)

VIP = SystemMark(processor="acme", system="gate", gallery="vip", research=True, reason="r", by="b")
RESEARCH, OPERATION = policy(2, marks=Marks([VIP])), policy(2, marks=Marks())
OPENED = [("frt.file", date(2026, 3, 2))]
SECOND_TOPIC = "second"


def two_topics(_processor: str) -> Iterable[str]:
    return (TOPIC, SECOND_TOPIC)


def reading_topics(chosen: Policy, *topics: str) -> Policy:
    return replace(chosen, topics={topic: {"source": "cloudevents"} for topic in topics})


@pytest.fixture
def engines(postgres_url: str) -> Iterator[tuple[Engine, Engine]]:
    """Two workers' engines over one PostgreSQL."""
    with postgres_engine(postgres_url) as one:
        other = open_engine(postgres_url)
        yield one, other
        other.dispose()


Start = Callable[[Policy], SqlKeeper]


@pytest.fixture
def start(engine: Engine) -> Start:
    """Start a worker of the one topic on either database."""
    return lambda chosen: keeper(engine, chosen, one_topic)


def fed(worker: SqlKeeper, facts: Sequence[StorageFact], *topics: str) -> None:
    """Have *worker* read *facts* to the end of the one partition of the first of *topics*."""
    worker.topics([TopicSeen(topic, "id", 1) for topic in topics or (TOPIC,)])
    newest = max(fact.at for fact in facts)
    worker.keep([batch(facts, move=(0, None, len(facts)), instant=newest)])
    at_ends(worker, len(facts), NOW)


def at_ends(worker: SqlKeeper, end: int, now: int) -> None:
    worker.ends([EndSeen(TOPIC, 0, end, now, worker.moment())])


def goes_on(worker: SqlKeeper, end: int) -> None:
    """Look at ends and tick, as a worker does, until there is nothing left to do."""
    for n in range(2, 6):
        at_ends(worker, end, NOW + n * SECOND)
        worker.tick(NOW + n * SECOND)


def test_a_recount_that_new_marks_ask_for_is_not_settled_by_old_ones(
    engines: tuple[Engine, Engine],
) -> None:
    engine, other = engines
    facts = [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 1, place=GATE_VIP)]
    old = keeper(engine, RESEARCH, one_topic)
    fed(old, facts)
    old.tick(NOW + 1)
    new = keeper(other, OPERATION, one_topic)
    with pytest.raises(SettingsReplaced):
        old.tick(NOW + SECOND)
    goes_on(new, 2)

    assert days(other) == OPENED
    assert differences(other, facts, OPERATION) == []


def test_a_lowered_threshold_is_not_taken_back_by_a_worker_with_the_old_one(
    engines: tuple[Engine, Engine],
) -> None:
    engine, other = engines
    old = keeper(engine, policy(3), one_topic)
    fed(old, TWO)
    old.tick(NOW + 1)
    new = keeper(other, policy(2), one_topic)
    with pytest.raises(SettingsReplaced):
        old.tick(NOW + SECOND)
    goes_on(new, 2)

    assert days(other) == OPENED
    assert not any(one.recount_pending for one in now_status(other, policy(2).rules).processors)


def test_a_worker_that_does_not_know_a_new_topic_confirms_nothing(
    engines: tuple[Engine, Engine],
) -> None:
    engine, other = engines
    old = keeper(engine, reading_topics(OPERATION, TOPIC), one_topic)
    new = keeper(other, reading_topics(OPERATION, TOPIC, SECOND_TOPIC), two_topics)
    fed(new, TWO, TOPIC, SECOND_TOPIC)
    new.tick(NOW + 1)
    with pytest.raises(SettingsReplaced, match="topic second differ"):
        old.tick(NOW + 2)

    assert days(engine) == []


def test_a_place_that_is_seen_first_gets_the_marks_that_hold(
    engines: tuple[Engine, Engine],
) -> None:
    engine, other = engines
    old = keeper(engine, OPERATION, one_topic)
    fed(old, [enrolled(ANN, MARCH_2)])
    new = keeper(other, RESEARCH, one_topic)
    vip = [enrolled(BOB, MARCH_2 + 1, place=GATE_VIP)]
    with pytest.raises(SettingsReplaced):
        old.keep([batch(vip, move=(0, 1, 2), instant=MARCH_2 + 1)])
    new.keep([batch(vip, move=(0, 1, 2), instant=MARCH_2 + 1)])
    goes_on(new, 2)

    assert days(other) == []
    assert differences(other, [enrolled(ANN, MARCH_2), *vip], RESEARCH) == []


def test_no_look_back_that_had_begun_before_ends_under_other_settings(
    engine: Engine, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = start(policy(3))
    fed(old, [*TWO, enrolled(CY, MARCH_2 - 1)])
    with engine.begin() as connection:
        connection.execute(update(schema.watches).values(recount_due=True))
    looking = old._looking  # noqa: SLF001 - the new worker is to start just in its middle
    seen = looking._seen  # noqa: SLF001 - as above
    monkeypatch.setattr(looking, "_seen", lambda now: (start(policy(2)), seen(now))[1])
    with pytest.raises(SettingsReplaced):
        old.tick(NOW + 1)

    assert [row.at_least for row in rows(engine, "reaches")] == [2]
    assert [row.recount_due for row in rows(engine, "watches")] == [True]


def test_a_reach_at_another_number_than_ours_is_looked_back_on(
    engine: Engine, start: Start
) -> None:
    worker = start(policy(2))
    fed(worker, TWO)
    with engine.begin() as connection:  # as a program of before did that had other rules
        nothing = {"trigger_at": None, "first_seen_at": None, "first_seen_no": None}
        connection.execute(update(schema.reaches).values(at_least=3, individuals=None, **nothing))
    goes_on(worker, 2)

    assert days(engine) == OPENED


def test_another_number_that_was_never_near_is_taken_back_without_a_look_back(
    engine: Engine, start: Start
) -> None:
    worker = start(policy(50))
    fed(worker, TWO)
    with engine.begin() as connection:
        connection.execute(update(schema.reaches).values(at_least=60))
    worker.tick(NOW + 1)
    worker.tick(NOW + 2)

    assert [row.at_least for row in rows(engine, "reaches")] == [50]
    assert rows(engine, "recounts") == []


def test_a_reach_for_which_a_rule_asks_only_now_opens_its_duty_once(
    engine: Engine, start: Start
) -> None:
    chosen = policy(2)
    rules = tuple(rule for rule in chosen.rules if rule.legacy_of is None)
    too_late = tuple(
        replace(rule, since=date(2026, 6, 1)) if rule.id == "frt.file" else rule for rule in rules
    )
    before = start(replace(chosen, rules=too_late))
    fed(before, TWO)
    before.tick(NOW + SECOND)
    opened = days(engine)
    mended = start(replace(chosen, rules=rules))
    goes_on(mended, len(TWO))
    goes_on(start(replace(chosen, rules=rules)), len(TWO))

    assert opened == []
    assert days(engine) == OPENED
    assert len(notices(engine, "duty_opened")) == 1
    assert differences(engine, TWO, replace(chosen, rules=rules)) == []


def test_who_has_old_settings_pages_no_recount_that_only_they_ask_for(
    engine: Engine, start: Start
) -> None:
    old = start(policy(3))
    fed(old, TWO)
    start(policy(5))
    for minutes in (1, 16, 32):
        with pytest.raises(SettingsReplaced):
            old.tick(NOW + minutes * MINUTE)

    assert notices(engine, "recount_overdue") == []
    assert rows(engine, "recounts") == []


def test_settings_that_come_back_hold_again_for_who_still_has_them(start: Start) -> None:
    old = start(policy(3))
    start(policy(2))
    with pytest.raises(SettingsReplaced):
        old.tick(NOW + 1)
    start(policy(3))

    old.tick(NOW + 2)


def test_a_change_of_settings_is_one_entry_with_what_was_and_what_is(
    engine: Engine, start: Start
) -> None:
    for chosen in (policy(3), policy(3), policy(2), policy(2)):
        start(chosen)
    (entry,) = [row for row in rows(engine, "audit") if row.kind == "settings.changed"]
    changed, legacy = json.loads(entry.body)["changed"]

    assert (changed["what"], changed["name"]) == ("rule", "frt.file")
    assert legacy["name"] == "frt.file.legacy"
    assert (changed["before"]["at_least"], changed["after"]["at_least"]) == (3, 2)


def test_a_command_with_other_settings_than_the_workers_is_refused_where_there_can_be_any(
    engine: Engine, start: Start
) -> None:
    start(policy(3))
    faces = {"faces": {"source": "cloudevents"}}
    if is_sqlite(engine):  # whoever has the lock of the database is alone
        SqlKeeper(engine, replace(policy(3), topics=faces), no_topics, NOW, take_settings=False)
        assert [row.kind for row in rows(engine, "audit")] == ["settings.changed"]
        return
    other = replace(policy(2), topics=faces)
    with pytest.raises(SettingsDiffer, match=r"rule frt\.file, .*topic faces differ.*--take-set"):
        SqlKeeper(engine, other, no_topics, NOW, take_settings=False)
    SqlKeeper(engine, policy(3), no_topics, NOW, take_settings=False)

    assert rows(engine, "audit") == []


def test_a_command_with_other_rules_is_refused_on_every_database_unless_it_takes_them(
    engine: Engine, start: Start
) -> None:
    """Another clock moves statutory days: not by a file that was edited for something else."""
    start(policy(2))
    rules = with_overrides(policy(2).rules, [{"id": "frt.file", "period": 3}])
    other = replace(policy(2), rules=rules)
    with pytest.raises(SettingsDiffer, match=r"rule frt\.file differ.*--take-settings"):
        SqlKeeper(engine, other, no_topics, NOW, take_settings=False)
    before = rows(engine, "audit")
    SqlKeeper(engine, other, no_topics, NOW, take_settings=True)

    assert before == []
    assert [row.kind for row in rows(engine, "audit")] == ["settings.changed"]


def test_who_is_the_first_or_takes_the_settings_registers_them(engine: Engine) -> None:
    first = SqlKeeper(engine, policy(3), no_topics, NOW, take_settings=False)
    SqlKeeper(engine, policy(2), no_topics, NOW, take_settings=True)

    with pytest.raises(SettingsReplaced, match=r"last: rule frt\.file, .* differ"):
        first.keep([batch(TWO)])


def test_a_file_is_not_applied_on_with_settings_that_hold_no_more(engine: Engine) -> None:
    applying = keeper(engine, policy(3))
    applying.begin_files(Run("a", "s", (File("1a", "one.ndjson"),)))
    applying.keep([batch(TWO[:1], topic="file")])
    new = keeper(engine, policy(2))
    with pytest.raises(SettingsReplaced):
        applying.keep([batch(TWO[1:], topic="file")])
    new.keep([batch(TWO[1:], topic="file")])
    new.tick(NOW + 1)

    assert days(engine) == []  # it is unfinished


def test_a_worker_that_is_left_over_says_so_and_pages_once_after_a_quarter_of_an_hour(
    engine: Engine, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    old = start(policy(3))
    start(policy(2))
    paged = []
    with caplog.at_level(logging.ERROR, "monitor.store.overtaken"):
        for at in (0, SECOND, 14 * MINUTE, 15 * MINUTE, 16 * MINUTE):
            with pytest.raises(SettingsReplaced):
                old.tick(NOW + at)
            paged.append(len(notices(engine, "settings_replaced")))

    assert paged == [0, 0, 0, 1, 1]
    assert len(caplog.records) == 4  # not again within the minute
    assert "rule frt.file, rule frt.file.legacy differ" in caplog.text
    (page,) = notices(engine, "settings_replaced")
    assert (page.severity, "rule frt.file" in page.body) == ("page", True)
