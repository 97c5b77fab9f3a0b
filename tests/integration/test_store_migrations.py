"""The migrations make the tables of ``schema``, and only our own database is written to."""

from __future__ import annotations

import time
from collections.abc import Iterator
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
from monitor.store import migrations, schema
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
from tests.integration.store_kit import (
    MARKS,
    NOW,
    batch,
    duties,
    keeper,
    notices,
    now_status,
    policy,
    sqlite_engine,
)
from tests.integration.test_store_filings import LATER, say, terminated

OF_0001 = {
    "positions": "('faces', 0, 'id', 7, 5, NULL, NULL, '[]')",
    "topics": "('faces', 'id', 3)",
    "unverified": "(1, 'gap.retention', 'faces', 9)",
}


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


def migrate(engine: Engine, to: str) -> None:
    """Make the tables as the release of that version did."""
    config = Config()
    scripts = Path(migrations.__file__).parent
    config.set_main_option("script_location", str(scripts))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, to)
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
    migrate(empty_database, "0001")
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


# What the release of 0003 did not know, and never wrote.
NEWER = ("steps", "terminations", "changes", "calendars", "told_numbers", "told_events")
NEWER_STILL = ("approaches", "days")


@pytest.fixture
def of_0003(empty_database: Engine, tmp_path: Path) -> Engine:
    """A database as the release of 0003 left it: two duties are open, both are told.

    The history is kept by the program of today elsewhere, and its rows are put into the tables
    and columns that there were then.
    """
    migrate(empty_database, "0003")
    with sqlite_engine(tmp_path, "today") as today:
        confirmed(today, TWO).read(0, [ENDED])
        copy(today, empty_database)
    return empty_database


ENDED = terminated(MARCH_2 + DAY)


def copy(source: Engine, target: Engine) -> None:
    """Put the rows of *source* into the tables and columns that *target* has."""
    with reading(target) as connection:
        seen = inspect(connection)
        known = {
            name: {c["name"] for c in seen.get_columns(name)} for name in seen.get_table_names()
        }
    with reading(source) as connection, target.begin() as writing:
        for table in schema.metadata.sorted_tables:
            columns = [c for c in table.columns if c.name in known.get(table.name, ())]
            if not columns:
                continue
            found = [dict(row) for row in connection.execute(select(*columns)).mappings()]
            if found:
                writing.execute(table.insert(), found)
            if "id" in table.columns and target.dialect.name == "postgresql":
                _go_on_after(writing, table)


def _go_on_after(connection: Connection, table: Table) -> None:
    """Have PostgreSQL number new rows after those that were put in with their numbers."""
    sequence = func.pg_get_serial_sequence(table.name, "id")
    newest = select(func.coalesce(func.max(table.c.id), 1)).scalar_subquery()
    connection.execute(select(func.setval(sequence, newest)).where(sequence.is_not(None)))


def older_rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the tables and columns that 0003 had."""
    with reading(engine) as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(select(*_of_0003(table)))), key=repr)
            for table in schema.metadata.sorted_tables
            if table.name not in {*NEWER, *NEWER_STILL}
        }


def _of_0003(table: Table) -> list[Column[Any]]:
    added = {"reaches": "after", "watches": "since_passed", "duties": "due_at"}
    return [one for one in table.columns if one.name != added.get(table.name)]


def test_upgrading_a_used_0003_database_keeps_every_row_and_owes_the_same(of_0003: Engine) -> None:
    before = older_rows(of_0003)
    newest = upgrade(of_0003)
    owed = [(one.rule, one.key, one.status(NOW).value) for one in duties(of_0003)]

    assert newest >= "0006"
    assert len(before["book"]) == 2
    assert before["duties"] != before["notices"] != []
    assert older_rows(of_0003) == before
    assert sorted(owed) == [("frt.cancel", "1", "open"), ("frt.file", "1", "open")]
    assert holds(of_0003)


def test_the_filings_of_an_upgraded_0003_database_go_on_to_their_end(of_0003: Engine) -> None:
    upgrade(of_0003)
    for rule in ("frt.file", "frt.cancel"):
        say(of_0003, StepKind.SUBMITTED, "2026-03-05", rule=rule)
        say(of_0003, StepKind.COMPLETED, "2026-03-10", rule=rule)
    owed = {one.rule: one.status(LATER) for one in duties(of_0003) if one.rule != "frt.review"}

    assert owed == {"frt.file": Status.COMPLETED, "frt.cancel": Status.COMPLETED}
    assert holds(of_0003)


def test_a_replay_into_an_upgraded_0003_database_opens_nothing_twice(of_0003: Engine) -> None:
    upgrade(of_0003)
    before = older_rows(of_0003)
    keeper(of_0003, policy(2)).keep([batch([*TWO, ENDED])])
    keeper(of_0003, policy(2)).tick(NOW)
    after = older_rows(of_0003)

    for table in ("duties", "subjects", "stock", "reaches"):
        assert after[table] == before[table], table
    assert len(notices(of_0003, "duty_opened")) == 2
    assert holds(of_0003)


def test_the_evidence_of_an_upgraded_0003_database_can_no_longer_be_changed(
    of_0003: Engine,
) -> None:
    upgrade(of_0003)
    for statement in (
        "DELETE FROM audit",
        "UPDATE audit SET body = '{}'",
        "DELETE FROM book",
        "DELETE FROM duties",
        "DELETE FROM notices",
    ):
        with pytest.raises(DBAPIError, match="it is evidence"), of_0003.begin() as connection:
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
