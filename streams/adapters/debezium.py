"""Change records of Debezium (PostgreSQL) as facts about stored faces.

Facts are ordered by log position, ``Version(epoch, commit position, position)``, and only dated by
the database's clock. A deleted row is known by its primary key alone: what else ``before`` shows
may be made up (column defaults in place of values), and no person is ever read from it. Records
about no mapped row are ignored. Nothing is remembered from one record to the next.

Other databases than PostgreSQL have other log positions; their rows are set aside as BAD_POSITION
until somebody has checked them against a recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec

from monitor.facts import (
    Enrolled,
    FaceHash,
    Instant,
    Order,
    Place,
    Removed,
    StorageFact,
    Store,
    Truncated,
    Version,
)
from monitor.identity import Identity
from monitor.intake import Decoded, Ignored, LogPoint, Reason, SnapshotSign
from streams.adapters import debezium_row as rows
from streams.adapters.checks import MAX_VALUE_BYTES, TOLERANCE_US, bounded, name
from streams.adapters.debezium_envelope import (
    Aside,
    Change,
    Flag,
    Number,
    Source,
    open_value,
    whole,
)
from streams.adapters.mapping import SourceMapping, Table
from streams.records import Record, Undecodable

_ROW_OPS: Final = frozenset("crud")
_LIVE: Final = frozenset({None, False, "false"})
_TOMBSTONE: Final = Decoded(ignored=Ignored.TOMBSTONE)

# Decimal texts in a list; strict=False reads them as integers. All rows of a snapshot have one.
_sequence: Final = lru_cache(maxsize=256)(
    msgspec.json.Decoder(tuple[int | None, int | None], strict=False).decode
)
_connector: Final = lru_cache(maxsize=256)(name)


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A table as it stands in one schema."""

    table: Table
    store: Store


class Debezium:
    """The adapter of one source database. *tolerance_us*: see ``checks.bounded``."""

    def __init__(
        self, identity: Identity, mapping: SourceMapping, tolerance_us: int = TOLERANCE_US
    ) -> None:
        self._identity = identity
        self._mapping = mapping
        self._tolerance_us = tolerance_us
        self._mapped: dict[tuple[str | None, str], _Mapped] = {}

    def decode(self, record: Record, read_at: Instant) -> Decoded:
        """Return what *record* says, or raise Undecodable; see ``streams.records.Adapter``."""
        if record.value is None:
            return _TOMBSTONE
        if len(record.value) > MAX_VALUE_BYTES:
            raise Undecodable(Reason.TOO_LARGE)
        opened = open_value(record.value)
        if isinstance(opened, Aside):
            at = None if opened.ts_ms is None else opened.ts_ms * 1000
            return Decoded(ignored=opened.ignored, instant=self._sane(at, record, read_at))
        if opened.op == "m":
            return self._ignored(opened, Ignored.MESSAGE, record, read_at)
        if opened.op not in _ROW_OPS and opened.op != "t":
            raise Undecodable(Reason.UNKNOWN_TYPE)
        if not opened.source.table:
            raise Undecodable(Reason.NOT_DEBEZIUM)
        mapped = self._find(opened.source.schema, opened.source.table)
        if mapped is None:
            return self._ignored(opened, Ignored.UNMAPPED_TABLE, record, read_at)
        return self._change(opened, mapped, record, read_at)

    def _change(self, change: Change, mapped: _Mapped, record: Record, read_at: Instant) -> Decoded:
        told = change.source.at()
        if told is None:
            raise Undecodable(Reason.BAD_TIME)
        at = bounded(told, record.timestamp, read_at, self._tolerance_us)
        version = position(change.source, self._mapping.epoch)
        fact = self._fact(change, mapped, record.key, version, at)
        log = LogPoint(version, at) if is_live(change) else None
        return Decoded((fact,), None, at, snapshot_sign(change, at), log)

    def _fact(
        self, change: Change, mapped: _Mapped, key: bytes | None, version: Version, at: Instant
    ) -> StorageFact:
        if change.op == "t":
            return Truncated(mapped.store, version, at)
        table, store = mapped.table, mapped.store
        if change.op == "d":
            return Removed(store, self._deleted(change, mapped, key), None, None, version, at, at)
        row = rows.open_row(change.after)
        if row is None:
            raise Undecodable(Reason.NOT_DEBEZIUM)
        face = self._identity.face(store.name, rows.face(table.face, row))
        if not rows.holds(table.stored, row):
            return Removed(store, face, None, None, version, at, at)
        place = Place(
            rows.given(table.processor, row),
            rows.given(table.system, row),
            rows.gallery(table.gallery, row),
        )
        subject = self._identity.subject(
            place.processor, place.system, rows.subject(table.subject, row)
        )
        dated = at
        if change.op == "r" and table.dated_by is not None:
            dated = rows.dated(table.dated_by, row, at)
        return Enrolled(store, face, place, subject, version, dated, at)

    def _deleted(self, change: Change, mapped: _Mapped, key: bytes | None) -> FaceHash:
        # The key may be of other columns (message.key.columns), or none; `before` always has the
        # primary key, but its other columns may be made up.
        columns = mapped.table.face
        row = rows.open_key(key)
        if row is None or not all(column in row for column in columns):
            row = rows.open_row(change.before)
        if row is None:
            raise Undecodable(Reason.COLUMN_ABSENT)
        return self._identity.face(mapped.store.name, rows.face(columns, row))

    def _find(self, schema: str | None, table: str) -> _Mapped | None:
        known = self._mapped.get((schema, table))
        if known is not None:
            return known
        found = self._mapping.find(schema, table)
        if found is None:
            return None
        store = Store(self._mapping.store_of(found, schema), Order.LOG)
        mapped = self._mapped[schema, table] = _Mapped(found, store)
        return mapped

    def _ignored(
        self, change: Change, ignored: Ignored, record: Record, read_at: Instant
    ) -> Decoded:
        """Nothing about storage, and never rejected; it may tell how far the connector is."""
        try:
            at = self._sane(change.source.at(), record, read_at)
            sign = None if at is None else snapshot_sign(change, at)
        except Undecodable:
            return Decoded(ignored=ignored)
        return Decoded(ignored=ignored, instant=at, sign=sign)

    def _sane(self, at: Instant | None, record: Record, read_at: Instant) -> Instant | None:
        if at is None:
            return None
        try:
            return bounded(at, record.timestamp, read_at, self._tolerance_us)
        except Undecodable:
            return None


def position(source: Source, epoch: int) -> Version:
    """Return where in the log of a PostgreSQL server a change stands, or raise BAD_POSITION.

    ``source.sequence`` is a JSON list in a text: the last commit before it (null right after a
    start, then its own position stands in), and its own position. Without one ``lsn`` is both.
    """
    if source.connector not in {None, "postgresql"}:
        raise Undecodable(Reason.BAD_POSITION)
    commit: int | None = None
    own: Number = None
    if source.sequence:
        try:
            commit, own = _sequence(source.sequence)
        except (ValueError, RecursionError):
            raise Undecodable(Reason.BAD_POSITION) from None
    own = source.lsn if own is None else own
    if own is None:
        raise Undecodable(Reason.BAD_POSITION)
    minor = whole(own, Reason.BAD_POSITION)
    if commit is None:
        return Version(epoch, minor, minor)
    return Version(epoch, whole(commit, Reason.BAD_POSITION), minor)


def is_live(change: Change) -> bool:
    """Return whether *change* was read from the log, not from a table by a snapshot.

    A flag that we do not know is taken for a snapshot's: it proves the end of nothing.
    """
    return change.op != "r" and change.source.snapshot in _LIVE


def snapshot_sign(change: Change, at: Instant) -> SnapshotSign | None:
    """Return what *change* tells about its connector's snapshot; None if that has no name."""
    if change.source.name is None:
        return None
    connector = _connector(change.source.name)
    if is_live(change):
        return SnapshotSign(connector, at, ends_table=True, ends_all=True)
    return _row_sign(connector, at, change.source.snapshot)


@lru_cache(maxsize=256)
def _row_sign(connector: str, at: Instant, flag: Flag) -> SnapshotSign:
    return SnapshotSign(
        connector,
        at,
        row=True,
        incremental=flag == "incremental",
        ends_table=flag in {"last", "last_in_data_collection"},
        ends_all=flag == "last",
    )
