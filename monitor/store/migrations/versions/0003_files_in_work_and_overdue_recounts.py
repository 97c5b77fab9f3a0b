"""Files whose ``apply`` has not ended, and since when recounts are due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("beat_at", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("source", "file", name=op.f("pk_files")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "recounts",
        sa.Column("processor_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_since", sa.BigInteger(), nullable=True),
        sa.Column("told_at", sa.BigInteger(), nullable=True),
        sa.Column("look", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("processor_id", name=op.f("pk_recounts")),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("recounts")
    op.drop_table("files")
