"""Many rows by key, read and written with one statement: the few places that driver SQL pays for.

Through SQLAlchemy's Core with a list of dicts the same costs two to three times as much a row
(DESIGN section 10). SQLite takes ``executemany`` and ``IN``. PostgreSQL takes ``COPY`` where
rows are only added, else arrays, both in binary form: as text an array costs four times as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import psycopg
from sqlalchemy import (
    BigInteger,
    Boolean,
    Connection,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.exc import DBAPIError

from monitor.store.engine import is_sqlite

Rows: TypeAlias = Sequence[tuple[object, ...]]

_CHUNK = 20_000  # below SQLite's limit of variables in a statement
_TYPES = (
    (LargeBinary, "bytea"),
    (Boolean, "bool"),
    (BigInteger, "int8"),
    (SmallInteger, "int2"),
    (Integer, "int4"),
    (Text, "text"),
)


def upsert(connection: Connection, table: Table, rows: Rows, *, grows: str | None = None) -> None:
    """Insert *rows* (tuples in the order of the table's columns), or replace those of their key.

    With *grows* a row stays as it is if that column of it would become smaller.
    """
    columns = [column.name for column in table.columns]
    keys = [column.name for column in table.primary_key]
    values = ", ".join(f'"{name}" = excluded."{name}"' for name in columns if name not in keys)
    action = f"UPDATE SET {values}" if values else "NOTHING"
    if grows is not None:
        action += f' WHERE excluded."{grows}" >= {table.name}."{grows}"'
    conflict = f"ON CONFLICT ({_quoted(keys)}) DO {action}"
    _write(connection, table, columns, rows, conflict)


def count(connection: Connection, table: Table, key: tuple[object, ...], change: int) -> None:
    """Add *change* to the last column of the row with this *key*, which need not be there yet."""
    *keys, value = [column.name for column in table.columns]
    mark = "?" if is_sqlite(connection) else "%s"
    marks = ", ".join([mark] * (len(keys) + 1))
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(keys)}, {value}) VALUES ({marks}) "  # noqa: S608 - our own names
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE "
        f"SET {value} = {table.name}.{value} + excluded.{value}",
        (*key, change),
    )


def append(connection: Connection, table: Table, columns: Sequence[str], rows: Rows) -> None:
    """Insert *rows*; the database numbers them."""
    if is_sqlite(connection):
        _write(connection, table, columns, rows, "")
    elif rows:
        _copy(connection, table, columns, rows)


def _copy(connection: Connection, table: Table, columns: Sequence[str], rows: Rows) -> None:
    statement = f"COPY {table.name} ({_quoted(columns)}) FROM STDIN (FORMAT BINARY)"
    cursor: Any = connection.connection.cursor()  # psycopg's own: SQLAlchemy knows no COPY
    try:
        with cursor.copy(statement) as copied:
            copied.set_types([_type(table, name) for name in columns])
            for row in rows:
                copied.write_row(row)
    except psycopg.Error as exc:
        raise DBAPIError(statement, None, exc) from exc
    finally:
        cursor.close()


def _write(
    connection: Connection, table: Table, columns: Sequence[str], rows: Rows, conflict: str
) -> None:
    if not rows:
        return
    head = f"INSERT INTO {table.name} ({_quoted(columns)})"
    if is_sqlite(connection):
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"{head} VALUES ({marks}) {conflict}", list(rows))
        return
    arrays = ", ".join(f"%b::{_type(table, name)}[]" for name in columns)
    statement = f"{head} SELECT * FROM unnest({arrays}) {conflict}"  # noqa: S608 - our own names
    connection.exec_driver_sql(statement, tuple(list(column) for column in zip(*rows, strict=True)))


def select_by_key(
    connection: Connection,
    columns: str,
    table: Table,
    within: tuple[str, int] | None,
    key: str,
    keys: Sequence[Any],
) -> Iterator[tuple[Any, ...]]:
    """Yield *columns* of the rows whose *key* is one of *keys* (sorted ones read fastest).

    *within* adds the equality of a leading integer column of the table's key.
    """
    head = f"SELECT {columns} FROM {table.name} WHERE "  # noqa: S608 - our own names
    if within is not None:
        head += f"{within[0]} = {int(within[1])} AND "
    for chunk in _chunks(keys):
        if is_sqlite(connection):
            marks = ",".join("?" * len(chunk))
            result = connection.exec_driver_sql(f"{head}{key} IN ({marks})", tuple(chunk))
        else:
            kind = _type(table, key)
            result = connection.exec_driver_sql(f"{head}{key} = ANY(%b::{kind}[])", (list(chunk),))
        yield from result.cursor.fetchall()


def _quoted(names: Sequence[str]) -> str:
    """Return a list of column names; ``offset`` is a word of PostgreSQL's."""
    return ", ".join(f'"{name}"' for name in names)


def _type(table: Table, column: str) -> str:
    for kind, name in _TYPES:
        if isinstance(table.columns[column].type, kind):
            return name
    raise TypeError(f"no type for {table.name}.{column}")


def _chunks(keys: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    rest = iter(keys)
    while chunk := tuple(islice(rest, _CHUNK)):
        yield chunk
