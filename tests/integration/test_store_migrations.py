"""The migrations make the tables of ``schema``, and only our own database is written to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, select, text

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
from tests.builders import ANN, enrolled
from tests.integration.store_kit import (
    NOW,
    batch,
    duties,
    keeper,
    now_status,
    one_topic,
    policy,
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
