"""What a person says of filings by command, where it is not plain which duty or step is meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import Engine

from monitor.facts import Changed, Version
from monitor.filings import Verdict
from monitor.store.engine import reading
from monitor.store.filings_said import NotRecorded, listing
from monitor.store.names import Names
from tests.builders import ACME, enrolled
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, confirmed, on
from tests.integration.filing_kit import (
    CANCEL,
    FILE,
    LATER,
    K,
    filed,
    judge,
    rows_of_steps,
    running,
    say,
    standing,
    terminated,
)
from tests.integration.store_kit import NOW, dump, not_owed, notices

CHANGE = "frt.change"


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def verdicts(engine: Engine) -> list[tuple[str, Verdict]]:
    with reading(engine) as connection:
        settled = listing(connection, Names.load(connection))[ACME]
    return [(judged.step.kind.value, judged.verdict) for judged in settled.judged]


# -- corrected -----------------------------------------------------------------------------------


def test_what_met_a_duty_meets_it_still_when_its_day_is_corrected_to_a_later_one(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    steps = [filed("submitted", on("2026-03-05")), filed("returned", on("2026-03-06"))]
    feed.read(0, steps, NOW + 3)
    for n, day in enumerate((10, 12)):
        judge(engine, K.CORRECTED, trigger_day=date(2026, 3, day), now=LATER + n)

    assert standing(engine) == [(FILE, "1", "returned")]
    assert ("submitted", Verdict.TAKEN) in verdicts(engine)
    (supplement,) = running(engine, "frt.supplement")
    assert supplement.closed_at is None


def test_a_correction_to_an_absurd_day_is_refused_with_a_sentence(engine: Engine) -> None:
    confirmed(engine, TWO)
    for day, why in [(date(1, 1, 1), "before the year 2000"), (date(2029, 1, 1), "not over yet")]:
        with pytest.raises(NotRecorded, match=why):
            judge(engine, K.CORRECTED, trigger_day=day)


def test_a_step_is_taken_back_only_under_the_rule_that_it_is_of(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [terminated(MARCH_2 + DAY)], NOW + 3)
    step = say(engine, K.SUBMITTED, "2026-03-05").step
    before = dump(engine)
    for rule, duty in ((CANCEL, None), (FILE, "2"), ("frt.review", None)):
        with pytest.raises(NotRecorded):
            judge(engine, K.CORRECTED, withdraws=step, rule=rule, duty=duty)

    assert dump(engine) == before
    assert judge(engine, K.CORRECTED, withdraws=step, duty="1").new


# -- again, after it was taken back --------------------------------------------------------------


def test_what_was_taken_back_can_be_recorded_again_as_often_as_need_be(engine: Engine) -> None:
    confirmed(engine, TWO)
    steps = []
    for n in range(3):
        steps.append(say(engine, K.SUBMITTED, "2026-03-05", now=LATER + 2 * n).step)
        assert standing(engine) == [(FILE, "1", "submitted")]
        if n < 2:
            judge(engine, K.CORRECTED, withdraws=steps[-1], now=LATER + 2 * n + 1)

    again = say(engine, K.SUBMITTED, "2026-03-05", now=LATER + 9)

    assert len(set(steps)) == 3
    assert (again.new, again.step) == (False, steps[-1])


def test_what_was_reopened_can_be_completed_on_the_same_day_again(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.COMPLETED, "2026-03-25")
    judge(engine, K.REOPENED, now=LATER + 1)
    again = say(engine, K.COMPLETED, "2026-03-25", now=LATER + 2)

    assert again.new
    assert standing(engine) == [(FILE, "1", "completed")]


# -- which one is meant --------------------------------------------------------------------------


def changed(engine: Engine) -> Feed:
    feed = confirmed(engine, TWO)
    changes = [Changed(ACME, ("other",), Version(at, 0, 0), at) for at in (MARCH_2, MARCH_2 + DAY)]
    feed.read(0, changes, NOW + 3)
    return feed


def test_of_two_duties_that_a_step_can_be_about_one_must_be_named(engine: Engine) -> None:
    changed(engine)
    one, two = (duty.key for duty in running(engine, CHANGE))
    say(engine, K.SUBMITTED, "2026-03-10", rule=CHANGE, duty=one, reference="R1")
    with pytest.raises(NotRecorded, match="say which with --key"):
        say(engine, K.SUBMITTED, "2026-03-10", rule=CHANGE)
    by_reference = say(engine, K.SUBMITTED, "2026-03-10", rule=CHANGE, reference="R1")
    named = say(engine, K.SUBMITTED, "2026-03-10", rule=CHANGE, duty=two)
    again = say(engine, K.SUBMITTED, "2026-03-10", rule=CHANGE)

    assert (by_reference.new, named.new, again.new) == (False, True, False)
    assert [row.duty for row in rows_of_steps(engine)] == [one, two]


def test_a_submission_before_the_trigger_day_has_to_name_its_duty(engine: Engine) -> None:
    confirmed(engine, TWO)
    with pytest.raises(NotRecorded, match="before the trigger day 2026-03-02 of"):
        say(engine, K.SUBMITTED, "2026-02-20")
    with pytest.raises(NotRecorded, match="in force"):
        say(engine, K.SUBMITTED, "2016-03-05", duty="1")
    with pytest.raises(NotRecorded, match="before the year 2000"):
        say(engine, K.SUBMITTED, on("1999-03-05"), duty="1")

    assert say(engine, K.SUBMITTED, "2026-02-20", duty="1").new


def test_events_of_one_instant_are_taken_by_their_sequence(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    at = on("2026-03-12")
    steps = [
        filed("submitted", at, reference="R2", sequence=2),
        filed("returned", at, reference="R1", sequence=1),
        filed("submitted", on("2026-03-05"), reference="R1"),
    ]
    feed.read(0, steps, NOW + 3)

    assert standing(engine) == [(FILE, "1", "submitted")]
    assert notices(engine, "filing_refused") == []
    (supplement,) = running(engine, "frt.supplement")
    assert supplement.closed_at == at


def test_the_event_of_a_submission_that_a_person_told_is_no_second_one(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.RETURNED, "2026-03-05")
    feed.read(0, [filed("submitted", on("2026-03-05"))], NOW + 3)

    assert standing(engine) == [(FILE, "1", "returned")]
    assert ("submitted", Verdict.REPEATED) in verdicts(engine)


# -- in time or late -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "in_time", "severity"), [("2026-03-20", True, "info"), ("2026-04-20", False, "warning")]
)
def test_a_supplement_leaves_it_on_record_whether_it_was_late(
    engine: Engine, day: str, severity: str, *, in_time: bool
) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.RETURNED, "2026-03-12")
    say(engine, K.SUBMITTED, day)

    (supplement,) = running(engine, "frt.supplement")
    (closed,) = notices(engine, "duty_closed")
    assert supplement.in_time is in_time
    assert (closed.severity, json.loads(closed.body)["in_time"]) == (severity, in_time)


def test_a_submission_is_neither_in_time_nor_late_while_its_last_day_is_not_published(
    engine: Engine,
) -> None:
    crossing = [enrolled(fact.subject, on("2026-11-22"), 9) for fact in TWO]
    confirmed(engine, [*TWO[:1], *crossing])
    done = say(engine, K.SUBMITTED, "2027-01-05", now=on("2027-02-01"))

    assert done.duty is not None
    assert (done.duty.trigger_day, done.duty.in_time) == (date(2026, 11, 22), None)
