"""The merge rule, a sentence of DESIGN section 3 at a time."""

from __future__ import annotations

from itertools import permutations

import pytest

from monitor.facts import Enrolled, StorageFact
from monitor.ledger import Standing, slot_of
from tests.builders import (
    ACME,
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    CY,
    GATE,
    GATE_VIP,
    HIGH,
    LEFT,
    LOW,
    OTHER_TABLE,
    PAY,
    RIGHT,
    SHARED,
    enrolled,
    face_removed,
    folded,
    gallery_store,
    individuals,
    linked,
    purged,
    removed,
    row,
    row_deleted,
    subject_removed,
    truncated,
)

GATE_STORE = gallery_store(GATE)


VERSIONS = [
    # The instant comes first.
    (enrolled(ANN, 2), removed(ANN, 1, 9), 1),
    (enrolled(ANN, 1, 9), removed(ANN, 2), 0),
    # At one instant the sequence decides.
    (enrolled(ANN, 1, 2), removed(ANN, 1, 1), 1),
    (enrolled(ANN, 1, 1), removed(ANN, 1, 2), 0),
    # A sequence has 64 unsigned bits.
    (enrolled(ANN, 1, 2**63 - 1), removed(ANN, 1, 2**63), 0),
    # At an exact tie enrolment wins: over-counting is the safe error.
    (enrolled(ANN, 1, 1), removed(ANN, 1, 1), 1),
]


@pytest.mark.parametrize(("stored", "gone", "expected"), VERSIONS)
def test_time_orders_by_instant_then_sequence_then_rank(
    stored: StorageFact, gone: StorageFact, expected: int
) -> None:
    assert individuals(ACME, stored, gone) == expected


POSITIONS = [
    # The epoch comes first: the log of a new database begins anew.
    ((0, 9, 9), (1, 1, 1), 0),
    ((1, 1, 1), (0, 9, 9), 1),
    # Then the commit, however early in the log the row was written.
    ((0, 2, 1), (0, 1, 9), 1),
    ((0, 1, 9), (0, 2, 1), 0),
    # Then where it was written.
    ((0, 1, 1), (0, 1, 2), 0),
    ((0, 1, 2), (0, 1, 1), 1),
    ((0, 1, 2**63 - 1), (0, 1, 2**63), 0),
    # A tie keeps the face.
    ((0, 1, 1), (0, 1, 1), 1),
]


@pytest.mark.parametrize("clock", [1, 5, 9])
@pytest.mark.parametrize(("written", "deleted", "expected"), POSITIONS)
def test_log_orders_by_position_and_no_clock(
    written: tuple[int, int, int], deleted: tuple[int, int, int], expected: int, clock: int
) -> None:
    facts = row(LEFT, ANN, written, at=5), row_deleted(LEFT, deleted, at=clock)

    assert individuals(ACME, *facts) == expected


# -- slots -------------------------------------------------------------------------------------


def test_one_person_with_several_faces_is_one_individual() -> None:
    faces = enrolled(ANN, 1), enrolled(ANN, 2, face=LEFT), enrolled(ANN, 3, place=PAY)

    assert individuals(ACME, *faces) == 1


def test_a_person_is_stored_until_the_last_face_is_removed() -> None:
    faces = enrolled(ANN, 1, face=LEFT), enrolled(ANN, 1, face=RIGHT)
    first, second = (face_removed(face, 2, store=GATE_STORE) for face in (LEFT, RIGHT))

    assert individuals(ACME, *faces, first) == 1
    assert individuals(ACME, *faces, first, second) == 0


def test_enrolling_again_after_a_removal_stores_again() -> None:
    assert individuals(ACME, enrolled(ANN, 1), removed(ANN, 2), enrolled(ANN, 3)) == 1


def test_the_unnamed_slot_says_nothing_about_named_faces() -> None:
    assert individuals(ACME, enrolled(ANN, 1, face=LEFT), removed(ANN, 2)) == 1


def test_a_named_removal_says_nothing_about_the_unnamed_slot() -> None:
    assert individuals(ACME, enrolled(ANN, 1), face_removed(LEFT, 2, store=GATE_STORE)) == 1


def test_each_subject_has_an_unnamed_slot_of_its_own() -> None:
    assert individuals(ACME, enrolled(ANN, 1), enrolled(BOB, 1), removed(ANN, 2)) == 1


def test_the_unnamed_slot_is_one_in_each_gallery() -> None:
    stored = enrolled(ANN, 1, place=GATE), enrolled(ANN, 1, place=GATE_VIP)

    assert individuals(ACME, *stored, removed(ANN, 2, place=GATE)) == 1


def test_the_unnamed_slot_is_one_in_each_gallery_of_a_wide_store_too() -> None:
    stored = enrolled(ANN, 1, place=GATE, store=SHARED)
    elsewhere = removed(ANN, 2, place=PAY, store=SHARED)

    assert individuals(ACME, stored, elsewhere) == 1


def test_two_processors_have_unnamed_slots_of_their_own_in_a_wide_store() -> None:
    both = enrolled(ANN, 1, store=SHARED), enrolled(ANN, 2, place=BETA_GATE, store=SHARED)

    assert [individuals(name, *both) for name in (ACME, BETA)] == [1, 1]


def test_a_face_of_the_same_name_in_another_store_is_another_slot() -> None:
    facts = (
        row(LEFT, ANN, (0, 1, 1), at=1),
        row_deleted(LEFT, (0, 2, 2), at=2, store=OTHER_TABLE),
    )

    assert individuals(ACME, *facts) == 1


def test_a_deletion_by_key_alone_empties_the_slot_whoever_owns_it() -> None:
    facts = (
        row(LEFT, ANN, (0, 1, 1), at=1, place=BETA_GATE),
        row_deleted(LEFT, (0, 2, 2), at=2),
    )

    assert individuals(BETA, *facts) == 0


def test_enrolling_a_slot_for_another_subject_moves_it() -> None:
    moved = enrolled(ANN, 1, face=LEFT), enrolled(BOB, 2, face=LEFT)

    assert individuals(ACME, *moved) == 1
    assert (ACME, BOB) in folded(*moved).standing


def test_enrolling_a_slot_for_another_processor_moves_it() -> None:
    moved = (
        row(LEFT, ANN, (0, 1, 1), at=1),
        row(LEFT, ANN, (0, 2, 2), at=2, place=BETA_GATE),
    )

    assert [individuals(name, *moved) for name in (ACME, BETA)] == [0, 1]


def test_a_late_older_assignment_does_not_bring_the_owner_back() -> None:
    ledger = folded(enrolled(BOB, 2, face=LEFT))
    ledger.apply_all([enrolled(ANN, 1, face=LEFT)])

    assert set(ledger.standing) == {(ACME, BOB)}


@pytest.mark.parametrize("reverse", [False, True])
def test_at_an_equal_version_the_larger_hashed_owner_wins(reverse: bool) -> None:  # noqa: FBT001 - a row of the table
    claims = [enrolled(LOW, 1, face=LEFT), enrolled(HIGH, 1, face=LEFT)]
    ledger = folded(*sorted(claims, reverse=reverse))

    assert set(ledger.standing) == {(ACME, HIGH)}


def test_at_an_equal_version_one_subject_in_two_places_has_one_place() -> None:
    claims = (
        enrolled(ANN, 1, face=LEFT, place=GATE, store=SHARED),
        enrolled(ANN, 1, face=LEFT, place=PAY, store=SHARED),
    )

    assert {folded(*order).standing[ACME, ANN] for order in permutations(claims)} == {
        Standing(operation=True, research=False, systems=frozenset({"pay"}))
    }


# -- scope removals ----------------------------------------------------------------------------

COVERED = [
    # A subject in a gallery, in a system, everywhere at the processor.
    (subject_removed(ANN, 5, system="gate", gallery=""), {BOB, "vip", "pay", "beta"}),
    (subject_removed(ANN, 5, system="gate"), {BOB, "pay", "beta"}),
    (subject_removed(ANN, 5), {BOB, "beta"}),
    # A gallery (the unnamed one is a gallery as any other), a system.
    (purged(5, gallery=""), {"vip", "pay", "beta"}),
    (purged(5, gallery="vip"), {ANN, BOB, "pay", "beta"}),
    (purged(5), {"pay", "beta"}),
    (purged(5, processor=BETA), {ANN, BOB, "vip", "pay"}),
    # Nothing of that name.
    (purged(5, system="door"), {ANN, BOB, "vip", "pay", "beta"}),
]


@pytest.mark.parametrize(("removal", "left"), COVERED)
@pytest.mark.parametrize("removal_first", [False, True])
def test_a_scope_removal_covers_its_scope_and_no_more_even_what_arrives_after_it(
    removal: StorageFact,
    left: set[str | bytes],
    removal_first: bool,  # noqa: FBT001 - a row of the table
) -> None:
    faces: dict[str | bytes, Enrolled] = {
        ANN: enrolled(ANN, 1, face=LEFT),
        BOB: enrolled(BOB, 1),
        "vip": enrolled(ANN, 1, place=GATE_VIP),
        "pay": enrolled(ANN, 1, place=PAY),
        "beta": enrolled(ANN, 1, place=BETA_GATE),
    }
    order: list[StorageFact] = [*faces.values()]
    order.insert(0 if removal_first else len(order), removal)
    ledger = folded(*order)

    assert {name for name, face in faces.items() if ledger.live(face)} == left
    assert ledger.standing == folded(*(faces[name] for name in left)).standing


REMOVALS = [subject_removed(ANN, 5, 5), purged(5, 5), purged(5, 5, gallery="")]


@pytest.mark.parametrize("removal", REMOVALS)
@pytest.mark.parametrize(
    ("version", "expected"),
    [
        # Older by sequence, older by instant: gone.
        ((5, 4), 0),
        ((4, 9), 0),
        # A tie keeps the face, and what is newer was never meant.
        ((5, 5), 1),
        ((5, 6), 1),
        ((6, 0), 1),
    ],
)
def test_a_scope_removal_removes_what_is_older(
    removal: StorageFact, version: tuple[int, int], expected: int
) -> None:
    assert individuals(ACME, enrolled(ANN, *version), removal) == expected


@pytest.mark.parametrize("removal", REMOVALS)
def test_an_older_scope_removal_does_not_undo_a_newer_one(removal: StorageFact) -> None:
    older: list[StorageFact] = [subject_removed(ANN, 2), purged(2), purged(2, gallery="")]

    assert individuals(ACME, enrolled(ANN, 4), removal, *older) == 0


def test_a_removal_of_a_subject_does_not_reach_others_linked_to_the_same_individual() -> None:
    facts = (
        linked(ANN, CY, 1),
        linked(BOB, CY, 1),
        enrolled(ANN, 2),
        enrolled(BOB, 2),
        subject_removed(ANN, 3),
    )

    assert individuals(ACME, *facts) == 1


def test_an_assignment_that_a_scope_removal_covers_still_holds_its_slot() -> None:
    covered = enrolled(ANN, 3, face=LEFT), subject_removed(ANN, 4)

    assert individuals(ACME, *covered, enrolled(BOB, 2, face=LEFT)) == 0


def test_truncation_hits_every_processor_in_the_store_and_no_other_store() -> None:
    facts = (
        row(LEFT, ANN, (0, 1, 1), at=1),
        row(RIGHT, ANN, (0, 1, 2), at=1, place=BETA_GATE),
        row(LEFT, BOB, (0, 1, 3), at=1, store=OTHER_TABLE),
        enrolled(CY, 1),
        truncated((0, 2, 4), at=2),
    )

    assert individuals(BETA, *facts) == 0
    assert set(folded(*facts).standing) == {(ACME, BOB), (ACME, CY)}


@pytest.mark.parametrize("clock", [1, 9])
@pytest.mark.parametrize(
    ("position", "expected"),
    [((0, 2, 3), 0), ((0, 2, 4), 1), ((0, 2, 5), 1), ((1, 1, 1), 1)],
)
def test_truncation_compares_by_the_order_of_the_log(
    position: tuple[int, int, int], expected: int, clock: int
) -> None:
    facts = row(LEFT, ANN, position, at=5), truncated((0, 2, 4), at=clock)

    assert individuals(ACME, *facts) == expected


# -- a change log against removals from elsewhere ----------------------------------------------


@pytest.mark.parametrize(
    "removal", [purged(5, 9), purged(5, 9, gallery=""), subject_removed(ANN, 5, 9)]
)
@pytest.mark.parametrize(
    ("at", "read_at", "expected"),
    [
        # Only instant and rank count: a tie keeps the face, whatever the sequence.
        (5, 5, 1),
        (4, 4, 0),
        (6, 6, 1),
        # A row that a column dates compares by when it was read.
        (1, 6, 1),
        (1, 4, 0),
    ],
)
@pytest.mark.parametrize("position", [(0, 1, 1), (3, 3, 3), (9, 9, 9)])
def test_a_row_of_a_log_compares_with_removals_from_elsewhere_by_instant_alone(
    removal: StorageFact, at: int, read_at: int, expected: int, position: tuple[int, int, int]
) -> None:
    assert individuals(ACME, row(LEFT, ANN, position, at, read_at=read_at), removal) == expected


def test_a_key_change_at_one_position_moves_the_row() -> None:
    facts = (
        row(LEFT, ANN, (0, 1, 1), at=1),
        row_deleted(LEFT, (0, 2, 2), at=2),
        row(RIGHT, ANN, (0, 2, 2), at=2),
    )
    ledger = folded(*facts)

    assert individuals(ACME, *facts) == 1
    assert ledger.owned[ACME, ANN].keys() == {slot_of(facts[2])}


def test_a_snapshot_row_with_a_late_clock_does_not_beat_the_deletion_after_it() -> None:
    snapshot = row(LEFT, ANN, (0, 5, 6), at=1000)

    assert individuals(ACME, snapshot, row_deleted(LEFT, (0, 7, 8), at=10)) == 0
