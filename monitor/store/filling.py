"""Filling in the days that are past, from the book, beside all else: for early forecasts.

A number that is read for the first time (a replay, a file, a source that was added) has a history
that nobody noted as it went. All days of everybody are written from the book once, and again when
facts came in that are older than yesterday. One sweep serves all processors; a large book is swept
in a process of its own, and the next sweep waits for ten times as long as the last one took.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from sqlalchemy import Connection, Engine, select

from monitor.facts import Instant
from monitor.marks import Marks
from monitor.store import agreement, book, bulk, history_days, schema
from monitor.store.apart import SweepFailed, limit_for, sweep_all_apart
from monitor.store.engine import reading
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.pacing import Paced
from monitor.workdays import beijing_day, overdue_from

log = logging.getLogger(__name__)

# In meta: the newest fact of the book when the days were written, and when facts were last asked
# about. What was young then grows old, and is in the days as it was noted.
_FILLED, _ASKED = "days_filled", "days_asked"
_EVERY: Instant = 60_000_000
_DAY: Instant = 86_400_000_000
_REST = 10  # times as long as the last sweep
_FILLED_AT_ONCE = 100_000  # facts: 1.7 s of processor time
APART_FROM = 20_000  # facts, as for look backs


def filled_up_to(connection: Connection) -> int | None:
    """Return up to which fact of the book the days were written, or None if they never were."""
    return _read(connection, _FILLED)


def _read(connection: Connection, mark: str) -> int | None:
    query = select(schema.meta.c.value).where(schema.meta.c.name == mark)
    found: str | None = connection.scalar(query)
    return None if found is None else int(found)


def is_stale(connection: Connection, now: Instant) -> bool:
    """Tell whether facts that are older than yesterday are not in the days yet."""
    filled, columns = filled_up_to(connection), schema.book.c
    if filled is None:
        return book.size_bound(connection) > 0
    mark = max(filled, _read(connection, _ASKED) or 0)
    old = columns.at < overdue_from(beijing_day(now)) - 2 * _DAY
    query = select(columns.id).where(columns.id > mark, old).limit(1)
    return connection.scalar(query) is not None


class Filling:
    """Fills when it is due. With *background* it does so in a thread, and a large book apart."""

    def __init__(self, engine: Engine, policy: Policy, *, background: bool) -> None:
        self._engine, self._policy, self._background = engine, policy, background
        self._paced = Paced(background=True)
        self._looked_at: Instant | None = None
        self._bound = 0
        self._rest: Instant = 0
        self._error: Exception | None = None

    def look(self, now: Instant) -> None:
        """Fill if that is due; what fails is said in the log, and tried again later."""
        since = None if self._looked_at is None else now - self._looked_at
        soon = since is not None and 0 <= since < max(_EVERY, self._rest)
        if soon or (self._background and not self._paced.may_run()):
            return
        self._looked_at = now
        with reading(self._engine) as connection:
            stale = is_stale(connection, now)
            # Of a look ago: a batch that is being written has lower numbers than what is there.
            asked, self._bound = self._bound, book.size_bound(connection)
        if stale and self._background:
            self._paced.run(lambda: self._fill(now))
        elif stale:
            self._fill(now)
        elif 0 < asked < self._bound:
            with self._engine.begin() as connection:
                bulk.upsert(connection, schema.meta, [(_ASKED, str(asked))])

    def raise_error(self) -> None:
        """Raise what the latest filling met with, once: at the end of all else."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _fill(self, now: Instant) -> None:
        begun = time.monotonic()
        try:
            fill(self._engine, self._policy, now, apart=self._background)
        except SweepFailed as exc:  # a forecast holds up nothing else
            log.warning("the days that are past were not filled in: %s", exc)
        except Exception as exc:  # noqa: BLE001 - ``raise_error`` does
            self._error = exc
        finally:
            took = time.monotonic() - begun
            self._rest = int(_REST * took * 1_000_000)


def finish(engine: Engine, policy: Policy, now: Instant) -> None:
    """Fill when files were read: always if that takes seconds, else where it is due."""
    with reading(engine) as connection:
        large = book.size_bound(connection) > _FILLED_AT_ONCE
        due = not large or is_stale(connection, now)
    if not due:
        history_days.Diary().note(engine, now)
        return
    try:
        fill(engine, policy, now, apart=large)
    except SweepFailed as exc:  # the files are kept all the same
        log.warning("the days that are past were not filled in: %s", exc)


def fill(engine: Engine, policy: Policy, now: Instant, *, apart: bool) -> None:
    """Write all days of everybody from the book, and up to which fact.

    Raises SweepFailed, and SettingsReplaced if others count by other marks.
    """
    with reading(engine) as connection:
        upto = book.size_bound(connection)
        names = Names.load(connection)
    found = _swept(engine, policy.marks, now, apart=apart and upto > APART_FROM, facts=upto)
    for name, days in found.items():
        number = names.processor_ids[name]
        with engine.begin() as connection:
            lock_processors(connection, [number])
            agreement.check(connection, policy.agreed)
            history_days.replace(connection, number, days)
    with engine.begin() as connection:
        bulk.upsert(connection, schema.meta, [(_FILLED, str(upto))])


def _swept(
    engine: Engine, marks: Marks, now: Instant, *, apart: bool, facts: int
) -> Mapping[str, Mapping[int, int]]:
    with reading(engine) as connection:
        names = Names.load(connection)
        everybody = sorted(names.processor_ids)
        if not apart:
            return history_days.swept_days(connection, names, everybody, marks.research, now)
    wanted = dict.fromkeys(everybody, ())
    swept = sweep_all_apart(engine, marks, wanted, longest=limit_for(facts))
    return {name: one.days for name, one in swept.items()}
