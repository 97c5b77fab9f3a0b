"""Filings in the database: what steps mean for duties, clocks, latches, notices and the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from random import Random

import pytest
from sqlalchemy import Engine

from monitor.duties import Status
from monitor.facts import Fact, Instant, StorageFact
from monitor.filings import Verdict
from monitor.store.agreement import SettingsDiffer
from monitor.store.engine import reading
from monitor.store.filings_said import (
    NotRecorded,
    StepSaid,
    listing,
    record,
)
from monitor.store.names import Names
from monitor.store.outbox import SqlOutbox
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, confirmed, on
from tests.integration.filing_kit import (
    CANCEL,
    FILE,
    LATER,
    K,
    filed,
    judge,
    kinds,
    rows_of_steps,
    running,
    say,
    standing,
    terminated,
)
from tests.integration.store_kit import (
    NOW,
    batch,
    dump,
    duties,
    empty,
    keeper,
    not_owed,
    notices,
    now_status,
    policy,
    rows,
)


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


# -- by command ----------------------------------------------------------------------------------


def test_a_filing_goes_its_way_with_both_clocks_and_every_step_in_the_log(engine: Engine) -> None:
    confirmed(engine, TWO)
    for kind, day in [
        (K.SUBMITTED, "2026-03-05"),
        (K.RETURNED, "2026-03-12"),
        (K.SUBMITTED, "2026-03-20"),
        (K.COMPLETED, "2026-03-25"),
    ]:
        say(engine, kind, day)

    (duty,) = [one for one in duties(engine) if one.rule == FILE]
    reviews, (supplement,) = running(engine, "frt.review"), running(engine, "frt.supplement")
    assert (duty.status(LATER), duty.in_time) == (Status.COMPLETED, True)
    assert [one.deadline.due_day for one in reviews] == [date(2026, 3, 26), date(2026, 4, 13)]
    assert supplement.deadline.due_day == date(2026, 3, 26)
    assert {one.status(LATER) for one in (*reviews, supplement)} == {Status.COMPLETED}
    assert [one for one in kinds(engine) if one.startswith("filing")] == [
        "filing.submitted",
        "filing.taken",
        "filing.returned",
        "filing.taken",
        "filing.submitted",
        "filing.taken",
        "filing.completed",
        "filing.taken",
    ]
    assert len(notices(engine, "filing_step")) == 4
    # Of the clocks only ours pages, and the end of each duty of ours is told.
    assert [one.rule for one in notices(engine, "duty_opened")] == [FILE, "frt.supplement"]
    assert [one.rule for one in notices(engine, "duty_closed")] == ["frt.supplement", FILE]


def test_only_what_is_for_us_to_do_is_shown_as_owed(engine: Engine) -> None:
    confirmed(engine, TWO)
    outbox = SqlOutbox(engine)
    shown = []
    for kind, day in [
        (None, ""),
        (K.SUBMITTED, "2026-03-05"),
        (K.RETURNED, "2026-03-12"),
        (K.TERMINATED, "2026-03-30"),
    ]:
        if kind is not None:
            say(engine, kind, day)
        shown.append([duty.rule for duty in outbox.open_duties()])

    assert shown == [[FILE], [], ["frt.supplement"], [FILE]]
    (supplement,) = running(engine, "frt.supplement")
    assert supplement.status(LATER) is Status.TERMINATED
    assert [one.rule for one in outbox.closed_duties_since(LATER)] == ["frt.supplement"]


def test_the_clock_of_the_authority_is_never_overdue_by_us(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")

    (review,) = running(engine, "frt.review")
    assert review.overdue_at < LATER
    assert (review.status(LATER), review.owed) == (Status.OPEN, False)


def test_a_step_that_is_not_legal_is_refused_and_nothing_is_written(engine: Engine) -> None:
    confirmed(engine, TWO)
    before = (rows(engine, "audit"), rows(engine, "notices"))
    with pytest.raises(NotRecorded, match=r"^frt.file 1: completed is not possible while it is "):
        say(engine, K.COMPLETED, "2026-03-05")
    with pytest.raises(NotRecorded, match="in the future"):
        say(engine, K.SUBMITTED, "2028-01-01")
    with pytest.raises(NotRecorded, match=r"has no duty frt\.cancel; its duties are: frt\.file 1"):
        say(engine, K.SUBMITTED, "2026-03-05", rule=CANCEL)

    assert (rows(engine, "audit"), rows(engine, "notices")) == before
    assert rows(engine, "steps") == []


def test_a_command_with_other_settings_than_the_workers_is_refused(engine: Engine) -> None:
    confirmed(engine, TWO)
    before = dump(engine)
    others = policy(3)
    step = StepSaid(
        processor=ACME, kind=K.SUBMITTED, rule=FILE, duty=None, at=NOW, by="b", reference=None
    )
    with pytest.raises(SettingsDiffer, match=r"rule frt\.file"):
        record(engine, step, others, LATER)

    assert dump(engine) == before


def test_a_duty_that_ends_as_before_after_it_was_open_again_is_told_again(engine: Engine) -> None:
    confirmed(engine, TWO)
    monitor = keeper(engine, POLICY)
    for n, (kind, day) in enumerate(
        [("submitted", "2026-03-05"), ("completed", "2026-03-25"), ("failed", "2026-03-10")]
    ):
        monitor.keep([batch([filed(kind, on(day))], read_at=LATER + n)])
    (wrong,) = [one.step for one in rows_of_steps(engine) if one.kind == "failed"]
    assert [one.rule for one in notices(engine, "duty_reopened")] == [FILE]
    judge(engine, K.CORRECTED, withdraws=wrong, now=LATER + 5)

    assert standing(engine, LATER + 6) == [(FILE, "1", "completed")]
    assert [one.rule for one in notices(engine, "duty_closed")] == [FILE, FILE]


def test_the_same_command_again_changes_nothing(engine: Engine) -> None:
    confirmed(engine, TWO)
    first = say(engine, K.SUBMITTED, "2026-03-05", reference="R1")
    before = (rows(engine, "audit"), rows(engine, "steps"))
    again = say(engine, K.SUBMITTED, "2026-03-05", reference="R1", now=LATER + DAY)

    assert (first.new, again.new) == (True, False)
    assert (rows(engine, "audit"), rows(engine, "steps")) == before


def test_steps_of_one_day_follow_each_other_as_they_are_said(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05", reference="R1")
    say(engine, K.RETURNED, "2026-03-05")
    done = say(engine, K.SUBMITTED, "2026-03-05", reference="R2")

    assert done.duty is not None
    assert [step.kind.value for step in done.duty.life.taken] == [
        "submitted",
        "returned",
        "submitted",
    ]


def test_a_step_that_would_unmake_a_later_one_is_refused(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.RETURNED, "2026-03-25")
    with pytest.raises(NotRecorded, match="then returned of 2026-03-25 would not hold"):
        say(engine, K.TERMINATED, "2026-03-10")


def test_what_was_completed_by_mistake_is_reopened_and_goes_on(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    say(engine, K.COMPLETED, "2026-03-25")
    reopened = judge(engine, K.REOPENED, now=LATER + 1)
    failed = say(engine, K.FAILED, "2026-03-26", now=LATER + 2)

    assert reopened.duty is not None and failed.duty is not None  # noqa: PT018 - for mypy
    assert reopened.duty.status(LATER) is Status.SUBMITTED
    assert failed.duty.status(LATER) is Status.FAILED


def test_after_a_failure_the_filing_is_owed_again_and_pages(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    failed = say(engine, K.FAILED, "2026-03-12")
    again = say(engine, K.SUBMITTED, "2026-03-20")

    assert failed.duty is not None and again.duty is not None  # noqa: PT018 - for mypy
    assert (failed.duty.status(LATER), failed.duty.owed) == (Status.FAILED, True)
    assert again.duty.status(LATER) is Status.SUBMITTED
    severities = [row.severity for row in notices(engine, "filing_step")]
    assert severities == ["info", "page", "info"]


def test_a_correction_moves_the_trigger_day_and_a_look_back_does_not_take_it_back(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    judge(engine, K.CORRECTED, trigger_day=date(2026, 3, 5))
    feed.read(0, [enrolled(ANN, MARCH_2 - 1, 1)], NOW + 3)  # late, and changes no day
    feed.tick(NOW + 4)

    (duty,) = duties(engine)
    assert (duty.trigger_day, duty.deadline.due_day) == (date(2026, 3, 5), date(2026, 4, 17))
    assert [row.severity for row in notices(engine, "duty_corrected")] == ["warning"]
    feed.read(0, [enrolled(ANN, MARCH_2 - DAY, 1), enrolled(BOB, MARCH_2 - DAY)], NOW + 5)
    feed.at_end(0, NOW + 6)
    feed.tick(NOW + 7)
    feed.tick(NOW + 8)

    assert [duty.trigger_day for duty in duties(engine)] == [date(2026, 3, 1)]


def test_a_day_that_a_person_corrected_and_that_moves_again_is_told_again(engine: Engine) -> None:
    """Bob was there, was not, and was after all: the duty moves twice to the same instant."""
    feed = confirmed(engine, [TWO[0], enrolled(CY, MARCH_2 + 2 * DAY)])
    days = []
    for sequence in (0, 2):
        feed.read(0, [enrolled(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.at_end(0, NOW + 4)
        feed.tick(NOW + 5)
        days += [duty.trigger_day for duty in duties(engine)]
        if sequence == 0:
            feed.read(0, [subject_removed(BOB, MARCH_2 + 1, 1)], NOW + 6)
            feed.tick(NOW + 7)
            judge(engine, K.CORRECTED, trigger_day=date(2026, 3, 4))
            days += [duty.trigger_day for duty in duties(engine)]

    assert days == [date(2026, 3, 2), date(2026, 3, 4), date(2026, 3, 2)]
    assert len({row.key for row in notices(engine, "duty_moved")}) == 2


def test_a_step_that_was_told_wrongly_is_taken_back(engine: Engine) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05")
    wrong = say(engine, K.COMPLETED, "2026-03-06")
    back = judge(engine, K.CORRECTED, withdraws=wrong.step)
    again = judge(engine, K.CORRECTED, withdraws=wrong.step, now=LATER + 1)

    assert back.duty is not None
    assert back.duty.status(LATER) is Status.SUBMITTED
    assert (back.new, again.new) == (True, False)
    assert len(notices(engine, "duty_reopened")) == 1
    with pytest.raises(NotRecorded, match="has no step 'x'"):
        judge(engine, K.CORRECTED, withdraws="x")


# -- by event ------------------------------------------------------------------------------------

STORY: list[Fact] = [
    *TWO,
    filed("submitted", MARCH_2 + DAY, reference="R1"),
    filed("returned", MARCH_2 + 5 * DAY, rule=None, reference="R1"),
    filed("submitted", MARCH_2 + 9 * DAY, rule="frt.supplement"),
    filed("completed", MARCH_2 + 12 * DAY, rule=None),
    terminated(MARCH_2 + 20 * DAY),
    filed("submitted", MARCH_2 + 21 * DAY, rule=CANCEL),
    filed("failed", MARCH_2 + 22 * DAY, rule=CANCEL),
    filed("submitted", MARCH_2 + 23 * DAY, rule=CANCEL, reference="C2"),
    filed("completed", MARCH_2 + 25 * DAY, rule=None, reference="C2"),
    subject_removed(ANN, MARCH_2 + 30 * DAY),
    enrolled(ANN, MARCH_2 + 40 * DAY),
    terminated(MARCH_2 + 50 * DAY),
    filed("returned", MARCH_2 + 52 * DAY, rule=CANCEL),
]


def tell(engine: Engine, batches: Sequence[Sequence[Fact]]) -> None:
    """Keep *batches* from a file, and finish as ``apply`` does."""
    keeping = keeper(engine, POLICY)
    for number, facts in enumerate(batches):
        keeping.keep([batch(facts, read_at=NOW + number)])
        if number % 3 == 2:
            keeping.tick(NOW + number)
    keeping.finish(NOW + 100)


def outcome(engine: Engine) -> tuple[object, ...]:
    """Return what must not depend on the order in which things were told."""
    shown = sorted(
        (duty.rule, duty.key, duty.status(LATER).value, str(duty.trigger_day), duty.closed_at)
        for duty in duties(engine)
    )
    with reading(engine) as connection:
        (settled,) = listing(connection, Names.load(connection)).values()
    judged = [(one.step.id, one.verdict) for one in settled.judged]
    reaches = [(row.rule, row.latch, row.after, row.trigger_at) for row in rows(engine, "reaches")]
    return shown, judged, reaches


def cut(rnd: Random, facts: Sequence[Fact]) -> list[list[Fact]]:
    """Return *facts* mixed, some of them twice, in batches of any size."""
    mixed = [*facts, *rnd.sample(list(facts), rnd.randrange(len(facts)))]
    rnd.shuffle(mixed)
    batches: list[list[Fact]] = []
    while mixed:
        size = rnd.randrange(1, 6)
        batches.append(mixed[:size])
        del mixed[:size]
    return batches


def test_events_tell_the_life_of_a_filing(engine: Engine) -> None:
    tell(engine, [[fact] for fact in STORY])

    assert standing(engine) == [
        (FILE, "1", "completed"),
        (CANCEL, "1", "completed"),
        (CANCEL, "2", "overdue"),
        (FILE, "2", "overdue"),
    ]
    (refused,) = notices(engine, "filing_refused")
    assert (refused.rule, refused.duty, refused.severity) == (CANCEL, "2", "warning")
    assert "possible now: submitted" in refused.body
    assert "filing.refused" in kinds(engine)


@pytest.mark.parametrize("seed", range(12))
def test_events_in_any_order_repeated_and_batched_anew_come_to_the_same(
    engine: Engine, seed: int
) -> None:
    tell(engine, [[fact] for fact in STORY])
    straight = outcome(engine)
    empty(engine)
    tell(engine, cut(Random(seed), STORY))

    assert outcome(engine) == straight


def test_a_step_without_a_duty_is_kept_and_taken_when_there_is_one(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [filed("submitted", MARCH_2 + DAY)])

    (waiting,) = notices(engine, "filing_waiting")
    assert (waiting.severity, waiting.rule, waiting.duty) == ("warning", FILE, None)
    feed.read(0, TWO, NOW + 1)
    feed.at_end(0, NOW + 2)
    feed.tick(NOW + 3)

    assert standing(engine) == [(FILE, "1", "submitted")]
    assert kinds(engine)[-1] == "filing.taken"


def test_an_event_and_a_command_that_say_the_same_are_one_step(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-03")
    feed.read(0, [filed("submitted", MARCH_2 + DAY)], NOW + 5)

    with reading(engine) as connection:
        settled = listing(connection, Names.load(connection))[ACME]
    assert [one.verdict for one in settled.judged] == [Verdict.TAKEN, Verdict.REPEATED]
    assert notices(engine, "filing_refused") == []


# -- latches -------------------------------------------------------------------------------------


def reached(engine: Engine) -> list[tuple[int, Instant | None, Instant | None]]:
    return [(row.latch, row.after, row.trigger_at) for row in rows(engine, "reaches")]


def test_an_annulled_reach_waits_for_a_new_passing_from_below(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    judge(engine, K.ANNULLED, now=NOW + 10)
    feed.tick(NOW + 20)
    feed.read(0, [enrolled(ANN, NOW + DAY)], NOW + DAY)
    feed.tick(NOW + DAY)

    assert reached(engine) == [(2, MARCH_2 + 1, None)]
    assert not now_status(engine, POLICY.rules).processors[0].recount_pending
    falls: list[StorageFact] = [
        subject_removed(BOB, NOW + 2 * DAY),
        enrolled(BOB, NOW + 3 * DAY),
    ]
    feed.read(0, falls, NOW + 3 * DAY)
    feed.tick(NOW + 3 * DAY)
    feed.at_end(0, NOW + 3 * DAY + 1)
    feed.tick(NOW + 3 * DAY + 2)

    assert reached(engine) == [(2, MARCH_2 + 1, NOW + 3 * DAY)]
    assert standing(engine, NOW + 4 * DAY) == [(FILE, "1", "annulled"), (FILE, "2", "open")]


def test_a_reach_that_is_not_confirmed_keeps_its_latch(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(MARCH_2 + DAY), *TWO])
    feed.read(
        0,
        [filed(k, MARCH_2 + n * DAY, rule=CANCEL) for n, k in [(2, "submitted"), (3, "completed")]],
    )

    assert reached(engine) == [(1, None, MARCH_2 + 1)]
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)

    assert (FILE, "1", "overdue") in standing(engine)
    assert reached(engine) == [(2, MARCH_2 + 3 * DAY, None)]


def test_reopening_takes_the_new_latch_back(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    judge(engine, K.ANNULLED, now=NOW + 10)
    feed.tick(NOW + 11)
    reopened = judge(engine, K.REOPENED, now=NOW + 20)
    feed.tick(NOW + 21)
    feed.at_end(0, NOW + 30)
    feed.tick(NOW + 31)

    assert reopened.duty is not None
    assert reopened.duty.status(NOW + 20) is Status.OPEN
    assert reached(engine) == [(1, None, MARCH_2 + 1)]
    assert standing(engine, NOW + 40) == [(FILE, "1", "open")]


def test_a_termination_after_an_annulled_one_opens_a_second_duty(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [terminated(on("2026-03-02"))])
    judge(engine, K.ANNULLED, rule=CANCEL, now=NOW + 10)
    feed.read(0, [terminated(on("2026-03-03")), terminated(NOW + DAY)], NOW + DAY)

    assert standing(engine, NOW + 2 * DAY) == [(CANCEL, "1", "annulled"), (CANCEL, "2", "open")]
