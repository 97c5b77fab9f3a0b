"""The deadlines as a calendar (RFC 5545): one all-day event for each duty, in the order of opening.

A pure function of what was read and one *now*: the same database gives the same bytes. UIDs are
hashes over the installation, the processor, the rule and the duty's key; nothing here knows a
person. An event lies on the last day to act, the early end while that is provisional.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from icalendar import Alarm, Calendar, Event

from alerts.words import description
from deploy.ical import words
from deploy.ical.alarms import alarms
from deploy.ical.words import Language
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import OWED, family
from monitor.store.owing import body_of
from monitor.store.revisions import Revision
from monitor.trust import Why, in_body
from monitor.workdays import Calendar as Workdays

_AGAIN: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A duty as the database has it: what is *against* its number, when that was last settled."""

    duty: Duty
    revision: Revision
    against: Sequence[Why] = ()
    accepted_at: Instant = 0


def feed(
    entries: Iterable[Entry],
    *,
    installation: str,
    workdays: Workdays,
    language: Language,
    now: Instant,
) -> bytes:
    """Return the calendar. *installation* tells apart databases whose feeds meet in one program."""
    calendar = Calendar()
    calendar.add("prodid", f"-//facetally//duties//{language[:2].upper()}")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    title = words.said(words.CALENDAR, language)
    calendar.add("name", title)
    calendar.add("x-wr-calname", title)
    calendar.add("x-wr-timezone", "Asia/Shanghai")
    calendar.add("refresh-interval", _AGAIN, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    for entry in entries:
        calendar.add_component(_event(entry, installation, workdays, language, now))
    made: bytes = calendar.to_ical()
    return made


def uid(duty: Duty, installation: str) -> str:
    """Return what *duty* is called in every calendar, for ever, whatever moves it."""
    parts = (installation, duty.processor, family(duty.rule), duty.key)
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode()
        hashed.update(len(raw).to_bytes(4, "big") + raw)
    return f"duty-{hashed.hexdigest()}@facetally"


def _event(
    entry: Entry, installation: str, workdays: Workdays, language: Language, now: Instant
) -> Event:
    duty, last = entry.duty, entry.duty.deadline.earliest
    status = duty.status(now)
    ended = duty.closed_at is not None and duty.closed_at <= now
    title = words.summary(duty, status, ended=ended, doubtful=bool(entry.against))
    event = Event()
    event.add("uid", uid(duty, installation))
    event.add("dtstamp", _utc(now))
    event.add("created", _utc(duty.opened_at))
    event.add("last-modified", _utc(_modified(entry, now)))
    # An end that comes by itself has no entry in the audit log: by twos there is room for it, and
    # what is written next has a higher one. Between two entries nothing but time ends a duty.
    event.add("sequence", 2 * entry.revision.number + ended)
    event.add("dtstart", last)
    event.add("dtend", last + timedelta(days=1))
    event.add("status", _status(duty, ended=ended))
    event.add("transp", "TRANSPARENT")
    event.add("categories", [duty.rule])
    event.add("summary", words.said(title, language))
    event.add("description", _description(entry, language))
    if not ended and duty.life.state_at(now) in OWED and not duty.of_authority:
        for left, at in alarms(duty, workdays):
            event.add_component(_alarm(words.said(words.alarm(title, left), language), at))
    return event


def _status(duty: Duty, *, ended: bool) -> str:
    if ended:
        return "CANCELLED"
    return "TENTATIVE" if duty.deadline.provisional else "CONFIRMED"


def _modified(entry: Entry, now: Instant) -> Instant:
    """Return when what is shown last changed; never after *now*."""
    duty = entry.duty
    moments = [entry.revision.at, entry.accepted_at, duty.overdue_at, duty.closed_at or 0]
    moments += [step.known_at for step in duty.life.taken]
    moments += [why.since for why in entry.against]
    return max((at for at in moments if at <= now), default=duty.opened_at)


def _description(entry: Entry, language: Language) -> str:
    facts = description(body_of(entry.duty) | in_body(entry.against))
    return f"{words.said(facts, language)}\n{words.said(words.note(entry.duty), language)}"


def _alarm(text: str, at: Instant) -> Alarm:
    alarm = Alarm()
    alarm.add("action", "DISPLAY")
    # Without the parameter a reader takes it for a duration (RFC 5545 3.8.6.3).
    alarm.add("trigger", _utc(at), parameters={"VALUE": "DATE-TIME"})
    alarm.add("description", text)
    return alarm


def _utc(instant: Instant) -> datetime:
    return datetime.fromtimestamp(instant // 1_000_000, UTC)
