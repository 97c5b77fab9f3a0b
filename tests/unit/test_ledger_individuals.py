"""Who a subject is, what is counted apart, and what ``apply`` tells: DESIGN sections 2 and 3."""

from __future__ import annotations

from itertools import permutations

import pytest

from monitor.facts import StorageFact
from monitor.ledger import Ledger
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
    LAB,
    LEFT,
    LOW,
    PAY,
    count,
    enrolled,
    folded,
    individuals,
    linked,
    purged,
    removed,
    research_is_lab,
    row,
    subject_removed,
    truncated,
)

# -- identities --------------------------------------------------------------------------------

LINKS = [
    # Two subjects who are one individual count once.
    ([linked(ANN, CY, 1), linked(BOB, CY, 1)], 1),
    # So do a subject and the individual by their own name.
    ([linked(ANN, BOB, 1)], 1),
    # One step, never a chain: ann is bob, and bob is somebody else.
    ([linked(ANN, BOB, 1), linked(BOB, CY, 1)], 2),
    # In a circle each is the other.
    ([linked(ANN, BOB, 1), linked(BOB, ANN, 1)], 2),
    # To be oneself says nothing.
    ([linked(ANN, ANN, 1)], 2),
    # Taken back.
    ([linked(ANN, BOB, 1), linked(ANN, None, 2)], 2),
    ([linked(ANN, None, 1), linked(ANN, BOB, 2)], 1),
    # At an equal version unlinked wins.
    ([linked(ANN, BOB, 1), linked(ANN, None, 1)], 2),
    ([linked(ANN, BOB, 1, 1), linked(ANN, None, 1, 0)], 1),
    # The last word counts.
    ([linked(ANN, CY, 2), linked(ANN, BOB, 1)], 2),
    # A link belongs to the processor that states it.
    ([linked(ANN, BOB, 1, processor=BETA)], 2),
]


@pytest.mark.parametrize(("links", "expected"), LINKS)
def test_links(links: list[StorageFact], expected: int) -> None:
    assert individuals(ACME, enrolled(ANN, 1), enrolled(BOB, 1), *links) == expected


def test_of_two_links_of_one_version_the_larger_individual_wins() -> None:
    facts: list[StorageFact] = [enrolled(ANN, 1), linked(ANN, LOW, 1), linked(ANN, HIGH, 1)]

    assert {tuple(folded(*order).standing) for order in permutations(facts)} == {((ACME, HIGH),)}


def test_a_subject_who_is_somebody_else_now_does_not_count_by_the_old_name() -> None:
    ledger = folded(enrolled(ANN, 1))
    ledger.apply_all([linked(ANN, CY, 2)])

    assert set(ledger.standing) == {(ACME, CY)}


def test_subjects_of_one_hash_are_counted_at_each_processor() -> None:
    both = enrolled(ANN, 1), enrolled(ANN, 1, place=BETA_GATE)

    assert [individuals(name, *both) for name in (ACME, BETA)] == [1, 1]


# -- purposes and systems ----------------------------------------------------------------------


def test_research_is_counted_apart_and_a_person_may_be_in_both_numbers() -> None:
    ledger = folded(
        enrolled(ANN, 1, place=LAB),
        enrolled(BOB, 1, place=LAB),
        enrolled(BOB, 1, place=GATE),
        enrolled(CY, 1, place=PAY),
    )
    stock = ledger.stock[ACME]

    assert (stock.individuals, stock.research) == (2, 2)
    assert stock.systems == {"lab": 2, "gate": 1, "pay": 1}


def test_two_galleries_of_one_system_count_a_person_once_in_it() -> None:
    ledger = folded(enrolled(ANN, 1, place=GATE), enrolled(ANN, 1, place=GATE_VIP))

    assert ledger.stock[ACME].systems == {"gate": 1}


def test_settling_twice_changes_nothing() -> None:
    ledger = folded(enrolled(ANN, 1))
    ledger.settle()

    assert count(ledger, ACME) == 1


# -- what apply tells --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fact",
    [
        enrolled(ANN, 2),
        removed(ANN, 2),
        subject_removed(ANN, 2),
        purged(2),
        truncated((0, 2, 2), at=2),
        linked(ANN, BOB, 2),
    ],
)
def test_apply_tells_news_from_what_is_known(fact: StorageFact) -> None:
    ledger = Ledger(research_is_lab)

    assert [ledger.apply(fact), ledger.apply(fact)] == [True, False]


def test_two_readings_of_one_version_merge_to_the_later_whatever_comes_first() -> None:
    readings = row(LEFT, ANN, (0, 1, 1), at=1, read_at=9), row(LEFT, ANN, (0, 1, 1), at=2)
    kept = {tuple(folded(*order).slots.values()) for order in permutations(readings)}

    assert kept == {(readings[1],)}
