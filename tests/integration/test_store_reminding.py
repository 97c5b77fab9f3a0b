"""Reminders on both databases: each rung of a last day is written once, by whoever looks."""

from __future__ import annotations

from datetime import date

import pytest
from sqlalchemy import Engine, update

from alerts.routing import Routing
from monitor.facts import Instant
from monitor.notices import Kind, body_from
from monitor.reminders import Ladder
from monitor.store import muted, schema
from monitor.store.muted import Wanted
from monitor.store.reminding import Reminding
from monitor.workdays import Calendar, load_calendar
from tests.integration.feed import DAY, TWO, confirmed, on
from tests.integration.store_kit import MINUTE, NOW, SECOND, not_owed, notices, rules_at
from tests.integration.test_store_pages import CHANNELS, HOUR, Office

CALENDAR = load_calendar()
# Reached on 2 March 2026, known on 1 April; 30 working days end on 14 April.
DUE = date(2026, 4, 14)


def calendar() -> Calendar:
    return CALENDAR


@pytest.fixture
def owing(engine: Engine) -> Engine:
    confirmed(engine, TWO)
    return engine


def look(engine: Engine, now: Instant) -> None:
    Reminding(engine, Ladder(), calendar).look(now)


def rungs(engine: Engine) -> list[tuple[str, str]]:
    """Return severity and rung of each reminder."""
    found = notices(engine, Kind.REMINDER)
    return [(row.severity, str(body_from(row.body)["rung"])) for row in found]


def test_a_duty_is_told_on_its_rungs_and_each_day_after_its_last(owing: Engine) -> None:
    day = NOW
    while day < on("2026-04-17"):
        look(owing, day)
        day += 6 * HOUR

    assert rungs(owing) == [
        ("warning", "5"),
        ("warning", "3"),
        ("page", "1"),
        ("page", "last day"),
        ("page", "overdue 2026-04-15"),
        ("page", "overdue 2026-04-16"),
        ("page", "overdue 2026-04-17"),
    ]
    assert not_owed(owing, rules_at(2)) == []


def test_of_what_was_passed_while_nobody_looked_the_newest_is_told(owing: Engine) -> None:
    look(owing, on("2026-04-13"))

    assert rungs(owing) == [("page", "1")]


def test_nobody_is_reminded_before_the_time_of_the_day(owing: Engine) -> None:
    nine = on("2026-04-15") - 11 * HOUR  # in Beijing
    look(owing, nine - 1)
    before = rungs(owing)
    look(owing, nine)

    assert before == []
    assert rungs(owing) == [("page", "overdue 2026-04-15")]


def test_a_moved_last_day_has_its_own_rungs(owing: Engine) -> None:
    look(owing, on("2026-04-07"))
    before = rungs(owing)
    moved = {
        "due_day": date(2026, 4, 10),
        "earliest": date(2026, 4, 10),
        "latest": date(2026, 4, 10),
    }
    with owing.begin() as connection:
        connection.execute(update(schema.duties).values(moved))
    look(owing, on("2026-04-07") + MINUTE)

    assert before == [("warning", "5")]
    assert rungs(owing) == [("warning", "5"), ("warning", "3")]


def test_a_duty_that_is_owed_no_more_is_told_no_more(owing: Engine) -> None:
    with owing.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW))
    look(owing, on("2026-04-20"))

    assert rungs(owing) == []


def test_it_is_looked_twice_a_minute_whatever_the_clock_does(owing: Engine) -> None:
    reminding = Reminding(owing, Ladder(), calendar)
    reminding.look(on("2026-04-08") - 1)
    with owing.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW))
    reminding.look(on("2026-04-14"))
    with owing.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=None))
    reminding.look(on("2026-04-14") + 29 * SECOND)
    before = rungs(owing)
    reminding.look(on("2026-04-10"))  # set back

    assert before == [("warning", "5")]
    assert rungs(owing) == [("warning", "5"), ("warning", "3")]


def test_a_muted_reminder_is_told_later_as_the_newest_of_its_duty(owing: Engine) -> None:
    office = Office(owing, Routing(channels=CHANNELS))
    office.send(NOW + MINUTE)
    wanted = Wanted(until=NOW + 20 * DAY, by="ops", reason="works", kind=Kind.REMINDER)
    number = muted.add(owing, wanted, NOW).number
    for now in (on("2026-04-07"), on("2026-04-09"), on("2026-04-13")):
        look(owing, now)
        office.send(now)
    before = [one.kind for one in office.phones["first"].got]
    muted.end(owing, number, "ops", on("2026-04-13") + HOUR)
    office.send(on("2026-04-13") + 2 * HOUR)

    assert before == [Kind.DUTY_OPENED]
    assert [one.body.get("rung") for one in office.phones["first"].got] == [None, "1"]
