"""Triggers that keep evidence from being changed or deleted, as migrations make them.

What is made here is part of databases that are in use: a new kind of guard gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alembic import op

WHY = "facetally keeps % for ever: it is evidence (docs/running.md, Evidence)"
_FUNCTION = "facetally_keep"


def is_sqlite() -> bool:
    """Tell whether the database that is migrated is SQLite."""
    return op.get_bind().dialect.name == "sqlite"


def make_function() -> None:
    """Make what the triggers of PostgreSQL call, once for a database; none on SQLite."""
    if is_sqlite():
        return
    # Percent signs would be parameters to the driver, so the name is put in by concatenation.
    before, after = WHY.split("%")
    op.execute(
        f"CREATE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION USING MESSAGE = '{before}' || TG_TABLE_NAME || '{after}', "
        "ERRCODE = 'insufficient_privilege'; END $$"
    )


def drop_function() -> None:
    """Take the function of PostgreSQL away, after all its triggers."""
    if not is_sqlite():
        op.execute(f"DROP FUNCTION {_FUNCTION}")


def guard(kept: Mapping[str, Sequence[str]]) -> None:
    """Refuse the verbs of each table in *kept*, whoever it is that tries."""
    for table, verbs in kept.items():
        if is_sqlite():
            why = WHY.replace("%", table)
            for verb in verbs:
                op.execute(
                    f"CREATE TRIGGER {_FUNCTION}_{table}_{verb.lower()} BEFORE {verb} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{why}'); END"
                )
            continue
        # For each statement, not each row: what only inserts is never asked.
        events = " OR ".join((*verbs, "TRUNCATE"))
        op.execute(
            f"CREATE TRIGGER {_FUNCTION}_{table} BEFORE {events} ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {_FUNCTION}_{table}")


def unguard(kept: Mapping[str, Sequence[str]]) -> None:
    """Take away what ``guard`` made."""
    for table, verbs in kept.items():
        if is_sqlite():
            for verb in verbs:
                op.execute(f"DROP TRIGGER {_FUNCTION}_{table}_{verb.lower()}")
        else:
            op.execute(f"DROP TRIGGER {_FUNCTION}_{table} ON {table}")
