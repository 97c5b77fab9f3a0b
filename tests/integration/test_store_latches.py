"""Latches in the database: what a decision leaves of reaches, ends of use and told events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine

from monitor.duties import Duty
from monitor.facts import Changed, Instant, Version
from monitor.intake import TopicSeen
from monitor.rules import SHIPPED, with_overrides
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.filings_said import NotRecorded
from tests.builders import (
    ACME,
    ANN,
    BETA_GATE,
    BOB,
    CY,
    enrolled,
    hashed,
    linked,
    subject_removed,
)
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, confirmed, on
from tests.integration.filing_kit import (
    CANCEL,
    FILE,
    LATER,
    K,
    filed,
    judge,
    live,
    running,
    say,
    standing,
    terminated,
)
from tests.integration.store_kit import CALENDAR, NOW, TOPIC, duties, not_owed, notices, rows

A = MARCH_2 + 10 * DAY
ASKED = "restatement_waits"


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def owned(engine: Engine, rule: str = FILE) -> list[tuple[str, str]]:
    """Return key and trigger day of each duty of *rule*."""
    return [(duty.key, str(duty.trigger_day)) for duty in running(engine, rule)]


def only(engine: Engine, rule: str, key: str) -> Duty:
    (found,) = [duty for duty in running(engine, rule) if duty.key == key]
    return found


# -- a day that a person decided on --------------------------------------------------------------


def test_late_facts_about_a_corrected_duty_stop_nobody(engine: Engine) -> None:
    """The trigger by the facts is of another day than the duty, and stays so."""
    feed = confirmed(engine, TWO)
    judge(engine, K.CORRECTED, trigger_day=date(2026, 3, 5))
    feed.read(0, [enrolled(CY, MARCH_2 - 5 * DAY)], NOW + 3)
    other = [enrolled(who, MARCH_2 + DAY, 1, place=BETA_GATE) for who in (ANN, BOB)]
    live(feed, *other, now=NOW + 4)

    assert [(duty.processor, str(duty.trigger_day)) for duty in duties(engine)] == [
        ("acme", "2026-03-05"),
        ("beta", "2026-03-03"),
    ]


def test_a_duty_corrected_twice_knows_the_day_of_the_facts_still(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    for n, day in enumerate((5, 9)):
        judge(engine, K.CORRECTED, trigger_day=date(2026, 3, day), now=LATER + n)
    live(feed, enrolled(CY, MARCH_2 + 1), now=LATER + 9)

    (duty,) = duties(engine)
    corrected = duty.proof["corrected"]
    assert isinstance(corrected, dict)
    assert corrected["found_trigger_day"] == "2026-03-02"
    assert duty.trigger_day == date(2026, 3, 9)


def test_the_end_of_use_is_corrected_to_a_later_day_as_often_as_need_be(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10"))])
    for n, day in enumerate((12, 13)):
        judge(engine, K.CORRECTED, rule=CANCEL, trigger_day=date(2026, 3, day), now=LATER + n)
    feed.read(0, [terminated(on("2026-03-11"))], LATER + 5)

    assert owned(engine, CANCEL) == [("1", "2026-03-13")]
    feed.read(0, [terminated(on("2026-03-09"))], LATER + 6)

    assert owned(engine, CANCEL) == [("1", "2026-03-09")]


# -- annulled ------------------------------------------------------------------------------------


def test_a_real_crossing_before_the_decision_that_annuls_a_false_one_is_found(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    live(feed, subject_removed(BOB, on("2026-03-20")), now=NOW + 10)
    live(feed, enrolled(CY, on("2026-03-25")), now=NOW + 20)
    judge(engine, K.ANNULLED, now=LATER)
    live(feed, enrolled(CY, LATER), now=LATER + 1)

    assert owned(engine) == [("1", "2026-03-02"), ("2", "2026-03-25")]
    assert [row.duty for row in notices(engine, "duty_opened")] == ["1", "2"]


def test_who_annuls_is_told_that_the_number_stands_where_nothing_can_pass(engine: Engine) -> None:
    confirmed(engine, TWO)
    judge(engine, K.ANNULLED)

    (closed,) = notices(engine, "duty_closed")
    assert (closed.severity, json.loads(closed.body)["number_now"]) == ("warning", 2)


def test_a_crossing_that_a_person_corrected_and_annulled_does_not_come_back(
    engine: Engine,
) -> None:
    """Not even if it was corrected to a day before the facts have it."""
    feed = confirmed(engine, TWO)
    judge(engine, K.CORRECTED, trigger_day=date(2026, 2, 20), now=LATER)
    judge(engine, K.ANNULLED, now=LATER + 1)
    live(feed, enrolled(CY, LATER), now=LATER + 2)

    assert standing(engine, LATER + 9) == [(FILE, "1", "annulled")]


@pytest.mark.parametrize("told_before", [True, False])
def test_a_real_end_of_use_after_an_annulled_one_has_its_duty_whenever_it_is_told(
    engine: Engine, *, told_before: bool
) -> None:
    feed = Feed(engine, partitions=1)
    real = terminated(on("2026-03-20"))
    feed.read(0, [terminated(on("2026-03-10")), *([real] if told_before else [])])
    judge(engine, K.ANNULLED, rule=CANCEL, now=LATER)
    if not told_before:
        feed.read(0, [real], LATER + 1)

    assert owned(engine, CANCEL) == [("1", "2026-03-10"), ("2", "2026-03-20")]
    assert [row.duty for row in notices(engine, "duty_opened")] == ["1", "2"]


def test_an_end_of_use_that_opens_nothing_is_told(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10"))])
    say(engine, K.SUBMITTED, "2026-03-12", rule=CANCEL)
    say(engine, K.COMPLETED, "2026-03-20", rule=CANCEL)
    feed.read(0, [terminated(on("2026-03-15"))], LATER + 1)
    feed.read(0, [terminated(on("2026-03-15"))], LATER + 2)

    assert owned(engine, CANCEL) == [("1", "2026-03-10")]
    (told,) = notices(engine, "restatement_waits")
    body = json.loads(told.body)
    assert (body["found_trigger_day"], body["why"]) == ("2026-03-15", "duty_closed")


# -- reopened ------------------------------------------------------------------------------------


def crossed_again(engine: Engine) -> Feed:
    """Return a feed of a reach that was annulled, after which the number passed again."""
    feed = confirmed(engine, TWO)
    judge(engine, K.ANNULLED, now=A)
    live(feed, subject_removed(BOB, A + DAY), now=A + DAY + 1)
    live(feed, enrolled(CY, A + 2 * DAY), now=A + 2 * DAY + 1)
    return feed


def test_reopening_leaves_the_duty_of_the_next_latch_to_nobody(engine: Engine) -> None:
    feed = crossed_again(engine)
    judge(engine, K.REOPENED, duty="1", now=A + 3 * DAY)
    live(feed, enrolled(CY, A + 2 * DAY, 1), now=A + 3 * DAY + 9)

    assert sorted(standing(engine, A + 4 * DAY)) == [(FILE, "1", "open"), (FILE, "2", "annulled")]
    closed = [row for row in notices(engine, "duty_closed") if row.duty == "2"]
    assert [row.severity for row in closed] == ["warning"]
    assert "owed again" in closed[0].body


def test_a_day_that_was_found_while_the_duty_was_closed_counts_once_it_is_reopened(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.COMPLETED, "2026-03-06")
    live(feed, *[enrolled(who, MARCH_2 - 5 * DAY, 1) for who in (ANN, BOB)], now=NOW + 9)
    before = owned(engine)
    judge(engine, K.REOPENED, now=NOW + 20)
    feed.tick(NOW + 21)

    assert (before, owned(engine)) == ([("1", "2026-03-02")], [("1", "2026-02-25")])
    assert [row.severity for row in notices(engine, "duty_moved")] == ["page"]


def test_annulled_once_more_the_duty_of_the_next_latch_is_owed_again(engine: Engine) -> None:
    feed = crossed_again(engine)
    judge(engine, K.REOPENED, duty="1", now=A + 3 * DAY)
    judge(engine, K.ANNULLED, duty="1", now=A + 4 * DAY)
    live(feed, enrolled(CY, A + 2 * DAY, 1), now=A + 4 * DAY + 9)

    assert sorted(standing(engine, A + 5 * DAY)) == [(FILE, "1", "annulled"), (FILE, "2", "open")]
    assert [row.severity for row in notices(engine, "duty_reopened")] == ["page", "page"]


def test_no_later_crossing_is_swallowed_by_the_key_of_a_duty_that_was_left_behind(
    engine: Engine,
) -> None:
    feed = crossed_again(engine)
    judge(engine, K.REOPENED, duty="1", now=A + 3 * DAY)
    judge(engine, K.ANNULLED, duty="2", now=A + 3 * DAY + 5)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED)):
        say(engine, kind, A + (4 + n) * DAY, duty="1", now=A + (4 + n) * DAY)
    ends = A + 20 * DAY
    gone = [subject_removed(who, ends) for who in (ANN, CY)]
    live(feed, terminated(ends), *gone, now=ends + 1)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, ends + n * DAY, rule=CANCEL, now=ends + n * DAY)
    live(feed, *[enrolled(who, A + 60 * DAY) for who in (ANN, BOB)], now=A + 60 * DAY + 1)

    assert (FILE, "3", "open") in standing(engine, A + 61 * DAY)
    assert "3" in [row.duty for row in notices(engine, "duty_opened")]
    assert notices(engine, "restatement_waits") == []


@pytest.mark.parametrize("by_command", [True, False])
def test_what_is_submitted_is_about_no_duty_that_was_left_behind(
    engine: Engine, *, by_command: bool
) -> None:
    feed = crossed_again(engine)
    judge(engine, K.REOPENED, duty="1", now=A + 3 * DAY)
    feed.read(0, [filed(kind, A + 4 * DAY) for kind in ("submitted", "completed")], A + 5 * DAY)
    ends = A + 20 * DAY
    gone = [subject_removed(who, ends) for who in (ANN, CY)]
    done = [filed(kind, ends + DAY, rule=CANCEL) for kind in ("submitted", "completed")]
    live(feed, terminated(ends), *gone, *done, now=ends + 2 * DAY)
    again = A + 60 * DAY
    live(feed, *[enrolled(who, again) for who in (ANN, BOB)], now=again + 1)
    if by_command:
        say(engine, K.SUBMITTED, again + DAY, now=again + 2 * DAY)
    else:
        feed.read(0, [filed("submitted", again + DAY)], again + 2 * DAY)

    assert sorted(one for one in standing(engine, again + 3 * DAY) if one[0] == FILE) == [
        (FILE, "1", "completed"),
        (FILE, "2", "annulled"),
        (FILE, "3", "submitted"),
    ]


def test_an_end_of_use_after_others_that_were_reopened_and_annulled_has_its_duty(
    engine: Engine,
) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10"))])
    say(engine, K.SUBMITTED, "2026-03-11", rule=CANCEL)
    say(engine, K.COMPLETED, "2026-03-12", rule=CANCEL)
    feed.read(0, [terminated(on("2026-03-15"))], NOW + 1)
    judge(engine, K.REOPENED, rule=CANCEL, duty="1")
    judge(engine, K.ANNULLED, rule=CANCEL, duty="1", now=LATER + 1)
    say(engine, K.SUBMITTED, "2026-03-16", rule=CANCEL, duty="2", now=LATER + 2)
    say(engine, K.COMPLETED, "2026-03-17", rule=CANCEL, duty="2", now=LATER + 3)
    feed.read(0, [terminated(on("2026-03-25"))], LATER + 4)

    assert owned(engine, CANCEL)[-1] == ("3", "2026-03-25")
    assert len(owned(engine, CANCEL)) == 3


def test_a_cancellation_completed_on_the_day_of_the_end_is_not_owed_twice(engine: Engine) -> None:
    """A person says the day: its first instant is before the hour of the end of use."""
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10"))])
    say(engine, K.SUBMITTED, "2026-03-10", rule=CANCEL)
    say(engine, K.COMPLETED, "2026-03-10", rule=CANCEL)

    assert owned(engine, CANCEL) == [("1", "2026-03-10")]


# -- rules of one's own --------------------------------------------------------------------------

INCIDENT = {
    "id": "own.x",
    "measure": "event",
    "event": "incident.graded",
    "latch": True,
    "period": 3,
    "unit": "calendar_days",
}
CHANGED = INCIDENT | {"id": "own.c", "event": "registration.changed"}
KEEPS = {"id": "frt.retain", "enabled": True}
OWN = replace(
    POLICY,
    rules=with_overrides(SHIPPED, [{"id": FILE, "at_least": 2}, INCIDENT, CHANGED, KEEPS]),
)


def told(engine: Engine, kind: str, at: Instant, reference: str) -> None:
    said = EventSaid(
        processor=ACME, kind=kind, at=at, by="office", reason="so it was", reference=reference
    )
    tell_event(engine, said, OWN, LATER)


def test_an_event_after_the_annulled_duty_of_a_latched_rule_opens_the_next(
    engine: Engine,
) -> None:
    confirmed(engine, TWO, OWN)
    told(engine, "incident.graded", A, "one")
    told(engine, "incident.graded", A + DAY, "of the same")
    judge(engine, K.ANNULLED, rule="own.x", chosen=OWN)
    told(engine, "incident.graded", A + 2 * DAY, "two")

    assert owned(engine, "own.x") == [("1", "2026-03-12"), ("2", "2026-03-14")]


def test_a_change_after_the_annulled_duty_of_a_latched_rule_opens_the_next(engine: Engine) -> None:
    feed = confirmed(engine, TWO, OWN)
    for n in range(3):
        at = A + n * DAY
        feed.read(0, [Changed(ACME, ("other",), Version(at, 0, 0), at)], LATER + n)
        if n == 1:
            judge(engine, K.ANNULLED, rule="own.c", chosen=OWN)

    assert owned(engine, "own.c") == [("1", "2026-03-12"), ("2", "2026-03-14")]


def test_what_is_to_be_kept_is_to_be_kept_again_when_that_is_reopened(engine: Engine) -> None:
    confirmed(engine, TWO, OWN)
    told(engine, "assessment.recorded", A, "gate")
    judge(engine, K.ANNULLED, rule="frt.retain", chosen=OWN)
    reopened = judge(engine, K.REOPENED, rule="frt.retain", now=LATER + 1, chosen=OWN)

    assert reopened.duty is not None
    assert reopened.duty.status(LATER + 2).value == "open"
    assert reopened.duty.closed_at == reopened.duty.overdue_at
    assert [row.rule for row in notices(engine, "duty_reopened")] == ["frt.retain"]


# -- watching after the end ----------------------------------------------------------------------


def test_nobody_is_reminded_of_faces_when_use_begins_again_after_a_cancellation(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    gone = [subject_removed(who, A + 1) for who in (ANN, BOB)]
    live(feed, terminated(A), *gone, now=A + 2)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, A + n * DAY, rule=CANCEL, now=A + n * DAY)
    live(feed, enrolled(CY, A + 300 * DAY), now=A + 300 * DAY + 9)
    feed.tick(A + 301 * DAY)

    assert notices(engine, "faces_remain") == []


def test_faces_that_remain_after_a_completed_cancellation_are_reminded_of(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    live(feed, terminated(A), subject_removed(ANN, A + 1), now=A + 2)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, A + n * DAY, rule=CANCEL, now=A + n * DAY)
    live(feed, subject_removed(CY, A + 300 * DAY), now=A + 300 * DAY + 9)

    assert len(notices(engine, "faces_remain")) == 1


# -- one for all ---------------------------------------------------------------------------------


def test_a_reach_that_cannot_be_confirmed_holds_up_no_other(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, TWO)
    feed.read(0, [enrolled(who, MARCH_2 + DAY, 1, place=BETA_GATE) for who in (ANN, BOB)], NOW + 1)
    feed.at_end(0, NOW + 2)
    with engine.begin() as connection:  # by hand: no duty can be made of such a row
        connection.exec_driver_sql(
            "INSERT INTO duties (processor_id, rule, key, trigger_day, trigger_at, not_later_than,"
            " opened_at, earliest, latest, due_day, calendar_version, proof) SELECT 1, 'frt.file',"
            " '1', '2026-03-02', 0, false, 0, '2026-04-14', '2026-04-14', '2026-04-14',"
            f" '{CALENDAR.version}', '{{}}'"
        )
    with pytest.raises(ValueError, match="the trigger day must be the day"):
        feed.tick(NOW + 3)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM duties WHERE trigger_at = 0")

    assert [duty.processor for duty in duties(engine)] == ["beta"]
    assert "confirming what acme reached failed (ValueError)" in caplog.text
    assert rows(engine, "days") != []  # the rest of the tick was done
    live(feed, enrolled(CY, NOW), now=NOW + 9)
    assert [duty.processor for duty in duties(engine)] == ["beta", "acme"]


def test_a_clock_cannot_be_annulled_reopened_or_corrected(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.RETURNED, "2026-03-12")
    before = standing(engine)
    for kind in (K.ANNULLED, K.REOPENED, K.CORRECTED):
        for rule in ("frt.supplement", "frt.review"):
            with pytest.raises(NotRecorded, match="follows from a filing; name that filing's rule"):
                judge(engine, kind, rule=rule, trigger_day=date(2026, 3, 11))

    assert standing(engine) == before


# -- what is found late about duties before the newest latch -------------------------------------


def cancelled(engine: Engine) -> Feed:
    """Return a feed of a reach that nobody filed, and of a cancellation completed after it."""
    feed = confirmed(engine, TWO)
    gone = [subject_removed(who, A + 1) for who in (ANN, BOB)]
    live(feed, terminated(A), *gone, now=A + 2)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, A + n * DAY, rule=CANCEL, now=A + n * DAY)
    feed.tick(A + 3 * DAY)
    return feed


def test_an_open_duty_moves_to_an_earlier_day_although_its_use_was_cancelled(
    engine: Engine,
) -> None:
    feed = cancelled(engine)
    early = [enrolled(who, MARCH_2 - 5 * DAY, 1) for who in (ANN, BOB)]
    live(feed, *early, now=A + 4 * DAY)

    assert owned(engine) == [("1", "2026-02-25")]
    assert [(row.duty, row.severity) for row in notices(engine, "duty_moved")] == [("1", "page")]
    again = A + 60 * DAY
    live(feed, *[enrolled(who, again, 2) for who in (ANN, BOB)], now=again + 1)

    assert owned(engine) == [("1", "2026-02-25"), ("2", "2026-05-11")]


def test_an_earlier_day_of_a_cancelled_use_waits_until_every_partition_was_read(
    engine: Engine,
) -> None:
    feed = cancelled(engine)
    feed.keeper.topics([TopicSeen(TOPIC, "id", 2)])
    feed.read(0, [enrolled(who, MARCH_2 - 5 * DAY, 1) for who in (ANN, BOB)], A + 4 * DAY)
    feed.at_end(0, A + 4 * DAY + 1)
    feed.tick(A + 4 * DAY + 2)
    before = owned(engine)
    feed.at_end(1, A + 4 * DAY + 3)
    feed.tick(A + 4 * DAY + 4)

    assert (before, owned(engine)) == ([("1", "2026-03-02")], [("1", "2026-02-25")])


def test_an_earlier_day_of_a_filing_that_was_completed_is_asked_about_once(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 2):
        say(engine, kind, MARCH_2 + n * DAY, now=NOW + 5 + n)
    gone = [subject_removed(who, A + 1) for who in (ANN, BOB)]
    live(feed, terminated(A), *gone, now=A + 2)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, A + n * DAY, rule=CANCEL, now=A + n * DAY)
    feed.tick(A + 3 * DAY)
    live(feed, *[enrolled(who, MARCH_2 - 5 * DAY, 1) for who in (ANN, BOB)], now=A + 4 * DAY)
    live(feed, enrolled(CY, MARCH_2 - 6 * DAY, 1), now=A + 5 * DAY)

    assert owned(engine) == [("1", "2026-03-02")]
    (told,) = notices(engine, "restatement_waits")
    assert json.loads(told.body)["found_trigger_day"] == "2026-02-25"


def test_a_reach_that_vanishes_is_asked_about_although_its_use_was_cancelled(
    engine: Engine,
) -> None:
    """Asked once; no more when it is there again; a later day is asked about, too."""
    feed = cancelled(engine)
    asked = []
    for number, individual in enumerate((ANN, None, ANN)):
        live(feed, linked(BOB, individual, MARCH_2 - DAY, number), now=A + (4 + number) * DAY)
        asked.append(rows(engine, "duties")[0].asked)
    live(feed, enrolled(CY, MARCH_2 + 3 * DAY), now=A + 8 * DAY)
    told = [json.loads(row.body)["found_trigger_day"] for row in notices(engine, ASKED)]

    assert asked == ["reach_vanished None", None, "reach_vanished None"]
    assert told == [None, None, "2026-03-05"]
    assert owned(engine) == [("1", "2026-03-02")]


def test_a_real_crossing_before_an_annulled_one_is_asked_about(engine: Engine) -> None:
    """Reopened, the duty moves to the day of the real one."""
    feed = confirmed(engine, [*TWO, *[subject_removed(who, MARCH_2 + DAY) for who in (ANN, BOB)]])
    judge(engine, K.ANNULLED, now=A)
    dan = hashed("dan")
    live(feed, *[enrolled(who, MARCH_2 - 5 * DAY) for who in (CY, dan)], now=A + 10)

    assert standing(engine, A + 20) == [(FILE, "1", "annulled")]
    (told,) = notices(engine, "restatement_waits")
    assert json.loads(told.body)["found_trigger_day"] == "2026-02-25"
    judge(engine, K.REOPENED, duty="1", now=A + 30)
    live(feed, enrolled(CY, A, 1), now=A + 40)

    assert owned(engine) == [("1", "2026-02-25")]


def test_a_number_that_turns_out_to_stand_above_after_an_annulled_reach_is_asked_about(
    engine: Engine,
) -> None:
    feed = confirmed(engine, [*TWO, subject_removed(BOB, MARCH_2 + DAY)])
    judge(engine, K.ANNULLED, now=A)
    feed.tick(A + 1)
    before = notices(engine, "restatement_waits")
    live(feed, enrolled(CY, MARCH_2 + 2), now=A + 10)
    live(feed, enrolled(CY, MARCH_2 + 3, 1), now=A + 20)

    (told,) = notices(engine, "restatement_waits")
    body = json.loads(told.body)
    assert (before, told.duty) == ([], "1")
    assert (body["found_trigger_day"], body["why"]) == (None, "number_stands")


# -- a duty that was submitted, and a decision about one before it -------------------------------


def test_annulling_an_older_duty_does_not_make_one_late_that_was_submitted_in_time(
    engine: Engine,
) -> None:
    feed = confirmed(
        engine,
        [*TWO, subject_removed(BOB, on("2026-03-10")), enrolled(BOB, on("2026-03-15"), 1)],
    )
    ends = on("2026-04-10")
    live(feed, terminated(ends), *[subject_removed(w, ends + 1) for w in (ANN, BOB)], now=ends + 2)
    say(engine, K.SUBMITTED, "2026-04-12", rule=CANCEL)
    say(engine, K.COMPLETED, "2026-04-20", rule=CANCEL)
    again = on("2026-05-11")
    live(feed, *[enrolled(who, again, 2) for who in (ANN, BOB)], now=again + 1)
    say(engine, K.SUBMITTED, "2026-05-20", duty="2")
    judge(engine, K.ANNULLED, duty="1", now=LATER + 1)
    live(feed, enrolled(CY, again + DAY), now=LATER + 2)

    assert owned(engine) == [("1", "2026-03-02"), ("2", "2026-05-11")]
    assert only(engine, FILE, "2").in_time is True
    (told,) = notices(engine, "restatement_waits")
    assert (told.duty, json.loads(told.body)["found_trigger_day"]) == ("1", "2026-03-15")


@pytest.mark.parametrize("submitted", [True, False])
def test_annulling_an_older_end_of_use_leaves_what_was_submitted_for_a_later_one(
    engine: Engine, *, submitted: bool
) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-10")), terminated(on("2026-03-25"))])
    say(engine, K.SUBMITTED, "2026-03-26", rule=CANCEL)
    say(engine, K.COMPLETED, "2026-04-20", rule=CANCEL)
    feed.read(0, [terminated(on("2026-10-10"))], LATER)
    if submitted:
        say(engine, K.SUBMITTED, "2026-10-20", rule=CANCEL, duty="2", now=LATER + 1)
    judge(engine, K.REOPENED, rule=CANCEL, duty="1", now=LATER + 2)
    judge(engine, K.ANNULLED, rule=CANCEL, duty="1", now=LATER + 3)

    second = ("2", "2026-10-10") if submitted else ("2", "2026-03-25")
    assert owned(engine, CANCEL) == [("1", "2026-03-10"), second]
    asked = [json.loads(row.body)["found_trigger_day"] for row in notices(engine, ASKED)]
    assert asked == (["2026-03-25"] if submitted else [])


# -- faces that remain, where the newest cancellation is nobody's --------------------------------


@pytest.mark.parametrize("by", ["annulled", "reopened"])
def test_faces_are_followed_by_the_cancellation_that_is_owed_whatever_became_of_a_newer_one(
    engine: Engine, by: str
) -> None:
    feed = confirmed(engine, TWO)
    live(feed, terminated(A), now=A + 2)
    for n, kind in enumerate((K.SUBMITTED, K.COMPLETED), 1):
        say(engine, kind, A + n * DAY, rule=CANCEL, now=A + n * DAY)
    live(feed, terminated(A + 20 * DAY), now=A + 20 * DAY + 1)
    if by == "annulled":
        judge(engine, K.ANNULLED, rule=CANCEL, duty="2", now=A + 21 * DAY)
    else:
        judge(engine, K.REOPENED, rule=CANCEL, duty="1", now=A + 21 * DAY)
    before = len(notices(engine, "faces_remain"))
    feed.tick(A + 60 * DAY)

    assert [row.duty for row in notices(engine, "faces_remain")][before:] == ["1"]
