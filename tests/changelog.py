"""A PostgreSQL table set read through Debezium, simulated: facts by partition, and the truth.

What is modelled, as PostgreSQL 15 and Debezium 3.7 do it (``recordings/README.md``):

- Transactions run at once and commit in another order than they wrote; a row that one has written
  is locked for the others until it ends; some are rolled back.
- A record's position is ``source.sequence``: c, the end of the commit last read before, and l,
  where the row was written. Transactions are read whole, in the order of their commits.
- A change of the primary key is a deletion and an insertion, of two keys, at one position.
- TRUNCATE waits for everybody, and is told on one partition only.
- Rows of a snapshot carry the position at which it was read and a date of their own column;
  rows of an incremental snapshot the position of the closing watermark, and the late clock of
  the connector. Rows that changed between the watermarks are left out of it.
- After a restart the connector tells the latest records again.
- A new database starts its log from the beginning, under a raised epoch.

Assumed: no TRUNCATE between the read and the closing watermark, and that the first transaction
read after the initial snapshot had not written before it (its c is null and is read as its l).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple, TypeAlias

from monitor.facts import (
    Enrolled,
    Instant,
    Order,
    Place,
    Removed,
    StorageFact,
    Store,
    SubjectHash,
    Truncated,
    Version,
)

LogFact: TypeAlias = Enrolled | Removed | Truncated
Key: TypeAlias = tuple[str, int]
"""Table and primary key."""

Owner: TypeAlias = tuple[Place, SubjectHash]
Truth: TypeAlias = dict[Key, Owner]

STORES = {name: Store(f"db.public.{name}", Order.LOG) for name in ("face", "face_archive")}
OWNERS: tuple[Owner, ...] = tuple(
    (place, bytes([number]) * 16)
    for place in (Place("acme", "gate", ""), Place("acme", "pay", ""), Place("beta", "gate", ""))
    for number in (1, 2, 3)
)
KEYS = range(6)
START: Instant = 1_795_323_000_000_000  # 2026-11-22, as the recordings
SECOND = 1_000_000
LATE = 3600 * SECOND  # how far the connector's clock is ahead at worst
AGO = 400 * 86_400 * SECOND  # created_at of rows of the snapshot


class Write(NamedTuple):
    """One row written: *owner* None deletes it, *key* None truncates *table*."""

    lsn: int
    table: str
    key: int | None
    owner: Owner | None


@dataclass(slots=True)
class Transaction:
    """Writes that nobody else sees yet, and the rows they lock."""

    writes: list[Write] = field(default_factory=list)

    def locks(self, table: str, key: int | None = None) -> bool:
        return any(w.table == table and (key is None or w.key in {key, None}) for w in self.writes)


class Step(NamedTuple):
    """How many records each partition had at an instant, and the rows then committed."""

    offsets: tuple[int, ...]
    truth: Truth


class Run(NamedTuple):
    """What one database did: records by partition (one fact each), and the truth on the way."""

    partitions: list[list[LogFact]]
    steps: list[Step]


class Database:
    """The database, its log, and the connector that reads it."""

    def __init__(self, rnd: Random, partitions: int) -> None:
        self._rnd = rnd
        self.partitions: list[list[LogFact]] = [[] for _ in range(partitions)]
        self.steps: list[Step] = []
        self.rows: Truth = {}
        self._told: list[tuple[int, LogFact]] = []
        self._open: list[Transaction] = []
        self._chunk: dict[Key, Owner] | None = None
        self._epoch = 0
        self._lsn = 1000
        self._commit_end: int | None = None  # what c will be; null until a commit was read
        self._clock = START

    # -- the writers -----------------------------------------------------------------------

    def begin(self) -> None:
        self._open.append(Transaction())

    def write(self) -> None:
        """Insert, update, delete or re-key a row in one of the open transactions."""
        if not self._open:
            return
        transaction, table = self._rnd.choice(self._open), self._rnd.choice(list(STORES))
        key = self._rnd.choice(KEYS)
        if self._locked(transaction, table, key):
            return
        owner = self._rnd.choice(OWNERS)
        held = self._seen(transaction, table, key)
        if held is None or self._rnd.random() < 0.3:
            self._log(transaction, table, key, owner)
        elif self._rnd.random() < 0.6:
            self._log(transaction, table, key, None)
        else:
            self._rekey(transaction, table, key, held)

    def _rekey(self, transaction: Transaction, table: str, key: int, owner: Owner) -> None:
        other = self._rnd.choice(KEYS)
        taken = self._seen(transaction, table, other) is not None
        if taken or self._locked(transaction, table, other):
            return
        self._log(transaction, table, key, None)
        transaction.writes.append(Write(transaction.writes[-1].lsn, table, other, owner))

    def truncate(self) -> None:
        """Empty a table, once nobody else has written to it and no chunk of it is being read."""
        table = self._rnd.choice(list(STORES))
        if self._chunk is None and not any(other.locks(table) for other in self._open):
            self.begin()
            self._log(self._open[-1], table, None, None)

    def end(self) -> None:
        """Commit one of the open transactions, or roll it back."""
        if not self._open:
            return
        transaction = self._open.pop(self._rnd.randrange(len(self._open)))
        if self._rnd.random() < 0.85:
            self._commit(transaction)

    def _commit(self, transaction: Transaction) -> None:
        self._advance()
        if not transaction.writes:
            return
        for write in transaction.writes:
            self._apply(write)
            position = self._commit_end if self._commit_end is not None else write.lsn
            self._tell(write, Version(self._epoch, position, write.lsn))
        self._lsn += 8
        self._commit_end = self._lsn

    def _apply(self, write: Write) -> None:
        keys = [(write.table, write.key)] if write.key is not None else _keys_of(write.table)
        for key in keys:
            self.rows.pop(key, None)
            if write.owner is not None:
                self.rows[key] = write.owner
            if self._chunk is not None:
                self._chunk.pop(key, None)

    def _locked(self, transaction: Transaction, table: str, key: int) -> bool:
        return any(other.locks(table, key) for other in self._open if other is not transaction)

    def _seen(self, transaction: Transaction, table: str, key: int) -> Owner | None:
        owner = self.rows.get((table, key))
        for write in transaction.writes:
            if write.table == table and write.key in {key, None}:
                owner = write.owner
        return owner

    def _log(
        self, transaction: Transaction, table: str, key: int | None, owner: Owner | None
    ) -> None:
        self._lsn += 8 * self._rnd.randint(1, 3)
        transaction.writes.append(Write(self._lsn, table, key, owner))

    # -- the connector ---------------------------------------------------------------------

    def start(self) -> None:
        """Connect: what was told before was told to nobody, then read all there is."""
        self._told.clear()
        for partition in self.partitions:
            partition.clear()
        self._chunk = None
        self.snapshot()

    def snapshot(self) -> None:
        """Read all tables; if anybody is writing, another table is the first to commit after."""
        self._lsn += 8
        for (table, key), (place, subject) in self.rows.items():
            dated = self._rnd.choice((self._clock, self._clock - AGO))
            version = Version(self._epoch, self._lsn, self._lsn)
            row = Enrolled(STORES[table], _face(key), place, subject, version, dated, self._clock)
            self._emit(row, key)
        self._lsn += 8
        self._commit_end = self._lsn if self._open else None

    def open_window(self) -> None:
        """Write the low watermark and read a chunk of one table."""
        truncating = any(write.key is None for t in self._open for write in t.writes)
        if self._chunk is None and not truncating:  # a reader waits for it, too
            self._watermark()
            table = self._rnd.choice(list(STORES))
            self._chunk = {key: owner for key, owner in self.rows.items() if key[0] == table}

    def close_window(self) -> None:
        """Write the high watermark and tell what is left of the chunk, at its position."""
        if self._chunk is None:
            return
        version = self._watermark()
        late = self._clock + self._rnd.randrange(LATE)
        for (table, key), (place, subject) in self._chunk.items():
            self._emit(
                Enrolled(STORES[table], _face(key), place, subject, version, late, late), key
            )
        self._chunk = None

    def _watermark(self) -> Version:
        self._advance()
        self._lsn += 8
        version = Version(self._epoch, self._commit_end or self._lsn, self._lsn)
        self._lsn += 8
        self._commit_end = self._lsn
        return version

    def restart(self) -> None:
        """Tell the latest records again, in their order; an open window is given up."""
        self._chunk = None
        for partition, fact in self._told[-self._rnd.randint(1, 12) :]:
            self.partitions[partition].append(fact)

    def replace(self) -> None:
        """Move to a new database that holds the same rows; its log begins anew."""
        self._open.clear()
        self._chunk = None
        self._epoch += 1
        self._lsn, self._commit_end = self._rnd.choice((8, 1000)), None
        self.snapshot()

    def note(self) -> None:
        """Note how far the partitions are, and what is true now."""
        self.steps.append(Step(tuple(map(len, self.partitions)), dict(self.rows)))

    def _advance(self) -> None:
        """Let time pass; clocks of databases stand still and are set back, too."""
        self._clock += self._rnd.choice((0, 1, 1000, SECOND, 60 * SECOND, -5 * SECOND))

    def _tell(self, write: Write, version: Version) -> None:
        store, at = STORES[write.table], self._clock
        if write.key is None:
            # Kafka puts a record without a key anywhere.
            self._emit(Truncated(store, version, at), self._rnd.randrange(100))
        elif write.owner is None:
            removed = Removed(store, _face(write.key), None, None, version, at, at)
            self._emit(removed, write.key)
        else:
            place, subject = write.owner
            row = Enrolled(store, _face(write.key), place, subject, version, at, at)
            self._emit(row, write.key)

    def _emit(self, fact: LogFact, key: int) -> None:
        partition = key % len(self.partitions)
        self.partitions[partition].append(fact)
        self._told.append((partition, fact))


def _face(key: int) -> bytes:
    return bytes([0xF0 + key]) * 16


def _keys_of(table: str) -> list[Key]:
    return [(table, key) for key in KEYS]


def simulate(rnd: Random, *, actions: int = 120, partitions: int = 3) -> Run:
    """Return what a database did in *actions*; the truth is noted every now and then."""
    database = Database(rnd, partitions)
    often = [database.write] * 8 + [database.begin] * 2 + [database.end] * 3
    seldom = [database.truncate, database.open_window, database.close_window, database.restart]
    for _ in range(actions // 4):  # what was there before anybody listened
        rnd.choice(often)()
    database.start()
    for _ in range(actions):
        action = database.replace if rnd.random() < 0.01 else rnd.choice(often + seldom)
        action()
        if rnd.random() < 0.1:
            database.note()
    database.note()
    return Run(database.partitions, database.steps)


def interleaved(rnd: Random, partitions: Sequence[Sequence[LogFact]]) -> list[StorageFact]:
    """Return the records of all *partitions*: each in its order, between them in any."""
    left = [list(reversed(partition)) for partition in partitions if partition]
    facts: list[StorageFact] = []
    while left:
        # A lagging partition: now and then one is read on for a while before the others.
        ahead = rnd.choice(left)
        many = rnd.choice((1, 1, 5, 40))
        facts += reversed(ahead[-many:])
        del ahead[-many:]
        left = [partition for partition in left if partition]
    return facts
