"""Who is stored where, for a filing pack: by system and purpose, and by gallery with a mark."""

from __future__ import annotations

from sqlalchemy import Engine

from monitor.facts import Fact, Instant, Place
from monitor.marks import Marks, SystemMark
from monitor.store.by_place import Stored, stored_by_place
from monitor.store.engine import reading
from monitor.store.names import Names
from tests.builders import ACME, ANN, BOB, CY, enrolled, purged
from tests.integration.feed import on
from tests.integration.store_kit import batch, keeper, policy

GATE, VIP, LAB = Place(ACME, "gate", ""), Place(ACME, "gate", "vip"), Place(ACME, "lab", "")
MARKS = Marks(
    (
        SystemMark(processor=ACME, system="gate", gallery="vip", research=True),
        SystemMark(processor=ACME, system="lab", research=True),
    )
)
DAY = on("2026-03-02")


def stored(engine: Engine, *facts: Fact, until: Instant = DAY + 9) -> list[tuple[object, ...]]:
    keeper(engine, policy(9, marks=MARKS)).keep([batch(facts)])
    with reading(engine) as connection:
        places, _ = stored_by_place(connection, Names.load(connection), ACME, MARKS, until)
    return [(one.system, one.gallery, one.research, one.individuals) for one in places]


def test_a_gallery_for_research_is_no_part_of_its_system_in_operation(engine: Engine) -> None:
    facts = [enrolled(ANN, DAY), enrolled(BOB, DAY), enrolled(CY, DAY, place=VIP)]

    assert stored(engine, *facts, enrolled(ANN, DAY, place=VIP), enrolled(BOB, DAY, place=LAB)) == [
        ("gate", None, False, 2),
        ("gate", None, True, 2),
        ("gate", "vip", True, 2),
        ("lab", None, True, 1),
    ]


def test_numbers_and_days_are_those_of_the_instant(engine: Engine) -> None:
    facts: list[Fact] = [enrolled(ANN, DAY), enrolled(BOB, DAY + 20), purged(DAY + 30)]
    then = stored(engine, *facts)

    assert then == [("gate", None, False, 1)]
    assert stored(engine, until=DAY + 40) == [("gate", None, False, 0)]
    with reading(engine) as connection:
        names = Names.load(connection)
        places, days = stored_by_place(connection, names, ACME, MARKS, DAY + 25)

    assert places == [Stored(system="gate", gallery=None, research=False, individuals=2)]
    assert list(days.values()) == [2]
