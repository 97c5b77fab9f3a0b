"""The life of a filing: every state with every step, and steps in any order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.facts import Instant
from monitor.filing_clocks import clock_life, clocks
from monitor.filings import (
    CANCEL,
    CHANGE,
    ENDS,
    FILE,
    LEGAL,
    OWED,
    REVIEW,
    SUPPLEMENT,
    UNTOUCHED,
    Illegal,
    Life,
    Settled,
    State,
    Step,
    StepKind,
    Target,
    Verdict,
    family,
    of_family,
    settle,
)

DAY: Instant = 24 * 3600 * 1_000_000
FIRST: Instant = 1_772_409_600_000_000  # 2026-03-02 08:00 in Beijing
DUTY = Target(FILE, "1", FIRST)
LATER = Target(FILE, "2", FIRST + 100 * DAY)
K = StepKind


def step(kind: StepKind, day: float, **more: object) -> Step:
    """Return a step of the first duty of frt.file, so many days after its trigger."""
    at = FIRST + int(day * DAY)
    known: dict[str, object] = {"rule": FILE, "duty": "1", "by": "office", "reason": "because"}
    known |= {"id": f"{kind} {day} {more}", "known_at": at + 7, **more}
    return Step(kind=kind, at=at, source="command", **known)  # type: ignore[arg-type]  # by name


def told(kind: StepKind, day: float, **more: object) -> Step:
    """Return a step that names no duty, as an event tells it."""
    return step(kind, day, **({"duty": None, "by": None, "reason": None} | more))


def lived(*kinds: StepKind) -> Life:
    """Return the life that these steps lead to, one a day."""
    return settle([DUTY], [step(kind, day) for day, kind in enumerate(kinds)]).lives[DUTY]


WAYS: dict[State, tuple[StepKind, ...]] = {
    State.OPEN: (),
    State.SUBMITTED: (K.SUBMITTED,),
    State.RETURNED: (K.SUBMITTED, K.RETURNED),
    State.COMPLETED: (K.SUBMITTED, K.COMPLETED),
    State.FAILED: (K.SUBMITTED, K.FAILED),
    State.TERMINATED: (K.SUBMITTED, K.RETURNED, K.TERMINATED),
    State.ANNULLED: (K.SUBMITTED, K.ANNULLED),
}

# Every state, and where each step leads from it: written down a second time, from the law.
LEADS: dict[State, dict[StepKind, State]] = {
    State.OPEN: {
        K.SUBMITTED: State.SUBMITTED,
        K.ANNULLED: State.ANNULLED,
        K.CORRECTED: State.OPEN,
    },
    State.SUBMITTED: {
        K.RETURNED: State.RETURNED,
        K.COMPLETED: State.COMPLETED,
        K.FAILED: State.FAILED,
        K.TERMINATED: State.TERMINATED,
        K.ANNULLED: State.ANNULLED,
        K.CORRECTED: State.SUBMITTED,
    },
    State.RETURNED: {
        K.SUBMITTED: State.SUBMITTED,
        K.TERMINATED: State.TERMINATED,
        K.ANNULLED: State.ANNULLED,
        K.CORRECTED: State.RETURNED,
    },
    State.FAILED: {
        K.SUBMITTED: State.SUBMITTED,
        K.ANNULLED: State.ANNULLED,
        K.CORRECTED: State.FAILED,
    },
    State.TERMINATED: {
        K.SUBMITTED: State.SUBMITTED,
        K.ANNULLED: State.ANNULLED,
        K.CORRECTED: State.TERMINATED,
    },
    State.COMPLETED: {K.REOPENED: State.SUBMITTED},
    State.ANNULLED: {K.REOPENED: State.SUBMITTED},
}
EVERY = [(state, kind) for state in State for kind in StepKind]


@pytest.mark.parametrize(("state", "kind"), EVERY, ids=[f"{s}-{k}" for s, k in EVERY])
def test_every_step_in_every_state_leads_where_the_law_says_or_is_refused(
    state: State, kind: StepKind
) -> None:
    life = lived(*WAYS[state])
    following = step(kind, 9)

    assert life.state is state
    if kind in LEADS[state]:
        assert life.after(following).state is LEADS[state][kind]
        assert kind in LEGAL[state]
    else:
        with pytest.raises(Illegal) as refused:
            life.after(following)
        legal = [one.value for one in StepKind if one in LEADS[state]]
        assert sorted(str(refused.value).rpartition(": ")[2].split(", ")) == sorted(legal)
        assert str(refused.value).startswith(f"{kind} is not possible while it is {state}")


@pytest.mark.parametrize("state", State)
def test_what_was_annulled_is_reopened_to_what_it_was(state: State) -> None:
    if K.ANNULLED not in LEADS[state]:
        assert state in ENDS
        return
    reopened = lived(*WAYS[state]).after(step(K.ANNULLED, 8)).after(step(K.REOPENED, 9))

    assert reopened == lived(*WAYS[state])


@pytest.mark.parametrize("state", State)
def test_a_state_is_owed_or_ended_or_with_the_authority(state: State) -> None:
    awaited = state in {State.SUBMITTED, State.RETURNED}

    assert [state in OWED, state in ENDS, awaited].count(True) == 1
    assert (lived(*WAYS[state]).ended is not None) == (state in ENDS)


def test_a_life_knows_how_it_stood_at_any_instant() -> None:
    life = lived(K.SUBMITTED, K.RETURNED, K.SUBMITTED, K.COMPLETED)
    days = [-1, 0, 0.5, 1, 2, 3, 99]

    assert [life.state_at(FIRST + int(day * DAY)).value for day in days] == [
        "open",
        "submitted",
        "submitted",
        "returned",
        "submitted",
        "completed",
        "completed",
    ]
    assert life.submitted_at == FIRST
    assert UNTOUCHED.submitted_at is None


# -- steps in any order --------------------------------------------------------------------------


def verdicts(settled: Settled) -> dict[str, Verdict]:
    return {one.step.id: one.verdict for one in settled.judged}


RETURNED_ONCE = [
    told(K.SUBMITTED, 1),
    told(K.RETURNED, 5),
    told(K.SUBMITTED, 9),
    told(K.COMPLETED, 12),
]


@pytest.mark.parametrize("order", list(permutations(RETURNED_ONCE)))
def test_steps_are_taken_by_when_they_happened_and_not_by_when_they_were_told(
    order: Sequence[Step],
) -> None:
    settled = settle([DUTY], order)

    assert settled.lives[DUTY].taken == tuple(RETURNED_ONCE)
    assert set(verdicts(settled).values()) == {Verdict.TAKEN}


def test_steps_of_one_instant_are_taken_in_their_fixed_order() -> None:
    same = [told(kind, 1, id=kind.value) for kind in (K.COMPLETED, K.RETURNED, K.SUBMITTED)]
    settled = settle([DUTY], same)

    assert settled.lives[DUTY].state is State.RETURNED
    assert verdicts(settled) == {
        "submitted": Verdict.TAKEN,
        "returned": Verdict.TAKEN,
        "completed": Verdict.REFUSED,
    }


def test_steps_of_one_instant_are_taken_in_the_order_that_their_source_gives_them() -> None:
    same = [
        told(K.SUBMITTED, 5, reference="R2", detail={"sequence": 2}),
        told(K.RETURNED, 5, reference="R1", detail={"sequence": 1}),
    ]
    settled = settle([DUTY], [told(K.SUBMITTED, 1, reference="R1"), *same])

    assert set(verdicts(settled).values()) == {Verdict.TAKEN}
    assert settled.lives[DUTY].state is State.SUBMITTED


def test_clocks_of_one_instant_are_told_apart_by_the_sequence() -> None:
    steps = [
        told(K.SUBMITTED, 1, reference="R1"),
        told(K.RETURNED, 1, detail={"sequence": 1}),
        told(K.SUBMITTED, 1, reference="R2", detail={"sequence": 2}),
    ]
    found = list(clocks(DUTY, settle([DUTY], steps).lives[DUTY]))

    assert len({(clock.rule, clock.key) for clock in found}) == 3


def test_a_step_that_is_not_legal_where_it_stands_is_refused_with_why() -> None:
    settled = settle([DUTY], [told(K.RETURNED, 3)])

    (judged,) = settled.judged
    assert (judged.verdict, judged.target, judged.state) == (Verdict.REFUSED, DUTY, State.OPEN)
    assert judged.why == (
        "returned is not possible while it is open; possible now: submitted, annulled, corrected"
    )


def test_a_step_without_any_duty_waits_and_is_taken_once_there_is_one() -> None:
    steps = [told(K.SUBMITTED, 1)]
    (alone,) = settle([], steps).judged
    (later,) = settle([DUTY], steps).judged

    assert (alone.verdict, alone.why) == (
        Verdict.WAITING,
        "there is no duty that it could be about",
    )
    assert (later.verdict, later.why) == (Verdict.TAKEN, "")


def test_what_is_left_over_of_an_older_duty_never_meets_a_younger_one() -> None:
    steps = [told(K.SUBMITTED, 1), told(K.COMPLETED, 2), told(K.SUBMITTED, 30)]
    settled = settle([DUTY, LATER], steps)

    assert settled.lives[DUTY].state is State.COMPLETED
    assert settled.lives[LATER] == UNTOUCHED
    assert settled.judged[-1].verdict is Verdict.WAITING


def test_a_submission_before_the_trigger_day_counts_only_if_it_names_the_duty() -> None:
    early = told(K.SUBMITTED, -3)
    named = replace(early, duty="1")

    assert settle([DUTY], [early]).judged[0].verdict is Verdict.WAITING
    assert settle([DUTY], [named]).lives[DUTY].state is State.SUBMITTED


def test_what_met_a_duty_meets_it_still_when_its_day_is_corrected() -> None:
    moved = Target(FILE, "1", FIRST + 9 * DAY, FIRST)

    assert settle([moved], [told(K.SUBMITTED, 3)]).lives[moved].state is State.SUBMITTED
    assert settle([moved], [told(K.SUBMITTED, -3)]).judged[0].verdict is Verdict.WAITING


def test_a_submission_on_the_trigger_day_counts_whatever_the_hour() -> None:
    settled = settle([DUTY], [told(K.SUBMITTED, -0.25)])

    assert settled.lives[DUTY].state is State.SUBMITTED


def test_an_answer_to_a_duty_that_has_ended_waits_unless_it_names_it() -> None:
    done = [told(K.SUBMITTED, 1), told(K.COMPLETED, 2)]
    unnamed = settle([DUTY], [*done, told(K.RETURNED, 5)]).judged[-1]
    named = settle([DUTY], [*done, told(K.RETURNED, 5, duty="1")]).judged[-1]

    assert unnamed.verdict is Verdict.WAITING
    assert (named.verdict, named.state) == (Verdict.REFUSED, State.COMPLETED)


# -- which duty ----------------------------------------------------------------------------------

CHANGES = [Target(CHANGE, "a", FIRST), Target(CHANGE, "b", FIRST + DAY)]
EVERYTHING = [DUTY, *CHANGES, Target(CANCEL, "1", FIRST + 2 * DAY)]


def taken_by(settled: Settled) -> dict[str, list[str]]:
    return {
        f"{target.rule} {target.key}": [step.kind.value for step in life.taken]
        for target, life in settled.lives.items()
        if life.taken
    }


def test_a_step_that_names_no_duty_is_about_the_oldest_for_which_it_is_legal() -> None:
    steps = [told(K.SUBMITTED, day, rule=CHANGE) for day in (3, 4)]

    assert taken_by(settle(CHANGES, steps)) == {
        "frt.change a": ["submitted"],
        "frt.change b": ["submitted"],
    }


def test_a_step_that_names_no_rule_can_be_about_any_filing() -> None:
    steps = [told(K.SUBMITTED, 3, rule=FILE), told(K.SUBMITTED, 4, rule=None)]

    assert taken_by(settle(EVERYTHING, steps)) == {
        "frt.file 1": ["submitted"],
        "frt.change a": ["submitted"],
    }


def test_rules_of_our_own_are_met_only_by_steps_that_name_them() -> None:
    own = Target("own.rule", "1", FIRST)
    unnamed = settle([own], [told(K.SUBMITTED, 1, rule=None)])
    named = settle([own], [told(K.SUBMITTED, 1, rule="own.rule")])

    assert unnamed.judged[0].verdict is Verdict.WAITING
    assert taken_by(named) == {"own.rule 1": ["submitted"]}


def test_a_step_of_a_supplement_is_about_the_filing_that_was_returned() -> None:
    clock = Target(SUPPLEMENT, "frt.file.1.5", FIRST + 5 * DAY)
    steps = [*RETURNED_ONCE[:2], told(K.SUBMITTED, 9, rule=SUPPLEMENT)]
    settled = settle([clock, DUTY], steps)

    assert taken_by(settled) == {"frt.file 1": ["submitted", "returned", "submitted"]}


def test_a_step_has_to_name_a_duty_that_nobody_owes_now() -> None:
    steps = [
        told(K.SUBMITTED, 3, rule=CHANGE),
        told(K.SUBMITTED, 4, rule=CHANGE, duty="a", reference="R1"),
        told(K.COMPLETED, 5, rule=CHANGE),
        told(K.RETURNED, 6, rule=CHANGE, reference="R1"),
    ]

    assert taken_by(settle(CHANGES, steps, left=CHANGES[:1])) == {
        "frt.change a": ["submitted", "returned"],
        "frt.change b": ["submitted", "completed"],
    }


def test_what_is_told_after_an_annulment_is_about_another_duty_or_waits() -> None:
    annulled = step(K.ANNULLED, 200)
    late = [
        told(K.SUBMITTED, 110, known_at=annulled.known_at + 1),
        told(K.COMPLETED, 120, known_at=annulled.known_at + 2),
    ]
    alone = settle([DUTY], [annulled, *late])
    both = settle([DUTY, LATER], [annulled, *late])

    assert alone.lives[DUTY].state is State.ANNULLED
    assert [one.verdict for one in alone.judged[:2]] == [Verdict.WAITING] * 2
    assert [both.lives[one].state for one in (DUTY, LATER)] == [State.ANNULLED, State.COMPLETED]


def test_what_was_told_before_an_annulment_stays_with_its_duty() -> None:
    annulled = step(K.ANNULLED, 200)
    early = told(K.SUBMITTED, 110, known_at=annulled.known_at)
    settled = settle([DUTY, LATER], [annulled, early])

    assert [one.kind for one in settled.lives[DUTY].taken] == [K.SUBMITTED, K.ANNULLED]


def test_what_an_annulled_duty_has_is_news_for_another_one_that_can_take_it() -> None:
    early = told(K.SUBMITTED, 110, reference="R1", known_at=FIRST)
    annulled = step(K.ANNULLED, 200)
    again = told(K.SUBMITTED, 110.1, reference="R1", known_at=annulled.known_at + 1)
    alone = settle([DUTY], [early, annulled, again])
    both = settle([DUTY, LATER], [early, annulled, again])

    assert verdicts(alone)[again.id] is Verdict.REPEATED
    assert verdicts(both)[again.id] is Verdict.TAKEN
    assert [both.lives[one].state for one in (DUTY, LATER)] == [State.ANNULLED, State.SUBMITTED]


def test_an_event_that_names_an_annulled_duty_is_refused_and_overturns_nothing() -> None:
    annulled = step(K.ANNULLED, 200)
    late = [step(kind, 110, known_at=annulled.known_at + 1) for kind in (K.SUBMITTED, K.COMPLETED)]
    settled = settle([DUTY, LATER], [annulled, *late])

    assert settled.lives[DUTY].state is State.ANNULLED
    assert [one.verdict for one in settled.judged] == [Verdict.REFUSED] * 2 + [Verdict.TAKEN]
    assert "while it is annulled; possible now: reopened" in settled.judged[0].why


def test_an_answer_to_the_submission_of_an_annulled_duty_is_refused() -> None:
    submitted, annulled = told(K.SUBMITTED, 110, reference="R1"), step(K.ANNULLED, 200)
    other = step(K.SUBMITTED, 111, duty="2", reference="R2")
    answer = told(K.COMPLETED, 120, reference="R1", known_at=annulled.known_at + 1)
    settled = settle([DUTY, LATER], [submitted, annulled, other, answer])

    assert [settled.lives[one].state for one in (DUTY, LATER)] == [State.ANNULLED, State.SUBMITTED]
    assert settled.judged[2].verdict is Verdict.REFUSED


def test_what_an_annulment_kept_away_is_taken_once_that_is_reopened() -> None:
    annulled = step(K.ANNULLED, 200)
    late = step(K.SUBMITTED, 110, known_at=annulled.known_at + 1)
    decided = annulled.known_at + 2
    withdrawn = step(K.REOPENED, 201, known_at=decided, withdraws=annulled.id)

    assert settle([DUTY], [annulled, late, withdrawn]).lives[DUTY].state is State.SUBMITTED
    undone = step(K.REOPENED, 201, known_at=decided)
    assert settle([DUTY], [annulled, late, undone]).lives[DUTY].state is State.SUBMITTED


@pytest.mark.parametrize("rule", [FILE, "frt.file.legacy"])
def test_a_rule_and_its_legacy_row_are_of_one_family(rule: str) -> None:
    assert of_family(rule) == {FILE, "frt.file.legacy"}
    assert of_family("frt.cancel") == {"frt.cancel"}


def test_a_duty_keeps_its_steps_when_it_turns_into_the_legacy_one() -> None:
    legacy = Target("frt.file.legacy", "1", FIRST)

    assert settle([legacy], RETURNED_ONCE).lives[legacy].state is State.COMPLETED
    assert (family("frt.file.legacy"), family("pio.legacy")) == (FILE, "pio.report")
    assert family("own.rule") == "own.rule"


def test_an_answer_goes_to_the_submission_of_its_reference() -> None:
    steps = [
        told(K.SUBMITTED, 3, rule=CHANGE, reference="R1"),
        told(K.SUBMITTED, 4, rule=CHANGE, reference="R2"),
        told(K.COMPLETED, 5, rule=CHANGE, reference="R2"),
        told(K.RETURNED, 6, rule=None, reference="a letter of its own"),
    ]

    assert taken_by(settle(CHANGES, steps)) == {
        "frt.change a": ["submitted", "returned"],
        "frt.change b": ["submitted", "completed"],
    }


# -- repeats -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "again",
    [
        told(K.SUBMITTED, 1),
        told(K.SUBMITTED, 1, reference="R1"),
        # A person says the day, an event the instant.
        step(K.SUBMITTED, 1.25),
        told(K.SUBMITTED, 1.5, reference=None),
    ],
)
def test_a_step_that_is_told_twice_is_a_repeat(again: Step) -> None:
    first = told(K.SUBMITTED, 1, id="first", reference="R1")
    settled = settle([DUTY], [again, first])

    assert len(settled.lives[DUTY].taken) == 1
    assert sorted(verdicts(settled).values()) == [Verdict.REPEATED, Verdict.TAKEN]
    assert sorted(one.why for one in settled.judged) == ["", "frt.file 1 has it already"]


@pytest.mark.parametrize(
    "other",
    [told(K.SUBMITTED, 1, reference="R2"), told(K.SUBMITTED, 2), told(K.SUBMITTED, 4)],
)
def test_a_submission_of_another_day_or_reference_is_no_repeat(other: Step) -> None:
    first = told(K.SUBMITTED, 0.5, reference="R1")

    assert settle([DUTY], [first, other]).judged[1].verdict is Verdict.REFUSED


def test_an_event_of_the_day_that_a_person_told_is_no_second_submission() -> None:
    """A person told the day of submission and return; the event has the hour of the first."""
    dated = [
        step(K.SUBMITTED, 1, detail={"dated": True}),
        step(K.RETURNED, 1.000001, detail={"dated": True}),
    ]
    event, other = told(K.SUBMITTED, 1.1), step(K.SUBMITTED, 1.2)

    assert settle([DUTY], [*dated, event]).lives[DUTY].state is State.RETURNED
    # A person who tells the hour means another one.
    assert settle([DUTY], [*dated, other]).lives[DUTY].state is State.SUBMITTED


def test_what_was_told_before_others_came_is_a_repeat_still() -> None:
    again = [told(K.SUBMITTED, 1.1, id="again", reference="R"), told(K.RETURNED, 5, id="second")]
    steps = [told(K.SUBMITTED, 1, reference="R"), told(K.RETURNED, 1.05), *again]
    settled = settle([DUTY], steps)

    assert settled.lives[DUTY].state is State.RETURNED
    assert verdicts(settled)["again"] is Verdict.REPEATED


# -- decisions -----------------------------------------------------------------------------------


def test_a_step_that_was_taken_back_is_as_if_it_had_never_been_told() -> None:
    wrong = told(K.COMPLETED, 3, id="wrong")
    back = step(K.CORRECTED, 4, withdraws="wrong")
    settled = settle([DUTY], [told(K.SUBMITTED, 1), wrong, back])

    assert settled.lives[DUTY].state is State.SUBMITTED
    assert verdicts(settled)["wrong"] is Verdict.WITHDRAWN
    assert [one.why for one in settled.judged] == ["", "a person took it back", ""]


def test_what_is_reopened_may_go_on_from_before_the_decision() -> None:
    wrong = step(K.COMPLETED, 3, id="wrong")
    opened = step(K.REOPENED, 40, withdraws="wrong")
    settled = settle([DUTY], [told(K.SUBMITTED, 1), wrong, opened, told(K.FAILED, 4)])

    assert settled.lives[DUTY].state is State.FAILED


@pytest.mark.parametrize(
    ("kind", "lacks"),
    [
        (K.ANNULLED, {"by": None}),
        (K.REOPENED, {"reason": ""}),
        (K.CORRECTED, {"duty": None}),
        (K.ANNULLED, {"rule": None}),
    ],
)
def test_a_decision_says_what_it_is_about_and_who_and_why(
    kind: StepKind, lacks: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="needs the duty, who decided it, and why"):
        step(kind, 1, **lacks)


def test_only_decisions_take_a_step_back_and_every_step_has_an_id() -> None:
    with pytest.raises(ValueError, match="only a correction or a reopening"):
        step(K.SUBMITTED, 1, withdraws="x")
    with pytest.raises(ValueError, match="needs an id"):
        step(K.SUBMITTED, 1, id="")


# -- clocks --------------------------------------------------------------------------------------


def ended(*kinds: StepKind) -> list[tuple[str, str]]:
    """Return each clock of a life with how it ended."""
    life = lived(*kinds)
    return [(one.rule, clock_life(one).state.value) for one in clocks(DUTY, life)]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), []),
        ((K.SUBMITTED,), [(REVIEW, "open")]),
        ((K.SUBMITTED, K.COMPLETED), [(REVIEW, "completed")]),
        ((K.SUBMITTED, K.FAILED), [(REVIEW, "completed")]),
        ((K.SUBMITTED, K.TERMINATED), [(REVIEW, "completed")]),
        ((K.SUBMITTED, K.ANNULLED), [(REVIEW, "annulled")]),
        ((K.SUBMITTED, K.RETURNED), [(REVIEW, "completed"), (SUPPLEMENT, "open")]),
        (
            (K.SUBMITTED, K.RETURNED, K.TERMINATED),
            [(REVIEW, "completed"), (SUPPLEMENT, "terminated")],
        ),
        (
            (K.SUBMITTED, K.RETURNED, K.ANNULLED),
            [(REVIEW, "completed"), (SUPPLEMENT, "annulled")],
        ),
        (
            (K.SUBMITTED, K.RETURNED, K.SUBMITTED),
            [(REVIEW, "completed"), (SUPPLEMENT, "completed"), (REVIEW, "open")],
        ),
    ],
)
def test_a_submission_starts_a_review_and_a_return_a_supplement(
    kinds: Sequence[StepKind], expected: list[tuple[str, str]]
) -> None:
    assert ended(*kinds) == expected


def test_a_clock_is_named_after_its_filing_and_the_instant_of_its_step() -> None:
    legacy = Target("frt.file.legacy", "1", FIRST)
    keys = [
        [clock.key for clock in clocks(target, lived(K.SUBMITTED, K.RETURNED))]
        for target in (DUTY, legacy)
    ]

    assert keys[0] == keys[1] == [f"frt.file.1.{FIRST}", f"frt.file.1.{FIRST + DAY}"]


def test_only_filings_of_article_15_have_clocks() -> None:
    own = Target("own.rule", "1", FIRST)

    assert list(clocks(own, lived(K.SUBMITTED))) == []


def test_the_end_of_a_clock_is_the_step_that_ended_it() -> None:
    review, supplement, _ = clocks(DUTY, lived(K.SUBMITTED, K.RETURNED, K.SUBMITTED))

    assert clock_life(review).taken[0].at == FIRST + DAY
    assert clock_life(supplement).taken[0].at == FIRST + 2 * DAY


# -- any history ---------------------------------------------------------------------------------

TARGETS = [*EVERYTHING, LATER]
STEPS = st.builds(
    told,
    st.sampled_from([K.SUBMITTED, K.RETURNED, K.COMPLETED, K.FAILED]),
    st.integers(0, 110).map(lambda n: n / 2),
    rule=st.sampled_from([None, FILE, CHANGE, CANCEL, SUPPLEMENT]),
    duty=st.sampled_from([None, None, "1", "2", "a"]),
    reference=st.sampled_from([None, None, "R1", "R2"]),
)


@settings(max_examples=50)
@given(st.lists(STEPS, max_size=12, unique_by=lambda one: one.id), st.randoms())
def test_drawn_steps_in_any_order_come_to_the_same_states(steps: list[Step], rnd: Random) -> None:
    mixed, targets = list(steps), list(TARGETS)
    rnd.shuffle(mixed)
    rnd.shuffle(targets)

    assert settle(targets, mixed) == settle(TARGETS, steps)


@settings(max_examples=50)
@given(st.lists(STEPS, max_size=12, unique_by=lambda one: one.id))
def test_every_drawn_step_is_accounted_for_and_every_life_is_legal(steps: list[Step]) -> None:
    found = settle(TARGETS, steps)
    taken = [step.id for life in found.lives.values() for step in life.taken]

    assert sorted(one.step.id for one in found.judged) == sorted(step.id for step in steps)
    assert sorted(taken) == sorted(
        one.step.id for one in found.judged if one.verdict is Verdict.TAKEN
    )
    for life in found.lives.values():
        state = State.OPEN
        for one in life.taken:
            state = LEADS[state][one.kind]
        assert state is life.state
