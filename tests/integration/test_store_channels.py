"""Channels that come, leave and come back, with people, routes and duties, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, event, select, update

from alerts.routing import Routing
from monitor.facts import Instant
from monitor.notices import NEWS_OF_PAGES, NOT_ROUTED, Kind, Notice, Severity
from monitor.store import muted, schema
from monitor.store.engine import open_engine, reading
from monitor.store.muted import Expiring, Wanted
from monitor.store.outbox import SqlOutbox
from tests.integration.feed import DAY, TWO, confirmed
from tests.integration.store_kit import MINUTE, NOW, SECOND
from tests.integration.test_store_pages import CHANNELS, HOUR, Office, Phone, page
from tests.integration.test_store_rerouting import keys, reminder, restarted, to

ALL = Routing(channels=CHANNELS)
BACK = NOW + 100 * DAY


@pytest.fixture
def office(engine: Engine) -> Office:
    """All three are told all; ``first`` does not work, and then it leaves."""
    office = Office(engine, ALL)
    office.phones["first"].broken = True
    return office


def left(office: Office, now: Instant) -> Phone:
    """Take ``first`` out of the settings; return it, working."""
    phone = office.phones["first"]
    restarted(office, Routing(channels=CHANNELS[1:]), now)
    phone.broken = False
    return phone


def back(office: Office, phone: Phone, now: Instant = BACK, routing: Routing = ALL) -> list[str]:
    """Bring *phone* back, and return what it is told then."""
    office.phones["first"] = phone
    restarted(office, routing, now)
    office.send(now)
    return [one.key for one in phone.got]


def skipped(office: Office) -> list[str]:
    return [body for body in office.entries("notice.skipped") if '"why":"over"' in body]


def test_what_a_channel_owed_is_told_when_it_is_back_unless_it_is_over(office: Office) -> None:
    office.put(page("open"), page("heard"))
    office.send(NOW)
    office.acknowledge(page("heard").key, NOW + SECOND)
    phone = left(office, NOW + MINUTE)
    told = back(office, phone)

    assert told == [page("open").key]
    assert len(skipped(office)) == 1
    assert f'"channel":"first","kind":"gap","notice":"{page("heard").key}"' in skipped(office)[0]
    assert office.outbox.waiting() == []
    assert office.wrong() == []


def test_a_channel_that_was_away_is_not_told_what_others_have_done_meanwhile(
    office: Office,
) -> None:
    phone = left(office, NOW)
    for day in range(0, 90, 10):
        office.put(
            page(f"open {day}", at=NOW + day * DAY), page(f"heard {day}", at=NOW + day * DAY)
        )
        office.send(NOW + day * DAY)
        office.acknowledge(page(f"heard {day}").key, NOW + day * DAY + 1)
    office.put(page("new", at=BACK - DAY))
    office.send(BACK - DAY)

    assert back(office, phone) == [page("new").key]


def test_of_a_duty_that_was_met_meanwhile_a_channel_that_comes_back_is_told_no_page(
    engine: Engine, office: Office
) -> None:
    """One that it owed, and one of whose page it has never heard."""
    confirmed(engine, TWO)
    office.put(reminder("before", NOW + MINUTE))
    office.send(NOW + MINUTE)
    phone = left(office, NOW + 2 * MINUTE)
    office.put(reminder("meanwhile", NOW + 3 * MINUTE))
    office.send(NOW + 3 * MINUTE)
    with engine.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW + 4 * MINUTE))
    told = back(office, phone, NOW + HOUR)

    assert told == []
    assert len(skipped(office)) == 3


def test_of_the_reminders_that_it_owed_or_missed_a_channel_is_told_the_newest(
    office: Office,
) -> None:
    office.put(reminder("1", NOW), reminder("2", NOW + 1))
    office.send(NOW + 2)
    phone = left(office, NOW + MINUTE)
    office.put(reminder("3", NOW + DAY), reminder("4", NOW + 2 * DAY))
    office.send(NOW + 2 * DAY)

    assert back(office, phone, NOW + 3 * DAY) == ["reminder:4"]
    assert office.wrong() == []


def test_steps_of_a_page_that_somebody_has_are_over_for_a_channel_that_comes_back(
    engine: Engine,
) -> None:
    office = Office(engine)
    office.phones["second"].broken = True
    office.put(page("a"), page("b"))
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)
    phone = office.phones["second"]
    without = Routing(channels=("first", "third"))
    restarted(office, without, NOW + 40 * MINUTE)
    office.acknowledge(page("a").key, NOW + 50 * MINUTE)
    phone.broken = False
    office.phones["second"] = phone
    restarted(office, Routing(channels=CHANNELS), NOW + HOUR)
    office.send(NOW + HOUR)
    steps = [one.body["page"] for one in phone.got if one.kind is Kind.ESCALATED]

    assert steps == [page("b").key]
    assert office.wrong() == []


def test_what_was_led_elsewhere_and_is_over_is_owed_to_nobody_when_that_channel_leaves(
    engine: Engine,
) -> None:
    office = Office(engine, to("first"))
    office.phones["first"].broken = True
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    with engine.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW + 2 * MINUTE))
    restarted(office, to("second", known=("second", "third")), NOW + HOUR)
    office.send(NOW + HOUR)
    restarted(office, to("second", known=("second", "third")), NOW + HOUR + 1)
    again = len(skipped(office))

    assert (keys(office, "second"), keys(office, "third")) == ([], [])
    assert again == 2
    assert office.entries("notice.owed_again") == []


def test_a_page_that_is_led_to_a_channel_that_leaves_and_returns_is_told(engine: Engine) -> None:
    """By whom the routes mean then, and by who owes it still."""
    office = Office(engine, to("first"))
    phone = office.phones["first"]
    phone.broken = True
    office.put(page("a"))
    office.send(NOW)
    restarted(office, to("second", known=("second", "third")), NOW + MINUTE)
    phone.broken = False
    told = back(office, phone, NOW + HOUR, to("first"))

    assert told == [page("a").key]
    assert office.wrong() == []


def test_what_a_channel_was_passed_over_for_it_is_owed_when_it_comes_back_alone(
    engine: Engine,
) -> None:
    """Away when the other left; a log has told it."""
    office = Office(engine, to("second", "third"))
    phone, office.phones["second"].broken = office.phones["first"], True
    office.put(page("a"))
    office.send(NOW)
    restarted(office, to("second", "third", known=("second", "third")), NOW + MINUTE)
    restarted(office, to("third", known=("third",)), NOW + 2 * MINUTE)
    told = back(office, phone, BACK, to("first", "third", known=("first", "third")))

    assert told == [page("a").key]
    assert office.wrong() == []


def test_a_channel_that_skips_what_is_over_is_owed_it_by_no_silence_that_ends(
    office: Office,
) -> None:
    wanted = Wanted(until=NOW + HOUR, by="ops", reason="works", kind=Kind.GAP)
    muted.add(office.engine, wanted, NOW)
    office.put(page("a"))
    phone = left(office, NOW + MINUTE)
    office.send(NOW + MINUTE)
    office.acknowledge(page("a").key, NOW + 2 * MINUTE)
    told = back(office, phone, NOW + 3 * MINUTE)
    Expiring(office.engine, lambda _: None).look(NOW + HOUR)
    office.send(NOW + HOUR)

    assert (told, keys(office, "first")) == ([], [])
    assert office.wrong() == []


def test_who_adds_a_pager_after_a_page_has_begun_is_told(
    engine: Engine,
) -> None:
    office = Office(engine, to("third", known=("third",)))
    office.put(page("old", at=NOW - NEWS_OF_PAGES), page("a"))
    office.send(NOW)
    office.phones["first"] = Phone("first")
    restarted(office, to("first", "third", known=("first", "third")), NOW + HOUR)
    office.send(NOW + HOUR)

    assert keys(office, "first") == [page("a").key]


def test_that_a_channel_left_is_kept_until_it_is_back(office: Office) -> None:
    def held() -> tuple[bool, Instant | None, Instant]:
        c = schema.channels.c
        query = select(c.active, c.away_since, c.known_since).where(c.channel == "first")
        with reading(office.engine) as connection:
            active, away, known = connection.execute(query).one()
        return active, away, known

    begun = held()
    phone = left(office, NOW)
    office.outbox.ensure(CHANNELS[1:], NOW + 1)
    away = held()
    back(office, phone)

    assert begun == (True, None, NOW - HOUR)
    assert away == (False, NOW, NOW - HOUR)
    assert held() == (True, None, BACK)


def test_ensuring_again_after_a_channel_came_back_writes_nothing(office: Office) -> None:
    office.put(page("open"), page("heard"))
    office.send(NOW)
    office.acknowledge(page("heard").key, NOW + SECOND)
    phone = left(office, NOW + MINUTE)
    back(office, phone)
    written: list[str] = []

    @event.listens_for(office.engine, "before_cursor_execute")
    def heard(_conn: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.lstrip().upper().startswith("SELECT"):
            written.append(statement)

    office.outbox.ensure(CHANNELS, BACK + SECOND)

    assert [one for one in written if "UPDATE" in one or "INSERT" in one] == []


def test_two_processes_that_owe_again_what_a_channel_left_wait_for_each_other_at_no_point(
    engine: Engine,
) -> None:
    office = Office(engine, to("first"))
    office.phones["first"].broken = True
    office.put(*(page(str(n)) for n in range(30)))
    office.send(NOW)
    others = [open_engine(engine.url.render_as_string(hide_password=False)) for _ in range(4)]

    def without(one: Engine) -> None:
        SqlOutbox(one).ensure(("second", "third"), NOW + MINUTE)

    with ThreadPoolExecutor(4) as processes:
        list(processes.map(without, others))
    for one in others:
        one.dispose()
    n, d = schema.notices.c, schema.deliveries.c
    query = select(n.id).join(schema.deliveries, d.notice_id == n.id)
    with reading(engine) as connection:
        over = connection.execute(query.where(d.skipped == NOT_ROUTED.why)).all()

    assert over == []
    assert len(office.entries("notice.owed_again")) == 60


def _news(name: str) -> Notice:
    return Notice(
        key=f"info:{name}", kind=Kind.GAP, severity=Severity.INFO, created_at=NOW, body={}
    )


@pytest.mark.parametrize("make", [_news, page])
def test_a_notice_that_nobody_was_told_is_told_by_a_channel_that_comes_back(
    office: Office, make: Callable[[str], Notice]
) -> None:
    phone = left(office, NOW - MINUTE)
    office.phones["second"].broken = office.phones["third"].broken = True
    office.put(make("a"))
    office.send(NOW)

    assert back(office, phone) == [make("a").key]
