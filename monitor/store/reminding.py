"""Reminders of duties by the working days that are left, written once for each rung."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import Engine

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.notices import Kind, Notice
from monitor.reminders import Ladder, Rung, key_of_rung, rung_due
from monitor.store import owing, pages, schema
from monitor.store.engine import reading
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.workdays import Calendar

ENTRY: Final = "deadline.reminder"
_EVERY: Final = 30 * 1_000_000


class Reminding:
    """A chore of the alerts process; several processes may do it at once."""

    def __init__(self, engine: Engine, ladder: Ladder, calendar: Callable[[], Calendar]) -> None:
        self._engine, self._ladder, self._calendar = engine, ladder, calendar
        self._looked_at: Instant | None = None

    def look(self, now: Instant) -> None:
        """Write the reminders that are due now, about twice a minute."""
        if self._looked_at is not None and 0 <= now - self._looked_at < _EVERY:
            return
        with reading(self._engine) as connection:
            names = Names.load(connection)
            held = list(owing.read_duties(connection, names, [schema.duties.c.closed_at.is_(None)]))
            due = {
                key_of_rung(duty, rung): (number, duty)
                for number, duty in held
                if (rung := self._rung(duty, now)) is not None
            }
            there = pages.existing(connection, due)
        for key, (number, duty) in due.items():
            if key not in there:
                self._write(names, number, duty, now)
        self._looked_at = now

    def _rung(self, duty: Duty, now: Instant) -> Rung | None:
        return rung_due(duty, self._ladder, self._calendar(), now)

    def _write(self, names: Names, number: int, duty: Duty, now: Instant) -> None:
        """Write the reminder of a duty as it is now, under the lock of its processor."""
        with self._engine.begin() as connection:
            lock_processors(connection, [names.processor_ids[duty.processor]])
            mine = [schema.duties.c.id == number]
            ((_, current),) = owing.read_duties(connection, names, mine)
            rung = self._rung(current, now)
            if rung is not None:
                owing.note(connection, reminder(current, rung, now), ENTRY)


def reminder(duty: Duty, rung: Rung, now: Instant) -> Notice:
    """Return the notice of a *rung*."""
    return Notice(
        key=key_of_rung(duty, rung),
        kind=Kind.REMINDER,
        severity=rung.severity,
        processor=duty.processor,
        rule=duty.rule,
        duty=duty.key,
        created_at=now,
        body={
            **owing.body_of(duty),
            "working_days_left": rung.left,
            "rung": rung.name,
            "status": duty.status(now).value,
        },
    )
