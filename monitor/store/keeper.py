"""The monitor as the stream shell sees it: ``monitor.intake.Keeper`` over a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Engine

from monitor.facts import Instant
from monitor.intake import (
    Ahead,
    Batch,
    Coordinates,
    EndSeen,
    Gap,
    LogWentBack,
    StoredPosition,
    TooManyRejects,
    TopicSeen,
)
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import owing, positions, restoring, schema, silence, trust
from monitor.store.engine import reading
from monitor.store.keeping import Keeping, Policy, learn_names
from monitor.store.locks import applying
from monitor.store.looking import UNCONFIRMED_AFTER, Looking
from monitor.store.marking import apply_marks
from monitor.store.names import Registry, UnknownNumber
from monitor.store.pacing import Paced
from monitor.trust import Doubt, Why, in_body

_RELOADS = 9  # names are learned all the time, but a number that stays unknown is an error


class SqlKeeper:
    """Keeps batches in the database of *engine*; see ``monitor.intake.Keeper``.

    *feeding* names the configured topics that can feed a processor. The database is at the newest
    migration and has our secret's fingerprint: ``deploy`` checks both before it makes this. With
    *background* look backs run beside all else (``pacing.py``, ``apart.py``), not within ``tick``.
    """

    def __init__(
        self,
        engine: Engine,
        policy: Policy,
        feeding: Callable[[str], Iterable[str]],
        now: Instant,
        unconfirmed_after: Instant = UNCONFIRMED_AFTER,
        *,
        background: bool = False,
        clock: Callable[[], Instant] | None = None,
    ) -> None:
        self._engine, self._policy = engine, policy
        self._registry = Registry(engine, policy.marks)
        self._feeding, self._clock = feeding, clock
        self._looking = Looking(engine, policy, feeding, unconfirmed_after, clock, apart=background)
        self._paced = Paced(background=background)
        self._hush = silence.Hush(policy.sources.silent_after)
        apply_marks(engine, self._registry, policy, now)

    def keep(self, batches: Sequence[Batch]) -> None:
        """Keep all of *batches* in one transaction, or nothing of them."""
        learn_names(self._registry, batches)
        try:
            self._knowing_all(lambda: self._keep(batches))
        except TooManyRejects as stopped:
            self._page(Kind.PARTITION_STOPPED, str(stopped), batches)
            raise
        except LogWentBack as stopped:
            self._page(Kind.LOG_WENT_BACK, str(stopped), batches)
            raise

    def _keep(self, batches: Sequence[Batch], settled: Iterable[Coordinates] = ()) -> None:
        with self._engine.begin() as connection:
            if batches:
                Keeping(connection, self._registry.names, self._policy).keep(batches)
            table = schema.rejects.c
            for where in settled:
                at = (where.topic, where.partition, where.offset)
                key = (table.topic == at[0], table.partition == at[1], table.offset == at[2])
                connection.execute(schema.rejects.delete().where(*key))

    def keep_replayed(self, batches: Sequence[Batch], settled: Iterable[Coordinates]) -> None:
        """Keep records that were rejects, and take those that are none any more off the list.

        Positions do not move. Raises LogWentBack; nothing is kept then.
        """
        settled = tuple(settled)
        learn_names(self._registry, batches)
        self._knowing_all(lambda: self._keep(batches, settled))

    def _page(self, kind: Kind, where: str, batches: Sequence[Batch]) -> None:
        at = max(batch.read_at for batch in batches)
        position = {
            f"{b.move.topic}/{b.move.partition}": b.move.expected for b in batches if b.move
        }
        stopped_at = position.get(where)
        notice = Notice(
            key=key_of(kind, where, str(stopped_at)),
            kind=kind,
            severity=Severity.PAGE,
            created_at=at,
            body={"partition": where, "offset": stopped_at},
        )
        with self._engine.begin() as connection:
            owing.note(connection, notice, f"partition.{kind.value}")

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        """Return the stored position of each of *partitions* that has one."""
        with reading(self._engine) as connection:
            return positions.read(connection, partitions)

    def topics(self, seen: Sequence[TopicSeen]) -> None:
        """Note how many partitions the configured topics have."""
        with self._engine.begin() as connection:
            positions.note_topics(connection, seen)

    def ends(self, seen: Sequence[EndSeen]) -> None:
        """Note that reading had got to these ends."""
        with self._engine.begin() as connection:
            positions.note_ends(connection, seen)

    def gap(self, gap: Gap) -> None:
        """Go on from ``gap.resume``; whoever the topic ever fed is unverified from now on."""
        with self._engine.begin() as connection:
            positions.apply_gap(connection, gap)
            why = Why(reason=Doubt(f"gap.{gap.reason.value}"), topic=gap.topic, since=gap.seen_at)
            body: dict[str, str | int | bool | None] = {
                "partition": f"{gap.topic}/{gap.partition}",
                "reason": gap.reason.value,
                "expected": gap.expected,
                "resume": gap.resume,
                **in_body([why]),
            }
            notice = Notice(
                key=key_of(
                    Kind.GAP, gap.topic, str(gap.partition), gap.topic_id, str(gap.expected)
                ),
                kind=Kind.GAP,
                severity=Severity.PAGE,
                created_at=gap.seen_at,
                body=body,
            )
            trust.mark(connection, _fed_by(connection, gap.topic), why.reason, gap.topic, why.since)
            owing.note(connection, notice, "gap")

    def restored(self, found: Sequence[Ahead]) -> None:
        """Mark everybody unverified and page: Kafka's group was further than this database is.

        Positions stay: reading on from them is right. Workers that notice it of one database
        within ten minutes page once, and each writes what it saw into the audit log.
        """
        with self._engine.begin() as connection:
            restoring.note(connection, found)

    def tick(self, now: Instant) -> None:
        """Look back where that is due (resting between), and confirm what can be confirmed."""
        self._knowing_all(lambda: self._tick(now))

    def _tick(self, now: Instant) -> None:
        if self._hush.may_look(now):
            self._hush.tell(self._engine, now)
        names = self._registry.names
        if self._paced.may_run():
            due = self._looking.due(names)
            if due:
                self._paced.run(lambda: self._look_back(due, now))
        self._looking.confirm(names, now)

    def _look_back(self, due: Iterable[str], now: Instant) -> None:
        for processor in due:
            self._looking.recount(self._registry.names, processor, now)

    def finish(self, now: Instant, *, confirm: bool = True) -> None:
        """Recount all that is due and confirm what was reached: every record has been read.

        Only a processor whose topics are read from Kafka, too, waits for their partitions.
        Without *confirm* (not every record could be read) nothing is confirmed.
        """
        self._knowing_all(lambda: self._finish(now, confirm=confirm))

    def _finish(self, now: Instant, *, confirm: bool) -> None:
        names = self._registry.names
        looking = Looking(self._engine, self._policy, self._feeding_from_kafka, clock=self._clock)
        while due := looking.due(names):
            for processor in due:
                looking.recount(names, processor, now, wait=True)
        if confirm:
            looking.confirm(names, now)

    def _feeding_from_kafka(self, processor: str) -> Iterable[str]:
        topics = list(self._feeding(processor))
        with reading(self._engine) as connection:
            read = any(positions.is_read(connection, topic) for topic in topics)
        return topics if read else ()

    def applying(self) -> AbstractContextManager[None]:
        """Return a context within which no reach is confirmed, by nobody, until ``finish``."""
        return applying(self._engine)

    def _knowing_all(self, work: Callable[[], None]) -> None:
        """Do *work*, with the names that other workers have given numbers to meanwhile."""
        for _ in range(_RELOADS):
            try:
                return work()
            except UnknownNumber:
                self._registry.reload()
        return work()


def _fed_by(connection: Connection, topic: str) -> list[int]:
    feeds = schema.feeds
    query = feeds.select().where(feeds.c.topic == topic).order_by(feeds.c.processor_id)
    return [row.processor_id for row in connection.execute(query)]
