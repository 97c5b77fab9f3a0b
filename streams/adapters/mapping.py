"""Which tables of a database hold stored faces, and which columns say whose: from the settings.

A mapping belongs to **one** database, that is one Debezium connector: two databases share neither
face ids nor log positions, so they need two ``[sources.NAME]``. A table becomes one store, common
to all processors in it, because the record of a deleted row carries its primary key only::

    [sources.gate]
    adapter = "debezium"
    epoch = 0                        # raise it when the source database is replaced
    [[sources.gate.tables]]
    table = "public.face_template"   # schema.table, or table alone: in whatever schema
    face = "face_id"                 # primary key: a column, or a list of columns
    subject = "person_id"            # column with the person's id
    processor = { column = "tenant" }   # a column, or a text that is the same for all rows
    system = "gate"                  # likewise
    gallery = ""                     # likewise; optional, default: the unnamed gallery
    stored = "row"                   # optional, default "row"; when is the face still stored?
    dated_by = "created_at"          # optional: dates rows of a snapshot, never orders them
    store = "gate/faces"             # optional name of the store; do not change it later

``stored`` is ``"row"`` (as long as the row is there), ``{ column = "status", in = ["active"] }``
(soft delete: as long as the column has one of these values) or ``{ column = "template", present =
true }`` (as long as the column is not null; ``false``: as long as it is, say a ``deleted_at``).
The columns may hold text or integers (an ``in`` column a boolean too), compared as text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from streams.adapters.checks import name as printable
from streams.records import Undecodable

_T = TypeVar("_T")

_SOURCE_KEYS: Final = frozenset({"adapter", "epoch", "tables"})
_TABLE_KEYS: Final = frozenset(
    {"table", "face", "subject", "processor", "system", "gallery", "stored", "dated_by", "store"}
)
_MAX_EPOCH: Final = 2**31 - 1


class BadMapping(ValueError):
    """The settings of a source are wrong: the message names the key, and says what to do."""


@dataclass(frozen=True, slots=True)
class Column:
    """The value is in this column of each row."""

    name: str


Given: TypeAlias = str | Column
"""A text that is the same for all rows, or the column that holds it."""


@dataclass(frozen=True, slots=True)
class OneOf:
    """A face is stored as long as *column*, as text, is one of *values*."""

    column: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Present:
    """A face is stored as long as *column* is not null (``present=False``: as long as it is)."""

    column: str
    present: bool = True


Stored: TypeAlias = OneOf | Present | None
"""When a row holds a stored face; None: as long as there is a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table each row of which is one face. *schema* None means: in any schema."""

    schema: str | None
    table: str
    face: tuple[str, ...]
    subject: str
    processor: Given
    system: Given
    gallery: Given = ""
    stored: Stored = None
    dated_by: str | None = None
    store: str | None = None


@dataclass(frozen=True, slots=True)
class SourceMapping:
    """The tables of one database. *epoch* is the first part of every log position."""

    name: str
    epoch: int
    tables: tuple[Table, ...]

    def find(self, schema: str | None, table: str) -> Table | None:
        """Return the mapping of this table, if it is mapped; one with its schema goes first."""
        same = [each for each in self.tables if each.table == table]
        for each in same:
            if each.schema is not None and each.schema == schema:
                return each
        return next((each for each in same if each.schema is None), None)

    def store_of(self, mapped: Table, schema: str | None) -> str:
        """Return the name of the store of *mapped*, as it stands in *schema*.

        By default ``source/schema.table``, so that one mapping of a table that several schemas
        have never mixes their ids, and truncating one empties that one only.
        """
        if mapped.store is not None:
            return mapped.store
        return f"{self.name}/{schema}.{mapped.table}" if schema else f"{self.name}/{mapped.table}"


def read_mapping(source: str, settings: Mapping[str, object]) -> SourceMapping:
    """Return the mapping in *settings*, all of ``[sources.SOURCE]``, or raise BadMapping."""
    at = f"sources.{source}"
    _only(settings, _SOURCE_KEYS, at)
    adapter = settings.get("adapter", "debezium")
    if adapter != "debezium":
        raise BadMapping(f'{at}.adapter: only "debezium" takes a mapping of tables')
    tables = settings.get("tables")
    if not isinstance(tables, list) or not tables:
        raise BadMapping(f"{at}.tables: add at least one [[{at}.tables]]")
    mapped = tuple(_table(each, f"{at}.tables[{i}]") for i, each in enumerate(tables))
    mapping = SourceMapping(source, _epoch(settings.get("epoch", 0), f"{at}.epoch"), mapped)
    _no_two_alike(mapping, at)
    return mapping


def _table(settings: object, at: str) -> Table:
    if not isinstance(settings, Mapping):
        raise BadMapping(f"{at}: write it as a table of keys, [[...tables]]")
    _only(settings, _TABLE_KEYS, at)

    def required(key: str, read: Callable[[object, str], _T]) -> _T:
        if key not in settings:
            raise BadMapping(f"{at}.{key}: is missing; see the documentation of mappings")
        return read(settings[key], f"{at}.{key}")

    schema, table = required("table", _table_name)
    mapped = Table(
        schema=schema,
        table=table,
        face=required("face", _columns),
        subject=required("subject", _text),
        processor=required("processor", _given),
        system=required("system", _given),
        gallery=_gallery(settings.get("gallery", ""), f"{at}.gallery"),
        stored=_stored(settings.get("stored", "row"), f"{at}.stored"),
        dated_by=_optional(settings.get("dated_by"), f"{at}.dated_by"),
        store=_optional(settings.get("store"), f"{at}.store"),
    )
    if mapped.store is not None and mapped.schema is None:
        raise BadMapping(f'{at}.store: write the table as "schema.table" to name its store')
    return mapped


def _table_name(value: object, at: str) -> tuple[str | None, str]:
    schema, dot, table = _text(value, at).partition(".")
    if not dot:
        return None, schema
    if not schema or not table:
        raise BadMapping(f'{at}: write "schema.table", or the table alone')
    return schema, table


def _columns(value: object, at: str) -> tuple[str, ...]:
    named = value if isinstance(value, list) else [value]
    columns = tuple(_text(each, at) for each in named)
    if not columns or len(set(columns)) != len(columns):
        raise BadMapping(f"{at}: name the columns of the primary key, each once")
    return columns


def _given(value: object, at: str) -> Given:
    if not isinstance(value, Mapping):
        return _text(value, at)
    if set(value) != {"column"}:
        raise BadMapping(f'{at}: write a text, or {{ column = "..." }}')
    return Column(_text(value["column"], f"{at}.column"))


def _gallery(value: object, at: str) -> Given:
    return "" if value == "" else _given(value, at)


def _stored(value: object, at: str) -> Stored:
    if value == "row":
        return None
    if isinstance(value, Mapping) and set(value) == {"column", "in"}:
        return OneOf(_text(value["column"], f"{at}.column"), _values(value["in"], f"{at}.in"))
    if isinstance(value, Mapping) and set(value) == {"column", "present"}:
        if not isinstance(value["present"], bool):
            raise BadMapping(f"{at}.present: write true (stored while not null) or false")
        return Present(_text(value["column"], f"{at}.column"), value["present"])
    raise BadMapping(
        f'{at}: write "row", {{ column = "...", in = [...] }} or '
        '{ column = "...", present = true }'
    )


def _values(value: object, at: str) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise BadMapping(f"{at}: list the values that mean stored")
    return frozenset(_value(each, at) for each in value)


def _value(value: object, at: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | str):
        return str(value)
    raise BadMapping(f"{at}: only texts, integers and booleans can be compared")


def _epoch(value: object, at: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MAX_EPOCH:
        raise BadMapping(f"{at}: write an integer from 0 on; raise it by 1 for a new database")
    return value


def _optional(value: object, at: str) -> str | None:
    return None if value is None else _text(value, at)


def _text(value: object, at: str) -> str:
    try:
        return printable(value)
    except Undecodable:
        raise BadMapping(f"{at}: write a printable text of 1 to 200 characters") from None


def _only(settings: Mapping[str, object], known: frozenset[str], at: str) -> None:
    for key in settings:
        if key not in known:
            raise BadMapping(f"{at}.{key}: is not a key; known are {', '.join(sorted(known))}")


def _no_two_alike(mapping: SourceMapping, at: str) -> None:
    tables = mapping.tables
    if len({(each.schema, each.table) for each in tables}) != len(tables):
        raise BadMapping(f"{at}.tables: a table is mapped twice; keep one of the two")
    if len({mapping.store_of(each, each.schema) for each in tables}) != len(tables):
        raise BadMapping(
            f"{at}.tables: two tables have one store, but emptying one would empty the other;"
            " leave out store, or name two"
        )
