"""Duties and notices in SQL, each written with its audit entry in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.chain import Entry, canonical
from monitor.duties import Decision, Duty, restated
from monitor.duties import Why as WhyRestated
from monitor.facts import Instant
from monitor.filings import UNTOUCHED, Life
from monitor.notices import Body, Kind, Notice, Severity, body_from, body_text, key_of
from monitor.rules import Rule
from monitor.store import audit, ending, filings_kept, schema
from monitor.store.engine import is_sqlite
from monitor.store.names import Names
from monitor.trust import Doubt, Why, in_body
from monitor.workdays import Calendar, Deadline

_duties = schema.duties


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A trigger as it is known now; ``trigger_at`` None: there is no reach any more."""

    trigger_at: Instant | None
    known_at: Instant
    proof: Mapping[str, object]
    not_later_than: bool = False


def read_duties(
    connection: Connection, names: Names, where: Iterable[Any] = ()
) -> Iterator[tuple[int, Duty]]:
    """Yield the duties that meet *where*, with their row numbers, in the order of opening."""
    query = select(_duties).where(*where).order_by(_duties.c.opened_at, _duties.c.id)
    rows = connection.execute(query).all()
    lives = filings_kept.lives(connection, {row.processor_id for row in rows})
    for row in rows:
        life = lives.get((row.processor_id, row.rule, row.key), UNTOUCHED)
        yield row.id, _duty(names, row, life)


def _duty(names: Names, row: Any, life: Life) -> Duty:  # noqa: ANN401 - a row of schema.duties
    deadline = Deadline(
        due_day=row.due_day,
        earliest=row.earliest,
        latest=row.latest,
        provisional=row.due_day is None,
        calendar_version=row.calendar_version,
        due_at=row.due_at,
    )
    return Duty(
        processor=names.processor_by_id[row.processor_id],
        rule=row.rule,
        key=row.key,
        trigger_day=row.trigger_day,
        trigger_at=row.trigger_at,
        not_later_than=row.not_later_than,
        opened_at=row.opened_at,
        deadline=deadline,
        proof=json.loads(row.proof),
        closed_at=row.closed_at,
        annulled=row.annulled,
        life=life,
    )


def find_duty(
    connection: Connection, names: Names, processor: str, rules: Iterable[str], key: str
) -> tuple[int, Duty] | None:
    """Return the duty of *processor* with this *key* under any of *rules*."""
    where = (
        _duties.c.processor_id == names.processor_ids[processor],
        _duties.c.rule.in_(list(rules)),
        _duties.c.key == key,
    )
    return next(read_duties(connection, names, where), None)


def open_duty(
    connection: Connection, names: Names, duty: Duty, severity: Severity = Severity.PAGE
) -> bool:
    """Write *duty*, its audit entry and its notice, once; return False if it is there already."""
    held = find_duty(connection, names, duty.processor, [duty.rule], duty.key)
    if held is not None:
        return False
    entry = add_duty(connection, names, duty)
    notify(
        connection,
        Notice(
            key=key_of(Kind.DUTY_OPENED, duty.processor, duty.rule, duty.key),
            kind=Kind.DUTY_OPENED,
            severity=severity,
            processor=duty.processor,
            rule=duty.rule,
            duty=duty.key,
            created_at=duty.opened_at,
            body={**body_of(duty), "audit_head": entry.hash},
        ),
    )
    return True


def add_duty(connection: Connection, names: Names, duty: Duty) -> Entry:
    """Write a new *duty* with its audit entry, which is returned, and tell nobody."""
    row = {"processor_id": names.processor_ids[duty.processor], **_row(duty)}
    connection.execute(insert(_duties).values(row))
    body = describe(duty)
    if duty.closed_at is not None:  # over already, or with its last day
        body |= {"closed_at": duty.closed_at, "because": duty.annulled}
    return audit.append(connection, duty.opened_at, "duty.opened", duty.processor, body)


def replace_duty(
    connection: Connection, number: int, after: Duty, *, settled: bool = False
) -> None:
    """Write *after* in place of the duty with this row *number*; the caller tells why.

    With *settled* nobody is asked about its day any more: the next that is found is news.
    """
    row = {**_row(after), "asked": None} if settled else _row(after)
    connection.execute(update(_duties).where(_duties.c.id == number).values(row))


def move_duty(
    connection: Connection, number: int, before: Duty, after: Duty, known_at: Instant, why: str
) -> None:
    """Replace *before* by *after* (an earlier day), with both days in the audit log and a page.

    The older pages are over with it: they would go on telling the later day.
    """
    replace_duty(connection, number, after, settled=True)
    body = {"why": why, "before": describe(before), "after": describe(after)}
    entry = audit.append(connection, known_at, "duty.moved", after.processor, body)
    ending.end_pages(connection, after, known_at)
    days = body_of(after) | {"was_trigger_day": before.trigger_day.isoformat()}
    notify(
        connection,
        Notice(
            # A person may have moved it back since it was here last: of the entry, not the day.
            key=key_of(Kind.DUTY_MOVED, after.processor, after.rule, after.key, entry.hash),
            kind=Kind.DUTY_MOVED,
            severity=Severity.PAGE,
            processor=after.processor,
            rule=after.rule,
            duty=after.key,
            created_at=known_at,
            body=days | {"audit_head": entry.hash},
        ),
    )


def restate(
    connection: Connection,
    number: int,
    held: Duty,
    rules: Iterable[Rule],
    calendar: Calendar,
    found: Found,
) -> None:
    """Do to the duty *held* what a newly found trigger asks for: move it, ask, or nothing.

    A number that a person told proves its day, whatever the stock does later.
    """
    told = "number" in held.proof and "number" not in found.proof
    if told and (found.trigger_at is None or found.trigger_at >= held.trigger_at):
        return
    decided = restated(
        held,
        rules,
        found.trigger_at,
        known_at=found.known_at,
        calendar=calendar,
        proof=found.proof,
        not_later_than=found.not_later_than,
    )
    if decided.decision is Decision.MOVE:
        move_duty(connection, number, held, decided.duty, found.known_at, decided.why.value)
    elif decided.decision is Decision.KEEP:
        ask_no_more(connection, number, held, found.known_at)
        same = (
            decided.why is WhyRestated.SAME_DAY
        )  # not one that a person has decided on another day for
        if same and found.trigger_at not in {None, held.trigger_at}:
            _refine(connection, number, held, found)
    elif decided.decision is Decision.ASK:
        day = decided.found_day.isoformat() if decided.found_day else None
        ask_about(connection, number, held, day, found.known_at, decided.why.value)


def _refine(connection: Connection, number: int, held: Duty, found: Found) -> None:
    """Keep the proof of another instant of the same day; nothing that is owed changes."""
    assert found.trigger_at is not None  # noqa: S101 - a reach that vanished is asked about
    refined = replace(held, trigger_at=found.trigger_at, proof=found.proof)
    replace_duty(connection, number, refined)
    body = {"before": describe(held), "after": describe(refined)}
    audit.append(connection, found.known_at, "duty.proof_refined", held.processor, body)


def ask_about(
    connection: Connection,
    number: int,
    duty: Duty,
    found_day: str | None,
    known_at: Instant,
    why: str,
) -> None:
    """Tell that a duty's trigger day waits for a person's decision, once for what was found."""
    asked = f"{why} {found_day}"
    news = or_(_duties.c.asked.is_(None), _duties.c.asked != asked)
    mark = update(_duties).where(_duties.c.id == number, news).values(asked=asked)
    if connection.execute(mark).rowcount != 1:
        return
    body = {"why": why, "found_trigger_day": found_day, "duty": describe(duty)}
    entry = audit.append(connection, known_at, "duty.restatement_waits", duty.processor, body)
    notify(
        connection,
        Notice(
            key=key_of(
                Kind.RESTATEMENT_WAITS, duty.processor, duty.rule, duty.key, asked, entry.hash
            ),
            kind=Kind.RESTATEMENT_WAITS,
            severity=Severity.WARNING,
            processor=duty.processor,
            rule=duty.rule,
            duty=duty.key,
            created_at=known_at,
            body=body_of(duty)
            | {"found_trigger_day": found_day, "why": why, "audit_head": entry.hash},
        ),
    )


def ask_no_more(connection: Connection, number: int, held: Duty, known_at: Instant) -> None:
    """Note that the day found is that of the duty again: another one is news."""
    mine = (_duties.c.id == number, _duties.c.asked.is_not(None))
    if connection.execute(update(_duties).where(*mine).values(asked=None)).rowcount == 1:
        body = {"rule": held.rule, "key": held.key, "trigger_day": held.trigger_day.isoformat()}
        audit.append(connection, known_at, "duty.restatement_settled", held.processor, body)


def notify(connection: Connection, notice: Notice) -> bool:
    """Write *notice* and owe it to every known channel, or to its one, once for its key."""
    dialect = sqlite if is_sqlite(connection) else postgresql
    row = {
        "key": notice.key,
        "kind": notice.kind.value,
        "severity": notice.severity.value,
        "processor": notice.processor,
        "rule": notice.rule,
        "duty": notice.duty,
        "created_at": notice.created_at,
        "body": body_text(notice.body),
        "channel": notice.channel,
    }
    statement = dialect.insert(schema.notices).values(row).on_conflict_do_nothing()
    number = connection.execute(statement.returning(schema.notices.c.id)).scalar()
    if number is None:
        return False
    active = select(schema.channels.c.channel).where(schema.channels.c.active)
    if notice.channel is not None:
        active = active.where(schema.channels.c.channel == notice.channel)
    for channel in connection.scalars(active).all():
        delivery = {
            "notice_id": number,
            "channel": channel,
            "attempts": 0,
            "not_before": 0,  # at once, whatever the clock says of who wrote it
        }
        connection.execute(insert(schema.deliveries).values(delivery))
    return True


def notice_of(row: Row[Any]) -> Notice:
    """Return the notice in a row of the table."""
    return Notice(
        key=row.key,
        kind=Kind(row.kind),
        severity=Severity(row.severity),
        processor=row.processor,
        rule=row.rule,
        duty=row.duty,
        created_at=row.created_at,
        body=body_from(row.body),
        channel=row.channel,
    )


def body_of(duty: Duty) -> dict[str, str | int | bool | None]:
    """Return what a notice says of *duty*: days, number, threshold, calendar."""
    deadline = duty.deadline
    first, last = (day.isoformat() for day in deadline.days)
    body: dict[str, str | int | bool | None] = {
        "trigger_day": duty.trigger_day.isoformat(),
        "not_later_than": duty.not_later_than,
        "due_day": deadline.due_day.isoformat() if deadline.due_day else None,
        "due_between": f"{first}/{last}" if deadline.provisional else None,
        "calendar_version": deadline.calendar_version,
    }
    if deadline.due_at is not None:
        body["due_at"] = datetime.fromtimestamp(deadline.due_at / 1e6, UTC).isoformat()
    for name in ("individuals", "at_least"):
        value = duty.proof.get(name)
        if isinstance(value, int):
            body[name] = value
    return body | _trusted(duty.proof)


def _trusted(proof: Mapping[str, object]) -> dict[str, str | int | bool | None]:
    """Return whether the number of *proof* was verified then; older proofs do not say."""
    said = proof.get("unverified")
    if not isinstance(said, list):
        return {}
    return in_body([Why(**one | {"reason": Doubt(one["reason"])}) for one in said])


def describe(duty: Duty) -> dict[str, object]:
    """Return what the audit log says of *duty*: all of it but what closes it.

    With the instant of its trigger: latches go by that, and not by its day.
    """
    said: dict[str, object] = {"rule": duty.rule, "key": duty.key, **body_of(duty)}
    return said | {"trigger_at": duty.trigger_at, "proof": dict(duty.proof)}


def _row(duty: Duty) -> Mapping[str, object]:
    return {
        "rule": duty.rule,
        "key": duty.key,
        "trigger_day": duty.trigger_day,
        "trigger_at": duty.trigger_at,
        "not_later_than": duty.not_later_than,
        "opened_at": duty.opened_at,
        "due_day": duty.deadline.due_day,
        "earliest": duty.deadline.earliest,
        "latest": duty.deadline.latest,
        "calendar_version": duty.deadline.calendar_version,
        "proof": canonical(duty.proof),
        "closed_at": duty.closed_at,
        "annulled": duty.annulled,
        "due_at": duty.deadline.due_at,
    }


def note(connection: Connection, notice: Notice, kind: str) -> Body:
    """Write *notice* with an audit entry of *kind*; return its body."""
    if notify(connection, notice):
        audit.append(connection, notice.created_at, kind, notice.processor, dict(notice.body))
    return notice.body
