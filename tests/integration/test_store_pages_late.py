"""What a channel that had failed is told late, and what not any more; on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from alerts.routing import Routing
from monitor.facts import Instant
from monitor.notices import Kind
from tests.integration.feed import TWO, confirmed
from tests.integration.filing_kit import K, say
from tests.integration.store_kit import MINUTE, NOW, SECOND
from tests.integration.test_store_owed_again import escalated
from tests.integration.test_store_pages import ALONE, CHANNELS, HOUR, Office, page

RECOVERED = NOW + 6 * HOUR


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    """All channels are told everything, but for what the second has failed with."""
    made = Office(engine, Routing(channels=CHANNELS))
    yield made

    assert made.wrong() == []


def broken(office: Office, *names: str, now: Instant) -> None:
    for name in names:
        office.phones[name].broken = True
    office.send(now)


def recovered(office: Office) -> None:
    for phone in office.phones.values():
        phone.broken = False
    office.send(RECOVERED)


def opened(office: Office, name: str) -> int:
    return [one.kind for one in office.phones[name].got].count(Kind.DUTY_OPENED)


def skipped(office: Office, why: str) -> int:
    return sum(f'"why":"{why}"' in body for body in office.entries("notice.skipped"))


def test_a_page_that_somebody_has_had_for_hours_is_not_told_late(office: Office) -> None:
    office.put(page("a"))
    broken(office, "second", now=NOW)
    office.acknowledge(page("a").key, NOW + MINUTE)
    recovered(office)

    assert office.got() == {"first": [ALONE], "second": [], "third": [ALONE]}
    assert skipped(office, "acknowledged") == 1
    assert office.outbox.waiting() == []


@pytest.mark.parametrize("failed", [False, True])
def test_a_page_that_somebody_acknowledged_a_moment_ago_is_told_on_all_channels(
    office: Office, *, failed: bool
) -> None:
    office.put(page("a"))
    if failed:
        broken(office, "second", now=NOW)
        office.phones["second"].broken = False
    office.acknowledge(page("a").key, NOW + SECOND)
    office.send(NOW + MINUTE)

    assert office.got() == {name: [ALONE] for name in CHANNELS}


def test_the_page_of_a_duty_that_was_met_meanwhile_is_not_told_late(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    broken(office, "second", now=NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    recovered(office)

    assert [opened(office, name) for name in CHANNELS] == [1, 0, 1]
    assert skipped(office, "over") == 1
    assert office.outbox.waiting() == []


def test_the_page_of_a_duty_that_is_owed_still_is_told_late(engine: Engine, office: Office) -> None:
    confirmed(engine, TWO)
    broken(office, "second", now=NOW + MINUTE)
    recovered(office)

    assert [opened(office, name) for name in CHANNELS] == [1, 1, 1]


def test_the_page_of_a_duty_that_was_met_before_anybody_was_told_is_told_once(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    broken(office, *CHANNELS, now=NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    recovered(office)

    assert [opened(office, name) for name in CHANNELS] == [1, 0, 0]


def test_a_step_about_a_duty_that_was_met_meanwhile_is_not_told(engine: Engine) -> None:
    office = Office(engine)
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    office.phones["second"].broken = True
    office.pass_to(NOW + 31 * MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    recovered(office)

    assert escalated(office, "second") == []
    assert skipped(office, "over") == 1
    assert len(office.entries("page.escalated")) == 1
    assert office.wrong() == []
