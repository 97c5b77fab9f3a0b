"""The migrations make the tables of ``schema``, and only our own database is written to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, Engine, Table, func, inspect, select, text
from sqlalchemy.exc import DBAPIError

from monitor.duties import Status
from monitor.filings import StepKind
from monitor.intake import EndSeen
from monitor.store import migrations, schema, snapshots
from monitor.store.database import (
    WrongDatabase,
    check_secret,
    check_version,
    fingerprint,
    upgrade,
)
from monitor.store.engine import open_engine, reading
from monitor.store.verifying import verify
from tests.builders import ANN, enrolled
from tests.integration.feed import DAY, MARCH_2, TWO, confirmed
from tests.integration.filing_kit import LATER, say, terminated
from tests.integration.store_kit import (
    MARKS,
    NOW,
    batch,
    duties,
    keeper,
    notices,
    now_status,
    one_topic,
    policy,
    sqlite_engine,
)

OF_0001 = {
    "positions": "('faces', 0, 'id', 7, 5, NULL, NULL, '[]')",
    "topics": "('faces', 'id', 3)",
    "unverified": "(1, 'gap.retention', 'faces', 9)",
}

# A reach is pending, and the partition was at its end by a clock that is ahead.
PENDING_AT_0003 = (
    "INSERT INTO processors (id, name) VALUES (1, 'acme')",
    "INSERT INTO watches VALUES (1, 1772438400000000, 2, false, NULL, 0)",
    "INSERT INTO reaches VALUES (1, 'frt.file', 2, 1, 1772438400000000, 2, 9, NULL, NULL)",
    "INSERT INTO topics VALUES ('faces', 'id', 1, NULL)",
    "INSERT INTO positions VALUES ('faces', 0, 'id', 7, 5, NULL, NULL, '[]', 6, NULL, NULL)",
    "INSERT INTO ends VALUES ('faces', 0, 1999999999000000)",
    "INSERT INTO snapshots VALUES ('db', 'faces', 5, NULL, 6, 1999999999000000)",
    "INSERT INTO unverified VALUES (1, 'gap.retention', 'faces', 9, NULL)",
)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


def test_upgrading_an_empty_database_makes_the_tables_of_the_schema(
    empty_database: Engine,
) -> None:
    upgrade(empty_database)
    with reading(empty_database) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, schema.metadata)

    assert found == []


def as_of(engine: Engine, version: str) -> None:
    """Make the tables as they were at this version."""
    config = Config()
    scripts = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(scripts))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        connection.commit()


def primary_keys(connection: Connection) -> dict[str, list[str]]:
    seen = inspect(connection)
    return {
        table: seen.get_pk_constraint(table)["constrained_columns"]
        for table in schema.metadata.tables
    }


def test_migrated_tables_have_the_keys_of_the_schema(empty_database: Engine) -> None:
    """What ``compare_metadata`` does not look at, and what every upsert leans on."""
    upgrade(empty_database)
    with reading(empty_database) as connection:
        found = primary_keys(connection)

    expected = {n: [c.name for c in t.primary_key] for n, t in schema.metadata.tables.items()}
    assert found == expected


def test_sqlite_keeps_keyed_tables_without_a_second_tree(tmp_path: Path) -> None:
    made = {}
    for name, make in (("migrated", upgrade), ("schema", schema.metadata.create_all)):
        engine = open_engine(f"sqlite:///{tmp_path / name}.db")
        make(engine)
        with reading(engine) as connection:
            query = text("SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'")
            made[name] = set(connection.scalars(query))
        engine.dispose()

    assert made["migrated"] == made["schema"] != set()


def test_upgrading_twice_changes_nothing(empty_database: Engine) -> None:
    newest = upgrade(empty_database)
    keeper(empty_database).keep([batch([enrolled(ANN, 1)])])

    assert upgrade(empty_database) == newest
    assert now_status(empty_database, policy(2).rules).processors[0].stock.individuals == 1


def test_upgrading_a_used_database_keeps_its_rows_and_counts_silence_from_then(
    empty_database: Engine,
) -> None:
    began = time.time_ns() // 1000
    as_of(empty_database, "0001")
    with empty_database.begin() as connection:
        for table, columns in OF_0001.items():
            connection.execute(text(f"INSERT INTO {table} VALUES {columns}"))  # noqa: S608 - ours
    upgrade(empty_database)
    with reading(empty_database) as connection:
        position = connection.execute(select(schema.positions)).one()
        topic = connection.execute(select(schema.topics)).one()
        mark = connection.execute(select(schema.unverified)).one()

    assert (position.next_offset, position.instant, position.excused) == (7, 5, None)
    assert began <= position.read_at <= time.time_ns() // 1000
    assert (topic.partitions, topic.told_silent) == (3, None)
    assert (mark.reason, mark.since, mark.accepted_at) == ("gap.retention", 9, None)


def test_upgrading_forgets_ends_of_before_and_confirms_what_waits_by_those_looked_up_since(
    empty_database: Engine,
) -> None:
    """Nobody can tell whether they were looked up before the reach was seen."""
    as_of(empty_database, "0003")
    with empty_database.begin() as connection:
        for statement in PENDING_AT_0003:
            connection.execute(text(statement))
    upgrade(empty_database)
    keeper(empty_database, policy(2), one_topic).tick(NOW)
    before = duties(empty_database)
    monitor = keeper(empty_database, policy(2), one_topic)
    monitor.ends([EndSeen("faces", 0, 7, NOW + 1, monitor.moment())])
    monitor.tick(NOW + 2)
    with reading(empty_database) as connection:
        mark = connection.execute(select(schema.unverified)).one()
        known = snapshots.read(connection)
        snapshot = snapshots.ended(known, "faces")

    assert before == []
    assert [duty.rule for duty in duties(empty_database)] == ["frt.file"]
    assert (mark.since, mark.marked_no) == (9, 1)
    assert snapshot == (5, 1)


@dataclass(frozen=True)
class Older:
    """A database that was in use at an older version, and the tables and columns it had then."""

    engine: Engine
    columns: Mapping[str, frozenset[str]]

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of what there was at that version; ends are looked up anew."""
        with reading(self.engine) as connection:
            return {
                table.name: sorted(map(tuple, connection.execute(select(*columns))), key=repr)
                for table in schema.metadata.sorted_tables
                if (columns := self.had(table)) and table.name != "ends"
            }

    def had(self, table: Table) -> list[Column[Any]]:
        return [one for one in table.columns if one.name in self.columns.get(table.name, ())]


@pytest.fixture(params=["0003", "0004"])
def older(request: pytest.FixtureRequest, empty_database: Engine, tmp_path: Path) -> Older:
    """A database as a release left it: two duties are open, both are told.

    The history is kept by the program of today elsewhere, and its rows are put into the tables
    and columns that there were then.
    """
    as_of(empty_database, request.param)
    with reading(empty_database) as connection:
        seen = inspect(connection)
        columns = {
            name: frozenset(c["name"] for c in seen.get_columns(name))
            for name in seen.get_table_names()
        }
    found = Older(empty_database, columns)
    with sqlite_engine(tmp_path, "today") as today:
        confirmed(today, TWO).read(0, [ENDED])
        copy(today, found)
    return found


ENDED = terminated(MARCH_2 + DAY)


def copy(source: Engine, target: Older) -> None:
    """Put the rows of *source* into the tables and columns that *target* has."""
    with reading(source) as connection, target.engine.begin() as writing:
        for table in schema.metadata.sorted_tables:
            columns = target.had(table)
            if not columns:
                continue
            writing.execute(table.delete())
            found = [dict(row) for row in connection.execute(select(*columns)).mappings()]
            if found:
                writing.execute(table.insert(), found)
            if "id" in table.columns and target.engine.dialect.name == "postgresql":
                _go_on_after(writing, table)


def _go_on_after(connection: Connection, table: Table) -> None:
    """Have PostgreSQL number new rows after those that were put in with their numbers."""
    sequence = func.pg_get_serial_sequence(table.name, "id")
    newest = select(func.coalesce(func.max(table.c.id), 1)).scalar_subquery()
    connection.execute(select(func.setval(sequence, newest)).where(sequence.is_not(None)))


def test_upgrading_a_used_older_database_keeps_every_row_and_owes_the_same(older: Older) -> None:
    before = older.rows()
    newest = upgrade(older.engine)
    owed = [(one.rule, one.key, one.status(NOW).value) for one in duties(older.engine)]

    assert newest >= "0007"
    assert len(before["book"]) == 2
    assert before["duties"] != before["notices"] != []
    assert older.rows() == before
    assert sorted(owed) == [("frt.cancel", "1", "open"), ("frt.file", "1", "open")]
    assert holds(older.engine)


def test_the_filings_of_an_upgraded_older_database_go_on_to_their_end(older: Older) -> None:
    upgrade(older.engine)
    for rule in ("frt.file", "frt.cancel"):
        say(older.engine, StepKind.SUBMITTED, "2026-03-05", rule=rule)
        say(older.engine, StepKind.COMPLETED, "2026-03-10", rule=rule)
    owed = {one.rule: one.status(LATER) for one in duties(older.engine) if one.rule != "frt.review"}

    assert owed == {"frt.file": Status.COMPLETED, "frt.cancel": Status.COMPLETED}
    assert holds(older.engine)


def test_a_replay_into_an_upgraded_older_database_opens_nothing_twice(older: Older) -> None:
    upgrade(older.engine)
    before = older.rows()
    keeper(older.engine, policy(2)).keep([batch([*TWO, ENDED])])
    keeper(older.engine, policy(2)).tick(NOW)
    after = older.rows()

    for table in ("duties", "subjects", "stock", "reaches"):
        assert after[table] == before[table], table
    assert len(notices(older.engine, "duty_opened")) == 2
    assert holds(older.engine)


def test_the_evidence_of_an_upgraded_older_database_can_no_longer_be_changed(
    older: Older,
) -> None:
    upgrade(older.engine)
    for statement in (
        "DELETE FROM audit",
        "UPDATE audit SET body = '{}'",
        "DELETE FROM book",
        "DELETE FROM duties",
        "DELETE FROM notices",
    ):
        with pytest.raises(DBAPIError, match="it is evidence"), older.engine.begin() as connection:
            connection.execute(text(statement))


def holds(engine: Engine) -> bool:
    with reading(engine) as connection:
        return all(one.holds for one in verify(connection, MARKS))


def test_a_migrated_database_passes_the_check(empty_database: Engine) -> None:
    upgrade(empty_database)

    check_version(empty_database)


def test_a_database_without_our_tables_says_what_to_do(empty_database: Engine) -> None:
    with pytest.raises(WrongDatabase, match="has no tables of facetally: run 'facetally db upgr"):
        check_version(empty_database)


def test_a_database_of_a_newer_program_is_refused(empty_database: Engine) -> None:
    newest = upgrade(empty_database)
    with empty_database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WrongDatabase, match=f"version 9999, .* knows up to {newest}.*newer"):
        check_version(empty_database)


def test_the_first_secret_marks_the_database_and_another_is_refused(
    empty_database: Engine,
) -> None:
    upgrade(empty_database)

    assert fingerprint(empty_database) is None
    check_secret(empty_database, "ours")
    check_secret(empty_database, "ours")
    with pytest.raises(WrongDatabase, match="another secret") as refused:
        check_secret(empty_database, "theirs")

    assert fingerprint(empty_database) == "ours"
    assert "ours" not in str(refused.value).split()
    assert "theirs" not in str(refused.value)
