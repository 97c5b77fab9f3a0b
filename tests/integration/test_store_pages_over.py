"""Pages that are over: superseded, renamed, or with an earlier day; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine

from monitor.facts import Instant
from monitor.notices import Kind, Severity
from monitor.store.pages import Pages
from tests.builders import ANN, CY, enrolled
from tests.integration.feed import DAY, MARCH_2, TWO, confirmed
from tests.integration.filing_kit import K, judge, say
from tests.integration.store_kit import MINUTE, NOW, duties
from tests.integration.test_store_pages import HOUR, Office
from tests.integration.test_store_rerouting import reminder


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    """Whatever a test does, ``verify`` finds the evidence of it whole."""
    made = Office(engine)
    yield made

    assert made.wrong() == []


def test_the_reminder_before_one_that_is_acknowledged_stays_over(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    office.pass_to(NOW)
    office.acknowledge("acme/frt.file/1", NOW + MINUTE)
    office.put(reminder("last", NOW + HOUR))
    office.pass_to(NOW + HOUR)
    office.put(reminder("overdue", NOW + 80 * MINUTE))
    office.acknowledge("reminder:overdue", NOW + 80 * MINUTE)
    office.pass_to(NOW + 5 * HOUR)

    assert Pages(engine).open_pages([Severity.PAGE], NOW + 5 * HOUR) == []
    assert office.got()["second"] == []
    assert office.entries("page.escalated") == []
    assert office.gauges.open == (0, 0.0, 0)


# -- a duty that turned into its legacy row ------------------------------------------------------

LEGACY = "frt.file.legacy"


def turned(engine: Engine, office: Office) -> None:
    """A page under ``frt.file``, whose duty a person then dates before that rule."""
    confirmed(engine, TWO)
    office.pass_to(NOW)
    judge(engine, K.CORRECTED, trigger_day=date(2025, 5, 31), now=NOW + MINUTE)
    assert [duty.rule for duty in duties(engine)] == [LEGACY]


def open_pages(engine: Engine, now: Instant) -> list[tuple[Kind, str | None]]:
    found = Pages(engine).open_pages([Severity.PAGE], now)
    return [(one.notice.kind, one.notice.rule) for one in found]


def test_a_page_of_before_a_duty_got_its_legacy_row_is_over_with_the_duty(
    engine: Engine, office: Office
) -> None:
    turned(engine, office)
    before = open_pages(engine, NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + 2 * MINUTE)
    office.pass_to(NOW + 5 * HOUR)

    assert before == [(Kind.DUTY_OPENED, "frt.file")]
    assert open_pages(engine, NOW + 5 * HOUR) == []
    assert office.entries("page.escalated") == []


@pytest.mark.parametrize(
    "what", [f"acme/{LEGACY}/1", f"acme/{LEGACY}", "acme/frt.file/1", "acme/frt.file"]
)
def test_a_duty_with_its_legacy_row_is_acknowledged_by_its_rule_of_now_and_of_then(
    engine: Engine, office: Office, what: str
) -> None:
    turned(engine, office)
    done = office.acknowledge(what, NOW + 2 * MINUTE)

    assert done is not None
    assert len(done.now) == 1
    assert open_pages(engine, NOW + HOUR) == []


@pytest.mark.parametrize("what", ["acme/frt.cancel", f"acme/{LEGACY}/2", f"other/{LEGACY}/1"])
def test_another_name_acknowledges_no_page_of_a_legacy_row(
    engine: Engine, office: Office, what: str
) -> None:
    turned(engine, office)

    assert office.acknowledge(what, NOW + 2 * MINUTE) is None


def test_a_reminder_under_the_legacy_row_takes_the_place_of_one_before(
    engine: Engine, office: Office
) -> None:
    turned(engine, office)
    office.phones["first"].broken = True
    office.put(reminder("last", NOW + 2 * MINUTE))
    office.send(NOW + 2 * MINUTE)
    office.put(replace(reminder("overdue", NOW + 3 * MINUTE), rule=LEGACY))
    office.phones["first"].broken = False
    office.send(NOW + HOUR)

    assert open_pages(engine, NOW + HOUR) == [
        (Kind.DUTY_OPENED, "frt.file"),
        (Kind.REMINDER, LEGACY),
    ]
    keys = [one.key for one in office.phones["first"].got if one.kind is Kind.REMINDER]
    assert keys == ["reminder:overdue"]


def test_a_duty_with_its_legacy_row_that_is_owed_again_has_one_page(
    engine: Engine, office: Office
) -> None:
    turned(engine, office)
    judge(engine, K.ANNULLED, now=NOW + 2 * MINUTE)
    judge(engine, K.REOPENED, now=NOW + 3 * MINUTE)

    assert open_pages(engine, NOW + HOUR) == [(Kind.DUTY_REOPENED, LEGACY)]


# -- a duty with an earlier day ------------------------------------------------------------------


def test_of_a_duty_that_moved_earlier_the_page_with_the_new_day_alone_goes_up_the_steps(
    engine: Engine, office: Office
) -> None:
    feed = confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    office.put(reminder("old", NOW + MINUTE))
    feed.read(0, [enrolled(CY, MARCH_2 - 3 * DAY), enrolled(ANN, MARCH_2 - 2 * DAY)], NOW + HOUR)
    feed.tick(NOW + HOUR)
    (duty,) = duties(engine)
    office.pass_to(NOW + HOUR)
    office.pass_to(NOW + 90 * MINUTE)
    (step,) = office.phones["second"].got

    assert open_pages(engine, NOW + 90 * MINUTE) == [(Kind.DUTY_MOVED, "frt.file")]
    assert step.body["escalated_kind"] == Kind.DUTY_MOVED
    assert step.body["due_day"] == str(duty.deadline.due_day)
    assert len(office.entries("page.over")) == 2


def test_of_a_duty_that_a_person_corrected_the_page_goes_on(engine: Engine, office: Office) -> None:
    confirmed(engine, TWO)
    judge(engine, K.CORRECTED, trigger_day=date(2026, 2, 20), now=NOW + MINUTE)

    assert open_pages(engine, NOW + HOUR) == [(Kind.DUTY_OPENED, "frt.file")]
    assert office.entries("page.over") == []
