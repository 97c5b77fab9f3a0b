"""Nothing deletes evidence: what the database itself refuses, and whether it still does.

Order No. 19 art. 9 asks for three years. facetally keeps the audit log, the book of facts, duties,
steps, ends of use, changes, what people told, notices, which pages are over, acknowledgements,
silences and calendars for ever: the number is a fold of the book and the chain has no beginning but
its first entry, so there is no part that could go. Migrations 0006 to 0008 have the database refuse
it, to the owner of the tables, too; who wants to must drop a trigger first, which is no accident.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from monitor.store.engine import is_sqlite
from monitor.store.migrations import guards

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
    "pages_over": ("delete", "update"),
    "silences": ("delete",),
    "steps": ("delete", "update"),
    "terminations": ("delete", "update"),
    "told_events": ("delete", "update"),
    "told_numbers": ("delete", "update"),
}
"""What may not be done to the rows of a table; ``replace`` is an insertion over another row."""

_BITS = {"delete": 8, "update": 16}
_ALWAYS_BITS = 2 | 32  # before a statement, and TRUNCATE, too; a bit of 1 would be for each row
# tgqual is a WHEN, tgattr the columns of an UPDATE OF: either would let something pass.
_POSTGRESQL = """
    SELECT c.relname AS name, t.tgtype AS bits FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND t.tgname = 'facetally_keep_' || c.relname
    AND t.tgqual IS NULL AND t.tgattr = '' AND p.proname = :function AND p.prosrc = :body
    AND c.relnamespace = current_schema()::regnamespace
"""
_SQLITE = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


def unguarded(connection: Connection) -> list[str]:
    """Return the tables of evidence that the database does not guard as it should.

    A trigger of the right name that refuses nothing, or less, guards nothing.
    """
    holds = _refused_by_sqlite if is_sqlite(connection) else _refused_by_postgresql
    return [table for table in KEPT if not holds(connection, table)]


def _refused_by_sqlite(connection: Connection, table: str) -> bool:
    found = {row.name: row.sql for row in connection.execute(text(_SQLITE))}
    wanted = (guards.sqlite_trigger(table, verb.upper()) for verb in KEPT[table])
    return all(found.get(sql.split()[2]) == sql for sql in wanted)


def _refused_by_postgresql(connection: Connection, table: str) -> bool:
    values = {"function": guards.FUNCTION, "body": guards.function_body()}
    found = {row.name: row.bits for row in connection.execute(text(_POSTGRESQL), values)}
    bits = _ALWAYS_BITS | sum(_BITS.get(verb, 0) for verb in KEPT[table])
    return found.get(table) == bits
