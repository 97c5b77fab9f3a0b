"""How far a number can be relied on: the reasons against it, and their acceptance by a person.

Written reasons are rows of ``unverified``, one for each processor; a row of processor 0
(``EVERYBODY``) is for who comes later: of an older database whoever it is, of a gap whom that topic
feeds. An accepted row stays, with when, and holds against that of everybody; whatever marks anew
opens the rows of all whom it is about, so no clocks are ever compared.
Silence, snapshots and incomplete sources are read off the positions each time and never written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import Connection, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.store import files, moments, positions, schema, snapshots
from monitor.store.engine import is_sqlite
from monitor.store.names import Names
from monitor.trust import Doubt, Sources, Why, silent_since

EVERYBODY = 0
_table = schema.unverified


class Trust:
    """What can be said against numbers at one moment, *now*; reads once for all processors.

    Without *now* nobody is silent: for callers that look at nothing but what is written.
    """

    def __init__(
        self,
        connection: Connection,
        names: Names,
        sources: Sources | None = None,
        now: Instant | None = None,
    ) -> None:
        self._connection, self._names = connection, names
        self._sources, self._now = sources or Sources(), now
        self.known = snapshots.read(connection)
        self._last = _last_read(connection)
        self._files = files.whys(connection)
        topics = schema.topics.c
        found = connection.execute(select(topics.topic, topics.gone_since))
        self._there = {row.topic: row.gone_since for row in found}
        self._stopped = positions.stopped(connection)
        self._fed = {row.topic for row in connection.execute(select(schema.feeds.c.topic))}

    def topics(self, processor: str) -> list[str]:
        """Return the topics that have ever fed *processor*."""
        return topics_of(self._connection, self._names, processor)

    def against(self, processor: str) -> tuple[Why, ...]:
        """Return the reasons for which the number of *processor* is not verified."""
        number = self._names.processor_ids[processor]
        topics = self.topics(processor)
        found = written(self._connection, number)
        found += self._missing(processor)
        found += self._held(processor, topics)
        found += self._silent(processor, topics)
        found += self._files
        unfinished = snapshots.unfinished(self.known)
        for topic in sorted(topics):
            if topic in self._sources.incomplete:
                found.append(Why(reason=Doubt.SOURCE_INCOMPLETE, topic=topic, since=0))
            elif topic in unfinished:
                since = max(
                    one.row_until or 0 for (_, of), one in self.known.items() if of == topic
                )
                found.append(Why(reason=Doubt.SNAPSHOT_RUNNING, topic=topic, since=since))
            else:
                found += self._unread(processor, topic)
        return tuple(found)

    def _silent(self, processor: str, topics: Collection[str]) -> Iterator[Why]:
        """Yield silent topics: those that fed it, and those that could and have fed nobody."""
        if self._now is None or not self._sources.silent_after:
            return
        bearing = self._bearing(processor, topics)
        for topic in sorted(bearing & self._sources.silent_after.keys() & self._last.keys()):
            limit = self._sources.silent_after[topic]
            since = silent_since(self._last[topic], limit, self._now)
            if since is not None:
                yield Why(reason=Doubt.SOURCE_SILENT, topic=topic, since=since)

    def _held(self, processor: str, topics: Collection[str]) -> Iterator[Why]:
        """Yield topics of which a partition is stopped: nothing of it is read any more."""
        for topic in sorted(self._bearing(processor, topics) & self._stopped.keys()):
            yield Why(reason=Doubt.PARTITION_STOPPED, topic=topic, since=self._stopped[topic])

    def _bearing(self, processor: str, topics: Collection[str]) -> set[str]:
        """Return the topics that fed it, and those that could and have fed nobody."""
        feeding = self._sources.feeding(processor) if self._sources.feeding is not None else ()
        return {*topics, *(topic for topic in feeding if topic not in self._fed)}

    def _missing(self, processor: str) -> Iterator[Why]:
        """Yield the topics that could feed it and are gone, or that no worker has ever seen.

        Before a worker has seen any of them nobody can know.
        """
        if self._sources.feeding is None or not self._there:
            return
        for topic in sorted({*self._sources.feeding(processor)}):
            since = self._there.get(topic, 0)
            if since is not None:
                yield Why(reason=Doubt.TOPIC_MISSING, topic=topic, since=since)

    def _unread(self, processor: str, topic: str) -> list[Why]:
        """Say so if a snapshot is over, but partitions that can hold its rows are not read so far.

        One partition tells that it was over; another may lag. Files have none to wait for.
        """
        over = snapshots.ended(self.known, topic)
        feeding = self._sources.feeding
        if over is None or feeding is None or not positions.is_read(self._connection, topic):
            return []
        row_until, seen_no = over
        if positions.all_passed(self._connection, feeding(processor), row_until, seen_no):
            return []
        return [Why(reason=Doubt.SNAPSHOT_RUNNING, topic=topic, since=row_until)]


def topics_of(connection: Connection, names: Names, processor: str) -> list[str]:
    """Return the topics that have ever fed *processor*."""
    number = names.processor_ids[processor]
    feeds = schema.feeds.c
    return list(connection.scalars(select(feeds.topic).where(feeds.processor_id == number)))


def _last_read(connection: Connection) -> dict[str, Instant]:
    """Return by our clock when the last record of each topic was read, or reading began."""
    columns = schema.positions.c
    query = select(columns.topic, func.max(columns.read_at).label("last")).group_by(columns.topic)
    return {row.topic: row.last for row in connection.execute(query) if row.last is not None}


def written(connection: Connection, number: int) -> list[Why]:
    """Return the written reasons that hold for the processor of this *number*, by topic."""
    columns, feeds = _table.c, schema.feeds.c
    query = select(_table).where(columns.processor_id.in_([number, EVERYBODY]))
    rows = list(connection.execute(query.order_by(columns.reason, columns.topic)))
    own = {(row.reason, row.topic) for row in rows if row.processor_id == number}
    fed = set(connection.scalars(select(feeds.topic).where(feeds.processor_id == number)))
    return [
        Why(reason=Doubt(row.reason), topic=row.topic, since=row.since)
        for row in rows
        if row.accepted_at is None
        and (
            row.processor_id == number
            or (
                (row.reason, row.topic) not in own
                and (row.reason == Doubt.DATABASE_RESTORED.value or row.topic in fed)
            )
        )
    ]


def mark_fed(connection: Connection, reason: Doubt, topic: str, since: Instant) -> None:
    """Write that whoever *topic* feeds, now or later, is unverified."""
    feeds = schema.feeds.c
    fed = select(feeds.processor_id).where(feeds.topic == topic)
    mark(connection, connection.scalars(fed).all(), reason, topic, since)


def mark_everybody(connection: Connection, reason: Doubt, topic: str, since: Instant) -> None:
    """Write that every processor that there is or will be is unverified."""
    everybody = connection.scalars(select(schema.processors.c.id)).all()
    mark(connection, everybody, reason, topic, since)


def mark(
    connection: Connection, numbers: Iterable[int], reason: Doubt, topic: str, since: Instant
) -> None:
    """Open these rows and that of everybody; one that is open already keeps its *since*.

    In one order, everybody last, as ``accept`` does.
    """
    moment = moments.take(connection)
    for number in (*sorted(numbers), EVERYBODY):
        _open(connection, number, reason, topic, since, moment)


def marked_at(connection: Connection, reason: Doubt, topic: str) -> int:
    """Return the moment at which *reason* was last written of *topic*; 0: never."""
    columns = _table.c
    of_it = (columns.reason == reason.value, columns.topic == topic)
    return connection.scalar(select(func.max(columns.marked_no)).where(*of_it)) or 0


def last_at(connection: Connection, reason: Doubt, topic: str) -> Instant:
    """Return when *reason* was last seen of *topic*, by the clock of whoever saw it; 0: never."""
    columns = _table.c
    of_it = (columns.reason == reason.value, columns.topic == topic)
    return connection.scalar(select(func.max(columns.last_at)).where(*of_it)) or 0


def accept(connection: Connection, number: int, why: Why, now: Instant) -> None:
    """Take a written reason away from the processor of this *number*.

    When all have accepted what was written of everybody, who comes later need not.
    """
    _close(connection, number, why, now)
    everyone = list(connection.scalars(select(schema.processors.c.id)))
    if not any(_holds(connection, one, why) for one in everyone):
        columns = _table.c
        of_all = (
            columns.processor_id == EVERYBODY,
            columns.reason == why.reason.value,
            columns.topic == why.topic,
        )
        connection.execute(update(_table).where(*of_all).values(accepted_at=now))


def _holds(connection: Connection, number: int, why: Why) -> bool:
    same = (why.reason, why.topic)
    return any((one.reason, one.topic) == same for one in written(connection, number))


def _open(
    connection: Connection, number: int, reason: Doubt, topic: str, since: Instant, moment: int
) -> None:
    newest = {"marked_no": moment, "last_at": since}
    row = _insert(connection, number, reason, topic, since=since, **newest)
    was_open = _table.c.accepted_at.is_(None)
    again = {
        "since": case((was_open, _table.c.since), else_=since),
        "accepted_at": None,
        **newest,
    }
    connection.execute(row.on_conflict_do_update(index_elements=[*_table.primary_key], set_=again))


def _close(connection: Connection, number: int, why: Why, now: Instant) -> None:
    row = _insert(connection, number, why.reason, why.topic, since=why.since, accepted_at=now)
    closed = {"since": why.since, "accepted_at": now}
    connection.execute(row.on_conflict_do_update(index_elements=[*_table.primary_key], set_=closed))


def _insert(
    connection: Connection, number: int, reason: Doubt, topic: str, **more: int
) -> postgresql.Insert | sqlite.Insert:
    row = {"processor_id": number, "reason": reason.value, "topic": topic, **more}
    if is_sqlite(connection):
        return sqlite.insert(_table).values(row)
    return postgresql.insert(_table).values(row)
