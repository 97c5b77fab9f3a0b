"""By which rule and calendar the last day of a duty was counted, as they were kept.

Settings and calendars change, and what is closed is not counted again: years later its day can only
be explained by what held then. Versions are those of the calendars that were used, rules are those
of the audit log (``calendars.note_used``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import Any, TypeAlias

from sqlalchemy import Connection

from monitor.bundle import RULES_USED
from monitor.calendars import BadCalendar
from monitor.duties import Duty, deadline_under
from monitor.recounting import GIVES_A_DAY, RULES_OF
from monitor.rules import Rule, RuleError
from monitor.store import audit, calendars
from monitor.workdays import Calendar, Uncountable

_DATES = ("fixed_date", "since", "before")
_Key: TypeAlias = tuple[str | None, object, object]
_Told: TypeAlias = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a last day was counted by; *rule* None: no settings that are known have it.

    *proves* tells whether they do count to it.
    """

    rule: Rule | None
    calendar: Calendar
    proves: bool


def bases(
    connection: Connection, duties: Sequence[Duty], rules: Iterable[Rule], calendar: Calendar
) -> list[Basis]:
    """Return what the last day of each of *duties* was counted by, in their order.

    What was not kept is taken from *rules* and *calendar*, those of now.
    """
    now = list(rules)
    then = _rules_then(connection)
    years = {one.sheet.year.version: one.sheet.year for one in calendars.kept(connection)}
    years |= {year.version: year for year in calendar.years}
    found = []
    for duty in duties:
        versions = duty.deadline.calendar_version.split("+")
        try:
            used = Calendar(tuple(years[version] for version in versions))
        except (KeyError, BadCalendar):
            used = calendar
        told = [
            _rule(one, duty.rule) for one in then.get((duty.processor, duty.rule, duty.key), ())
        ]
        held = [*told, *(one for one in now if one.id == duty.rule)]
        known = [one for one in held if one is not None]
        fits = next((one for one in known if _gives(one, duty, used)), None)
        rule = fits or (known[0] if known else None)
        found.append(Basis(rule=rule, calendar=used, proves=fits is not None))
    return found


def _gives(rule: Rule, duty: Duty, calendar: Calendar) -> bool:
    """Tell whether *duty* has the last day that *rule* gives by *calendar*."""
    try:
        counted = deadline_under(rule, duty.trigger_day, calendar, duty.trigger_at)
    except (Uncountable, RuleError, ValueError, OverflowError):
        return False
    return counted.days == duty.deadline.days


def _rules_then(connection: Connection) -> Mapping[_Key, Sequence[_Told]]:
    """Return the sets of rules that may have held when the last day of each duty was counted.

    A process writes its set down just after it holds: first the one before, then the next. What
    was still counted by an older set names the entry of that one, and no other held for it.
    """
    sets: list[_Told] = [()]
    places: dict[object, int] = {}
    counted: dict[_Key, slice] = {}
    for entry in audit.entries(connection):
        if entry.kind == RULES_USED:
            places[entry.seq] = len(sets)
            sets.append(json.loads(entry.body)["rules"])
        elif entry.kind in GIVES_A_DAY:
            body = json.loads(entry.body)
            after = body.get("after", body)
            named = places.get(body.get(RULES_OF))
            held = slice(len(sets) - 1, len(sets) + 1) if named is None else slice(named, named + 1)
            counted[entry.processor, after["rule"], after["key"]] = held
    return {key: sets[held] for key, held in counted.items()}


def _rule(told: Iterable[Mapping[str, Any]], wanted: str) -> Rule | None:
    """Return the rule with the id that is *wanted*, as the audit log has it."""
    known = {one.name for one in fields(Rule)}
    for row in told:
        if row["id"] == wanted:
            said = {name: value for name, value in row.items() if name in known}
            days = {name: said[name] for name in _DATES if said.get(name) is not None}
            return Rule(**said | {name: date.fromisoformat(day) for name, day in days.items()})
    return None
