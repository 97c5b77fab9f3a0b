"""The few columns of a row that a mapping names, as exact texts.

A row is a mapping from column to undecoded JSON. What a column holds goes out as a checked text
or not at all; large columns that the mapping does not name are never turned into objects, and of
one whose presence alone matters nothing but "null or not" is looked at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from monitor.facts import Instant
from monitor.intake import Reason
from streams.adapters.checks import EARLIEST, ident, name, rfc3339
from streams.adapters.debezium_envelope import NOTHING, NULL
from streams.adapters.mapping import Column, Given, OneOf, Stored
from streams.records import Undecodable

Row: TypeAlias = Mapping[str, msgspec.Raw]

# What stands in a column that is stored out of line and that the update did not touch.
_UNAVAILABLE: Final = frozenset(
    {"__debezium_unavailable_value", "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}
)
_LONGEST_KEY: Final = 65_536

# Timestamps come as integers of four units. Their ranges for the years 2000 to 5138 are disjoint.
_UNITS: Final = ((10**11, 1_000_000), (10**14, 1_000), (10**17, 1))

_row: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Names repeat from row to row; what is refused is not kept.
_name: Final = lru_cache(maxsize=4096)(name)

_scalar: Final = msgspec.json.Decoder(str | int | float | bool | None)


def open_row(raw: msgspec.Raw) -> Row | None:
    """Return the row in *raw*, None if there is none, or raise NOT_DEBEZIUM."""
    if raw in (NOTHING, NULL):
        return None
    try:
        return _row.decode(raw)
    except (ValueError, RecursionError):
        raise Undecodable(Reason.NOT_DEBEZIUM) from None


def open_key(key: bytes | None) -> Row | None:
    """Return the columns of a record's key, or None if it is no JSON object of columns."""
    if key is None or len(key) > _LONGEST_KEY:
        return None
    try:
        columns = _row.decode(key)
        if columns.keys() == {"schema", "payload"}:
            columns = _row.decode(columns["payload"])
    except (ValueError, RecursionError):
        return None
    return columns


def face(columns: Sequence[str], row: Row) -> str:
    """Return the face id: the one key column, or the JSON list of several, so that no two meet."""
    if len(columns) == 1:
        return ident(_needed(row, columns[0]))
    return json.dumps([ident(_needed(row, column)) for column in columns])


def subject(column: str, row: Row) -> str:
    """Return the person's id, exactly as it stands there: 00123 is not 123."""
    return ident(_needed(row, column))


def given(value: Given, row: Row) -> str:
    """Return the name of a processor or system: a constant, or from the row."""
    return _name(_needed(row, value.name)) if isinstance(value, Column) else value


def gallery(value: Given, row: Row) -> str:
    """Return the name of a gallery; a null or empty column is the unnamed one."""
    if not isinstance(value, Column):
        return value
    text = _needed(row, value.name)
    return _name(text) if text else ""


def holds(stored: Stored, row: Row) -> bool:
    """Return whether *row* still stores its face."""
    if stored is None:
        return True
    if isinstance(stored, OneOf):
        return _needed(row, stored.column, boolean=True) in stored.values
    raw = row.get(stored.column)
    if raw is None:
        raise Undecodable(Reason.COLUMN_ABSENT)
    # The placeholder of an untouched column counts as present, which it is.
    return (raw != NULL) is stored.present


def dated(column: str, row: Row, read: Instant) -> Instant:
    """Return the instant in *column*, or *read* if it holds none between 2000 and *read*.

    Text must name its offset; an integer is seconds, milliseconds, micro- or nanoseconds since
    1970 UTC, by its size.
    """
    at = _instant(row.get(column, NULL))
    return at if at is not None and EARLIEST <= at <= read else read


def _instant(raw: msgspec.Raw) -> Instant | None:
    try:
        value = _scalar.decode(raw)
        if isinstance(value, str):
            return rfc3339(value)
    except (ValueError, Undecodable):
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return next((value * unit for end, unit in _UNITS if value < end), value // 1000)


def _needed(row: Row, column: str, *, boolean: bool = False) -> str | None:
    raw = row.get(column)
    if raw is None:
        raise Undecodable(Reason.COLUMN_ABSENT)
    try:
        value = _scalar.decode(raw)
        if isinstance(value, str):
            return _available(value)
        if isinstance(value, bool):
            return _truth(boolean, value)
        if isinstance(value, float):
            raise Undecodable(Reason.BAD_TEXT)
        return None if value is None else str(value)
    except ValueError:
        raise Undecodable(Reason.BAD_TEXT) from None


def _available(text: str) -> str:
    if text in _UNAVAILABLE:
        raise Undecodable(Reason.COLUMN_ABSENT)
    return text


def _truth(allowed: bool, value: bool) -> str:  # noqa: FBT001 - the value of a column
    if not allowed:
        raise Undecodable(Reason.BAD_TEXT)
    return "true" if value else "false"
