"""What the metrics show of the database, read at one moment.

The numbers of individuals, thresholds, duties, notices and the audit log as plain values, so that
``monitor.metrics`` knows no SQL and one scrape never mixes two states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from monitor.calendars import BadCalendar
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.notices import Waiting
from monitor.rules import Rule
from monitor.store import approaching, audit, calendars, owing
from monitor.store.channels import known_channels
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.outbox import read_waiting
from monitor.store.reading import Status, status
from monitor.trust import Sources
from monitor.workdays import Calendar


class StoreAway(Exception):
    """The database cannot be read now; the message names the kind of error and quotes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """One consistent state. *waiting* lacks the channels of *channels* that have nothing."""

    status: Status
    duties: tuple[Duty, ...]  # closed ones too
    channels: tuple[str, ...]
    waiting: tuple[Waiting, ...]
    audit_entries: int
    audit_head: str
    calendar: Calendar | None = None  # None: that of the files
    warned: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by processor and rule


def read(
    engine: Engine,
    rules: Iterable[Rule],
    sources: Sources | None = None,
    now: Instant | None = None,
    current: calendars.Current | None = None,
) -> Gauges:
    """Return what is so now; see ``reading.status`` for the arguments. Raises StoreAway.

    *current* is asked for the calendar: a year may have been loaded meanwhile.
    """
    try:
        with reading(engine) as connection:
            with suppress(BadCalendar):  # the worker says so
                if current is not None:
                    current.refresh(connection)
            entries, head = audit.head(connection)
            names = Names.load(connection)
            duties = owing.read_duties(connection, names)
            return Gauges(
                status=status(connection, rules, sources, now),
                duties=tuple(duty for _, duty in duties),
                channels=tuple(known_channels(connection)),
                waiting=tuple(read_waiting(connection)),
                audit_entries=entries,
                audit_head=head,
                calendar=current.calendar if current is not None else None,
                warned=approaching.warned(connection, names),
            )
    except SQLAlchemyError as exc:
        raise StoreAway(type(exc).__name__) from None
