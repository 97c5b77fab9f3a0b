"""Told numbers after an annulment, and before a rule is in force: nothing is missed in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine

from monitor.facts import Instant
from monitor.filings import StepKind
from monitor.rules import SHIPPED, TERMINATED, with_overrides
from monitor.store.external import NumberSaid, Taken, tell_number
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.filings_said import decide
from monitor.store.filings_values import Decided
from tests.builders import ACME, ANN, BOB, enrolled
from tests.integration.feed import on
from tests.integration.filing_kit import CANCEL, say
from tests.integration.store_kit import (
    SECOND,
    batch,
    duties,
    keeper,
    no_topics,
    not_owed,
    notices,
    policy,
)

STOCK, OWN, AUDIT = "pio.report", "own", "audit.periodic"
MEASURES = {STOCK: "pi.individuals", OWN: "own.people", AUDIT: "pi.individuals"}
OVERRIDES: list[Mapping[str, Any]] = [
    {"id": STOCK, "enabled": True, "at_least": 3},
    {"id": AUDIT, "enabled": True, "at_least": 10},
    {"id": "incident.other", "enabled": True},
    {"id": OWN, "measure": "external", "number": "own.people", "at_least": 3, "period": 30},
]
POLICY = replace(policy(), rules=with_overrides(SHIPPED, OVERRIDES))
either = pytest.mark.parametrize("rule", [STOCK, OWN])
JUNE = on("2026-06-01")


@pytest.fixture(autouse=True)
def _known(engine: Engine) -> None:
    keeper(engine, POLICY, no_topics).keep([batch([enrolled(ANN, on("2026-01-05"))])])


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def number(engine: Engine, rule: str, count: int, day: str, now: Instant = JUNE) -> Taken:
    told = NumberSaid(
        processor=ACME, name=MEASURES[rule], number=count, at=on(day), by="ann lee", reason="census"
    )
    return tell_number(engine, told, POLICY, now)


def judge(
    engine: Engine,
    rule: str,
    key: str = "1",
    kind: StepKind = StepKind.ANNULLED,
    now: Instant = JUNE,
) -> None:
    said = Decided(
        processor=ACME, rule=rule, duty=key, kind=kind, by="ann lee", reason="it was wrong"
    )
    decide(engine, said, POLICY, now)


def owned(engine: Engine, rule: str) -> list[tuple[str, date]]:
    return [(one.key, one.trigger_day) for one in duties(engine) if one.rule == rule]


def asked(engine: Engine) -> list[tuple[str, str, str | None]]:
    """Return what persons were asked, oldest first: which duty, why, and the day found."""
    found = []
    for row in notices(engine, "restatement_waits"):
        body = json.loads(row.body)
        found.append((row.duty, body["why"], body["found_trigger_day"]))
    return found


def corrected_and_annulled(engine: Engine, rule: str) -> None:
    """The number of 2 March was told by mistake; its duty is annulled."""
    number(engine, rule, 4, "2026-03-02")
    number(engine, rule, 0, "2026-03-02")
    judge(engine, rule, now=JUNE + 1)


# -- before a reach that was annulled --------------------------------------------------------


@either
def test_a_number_reached_before_an_annulled_one_is_asked_about_once(
    engine: Engine, rule: str
) -> None:
    corrected_and_annulled(engine, rule)
    taken = number(engine, rule, 4, "2026-02-20", now=JUNE + 2)
    again = number(engine, rule, 5, "2026-02-21", now=JUNE + 3)

    assert asked(engine) == [("1", "reach_vanished", None), ("1", "duty_closed", "2026-02-20")]
    assert [tuple(one) for one in taken.asked] == [(rule, "1", "duty_closed", "2026-02-20")]
    assert again.asked == ()


@either
def test_a_number_reached_before_an_annulled_one_is_asked_about_beside_the_duty_after_it(
    engine: Engine, rule: str
) -> None:
    corrected_and_annulled(engine, rule)
    number(engine, rule, 4, "2026-04-02", now=JUNE + 2)
    number(engine, rule, 4, "2026-02-20", now=JUNE + 3)

    assert owned(engine, rule) == [("1", date(2026, 3, 2)), ("2", date(2026, 4, 2))]
    assert asked(engine)[1:] == [("1", "duty_closed", "2026-02-20")]


@either
def test_a_duty_reopened_moves_at_once_to_the_earlier_day_that_was_told_meanwhile(
    engine: Engine, rule: str
) -> None:
    corrected_and_annulled(engine, rule)
    number(engine, rule, 4, "2026-02-20", now=JUNE + 2)
    judge(engine, rule, kind=StepKind.REOPENED, now=JUNE + 3)

    assert owned(engine, rule) == [("1", date(2026, 2, 20))]


@either
def test_a_number_that_stands_above_after_an_annulment_is_told_once(
    engine: Engine, rule: str
) -> None:
    number(engine, rule, 4, "2026-03-02")
    judge(engine, rule, now=JUNE + 1)
    before = asked(engine)
    for second in range(2):
        keeper(engine, POLICY, no_topics).tick(JUNE + second * SECOND)

    assert before == asked(engine) == [("1", "number_stands", None)]


@either
def test_a_number_that_fell_after_what_was_annulled_asks_nothing(engine: Engine, rule: str) -> None:
    number(engine, rule, 4, "2026-03-02")
    number(engine, rule, 1, "2026-03-05")
    judge(engine, rule, now=JUNE + 1)

    assert asked(engine) == []


@either
def test_what_was_reached_after_a_false_reach_has_its_duty_in_the_transaction_that_annuls_it(
    engine: Engine, rule: str
) -> None:
    for count, day in ((4, "2026-03-02"), (1, "2026-04-01"), (4, "2026-05-06")):
        number(engine, rule, count, day)
    before = owned(engine, rule)
    judge(engine, rule, now=JUNE + 1)

    assert before == [("1", date(2026, 3, 2))]
    assert owned(engine, rule) == [*before, ("2", date(2026, 5, 6))]


def open_and_cancelled(engine: Engine) -> None:
    """Reached on 2 March; the use was cancelled on the 20th, which arms the next latch."""
    number(engine, STOCK, 4, "2026-03-02")
    ended = EventSaid(
        processor=ACME, kind=TERMINATED, at=on("2026-03-10"), by="ann lee", reason="it did"
    )
    tell_event(engine, ended, POLICY, JUNE + 1)
    for kind, day in ((StepKind.SUBMITTED, "2026-03-12"), (StepKind.COMPLETED, "2026-03-20")):
        say(engine, kind, day, rule=CANCEL, now=JUNE + 2, chosen=POLICY)


def test_an_earlier_number_moves_a_duty_that_is_open_although_the_use_was_cancelled_since(
    engine: Engine,
) -> None:
    open_and_cancelled(engine)
    taken = number(engine, STOCK, 4, "2026-02-20", now=JUNE + 3)

    assert owned(engine, STOCK) == [("1", date(2026, 2, 20))]
    assert [(one.key, one.trigger_day) for one in taken.duties] == [("1", date(2026, 2, 20))]
    assert [row.severity for row in notices(engine, "duty_moved")] == ["page"]


def test_a_number_corrected_after_the_use_was_cancelled_is_asked_about(engine: Engine) -> None:
    open_and_cancelled(engine)
    number(engine, STOCK, 1, "2026-03-02", now=JUNE + 3)
    number(engine, STOCK, 4, "2026-03-09", now=JUNE + 4)
    number(engine, STOCK, 4, "2026-03-02", now=JUNE + 5)
    number(engine, STOCK, 1, "2026-03-02", now=JUNE + 6)

    gone, later = ("1", "reach_vanished", None), ("1", "later_day", "2026-03-09")
    assert asked(engine) == [gone, later, later]
    assert owned(engine, STOCK) == [("1", date(2026, 3, 2))]


def test_a_stock_that_is_looked_back_on_says_nothing_of_what_a_told_number_began(
    engine: Engine,
) -> None:
    open_and_cancelled(engine)
    one = keeper(engine, POLICY, no_topics)
    one.keep([batch([enrolled(BOB, on("2026-02-01"))])])
    one.tick(JUNE + 3)

    assert asked(engine) == []


# -- periods -----------------------------------------------------------------------------------


def a_dip_that_was_a_mistake(engine: Engine) -> None:
    """A clock of its own began after the dip, which was corrected since."""
    number(engine, AUDIT, 11, "2026-02-02", now=on("2026-02-03"))
    late = on("2028-03-02")
    number(engine, AUDIT, 9, "2028-01-01", now=late)
    number(engine, AUDIT, 12, "2028-03-01", now=late + 1)
    number(engine, AUDIT, 12, "2028-01-01", now=late + 2)


def test_annulling_the_period_of_another_clock_cuts_none_short(engine: Engine) -> None:
    a_dip_that_was_a_mistake(engine)
    judge(engine, AUDIT, "2-1", now=on("2028-03-03"))
    number(engine, AUDIT, 9, "2028-06-01", now=on("2028-06-02"))
    number(engine, AUDIT, 12, "2028-07-01", now=on("2028-07-02"))
    for year in (2030, 2032):
        keeper(engine, POLICY, no_topics).tick(on(f"{year}-02-02"))

    assert sorted(owned(engine, AUDIT)) == [
        ("1-1", date(2026, 2, 2)),
        ("1-2", date(2028, 2, 2)),
        ("1-3", date(2030, 2, 2)),
        ("1-4", date(2032, 2, 2)),
        ("2-1", date(2028, 3, 1)),
    ]


def test_a_clock_that_begins_anew_takes_no_number_that_an_older_duty_has(engine: Engine) -> None:
    a_dip_that_was_a_mistake(engine)
    number(engine, AUDIT, 9, "2030-01-01", now=on("2030-01-02"))
    number(engine, AUDIT, 12, "2030-03-01", now=on("2030-03-02"))

    assert owned(engine, AUDIT)[-1] == ("3-1", date(2030, 3, 1))


# -- before the law ----------------------------------------------------------------------------


def test_of_a_number_reached_before_its_law_the_first_period_begins_with_the_law(
    engine: Engine,
) -> None:
    number(engine, AUDIT, 11, "2021-05-02")
    keeper(engine, POLICY, no_topics).tick(on("2027-05-01"))

    found = [one for one in duties(engine) if one.rule == AUDIT]
    assert [(one.key, one.trigger_day, one.deadline.due_day) for one in found] == [
        ("1-1", date(2025, 5, 1), date(2027, 5, 1)),
        ("1-2", date(2027, 5, 1), date(2029, 5, 1)),
    ]
    told = found[0].proof["told"]
    assert isinstance(told, dict)
    assert told["at"] == on("2021-05-02")


@pytest.mark.parametrize(("day", "owed"), [("2025-10-31", 0), ("2025-11-01", 1)])
def test_an_incident_before_its_measures_were_in_force_opens_nothing(
    engine: Engine, day: str, owed: int
) -> None:
    said = EventSaid(
        processor=ACME, kind="incident.graded", at=on(day), by="ann lee", reason="it did"
    )
    taken = tell_event(engine, said, POLICY, JUNE)

    assert (taken.new, len(taken.duties), len(duties(engine))) == (True, owed, owed)
