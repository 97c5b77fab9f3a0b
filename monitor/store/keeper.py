"""The monitor as the stream shell sees it: ``monitor.intake.Keeper`` over a SQL database."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from monitor.calendars import BadCalendar
from monitor.facts import Instant
from monitor.intake import (
    Ahead,
    Batch,
    ClockBehind,
    Coordinates,
    EndSeen,
    Gap,
    LogWentBack,
    StoredPosition,
    TooManyRejects,
    TopicSeen,
    Written,
)
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import (
    agreement,
    calendars,
    files,
    filling,
    moments,
    owing,
    positions,
    proofs,
    restoring,
    schema,
    silence,
)
from monitor.store.approaching import Approaching
from monitor.store.calendars_loading import recount
from monitor.store.engine import reading
from monitor.store.external import Numbers
from monitor.store.filling import Filling
from monitor.store.history_days import Diary
from monitor.store.keeping import Keeping, Policy, learn_names
from monitor.store.looking import UNCONFIRMED_AFTER, Looking
from monitor.store.marking import apply_marks
from monitor.store.names import Names, Registry, UnknownNumber
from monitor.store.overtaken import Overtaken
from monitor.store.pacing import Backoff, Paced
from monitor.store.proposing import Proposing
from monitor.store.terminating_watch import Terminating
from monitor.trust import Doubt, Why, in_body

log = logging.getLogger(__name__)

_COUNT_EVERY: Instant = 5_000_000  # duties that somebody opened by an older calendar
_RELOADS = 9  # names are learned all the time, but a number that stays unknown is an error


class SqlKeeper:
    """Keeps batches in the database of *engine*; see ``monitor.intake.Keeper``.

    *feeding* names the configured topics that can feed a processor. The database is at the newest
    migration and has our secret's fingerprint: ``deploy`` checks both before it makes this. With
    *background* look backs run beside all else (``pacing.py``, ``apart.py``), not within ``tick``.

    Its settings are those that hold from now on, for all processes: whoever has others raises
    SettingsReplaced from now on. Without *take_settings* others that hold already are not
    replaced, which raises SettingsDiffer: on SQLite of rules only, on PostgreSQL, where somebody
    may be at work with them, of all.
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
        take_settings: bool = True,
    ) -> None:
        self._engine, self._policy = engine, policy
        self._calendar = calendars.Current(policy.calendar)
        self._counted_at: Instant | None = None
        with reading(engine) as connection:
            self._calendar.refresh(connection)
        self._policy = policy = replace(policy, calendar=self._calendar.calendar)
        self._registry = Registry(engine, policy.marks, policy.agreed)
        self._feeding, self._clock = feeding, clock
        self._looking = Looking(engine, policy, feeding, unconfirmed_after, clock, apart=background)
        self._paced = Paced(background=background)
        self._backoff: Backoff[str] = Backoff()
        self._run: files.Run | None = None
        self._hush = silence.Hush(policy.sources.silent_after)
        self._approaching = Approaching(engine, policy, feeding)
        self._filling = Filling(engine, policy, background=background)
        self._diary, self._numbers = Diary(), Numbers(engine, policy)
        self._terminating = Terminating(engine, policy.marks, policy.remind_after)
        self._proposing = Proposing(engine, policy.far, policy.rules)
        self._overtaken = Overtaken(policy.agreed, unconfirmed_after)
        agreement.register(engine, policy.agreed, now, take=take_settings)
        self._registry.reload()  # what others gave out before cannot become more now
        apply_marks(engine, self._registry, policy, now)

    def keep(self, batches: Sequence[Batch]) -> None:
        """Keep all of *batches* in one transaction, or nothing of them."""
        learn_names(self._registry, batches)
        try:
            self._knowing_all(lambda: self._keep(batches))
            self._begun(batches)
        except TooManyRejects as stopped:
            self._page(Kind.PARTITION_STOPPED, str(stopped), batches)
            raise
        except LogWentBack as stopped:
            self._page(Kind.LOG_WENT_BACK, str(stopped), batches)
            raise
        except ClockBehind as stopped:
            self._page(Kind.CLOCK_BEHIND, str(stopped), batches)
            raise

    def _keep(self, batches: Sequence[Batch], settled: Iterable[Coordinates] = ()) -> None:
        with self._engine.begin() as connection:
            if self._run is not None and (self._run.begun or _some(batches)):
                files.hold(connection, self._run, self._now_of(batches))
            if batches:
                Keeping(connection, self._registry.names, self._policy).keep(batches)
            table = schema.rejects.c
            for where in settled:
                at = (where.topic, where.partition, where.offset)
                key = (table.topic == at[0], table.partition == at[1], table.offset == at[2])
                of_kafka = table.file == ""  # a file's is another
                connection.execute(schema.rejects.delete().where(*key, of_kafka))

    def keep_replayed(self, batches: Sequence[Batch], settled: Iterable[Coordinates]) -> None:
        """Keep records that were rejects, and take those that are none any more off the list.

        Positions do not move. Raises LogWentBack; nothing is kept then.
        """
        settled = tuple(settled)
        learn_names(self._registry, batches)
        self._knowing_all(lambda: self._keep(batches, settled))

    def _page(self, kind: Kind, where: str, batches: Sequence[Batch]) -> None:
        at = max(batch.read_at for batch in batches)
        moves = [batch.move for batch in batches if batch.move]
        move = next(one for one in moves if f"{one.topic}/{one.partition}" == where)
        with self._engine.begin() as connection:
            since = restoring.latest_gap(connection, where)
            why = Why(reason=Doubt.PARTITION_STOPPED, topic=move.topic, since=at)
            notice = Notice(
                key=key_of(kind, where, move.topic_id, str(move.expected), since),
                kind=kind,
                severity=Severity.PAGE,
                created_at=at,
                body={"partition": where, "offset": move.expected, **in_body([why])},
            )
            positions.stop(connection, move.topic, move.partition, move.expected, at)
            owing.note(connection, notice, f"partition.{kind.value}")

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        """Return the stored position of each of *partitions* that has one."""
        with reading(self._engine) as connection:
            return positions.read(connection, partitions)

    def topics(self, seen: Sequence[TopicSeen], gone: Iterable[str] = (), now: Instant = 0) -> None:
        """Note how many partitions the configured topics have, and which are not there *now*."""
        with self._engine.begin() as connection:
            positions.note_topics(connection, seen, gone, now)

    def moment(self) -> int:
        """Return the latest moment, to be asked for before ends are looked up."""
        with reading(self._engine) as connection:
            return moments.latest(connection)

    def ends(self, seen: Sequence[EndSeen]) -> None:
        """Note that reading had got to these ends."""
        with self._engine.begin() as connection:
            positions.note_ends(connection, seen)

    def placed(
        self,
        *,
        begun: Sequence[Batch] = (),
        gaps: Sequence[Gap] = (),
        found: Sequence[Ahead] = (),
        committed: Mapping[tuple[str, int], int] = MappingProxyType({}),
    ) -> None:
        """Keep where reading begins and all that this means, in one transaction.

        Whoever the topic of a gap feeds is unverified from now on, and everybody is if this
        database is older than what was read with it. Workers that notice that within ten minutes
        page once, and each writes what it saw into the audit log.
        """
        self._knowing_all(lambda: self._place(begun, gaps, found, committed))

    def _place(
        self,
        begun: Sequence[Batch],
        gaps: Sequence[Gap],
        found: Sequence[Ahead],
        committed: Mapping[tuple[str, int], int],
    ) -> None:
        with self._engine.begin() as connection:
            if begun:
                Keeping(connection, self._registry.names, self._policy).keep(begun)
            restoring.note(connection, gaps, found, committed)

    def written(self) -> Written:
        """Return how much has been written into the database, up to now."""
        with reading(self._engine) as connection:
            return restoring.written(connection)

    def lacking(self, told: Collection[Written]) -> Collection[Written]:
        """Return those of *told* whose newest entry or newest fact is not in the database."""
        with reading(self._engine) as connection:
            return [one for one in told if not restoring.holds(connection, one)]

    def tick(self, now: Instant) -> None:
        """Look back where that is due (resting between), and confirm what can be confirmed."""
        self._knowing_all(lambda: self._tick(now))

    def _mind_calendar(self, now: Instant) -> None:
        """Use what was loaded since, and count again what an older calendar gave its day."""
        changed = False
        try:
            with reading(self._engine) as connection:
                changed = self._calendar.refresh(connection)
        except BadCalendar as exc:
            log.error("a calendar was loaded that does not follow the files here: %s", exc)  # noqa: TRY400 - no traceback
        calendar = self._calendar.calendar
        if changed:
            self._policy = replace(self._policy, calendar=calendar)
            self._looking.use(self._policy)
            self._numbers = Numbers(self._engine, self._policy)
        since = None if self._counted_at is None else now - self._counted_at
        if changed or since is None or not 0 <= since < _COUNT_EVERY:
            recount(self._engine, self._registry.names, self._policy, calendar, now)
            self._counted_at = now

    def _tick(self, now: Instant) -> None:
        self._looking.note_unfinished(now)
        self._overtaken.look(self._engine, now)  # the rest is judged by our settings
        if self._hush.may_look(now):
            self._hush.tell(self._engine, now)
        names = self._registry.names
        due = self._looking.due(names)
        self._looking.note_overdue(names, due, now)
        self._mind_calendar(now)
        ready = [processor for processor in due if self._backoff.may_try(processor)]
        if ready and self._paced.may_run():
            self._paced.run(lambda: self._look_back(ready, now))
        failed = self._confirm(names, now)
        self._numbers.look(now)
        self._filling.look(now)
        self._diary.note(self._engine, now)
        self._approaching.look(names, now)
        self._terminating.look(names, self._policy.calendar, now)
        self._proposing.look(names, now)
        if failed is not None:
            raise failed
        self._filling.raise_error()
        self._paced.raise_error()  # last: what one look back meets with holds up no other work

    def _confirm(self, names: Names, now: Instant) -> Exception | None:
        """Confirm what can be; return what that met with, which holds up no other work."""
        try:
            self._looking.confirm(names, now)
        except (UnknownNumber, agreement.SettingsReplaced):
            raise
        except Exception as exc:  # noqa: BLE001 - raised when the rest of the tick is done
            return exc
        return None

    def _look_back(self, due: Iterable[str], now: Instant) -> None:
        """Look back on all of *due*, then raise the first error that one of them met with."""
        errors: list[Exception] = []
        for processor in due:
            try:
                self._looking.recount(self._registry.names, processor, now)
            except UnknownNumber as exc:
                errors.insert(0, exc)  # no failure: names are read again, and so is the book
            except Exception as exc:  # noqa: BLE001 - raised below, when the others had their turn
                # A database that says no is asked again as soon as anybody asks it anything.
                of_database = isinstance(exc, DBAPIError)
                pause = 0.0 if of_database else self._backoff.failed(processor)
                what = type(exc).__name__  # its text may be that of a statement
                log.warning("looking back on %s failed (%s): again in %g s", processor, what, pause)
                errors.append(exc)
            else:
                self._backoff.succeeded(processor)
        if errors:
            raise errors[0]

    def begin_files(self, run: files.Run) -> None:
        """Begin to keep facts of the files of *run*: no reach is confirmed until ``finish``.

        Whoever dies before leaves that so, for all processes. ``keep`` and ``finish`` raise
        TakenOver once another run of the same file has begun.
        """
        self._run = run

    def finish(self, now: Instant, *, confirm: bool = True) -> None:
        """Recount all that is due and confirm what was reached: every record has been read.

        Only a processor whose topics are read from Kafka, too, waits for their partitions.
        Without *confirm* (not every record could be read) nothing is confirmed, and files that
        were begun stay unfinished.
        """
        self._knowing_all(lambda: self._finish(now, confirm=confirm))

    def _finish(self, now: Instant, *, confirm: bool) -> None:
        self._mind_calendar(now)
        names = self._registry.names
        looking = Looking(self._engine, self._policy, self._feeding_from_kafka, clock=self._clock)
        self._recount(looking, names, now)
        if not confirm:
            return
        if self._run is not None:
            with self._engine.begin() as connection:
                files.end(connection, self._run)
            self._run = None
        looking.confirm(names, now)
        while looking.due(names):  # a duty was opened whose latch has been armed anew since
            self._recount(looking, names, now)
            looking.confirm(names, now)
        proofs.finish(self._engine, names, self._policy, now)
        self._numbers.look(now)
        filling.finish(self._engine, self._policy, now)
        Approaching(self._engine, self._policy, self._feeding_from_kafka).look(names, now)
        marks, every = self._policy.marks, self._policy.remind_after
        Terminating(self._engine, marks, every).look(names, self._policy.calendar, now)
        Proposing(self._engine, self._policy.far, self._policy.rules).look(names, now)

    def _recount(self, looking: Looking, names: Names, now: Instant) -> None:
        while due := looking.due(names):
            for processor in due:
                looking.recount(names, processor, now, wait=True)
                self._beat(now)

    def _begun(self, batches: Sequence[Batch]) -> None:
        if self._run is not None and _some(batches):
            self._run.begun = True  # only now is the row there for good

    def _beat(self, now: Instant) -> None:
        if self._run is not None and self._run.begun:
            with self._engine.begin() as connection:
                files.hold(connection, self._run, now if self._clock is None else self._clock())

    def _now_of(self, batches: Sequence[Batch]) -> Instant:
        if self._clock is not None:
            return self._clock()
        return max((batch.read_at for batch in batches), default=0)

    def _feeding_from_kafka(self, processor: str) -> Iterable[str]:
        topics = list(self._feeding(processor))
        with reading(self._engine) as connection:
            read = any(positions.is_read(connection, topic) for topic in topics)
        return topics if read else ()

    def _knowing_all(self, work: Callable[[], None]) -> None:
        """Do *work*, with the names that other workers have given numbers to meanwhile."""
        for _ in range(_RELOADS):
            try:
                return work()
            except UnknownNumber:
                self._registry.reload()
        return work()


def _some(batches: Iterable[Batch]) -> bool:
    return any(batch.facts for batch in batches)
