"""Records of one partition in, one ``Batch`` out: the only place where adapters are called.

Pure: no clock, no Kafka, no database. The loop is written for speed, because every record of every
source goes through it; what is rare (rejects, signs, log positions) is left to the functions below.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.facts import Fact, Instant
from monitor.intake import (
    Batch,
    Coordinates,
    Ignored,
    LogPoint,
    LogWentBack,
    Move,
    Reject,
    SnapshotSign,
)
from streams.records import Adapter, Record, Undecodable

WENT_BACK_AFTER: Instant = 60_000_000
"""A log position below an earlier one is a replaced log if its clock is this much later."""


UNDECIDED: Instant = 24 * 3600 * 1_000_000
"""A broker that is further ahead of our clock is wrong: nobody waits for that day to come."""


def clock_behind(dated_at: Instant | None, read_at: Instant, tolerance: Instant) -> bool:
    """Tell whether the broker, which dated records, is ahead of our clock, and may be right.

    Our clock would then reject right facts as from the future. *dated_at* is None where producers
    date records: their clocks prove nothing.
    """
    return dated_at is not None and tolerance < dated_at - read_at < UNDECIDED


def decode_records(
    records: Sequence[Record],
    adapter: Adapter,
    source: str,
    read_at: Instant,
    move: Move | None,
    known: LogPoint | None = None,
) -> Batch:
    """Return what *records*, which follow each other in one partition, say together.

    Of the instants and log positions the highest is kept, of the snapshot signs the few that
    matter (see ``_Signs``). The topic is that of *move*, or of the first record. Raises
    LogWentBack if a live change record among them lies below an earlier one, or below *known*
    (the highest one before them), though it is over a minute younger (DESIGN section 3, "Change
    logs").
    """
    facts: list[Fact] = []
    rejects: list[Reject] = []
    ignored: dict[Ignored, int] = {}
    signs = _Signs()
    latest: Instant | None = None
    highest = known
    decode, keep, note = adapter.decode, facts.extend, signs.note
    for record in records:
        try:
            said, why_not, instant, sign, log = decode(record, read_at)
        except Undecodable as exc:
            where = Coordinates(record.topic, record.partition, record.offset)
            rejects.append(Reject(where, exc.reason))
            continue
        if said:
            keep(said)
        if why_not is not None:
            ignored[why_not] = ignored.get(why_not, 0) + 1
        if instant is not None and (latest is None or instant > latest):
            latest = instant
        if sign is not None:
            note(sign)
        if log is not None:
            highest = _further(highest, log)
    return Batch(
        source=source,
        topic=_topic(records, move),
        facts=facts,
        read_at=read_at,
        move=move,
        rejects=rejects,
        ignored=ignored,
        instant=latest,
        signs=signs.folded(),
        log=highest,
        records=len(records),
        sent_at=_sent_at(records),
    )


def _sent_at(records: Sequence[Record]) -> Instant | None:
    """Return when Kafka says that the latest was sent; a topic that does not date says -1."""
    latest = max((record.timestamp for record in records), default=-1)
    return latest * 1_000 if latest >= 0 else None


def _topic(records: Sequence[Record], move: Move | None) -> str:
    if move is not None:
        return move.topic
    return records[0].topic if records else ""


def _further(highest: LogPoint | None, log: LogPoint) -> LogPoint:
    if highest is None or log.version >= highest.version:
        return log
    if log.at > highest.at + WENT_BACK_AFTER:
        raise LogWentBack
    return highest


class _Signs:
    """Folds snapshot signs to at most one of each kind and connector.

    Of rows the latest instant counts (how far the snapshot has got), of ends the earliest since
    the last row of an initial snapshot (the tightest proof). They are handed over in the order in
    which each kind was last seen: a row after an end is a new snapshot, not a finished one.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, bool, bool, bool, bool], SnapshotSign] = {}
        self._last: SnapshotSign | None = None

    def note(self, sign: SnapshotSign) -> None:
        """Take in the next sign of the partition."""
        last = self._last
        if last is not None and last[2:] == sign[2:] and last[0] == sign[0]:
            self._last = self._merge(last, sign)
            self._kept[self._kind(sign)] = self._last
            return
        kind = self._kind(sign)
        earlier = self._kept.pop(kind, None)
        merged = sign if earlier is None else self._merge(earlier, sign)
        if not sign.row and self._row_since(sign.connector, earlier):
            merged = sign
        self._kept[kind] = self._last = merged

    def folded(self) -> tuple[SnapshotSign, ...]:
        """Return what is left of the signs noted."""
        return tuple(self._kept.values())

    @staticmethod
    def _kind(sign: SnapshotSign) -> tuple[str, bool, bool, bool, bool]:
        return (sign.connector, *sign[2:])

    @staticmethod
    def _merge(earlier: SnapshotSign, sign: SnapshotSign) -> SnapshotSign:
        if sign.row:
            return sign if sign.at >= earlier.at else earlier
        return sign if sign.at < earlier.at else earlier

    def _row_since(self, connector: str, earlier: SnapshotSign | None) -> bool:
        if earlier is None:
            return False
        return any(
            kept.connector == connector and kept.row and not kept.incremental
            for kept in self._kept.values()
        )
