"""Behind ``facetally verify``: what is owed and was told, against the audit log.

The log is chained and the tables of duties, notices and deliveries are not: a row that was
changed, added or deleted by hand is found here. Reads only, within the caller's view.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, select

from monitor.chain import Entry, canonical
from monitor.facts import Instant
from monitor.filings import CLOCKS, REVIEW
from monitor.notices import Kind
from monitor.rules import Rule, rule_for_trigger
from monitor.store import audit, owing, schema
from monitor.store.changes import COMMAND
from monitor.store.names import Names
from monitor.store.restoring import ONE_EVENT
from monitor.workdays import beijing_day

Key: TypeAlias = tuple[str | None, str, str]
"""Processor, rule and key of a duty."""

_ASKED: Final = "duty.restatement_waits"
_ASKED_NO_MORE: Final = "duty.restatement_settled"
_MOVED: Final = "duty.moved"  # nobody is asked about its day any more
_CLOSING: Final = frozenset({"duty.closed", "duty.reopened"})
_END: Final = ("closed_at", "because")
_SHOWN: Final = 5


@dataclass(slots=True)
class _Duty:
    """What the log says of a duty, by the names of ``owing.describe``."""

    opened_at: Instant
    said: Mapping[str, object]
    end: tuple[Instant | None, str | None] = (None, None)  # when, and why it was annulled
    asked: str | None = None  # what waits for a person; what was asked is not asked again


@dataclass(slots=True)
class _Notices:
    """The notices of one kind, by what an entry can know them by."""

    heads: set[object] = field(default_factory=set)
    bodies: set[tuple[Instant, str | None, str]] = field(default_factory=set)
    at: list[tuple[Instant, str | None]] = field(default_factory=list)


def owed_wrong(connection: Connection, names: Names, rules: Iterable[Rule]) -> list[str]:
    """Return which duties are not as the audit log and the confirmed reaches say.

    Reaches are judged by *rules*, those that hold now; without any, none is.
    """
    told = _fold(audit.entries(connection))
    wrong = []
    kept = set()
    table = schema.duties.c
    for row in connection.execute(
        select(table.id, table.processor_id, table.rule, table.key, table.asked)
    ).all():
        key = (names.processor_by_id.get(row.processor_id), row.rule, row.key)
        kept.add(key)
        if key not in told:
            wrong.append(f"{_name(key)} (no entry of the audit log opened it)")
        elif differ := _differ(connection, names, row.id, row.asked, told[key]):
            wrong.append(f"{_name(key)} (not as the audit log says: {', '.join(sorted(differ))})")
    wrong += [f"{_name(key)} (missing)" for key in told if key not in kept]
    late = unopened(connection, names, rules)
    wrong += [f"{_name(key)} (confirmed, and no duty)" for key in late]
    return sorted(wrong)


def _differ(
    connection: Connection, names: Names, number: int, asked: str | None, told: _Duty
) -> list[str]:
    """Return in what the duty with this row *number* is not as it was *told*."""
    try:
        ((_, duty),) = owing.read_duties(connection, names, [schema.duties.c.id == number])
    except (TypeError, ValueError):
        return ["what it says cannot be"]  # two last days, say
    now = owing.describe(duty)
    differ = [name for name, value in told.said.items() if _plain(now.get(name)) != _plain(value)]
    differ += ["opened_at"] if duty.opened_at != told.opened_at else []
    differ += ["closed"] if (duty.closed_at, duty.annulled) != told.end else []
    differ += ["asked"] if asked != told.asked else []
    return differ


def _fold(entries: Iterable[Entry]) -> dict[Key, _Duty]:
    """Return the duties there must be: every change of one is an entry with both its states."""
    duties: dict[Key, _Duty] = {}
    for entry in entries:
        if not entry.kind.startswith("duty."):
            continue
        body = json.loads(entry.body)
        if entry.kind == "duty.opened":
            said = {name: value for name, value in body.items() if name not in _END}
            duties[_key(entry, body)] = _Duty(entry.at, said, _end(body))
        elif entry.kind in _CLOSING and not _is_step(body) and _key(entry, body) in duties:
            duties[_key(entry, body)].end = _end(body)
        elif entry.kind in {_ASKED, _ASKED_NO_MORE}:
            _hear_asked(duties, entry, body)
        elif "after" in body:
            before = duties.pop(_key(entry, body["before"]), None)
            known = before or _Duty(entry.at, {})
            asked = None if entry.kind == _MOVED else known.asked
            now = _Duty(known.opened_at, body["after"], known.end, asked)
            duties[_key(entry, body["after"])] = now
    return duties


def _hear_asked(duties: Mapping[Key, _Duty], entry: Entry, body: Mapping[str, Any]) -> None:
    """Note what a person is asked of a duty, or that it has settled itself."""
    asks = entry.kind == _ASKED
    duty = duties.get(_key(entry, body["duty"] if asks else body))
    if duty is not None:
        duty.asked = f"{body['why']} {body['found_trigger_day']}" if asks else None


def _end(body: Mapping[str, Any]) -> tuple[Instant | None, str | None]:
    """Return what an entry says of the end of a duty; one that opens it again says nothing."""
    return body.get("closed_at"), body.get("because")


def _is_step(body: Mapping[str, Any]) -> bool:
    """Tell whether an entry is of what a person decided; what came of it has its own."""
    return "key" not in body and "after" not in body


def unopened(connection: Connection, names: Names, rules: Iterable[Rule]) -> Iterator[Key]:
    """Yield the confirmed reaches that ought to have a duty, under their rule or its legacy.

    Under other settings they may have asked for none.
    """
    known = list(rules)
    reaches, duties = schema.reaches, schema.duties
    there = {
        (row.processor_id, row.rule, row.key)
        for row in connection.execute(select(duties.c.processor_id, duties.c.rule, duties.c.key))
    }
    confirmed = (reaches.c.confirmed_at.is_not(None), reaches.c.trigger_at.is_not(None))
    for row in connection.execute(select(reaches).where(*confirmed)):
        if rule_for_trigger(known, row.rule, beijing_day(row.trigger_at)) is None:
            continue
        family = [rule.id for rule in known if row.rule in {rule.id, rule.legacy_of}]
        if not any((row.processor_id, rule, str(row.latch)) in there for rule in family):
            yield names.processor_by_id[row.processor_id], row.rule, str(row.latch)


def told_wrong(connection: Connection) -> list[str]:
    """Return which notices and deliveries are not there as the audit log says."""
    notices, keys = _read_notices(connection)
    sent = _sent(connection)
    wrong = []
    for entry in audit.entries(connection):
        if entry.kind == "notice.sent":
            body = json.loads(entry.body)
            where = (body["notice"], body["channel"])
            if where[0] in keys and where not in sent:
                wrong.append(f"{where[0]} (not marked as sent on {where[1]})")
            elif where[0] not in keys:
                wrong.append(f"{where[0]} (missing, and was sent)")
            sent.discard(where)
        elif (kinds := _told_by(entry)) and not any(_is_told(entry, notices[k]) for k in kinds):
            wrong.append(f"entry {entry.seq}, {entry.kind} (nobody was to be told)")
    wrong += [f"{key} (marked as sent on {channel}, by no entry)" for key, channel in sent]
    return sorted(wrong)


def _read_notices(connection: Connection) -> tuple[Mapping[str, _Notices], set[str]]:
    found: defaultdict[str, _Notices] = defaultdict(_Notices)
    keys = set()
    table = schema.notices
    for row in connection.execute(select(table), execution_options={"yield_per": 5_000}):
        keys.add(row.key)
        body = json.loads(row.body)
        one = found[row.kind]
        one.heads.add(body.get("audit_head"))
        one.bodies.add((row.created_at, row.processor, canonical(body)))
        one.at.append((row.created_at, row.processor))
    return found, keys


def _sent(connection: Connection) -> set[tuple[str, str]]:
    n, d = schema.notices.c, schema.deliveries.c
    query = select(n.key, d.channel).join(schema.deliveries, d.notice_id == n.id)
    rows = connection.execute(query.where(d.sent_at.is_not(None)))
    return {(row.key, row.channel) for row in rows}


def _told_by(entry: Entry) -> Sequence[str]:
    """Return the kinds of which one notice is written with *entry*; none if nobody is told."""
    body = json.loads(entry.body)
    if entry.kind.startswith("duty.") and _is_nobodys(entry.kind, body):
        return ()
    if entry.kind == "change.proposed" and body["source"] == COMMAND:
        return ()  # by the one who would be told
    if entry.kind == "duty.moved" and "step" in body:
        return (Kind.DUTY_CORRECTED,)
    if entry.kind == "duty.due_moved":
        return (Kind.DUE_MOVED, Kind.DUE_SETTLED)
    named = (entry.kind.replace(".", "_"), entry.kind.rpartition(".")[2])
    return [name for name in named if name in set(Kind)][:1]


def _is_nobodys(kind: str, body: Mapping[str, Any]) -> bool:
    """Tell whether an entry of a duty calls up nobody.

    What a person decided is told with what came of it. A review is for the authority to end, and
    a clock that was over when it became known is for nobody.
    """
    if _is_step(body) and kind != _ASKED:
        return True
    over = kind == "duty.opened" and body.get("closed_at") is not None
    return body.get("rule") == REVIEW or (over and body["rule"] in CLOCKS)


def _is_told(entry: Entry, notices: _Notices) -> bool:
    if entry.kind == "database.restored":  # one page for all who notice it
        return any(abs(at - entry.at) < ONE_EVENT for at, _ in notices.at)
    if entry.kind == "change.proposed":  # one warning for all that one look found
        return (entry.at, entry.processor) in notices.at
    said = (entry.at, entry.processor, canonical(json.loads(entry.body)))
    return entry.hash in notices.heads or said in notices.bodies


def detail(wrong: Sequence[str], right: str) -> str:
    """Return the first of what is *wrong* and how many there are, or *right*."""
    if not wrong:
        return right
    more = len(wrong) - _SHOWN
    return f"wrong: {', '.join(wrong[:_SHOWN])}" + (f" and {more} more" if more > 0 else "")


def _key(entry: Entry, said: Mapping[str, Any]) -> Key:
    return entry.processor, said["rule"], said["key"]


def _name(key: Key) -> str:
    return " ".join(map(str, key))


def _plain(value: object) -> str:
    return json.dumps(value, sort_keys=True)
