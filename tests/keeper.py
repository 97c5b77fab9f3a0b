"""A small real Keeper on SQLite, for tests of the way in: it counts how often each fact came.

Positions move in the transaction of the facts, guarded by their old value, as in the product.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from monitor.facts import Fact, Instant, Terminated, Version
from monitor.intake import (
    Ahead,
    Batch,
    Decoded,
    EndSeen,
    Gap,
    Ignored,
    LogWentBack,
    Move,
    PositionMoved,
    Reason,
    StoredPosition,
    TopicSeen,
    Written,
)
from streams.records import Record, Undecodable

TABLES = """
CREATE TABLE IF NOT EXISTS applied (name TEXT PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT, partition INTEGER, topic_id TEXT, next_offset INTEGER,
    PRIMARY KEY (topic, partition)
);
CREATE TABLE IF NOT EXISTS rejects (topic TEXT, partition INTEGER, offset INTEGER, reason TEXT);
CREATE TABLE IF NOT EXISTS gaps (topic TEXT, partition INTEGER, reason TEXT, resume INTEGER);
CREATE TABLE IF NOT EXISTS ends (
    topic TEXT, partition INTEGER, at INTEGER, looked_at INTEGER, moment INTEGER
);
CREATE TABLE IF NOT EXISTS topics (topic TEXT, partitions INTEGER);
CREATE TABLE IF NOT EXISTS restored (
    topic TEXT, partition INTEGER, stored INTEGER, committed INTEGER, seen_at INTEGER
);
"""

REFUSED = "refused"


class Names:
    """An adapter: a value ``name`` is one fact of a processor of that name."""

    def decode(self, record: Record, read_at: Instant) -> Decoded:
        if record.value is None:
            return Decoded(ignored=Ignored.TOMBSTONE)
        try:
            name = record.value.decode("ascii")
        except UnicodeDecodeError:
            raise Undecodable(Reason.BAD_TEXT) from None
        at = record.timestamp * 1000
        return Decoded((Terminated(name, Version(at, 0, 0), at),), instant=min(at, read_at))


class SqliteKeeper:
    """A Keeper whose every call is one transaction on the file at *path*."""

    def __init__(self, path: Path, *, busy: float = 5.0) -> None:
        self._db = sqlite3.connect(
            path, timeout=busy, isolation_level=None, check_same_thread=False
        )
        self.refuses = True
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(TABLES)

    def close(self) -> None:
        self._db.close()

    def keep(self, batches: Sequence[Batch]) -> None:
        with self._transaction():
            for batch in batches:
                self._keep(batch)

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        rows = self._db.execute("SELECT topic, partition, topic_id, next_offset FROM positions")
        stored = {(row[0], row[1]): StoredPosition(row[2], row[3], None) for row in rows}
        return {tp: stored[tp] for tp in partitions if tp in stored}

    def topics(
        self,
        seen: Sequence[TopicSeen],
        gone: Iterable[str] = (),  # noqa: ARG002 - as the protocol
        now: Instant = 0,  # noqa: ARG002
    ) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM topics")
            rows = [(topic.topic, topic.partitions) for topic in seen]
            self._db.executemany("INSERT INTO topics VALUES (?, ?)", rows)

    def moment(self) -> int:
        return self.count()  # it never goes down, and grows with what was seen

    def ends(self, seen: Sequence[EndSeen]) -> None:
        with self._transaction():
            self._db.executemany("INSERT INTO ends VALUES (?, ?, ?, ?, ?)", seen)

    def placed(
        self,
        *,
        begun: Sequence[Batch] = (),
        gaps: Sequence[Gap] = (),
        found: Sequence[Ahead] = (),
        committed: Mapping[tuple[str, int], int] = MappingProxyType({}),  # noqa: ARG002 - as the protocol
    ) -> None:
        with self._transaction():
            for batch in begun:
                self._keep(batch)
            for gap in gaps:
                self._gap(gap)
            marks = [one[:5] for one in found]
            self._db.executemany("INSERT INTO restored VALUES (?, ?, ?, ?, ?)", marks)

    def _gap(self, gap: Gap) -> None:
        self._db.execute(
            "INSERT INTO gaps VALUES (?, ?, ?, ?)",
            (gap.topic, gap.partition, gap.reason, gap.resume),
        )
        self._db.execute(
            "REPLACE INTO positions VALUES (?, ?, ?, ?)",
            (gap.topic, gap.partition, gap.topic_id, gap.resume),
        )

    def written(self) -> Written:
        return Written(0, self._db.execute("SELECT count(*) FROM applied").fetchone()[0])

    def lacking(self, told: Collection[Written]) -> Collection[Written]:
        return [one for one in told if one.seal]  # there is no audit log here

    def tick(self, now: Instant) -> None:
        """Nothing is due here."""

    # What tests ask.

    def times(self) -> dict[str, int]:
        """Return how often each fact was applied."""
        return dict(self._db.execute("SELECT name, times FROM applied"))

    def count(self) -> int:
        """Return how many different facts were applied."""
        return int(self._db.execute("SELECT count(*) FROM applied").fetchone()[0])

    def rows(self, table: str) -> list[tuple[object, ...]]:
        return list(self._db.execute(f"SELECT * FROM {table}"))  # noqa: S608 - a name of ours

    def _keep(self, batch: Batch) -> None:
        names = [_name(fact) for fact in batch.facts]
        if batch.went_back or (REFUSED in names and self.refuses):
            raise LogWentBack
        self._db.executemany(
            "INSERT INTO applied VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1",
            [(name,) for name in names],
        )
        rejects = [(*reject.where, reject.reason) for reject in batch.rejects]
        self._db.executemany("INSERT INTO rejects VALUES (?, ?, ?, ?)", rejects)
        if batch.move is not None:
            self._move(batch.move)

    def _move(self, move: Move) -> None:
        place = (move.topic, move.partition)
        if move.expected is None:
            sql = "INSERT OR IGNORE INTO positions VALUES (?, ?, ?, ?)"
            done = self._db.execute(sql, (*place, move.topic_id, move.next_offset))
        else:
            sql = (
                "UPDATE positions SET next_offset = ? "
                "WHERE topic = ? AND partition = ? AND topic_id = ? AND next_offset = ?"
            )
            done = self._db.execute(sql, (move.next_offset, *place, move.topic_id, move.expected))
        if done.rowcount != 1:
            raise PositionMoved

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _name(fact: Fact) -> str:
    if not isinstance(fact, Terminated):
        raise TypeError(type(fact).__name__)
    return fact.processor
