"""Words for the tables in ``schema``: what a table, a key and a column of ours are."""

from __future__ import annotations

from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

_Kind: TypeAlias = type[TypeEngine[Any]] | TypeEngine[Any]

Serial = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by INTEGER only


def table(name: str, *parts: Column[Any] | UniqueConstraint | Index) -> Table:
    """Make a table of ours."""
    return Table(name, metadata, *parts)


def keyed(name: str, *parts: Column[Any] | UniqueConstraint | Index) -> Table:
    """Make a table that SQLite keeps in the order of its key, without a second tree."""
    return Table(name, metadata, *parts, sqlite_with_rowid=False)


def key(name: str, kind: _Kind) -> Column[Any]:
    """Return a column of the primary key, which nobody numbers for us."""
    return Column(name, kind, primary_key=True, autoincrement=False)


def must(name: str, kind: _Kind) -> Column[Any]:
    """Return a column that every row fills."""
    return Column(name, kind, nullable=False)


def may(name: str, kind: _Kind) -> Column[Any]:
    """Return a column that may be empty."""
    return Column(name, kind, nullable=True)


def part(name: str, *columns: str, where: str) -> Index:
    """Return an index of the rows *where* that holds, in both databases."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))
