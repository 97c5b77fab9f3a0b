"""What the database and the settings know of a processor at an instant, for its filing pack.

One consistent read. No id of a person is asked for: numbers, names of organisations and places,
instants, and what people decided, with their names as the audit log has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from monitor.calendars import Year
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.marks import Marks, SystemMark
from monitor.rules import Rule
from monitor.store import audit, history_days, owing
from monitor.store.as_of import status_as_of
from monitor.store.by_place import Stored, stored_by_place
from monitor.store.engine import Engine, reading
from monitor.store.external_events import EventTold, every_event
from monitor.store.names import Names
from monitor.store.reading import ProcessorStatus
from monitor.store.versions import Basis, bases
from monitor.trust import Sources
from monitor.workdays import Calendar, beijing_day


class NothingKnown(ValueError):
    """The database knows no such processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Everything a pack is made from; instants are microseconds, days those of Beijing."""

    processor: str
    as_of: Instant
    made_at: Instant
    status: ProcessorStatus
    places: Sequence[Stored]
    days: Sequence[tuple[date, int]]
    duties: Sequence[Duty]
    bases: Sequence[Basis]  # what the last day of each duty was counted by
    rules: Sequence[Rule]
    calendar: Calendar
    years: Sequence[Year]
    marks: Sequence[SystemMark]
    assessments: Sequence[EventTold]
    audit_entries: int
    audit_head: str


def gather(
    engine: Engine,
    processor: str,
    *,
    as_of: Instant,
    now: Instant,
    rules: Sequence[Rule],
    marks: Marks,
    sources: Sources,
    calendar: Calendar,
) -> Gathered:
    """Return what is known of *processor* as of *as_of*. Raises NothingKnown.

    Numbers and days are folds of the facts up to *as_of*, by what is known *now*; duties opened
    since are left out.
    """
    with reading(engine) as connection:
        names = Names.load(connection)
        if processor not in names.processor_ids:
            raise NothingKnown(f"there is no processor {processor!r} in the database")
        shown = status_as_of(connection, rules, marks, as_of, sources, today=now)
        places, days = stored_by_place(connection, names, processor, marks, as_of)
        duties = [
            duty
            for _, duty in owing.read_duties(connection, names)
            if duty.processor == processor and duty.trigger_at <= as_of
        ]
        then = bases(connection, duties, rules, calendar)
        entries, head = audit.head(connection)
        told = every_event(connection, names, processor)
    return Gathered(
        processor=processor,
        as_of=as_of,
        made_at=now,
        status=next(one for one in shown.processors if one.processor == processor),
        places=places,
        days=list(history_days.filled(days, beijing_day(as_of))),
        duties=duties,
        bases=then,
        rules=rules,
        calendar=calendar,
        years=calendar.years,
        marks=[mark for mark in marks.rows if mark.processor == processor],
        assessments=[one for one in told if one.kind == "assessment.recorded" and one.at <= as_of],
        audit_entries=entries,
        audit_head=head,
    )
