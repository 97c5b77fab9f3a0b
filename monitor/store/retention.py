"""Nothing deletes evidence: what the database itself refuses, and whether it still does.

Order No. 19 art. 9 asks for three years. facetally keeps the audit log, the book of facts, duties,
steps, ends of use, changes, what people told, notices, acknowledgements, silences and calendars
for ever: the number is a fold of the book and the chain has no beginning but its first entry, so
there is no part that could go. Migrations 0006 to 0008 have the database refuse it, to the owner of
the tables, too; who wants to must drop a trigger first, which is no accident.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from monitor.store.engine import is_sqlite

LEAST_YEARS = 3
"""What Order No. 19 art. 9 asks for at least."""

KEPT: Mapping[str, tuple[str, ...]] = {
    "acknowledgements": ("delete", "update"),
    "audit": ("delete", "replace", "update"),
    "audit_head": ("delete",),
    "book": ("delete", "update"),
    "calendars": ("delete", "update"),
    "changes": ("delete",),
    "duties": ("delete",),
    "notices": ("delete",),
    "silences": ("delete",),
    "steps": ("delete", "update"),
    "terminations": ("delete", "update"),
    "told_events": ("delete", "update"),
    "told_numbers": ("delete", "update"),
}
"""What may not be done to the rows of a table; ``replace`` is an insertion over another row."""

_POSTGRESQL = """
    SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND t.tgname = 'facetally_keep_' || c.relname
    AND c.relnamespace = current_schema()::regnamespace
"""
_SQLITE = "SELECT name FROM sqlite_master WHERE type = 'trigger'"


def unguarded(connection: Connection) -> list[str]:
    """Return the tables of evidence that the database does not guard as it should."""
    if is_sqlite(connection):
        found = set(connection.scalars(text(_SQLITE)))
        return [
            table
            for table, verbs in KEPT.items()
            if any(f"facetally_keep_{table}_{verb}" not in found for verb in verbs)
        ]
    guarded = set(connection.scalars(text(_POSTGRESQL)))
    return [table for table in KEPT if table not in guarded]
