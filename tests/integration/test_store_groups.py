"""Numbers of groups of processors, counted from the registers, against a brute-force oracle."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine

from monitor.facts import Place, StorageFact
from monitor.groups import Group, GroupNumber
from monitor.ledger import Ledger
from monitor.marks import Marks, SystemMark
from monitor.store import stock
from monitor.store.engine import reading
from monitor.store.grouping import numbers
from monitor.store.names import Names
from tests import oracle
from tests.builders import (
    ANN,
    BOB,
    CY,
    enrolled,
    hashed,
    linked,
    purged,
    removed,
    subject_removed,
)
from tests.integration.store_kit import batch, keeper, policy

MEMBERS = ("acme", "beta", "cafe")
CITY = Group(name="city", members=MEMBERS, filed_by="acme")
PLACES = tuple(
    Place(processor, system, gallery)
    for processor in MEMBERS
    for system, gallery in (("gate", ""), ("gate", "vip"), ("lab", ""))
)
SHARING = Marks(
    SystemMark(
        processor=processor,
        system=system,
        namespace="shared/city",
        research=system == "lab",
        reason="training",
        by="office",
    )
    for processor in MEMBERS
    for system in ("gate", "lab")
)
PRIVATE = Marks()
CROWD = [hashed(f"p{n}") for n in range(25)]


def counted(
    engine: Engine, marks: Marks, facts: Sequence[StorageFact], *, group: Group = CITY
) -> GroupNumber:
    """Keep *facts* and return the number of *group* by the registers."""
    keeper(engine, policy(1_000, marks=marks)).keep([batch(facts)])
    return read(engine, marks, group)


def read(engine: Engine, marks: Marks, group: Group = CITY, *, now: bool = True) -> GroupNumber:
    with reading(engine) as connection:
        stocks = stock.read(connection, Names.load(connection))
        (found,) = numbers(connection, marks, [group], stocks, now=now)
    return found


def at(processor: str, system: str = "gate", gallery: str = "") -> Place:
    return Place(processor, system, gallery)


def a_history(seed: int) -> list[StorageFact]:
    """Draw enrolments of a small crowd at all members, and removals of each kind."""
    draw = random.Random(seed)
    facts: list[StorageFact] = []
    for instant in range(1, 160):
        place, who = draw.choice(PLACES), draw.choice(CROWD)
        match draw.randrange(12):
            case 0:
                facts.append(subject_removed(who, instant, processor=place.processor))
            case 1:
                facts.append(removed(who, instant, place=place))
            case 2 if instant % 4 == 0:
                whole = purged(instant, processor=place.processor, system=place.system)
                facts.append(whole)
            case _:
                facts.append(enrolled(who, instant, place=place))
    draw.shuffle(facts)
    return facts


@pytest.mark.parametrize("seed", range(6))
def test_the_number_of_a_group_is_that_of_its_distinct_people(engine: Engine, seed: int) -> None:
    facts = a_history(seed)
    live = oracle.live_faces(facts)
    operation = {face.subject for face in live if not SHARING.research(face.place)}
    research = {face.subject for face in live if SHARING.research(face.place)}
    found = counted(engine, SHARING, facts)
    with reading(engine) as connection:
        own = stock.read(connection, Names.load(connection))

    assert (found.individuals, found.research) == (len(operation), len(research))
    assert (found.exact, found.namespace, found.why) == (True, "shared/city", None)
    assert sum(one.individuals for one in own.values()) > found.individuals  # they overlap


def test_a_person_of_every_member_is_one_and_leaves_with_the_last(engine: Engine) -> None:
    first = [enrolled(ANN, 1, place=at(member)) for member in MEMBERS]
    whole = counted(engine, SHARING, [*first, enrolled(BOB, 2, place=at("beta"))])
    fewer = counted(engine, SHARING, [removed(ANN, 3, place=at(m)) for m in MEMBERS[:2]])
    nobody = counted(engine, SHARING, [removed(ANN, 4, place=at("cafe"))])

    assert [one.individuals for one in (whole, fewer, nobody)] == [2, 2, 1]


def test_a_person_in_operation_here_and_in_research_there_is_in_both_numbers(
    engine: Engine,
) -> None:
    facts = [enrolled(ANN, 1, place=at("acme")), enrolled(ANN, 2, place=at("beta", "lab"))]
    found = counted(engine, SHARING, facts)

    assert (found.individuals, found.research) == (1, 1)


def test_members_with_namespaces_of_their_own_are_a_sum_that_says_so(engine: Engine) -> None:
    facts = [enrolled(ANN, 1, place=at(member)) for member in MEMBERS]
    found = counted(engine, PRIVATE, facts)

    assert (found.individuals, found.exact) == (3, False)
    assert found.why == "the members' systems do not share one namespace"


def test_one_system_that_shares_nothing_makes_it_an_upper_bound(engine: Engine) -> None:
    others = [mark for mark in SHARING.rows if (mark.processor, mark.system) != ("cafe", "gate")]
    facts = [enrolled(ANN, n, place=at(member)) for n, member in enumerate(MEMBERS, 1)]
    found = counted(engine, Marks(others), facts)

    assert (found.individuals, found.exact) == (3, False)


def test_a_link_leads_out_of_the_shared_namespace_and_back(engine: Engine) -> None:
    facts: list[StorageFact] = [
        enrolled(ANN, 1, place=at("acme")),
        enrolled(ANN, 2, place=at("beta")),
        linked(ANN, CY, 3, processor="acme"),
    ]
    bound = counted(engine, SHARING, facts)
    exact = counted(engine, SHARING, [linked(ANN, None, 4, processor="acme")])

    assert (bound.individuals, bound.exact) == (2, False)
    assert bound.why == "a member links people in a namespace of its own"
    assert (exact.individuals, exact.exact) == (1, True)


def test_who_is_no_member_is_not_counted(engine: Engine) -> None:
    two = Group(name="two", members=("acme", "nobody"))
    facts = [enrolled(ANN, 1, place=at("acme")), enrolled(BOB, 2, place=at("beta"))]
    found = counted(engine, SHARING, facts, group=two)

    assert (found.individuals, found.exact) == (1, True)


def test_a_number_as_of_an_instant_is_a_sum(engine: Engine) -> None:
    counted(engine, SHARING, [enrolled(ANN, 1, place=at(member)) for member in MEMBERS])
    then = read(engine, SHARING, now=False)

    assert (then.individuals, then.exact) == (3, False)
    assert then.why == "a number as of an instant is not counted by person"


def test_people_are_read_in_parts_and_in_the_order_of_their_hashes(engine: Engine) -> None:
    counted(engine, SHARING, [enrolled(who, 1, place=at("acme")) for who in CROWD])
    with reading(engine) as connection:
        names = Names.load(connection)
        scopes = Ledger(SHARING.research)
        found = list(stock.stored(connection, names, SHARING, scopes, "acme", at_once=4))

    assert found == [(who, True, False) for who in sorted(CROWD)]
