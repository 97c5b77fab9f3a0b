"""What may have changed since a filing: found by what was so when it was filed, and dated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from monitor.changes import ChangeKind
from monitor.duties import Duty, Status
from monitor.facts import Fact, Filed, Instant, Place, Terminated, Version
from monitor.filings import StepKind
from monitor.marks import Marks, SystemMark
from monitor.rules import SHIPPED, with_overrides
from monitor.store import changes, filling
from monitor.store.changes import Change, ChangeSaid, NotDecided, Verdict
from monitor.store.engine import reading
from monitor.store.external import Taken
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.files import File, Run
from monitor.store.filings_said import StepSaid, record
from monitor.store.keeping import Policy
from monitor.store.names import Names
from monitor.store.proposing import Proposing
from monitor.workdays import beijing_day, overdue_from
from tests.builders import ACME, ANN, BOB, CY, GATE, LAB, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, confirmed, on
from tests.integration.filing_kit import CANCEL, say
from tests.integration.store_kit import MINUTE, batch, duties, keeper, not_owed, notices

MARCH_5, MARCH_10, MARCH_20 = on("2026-03-05"), on("2026-03-10"), on("2026-03-20")
NOVEMBER = on("2026-11-20")
TILL = Place(ACME, "till", "")
DEE = bytes(15) + b"\4"
WATCHED = replace(
    POLICY,
    rules=with_overrides(
        SHIPPED, [{"id": "frt.file", "at_least": 2}, {"id": "frt.pipia", "enabled": True}]
    ),
)


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def filed(kind: str, at: Instant, **more: Any) -> Filed:
    said = {"rule": None, "duty": None, "reference": None, **more}
    return Filed(processor=ACME, kind=kind, version=Version(at, 0, 0), at=at, **said)


def applied(engine: Engine, *files: Sequence[Fact], now: Instant = NOVEMBER) -> None:
    """Apply each of *files*, one after the other."""
    for number, facts in enumerate(files):
        applying = keeper(engine, POLICY)
        applying.begin_files(Run("r", "s", (File(f"f{number}", f"{number}.ndjson"),)))
        applying.keep([batch(facts, read_at=now)])
        applying.finish(now)


def found(engine: Engine) -> dict[str, Change]:
    with reading(engine) as connection:
        listed = changes.listing(connection, Names.load(connection))
    return {one.kind.value: one for one in listed}


def confirm(engine: Engine, one: Change, now: Instant, chosen: Policy = POLICY) -> Duty:
    said = Verdict(number=one.number, confirmed=True, by="officer", reason="asked counsel")
    duty = changes.decide(engine, said, chosen, now)[1]
    assert duty is not None
    return duty


FILED = (filed("submitted", MARCH_5), filed("completed", MARCH_10))
GROWN = (enrolled(CY, MARCH_20, place=TILL), enrolled(DEE, MARCH_20 + 1, place=TILL))


# -- since when ------------------------------------------------------------------------------------


def test_a_change_is_as_old_as_the_first_enrolment_and_so_is_its_clock(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    say(engine, StepKind.COMPLETED, "2026-03-10")
    keeping = keeper(engine, POLICY)
    keeping.keep([batch(GROWN, read_at=MARCH_20 + DAY)])
    keeping.tick(NOVEMBER)
    system = found(engine)["system"]
    duty = confirm(engine, system, NOVEMBER + DAY)

    assert (system.at, system.proposed_at) == (MARCH_20, NOVEMBER)
    assert system.evidence["first_enrolment_at"] == MARCH_20
    assert duty.trigger_day == beijing_day(MARCH_20)
    assert duty.status(NOVEMBER) is Status.OVERDUE


def test_a_number_is_far_away_since_the_day_on_which_it_passed(engine: Engine) -> None:
    applied(engine, [*TWO, *FILED, *GROWN])
    number = found(engine)["number"]

    assert number.at == overdue_from(beijing_day(MARCH_20 - DAY))
    assert number.evidence["passed_on"] == "2026-03-20"
    assert (number.evidence["filed"], number.evidence["now"]) == (2, 4)


def grown_since(engine: Engine) -> Proposing:
    """Return what looks for changes of a filing since which there are days nobody wrote yet."""
    confirmed(engine, TWO)
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    say(engine, StepKind.COMPLETED, "2026-03-10")
    keeper(engine, POLICY).keep([batch(GROWN, read_at=NOVEMBER)])
    return Proposing(engine, POLICY.far)


def looked(engine: Engine, proposing: Proposing, now: Instant) -> set[str]:
    """Return the kinds of all candidates after one look."""
    with reading(engine) as connection:
        names = Names.load(connection)
    proposing.look(names, now)
    return set(found(engine))


def test_a_number_waits_for_the_days_that_are_past_before_it_is_dated(engine: Engine) -> None:
    proposing = grown_since(engine)
    before = looked(engine, proposing, NOVEMBER)
    filling.finish(engine, POLICY, NOVEMBER)
    looked(engine, proposing, NOVEMBER + MINUTE)

    assert before == {"system", "assessment"}
    assert found(engine)["number"].evidence["passed_on"] == "2026-03-20"


def test_a_number_does_not_wait_for_ever(engine: Engine) -> None:
    proposing = grown_since(engine)
    told = [
        "number" in looked(engine, proposing, NOVEMBER + minutes * MINUTE)
        for minutes in (0, 59, 60)
    ]

    assert told == [False, False, True]


def test_a_mark_is_another_since_the_settings_that_changed_it_held(engine: Engine) -> None:
    applied(engine, [*TWO, *FILED])
    research = SystemMark(processor=ACME, system="gate", research=True, reason="r", by="office")
    chosen = replace(POLICY, marks=Marks((*POLICY.marks.rows, research)))
    keeper(engine, chosen, now=NOVEMBER + DAY)
    keeper(engine, chosen, now=NOVEMBER + 2 * DAY).tick(NOVEMBER + 3 * DAY)
    purpose = found(engine)["purpose"]

    assert (purpose.at, purpose.proposed_at) == (NOVEMBER + DAY, NOVEMBER + 3 * DAY)


def test_another_day_for_a_change_that_is_confirmed_is_refused(engine: Engine) -> None:
    applied(engine, [*TWO, *FILED, *GROWN])
    system = found(engine)["system"]
    confirm(engine, system, NOVEMBER)
    said = Verdict(number=system.number, confirmed=True, by="o", reason="r", at=MARCH_10)

    with pytest.raises(NotDecided, match=r"was confirmed by officer as of 2026-03-20; 'facetally"):
        changes.decide(engine, said, POLICY, NOVEMBER)
    changes.decide(engine, replace(said, at=MARCH_20), POLICY, NOVEMBER)


def test_a_day_before_the_year_2000_is_refused(engine: Engine) -> None:
    confirmed(engine, TWO)
    told = changes.ChangeSaid(
        processor=ACME, kind=ChangeKind.OTHER, at=-(10**16), by="o", reason="r"
    )

    with pytest.raises(NotDecided, match="before the year 2000"):
        changes.record(engine, told, NOVEMBER)


# -- what was filed --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "files",
    [
        ([*TWO, *FILED, *GROWN],),
        ([*TWO, *FILED], GROWN),
        ([*TWO, *GROWN], FILED),
        (GROWN, [*TWO, *FILED]),
    ],
)
def test_what_was_filed_is_what_was_so_then_whenever_it_was_told(
    engine: Engine, files: tuple[Sequence[Fact], ...]
) -> None:
    applied(engine, *files)

    assert {"system", "number"} <= found(engine).keys()
    assert found(engine)["system"].evidence["system"] == "till"
    assert found(engine)["number"].evidence["filed"] == 2


def test_what_was_enrolled_and_filed_on_one_day_was_filed_whenever_it_was_told(
    engine: Engine,
) -> None:
    at_once = (filed("submitted", MARCH_2 + 3), filed("completed", MARCH_10))
    applied(engine, [*TWO, *GROWN], at_once)

    assert found(engine)["number"].evidence["filed"] == 2


def test_a_submission_recorded_late_does_not_swallow_what_is_new_since(engine: Engine) -> None:
    applied(engine, [*TWO, *GROWN])
    say(engine, StepKind.SUBMITTED, "2026-03-05")
    say(engine, StepKind.COMPLETED, "2026-03-10")
    keeper(engine, POLICY).tick(NOVEMBER)

    assert {"system", "number"} <= found(engine).keys()


def test_a_place_whose_enrolments_came_late_was_filed(engine: Engine) -> None:
    applied(engine, [*TWO, *FILED])
    applied(engine, [enrolled(ANN, MARCH_2 + DAY, place=TILL)])

    assert "system" not in found(engine)


def test_a_place_of_which_only_a_removal_is_known_is_not_new_until_a_face_is_there(
    engine: Engine,
) -> None:
    applied(engine, [*TWO, *FILED])
    keeping = keeper(engine, POLICY)
    keeping.keep(
        [batch([subject_removed(ANN, MARCH_20, system="till", gallery="")], read_at=NOVEMBER)]
    )
    keeping.tick(NOVEMBER)
    assert "system" not in found(engine)
    keeping.keep([batch([enrolled(ANN, MARCH_20 + DAY, place=TILL)], read_at=NOVEMBER)])
    keeping.tick(NOVEMBER + DAY)

    assert found(engine)["system"].at == MARCH_20 + DAY


def test_the_number_that_a_person_says_was_filed_is_the_one_compared_with(engine: Engine) -> None:
    applied(engine, [*TWO, *GROWN])
    said = StepSaid(
        processor=ACME,
        kind=StepKind.SUBMITTED,
        rule="frt.file",
        at=MARCH_5,
        by="office",
        individuals=4,
    )
    record(engine, said, POLICY, NOVEMBER)
    say(engine, StepKind.COMPLETED, "2026-03-10")
    keeper(engine, POLICY).tick(NOVEMBER)

    assert "number" not in found(engine)


def test_nothing_is_compared_with_a_filing_that_was_cancelled(engine: Engine) -> None:
    applied(engine, [*TWO, *FILED])
    keeping = keeper(engine, POLICY)
    gone = [subject_removed(one, MARCH_20 + 1) for one in (ANN, BOB)]
    ended = Terminated(ACME, Version(MARCH_20, 0, 0), MARCH_20)
    keeping.keep([batch([ended, *gone], read_at=MARCH_20 + 2)])
    say(engine, StepKind.SUBMITTED, MARCH_20 + DAY, rule=CANCEL)
    say(engine, StepKind.COMPLETED, MARCH_20 + 2 * DAY, rule=CANCEL)
    keeping.tick(NOVEMBER)

    assert "number" not in found(engine)


# -- a missing assessment --------------------------------------------------------------------------


def assessment(engine: Engine, system: str, at: Instant, now: Instant = NOVEMBER) -> Taken:
    said = EventSaid(
        processor=ACME,
        kind="assessment.recorded",
        at=at,
        by="office",
        reason="PIPIA 7",
        reference=system,
    )
    return tell_event(engine, said, WATCHED, now)


def missing(engine: Engine) -> Change:
    """Return the candidate of a system that is used without an assessment."""
    keeping = keeper(engine, WATCHED)
    keeping.keep([batch([enrolled(ANN, MARCH_2, place=GATE)], read_at=MARCH_5)])
    keeping.tick(MARCH_10)
    return found(engine)["assessment"]


def test_with_its_rule_on_a_missing_assessment_is_shown_before_anything_is_filed(
    engine: Engine,
) -> None:
    one = missing(engine)

    assert (one.at, one.evidence["system"]) == (MARCH_2, GATE.system)
    assert len(notices(engine, "change_proposed")) == 1


def test_a_missing_assessment_is_owed_at_once_and_no_filing_is(engine: Engine) -> None:
    duty = confirm(engine, missing(engine), MARCH_10, WATCHED)

    assert (duty.rule, duty.trigger_day) == ("frt.pipia", beijing_day(MARCH_2))
    assert duty.deadline.due_day == beijing_day(MARCH_2)
    assert [one.rule for one in duties(engine)] == ["frt.pipia"]


def test_recording_the_assessment_ends_what_is_owed_for_that_system_alone(engine: Engine) -> None:
    first = missing(engine)
    confirm(engine, first, MARCH_10, WATCHED)
    assessment(engine, LAB.system, MARCH_20)
    before = [one.closed_at for one in duties(engine) if one.rule == "frt.pipia"]
    told = [assessment(engine, GATE.system, MARCH_20) for _ in range(2)]
    (duty,) = (one for one in duties(engine) if one.rule == "frt.pipia")

    assert before == [None]
    assert [one.rules for one in told] == [("frt.pipia",)] * 2
    assert [one.duties for one in told] == [(duty,), ()]
    assert (duty.status(NOVEMBER), duty.closed_at) == (Status.COMPLETED, MARCH_20)
    assert [step.by for step in duty.life.taken] == ["office", "office"]
    assert duty.in_time is False


def test_recording_the_assessment_ends_what_a_person_told_of_as_missing(engine: Engine) -> None:
    confirmed(engine, TWO, WATCHED)
    said = EventSaid(
        processor=ACME,
        kind="assessment.missing",
        at=MARCH_10,
        by="office",
        reason="found by the audit",
        reference=GATE.system,
    )
    tell_event(engine, said, WATCHED, MARCH_20)
    assessment(engine, GATE.system, MARCH_20 + DAY)
    (duty,) = (one for one in duties(engine) if one.rule == "frt.pipia")

    assert (duty.trigger_day, duty.status(NOVEMBER)) == (beijing_day(MARCH_10), Status.COMPLETED)


def test_an_assessment_from_before_the_first_enrolment_meets_it(engine: Engine) -> None:
    confirm(engine, missing(engine), MARCH_10, WATCHED)
    assessment(engine, GATE.system, MARCH_2 - DAY)
    (duty,) = duties(engine)

    assert (duty.status(NOVEMBER), duty.in_time) == (Status.COMPLETED, True)


def test_an_assessment_that_is_recorded_is_not_missing(engine: Engine) -> None:
    one = missing(engine)
    assessment(engine, GATE.system, MARCH_20)

    with pytest.raises(NotDecided, match="an assessment of gate is recorded; dismiss the change"):
        confirm(engine, one, NOVEMBER, WATCHED)


def test_what_was_filed_last_is_what_was_submitted_last_whatever_was_answered_last(
    engine: Engine,
) -> None:
    keeping = confirmed(engine, TWO).keeper
    till = [enrolled(who, MARCH_10, place=TILL) for who in (ANN, BOB)]
    keeping.keep([batch([*FILED, *till], read_at=MARCH_10 + DAY)])
    for n in (1, 2):
        said = ChangeSaid(
            processor=ACME, kind=ChangeKind.RETENTION, at=MARCH_10 + n, by="o", reason=f"{n}"
        )
        confirm(engine, changes.record(engine, said, MARCH_10 + 2 * DAY), MARCH_10 + 2 * DAY)
    for key, submitted, completed in (
        ("change.1", MARCH_5 + DAY, MARCH_20 + 9 * DAY),
        ("change.2", MARCH_20, MARCH_20 + 3 * DAY),
    ):
        for kind, at in (("submitted", submitted), ("completed", completed)):
            step = filed(kind, at, rule="frt.change", duty=key)
            keeping.keep([batch([step], read_at=MARCH_20 + 10 * DAY)])
    keeping.tick(NOVEMBER)

    assert ChangeKind.SYSTEM.value not in found(engine)
