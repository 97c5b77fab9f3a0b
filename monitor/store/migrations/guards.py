"""Triggers that keep evidence from being changed or deleted, as migrations make them.

What is made here is part of databases that are in use: a new kind of guard gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alembic import op

WHY = "facetally keeps % for ever: it is evidence (docs/running.md, Evidence)"
FUNCTION = "facetally_keep"


def function_body() -> str:
    """Return what the function of PostgreSQL does; a guard that does anything else is none."""
    # Percent signs would be parameters to the driver, so the name is put in by concatenation.
    before, after = WHY.split("%")
    return (
        f" BEGIN RAISE EXCEPTION USING MESSAGE = '{before}' || TG_TABLE_NAME || '{after}', "
        "ERRCODE = 'insufficient_privilege'; END "
    )


def sqlite_trigger(table: str, verb: str) -> str:
    """Return the trigger of SQLite that refuses *verb*, in capitals; REPLACE inserts over a row.

    That one deletes the row in its way without asking the trigger of DELETE.
    """
    why, name = WHY.replace("%", table), f"{FUNCTION}_{table}_{verb.lower()}"
    if verb == "REPLACE":
        when = f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE seq = NEW.seq)"  # noqa: S608 - ours
    else:
        when = f"{verb} ON {table}"
    return f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{why}'); END"


def is_sqlite() -> bool:
    """Tell whether the database that is migrated is SQLite."""
    return op.get_bind().dialect.name == "sqlite"


def make_function() -> None:
    """Make what the triggers of PostgreSQL call, once for a database; none on SQLite."""
    if is_sqlite():
        return
    op.execute(
        f"CREATE FUNCTION {FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $${function_body()}$$"
    )


def drop_function() -> None:
    """Take the function of PostgreSQL away, after all its triggers."""
    if not is_sqlite():
        op.execute(f"DROP FUNCTION {FUNCTION}")


def guard(kept: Mapping[str, Sequence[str]]) -> None:
    """Refuse the verbs of each table in *kept*, whoever it is that tries."""
    for table, verbs in kept.items():
        if is_sqlite():
            for verb in verbs:
                op.execute(sqlite_trigger(table, verb))
            continue
        # For each statement, not each row: what only inserts is never asked.
        events = " OR ".join((*verbs, "TRUNCATE"))
        op.execute(
            f"CREATE TRIGGER {FUNCTION}_{table} BEFORE {events} ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {FUNCTION}()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {FUNCTION}_{table}")


def unguard(kept: Mapping[str, Sequence[str]]) -> None:
    """Take away what ``guard`` made."""
    for table, verbs in kept.items():
        if is_sqlite():
            for verb in verbs:
                op.execute(f"DROP TRIGGER {FUNCTION}_{table}_{verb.lower()}")
        else:
            op.execute(f"DROP TRIGGER {FUNCTION}_{table} ON {table}")
