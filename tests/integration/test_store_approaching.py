"""Early warnings over the database: each share of a threshold is told once when it is certain."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event

from monitor.approach import Levels
from monitor.facts import Fact, Instant
from monitor.forecast import Outlook
from monitor.store import filling
from monitor.store.apart import SweepFailed
from monitor.store.approaching import outlooks, warned
from monitor.store.engine import reading
from monitor.store.files import File, Run
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.store.names import Names
from monitor.workdays import beijing_day
from tests.builders import ACME, enrolled, hashed, removed
from tests.integration.feed import DAY, Feed, on
from tests.integration.store_kit import NOW, SECOND, batch, keeper, no_topics, notices, policy, rows

MARCH_2 = on("2026-03-02")
POLICY = policy(20)  # warns at 16, 18 and 19; armed again below 15, 17 and 18
KIND = "threshold_approached"


def people(first: int, count: int, at: int = MARCH_2) -> list[Fact]:
    return [enrolled(hashed(f"p{n}"), at + n) for n in range(first, first + count)]


def leaving(first: int, count: int, at: int) -> list[Fact]:
    return [removed(hashed(f"p{n}"), at + n) for n in range(first, first + count)]


def told(engine: Engine) -> list[tuple[int, int]]:
    """Return share and number of every early warning."""
    bodies: list[dict[str, Any]] = [json.loads(row.body) for row in notices(engine, KIND)]
    return [(body["percent"], body["individuals"]) for body in bodies]


def read(engine: Engine, *parts: Sequence[Fact], chosen: Policy = POLICY) -> None:
    """Keep *parts* one after the other, with a look in between; no topic can take them back."""
    for facts in parts:
        one = keeper(engine, chosen, no_topics)
        one.keep([batch(facts)])
        one.tick(NOW)


def test_a_share_is_told_when_the_number_is_there(engine: Engine) -> None:
    read(engine, people(0, 15))
    before = told(engine)
    read(engine, people(15, 1))
    (notice,) = notices(engine, KIND)

    assert before == []
    assert told(engine) == [(80, 16)]
    assert (notice.severity, notice.processor, notice.rule) == ("warning", ACME, "frt.file")
    (entry,) = rows(engine, "audit")
    assert json.loads(entry.body)["rule"] == "frt.file"
    assert json.loads(notice.body)["verified"] is True


def test_a_share_is_told_once_however_often_it_is_looked_at(engine: Engine) -> None:
    read(
        engine,
        people(0, 16),
        [],
        people(0, 16),
        leaving(15, 1, MARCH_2 + 100),
        people(16, 1, MARCH_2 + 200),
    )

    assert told(engine) == [(80, 16)]


def test_shares_passed_together_are_one_warning_of_the_highest(engine: Engine) -> None:
    read(engine, people(0, 18))
    (notice,) = notices(engine, KIND)

    assert told(engine) == [(90, 18)]
    assert json.loads(notice.body)["passed"] == "80/90"


def test_below_the_lower_bound_a_share_is_armed_again_and_told_again(engine: Engine) -> None:
    away, again = MARCH_2 + 100, MARCH_2 + 200
    read(engine, people(0, 16), leaving(1, 1, away), people(1, 1, again))
    once = told(engine)
    read(engine, leaving(1, 2, again + 100), people(1, 2, again + 200))

    assert once == [(80, 16)]  # 15 is not below 75 %: not armed
    assert told(engine) == [(80, 16), (80, 16)]
    assert len({row.key for row in notices(engine, KIND)}) == 2


def test_a_number_that_reaches_the_threshold_is_left_to_the_duty(engine: Engine) -> None:
    read(engine, people(0, 22))
    read(engine, leaving(0, 3, MARCH_2 + 100))

    assert told(engine) == []


def test_a_warning_is_in_the_audit_log(engine: Engine) -> None:
    read(engine, people(0, 16))

    assert [row.kind for row in rows(engine, "audit")] == ["threshold.approached"]


def test_levels_of_another_threshold_begin_anew(engine: Engine) -> None:
    read(engine, people(0, 16))
    read(engine, people(16, 9), chosen=policy(30))

    assert told(engine) == [(80, 16), (80, 25)]


def test_without_levels_nothing_is_looked_for(engine: Engine) -> None:
    read(engine, people(0, 18), chosen=replace(POLICY, levels=Levels(percent=())))

    assert told(engine) == []
    assert rows(engine, "approaches") == []


# What a partition that lags can still take back


def fed(engine: Engine) -> Feed:
    """Sixteen people of partition 0 are read; partition 1, which may remove them, is not."""
    feed = Feed(engine, chosen=POLICY)
    feed.read(0, people(0, 16))
    feed.tick(NOW)
    feed.at_end(0, NOW + SECOND)
    return feed


def test_a_number_is_not_told_while_a_partition_lags(engine: Engine) -> None:
    feed = fed(engine)
    feed.tick(NOW + 60 * SECOND)

    assert told(engine) == []
    (row,) = rows(engine, "approaches")
    assert (row.percent, row.seen_at, row.told_at) == (80, NOW, None)


def test_a_number_is_told_when_every_partition_was_at_its_end_since(engine: Engine) -> None:
    feed = fed(engine)
    feed.at_end(1, NOW + SECOND)
    feed.tick(NOW + 2 * SECOND)

    assert told(engine) == [(80, 16)]


@pytest.mark.parametrize("looked_at", [NOW - SECOND, NOW, NOW + SECOND])
def test_an_end_that_was_looked_up_before_the_number_was_seen_tells_nothing_by_any_clock(
    engine: Engine, looked_at: Instant
) -> None:
    feed = Feed(engine, chosen=POLICY, partitions=1)
    before = feed.keeper.moment()
    feed.read(0, people(0, 16))
    feed.tick(NOW)
    feed.at_end(0, looked_at, moment=before)
    feed.tick(NOW + 2 * SECOND)

    assert told(engine) == []
    feed.at_end(0, looked_at)
    feed.tick(NOW + 3 * SECOND)

    assert told(engine) == [(80, 16)]


def test_shares_of_two_rules_are_seen_at_one_moment_before_anything_is_told(engine: Engine) -> None:
    """The audit log is locked after the moment, never before."""
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, *_: statements.append(sql))
    read(engine, people(0, 32), chosen=policy(40, 39))
    took = [n for n, sql in enumerate(statements) if sql.startswith("INSERT INTO moments")]
    wrote = [n for n, sql in enumerate(statements) if sql.startswith("INSERT INTO audit ")]

    assert told(engine) == [(80, 32), (80, 32)]
    assert took[-1] < wrote[0]
    assert {row.seen_no for row in rows(engine, "approaches")} == {len(took)}


def test_a_number_is_told_when_the_other_partition_has_passed_its_newest_fact(
    engine: Engine,
) -> None:
    feed = fed(engine)
    feed.read(1, people(20, 1, MARCH_2 + 50))
    feed.tick(NOW + SECOND)

    assert told(engine) == [(80, 17)]


def test_a_number_that_the_other_partition_takes_back_was_never_there(engine: Engine) -> None:
    feed = fed(engine)
    feed.read(1, [removed(hashed("p0"), MARCH_2 + 5)])
    feed.tick(NOW + SECOND)
    feed.at_end(1, NOW + 2 * SECOND)
    feed.tick(NOW + 3 * SECOND)

    assert told(engine) == []
    assert rows(engine, "approaches") == []


def test_while_a_file_is_applied_nothing_is_told_and_then_it_is(engine: Engine) -> None:
    one = keeper(engine, POLICY, no_topics)
    one.begin_files(Run("r", "s", (File("f", "f.ndjson"),)))
    one.keep([batch(people(0, 16))])
    keeper(engine, POLICY, no_topics).tick(NOW)
    during = told(engine)
    one.finish(NOW)

    assert during == []
    assert told(engine) == [(80, 16)]


# The days that are past, and the forecast by itself


def growing(days: int, a_day: int, until: Instant = NOW) -> list[Fact]:
    """Return the facts of *days* days, up to the one before *until*."""
    return [
        enrolled(hashed(f"g{day}.{n}"), until - (days - day) * DAY + n)
        for day in range(days)
        for n in range(a_day)
    ]


def test_a_history_that_is_read_at_once_is_filled_in_and_told_with_the_warning(
    engine: Engine,
) -> None:
    """As by a replay: nobody noted a day as it went, and no look back is due."""
    read(engine, growing(42, 4), chosen=policy(200))
    (notice,) = notices(engine, KIND)
    body = json.loads(notice.body)

    assert (body["percent"], body["individuals"]) == (80, 168)
    assert body["forecast"] == (beijing_day(NOW) + timedelta(days=8)).isoformat()
    assert notices(engine, "forecast_near") == []  # said with it


def test_a_warning_waits_for_what_was_read_since_the_days_were_filled_in(engine: Engine) -> None:
    """As when a replay is filled in while it is read: the first days alone are no history."""
    one, facts = keeper(engine, policy(200), no_topics), growing(42, 4)
    one.keep([batch(facts[:40])])
    one.tick(NOW)
    one.keep([batch(facts[40:])])
    one.tick(NOW + 2 * SECOND)
    before = rows(engine, "notices")
    one.tick(NOW + 62 * SECOND)
    (notice,) = rows(engine, "notices")
    body = json.loads(notice.body)

    assert before == []
    assert (notice.kind, body["percent"]) == (KIND, 80)
    assert body["forecast"] == (beijing_day(NOW) + timedelta(days=8)).isoformat()


def test_a_threshold_that_is_far_in_number_and_near_in_time_is_told_by_its_forecast(
    engine: Engine,
) -> None:
    chosen = policy(200)
    read(engine, growing(42, 2), [], chosen=chosen)
    (notice,) = notices(engine, "forecast_near")
    body = json.loads(notice.body)

    assert told(engine) == []  # 84 of 200 are below 80 %
    assert (notice.severity, notice.processor, notice.rule) == ("warning", ACME, "frt.file")
    assert (body["individuals"], body["rule"]) == (84, "frt.file")
    assert "forecast_between" in body
    assert [row.kind for row in rows(engine, "audit")] == ["forecast.near"]


def test_a_threshold_that_is_far_in_time_is_not_told(engine: Engine) -> None:
    read(engine, growing(42, 2), [], chosen=policy(2_000))

    assert notices(engine, "forecast_near") == []


def test_a_forecast_that_a_partition_can_still_take_back_is_not_told(engine: Engine) -> None:
    feed = Feed(engine, chosen=policy(200))
    feed.read(0, growing(42, 2))
    feed.tick(NOW)
    feed.at_end(0, NOW + SECOND)
    feed.tick(NOW + 2 * SECOND)
    before = notices(engine, "forecast_near")
    feed.at_end(1, NOW + 3 * SECOND)
    feed.tick(NOW + 4 * SECOND)

    assert before == []
    assert len(notices(engine, "forecast_near")) == 1


def test_facts_that_are_older_than_yesterday_are_filled_in_anew(engine: Engine) -> None:
    read(engine, people(0, 3, NOW - 10 * DAY))
    once = days_of(engine)
    read(engine, people(3, 1, NOW - DAY))
    soon = days_of(engine)
    read(engine, people(4, 2, NOW - 20 * DAY))

    assert list(once.values()) == [3, 3]  # ten days ago, from the book; today, as it is known
    assert soon == once | {beijing_day(NOW).toordinal(): 4}
    assert list(days_of(engine).values()) == [2, 5, 6, 6]


def days_of(engine: Engine) -> dict[int, int]:
    return {row.day: row.individuals for row in rows(engine, "days")}


def test_a_warning_waits_for_the_days_that_are_past_for_some_minutes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the sweep fails, nobody is left without the warning."""
    monkeypatch.setattr(filling, "fill", failing)
    one = keeper(engine, POLICY, no_topics)
    one.keep([batch(people(0, 16))])
    one.tick(NOW)
    before = told(engine)
    one.tick(NOW + 15 * 60 * SECOND)

    assert before == []
    assert told(engine) == [(80, 16)]
    assert "the days that are past were not filled in: broken off" in caplog.text


def failing(*_: object, **__: object) -> None:
    raise SweepFailed("broken off")


@pytest.mark.parametrize("background", [True, False])
def test_a_large_book_is_filled_in_apart_and_comes_to_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, *, background: bool
) -> None:
    keeper(engine, POLICY, no_topics).keep([batch(growing(20, 2))])
    monkeypatch.setattr(filling, "APART_FROM", 10)
    monkeypatch.setattr(filling, "_FILLED_AT_ONCE", 10)
    if background:
        filling.fill(engine, POLICY, NOW, apart=True)
    else:
        filling.finish(engine, POLICY, NOW)

    assert [row.individuals for row in rows(engine, "days")] == list(range(2, 41, 2))
    with reading(engine) as connection:
        assert filling.filled_up_to(connection) == 40


def test_a_worker_fills_in_the_background_and_tells_when_that_is_done(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "APART_FROM", 10)
    worker = SqlKeeper(engine, policy(200), no_topics, NOW, background=True)
    worker.keep([batch(growing(42, 4))])
    seconds = 0
    while not told(engine) and seconds < 600:
        worker.tick(NOW + seconds * SECOND)
        seconds += 1
        time.sleep(0.05)
    (notice,) = notices(engine, KIND)

    assert "forecast_between" in json.loads(notice.body)
    assert list(days_of(engine).values())[:42] == list(range(4, 169, 4))


def test_when_files_were_read_that_bring_nothing_old_a_large_book_is_not_swept_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "_FILLED_AT_ONCE", 3)
    ours = keeper(engine, POLICY, no_topics)
    ours.keep([batch(people(0, 8, NOW - 10 * DAY))])
    ours.finish(NOW)
    first = days_of(engine)
    monkeypatch.setattr(filling, "fill", failing)
    ours.keep([batch(people(8, 2, NOW - DAY))])
    ours.finish(NOW)

    assert first == {beijing_day(NOW - 10 * DAY).toordinal(): 8}
    assert days_of(engine) == first | {beijing_day(NOW).toordinal(): 10}


# What is shown


def test_the_level_in_force_is_shown_until_it_is_armed_again(engine: Engine) -> None:
    read(engine, people(0, 18))
    with reading(engine) as connection:
        names = Names.load(connection)
        now = warned(connection, names)
    read(engine, leaving(0, 4, MARCH_2 + 100))
    with reading(engine) as connection:
        later = warned(connection, names)

    assert now == {(ACME, "frt.file"): 90}
    assert later == {(ACME, "frt.file"): 0}


def test_the_number_of_each_day_is_noted_and_forecast_from(engine: Engine) -> None:
    chosen = policy(100)
    one = keeper(engine, chosen, no_topics)
    for day in range(20):
        one.keep([batch(people(2 * day, 2, NOW + day * DAY))])
        one.tick(NOW + day * DAY)
    today = NOW + 19 * DAY
    with reading(engine) as connection:
        names = Names.load(connection)
        percent, found = outlooks(connection, names, chosen.rules, today)[ACME, "frt.file"]

    noted = rows(engine, "days")
    assert [row.individuals for row in noted] == list(range(2, 41, 2))
    assert percent == 0
    assert (found.outlook, found.per_day, found.individuals) == (Outlook.EXPECTED, 2.0, 40)
    assert found.day == beijing_day(today) + timedelta(days=30)


def test_a_look_back_writes_every_day_from_the_book(engine: Engine) -> None:
    one = keeper(engine, policy(2), no_topics)
    one.keep([batch(people(0, 3, MARCH_2))])
    one.keep([batch([enrolled(hashed("late"), MARCH_2 - 3 * DAY)])])
    one.keep([batch([enrolled(hashed("later"), MARCH_2 - 2 * DAY)])])
    one.tick(NOW)

    noted = [(row.day, row.individuals, row.from_book) for row in rows(engine, "days")]
    first = beijing_day(MARCH_2).toordinal()
    today = beijing_day(NOW).toordinal()
    assert noted == [
        (first - 3, 1, True),
        (first - 2, 2, True),
        (first, 5, True),
        (today, 5, False),
    ]
