"""Numbers and events that people tell, early warnings, the stock day by day, clocks of hours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations import guards

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# What a person told is never changed: another telling corrects it.
KEPT = {"told_events": ("UPDATE", "DELETE"), "told_numbers": ("UPDATE", "DELETE")}
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("duties") as duties:
        duties.add_column(sa.Column("due_at", sa.BigInteger(), nullable=True))
    op.create_table(
        "told_numbers",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("processor_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_told_numbers")),
    )
    op.create_table(
        "told_events",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("processor_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_told_events")),
        sa.UniqueConstraint(
            "processor_id",
            "kind",
            "reference",
            "at",
            name=op.f("uq_told_events_processor_id_kind_reference_at"),
        ),
    )
    op.create_table(
        "approaches",
        sa.Column("processor_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("percent", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at_least", sa.BigInteger(), nullable=False),
        sa.Column("passes", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=True),
        sa.Column("seen_no", sa.BigInteger(), nullable=True),
        sa.Column("newest_at", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("processor_id", "rule", "percent", name=op.f("pk_approaches")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "days",
        sa.Column("processor_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("individuals", sa.BigInteger(), nullable=False),
        sa.Column("from_book", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("processor_id", "day", name=op.f("pk_days")),
        sqlite_with_rowid=False,
    )
    guards.guard(KEPT)


def downgrade() -> None:
    guards.unguard(KEPT)
    for table in ("days", "approaches", "told_events", "told_numbers"):
        op.drop_table(table)
    with op.batch_alter_table("duties") as duties:
        duties.drop_column("due_at")
