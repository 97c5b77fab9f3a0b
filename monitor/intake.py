"""What the way in hands to the ledger: facts of one batch, and where they were read.

The contract between ``streams`` (who reads and decodes) and ``monitor`` (who keeps). One batch is
kept in one database transaction, together with its rejects and the next position.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Protocol

from monitor.facts import Fact, Instant, Version


class Reason(StrEnum):
    """Why a record is no fact. Closed list: a reason never quotes what it was given."""

    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_CLOUDEVENTS = "not_cloudevents"
    NOT_DEBEZIUM = "not_debezium"
    UNKNOWN_TYPE = "unknown_type"
    NOT_YET_SUPPORTED = "not_yet_supported"
    MISSING_FIELD = "missing_field"
    BAD_TEXT = "bad_text"  # not text, control characters, lone surrogates
    TOO_LONG = "too_long"
    BAD_TIME = "bad_time"
    BAD_SEQUENCE = "bad_sequence"
    TOO_EARLY = "too_early"  # before 2000-01-01
    IN_THE_FUTURE = "in_the_future"
    HAS_BIOMETRIC_CONTENT = "has_biometric_content"
    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    COLUMN_ABSENT = "column_absent"
    BAD_POSITION = "bad_position"
    BAD_RECORD = "bad_record"  # the line of a file is no record


class Ignored(StrEnum):
    """A record known to say nothing about storage: counted, never rejected."""

    TOMBSTONE = "tombstone"
    UNMAPPED_TABLE = "unmapped_table"
    HEARTBEAT = "heartbeat"
    TRANSACTION = "transaction"
    MESSAGE = "message"
    SCHEMA_CHANGE = "schema_change"
    PROBE = "probe"


class Coordinates(NamedTuple):
    """Where a record is in Kafka (or its line in a file: topic = file name, partition 0)."""

    topic: str
    partition: int
    offset: int


class Reject(NamedTuple):
    """A record set aside."""

    where: Coordinates
    reason: Reason


class SnapshotSign(NamedTuple):
    """What a change record tells about its connector's initial snapshot.

    *row* is true for a row of a snapshot (``incremental`` for one of an incremental snapshot);
    *ends_table* and *ends_all* are true where the record proves that the initial snapshot of its
    table, or of its whole connector, was over at *at*. A live record proves both.
    """

    connector: str
    at: Instant
    row: bool = False
    incremental: bool = False
    ends_table: bool = False
    ends_all: bool = False


class LogPoint(NamedTuple):
    """Position and instant of a live change record, to notice a log that went backwards."""

    version: Version
    at: Instant


class Decoded(NamedTuple):
    """What one record says: facts, or why it says nothing (*ignored*).

    *instant* is how far this record advances its partition (event time; for a snapshot row the
    time it was read), or None where it tells no time.
    """

    facts: tuple[Fact, ...] = ()
    ignored: Ignored | None = None
    instant: Instant | None = None
    sign: SnapshotSign | None = None
    log: LogPoint | None = None


class Move(NamedTuple):
    """Advance the stored position of a partition from *expected* to *next_offset*.

    *expected* is the stored next offset that the reader started from (None: there was none).
    """

    topic: str
    partition: int
    topic_id: str
    expected: int | None
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Facts of consecutive records of one partition (or one slice of a file), in any order.

    *read_at* is our own clock when the batch was read, microseconds UTC. *file* tells apart files
    of one name (a hash of where it is); it is empty for what was read from Kafka.
    """

    source: str
    topic: str
    facts: Sequence[Fact]
    read_at: Instant
    move: Move | None = None  # None: a file, which has no position
    rejects: Sequence[Reject] = ()
    file: str = ""
    ignored: Mapping[Ignored, int] = field(default_factory=dict)
    instant: Instant | None = None  # the latest instant passed, see Decoded.instant
    signs: Sequence[SnapshotSign] = ()  # at most a few: folded per connector by the reader
    log: LogPoint | None = None  # the highest live log position in the batch, or before it
    went_back: bool = False  # its change log goes backwards: nothing of it was decoded
    clock_behind: bool = False  # the broker's clock is ahead of ours: nothing of it was decoded
    records: int = 0
    sent_at: Instant | None = None  # the latest record by Kafka's clock, None: as read_at


class StoredPosition(NamedTuple):
    """Where a partition was left off, as the database has it."""

    topic_id: str
    next_offset: int
    log: LogPoint | None  # the highest live log position applied from this partition
    excused: int = 0  # what the group had committed when that was explained: no news again
    passed: int = 0  # the topic was read up to here before a gap set the position back


class TopicSeen(NamedTuple):
    """A configured topic as the broker describes it."""

    topic: str
    topic_id: str
    partitions: int


class EndSeen(NamedTuple):
    """The end of a partition (next offset to be written).

    *moment* is what ``Keeper.moment`` said before the end was looked up: it tells what was seen
    earlier. *looked_at*, by our clock, is shown.
    """

    topic: str
    partition: int
    end: int
    looked_at: Instant
    moment: int


class GapReason(StrEnum):
    """Why a stored position can no longer be read from."""

    RETENTION = "retention"  # below the start of the log
    BEYOND_END = "beyond_end"
    RECREATED = "recreated"  # another topic id


class Gap(NamedTuple):
    """Records that we can no longer read: what was expected, and where reading goes on."""

    topic: str
    partition: int
    topic_id: str
    reason: GapReason
    expected: int
    resume: int
    seen_at: Instant


class Ahead(NamedTuple):
    """Something was read or written beyond what is stored: we publish only what is stored.

    So this database is older than what was read with it, or somebody moved the group's offsets.
    *committed* is what the group, or this worker, had reached; *entries* of the audit log and
    *facts* of the book are missing (0: not known to be).
    """

    topic: str
    partition: int
    stored: int
    committed: int
    seen_at: Instant
    entries: int = 0
    facts: int = 0


class Written(NamedTuple):
    """How much a database holds: the numbers of its newest audit entry and newest fact.

    Neither ever goes down, so a database with less than it once had is an older copy. *seal* is
    how the hash of that entry begins, *known_at* when that fact was known: a copy that has grown
    again holds others under these numbers. An empty *seal* is of an older version, and no proof.
    """

    audit: int
    book: int
    seal: str = ""
    known_at: Instant = 0


class PositionMoved(Exception):
    """Another worker has moved a position of this batch: nothing was kept. Read it again, seek."""


class LogWentBack(Exception):
    """A change log of one partition went backwards: stall it, a person must raise ``epoch``.

    Nothing was kept. See DESIGN section 3, "Change logs".
    """


class ClockBehind(Exception):
    """The broker dates records so far ahead of our clock that one of the two is wrong.

    Nothing was kept: a right fact would be rejected as one from the future. Try again.
    """


class TooManyRejects(Exception):
    """More of a partition was rejected than the limit allows: stop it, page; nothing was kept."""


_NOTHING: Mapping[tuple[str, int], int] = MappingProxyType({})


class Keeper(Protocol):
    """What the stream shell asks of the monitor. Every call is one transaction, and blocking.

    Any exception other than those named means the store is away: nothing was kept, try again.
    """

    def keep(self, batches: Sequence[Batch]) -> None:
        """Keep all of *batches* at once: facts, rejects, counters and positions.

        Raises PositionMoved, LogWentBack, ClockBehind or TooManyRejects.
        """

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        """Return the stored position of each of *partitions* that has one."""

    def topics(self, seen: Sequence[TopicSeen], gone: Iterable[str] = (), now: Instant = 0) -> None:
        """Note the configured topics, so that every partition of them is waited for.

        Those of *gone* are not there *now*: whom they feed is unverified until they are seen.
        """

    def moment(self) -> int:
        """Return the moment to be asked for before ends are looked up; it never goes down.

        An end counts for whatever had been seen before this was asked.
        """

    def ends(self, seen: Sequence[EndSeen]) -> None:
        """Note that reading had got to these ends (call only when position >= end)."""

    def placed(
        self,
        *,
        begun: Sequence[Batch] = (),
        gaps: Sequence[Gap] = (),
        found: Sequence[Ahead] = (),
        committed: Mapping[tuple[str, int], int] = _NOTHING,
    ) -> None:
        """Keep where reading begins, and all that this means, at once.

        *begun* are positions that are new; of *gaps* the position is set to ``Gap.resume``, and
        whom the topic feeds is unverified; *found* marks everybody, and leaves positions alone:
        reading on is right. What the group had *committed* of these is excused from now on.
        Raises PositionMoved if a position is not what it was when this was looked up.
        """

    def written(self) -> Written:
        """Return how much has been written into the database."""

    def lacking(self, told: Collection[Written]) -> Collection[Written]:
        """Return those of *told* whose newest entry or newest fact the database does not hold."""

    def tick(self, now: Instant) -> None:
        """Do what is due and not tied to a batch: recounts, confirmations, pending pages."""
