"""After the end of use, and what may have changed since a filing: in the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from monitor.changes import ChangeKind
from monitor.facts import Fact, Instant
from monitor.filings import StepKind
from monitor.store import changes
from monitor.store.agreement import SettingsDiffer
from monitor.store.changes import ChangeSaid, NotDecided, Verdict
from monitor.store.engine import reading
from monitor.store.files import File, Run
from monitor.store.keeper import SqlKeeper
from monitor.store.names import Names
from tests.builders import ACME, ANN, BOB, CY, GATE_VIP, LAB, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, confirmed
from tests.integration.filing_kit import CANCEL, FILE, say, terminated
from tests.integration.store_kit import batch, duties, keeper, not_owed, notices, now_status, rows

APRIL_1 = MARCH_2 + 30 * DAY


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def tell(keeping: SqlKeeper, *facts: Fact, at: Instant = APRIL_1) -> None:
    keeping.keep([batch(facts, read_at=at)])


def bodies(engine: Engine, kind: str) -> list[Any]:
    return [row.body for row in notices(engine, kind)]


# -- after the end of use --------------------------------------------------------------------------


def test_whoever_stores_faces_after_the_end_is_reminded_once_a_period_until_none_is_left(
    engine: Engine,
) -> None:
    keeping = keeper(engine, replace(POLICY, remind_after=5))
    tell(keeping, *TWO, enrolled(CY, MARCH_2, place=LAB), terminated(MARCH_2 + DAY))
    told = []
    for days in (2, 7, 8, 10, 15):
        keeping.tick(MARCH_2 + days * DAY)
        told.append(len(notices(engine, "faces_remain")))

    # Working days 1, 4, 5 (told), 5 of the weekend still, 10 (told).
    assert told == [0, 0, 1, 1, 2]
    assert '"still_stored":3' in bodies(engine, "faces_remain")[0]
    assert '"systems":"gate 2, lab 1"' in bodies(engine, "faces_remain")[0]
    gone = [subject_removed(one, MARCH_2 + 16 * DAY) for one in (ANN, BOB, CY)]
    tell(keeping, *gone, at=MARCH_2 + 16 * DAY)
    keeping.tick(MARCH_2 + 40 * DAY)

    assert now_status(engine, POLICY.rules).processors[0].stock.individuals == 0
    assert len(notices(engine, "faces_remain")) == 2


def test_nobody_is_reminded_by_half_of_a_file(engine: Engine) -> None:
    """The end may stand in one half, and in the other that all that was stored is gone."""
    applying = keeper(engine, POLICY)
    applying.begin_files(Run("r", "s", (File("f", "f.ndjson"),)))
    tell(applying, *TWO, terminated(MARCH_2 + DAY))
    keeper(engine, POLICY).tick(APRIL_1)
    during = notices(engine, "faces_remain")
    applying.finish(APRIL_1)

    assert during == []
    assert len(notices(engine, "faces_remain")) == 1


def test_enrolments_after_the_end_page_once(engine: Engine) -> None:
    keeping = keeper(engine, POLICY)
    tell(keeping, *TWO, terminated(MARCH_2 + DAY))
    tell(keeping, enrolled(ANN, MARCH_2, 5))
    assert notices(engine, "enrolled_after_end") == []
    tell(keeping, enrolled(CY, MARCH_2 + 2 * DAY), enrolled(ANN, MARCH_2 + 3 * DAY, 1))
    tell(keeping, enrolled(BOB, MARCH_2 + 4 * DAY, 1))

    (page,) = notices(engine, "enrolled_after_end")
    assert (page.severity, page.rule, page.duty) == ("page", CANCEL, "1")


def test_an_enrolment_that_pages_and_reaches_a_threshold_takes_its_moment_first(
    engine: Engine,
) -> None:
    """The audit log is locked after the moment, never before."""
    keeping = keeper(engine, POLICY)
    tell(keeping, enrolled(ANN, MARCH_2), terminated(MARCH_2 + DAY))
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, *_: statements.append(sql))
    tell(keeping, enrolled(BOB, MARCH_2 + 2 * DAY))
    (took,) = (n for n, sql in enumerate(statements) if sql.startswith("INSERT INTO moments"))
    (wrote,) = (n for n, sql in enumerate(statements) if sql.startswith("INSERT INTO audit "))

    assert took < wrote
    assert len(notices(engine, "enrolled_after_end")) == 1


def test_enrolments_that_were_known_before_the_end_was_told_page_too(engine: Engine) -> None:
    keeping = keeper(engine, POLICY)
    tell(keeping, *TWO, enrolled(CY, MARCH_2 + 5 * DAY))
    tell(keeping, terminated(MARCH_2 + DAY))
    keeping.tick(APRIL_1)
    keeping.tick(APRIL_1 + DAY)

    assert len(notices(engine, "enrolled_after_end")) == 1


def test_use_that_begins_again_after_a_completed_cancellation_pages_nobody(engine: Engine) -> None:
    keeping = keeper(engine, POLICY)
    tell(keeping, *TWO, terminated(MARCH_2 + DAY))
    say(engine, StepKind.SUBMITTED, MARCH_2 + 2 * DAY, rule=CANCEL)
    say(engine, StepKind.COMPLETED, MARCH_2 + 4 * DAY, rule=CANCEL)
    tell(keeping, enrolled(CY, MARCH_2 + 5 * DAY))
    keeping.tick(APRIL_1)

    assert notices(engine, "enrolled_after_end") == []


# -- what may have changed -----------------------------------------------------------------------


def filed_at_two(engine: Engine) -> None:
    """A completed filing of two individuals at the gate."""
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    say(engine, StepKind.COMPLETED, "2026-03-10")


def listed(engine: Engine) -> list[tuple[int, str, str | None]]:
    with reading(engine) as connection:
        found = changes.listing(connection, Names.load(connection))
    return [(one.number, one.kind.value, one.decision) for one in found]


def test_what_differs_from_the_filing_is_proposed_once(engine: Engine) -> None:
    filed_at_two(engine)
    keeping = keeper(engine, POLICY)
    keeping.tick(APRIL_1)
    assert listed(engine) == [(1, "assessment", None)]
    tell(keeping, enrolled(CY, APRIL_1, place=GATE_VIP))
    keeping.tick(APRIL_1 + DAY)
    keeping.tick(APRIL_1 + 2 * DAY)

    assert listed(engine)[1:] == [(2, "gallery", None), (3, "number", None)]
    assert '"change":"2: gallery gate vip, 3: number"' in bodies(engine, "change_proposed")[1]
    assert len(notices(engine, "change_proposed")) == 2


def test_before_anything_was_filed_nothing_is_proposed(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    keeping = keeper(engine, POLICY)
    tell(keeping, enrolled(CY, APRIL_1, place=GATE_VIP))
    keeping.tick(APRIL_1)

    assert listed(engine) == []


def recorded(engine: Engine, reason: str = "kept for 90 days now", at: Instant = APRIL_1) -> int:
    said = ChangeSaid(processor=ACME, kind=ChangeKind.RETENTION, at=at, by="office", reason=reason)
    return changes.record(engine, said, APRIL_1 + DAY).number


def test_each_confirmed_change_starts_its_own_clock_and_a_dismissed_one_none(
    engine: Engine,
) -> None:
    confirmed(engine, TWO)
    first, second = recorded(engine), recorded(engine, "and 60 days")
    third = recorded(engine, "a new form", APRIL_1 - DAY)
    assert recorded(engine) == first
    for number, yes in [(first, True), (second, False), (third, True), (first, True)]:
        verdict = Verdict(number=number, confirmed=yes, by="officer", reason="asked counsel")
        changes.decide(engine, verdict, POLICY, APRIL_1 + 2 * DAY)

    opened = [(d.key, d.trigger_at) for d in duties(engine) if d.rule == "frt.change"]
    assert opened == [(f"change.{first}", APRIL_1), (f"change.{third}", APRIL_1 - DAY)]
    assert [kind for _, _, kind in listed(engine)] == ["confirmed", "dismissed", "confirmed"]
    kinds = [row.kind for row in rows(engine, "audit")]
    assert [kind for kind in kinds if kind.startswith("change")] == [
        *["change.proposed"] * 3,
        "change.confirmed",
        "change.dismissed",
        "change.confirmed",
    ]


def test_a_decision_is_not_turned_round_and_needs_a_change(engine: Engine) -> None:
    confirmed(engine, TWO)
    number = recorded(engine)
    yes = Verdict(number=number, confirmed=True, by="officer", reason="no wording only")
    changes.decide(engine, yes, POLICY, APRIL_1 + 2 * DAY)
    no = replace(yes, confirmed=False)
    with pytest.raises(NotDecided, match="was confirmed by officer: no wording only"):
        changes.decide(engine, no, POLICY, APRIL_1 + 3 * DAY)
    with pytest.raises(NotDecided, match="there is no change 99"):
        changes.decide(engine, replace(no, number=99), POLICY, APRIL_1 + 3 * DAY)
    with pytest.raises(SettingsDiffer, match="setting far_percent"):
        changes.decide(engine, no, replace(POLICY, far=0.5), APRIL_1 + 3 * DAY)

    assert [(d.rule, d.owed) for d in duties(engine)] == [(FILE, True), ("frt.change", True)]


def test_a_change_that_was_dismissed_by_mistake_is_confirmed_with_both_decisions_in_the_log(
    engine: Engine,
) -> None:
    confirmed(engine, TWO)
    number = recorded(engine)
    no = Verdict(number=number, confirmed=False, by="officer", reason="only the wording")
    changes.decide(engine, no, POLICY, APRIL_1 + 2 * DAY)
    yes = Verdict(number=number, confirmed=True, by="counsel", reason="more than the wording")
    for later in (3, 4):
        after, _ = changes.decide(engine, yes, POLICY, APRIL_1 + later * DAY)

    opened = [(d.key, d.trigger_at) for d in duties(engine) if d.rule == "frt.change"]
    assert opened == [(f"change.{number}", APRIL_1)]
    assert (after.decision, after.by) == ("confirmed", "counsel")
    written = [row for row in rows(engine, "audit") if row.kind.startswith("change")]
    assert [row.kind for row in written[1:]] == ["change.dismissed", "change.confirmed"]
    assert "only the wording" in written[1].body


def test_what_is_counted_is_not_told(engine: Engine) -> None:
    confirmed(engine, TWO)
    said = ChangeSaid(processor=ACME, kind=ChangeKind.NUMBER, at=1, by="o", reason="r")
    with pytest.raises(NotDecided, match="are proposed from what is counted"):
        changes.record(engine, said, APRIL_1)
