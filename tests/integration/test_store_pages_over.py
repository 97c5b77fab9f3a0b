"""Pages that are over: superseded, renamed, or with an earlier day; on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from monitor.notices import Severity
from monitor.store.pages import Pages
from tests.integration.feed import TWO, confirmed
from tests.integration.store_kit import MINUTE, NOW
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
