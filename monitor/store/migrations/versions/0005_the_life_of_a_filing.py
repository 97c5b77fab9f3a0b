"""The life of a filing: steps, terminations, material changes, and latches that are armed anew."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("reaches") as reaches:
        reaches.add_column(sa.Column("after", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("watches") as watches:
        watches.add_column(sa.Column("since_passed", sa.Boolean(), nullable=True))
    op.create_table(
        "steps",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("processor_id", sa.Integer(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("duty", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("withdraws", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_steps")),
        sa.UniqueConstraint("processor_id", "step", name=op.f("uq_steps_processor_id_step")),
    )
    op.create_table(
        "terminations",
        sa.Column("processor_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("processor_id", "at", name=op.f("pk_terminations")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "changes",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("processor_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_changes")),
        sa.UniqueConstraint(
            "processor_id", "kind", "what", name=op.f("uq_changes_processor_id_kind_what")
        ),
    )


def downgrade() -> None:
    for table in ("changes", "terminations", "steps"):
        op.drop_table(table)
    with op.batch_alter_table("reaches") as reaches:
        reaches.drop_column("after")
    with op.batch_alter_table("watches") as watches:
        watches.drop_column("since_passed")
