"""Deliveries that were skipped, pages until acknowledged, silences, channels that fail or leave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store.migrations import guards

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Who acknowledged, and who muted what, is evidence; a silence's end is written into its row.
KEPT = {
    "acknowledgements": ("UPDATE", "DELETE"),
    "pages_over": ("UPDATE", "DELETE"),
    "silences": ("DELETE",),
}
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNSENT = "ix_deliveries_unsent"


def upgrade() -> None:
    with op.batch_alter_table("notices") as notices:
        notices.add_column(sa.Column("channel", sa.Text(), nullable=True))
    with op.batch_alter_table("channels") as channels:
        channels.add_column(sa.Column("away_since", sa.BigInteger(), nullable=True))
        channels.add_column(sa.Column("failing_since", sa.BigInteger(), nullable=True))
    op.drop_index(_UNSENT, table_name="deliveries")
    with op.batch_alter_table("deliveries") as deliveries:
        deliveries.add_column(sa.Column("skipped_at", sa.BigInteger(), nullable=True))
        deliveries.add_column(sa.Column("skipped", sa.Text(), nullable=True))
        deliveries.add_column(sa.Column("silence", sa.BigInteger(), nullable=True))
    _index("sent_at IS NULL AND skipped_at IS NULL")
    op.create_table(
        "pages",
        sa.Column("notice_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_pages")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pages_over",
        sa.Column("notice_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_pages_over")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "acknowledgements",
        sa.Column("notice_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_acknowledgements")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "silences",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("processor", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    guards.guard(KEPT)


def downgrade() -> None:
    guards.unguard(KEPT)
    for table in ("silences", "acknowledgements", "pages_over", "pages"):
        op.drop_table(table)
    op.drop_index(_UNSENT, table_name="deliveries")
    with op.batch_alter_table("deliveries") as deliveries:
        for column in ("silence", "skipped", "skipped_at"):
            deliveries.drop_column(column)
    _index("sent_at IS NULL")
    with op.batch_alter_table("channels") as channels:
        for column in ("failing_since", "away_since"):
            channels.drop_column(column)
    with op.batch_alter_table("notices") as notices:
        notices.drop_column("channel")


def _index(where: str) -> None:
    op.create_index(
        _UNSENT,
        "deliveries",
        ["channel", "not_before"],
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
