"""From the bytes of a value to one change record, in whichever of Debezium's shapes it came.

JSON with and without ``{schema, payload}``, and the form of the CloudEvents converter, whose ids
are not looked at (all rows of a snapshot share one). Rows stay undecoded slices of the value here:
a column that nobody asks for, an image or a vector, is skipped and never becomes an object.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import msgspec

from monitor.facts import Instant
from monitor.intake import Ignored, Reason
from streams.adapters.checks import load_json, rfc3339
from streams.records import Undecodable

Number: TypeAlias = int | str | None
"""Debezium's own form has integers, the CloudEvents form decimal text."""

Flag: TypeAlias = str | bool | None
"""``source.snapshot``: a word, in older versions a boolean."""

NOTHING: Final = msgspec.Raw(b"")
NULL: Final = msgspec.Raw(b"null")
_LONGEST_NUMBER: Final = 20  # digits of 2**64
_NUMBER_END: Final = 2**64


class Source(msgspec.Struct, gc=False):
    """What a change record says about its origin, as far as we need it."""

    connector: str | None = None
    name: str | None = None
    ts_ms: Number = None
    snapshot: Flag = None
    sequence: str | None = None
    ts_us: Number = None
    schema: str | None = None
    table: str | None = None
    lsn: Number = None

    def at(self) -> Instant | None:
        """Return when the change was committed, or the row read; None if that is not told."""
        if self.ts_us is not None:
            return whole(self.ts_us, Reason.BAD_TIME)
        return None if self.ts_ms is None else whole(self.ts_ms, Reason.BAD_TIME) * 1000


class Change(NamedTuple):
    """One change record. *before* and *after* are the JSON of a row, ``null`` or nothing."""

    op: str
    source: Source
    before: msgspec.Raw
    after: msgspec.Raw


class Aside(NamedTuple):
    """A record of Debezium that is about no row, with the connector's time (ms) if it tells."""

    ignored: Ignored
    ts_ms: int | None = None


class _Wire(msgspec.Struct, gc=False):
    before: msgspec.Raw = NOTHING
    after: msgspec.Raw = NOTHING
    source: Source | str | None = None  # text in CloudEvents
    op: str | None = None
    payload: msgspec.Raw = NOTHING
    iodebeziumop: str | None = None


class _Extensions(
    msgspec.Struct,
    gc=False,
    rename=lambda field: field if field in {"time", "data"} else f"iodebezium{field}",
):
    """The CloudEvents attributes that stand for ``source``."""

    time: str | None = None
    op: str = ""
    connector: str | None = None
    name: str | None = None
    tsms: Number = None
    snapshot: Flag = None
    sequence: str | None = None
    tsus: Number = None
    schema: str | None = None
    table: str | None = None
    lsn: Number = None
    data: msgspec.Raw = NOTHING


class _Heartbeat(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    ts_ms: int
    ts_us: int | None = None
    ts_ns: int | None = None


class _Transaction(msgspec.Struct, gc=False):
    status: str
    id: str
    event_count: int | None
    ts_ms: int | None = None


class _SchemaChange(msgspec.Struct, gc=False):
    ddl: str | None
    tableChanges: list[msgspec.Raw] | None  # noqa: N815 - the name on the wire


_wire: Final = msgspec.json.Decoder(_Wire)
_extensions: Final = msgspec.json.Decoder(_Extensions)
_heartbeat: Final = msgspec.json.Decoder(_Heartbeat)
_transaction: Final = msgspec.json.Decoder(_Transaction)
_schema_change: Final = msgspec.json.Decoder(_SchemaChange)


def whole(number: int | str, reason: Reason) -> int:
    """Return *number*, an int or decimal text, if it fits 64 unsigned bits; else *reason*."""
    if isinstance(number, str):
        if not number.isascii() or not number.isdigit() or len(number) > _LONGEST_NUMBER:
            raise Undecodable(reason)
        number = int(number)
    if not 0 <= number < _NUMBER_END:
        raise Undecodable(reason)
    return number


def open_value(value: bytes) -> Change | Aside:
    """Return what *value* is, or raise Undecodable; nothing of the rows is decoded yet."""
    try:
        return _open(value)
    except msgspec.ValidationError:
        other = value.lstrip()[:1] != b"{"
        raise Undecodable(Reason.NOT_AN_OBJECT if other else Reason.NOT_DEBEZIUM) from None
    except (ValueError, RecursionError):
        load_json(value)  # NOT_JSON
        # JSON, but with a lone surrogate somewhere: no text at all.
        raise Undecodable(Reason.BAD_TEXT) from None


def _open(value: bytes | msgspec.Raw) -> Change | Aside:
    wire = _wire.decode(value)
    if wire.op is None and wire.payload != NOTHING:
        if wire.payload == NULL:
            return Aside(Ignored.TOMBSTONE)
        value = wire.payload
        wire = _wire.decode(value)
    if wire.op is not None and isinstance(wire.source, Source):
        return Change(wire.op, wire.source, wire.before, wire.after)
    if wire.iodebeziumop is not None:
        return _from_cloudevent(_extensions.decode(value))
    return _aside(value)


def _from_cloudevent(event: _Extensions) -> Change:
    rows = _wire.decode(event.data if event.data != NOTHING else b"{}")
    if rows.payload != NOTHING:
        rows = _wire.decode(rows.payload)
    source = Source(
        connector=event.connector,
        name=event.name,
        ts_ms=event.tsms,
        snapshot=event.snapshot,
        sequence=event.sequence,
        ts_us=event.tsus if event.tsms is not None else _time(event),
        schema=event.schema,
        table=event.table,
        lsn=event.lsn,
    )
    return Change(event.op, source, rows.before, rows.after)


def _time(event: _Extensions) -> Number:
    if event.tsus is not None:
        return event.tsus
    try:
        return rfc3339(event.time)
    except Undecodable:
        return None


def _aside(value: bytes | msgspec.Raw) -> Aside:
    try:
        return Aside(Ignored.HEARTBEAT, _heartbeat.decode(value).ts_ms)
    except msgspec.ValidationError:
        pass
    try:
        transaction = _transaction.decode(value)
    except msgspec.ValidationError:
        pass
    else:
        if transaction.status in {"BEGIN", "END"}:
            return Aside(Ignored.TRANSACTION, transaction.ts_ms)
    _schema_change.decode(value)
    return Aside(Ignored.SCHEMA_CHANGE)
