"""The number of a group of processors: exact where they share a namespace, else an upper bound."""

from __future__ import annotations

import random

import pytest

from monitor.groups import Group, GroupNumber, Stored, distinct, shared_by, summed
from monitor.ledger import Stock
from tests.builders import hashed

CITY = Group(name="city", members=("acme", "beta"))
CROWD = sorted(hashed(f"p{n}") for n in range(60))


def stock_of(individuals: int, research: int) -> Stock:
    made = Stock()
    made.individuals, made.research = individuals, research
    return made


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        ("", ("acme", "beta"), "a group and its members need names"),
        ("city", ("acme", ""), "a group and its members need names"),
        ("city", (), "a group has at least two members, each of them once"),
        ("city", ("acme",), "a group has at least two members, each of them once"),
        ("city", ("acme", "acme"), "a group has at least two members, each of them once"),
        ("city", ("acme", "beta", "acme"), "a group has at least two members, each of them once"),
    ],
)
def test_a_group_that_is_none_is_told_why(
    name: str, members: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Group(name=name, members=members)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("namespaces", "shared"),
    [
        (["shared/city"], "shared/city"),
        (["shared/city", "shared/city"], "shared/city"),
        (["shared/city", "shared/land"], None),
        # Namesakes that are private to their processors are two namespaces.
        (["default"], None),
        (["staff", "staff"], None),
        (["shared/city", "default"], None),
        ([], None),
    ],
)
def test_only_one_shared_namespace_of_all_systems_makes_a_number_exact(
    namespaces: list[str], shared: str | None
) -> None:
    assert shared_by(namespaces) == shared


def test_a_person_of_several_members_is_counted_once() -> None:
    ann, bob, cy = sorted([hashed("ann"), hashed("bob"), hashed("cy")])
    acme: list[Stored] = [(ann, True, False), (bob, True, False)]
    beta: list[Stored] = [(bob, True, False), (cy, True, False)]

    assert distinct([acme, beta]) == (3, 0)


def test_research_is_counted_apart_and_a_person_may_be_in_both_numbers() -> None:
    ann, bob = sorted([hashed("ann"), hashed("bob")])
    acme: list[Stored] = [(ann, True, False), (bob, False, True)]
    beta: list[Stored] = [(ann, False, True), (bob, False, True)]

    assert distinct([acme, beta]) == (1, 2)


@pytest.mark.parametrize("seed", range(30))
def test_the_distinct_number_is_the_size_of_the_union(seed: int) -> None:
    draw = random.Random(seed)
    members = [
        {one: (draw.random() < 0.6, draw.random() < 0.3) for one in CROWD if draw.random() < 0.4}
        for _ in range(draw.randint(2, 5))
    ]
    operation = {one for member in members for one, (stored, _) in member.items() if stored}
    research = {one for member in members for one, (_, studied) in member.items() if studied}
    found = distinct([(one, *flags) for one, flags in sorted(member.items())] for member in members)

    assert found == (len(operation), len(research))


def test_a_sum_is_of_the_members_that_are_known_and_no_exact_number() -> None:
    stocks = {"acme": stock_of(3, 1), "beta": stock_of(2, 0), "other": stock_of(9, 9)}
    number = summed(CITY, stocks, "they share nothing")

    assert (number.individuals, number.research, number.why) == (5, 1, "they share nothing")
    assert not number.exact
    assert summed(CITY, {"beta": stock_of(2, 0)}, "x").individuals == 2


def test_a_number_in_a_shared_namespace_is_exact() -> None:
    number = GroupNumber(group=CITY, individuals=1, research=0, namespace="shared/city")

    assert number.exact
    assert number.why is None
