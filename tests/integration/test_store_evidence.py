"""What nobody may delete: the database refuses it, to the owner of the tables, too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from monitor.store import audit, calendars, schema
from monitor.store.database import upgrade
from monitor.store.engine import is_sqlite, open_engine, reading
from monitor.store.retention import KEPT, unguarded
from tests.builders import ANN, BOB, enrolled
from tests.conftest import REPOSITORY
from tests.integration.store_kit import NOW, batch, keeper, rows

GRANTS = REPOSITORY / "deploy" / "sql" / "grants.sql"
# A row for each table that a small history leaves empty.
STEP = {
    "processor_id": 1,
    "step": "s",
    "kind": "submitted",
    "at": 1,
    "known_at": 1,
    "source": "command",
    "detail": "{}",
}
CALENDAR = {
    "year": 2027,
    "version": "2027-1",
    "origin": "loaded",
    "notice": "n",
    "text": "t",
    "sha256": "0",
    "loaded_at": 1,
}
TOLD = {"processor_id": 1, "at": 1, "known_at": 1}
SAID = {"by": "office", "reason": "counted"}
FEW: Mapping[str, Mapping[str, object]] = {
    "steps": STEP,
    "calendars": CALENDAR,
    "terminations": {**TOLD, "version": "1"},
    "changes": {
        "processor_id": 1,
        "kind": "purpose",
        "what": "w",
        "at": 1,
        "proposed_at": 1,
        "source": "command",
        "evidence": "{}",
    },
    "told_numbers": {**TOLD, **SAID, "name": "persons", "number": 1},
    "acknowledgements": {"notice_id": 1, "at": 1, "how": "command", **SAID},
    "pages_over": {"notice_id": 1, "at": 1},
    "silences": {"made_at": 1, "until": 2, "kind": "gap", **SAID},
    "told_events": {**TOLD, **SAID, "kind": "incident", "reference": "r"},
}


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database as ``db upgrade`` makes it, with something in each table of evidence."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
    upgrade(engine)
    ours = keeper(engine)
    ours.keep([batch([enrolled(ANN, 1), enrolled(BOB, 2)])])
    ours.finish(NOW)
    with engine.begin() as connection:
        for table, row in FEW.items():
            connection.execute(schema.metadata.tables[table].insert().values(row))
    yield engine
    engine.dispose()


def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"facetally keeps \w+ for ever: it is evidence"):
        connection.execute(text(statement))


@pytest.mark.parametrize("table", KEPT)
def test_no_row_of_evidence_can_be_deleted(kept: Engine, table: str) -> None:
    before = rows(kept, table)
    with kept.connect() as connection:
        refused(connection, f"DELETE FROM {table}")  # noqa: S608 - ours

    assert rows(kept, table) == before != []


@pytest.mark.parametrize("table", [name for name, verbs in KEPT.items() if "update" in verbs])
def test_no_row_of_what_is_only_appended_can_be_changed(kept: Engine, table: str) -> None:
    before = rows(kept, table)
    column = schema.metadata.tables[table].columns.keys()[-1]
    with kept.connect() as connection:
        refused(connection, f'UPDATE {table} SET "{column}" = "{column}"')  # noqa: S608 - ours

    assert rows(kept, table) == before != []


@pytest.mark.parametrize("kept", ["postgresql"], indirect=True)
def test_no_table_of_evidence_can_be_emptied_at_once(kept: Engine) -> None:
    """SQLite has no TRUNCATE."""
    for table in KEPT:
        with kept.connect() as connection:
            refused(connection, f"TRUNCATE {table}")
            connection.rollback()
            connection.execute(text("SET session_replication_role = replica"))
            refused(connection, f"TRUNCATE {table} CASCADE")


def test_no_entry_can_be_replaced_by_an_insertion(kept: Engine) -> None:
    columns = ", ".join(schema.audit.columns.keys())
    again = f"INTO audit SELECT {columns} FROM audit WHERE seq = 1"  # noqa: S608 - ours
    with kept.connect() as connection:
        if is_sqlite(kept):
            refused(connection, f"INSERT OR REPLACE {again}")
            refused(connection, f"REPLACE {again}")
        else:
            refused(connection, f"INSERT {again} ON CONFLICT (seq) DO UPDATE SET kind = 'x'")


def test_a_guard_that_was_taken_away_is_noticed(kept: Engine) -> None:
    with reading(kept) as connection:
        assert unguarded(connection) == []
    with kept.begin() as connection:
        if is_sqlite(kept):
            connection.execute(text("DROP TRIGGER facetally_keep_book_update"))
            connection.execute(text("DROP TRIGGER facetally_keep_audit_replace"))
        else:
            connection.execute(text("DROP TRIGGER facetally_keep_book ON book"))
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER facetally_keep_audit"))
    with reading(kept) as connection:
        assert unguarded(connection) == ["audit", "book"]


def test_the_newest_schema_guards_all_evidence(kept: Engine) -> None:
    """A later migration that makes a table anew on SQLite would lose its triggers."""
    with reading(kept) as connection:
        assert unguarded(connection) == []
        assert audit.examine(connection).holds
        assert calendars.kept is not None


def as_worker(engine: Engine, role: str) -> Engine:
    """Return an engine of the role that the shipped grants are for, granted them by the owner."""
    statements = GRANTS.read_text().replace("facetally_worker", role)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD '{engine.url.password}'"))
        connection.exec_driver_sql(statements)
    url = engine.url.set(username=role)
    return open_engine(url.render_as_string(hide_password=False))


def test_a_role_that_only_reads_has_the_shipped_grants_for_that_and_no_other(
    postgres_url: str,
) -> None:
    owner = open_engine(postgres_url)
    upgrade(owner)
    names = {name: f"{name}_{owner.url.database}" for name in ("worker", "facetally_reader")}
    with owner.begin() as connection:
        for role in names.values():
            made = f"CREATE ROLE {role} LOGIN PASSWORD '{owner.url.password}'"
            connection.execute(text(made))
        granted = GRANTS.read_text().replace("facetally_worker", names["worker"])
        granted = granted.replace("facetally_reader", names["facetally_reader"])
        connection.exec_driver_sql(granted)
    url = owner.url.set(username=names["facetally_reader"])
    reader = open_engine(url.render_as_string(hide_password=False))
    with reading(reader) as connection:
        holds = audit.examine(connection).holds
        read = [connection.execute(select(table)).all() for table in schema.metadata.sorted_tables]
    with reader.connect() as connection:
        for table in schema.metadata.tables:
            for change in (f"DELETE FROM {table}", f"INSERT INTO {table} DEFAULT VALUES"):  # noqa: S608 - ours
                with pytest.raises(DBAPIError, match="permission denied"):
                    connection.execute(text(change))
                connection.rollback()

    assert holds
    assert len(read) == len(schema.metadata.tables)
    reader.dispose()
    owner.dispose()


def test_a_role_with_the_shipped_grants_can_work_and_can_change_no_evidence(
    postgres_url: str,
) -> None:
    owner = open_engine(postgres_url)
    upgrade(owner)
    role = f"worker_{owner.url.database}"
    worker = as_worker(owner, role)
    ours = keeper(worker)
    ours.keep([batch([enrolled(ANN, 1), enrolled(BOB, 2)], move=(0, None, 2))])
    ours.finish(NOW)
    ours.tick(NOW)
    with worker.connect() as connection:
        for table, verbs in KEPT.items():
            for statement in _forbidden(table, verbs):
                with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                    connection.execute(text(statement))
                connection.rollback()

    assert [row.kind for row in rows(owner, "audit")] == ["duty.opened"]
    worker.dispose()
    owner.dispose()


def _forbidden(table: str, verbs: tuple[str, ...]) -> Iterator[str]:
    yield f"DELETE FROM {table}"  # noqa: S608 - ours
    yield f"TRUNCATE {table}"
    yield f"ALTER TABLE {table} DISABLE TRIGGER ALL"
    yield f"DROP TABLE {table}"
    if "update" in verbs:
        column = schema.metadata.tables[table].columns.keys()[-1]
        yield f'UPDATE {table} SET "{column}" = "{column}"'  # noqa: S608 - ours


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("decisions/0010-audit-bundle.md", "**Append-only by the database**"),
        ("running.md", "- Triggers in the database refuse"),
    ],
)
def test_the_documentation_names_each_table_that_is_guarded(page: str, line: str) -> None:
    lines = (REPOSITORY / "docs" / page).read_text("utf-8").splitlines()
    (said,) = [one for one in lines if one.startswith(line)]

    assert [table for table in KEPT if f"`{table}`" not in said] == []
