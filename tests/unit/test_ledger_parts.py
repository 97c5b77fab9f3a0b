"""A ledger that holds a part of the facts: whom it counts, and what it makes of what it lacks."""

from __future__ import annotations

import pytest

from monitor.facts import Place, StorageFact
from monitor.ledger import NOWHERE, Ledger, Standing, Stock, SubjectKey, slot_of
from tests.builders import (
    ACME,
    ANN,
    BETA_GATE,
    BOB,
    CY,
    GATE,
    LAB,
    LEFT,
    OTHER_TABLE,
    PAY,
    SHARED,
    enrolled,
    face_removed,
    linked,
    purged,
    removed,
    research_is_lab,
    subject_removed,
    truncated,
)

STORED = Standing(operation=True, research=False, systems=frozenset({"gate"}))
FACTS: list[StorageFact] = [
    enrolled(ANN, 1),
    enrolled(BOB, 1),
    enrolled(BOB, 1, place=LAB),
    enrolled(CY, 2, place=PAY),
    linked(CY, BOB, 3),
]


def of_ann(individual: SubjectKey) -> bool:
    return individual == (ACME, ANN)


def not_of_ann(individual: SubjectKey) -> bool:
    return not of_ann(individual)


def test_only_those_whom_a_part_counts_stand_and_are_in_its_stock() -> None:
    ledger = Ledger(research_is_lab, of_ann)
    ledger.apply_all(FACTS)

    assert list(ledger.standing) == [(ACME, ANN)]
    stock = ledger.stock[ACME]
    assert (stock.individuals, stock.research, stock.systems) == (1, 0, {"gate": 1})


def test_a_part_without_a_choice_counts_everybody() -> None:
    ledger = Ledger(research_is_lab)
    ledger.apply_all(FACTS)

    assert set(ledger.standing) == {(ACME, ANN), (ACME, BOB)}


def test_the_stocks_of_parts_add_up_to_that_of_the_whole() -> None:
    parts = [Ledger(research_is_lab, of_ann), Ledger(research_is_lab, not_of_ann)]
    whole, total = Ledger(research_is_lab), Stock()
    for ledger in (whole, *parts):
        ledger.apply_all(FACTS)
    for part in parts:
        total.add(part.stock[ACME])

    expected = whole.stock[ACME]
    assert (expected.individuals, expected.research) == (2, 1)
    assert (total.individuals, total.research) == (expected.individuals, expected.research)
    assert total.systems == expected.systems == {"gate": 2, "lab": 1, "pay": 1}


def test_adding_a_stock_leaves_the_other_one_as_it_was() -> None:
    one, other = Stock(), Stock()
    other.shift(NOWHERE, STORED._replace(research=True))
    for _ in range(2):
        one.add(other)

    assert (one.individuals, one.research, one.systems) == (2, 2, {"gate": 2})
    assert (other.individuals, other.research, other.systems) == (1, 1, {"gate": 1})


@pytest.mark.parametrize("with_other_slots", [False, True])
def test_a_face_taken_from_somebody_who_was_not_loaded_makes_them_looked_at(
    *, with_other_slots: bool
) -> None:
    ledger = Ledger(research_is_lab)
    if with_other_slots:
        ledger.owned[ACME, ANN] = {}
    held = enrolled(ANN, 1, face=LEFT, store=SHARED)
    moved = enrolled(BOB, 2, face=LEFT, place=BETA_GATE, store=SHARED)
    ledger.slots[slot_of(held)] = held
    ledger.standing[ACME, ANN] = STORED
    ledger.stock[ACME] = Stock()
    ledger.stock[ACME].shift(NOWHERE, STORED)

    assert ledger.apply(moved)
    ledger.settle()

    assert (ACME, ANN) not in ledger.standing
    assert (ledger.stock[ACME].individuals, ledger.stock[ACME].systems) == (0, {"gate": 0})


SAID: list[tuple[StorageFact, StorageFact]] = [
    # What a register holds, and what is nearly the same.
    (enrolled(ANN, 5), enrolled(ANN, 5)._replace(read_at=6)),
    (removed(ANN, 5), removed(ANN, 5)._replace(at=6)),
    (face_removed(LEFT, 5, store=SHARED), face_removed(LEFT, 6, store=SHARED)),
    (linked(ANN, BOB, 5), linked(ANN, CY, 5)),
    (subject_removed(ANN, 5), subject_removed(ANN, 5, system="gate")),
    (subject_removed(ANN, 5), subject_removed(BOB, 5)),
    (subject_removed(ANN, 5), subject_removed(ANN, 6)),
    (purged(5), purged(6)),
    (purged(5), purged(5, gallery="")),
    (purged(5), purged(5, system="pay")),
    (truncated((0, 5, 5), at=5), truncated((0, 5, 6), at=5)),
    (truncated((0, 5, 5), at=5), truncated((0, 5, 5), at=5, store=OTHER_TABLE)),
]


@pytest.mark.parametrize(("said", "other"), SAID)
def test_a_register_knows_what_it_holds_to_the_letter(
    said: StorageFact, other: StorageFact
) -> None:
    ledger = Ledger(research_is_lab)

    assert not ledger.knows(said)
    assert ledger.apply(said)
    assert ledger.knows(said)
    assert not ledger.knows(other)
    assert not ledger.apply(said)


def test_the_standing_of_somebody_touched_is_looked_at_again() -> None:
    ledger = Ledger(research_is_lab)
    stored = enrolled(ANN, 1)
    ledger.slots[slot_of(stored)] = stored
    ledger.owned[ACME, ANN] = {slot_of(stored): stored}
    ledger.settle()
    untouched = dict(ledger.standing)

    ledger.touch((ACME, ANN))
    ledger.settle()

    assert untouched == {}
    assert ledger.standing == {(ACME, ANN): STORED}


def test_touching_a_subject_looks_at_the_individual_that_it_is() -> None:
    ledger = Ledger(research_is_lab)
    ledger.apply_all([linked(ANN, BOB, 1)])
    stored = enrolled(ANN, 1)
    ledger.slots[slot_of(stored)] = stored
    ledger.owned[ACME, ANN] = {slot_of(stored): stored}

    ledger.touch((ACME, ANN))
    ledger.settle()

    assert list(ledger.standing) == [(ACME, BOB)]


def test_an_emptied_named_slot_belongs_to_nobody_whom_a_purge_could_concern() -> None:
    ledger = Ledger(research_is_lab)
    emptied = face_removed(LEFT, 5, store=SHARED)
    ledger.owned[ACME, ANN] = {slot_of(emptied): emptied}
    ledger.standing[ACME, ANN] = STORED

    assert ledger.apply(purged(7, system=GATE.system))
    ledger.settle()

    assert (ACME, ANN) in ledger.standing


def test_places_are_alike_where_both_count_or_both_are_research() -> None:
    ledger = Ledger(research_is_lab)
    vip = LAB._replace(gallery="vip")

    assert ledger.alike(GATE, PAY)
    assert ledger.alike(LAB, vip)
    assert ledger.alike(LAB, LAB)
    assert not ledger.alike(GATE, LAB)
    assert not ledger.alike(LAB, GATE)


def test_a_place_is_alike_itself_without_being_asked_about() -> None:
    def never_asked(_place: Place) -> bool:
        raise AssertionError

    assert Ledger(never_asked).alike(GATE, GATE)


def test_a_stock_is_counted_by_what_places_are_labelled() -> None:
    def labels(place: Place) -> tuple[str, ...]:
        return (place.system, "research" if research_is_lab(place) else "operation")

    ledger = Ledger(research_is_lab, labels=labels)
    ledger.apply_all(FACTS)

    assert ledger.stock[ACME].systems == {
        "gate": 2,
        "lab": 1,
        "pay": 1,
        "operation": 2,
        "research": 1,
    }
