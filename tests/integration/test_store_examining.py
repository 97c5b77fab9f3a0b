"""``audit verify`` without a path: whoever takes the guards away leaves something that is found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from monitor.calendars import read_sheets
from monitor.facts import Instant, Terminated, Version
from monitor.rules import SHIPPED, with_overrides
from monitor.store import calendars
from monitor.store.calendars_loading import Decision, load
from monitor.store.database import upgrade
from monitor.store.engine import is_sqlite, open_engine, reading
from monitor.store.evidence import examine
from monitor.store.external import NumberSaid, tell_number
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.retention import unguarded
from tests.builders import ACME, ANN, BOB, enrolled
from tests.integration.store_kit import SECOND, batch, keeper, policy
from tests.integration.test_store_calendars import TODAY, sheet

FILES = read_sheets()
RULES = with_overrides(
    SHIPPED,
    [
        {"id": "frt.file", "at_least": 2},
        {"id": "pio.report", "enabled": True},
        {"id": "incident.other", "enabled": True},
    ],
)
POLICY = replace(policy(), rules=RULES)
DAY: Instant = 86_400 * SECOND


@pytest.fixture(params=["sqlite", "postgresql"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A guarded database with a row of each kind of evidence, as the product writes them."""
    if request.param == "sqlite":
        engine = open_engine(f"sqlite:///{tmp_path / 'store.db'}")
    else:
        engine = open_engine(request.getfixturevalue("postgres_url"))
    upgrade(engine)
    ours = keeper(engine, POLICY, now=TODAY)
    calendars.note_used(engine, FILES, RULES, TODAY)
    ours.keep([batch([enrolled(who, TODAY - SECOND) for who in (ANN, BOB)], read_at=TODAY)])
    ours.finish(TODAY)
    ended = Terminated(ACME, Version(TODAY - SECOND, 0, 0), TODAY - SECOND)
    keeper(engine, POLICY, now=TODAY).keep([batch([ended], read_at=TODAY)])
    said = {"by": "office", "reason": "counted"}
    number = NumberSaid(processor=ACME, name="pi.individuals", number=5, at=TODAY - DAY, **said)
    tell_number(engine, number, POLICY, TODAY)
    happened = EventSaid(processor=ACME, kind="incident.graded", at=TODAY - DAY, **said)
    tell_event(engine, happened, POLICY, TODAY)
    load(engine, FILES, Decision(sheet=sheet(), by="office", because="published"), POLICY, TODAY)
    yield engine
    engine.dispose()


def tampered(engine: Engine, *statements: str) -> None:
    """Run *statements* without the guards, and put these back."""
    with engine.begin() as connection:
        if not is_sqlite(engine):
            connection.execute(text("SET session_replication_role = replica"))
            guarded = "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            guarded += " WHERE NOT tgisinternal"
            tables = connection.scalars(text(guarded)).all()
            for table in tables:
                off = f"ALTER TABLE {table} DISABLE TRIGGER facetally_keep_{table}"
                connection.execute(text(off))
            _run(connection, statements)
            for table in tables:
                on = f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER facetally_keep_{table}"
                connection.execute(text(on))
            connection.execute(text("SET session_replication_role = origin"))
            return
        named = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        triggers = connection.execute(text(named)).all()
        for name, _ in triggers:
            connection.execute(text(f"DROP TRIGGER {name}"))
        _run(connection, statements)
        for _, made in triggers:
            connection.exec_driver_sql(made)


def _run(connection: Connection, statements: Sequence[str]) -> None:
    for statement in statements:
        connection.execute(text(statement))


def found(engine: Engine) -> list[tuple[str, str]]:
    with reading(engine) as connection:
        return [(one.file, one.why) for one in examine(connection).broken]


def test_what_the_product_wrote_holds_and_every_last_day_is_counted_again(told: Engine) -> None:
    with reading(told) as connection:
        verdict = examine(connection)

    assert verdict.broken == []
    # Opened: filing, cancellation, incident; moved by the calendar: the first two.
    assert verdict.days == 5


@pytest.mark.parametrize(
    ("table", "statement"),
    [
        ("calendars", "DELETE FROM calendars WHERE year = 2027"),
        ("calendars", "UPDATE calendars SET \"by\" = 'nobody' WHERE year = 2027"),
        ("calendars", "UPDATE calendars SET loaded_at = loaded_at - 1 WHERE year = 2025"),
        ("told_numbers", "DELETE FROM told_numbers"),
        ("told_numbers", "UPDATE told_numbers SET number = 7"),
        ("told_events", "UPDATE told_events SET at = at - 1"),
        ("told_events", "DELETE FROM told_events"),
        ("terminations", "UPDATE terminations SET at = at - 86400000000"),
        ("terminations", "DELETE FROM terminations"),
    ],
)
def test_a_row_of_evidence_that_was_changed_or_deleted_is_found(
    told: Engine, table: str, statement: str
) -> None:
    tampered(told, statement)

    assert found(told)[0] == (
        table,
        "1 rows that no entry of the audit log speaks of"
        if statement.startswith("UPDATE")
        else "1 rows missing or changed that the audit log speaks of",
    )


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("told_numbers", 'processor_id, name, at + 1, number, known_at, "by", reason'),
        ("terminations", "processor_id, at + 1, known_at, version"),
    ],
)
def test_a_row_that_was_added_is_found(told: Engine, table: str, columns: str) -> None:
    names = columns.replace(" + 1", "")
    tampered(told, f"INSERT INTO {table} ({names}) SELECT {columns} FROM {table}")  # noqa: S608

    assert found(told) == [(table, "1 rows that no entry of the audit log speaks of")]


def test_the_text_of_a_calendar_that_was_changed_is_found(told: Engine) -> None:
    change = "UPDATE calendars SET text = replace(text, '2027-01-03', '2027-01-04')"
    tampered(told, f"{change} WHERE year = 2027")
    wrong = found(told)

    assert wrong[0] == ("calendars", "the text of 2027, 2027-1, is not what was sealed")
    # The days that it moved do not follow from it any more.
    assert [where for where, _ in wrong[1:]] == ["audit", "audit"]


def test_entries_cut_off_together_with_the_head_leave_rows_that_nothing_speaks_of(
    told: Engine,
) -> None:
    """The calendar was loaded last: its entry and those of the duties that it moved are gone."""
    first = "(SELECT seq FROM audit WHERE kind = 'calendar.loaded')"
    tampered(
        told,
        f"DELETE FROM audit WHERE seq >= {first}",  # noqa: S608 - ours
        "UPDATE audit_head SET seq = (SELECT max(seq) FROM audit), "
        "hash = (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1)",
    )

    assert found(told) == [("calendars", "1 rows that no entry of the audit log speaks of")]


def test_of_a_broken_chain_nothing_else_is_judged(told: Engine) -> None:
    tampered(told, "UPDATE audit SET at = at + 1 WHERE seq = 1", "DELETE FROM told_numbers")

    assert found(told) == [("audit", "entry 1 is not what its hash was made of")]


def hollow(engine: Engine, table: str) -> list[str]:
    """Return statements that leave a guard with its name, that refuses nothing."""
    if is_sqlite(engine):
        name = f"facetally_keep_{table}_delete"
        made = f"CREATE TRIGGER {name} BEFORE DELETE ON {table} BEGIN SELECT 1; END"
        return [f"DROP TRIGGER {name}", made]
    name = f"facetally_keep_{table}"
    made = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS "
    when = f"BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
    return [
        f"{made} $$ BEGIN RETURN NULL; END $$",
        f"DROP TRIGGER {name} ON {table}",
        f"CREATE TRIGGER {name} {when} EXECUTE FUNCTION nothing()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    ]


def test_a_guard_that_refuses_nothing_guards_nothing(told: Engine) -> None:
    with told.begin() as connection:
        for statement in hollow(told, "steps"):
            connection.exec_driver_sql(statement)

    assert found(told) == [("steps", "the database no longer refuses changes of this table")]


@pytest.mark.parametrize("told", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "when",
    [
        "BEFORE UPDATE OR TRUNCATE ON steps FOR EACH STATEMENT",
        "BEFORE UPDATE OF kind OR DELETE OR TRUNCATE ON steps FOR EACH STATEMENT",
        "BEFORE UPDATE OR DELETE OR TRUNCATE ON steps FOR EACH STATEMENT WHEN (false)",
        "AFTER UPDATE OR DELETE OR TRUNCATE ON steps FOR EACH STATEMENT",
    ],
)
def test_a_guard_that_lets_something_pass_guards_nothing(told: Engine, when: str) -> None:
    with told.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER facetally_keep_steps ON steps")
        made = f"CREATE TRIGGER facetally_keep_steps {when} EXECUTE FUNCTION facetally_keep()"
        connection.exec_driver_sql(made)
        connection.exec_driver_sql("ALTER TABLE steps ENABLE ALWAYS TRIGGER facetally_keep_steps")
    with reading(told) as connection:
        assert unguarded(connection) == ["steps"]


@pytest.mark.parametrize("told", ["postgresql"], indirect=True)
def test_the_one_function_of_all_guards_made_hollow_unguards_all(told: Engine) -> None:
    with told.begin() as connection:
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION facetally_keep() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RETURN NULL; END $$"
        )
    with reading(told) as connection:
        assert len(unguarded(connection)) > 5
