"""Which of several duties of a rule is in force."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.duties import Duty, owed
from monitor.filings import Life, Step, StepKind
from monitor.latches import SUPERSEDED
from monitor.rules import SHIPPED
from monitor.superseding import because, newest, superseded_by
from monitor.workdays import load_calendar

TRIGGER = 1_772_409_600_000_000  # 2026-03-02 08:00 in Beijing
(RULE,) = (rule for rule in SHIPPED if rule.id == "frt.file")


def duty(key: str, annulled: str | None = None) -> Duty:
    opened = owed(
        RULE,
        processor="acme",
        key=key,
        trigger_at=TRIGGER,
        known_at=TRIGGER,
        calendar=load_calendar(),
        proof={},
    )
    return opened if annulled is None else replace(opened, closed_at=TRIGGER, annulled=annulled)


ONE, TWO, LEFT = duty("1"), duty("2"), duty("2", SUPERSEDED)
DENIED = duty("1", "a test load")


@pytest.mark.parametrize(
    ("duties", "key"),
    [
        ([ONE, TWO], "2"),
        # One that nobody owes now is not meant while another is owed.
        ([ONE, LEFT], "1"),
        # Nothing is owed: the newest.
        ([DENIED, LEFT], "2"),
    ],
)
def test_the_newest_that_nobody_annulled_is_meant(duties: list[Duty], key: str) -> None:
    assert newest(duties).key == key


def test_a_superseded_duty_names_the_one_that_is_owed_instead() -> None:
    assert superseded_by(LEFT, [ONE, LEFT]) is ONE
    assert superseded_by(LEFT, [DENIED, LEFT]) is None


def test_what_is_in_force_or_annulled_by_a_person_is_not_superseded() -> None:
    said = Step(
        id="a",
        kind=StepKind.ANNULLED,
        at=TRIGGER,
        known_at=TRIGGER,
        source="command",
        rule="frt.file",
        duty="2",
        by="office",
        reason=SUPERSEDED,
    )
    by_a_person = replace(LEFT, life=Life((said,)))

    assert superseded_by(TWO, [ONE, TWO]) is None
    assert superseded_by(by_a_person, [ONE, by_a_person]) is None


def test_why_it_is_closed_is_said_in_words() -> None:
    assert "owed again" in str(because(SUPERSEDED))
    assert because("a test load") == "a test load"
    assert because(None) is None
