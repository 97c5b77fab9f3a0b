"""Calendars as they were used, and triggers that keep evidence from being changed or deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations import guards

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What may not be done to the rows of a table, whoever it is that tries.
KEPT = {
    "audit": ("UPDATE", "DELETE"),
    "book": ("UPDATE", "DELETE"),
    "calendars": ("UPDATE", "DELETE"),
    "steps": ("UPDATE", "DELETE"),
    "terminations": ("UPDATE", "DELETE"),
    "audit_head": ("DELETE",),
    "changes": ("DELETE",),  # a person's decision is written into the row
    "duties": ("DELETE",),
    "notices": ("DELETE",),
}


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
    guards.make_function()
    guards.guard(KEPT)
    if guards.is_sqlite():
        op.execute(guards.sqlite_trigger("audit", "REPLACE"))


def downgrade() -> None:
    if guards.is_sqlite():
        op.execute("DROP TRIGGER facetally_keep_audit_replace")
    guards.unguard(KEPT)
    guards.drop_function()
    op.drop_table("calendars")
