"""After the end of FR use: what is stored still, who is reminded of it, and who enrolled since.

The cancellation duty says how many are stored until nobody is (Order No. 19 art. 15: the face
information is disposed of according to law). A face enrolled after the end, and before that
cancellation is completed, pages: once for each end, however many records there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select

from monitor.duties import Duty
from monitor.facts import Enrolled, Instant, StorageFact
from monitor.filings import CANCEL
from monitor.ledger import Stock
from monitor.marks import Marks
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import book, files, history_days, owing, schema, stock
from monitor.store.engine import reading
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.workdays import Calendar, beijing_day

_EVERY: Instant = 60_000_000
_MOST_SYSTEMS = 20  # named in a notice
REMIND_AFTER = 5
"""Working days between two reminders, by default."""

# Asked in the transaction of every batch: made once, and of nobody's columns but one.
_ENDED = select(schema.duties.c.processor_id).where(schema.duties.c.rule == CANCEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class StillStored:
    """What a processor stores after the end of its use; systems that hold nobody are absent."""

    individuals: int
    research: int
    systems: Mapping[str, int]


def newest(duties: Iterable[Duty]) -> dict[str, Duty]:
    """Return the newest cancellation duty of each processor of those that were not annulled."""
    found: dict[str, Duty] = {}
    for duty in duties:
        if duty.rule == CANCEL and duty.annulled is None:
            known = found.get(duty.processor)
            if known is None or duty.trigger_at >= known.trigger_at:
                found[duty.processor] = duty
    return found


def watched(connection: Connection, names: Names, duties: Iterable[Duty]) -> dict[str, Duty]:
    """Return the newest cancellation duty of each processor whose faces are still to go.

    Once it is completed and nobody is stored, that is over: who is enrolled later is stored
    because use has begun again.
    """
    return {
        processor: duty
        for processor, duty in newest(duties).items()
        if duty.closed_at is None or not _was_nobody(connection, names, duty)
    }


def _was_nobody(connection: Connection, names: Names, duty: Duty) -> bool:
    """Tell whether nobody was stored at the end of the duty's last day, or of a later one."""
    number = names.processor_ids[duty.processor]
    last = beijing_day(duty.closed_at or 0)
    noted = history_days.read(connection, number, last)
    since = max((day for day in noted if day <= last), default=last)
    return any(not individuals for day, individuals in noted.items() if day >= since)


def still_stored(counted: Stock) -> StillStored:
    """Return what is stored, as the cancellation duty says it."""
    systems = {name: number for name, number in sorted(counted.systems.items()) if number}
    return StillStored(individuals=counted.individuals, research=counted.research, systems=systems)


def enrolled_since(
    connection: Connection,
    names: Names,
    marks: Marks,
    fresh: Iterable[StorageFact],
    known_at: Instant,
) -> None:
    """Page for the first of *fresh* facts that stores a face after an end of use."""
    ended = set(connection.scalars(_ENDED))
    if not ended:
        return
    enrolments = [fact for fact in fresh if isinstance(fact, Enrolled)]
    numbers = ended & {names.processor_ids[fact.place.processor] for fact in enrolments}
    if not numbers:
        return
    mine = [schema.duties.c.rule == CANCEL, schema.duties.c.processor_id.in_(sorted(numbers))]
    ends = newest(duty for _, duty in owing.read_duties(connection, names, mine))
    for fact in enrolments:
        if fact.place.processor in ends:
            duty = ends[fact.place.processor]
            if _is_within(duty, fact.at) and not marks.research(fact.place):
                _page(connection, duty, fact.at, fact.place.system, known_at)
                del ends[fact.place.processor]


def _is_within(duty: Duty, at: Instant) -> bool:
    return duty.trigger_at < at and (duty.closed_at is None or at <= duty.closed_at)


def _page(connection: Connection, duty: Duty, at: Instant, system: str, known_at: Instant) -> None:
    notice = Notice(
        key=key_of(Kind.ENROLLED_AFTER_END, duty.processor, duty.rule, duty.key),
        kind=Kind.ENROLLED_AFTER_END,
        severity=Severity.PAGE,
        processor=duty.processor,
        rule=duty.rule,
        duty=duty.key,
        created_at=known_at,
        body={**owing.body_of(duty), "day": beijing_day(at).isoformat(), "systems": system},
    )
    owing.note(connection, notice, "termination.enrolled_after")


class Terminating:
    """What the passing of time brings: reminders, and enrolments that were known before the end."""

    def __init__(self, engine: Engine, marks: Marks, remind_after: int) -> None:
        self._engine, self._marks, self._remind_after = engine, marks, remind_after
        self._looked_at: Instant | None = None
        self._searched: set[tuple[str, str, Instant]] = set()

    def look(self, names: Names, calendar: Calendar, now: Instant) -> None:
        """Remind where it is time, about once a minute; of nothing while files are being applied.

        Half of a file may tell the end of use, and only the other half that nobody is stored.
        """
        if self._looked_at is not None and 0 <= now - self._looked_at < _EVERY:
            return
        self._looked_at = now
        with reading(self._engine) as connection:
            mine = [schema.duties.c.rule == CANCEL]
            duties = [duty for _, duty in owing.read_duties(connection, names, mine)]
            ends = watched(connection, names, duties)
            stocks = stock.read(connection, names) if ends else {}
            remind = bool(ends) and not files.any_in_work(connection)
            wanted = [
                (duty, found)
                for processor, duty in sorted(ends.items() if remind else ())
                if (found := self._due(duty, stocks.get(processor, Stock()), calendar, now))
            ]
            known = self._known_before(connection, names, newest(duties).values())
        for duty, notice in wanted:
            self._write(names, duty, notice, "termination.reminded")
        for duty, at, system in known:
            with self._engine.begin() as connection:
                lock_processors(connection, [names.processor_ids[duty.processor]])
                _page(connection, duty, at, system, now)

    def _write(self, names: Names, duty: Duty, notice: Notice, kind: str) -> None:
        with self._engine.begin() as connection:
            lock_processors(connection, [names.processor_ids[duty.processor]])
            owing.note(connection, notice, kind)

    def _due(self, duty: Duty, counted: Stock, calendar: Calendar, now: Instant) -> Notice | None:
        """Return the reminder of the present period, if anything is stored; told once."""
        passed = calendar.working_days_left(duty.trigger_day, beijing_day(now))
        period = passed // self._remind_after
        stored = still_stored(counted)
        if period < 1 or not stored.individuals:
            return None
        named = [f"{name} {number}" for name, number in stored.systems.items()]
        more = len(named) - _MOST_SYSTEMS
        listed = ", ".join(named[:_MOST_SYSTEMS]) + (f" and {more} more" if more > 0 else "")
        return Notice(
            key=key_of(Kind.FACES_REMAIN, duty.processor, duty.rule, duty.key, str(period)),
            kind=Kind.FACES_REMAIN,
            severity=Severity.WARNING,
            processor=duty.processor,
            rule=duty.rule,
            duty=duty.key,
            created_at=now,
            body={
                **owing.body_of(duty),
                "individuals": stored.individuals,
                "still_stored": stored.individuals,
                "systems": listed,
                "working_days_since": passed,
                "status": duty.status(now).value,
            },
        )

    def _known_before(
        self, connection: Connection, names: Names, ends: Iterable[Duty]
    ) -> list[tuple[Duty, Instant, str]]:
        """Return enrolments after an end that was told later than they: looked for once."""
        found = []
        for duty in ends:
            which = (duty.processor, duty.key, duty.trigger_at)
            if which in self._searched:
                continue
            self._searched.add(which)
            at = _first_after(connection, names, self._marks, duty)
            if at is not None:
                found.append((duty, *at))
        return found


def _first_after(
    connection: Connection, names: Names, marks: Marks, duty: Duty
) -> tuple[Instant, str] | None:
    number = names.processor_ids[duty.processor]
    watches, table = schema.watches.c, schema.book.c
    last = connection.scalar(select(watches.last_at).where(watches.processor_id == number))
    if last is None or last <= duty.trigger_at:
        return None
    query = select(table.at, table.place_id).where(
        table.processor_id == number,
        table.kind == book.ENROLLED,
        table.at > duty.trigger_at,
    )
    for row in connection.execute(query.order_by(table.at)):
        place = names.place_by_id[row.place_id]
        if _is_within(duty, row.at) and not marks.research(place):
            return row.at, place.system
    return None
