"""A person's correction of a trigger day: what the duty is then, written with who and why."""

from __future__ import annotations

from sqlalchemy import Connection, select

from monitor.duties import Duty, corrected
from monitor.facts import Instant
from monitor.filings import Step, family
from monitor.latches import reached_at
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import RuleError
from monitor.store import audit, owing, schema
from monitor.store.filings_values import Decided, NotRecorded
from monitor.store.terminating import Law


def moved(
    connection: Connection, number: int, law: Law, said: Decided, duty: Duty, now: Instant
) -> Duty:
    """Return *duty* moved as it was *said*, or itself if that is its day already.

    *number* is that of its processor. Raises NotRecorded if nothing is owed for that day.
    """
    day = said.trigger_day
    if day is None or day == duty.trigger_day:
        return duty
    try:
        return corrected(
            duty,
            law.rules,
            day,
            known_at=now,
            calendar=law.calendar,
            by=said.by,
            reason=said.reason,
            found_at=_found_at(connection, number, duty),
        )
    except RuleError as exc:
        raise NotRecorded(str(exc)) from None


def _found_at(connection: Connection, number: int, duty: Duty) -> Instant | None:
    """Return the trigger of *duty* as the facts have it now."""
    columns = schema.reaches.c
    query = select(columns.trigger_at).where(
        columns.processor_id == number,
        columns.rule == family(duty.rule),
        columns.latch == (int(duty.key) if duty.key.isdecimal() else 0),
    )
    row = connection.execute(query).first()
    due = select(schema.watches.c.recount_due).where(schema.watches.c.processor_id == number)
    if row is None or (row.trigger_at is None and connection.scalar(due)):
        # Nothing else is known of it now; a day that a person decided on is none of the facts'.
        return reached_at(duty.trigger_at, duty.proof)
    found: Instant | None = row.trigger_at
    return found


def move(connection: Connection, row: int, duty: Duty, after: Duty, step: Step) -> None:
    """Write *after* in place of *duty*, with its audit entry and a notice."""
    owing.replace_duty(connection, row, after, settled=True)
    now, processor = step.known_at, duty.processor
    body = {
        "why": step.reason,
        "by": step.by,
        "step": step.id,
        "before": owing.describe(duty),
        "after": owing.describe(after),
    }
    entry = audit.append(connection, now, "duty.moved", processor, body)
    notice = Notice(
        key=key_of(Kind.DUTY_CORRECTED, processor, step.id),
        kind=Kind.DUTY_CORRECTED,
        severity=Severity.WARNING,
        processor=processor,
        rule=after.rule,
        duty=after.key,
        created_at=now,
        body={
            **owing.body_of(after),
            "was_trigger_day": duty.trigger_day.isoformat(),
            "by": step.by,
            "because": step.reason,
            "audit_head": entry.hash,
        },
    )
    owing.notify(connection, notice)
