"""When topics were last read, what a person accepted, and offsets that mean nothing new."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("positions", sa.Column("read_at", sa.BigInteger(), nullable=True))
    op.add_column("positions", sa.Column("excused", sa.BigInteger(), nullable=True))
    op.add_column("positions", sa.Column("passed", sa.BigInteger(), nullable=True))
    op.add_column("topics", sa.Column("told_silent", sa.BigInteger(), nullable=True))
    op.add_column("unverified", sa.Column("accepted_at", sa.BigInteger(), nullable=True))
    # Nobody knows when these were last read; counted from now a dead source is noticed, too.
    positions = sa.table("positions", sa.column("read_at", sa.BigInteger()))
    op.execute(positions.update().values(read_at=time.time_ns() // 1000))


def downgrade() -> None:
    op.drop_column("unverified", "accepted_at")
    op.drop_column("topics", "told_silent")
    op.drop_column("positions", "passed")
    op.drop_column("positions", "excused")
    op.drop_column("positions", "read_at")
