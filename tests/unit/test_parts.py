"""Dividing individuals into parts: who is told of a face, and in which part somebody is."""

from __future__ import annotations

from monitor.parts import Faces, part_of
from tests.builders import ACME, ANN, BETA, BETA_GATE, BOB, LEFT, RIGHT, row, row_deleted


def test_who_got_and_who_lost_a_face_are_told() -> None:
    faces = Faces()
    told = [
        list(faces.concerned(fact))
        for fact in (
            row(LEFT, ANN, (0, 1, 1), at=1),
            row(LEFT, BOB, (0, 2, 2), at=2, place=BETA_GATE),
            row_deleted(LEFT, (0, 3, 3), at=3),
        )
    ]

    assert told == [[(ACME, ANN)], [(BETA, BOB), (ACME, ANN)], [(BETA, BOB)]]


def test_a_repetition_and_an_older_version_tell_nobody() -> None:
    faces = Faces()
    newest = row(LEFT, ANN, (0, 5, 5), at=1)
    told = [
        list(faces.concerned(fact))
        for fact in (
            newest,
            newest,
            row(LEFT, BOB, (0, 2, 2), at=2),
            row_deleted(LEFT, (0, 1, 1), at=3),
        )
    ]

    assert told == [[(ACME, ANN)], [], [], []]


def test_the_owner_who_keeps_a_face_is_told_once() -> None:
    faces = Faces()
    list(faces.concerned(row(LEFT, ANN, (0, 1, 1), at=1)))

    assert list(faces.concerned(row(LEFT, ANN, (0, 2, 2), at=2))) == [(ACME, ANN)]


def test_every_slot_has_its_own_owner() -> None:
    faces = Faces()
    list(faces.concerned(row(LEFT, ANN, (0, 9, 9), at=1)))

    assert list(faces.concerned(row(RIGHT, BOB, (0, 1, 1), at=2))) == [(ACME, BOB)]


def test_a_face_that_everybody_has_in_turn_is_not_told_to_everybody() -> None:
    """A terminal that gives all faces one id: copies for all owners would be a million million."""
    people = [n.to_bytes(16, "big") for n in range(1_000)]
    faces = Faces()
    told = [
        person
        for n, who in enumerate(people, 1)
        for person in faces.concerned(row(LEFT, who, (0, n, n), at=n))
    ]

    assert len(told) == 2 * len(people) - 1


def test_parts_are_ranges_of_the_first_bytes_and_leave_nobody_out() -> None:
    hashes = [n.to_bytes(2, "big") + bytes(14) for n in range(1 << 16)]
    found = [part_of(one, 7) for one in hashes]

    assert found == sorted(found)
    assert set(found) == set(range(7))
    assert max(map(found.count, range(7))) - min(map(found.count, range(7))) <= 1


def test_one_part_has_everybody() -> None:
    assert {part_of(bytes([n]) * 16, 1) for n in range(256)} == {0}
