"""What a batch leaves to be written, and whom it moves: one kind of fact at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from monitor.facts import Instant, StorageFact
from monitor.folding import Folded, Movement, Watch, fold, look
from monitor.history import Point
from monitor.ledger import Ledger, slot_of
from tests.builders import (
    ACME,
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    CY,
    LEFT,
    OTHER_TABLE,
    PAY,
    SHARED,
    TABLE,
    enrolled,
    face_removed,
    gallery_store,
    linked,
    nothing_is_research,
    purged,
    removed,
    row,
    row_deleted,
    subject_removed,
    truncated,
)

TENANTS = {SHARED.name: [ACME, BETA], TABLE.name: [BETA]}


def after(
    known: Sequence[StorageFact],
    *facts: StorageFact,
    last_at: Mapping[str, Instant] | None = None,
    instant_by_instant: bool = False,
) -> Folded:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all(known)
    return fold(
        ledger,
        facts,
        tenants=TENANTS,
        last_at=last_at or {},
        instant_by_instant=instant_by_instant,
    )


NAMED = enrolled(ANN, 1, face=LEFT, store=SHARED)
MOVED = enrolled(BOB, 2, face=LEFT, place=BETA_GATE, store=SHARED)


@pytest.mark.parametrize(
    ("known", "fact", "subjects", "named"),
    [
        # An unnamed slot is kept in the row of its subject.
        ([], enrolled(ANN, 1), {(ACME, ANN)}, False),
        ([enrolled(ANN, 1)], removed(ANN, 2), {(ACME, ANN)}, False),
        ([], removed(ANN, 2), {(ACME, ANN)}, False),
        # A named one has a row of its own, and whoever had it has one face less.
        ([], NAMED, {(ACME, ANN)}, True),
        ([NAMED], MOVED, {(ACME, ANN), (BETA, BOB)}, True),
        ([NAMED], face_removed(LEFT, 2, store=SHARED), {(ACME, ANN)}, True),
        ([], face_removed(LEFT, 2, store=SHARED), set(), True),
        # What loses against a newer fact changes no row.
        ([MOVED], NAMED, set(), False),
        ([], subject_removed(ANN, 1), {(ACME, ANN)}, False),
        ([], linked(ANN, BOB, 1), {(ACME, ANN)}, False),
        ([linked(ANN, BOB, 2)], linked(ANN, CY, 1), set(), False),
        ([subject_removed(ANN, 2)], subject_removed(ANN, 1), set(), False),
        ([], purged(1), set(), False),
    ],
)
def test_the_rows_that_a_fact_changes(
    known: list[StorageFact],
    fact: StorageFact,
    subjects: set[tuple[str, bytes]],
    *,
    named: bool,
) -> None:
    folded = after(known, fact)

    assert folded.subjects == subjects
    assert folded.slots == ({slot_of(MOVED)} if named else set())
    assert folded.fresh == [fact]


@pytest.mark.parametrize(
    ("known", "fact", "in_force"),
    [
        ([], purged(2), True),
        ([], truncated((0, 2, 2), at=2), True),
        # An older one is written into the book, and changes nothing.
        ([purged(3)], purged(2), False),
        ([truncated((0, 3, 3), at=3)], truncated((0, 2, 2), at=2), False),
        ([], linked(ANN, BOB, 1), False),
        ([], subject_removed(ANN, 1), False),
    ],
)
def test_scope_removals_in_force_are_rows_of_their_own(
    known: list[StorageFact], fact: StorageFact, *, in_force: bool
) -> None:
    folded = after(known, fact)

    assert folded.scopes == ([fact] if in_force else [])
    assert folded.fresh == [fact]


@pytest.mark.parametrize(
    ("fact", "moved"),
    [
        (enrolled(ANN, 5, face=LEFT, store=SHARED), {ACME: 1, BETA: 0}),
        (enrolled(BOB, 5, face=LEFT, place=BETA_GATE, store=SHARED), {ACME: 0, BETA: 1}),
        (face_removed(LEFT, 5, store=SHARED), {ACME: 0, BETA: 0}),
        (removed(ANN, 5, store=SHARED), {ACME: 0}),
        # A gallery's own store has no tenants but its owner.
        (enrolled(ANN, 5, face=LEFT), {ACME: 1}),
        (face_removed(LEFT, 5, store=gallery_store(PAY)), {}),
        (truncated((0, 5, 5), at=5), {BETA: 0}),
        (truncated((5, 0, 0), at=5, store=SHARED), {ACME: 0, BETA: 0}),
        (truncated((0, 5, 5), at=5, store=OTHER_TABLE), {}),
        (row_deleted(LEFT, (0, 5, 5), at=5), {BETA: 0}),
        (linked(ANN, BOB, 5), {ACME: 1}),
        (linked(ANN, BOB, 5, processor=BETA), {BETA: 1}),
        (subject_removed(ANN, 5), {ACME: 0}),
        (purged(5, processor=BETA), {BETA: 0}),
    ],
)
@pytest.mark.parametrize("step_by_step", [False, True])
def test_whom_a_fact_moves_and_whose_number_it_can_raise(
    fact: StorageFact, moved: dict[str, int], *, step_by_step: bool
) -> None:
    late = {ACME: 5, BETA: 4}
    folded = after([], fact, last_at=late, instant_by_instant=step_by_step)

    raising = {name: movement.raising for name, movement in folded.movements.items()}
    assert raising == moved
    for name, movement in folded.movements.items():
        assert (movement.first_at, movement.last_at) == (5, 5)
        assert movement.raising_late == (moved[name] if name == ACME else 0)


def test_a_processor_of_which_nothing_was_known_has_no_late_facts() -> None:
    assert after([], enrolled(ANN, 0)).movements[ACME].raising_late == 0


def test_each_fact_that_raises_is_counted() -> None:
    facts = [enrolled(ANN, 1), enrolled(BOB, 2), enrolled(CY, 3)]

    movement = after([], *facts, last_at={ACME: 2}).movements[ACME]

    assert (movement.raising, movement.raising_late) == (3, 2)
    assert (movement.first_at, movement.last_at) == (1, 3)


@pytest.mark.parametrize(
    ("known", "raises"),
    [
        # The oldest of several faces decides, wherever it stands among them.
        ([enrolled(ANN, 30), enrolled(ANN, 10, place=PAY)], False),
        ([enrolled(ANN, 10, place=PAY), enrolled(ANN, 30)], False),
        ([enrolled(ANN, 30), enrolled(ANN, 30, place=PAY)], True),
        # Of the very instant is early enough.
        ([enrolled(ANN, 20, place=PAY)], False),
        # A tombstone holds nobody, and is no reason to stop looking.
        ([removed(ANN, 1), enrolled(ANN, 10, place=PAY)], False),
        ([removed(ANN, 1)], True),
    ],
)
def test_a_face_held_since_before_keeps_another_from_raising(
    known: list[StorageFact], *, raises: bool
) -> None:
    fact = enrolled(ANN, 20, face=LEFT)

    assert after(known, fact).movements[ACME].raising == int(raises)


def test_of_one_instant_only_the_last_number_is_a_point() -> None:
    folded = after(
        [enrolled(CY, 1)],
        enrolled(ANN, 20),
        removed(CY, 20),
        enrolled(BOB, 30),
        removed(BOB, 40),
        row(LEFT, BOB, (0, 1, 1), at=50, place=BETA_GATE),
        instant_by_instant=True,
    )

    assert folded.movements[ACME].points == [Point(20, 0), Point(30, 1), Point(40, 0)]
    assert folded.movements[BETA].points == [Point(50, 1)]


def test_without_instants_there_are_no_points() -> None:
    assert after([], enrolled(ANN, 1)).movements[ACME].points == []


def test_what_is_carried_along_begins_with_nothing_known() -> None:
    watch = Watch()

    assert (watch.last_at, watch.peak, watch.recount_due) == (-1, 0, False)
    assert look(watch, Movement(0, 0, 1, 0, [Point(0, 1)]), 0, [1], []).reached == {1: Point(0, 1)}


def test_several_thresholds_are_reached_each_at_its_own_point() -> None:
    points = [Point(11, 1), Point(12, 3), Point(13, 2)]

    looked = look(Watch(last_at=10, peak=2), Movement(11, 13, 3, 0, points), 2, [4, 3, 5, 9], [])

    assert looked.reached == {3: Point(11, 3), 4: Point(12, 5), 5: Point(12, 5)}
    assert looked.watch == Watch(last_at=13, peak=5, recount_due=False)


def test_the_peak_of_the_past_is_never_lowered() -> None:
    falling = Movement(11, 12, 0, 0, [Point(11, -2)])

    assert look(Watch(last_at=10, peak=9), falling, 3, [9], []).watch.peak == 9
    assert look(Watch(last_at=10, peak=9), falling, 3, [10], []).watch.peak == 9
    assert look(Watch(last_at=10, peak=2), falling, 3, [3], []).watch.peak == 3


def test_a_recount_that_is_due_stays_due() -> None:
    due = Watch(last_at=10, peak=2, recount_due=True)

    assert look(due, Movement(11, 12, 0), 2, [9], []).watch.recount_due
    assert look(due, Movement(11, 12, 0), 2, [9], [5]).watch.recount_due


def test_any_of_several_reaches_may_be_moved() -> None:
    watch = Watch(last_at=90, peak=3)

    assert look(watch, Movement(50, 95, 0), 3, [], [40, 60]).watch.recount_due
    assert not look(watch, Movement(61, 95, 0), 3, [], [40, 60]).watch.recount_due
