"""Annulled and superseded duties: what is told later is about the one that is owed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from sqlalchemy import Engine

from monitor.store.filings_said import NotRecorded
from tests.builders import ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import POLICY, TWO, Feed, confirmed, on
from tests.integration.filing_kit import (
    CANCEL,
    FILE,
    LATER,
    K,
    filed,
    judge,
    live,
    rows_of_steps,
    running,
    say,
    standing,
    terminated,
)
from tests.integration.store_kit import NOW, not_owed, notices

SECOND_DAY = on("2026-03-25")


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def crossed_twice(engine: Engine) -> Feed:
    """A test load on 2 March, gone on the 20th; a real crossing on the 25th."""
    feed = confirmed(engine, TWO)
    live(feed, subject_removed(BOB, on("2026-03-20")), now=NOW + 10)
    live(feed, enrolled(CY, SECOND_DAY), now=NOW + 20)
    return feed


def superseded(engine: Engine) -> Feed:
    """The duty of the second crossing, with the first one owed again."""
    feed = crossed_twice(engine)
    judge(engine, K.ANNULLED, now=LATER)
    live(feed, enrolled(CY, LATER), now=LATER + 1)
    judge(engine, K.REOPENED, duty="1", now=LATER + 10)
    return feed


def reopenings(engine: Engine) -> int:
    return sum(row.kind == "reopened" for row in rows_of_steps(engine))


# -- told after the decision ---------------------------------------------------------------------


def test_a_filing_told_after_an_annulment_is_that_of_the_real_crossing(engine: Engine) -> None:
    feed = crossed_twice(engine)
    judge(engine, K.ANNULLED, now=LATER)
    told = [
        filed("submitted", on("2026-04-20"), reference="R1"),
        filed("completed", on("2026-05-05"), reference="R1"),
    ]
    live(feed, *told, now=LATER + 1)

    assert standing(engine, LATER + 9) == [(FILE, "1", "annulled"), (FILE, "2", "completed")]
    assert notices(engine, "filing_refused") == []


def test_the_filing_of_the_real_end_of_use_never_completes_an_annulled_one(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10")), terminated(on("2026-10-10"))])
    judge(engine, K.ANNULLED, rule=CANCEL, now=LATER)
    done = [
        filed("submitted", on("2026-10-15"), rule=CANCEL),
        filed("completed", on("2026-10-25"), rule=CANCEL),
    ]
    feed.read(0, done, LATER + 1)

    assert standing(engine) == [(CANCEL, "1", "annulled"), (CANCEL, "2", "completed")]
    assert [duty.in_time for duty in running(engine, CANCEL)] == [None, True]


def test_reopening_takes_back_the_annulment_and_nothing_that_was_told(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    judge(engine, K.ANNULLED, now=LATER)
    told = [filed("submitted", on("2026-03-05")), filed("completed", on("2026-03-10"))]
    feed.read(0, told, LATER + 1)
    judge(engine, K.REOPENED, now=LATER + 2)

    assert standing(engine, LATER + 3) == [(FILE, "1", "completed")]
    assert reopenings(engine) == 1


# -- told before the decision --------------------------------------------------------------------


def test_what_an_annulled_duty_has_can_be_said_of_the_real_one(engine: Engine) -> None:
    """Told before the annulment, it stays there; nobody may believe that the other has it."""
    feed = crossed_twice(engine)
    feed.read(0, [filed("submitted", on("2026-04-20"), reference="R1")], NOW + 30)
    done = judge(engine, K.ANNULLED, now=LATER)
    with pytest.raises(NotRecorded, match="being recounted"):
        say(engine, K.SUBMITTED, "2026-04-20", reference="R1", now=LATER + 1)
    live(feed, filed("completed", on("2026-05-05"), reference="R1"), now=LATER + 2)
    with pytest.raises(NotRecorded, match=r"frt\.file 1 is annulled.*with --key: frt\.file 2"):
        say(engine, K.SUBMITTED, "2026-04-20", reference="R1", now=LATER + 11)
    before = standing(engine)
    again = say(engine, K.SUBMITTED, "2026-04-20", reference="R1", duty="2", now=LATER + 12)

    assert [(step.at, step.reference) for step in done.stays] == [(on("2026-04-20"), "R1")]
    assert (before[1], again.new) == ((FILE, "2", "overdue"), True)
    assert standing(engine) == [(FILE, "1", "annulled"), (FILE, "2", "completed")]
    assert not say(engine, K.SUBMITTED, "2026-04-20", reference="R1", now=LATER + 13).new


# -- superseded ----------------------------------------------------------------------------------


def test_a_step_of_a_superseded_duty_is_refused_with_the_one_that_is_owed(engine: Engine) -> None:
    superseded(engine)
    with pytest.raises(NotRecorded, match=r"superseded.*owed instead: frt\.file 1"):
        say(engine, K.SUBMITTED, "2026-04-05", duty="2", now=LATER + 20)

    assert running(engine, "frt.review") == []
    assert say(engine, K.SUBMITTED, "2026-04-05", now=LATER + 21).new


def test_a_superseded_duty_is_not_corrected_but_can_be_annulled(engine: Engine) -> None:
    superseded(engine)
    day = date(2026, 4, 3)
    with pytest.raises(NotRecorded, match=r"superseded.*owed instead: frt\.file 1"):
        judge(engine, K.CORRECTED, duty="2", trigger_day=day, now=LATER + 20)

    assert judge(engine, K.ANNULLED, duty="2", now=LATER + 21).new


# -- said again ----------------------------------------------------------------------------------


def test_a_decision_said_again_in_the_same_words_is_known(engine: Engine) -> None:
    confirmed(engine, [*TWO, enrolled(ANN, on("2026-03-03"))])
    said = []
    for number, kind in enumerate([K.ANNULLED, K.ANNULLED, K.REOPENED, K.REOPENED, K.ANNULLED]):
        said.append(judge(engine, kind, now=LATER + number).new)

    assert said == [True, False, True, False, True]
    assert standing(engine, LATER + 9) == [(FILE, "1", "annulled")]


def test_what_is_completed_again_is_reopened_again_in_the_same_words(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    for number in range(2):
        say(engine, K.COMPLETED, "2026-03-10", now=LATER + 2 * number)
        assert judge(engine, K.REOPENED, now=LATER + 2 * number + 1).new

    assert reopenings(engine) == 2


def test_an_annulment_said_again_never_annuls_the_next_duty(engine: Engine) -> None:
    feed = crossed_twice(engine)
    judge(engine, K.ANNULLED, now=LATER)
    live(feed, enrolled(CY, LATER), now=LATER + 1)
    with pytest.raises(NotRecorded, match=r"with --key: frt\.file 1, frt\.file 2"):
        judge(engine, K.ANNULLED, now=LATER + 10)

    assert standing(engine, LATER + 11)[1] == (FILE, "2", "overdue")


# -- not looked back on yet ----------------------------------------------------------------------


def test_a_refusal_says_that_another_duty_may_be_about_to_open(engine: Engine) -> None:
    feed = crossed_twice(engine)
    judge(engine, K.ANNULLED, now=LATER)
    with pytest.raises(NotRecorded, match=r"possible now: reopened.*being recounted"):
        say(engine, K.SUBMITTED, "2026-04-05", now=LATER + 1)
    live(feed, enrolled(CY, LATER), now=LATER + 2)

    assert say(engine, K.SUBMITTED, "2026-04-05", now=LATER + 9).new
