"""How the parts are put together: the only place that imports streams, monitor and alerts."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.secret import read_secret, secret_for
from deploy.settings import Settings
from monitor.calendars import Sheet, read_sheets
from monitor.facts import Instant
from monitor.identity import Identity
from monitor.store import agreement, calendars
from monitor.store.database import (
    WrongDatabase,
    check_secret,
    check_version,
    fingerprint,
    upgrade,
)
from monitor.store.engine import (
    DatabaseUnreachable,
    Engine,
    answering,
    is_sqlite,
    open_engine,
    reading,
)
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.trust import Sources
from monitor.workdays import Calendar, load_calendar
from streams.adapters.cloudevents import CloudEvents
from streams.adapters.debezium import Debezium
from streams.reader import Source
from streams.records import Adapter

log = logging.getLogger("facetally")


def clock() -> Instant:
    """Return the time now: the one clock of the program, read at its edges only."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """An open, checked database with what the settings say about it."""

    settings: Settings
    engine: Engine
    identity: Identity
    calendar: Calendar  # with what was loaded when this was opened
    sheets: tuple[Sheet, ...] = ()  # the files, as they are used (``calendars.in_use``)

    @property
    def policy(self) -> Policy:
        """What the keeping of facts depends on."""
        return Policy(
            rules=self.settings.rules,
            calendar=self.calendar,
            marks=self.settings.marks,
            limit=self.settings.limit,
            sources=sources_of(self.settings),
            levels=self.settings.levels,
            remind_after=self.settings.remind_working_days,
            far=self.settings.far_percent / 100,
            topics=said_of_topics(self.settings),
        )

    def keeper(
        self, now: Instant, *, background: bool = False, take_settings: bool = True
    ) -> SqlKeeper:
        """Return the keeper for a worker or ``apply``; marks that changed are applied first.

        A worker has its look backs in the *background*. Its settings hold from now on for all
        processes; a command that does not *take_settings* raises SettingsDiffer where others do.
        What calendars and rules are used is written into the audit log, once.
        """
        calendars.check_used(self.engine, self.sheets)
        keeper = SqlKeeper(
            self.engine,
            self.policy,
            self.settings.feeding,
            now,
            unconfirmed_after=self.settings.unconfirmed_after_us,
            background=background,
            clock=clock,
            take_settings=take_settings,
        )
        calendars.note_used(self.engine, self.sheets, self.settings.rules, now)
        return keeper

    def counting(self, now: Instant) -> Policy:
        """Return the policy for a command that a person opens duties or moves days with.

        The calendars that it counts by are written into the audit log before they are used, so
        that every last day can be counted again. Raises SettingsDiffer and BadCalendar.
        """
        policy = self.policy
        with reading(self.engine) as connection:
            agreement.check_command(connection, policy.agreed)
        calendars.note_used(self.engine, self.sheets, self.settings.rules, now)
        return policy

    def adapter(self, source: str) -> Adapter:
        """Return a new adapter of the configured *source*."""
        found = self.settings.sources[source]
        tolerance = self.settings.tolerance_us
        if found.mapping is not None:
            return Debezium(self.identity, found.mapping, tolerance)
        return CloudEvents(
            self.identity,
            tolerance_us=tolerance,
            offset_is_sequence=found.offset_is_sequence,
            complete=found.complete,
        )

    def topics(self) -> Mapping[str, Source]:
        """Return what a worker reads: each topic with its adapter (one per source)."""
        adapters = {topic.source: self.adapter(topic.source) for topic in self.settings.topics}
        return {
            topic.name: Source(topic.source, adapters[topic.source], topic.create_partitions)
            for topic in self.settings.topics
        }


def sources_of(settings: Settings) -> Sources:
    """Return what the settings say of where numbers come from."""
    return Sources(
        incomplete=frozenset(settings.incomplete_topics()),
        feeding=settings.feeding,
        silent_after=settings.silent_after(),
    )


def said_of_topics(settings: Settings) -> dict[str, dict[str, object]]:
    """Return what all processes must have the same of each topic: what it is and whom it feeds."""
    return {
        topic.name: {
            "source": topic.source,
            "complete": settings.sources[topic.source].complete,
            "processors": None if topic.processors is None else sorted(topic.processors),
        }
        for topic in settings.topics
    }


def calendar_of(settings: Settings) -> Calendar:
    """Return the shipped calendars with those of the settings' folder; no database is asked."""
    return load_calendar(settings.calendar_dir)


def files_and_kept(
    settings: Settings,
) -> tuple[Calendar, Sequence[Sheet], Sequence[calendars.Kept]]:
    """Return the calendar in use, the files, and what the database keeps, without the secret.

    Where no database answers it is the calendar of the files alone.
    """
    sheets, kept = read_sheets(settings.calendar_dir), list[calendars.Kept]()
    engine = _engine(settings)
    try:
        if _exists(engine):
            with answering(engine):
                check_version(engine)
                with reading(engine) as connection:
                    kept = calendars.kept(connection)
                    sheets = calendars.in_use(connection, sheets)
    except (WrongDatabase, DatabaseUnreachable) as exc:
        log.warning("what was loaded is not known here: %s", exc)
    finally:
        engine.dispose()
    years = [sheet.year for sheet in sheets]
    return Calendar(calendars.with_kept(years, (one.sheet for one in kept))), sheets, kept


def open_monitor(settings: Settings) -> Monitor:
    """Open the database and check that it is ours: its version, and its secret.

    Raises DatabaseUnreachable, WrongDatabase, NoSecret or BadSecret.
    """
    engine = _engine(settings)
    _must_exist(engine)
    identity = Identity(read_secret(settings.secret_file), settings.marks.namespaces)
    with answering(engine):
        check_version(engine)
        # Only a database without a fingerprint is written to: who reads waits for no worker.
        if fingerprint(engine) != identity.fingerprint:
            check_secret(engine, identity.fingerprint)
        files_here = read_sheets(settings.calendar_dir)
        with reading(engine) as connection:
            sheets = calendars.in_use(connection, files_here)
            files = Calendar(tuple(sheet.year for sheet in sheets))
            calendar = calendars.current(connection, files)
    return Monitor(
        settings=settings, engine=engine, identity=identity, calendar=calendar, sheets=sheets
    )


def open_log(settings: Settings) -> Engine:
    """Open the database to examine what it says: needs no secret, and trusts no calendar in it.

    Raises DatabaseUnreachable and WrongDatabase.
    """
    engine = _engine(settings)
    _must_exist(engine)
    with answering(engine):
        check_version(engine)
    return engine


def upgrade_database(settings: Settings) -> tuple[str, bool]:
    """Make or upgrade the tables; return their version, and whether a secret was made."""
    engine = _engine(settings)
    path = engine.url.database
    if is_sqlite(engine) and path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with answering(engine):
            version = upgrade(engine)
            secret, made = secret_for(settings.secret_file, fingerprint(engine))
            check_secret(engine, Identity(secret).fingerprint)
    finally:
        engine.dispose()
    return version, made


def _engine(settings: Settings) -> Engine:
    return open_engine(settings.database_url)


def _must_exist(engine: Engine) -> None:
    if not _exists(engine):
        where = engine.url.database
        raise WrongDatabase(f"there is no database at {where}: run 'facetally db upgrade' first")


def _exists(engine: Engine) -> bool:
    path = engine.url.database
    return not (is_sqlite(engine) and path and not Path(path).exists())
