"""The number as it was, and the first instant of a reach: pure folds of what is known now."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.facts import StorageFact
from monitor.history import Following, Point, as_of, curve, first_reach, look_back, noting
from tests.builders import (
    ACME,
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    CY,
    LAB,
    LEFT,
    enrolled,
    linked,
    nothing_is_research,
    purged,
    removed,
    research_is_lab,
    row,
    row_deleted,
)

TWO_IN_A_ROW: list[StorageFact] = [enrolled(ANN, 1), enrolled(BOB, 3)]


def reach(
    facts: Sequence[StorageFact], at_least: int, after: int | None = None, processor: str = ACME
) -> int | None:
    points = curve(facts, processor, nothing_is_research)
    point = first_reach(points, at_least, after)
    return point.at if point else None


def test_reaches_includes_equal() -> None:
    assert reach(TWO_IN_A_ROW, 2) == 3


def test_one_less_is_not_reached() -> None:
    assert reach(TWO_IN_A_ROW, 3) is None


def test_the_number_is_looked_at_after_all_facts_of_the_same_instant() -> None:
    facts: list[StorageFact] = [*TWO_IN_A_ROW, removed(ANN, 3)]

    assert reach(facts, 2) is None


def test_a_swap_within_one_instant_leaves_the_number_where_it_was() -> None:
    facts: list[StorageFact] = [
        enrolled(ANN, 1),
        enrolled(BOB, 1),
        removed(ANN, 2),
        enrolled(CY, 2),
    ]

    assert reach(facts, 3) is None


def test_a_reach_that_existed_only_in_event_time_counts() -> None:
    # The removal arrived first, so no ledger ever stood at two; event time says it was so.
    facts: list[StorageFact] = [removed(ANN, 5), enrolled(BOB, 3), enrolled(ANN, 1)]

    assert reach(facts, 2) == 3


def test_a_late_enrolment_moves_the_reach_earlier() -> None:
    facts: list[StorageFact] = [*TWO_IN_A_ROW, enrolled(CY, 2)]

    assert reach(facts, 2) == 2


def test_a_late_removal_moves_the_reach_later() -> None:
    facts: list[StorageFact] = [*TWO_IN_A_ROW, removed(ANN, 2), enrolled(CY, 7)]

    assert reach(facts, 2) == 7


def test_a_late_purge_takes_the_reach_away() -> None:
    assert reach([*TWO_IN_A_ROW, purged(2)], 2) is None


def test_a_link_takes_effect_from_its_instant_on() -> None:
    facts: list[StorageFact] = [enrolled(ANN, 1), enrolled(BOB, 2), linked(ANN, BOB, 5)]

    assert [point.individuals for point in curve(facts, ACME, nothing_is_research)] == [1, 2, 1]


def test_a_log_is_dated_by_its_instants_though_its_positions_order_it() -> None:
    facts: list[StorageFact] = [
        row(LEFT, ANN, (0, 1, 1), at=5),
        row_deleted(LEFT, (0, 2, 2), at=3),
        row(LEFT, ANN, (0, 3, 3), at=9),
    ]
    points = list(curve(facts, ACME, nothing_is_research))

    assert points == [Point(3, 0), Point(5, 0), Point(9, 1)]


def test_a_row_dated_by_a_column_counts_from_that_date() -> None:
    facts: list[StorageFact] = [row(LEFT, ANN, (0, 1, 1), at=2, read_at=9), purged(5)]

    assert reach(facts, 1) == 2
    assert as_of(facts, 6, nothing_is_research).stock[ACME].individuals == 1


UP_DOWN_UP: list[StorageFact] = [enrolled(ANN, 1), removed(ANN, 4), enrolled(ANN, 7)]


def test_after_an_annulled_reach_it_is_the_next_passage_from_below() -> None:
    assert reach(UP_DOWN_UP, 1, after=1) == 7


def test_staying_above_after_the_annulment_is_no_new_reach() -> None:
    assert reach([enrolled(ANN, 1), enrolled(BOB, 5)], 1, after=2) is None


def test_a_passage_at_the_very_instant_of_the_annulment_is_before_it() -> None:
    assert reach(UP_DOWN_UP, 1, after=7) is None
    assert reach(UP_DOWN_UP, 1, after=6) == 7


def test_an_annulment_before_all_facts_changes_nothing() -> None:
    assert reach(UP_DOWN_UP, 1, after=0) == 1


def test_other_processors_and_research_do_not_reach() -> None:
    facts: list[StorageFact] = [
        *TWO_IN_A_ROW,
        enrolled(CY, 2, place=BETA_GATE),
        enrolled(CY, 2, place=LAB),
    ]
    found = look_back(facts, ACME, [(2, None), (3, None)], research_is_lab)

    assert found.reaches == {2: Point(3, 2), 3: None}
    assert reach(facts, 1, processor=BETA) == 2


def test_as_of_includes_the_instant_itself() -> None:
    numbers = [as_of(TWO_IN_A_ROW, t, nothing_is_research).stock for t in (0, 1, 2, 3)]

    assert [s[ACME].individuals if ACME in s else 0 for s in numbers] == [0, 1, 1, 2]


def test_a_point_is_given_for_each_instant_oldest_first() -> None:
    facts: list[StorageFact] = [enrolled(BOB, 3), enrolled(ANN, 1), enrolled(ANN, 1, face=LEFT)]

    assert list(curve(facts, ACME, nothing_is_research)) == [Point(1, 1), Point(3, 2)]


def test_looking_back_tells_the_peak_and_the_newest_instant() -> None:
    found = look_back([*TWO_IN_A_ROW, removed(ANN, 8)], ACME, [(1, 1)], nothing_is_research)

    assert (found.peak, found.last_at, found.reaches) == (2, 8, {1: None})


def test_passing_a_higher_threshold_is_no_new_reach_of_a_lower_one() -> None:
    # The number has been at one since before its annulment, and goes on to two.
    facts: list[StorageFact] = [enrolled(ANN, 1), enrolled(BOB, 7)]
    found = look_back(facts, ACME, [(1, 5), (2, None)], nothing_is_research)

    assert found.reaches == {1: None, 2: Point(7, 2)}


def test_what_is_looked_for_of_older_times_has_no_part_in_the_peak() -> None:
    following = Following([(2, 5)], [(2, None), (2, 2)])
    for at, number in ((1, 3), (4, 0), (6, 1)):
        following.note(Point(at, number))

    assert following.peak == 1
    assert following.passes == {(2, 5): None, (2, None): Point(1, 3), (2, 2): None}


def test_looking_back_on_nothing_finds_nothing() -> None:
    found = look_back([], ACME, [(1, None)], nothing_is_research)

    assert (found.peak, found.last_at, found.reaches) == (0, None, {1: None})


def test_the_number_at_the_end_of_each_day_is_noted_while_points_are_read() -> None:
    points = [Point(1, 5), Point(9, 4), Point(12, 7), Point(31, 8)]
    read, closes = noting(points, lambda at: at // 10)

    assert closes == {}
    assert list(read) == points
    assert closes == {0: 4, 1: 7, 3: 8}
