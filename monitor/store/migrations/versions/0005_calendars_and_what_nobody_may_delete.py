"""Calendars as they were used, and triggers that keep evidence from being changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What may not be done to the rows of a table, whoever it is that tries.
KEPT = {
    "audit": ("UPDATE", "DELETE"),
    "book": ("UPDATE", "DELETE"),
    "calendars": ("UPDATE", "DELETE"),
    "steps": ("UPDATE", "DELETE"),
    "audit_head": ("DELETE",),
    "duties": ("DELETE",),
    "notices": ("DELETE",),
}
WHY = "facetally keeps % for ever: it is evidence (docs/running.md, Evidence)"


def upgrade() -> None:
    op.create_table(
        "calendars",
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("because", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("year", "version", "origin", name=op.f("pk_calendars")),
        sqlite_with_rowid=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        _guard_sqlite()
    else:
        _guard_postgresql()


def _guard_sqlite() -> None:
    for table, verbs in KEPT.items():
        why = WHY.replace("%", table)
        for verb in verbs:
            op.execute(
                f"CREATE TRIGGER facetally_keep_{table}_{verb.lower()} BEFORE {verb} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{why}'); END"
            )
    # REPLACE deletes the row in its way without asking the trigger above.
    op.execute(
        "CREATE TRIGGER facetally_keep_audit_replace BEFORE INSERT ON audit "  # noqa: S608 - ours
        "WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq) "
        f"BEGIN SELECT RAISE(ABORT, '{WHY.replace('%', 'audit')}'); END"
    )


def _guard_postgresql() -> None:
    # Percent signs would be parameters to the driver, so the name is put in by concatenation.
    before, after = WHY.split("%")
    op.execute(
        "CREATE FUNCTION facetally_keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION USING MESSAGE = '{before}' || TG_TABLE_NAME || '{after}', "
        "ERRCODE = 'insufficient_privilege'; END $$"
    )
    for table, verbs in KEPT.items():
        # For each statement, not each row: what only inserts is never asked.
        events = " OR ".join((*verbs, "TRUNCATE"))
        op.execute(
            f"CREATE TRIGGER facetally_keep_{table} BEFORE {events} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION facetally_keep()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER facetally_keep_{table}")


def downgrade() -> None:
    sqlite = op.get_bind().dialect.name == "sqlite"
    for table, verbs in KEPT.items():
        if sqlite:
            for verb in verbs:
                op.execute(f"DROP TRIGGER facetally_keep_{table}_{verb.lower()}")
        else:
            op.execute(f"DROP TRIGGER facetally_keep_{table} ON {table}")
    op.execute(
        "DROP TRIGGER facetally_keep_audit_replace" if sqlite else "DROP FUNCTION facetally_keep"
    )
    op.drop_table("calendars")
