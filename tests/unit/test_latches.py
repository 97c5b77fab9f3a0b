"""Latches: which duty is in force, what arms the next one, and what is nobody's any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import CANCEL, FILE, UNTOUCHED, Life, Step, StepKind, Target
from monitor.latches import (
    SUPERSEDED,
    Past,
    Released,
    Turn,
    completed_cancellations,
    firsts,
    left_behind,
    of_instant,
    pasts,
    reached_at,
    released,
    target,
    target_of,
    turns,
)
from monitor.workdays import Deadline, beijing_day, load_calendar

DAY: Instant = 24 * 3600 * 1_000_000
FIRST: Instant = 1_772_409_600_000_000  # 2026-03-02 08:00 in Beijing
K = StepKind


def on(day: float) -> Instant:
    return FIRST + int(day * DAY)


def ended(kind: StepKind, day: float) -> Life:
    """Return a life that ended with *kind* so many days after the first trigger."""
    step = Step(
        id=f"{kind} {day}",
        kind=kind,
        at=on(day),
        known_at=on(day),
        source="command",
        rule=FILE,
        duty="1",
        by="office",
        reason="why",
    )
    return Life((step,))


def held(number: int, day: float, life: Life = UNTOUCHED, *, cancels: bool = False) -> Released:
    return Released(number=number, reached_at=on(day), life=life, cancels=cancels)


ANNULLED = ended(K.ANNULLED, 200)
FILED = ended(K.COMPLETED, 20)


def test_the_first_latch_is_in_force_until_something_arms_the_next() -> None:
    assert turns([], []) == turns([held(1, 0)], []) == [Turn(1, None)]
    assert turns([held(1, 0, FILED)], [on(-1)]) == [Turn(1, None)]


def test_a_completed_cancellation_after_the_reach_arms_the_next() -> None:
    assert turns([held(1, 0, FILED)], [on(-1), on(30), on(40)]) == [Turn(1, None), Turn(2, on(30))]


def test_after_an_annulment_whatever_came_after_the_annulled_reach_counts() -> None:
    assert turns([held(1, 0, ANNULLED)], []) == [Turn(1, None), Turn(2, FIRST)]


def test_latches_follow_each_other_as_far_as_their_duties_have_ended() -> None:
    many = [held(1, 0, ANNULLED), held(2, 30, FILED), held(3, 60)]

    assert [turn.number for turn in turns(many, [on(40)])] == [1, 2, 3]
    assert turns(many, [on(40)])[-1].after == on(40)


def test_a_duty_is_left_behind_when_the_one_before_it_is_owed_again() -> None:
    assert turns([held(1, 0), held(2, 30)], []) == [Turn(1, None)]


def test_a_number_that_has_the_duty_of_something_older_is_passed_over() -> None:
    """1 was reopened and filed, and cancelled after what 2 had been opened for."""
    many = [held(1, 0, FILED), held(2, 30, ANNULLED)]

    assert turns(many, [on(40)])[-1] == Turn(3, on(40))


def test_a_latch_without_a_duty_is_passed_over_where_a_later_one_has_one() -> None:
    """Its rule asked for none then; what armed the later one is a cancellation before it."""
    assert turns([held(2, 30)], [on(5), on(9)])[-1] == Turn(2, on(9))
    assert turns([held(2, 30)], []) == [Turn(1, None)]
    many = [held(1, 0, FILED), held(3, 60)]
    assert turns(many, [on(10), on(50)])[-1] == Turn(3, on(50))
    assert turns(many, [on(10)])[-1] == Turn(2, on(10))


def test_the_end_of_a_cancellation_arms_its_own_latch_even_on_the_day_that_it_began() -> None:
    early = ended(K.COMPLETED, -0.2)  # of a day, whose first instant is before the end of use
    open_one = held(1, 0, UNTOUCHED, cancels=True)

    assert turns([held(1, 0, early, cancels=True)], [on(-0.2)])[-1] == Turn(2, FIRST)
    assert turns([open_one], []) == [Turn(1, None)]


def test_each_latch_is_released_by_the_first_event_after_what_armed_it() -> None:
    taken = [Turn(1, None), Turn(2, on(10)), Turn(3, on(20))]

    assert list(firsts([on(1), on(2), on(10), on(15), on(30)], taken)) == [
        (1, on(1)),
        (2, on(15)),
        (3, on(30)),
    ]
    assert list(firsts([on(30)], taken)) == [(3, on(30))]
    assert list(firsts([], taken)) == []


@pytest.mark.parametrize(("day", "expected"), [(-5, (1, False)), (10, (1, False)), (11, (2, True))])
def test_an_event_belongs_to_the_latch_of_its_instant(
    day: float, expected: tuple[int, bool]
) -> None:
    assert of_instant(on(day), [Turn(1, None), Turn(2, on(10))]) == expected


SUBMITTED = ended(K.SUBMITTED, 61)


@pytest.mark.parametrize(
    ("life", "after", "expected"),
    [
        (SUBMITTED, on(40), on(40)),
        (SUBMITTED, on(-1), FIRST),
        (SUBMITTED, None, FIRST),
        (UNTOUCHED, on(40), FIRST),
    ],
)
def test_a_duty_that_was_submitted_keeps_what_it_came_after(
    life: Life, after: Instant | None, expected: Instant
) -> None:
    """The one before it was annulled, and no cancellation is between them any more."""
    second = replace(held(2, 60, life), after=after)

    assert turns([held(1, 0, ANNULLED), second], [])[-1] == Turn(2, expected)


def test_older_duties_are_looked_back_on_up_to_what_they_began_with() -> None:
    many = [held(1, 0, FILED), held(2, 60, FILED), held(3, 90)]

    assert list(pasts(many[:1], [])) == []
    assert list(pasts(many, [on(30), on(70)])) == [
        Past(1, None, on(0)),
        Past(2, on(30), on(60)),
    ]


def test_the_reach_of_an_older_duty_that_is_owed_still_is_looked_for_up_to_its_end() -> None:
    many = [held(1, 0), held(2, 60, ANNULLED), held(3, 90)]

    assert list(pasts(many, [on(30)])) == [
        Past(1, None, on(0), end=on(30)),
        Past(2, on(30), on(60)),
    ]


def test_of_a_latch_without_a_duty_there_is_nothing_to_look_back_on() -> None:
    assert list(pasts([held(2, 30)], [on(5)])) == []


def test_what_came_between_an_annulled_duty_and_a_submitted_one_is_looked_for() -> None:
    second = replace(held(2, 60, SUBMITTED), after=on(40))

    assert list(pasts([held(1, 0, ANNULLED), second], [])) == [
        Past(1, None, on(0)),
        Past(1, on(0), on(40), between=True),
    ]


# -- of duties -----------------------------------------------------------------------------------


def duty(day: float, key: str = "1", rule: str = FILE, **proof: object) -> Duty:
    at = on(day)
    return Duty(
        processor="acme",
        rule=rule,
        key=key,
        trigger_day=beijing_day(at),
        trigger_at=at,
        not_later_than=False,
        opened_at=at,
        deadline=Deadline.on(beijing_day(on(day + 40)), load_calendar().version),
        proof=proof,
    )


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        ({}, on(5)),
        ({"trigger_at": FIRST}, on(5)),
        ({"trigger_at": FIRST, "corrected": {"found_at": on(1)}}, on(1)),
        ({"trigger_at": FIRST, "corrected": {"found_at": None}}, FIRST),
        ({"at": FIRST, "corrected": {}}, FIRST),
        ({"corrected": {}}, on(5)),
    ],
)
def test_a_duty_was_reached_when_the_facts_say_so_whatever_a_person_decided(
    proof: dict[str, object], expected: Instant
) -> None:
    assert reached_at(on(5), proof) == expected


def test_steps_are_about_a_duty_since_it_was_reached() -> None:
    corrected: dict[str, object] = {"corrected": {"found_at": FIRST}}

    assert target(FILE, "1", on(5), corrected) == Target(FILE, "1", on(5), FIRST)
    found = target_of(duty(5, corrected={"found_at": FIRST}))
    assert found == target(FILE, "1", on(5), corrected)
    assert target(FILE, "1", on(-5), corrected).since is None


def test_only_numbered_duties_were_released_by_a_latch() -> None:
    duties = [duty(0), duty(9, "2", CANCEL), duty(3, "change.4")]
    found = released(duties, {target_of(one): UNTOUCHED for one in duties})

    assert [(one.number, one.cancels) for one in found] == [(1, False), (2, True)]


@pytest.mark.parametrize("after", [FIRST, None])
def test_a_duty_knows_after_what_it_came_by_its_proof(after: Instant | None) -> None:
    one = duty(5, after=after)

    assert released([one], {target_of(one): UNTOUCHED})[0].after == after


def test_a_duty_is_left_behind_that_was_closed_for_its_latch_and_no_other() -> None:
    why = {"superseded": SUPERSEDED, "a person's reason": "a test load", "completed": None}
    closed = [replace(duty(0, key), closed_at=on(9), annulled=one) for key, one in why.items()]

    assert left_behind([*closed, duty(1)]) == {target_of(closed[0])}


def test_cancellations_arm_latches_when_they_are_completed_and_in_order() -> None:
    lives = {
        Target(CANCEL, "1", FIRST): ended(K.COMPLETED, 9),
        Target(CANCEL, "2", on(10)): ended(K.COMPLETED, 4),
        Target(CANCEL, "3", on(20)): ended(K.ANNULLED, 3),
        Target(CANCEL, "4", on(30)): UNTOUCHED,
        Target(FILE, "1", FIRST): ended(K.COMPLETED, 2),
    }

    assert completed_cancellations(lives) == [on(4), on(9)]
