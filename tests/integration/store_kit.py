"""A database with our tables, keepers over it, and what it says of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, select, text

from monitor.digest import digest
from monitor.duties import Duty
from monitor.facts import Fact, Instant, StorageFact
from monitor.history import look_back
from monitor.intake import Batch, Move
from monitor.ledger import Ledger, Stock
from monitor.limits import RejectLimit
from monitor.marks import Marks, SystemMark
from monitor.rules import SHIPPED, Rule, stock_rules, with_overrides
from monitor.store import owing, schema, stock
from monitor.store.as_of import status_as_of
from monitor.store.digests import kept_digest
from monitor.store.engine import is_sqlite, open_engine, reading
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.store.names import Names
from monitor.store.owed import owed_wrong, told_wrong
from monitor.store.reading import Status, status
from monitor.store.verifying import verify
from monitor.workdays import load_calendar
from tests import oracle

NOW: Instant = 1_775_000_000_000_000  # 2026-03-31, later than every history
SECOND: Instant = 1_000_000
MINUTE: Instant = 60 * SECOND
TOPIC = "faces"
CALENDAR = load_calendar()

# The same places as ``tests.histories.research``.
MARKS = Marks(
    (
        SystemMark(processor="acme", system="pay", research=True, reason="training", by="office"),
        SystemMark(
            processor="beta", system="gate", gallery="vip", research=True, reason="r", by="b"
        ),
    )
)


def rules_at(*thresholds: int) -> tuple[Rule, ...]:
    """Return the shipped rules with ``frt.file`` at the first, and a rule for each further one."""
    first, *others = thresholds
    more = [{"id": f"low.{n}", "at_least": n, "period": 30} for n in others]
    return with_overrides(SHIPPED, [{"id": "frt.file", "at_least": first}, *more])


def policy(*thresholds: int, marks: Marks = MARKS, limit: RejectLimit | None = None) -> Policy:
    rules = rules_at(*thresholds) if thresholds else SHIPPED
    return Policy(rules=rules, calendar=CALENDAR, marks=marks, limit=limit or RejectLimit())


def no_topics(_processor: str) -> Iterable[str]:
    return ()


def one_topic(_processor: str) -> Iterable[str]:
    return (TOPIC,)


def keeper(
    engine: Engine,
    chosen: Policy | None = None,
    feeding: Callable[[str], Iterable[str]] = no_topics,
    now: Instant = NOW,
) -> SqlKeeper:
    return SqlKeeper(engine, chosen or policy(2), feeding, now)


def batch(
    facts: Sequence[Fact],
    *,
    move: tuple[int, int | None, int] | None = None,
    topic: str = TOPIC,
    read_at: Instant = NOW,
    **more: Any,
) -> Batch:
    """Return a batch; *move* is (partition, expected, next offset)."""
    moved = None if move is None else Move(topic, move[0], "id", *move[1:])
    more.setdefault("records", len(facts))
    return Batch(source="s", topic=topic, facts=facts, read_at=read_at, move=moved, **more)


@contextmanager
def sqlite_engine(directory: Path, name: str = "store") -> Iterator[Engine]:
    """Yield an engine over a fresh database file in *directory*."""
    yield from _engine(f"sqlite:///{directory / name}.db")


@contextmanager
def postgres_engine(url: str) -> Iterator[Engine]:
    yield from _engine(url)


def _engine(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    schema.metadata.create_all(engine)
    try:
        yield engine
    finally:
        engine.dispose()


def empty(engine: Engine) -> None:
    """Leave the tables, and nothing in them."""
    tables = schema.metadata.sorted_tables
    with engine.begin() as connection:
        if is_sqlite(engine):
            for table in tables:
                connection.execute(table.delete())
            return
        names = ", ".join(table.name for table in tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


def dump(engine: Engine, *without: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table but *without*."""
    with reading(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(table))), key=repr)
            for table in schema.metadata.sorted_tables
            if table.name not in without
        }


def rows(engine: Engine, table: str) -> list[Any]:
    with reading(engine) as connection:
        found = schema.metadata.tables[table]
        return list(connection.execute(select(found).order_by(*found.primary_key)))


def duties(engine: Engine) -> list[Duty]:
    with reading(engine) as connection:
        return [duty for _, duty in owing.read_duties(connection, Names.load(connection))]


def notices(engine: Engine, kind: str) -> list[Any]:
    return [row for row in rows(engine, "notices") if row.kind == kind]


def not_owed(engine: Engine, rules: Iterable[Rule]) -> list[str]:
    """Return what ``verify`` says of duties and notices that the audit log does not tell of."""
    with reading(engine) as connection:
        names = Names.load(connection)
        return [*owed_wrong(connection, names, rules), *told_wrong(connection)]


def now_status(engine: Engine, rules: Iterable[Rule]) -> Status:
    with reading(engine) as connection:
        return status(connection, rules)


# -- comparing with the oracle ---------------------------------------------------------------


def _count(one: Stock) -> oracle.Count:
    systems = {name: n for name, n in one.systems.items() if n}
    return oracle.Count(one.individuals, one.research, systems)


def _counts(stocks: Mapping[str, Stock]) -> dict[str, oracle.Count]:
    counts = {name: _count(one) for name, one in stocks.items()}
    return {name: one for name, one in counts.items() if one != oracle.NOBODY}


def differences(
    engine: Engine, facts: Sequence[StorageFact], chosen: Policy, instants: Iterable[Instant] = ()
) -> list[str]:
    """Return where the database, with everything finished, is not what the oracle says."""
    research = chosen.marks.research
    with reading(engine) as connection:
        names = Names.load(connection)
        found = _differ(
            "stock", _counts(stock.read(connection, names)), oracle.stock(facts, research)
        )
        found += _wrong(connection, chosen)
        whole = Ledger(research)
        whole.apply_all(facts)
        kept = kept_digest(connection, names).registers
        found += _differ("digest", kept, digest(whole))
        found += _faces_differ(connection, names, whole)
        found += _triggers_differ(connection, facts, chosen)
        for instant in instants:
            shown = status_as_of(connection, chosen.rules, chosen.marks, instant)
            then = _counts({one.processor: one.stock for one in shown.processors})
            found += _differ(f"as of {instant}", then, oracle.stock(facts, research, instant))
    return found


def differences_from_ledger(
    engine: Engine, facts: Sequence[StorageFact], chosen: Policy
) -> list[str]:
    """Like ``differences``, for more facts than the oracle can fold: the pure ledger says."""
    research = chosen.marks.research
    whole = Ledger(research)
    whole.apply_all(facts)
    wanted = [(rule.reached_at, None) for rule in stock_rules(chosen.rules)]
    with reading(engine) as connection:
        names = Names.load(connection)
        found = _differ("stock", _counts(stock.read(connection, names)), _counts(whole.stock))
        found += _wrong(connection, chosen)
        kept = kept_digest(connection, names).registers
        found += _differ("digest", kept, digest(whole))
        found += _faces_differ(connection, names, whole)
        for one in status(connection, chosen.rules).processors:
            reaches = look_back(facts, one.processor, wanted, research).reaches
            for threshold in one.thresholds:
                point = reaches[threshold.at_least]
                reach = threshold.reach
                have = None if reach.trigger_at is None else (reach.trigger_at, reach.individuals)
                found += _differ(f"{one.processor} reaches {threshold.at_least}", have, point)
    return found


def _wrong(connection: Connection, chosen: Policy) -> list[str]:
    findings = verify(connection, chosen.marks, chosen.rules)
    return [f"verify {one.check}: {one.detail}" for one in findings if not one.holds]


def _triggers_differ(
    connection: Connection, facts: Sequence[StorageFact], chosen: Policy
) -> list[str]:
    found = []
    for one in status(connection, chosen.rules).processors:
        numbers = oracle.timeline(facts, one.processor, chosen.marks.research)
        found += [f"{one.processor}: a recount is due"] if one.recount_pending else []
        for threshold in one.thresholds:
            expected = oracle.first_reach(numbers, threshold.at_least)
            what = f"{one.processor} reaches {threshold.at_least}"
            found += _differ(what, threshold.reach.trigger_at, expected)
            if expected is not None:
                found += _differ(f"{what} with", threshold.reach.individuals, numbers[expected])
    return found


def _faces_differ(connection: Connection, names: Names, whole: Ledger) -> list[str]:
    """The index by face is the newest assignment of every named slot, owners included."""
    kept = {}
    for row in connection.execute(select(schema.faces)):
        owner = None if row.processor_id is None else names.processor_by_id[row.processor_id]
        key = (names.store_by_id[row.store_id].name, row.face)
        kept[key] = (owner, row.subject, row.at, row.read_at)
    expected = {
        key[:2]: (fact.place.processor if fact.place else None, fact.subject, fact.at, fact.read_at)
        for key, fact in whole.slots.items()
        if fact.face
    }
    return _differ("faces", kept, expected)


def _differ(what: str, have: object, want: object) -> list[str]:
    return [] if have == want else [f"{what}: kept {have}, the oracle says {want}"]
