"""One number for all registers: equal for equal facts, another for any other register."""

from __future__ import annotations

import re
from itertools import combinations

import pytest

from monitor.digest import Sum, combine, digest, registers
from monitor.facts import StorageFact
from monitor.ledger import Ledger
from tests.builders import (
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    GATE_VIP,
    LEFT,
    OTHER_TABLE,
    RIGHT,
    enrolled,
    face_removed,
    gallery_store,
    linked,
    nothing_is_research,
    purged,
    removed,
    research_is_lab,
    row,
    row_deleted,
    subject_removed,
    truncated,
)

FACTS: list[StorageFact] = [
    enrolled(ANN, 1),
    removed(BOB, 1),
    row(LEFT, ANN, (0, 1, 1), at=1),
    row_deleted(RIGHT, (0, 1, 2), at=1),
    subject_removed(ANN, 1, system="gate"),
    purged(1),
    truncated((0, 1, 1), at=1),
    linked(ANN, BOB, 1),
]

SINGLE: list[StorageFact] = [
    # What a slot holds: kind, owner, place, version, instants.
    enrolled(ANN, 1),
    enrolled(BOB, 1),
    enrolled(ANN, 2),
    enrolled(ANN, 1, 1),
    enrolled(ANN, 1, face=LEFT),
    enrolled(ANN, 1, place=GATE_VIP),
    enrolled(ANN, 1, place=BETA_GATE),
    removed(ANN, 1),
    face_removed(LEFT, 1, store=gallery_store(GATE_VIP)),
    row(LEFT, ANN, (0, 1, 1), at=1),
    row(LEFT, ANN, (1, 1, 1), at=1),
    row(LEFT, ANN, (0, 1, 1), at=1, read_at=2),
    row(LEFT, ANN, (0, 1, 1), at=2),
    row(LEFT, ANN, (0, 1, 1), at=1, store=OTHER_TABLE),
    row_deleted(LEFT, (0, 1, 1), at=1),
    # Links.
    linked(ANN, BOB, 1),
    linked(BOB, ANN, 1),
    linked(ANN, None, 1),
    linked(ANN, BOB, 1, processor=BETA),
    # Scope removals: None is another scope than the unnamed gallery.
    subject_removed(ANN, 1),
    subject_removed(ANN, 1, system="gate"),
    subject_removed(ANN, 1, system="gate", gallery=""),
    subject_removed(BOB, 1),
    purged(1),
    purged(1, gallery=""),
    purged(2),
    purged(1, processor=BETA),
    truncated((0, 1, 1), at=1),
    truncated((0, 1, 1), at=1, store=OTHER_TABLE),
    truncated((0, 1, 2), at=1),
]


def digest_of(*facts: StorageFact) -> str:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all(facts)
    return digest(ledger)


def test_a_digest_is_32_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{32}", digest_of(*FACTS))


def test_nothing_has_the_digest_nought() -> None:
    assert digest_of() == "0" * 32


def test_order_and_repeats_leave_the_digest_as_it_is() -> None:
    assert digest_of(*reversed(FACTS), *FACTS) == digest_of(*FACTS)


def test_what_was_overtaken_is_not_in_the_digest() -> None:
    assert digest_of(enrolled(ANN, 1), removed(ANN, 2)) == digest_of(removed(ANN, 2))


def test_every_kind_of_register_is_in_the_digest() -> None:
    whole = digest_of(*FACTS)

    for fact in FACTS:
        assert digest_of(*(other for other in FACTS if other != fact)) != whole


def test_no_two_registers_are_confused() -> None:
    digests = [digest_of(fact) for fact in SINGLE]

    assert all(one != other for one, other in combinations(digests, 2))


def test_what_is_research_is_no_register() -> None:
    ledgers = [Ledger(research) for research in (nothing_is_research, research_is_lab)]
    for ledger in ledgers:
        ledger.apply_all(FACTS)

    assert digest(ledgers[0]) == digest(ledgers[1])


def test_registers_may_be_read_in_any_order_and_added_up_in_parts() -> None:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all(FACTS)
    found = list(registers(ledger))

    assert len(found) == len(FACTS)
    assert combine(reversed(found)) == digest(ledger)


def test_registers_may_be_added_one_by_one_or_together() -> None:
    one_by_one, mixed = Sum(), Sum()
    for register in (("a", 1), ("b", 2), ("c", 3)):
        one_by_one.add(register)
    mixed.add(("c", 3))
    mixed.add_all([("b", 2), ("a", 1)])

    assert str(one_by_one) == str(mixed) == combine([("a", 1), ("b", 2), ("c", 3)])


def test_a_register_in_two_stores_counts_twice() -> None:
    twice = Sum()
    twice.add_all([("a", 1), ("a", 1)])

    assert str(twice) not in {str(Sum()), combine([("a", 1)])}


@pytest.mark.parametrize("register", [("a", "bc"), ("ab", "c"), ("a", b"bc"), ("a", "b", "c")])
def test_values_of_a_register_keep_to_themselves(register: tuple[object, ...]) -> None:
    others = {("a", "bc"), ("ab", "c"), ("a", b"bc"), ("a", "b", "c")} - {register}

    assert combine([register]) not in {combine([other]) for other in others}


def test_the_same_facts_have_this_digest_for_ever() -> None:
    # A database says which facts it holds by this number: it must not change with a release.
    assert digest_of(*FACTS) == "0b71003484165e26f0b94ec99b34eb6a"
