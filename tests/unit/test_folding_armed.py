"""Thresholds that are armed anew: passed again from below, after an instant."""

from __future__ import annotations

import pytest

from monitor.facts import Instant
from monitor.folding import Movement, Watch, look, near
from monitor.history import Following, Point

KNOWN = Watch(last_at=100, peak=9)


def moved(
    first_at: Instant, last_at: Instant, raising: int, late: int = 0, *points: tuple[int, int]
) -> Movement:
    return Movement(first_at, last_at, raising, late, [Point(*point) for point in points])


@pytest.mark.parametrize(
    ("before", "facts", "expected"),
    [(3, 1, False), (3, 2, True), (9, 0, True)],
)
def test_what_was_high_in_the_past_is_not_near_an_armed_threshold(
    before: int, facts: int, *, expected: bool
) -> None:
    assert near(before, 9, facts, [], [5]) is expected


@pytest.mark.parametrize(
    ("movement", "before", "after", "passed"),
    [
        # Not enough to get there.
        (moved(101, 102, 1, 0, (101, 1)), 3, 90, False),
        # Passed from below.
        (moved(101, 102, 2, 0, (101, 1), (102, 2)), 3, 90, True),
        # Over it, and it stays so.
        (moved(101, 102, 1, 0, (101, 1)), 7, 90, False),
        # Fallen and risen again within the batch.
        (moved(101, 103, 2, 0, (101, -3), (103, -1)), 7, 90, True),
        # Passed, but not after the instant; and then again after it.
        (moved(101, 102, 2, 0, (101, 2)), 3, 101, False),
        (moved(101, 104, 4, 0, (101, 2), (102, 0), (104, 2)), 3, 101, True),
        # Not followed instant by instant.
        (moved(101, 102, 2), 3, 90, True),
        # Late facts: only the peak says that nothing can have been.
        (moved(99, 102, 1, 1), 3, 90, True),
    ],
)
def test_a_passing_of_an_armed_threshold_is_left_to_a_look_back(
    movement: Movement, before: int, after: Instant, *, passed: bool
) -> None:
    looked = look(KNOWN, movement, before, [], [], [(5, after)])

    assert (looked.passed, looked.watch.recount_due, looked.reached) == (passed, passed, {})


def test_late_facts_below_the_peak_cannot_have_passed() -> None:
    low = Watch(last_at=100, peak=2)

    assert not look(low, moved(99, 102, 2, 2), 1, [], [], [(5, 90)]).passed
    assert look(low, moved(99, 102, 3, 3), 1, [], [], [(5, 90)]).passed


def followed(thresholds: list[tuple[int, Instant | None]], *points: tuple[int, int]) -> Following:
    following = Following(thresholds)
    for point in points:
        following.note(Point(*point))
    return following


def test_one_number_may_be_asked_for_after_several_instants() -> None:
    following = followed([(2, None), (2, 5), (2, 9)], (1, 2), (4, 1), (6, 2), (7, 1), (9, 2))

    assert following.passes == {(2, None): (1, 2), (2, 5): (6, 2), (2, 9): None}


def test_where_all_is_asked_for_after_an_instant_the_peak_is_that_since_then() -> None:
    curve = ((1, 9), (4, 3), (6, 4), (8, 1))

    assert followed([(2, 5)], *curve).peak == 4
    assert followed([(2, 4), (5, 6)], *curve).peak == 4
    assert followed([(2, 99)], *curve).peak == 1
    assert followed([(2, 5), (3, None)], *curve).peak == 9
    assert followed([(2, 5)]).peak == 0
