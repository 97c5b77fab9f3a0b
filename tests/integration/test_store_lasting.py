"""Which pages are shown as going on, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, event, update

from alerts.lasting import Lasting
from monitor.notices import Kind, Severity, Told
from monitor.store import schema
from monitor.store.muted import Standings
from monitor.store.pages import Pages
from tests.integration.feed import TWO, confirmed
from tests.integration.store_kit import MINUTE, NOW
from tests.integration.test_store_muted import silence
from tests.integration.test_store_pages import HOUR, Office, page
from tests.outbox_contract import notice


@pytest.fixture
def office(engine: Engine) -> Office:
    return Office(engine)


def lasting(office: Office, channel: str, now: int) -> list[Told]:
    return list(Lasting(Pages(office.engine), Standings(office.engine)).open_on(channel, now))


def test_a_page_goes_on_where_it_was_delivered_until_somebody_acknowledges_it(
    office: Office,
) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    for later in (NOW, NOW + 20 * 24 * HOUR):
        assert lasting(office, "first", later) == [Told(page("a"), NOW, lasting=True)]
        assert lasting(office, "second", later) == []
    office.acknowledge(page("a").key, NOW + MINUTE)

    assert lasting(office, "first", NOW + MINUTE) == []


def test_what_wakes_nobody_and_what_is_not_delivered_does_not_go_on(office: Office) -> None:
    office.phones["second"].broken = True
    office.put(notice("w", severity=Severity.WARNING, kind=Kind.GAP))
    office.put(notice("b", kind=Kind.GAP, channel="second"))
    office.pass_to(NOW)

    assert lasting(office, "first", NOW) == lasting(office, "second", NOW) == []


def test_a_silence_keeps_it_back_while_it_is_in_force(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    silence(office, kind=Kind.GAP)

    assert lasting(office, "first", NOW + MINUTE) == []
    assert [one.notice.key for one in lasting(office, "first", NOW + HOUR)] == [page("a").key]


def test_many_open_pages_take_as_many_questions_as_few(office: Office) -> None:
    """They are asked in the thread of the sender, each minute."""
    asked: list[str] = []
    event.listen(office.engine, "before_cursor_execute", lambda *said: asked.append(said[2]))
    counts = []
    for names in (("a",), ("b", "c", "d")):
        office.put(*map(page, names))
        office.pass_to(NOW)
        asked.clear()
        shown = lasting(office, "first", NOW)
        counts.append((len(shown), len(asked)))

    assert [pages for pages, _ in counts] == [1, 4]
    assert counts[0][1] == counts[1][1]


def test_a_page_about_a_clock_goes_on_until_its_duty_is_owed_no_more(engine: Engine) -> None:
    office = Office(engine)
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    shown = lasting(office, "first", NOW + MINUTE)
    with engine.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW + 2 * MINUTE))

    assert [one.notice.kind for one in shown] == [Kind.DUTY_OPENED]
    assert lasting(office, "first", NOW + 2 * MINUTE) == []
