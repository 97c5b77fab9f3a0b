"""The sweep by parts is the fold in memory: random histories, in parts of a few facts each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from time import monotonic

import pytest
from sqlalchemy import Connection, Engine

from monitor.digest import digest
from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
)
from monitor.history import Point, as_of, look_back
from monitor.ledger import NOWHERE, Ledger, Stock, slot_of
from monitor.store import book, stock
from monitor.store.as_of import status_as_of
from monitor.store.digests import folded_digest, kept_digest
from monitor.store.engine import reading
from monitor.store.explaining import explain
from monitor.store.names import Names
from monitor.store.registers import Working
from monitor.store.sweeping import Sizes, Swept, sweep
from monitor.store.verifying import verify
from tests.builders import ANN, BOB, CY, LEFT, enrolled, linked, row
from tests.figures import report, sized
from tests.histories import PROFILES, SUBJECTS, history
from tests.integration.store_kit import (
    MARKS,
    NOW,
    batch,
    empty,
    keeper,
    policy,
    postgres_engine,
    sqlite_engine,
)

POLICY = policy(2, 1, 3)
THRESHOLDS = (1, 2, 3, 4)
ON_SQLITE = sized(20, 2_000)
ON_POSTGRES = sized(4, 200)


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as engine:
        yield engine


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as engine:
        yield engine


def tiny(rnd: Random) -> Sizes:
    """Return sizes by which nearly every row is written to disk, and every subject is apart."""
    return Sizes(whole=rnd.choice((0, 0, 4)), part=rnd.choice((1, 1, 2, 5)))


def keep(engine: Engine, facts: Sequence[StorageFact]) -> None:
    """Keep *facts* as they come, old ones after new ones, so that all of them are in the book."""
    empty(engine)
    keeping = keeper(engine, POLICY)
    for start in range(0, len(facts), 7):
        keeping.keep([batch(facts[start : start + 7])])


def by_number(swept: Swept) -> dict[int, Point | None]:
    return {at_least: point for (at_least, _), point in swept.reaches.items()}


def numbers(stock: Stock) -> tuple[int, int, dict[str, int]]:
    return stock.individuals, stock.research, {name: n for name, n in stock.systems.items() if n}


def differences(connection: Connection, sizes: Sizes, until: Instant) -> list[str]:
    """Return where the sweep is not the fold of the book in memory."""
    names = Names.load(connection)
    everyone = sorted(names.processor_ids)
    wanted = {name: [(n, None) for n in THRESHOLDS] for name in everyone}
    swept = sweep(connection, names, wanted, MARKS.research, sizes=sizes)
    then = sweep(connection, names, wanted, MARKS.research, until=until, sizes=sizes)
    facts = list(book.read(connection, names))
    found = []
    for name in everyone:
        whole = look_back(facts, name, wanted[name], MARKS.research)
        if (swept[name].peak, by_number(swept[name])) != (whole.peak, whole.reaches):
            found.append(f"{name}: {swept[name]} is not {whole}")
        alone = sweep(connection, names, {name: wanted[name]}, MARKS.research, sizes=sizes)
        if (alone[name].peak, by_number(alone[name])) != (whole.peak, whole.reaches):
            found.append(f"{name} alone: {alone[name]} is not {whole}")
        stock = as_of(facts, until, MARKS.research).stock.get(name, Stock())
        if numbers(then[name].stock) != numbers(stock):
            found.append(f"{name} as of {until}: {numbers(then[name].stock)} {numbers(stock)}")
    ledger = as_of(facts, NOW * 2, MARKS.research)
    folded = folded_digest(connection, names, MARKS, sizes)
    if not digest(ledger) == folded == kept_digest(connection, names).registers:
        found.append("the digests differ")
    return found


def miscounted(connection: Connection) -> list[str]:
    """Return where counting anew in chunks of two is not what batch after batch came to."""
    names = Names.load(connection)
    working = Working(connection, names, MARKS)
    working.load_scopes()
    kept = stock.read(connection, names)
    found = []
    for name in sorted(names.processor_ids):
        counted = stock.count(connection, names, MARKS, working.ledger, name, at_once=2)
        if numbers(counted) != numbers(kept.get(name, Stock())):
            found.append(f"{name}: counted {numbers(counted)}, kept {numbers(kept[name])}")
    return found


def misexplained(connection: Connection) -> list[str]:
    """Return whose explanation is not what a fold of the whole book says of them."""
    names = Names.load(connection)
    ledger = Ledger(MARKS.research)
    facts = list(book.read(connection, names))
    ledger.apply_all(facts)
    found = []
    for name in sorted(names.processor_ids):
        for subject in SUBJECTS:
            told = explain(connection, MARKS, name, subject)
            individual = ledger.individual((name, subject))
            kin = {subject, individual, *ledger.members.get((name, individual), ())}
            expected = sorted(map(repr, _bearing(facts, name, kin)))
            if sorted(repr(one.fact) for one in told.told) != expected:
                found.append(f"{name} {subject.hex()}: other facts")
            if told.standing != ledger.standing.get((name, individual), NOWHERE):
                found.append(f"{name} {subject.hex()}: {told.standing}")
            if any(one.decides != ledger.knows(one.fact) for one in told.told):
                found.append(f"{name} {subject.hex()}: others decide")
    return found


def _bearing(
    facts: Sequence[StorageFact], name: str, kin: set[SubjectHash]
) -> Iterator[StorageFact]:
    own = [
        fact
        for fact in facts
        if isinstance(fact, (Enrolled, Removed))
        and fact.place is not None
        and fact.place.processor == name
        and fact.subject in kin
    ]
    slots = {slot_of(fact) for fact in own}
    places = {fact.place for fact in own if fact.place is not None}
    for fact in facts:
        if isinstance(fact, (Enrolled, Removed)):
            bears = slot_of(fact) in slots
        elif isinstance(fact, (SubjectRemoved, Linked)):
            bears = fact.processor == name and fact.subject in kin
        elif isinstance(fact, Truncated):
            bears = fact.store.name in {slot[0] for slot in slots}
        else:
            scopes = {(*place[:2], gallery) for place in places for gallery in (place[2], None)}
            bears = (fact.processor, fact.system, fact.gallery) in scopes
        if bears:
            yield fact


def check(engine: Engine, profile: str, seeds: int, first: int = 0) -> None:
    started = monotonic()
    facts_swept = 0
    for seed in range(first, first + seeds):
        rnd = Random(seed)
        facts = [*history(rnd, PROFILES[profile]), *history(rnd, PROFILES["mixed"])]
        facts_swept += len(facts)
        keep(engine, facts)
        with reading(engine) as connection:
            wrong = differences(connection, tiny(rnd), rnd.choice(facts).at)
            wrong += miscounted(connection) + misexplained(connection)

        assert wrong == [], f"profile {profile}, seed {seed}"
    report(
        f"sweep.{profile}.{engine.dialect.name}",
        histories=seeds,
        facts=facts_swept,
        seconds=round(monotonic() - started, 1),
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_sqlite_swept_in_parts_is_the_book_folded_whole(sqlite: Engine, profile: str) -> None:
    check(sqlite, profile, ON_SQLITE)


@pytest.mark.parametrize("profile", PROFILES)
def test_postgresql_swept_in_parts_is_the_book_folded_whole(
    postgresql: Engine, profile: str
) -> None:
    check(postgresql, profile, ON_POSTGRES, first=5_000)


def test_verify_and_as_of_in_parts_say_what_they_say_of_the_whole(sqlite: Engine) -> None:
    for seed in range(12):
        rnd = Random(seed)
        facts = history(rnd, PROFILES["mixed"]) + history(rnd, PROFILES["moves"])
        keep(sqlite, facts)
        keeper(sqlite, POLICY).finish(NOW)
        at = rnd.choice(facts).at
        with reading(sqlite) as connection:
            shown = [
                [
                    (one.processor, numbers(one.stock), one.thresholds)
                    for one in status_as_of(
                        connection, POLICY.rules, MARKS, at, sizes=sizes
                    ).processors
                ]
                for sizes in (Sizes(), tiny(rnd))
            ]
            found = [verify(connection, MARKS, sizes=sizes) for sizes in (Sizes(), tiny(rnd))]

        assert shown[0] == shown[1]
        assert found[0] == found[1]
        assert all(one.holds for one in found[1])


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("DELETE FROM book WHERE id = 2", "registers"),
        ("UPDATE book SET subject = x'0102030405060708090a0b0c0d0e0f10' WHERE id = 1", "registers"),
        ("DELETE FROM subjects WHERE subject = x'%s'", "registers"),
        ("DELETE FROM faces", "owners of named faces"),
        ("DELETE FROM links", "links"),
        ("UPDATE stock SET individuals = individuals + 1 WHERE kind = 0", "stock of acme"),
        ("UPDATE reaches SET trigger_at = trigger_at + 1", "first reach of frt.file by acme"),
    ],
)
def test_verify_in_parts_finds_what_was_tampered_with(
    sqlite: Engine, damage: str, check: str
) -> None:
    faces: list[StorageFact] = [row(LEFT, ANN, (0, 1, 1), at=NOW - 9), enrolled(BOB, NOW - 8)]
    facts = [*faces, enrolled(CY, NOW - 7), linked(CY, ANN, NOW - 6)]
    keep(sqlite, facts)
    keeper(sqlite, POLICY).finish(NOW)
    with sqlite.begin() as connection:
        connection.exec_driver_sql(damage.replace("%s", BOB.hex()))
    with reading(sqlite) as connection:
        found = verify(connection, MARKS, sizes=Sizes(whole=0, part=1))

    assert check in {one.check for one in found if not one.holds}
