"""The order of what was seen and looked up is a number of the database, not that of clocks.

Of what was kept before nobody can tell the order: ends are forgotten, and looked up again half a
second after a worker has started; all else was seen at the first moment.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FIRST = 1


def upgrade() -> None:
    op.create_table(
        "moments",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_moments")),
        sqlite_with_rowid=False,
    )
    moments = sa.table("moments", sa.column("id", sa.Integer()), sa.column("number"))
    op.execute(moments.insert().values(id=1, number=_FIRST))
    op.drop_table("ends")
    _make_ends(sa.Column("moment", sa.BigInteger(), nullable=False))
    op.add_column("reaches", sa.Column("first_seen_no", sa.BigInteger(), nullable=True))
    op.add_column("snapshots", sa.Column("ended_seen_no", sa.BigInteger(), nullable=True))
    op.drop_column("snapshots", "ended_seen_at")
    op.add_column("unverified", sa.Column("marked_no", sa.BigInteger(), nullable=True))
    op.add_column("unverified", sa.Column("last_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE unverified SET last_at = since")
    op.add_column("positions", sa.Column("stopped_at", sa.BigInteger(), nullable=True))
    op.add_column("topics", sa.Column("gone_since", sa.BigInteger(), nullable=True))
    op.add_column("duties", sa.Column("asked", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("claimed_at", sa.BigInteger(), nullable=True))
    sent = sa.text("sent_at IS NOT NULL")
    op.create_index(
        "ix_deliveries_sent",
        "deliveries",
        ["channel", "sent_at"],
        sqlite_where=sent,
        postgresql_where=sent,
    )
    _remake_rejects([sa.Column("file", sa.Text(), nullable=False)])
    _at_first("reaches", "first_seen_no", "trigger_at")
    _at_first("snapshots", "ended_seen_no", "ended_at")
    _at_first("unverified", "marked_no", "since")


def _remake_rejects(file: list[sa.Column[str]]) -> None:
    """Make the table anew, for another key; *file* is a part of it, or is not."""
    op.execute("CREATE TABLE rejects_before AS SELECT * FROM rejects")
    op.drop_table("rejects")
    keys = ["topic", "partition", "offset", *(column.name for column in file)]
    op.create_table(
        "rejects",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("offset", sa.BigInteger(), autoincrement=False, nullable=False),
        *file,
        sa.Column("topic_id", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*keys, name=op.f("pk_rejects")),
        sqlite_with_rowid=False,
    )
    names = 'topic, "partition", "offset", topic_id, source, reason, read_at'
    into = f"{names}, file" if file else names
    values = f"{names}, ''" if file else names
    once = "" if file else " WHERE file = ''"
    op.execute(f"INSERT INTO rejects ({into}) SELECT {values} FROM rejects_before{once}")  # noqa: S608 - our own names
    op.drop_table("rejects_before")


def _make_ends(*more: sa.Column[int]) -> None:
    op.create_table(
        "ends",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=False),
        *more,
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_ends")),
        sqlite_with_rowid=False,
    )


def _at_first(table: str, column: str, where_known: str) -> None:
    rows = sa.table(table, sa.column(column, sa.BigInteger()), sa.column(where_known))
    known = rows.c[where_known].is_not(None)
    op.execute(rows.update().where(known).values({column: _FIRST}))


def downgrade() -> None:
    _remake_rejects([])
    op.drop_index("ix_deliveries_sent", "deliveries")
    op.drop_column("deliveries", "claimed_at")
    op.drop_column("duties", "asked")
    op.drop_column("topics", "gone_since")
    op.drop_column("positions", "stopped_at")
    op.drop_column("unverified", "last_at")
    op.drop_column("unverified", "marked_no")
    op.add_column("snapshots", sa.Column("ended_seen_at", sa.BigInteger(), nullable=True))
    snapshots = sa.table("snapshots", sa.column("ended_at"), sa.column("ended_seen_at"))
    op.execute(snapshots.update().values(ended_seen_at=snapshots.c.ended_at))
    op.drop_column("snapshots", "ended_seen_no")
    op.drop_column("reaches", "first_seen_no")
    op.drop_table("ends")
    _make_ends()
    op.drop_table("moments")
