"""Which last days are others now: by a year that was loaded, or by another clock of a rule. Pure.

A last day follows from a rule and a calendar. If both have changed, the rule is counted first, by
the calendar that the duty has, so that each move has one cause and the days of both can be shown.
A duty is never counted back by an older calendar than it has. What has ended keeps the rule by
which it was counted, and is counted again only until it is known whether it was met in time; what
is open while its rule is off or gone is owed as before, so it keeps that rule, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from monitor.calendars import BadCalendar, Year, order
from monitor.duties import Duty, deadline_under, recounted
from monitor.rules import Rule
from monitor.workdays import Calendar


class Cause(StrEnum):
    """Why a last day is another; a closed list, for the audit log."""

    CALENDAR = "calendar"
    RULE = "rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A duty whose last day is another now; of a rule that changed, what it *was* (if known).

    *by* is the place in ``Known.sets`` of the rules it is still counted by; None: by those of now.
    """

    before: Duty
    after: Duty
    why: Cause
    was: Rule | None = None
    rule: Rule | None = None
    by: int | None = None

    @property
    def earlier(self) -> bool:
        """Whether there is less time than was thought: by the early end, which alerts use."""
        return self.after.overdue_at < self.before.overdue_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was ever counted by: *years* by version, and *sets* of rules by id, newest first."""

    years: Mapping[str, Year]
    sets: Sequence[Mapping[str, Rule]] = ()

    def calendar(self, version: str) -> Calendar | None:
        """Return the calendar of this *version*, or None where one of its years is not known."""
        try:
            return Calendar(tuple(self.years[one] for one in version.split("+")))
        except (KeyError, BadCalendar):
            return None


def is_older(version: str, ours: str) -> bool:
    """Tell whether the calendar *version* has no year, and none higher, that *ours* lacks.

    So it is of one that is the same.
    """
    known = _by_year(ours)
    theirs = _by_year(version)
    return all(year in known and order(one) <= order(known[year]) for year, one in theirs.items())


def _by_year(version: str) -> dict[str, str]:
    return {one.partition("-")[0]: one for one in version.split("+")}


class _Counted(NamedTuple):
    """The rule that gave a duty its last day, and of which set it is; None: of those of now."""

    rule: Rule
    by: int | None = None


def moves(duty: Duty, rules: Iterable[Rule], calendar: Calendar, known: Known) -> list[Moved]:
    """Return how the last day of *duty* moves by *rules* and *calendar*, cause by cause."""
    ours = next((rule for rule in rules if rule.id == duty.rule), None)
    version = duty.deadline.calendar_version
    if not is_older(version, calendar.version):
        return []
    used = calendar if version == calendar.version else known.calendar(version)
    was = None if used is None else _counted_by(duty, ours, used, known)
    if ours is None or not ours.enabled:
        return [] if was is None else _by_calendar(duty, was, calendar)
    if duty.closed_at is not None:
        return _by_calendar(duty, was or _Counted(ours), calendar)
    found = []
    changed = was is None or was.rule is not ours
    if used is not None and changed and (was is not None or used is calendar):
        after = recounted(duty, [ours], used)
        assert after is not None  # noqa: S101 - or it would have been counted by ours
        before = None if was is None else was.rule
        found.append(Moved(before=duty, after=after, why=Cause.RULE, was=before, rule=ours))
        duty = after
    return found + _by_calendar(duty, _Counted(ours), calendar)


def _by_calendar(duty: Duty, counted: _Counted, calendar: Calendar) -> list[Moved]:
    after = recounted(duty, [replace(counted.rule, enabled=True)], calendar)
    if after is None:
        return []
    return [Moved(before=duty, after=after, why=Cause.CALENDAR, by=counted.by)]


def _counted_by(duty: Duty, ours: Rule | None, used: Calendar, known: Known) -> _Counted | None:
    """Return the rule that gives *duty* its last day by the calendar it has: ours, if it does."""
    sets = ((rules.get(duty.rule), place) for place, rules in enumerate(known.sets))
    for rule, place in ((ours, None), *sets):
        if rule is not None:
            deadline = deadline_under(rule, duty.trigger_day, used, duty.trigger_at)
            if replace(deadline, calendar_version=duty.deadline.calendar_version) == duty.deadline:
                return _Counted(rule, place)
    return None


_CLOCK = ("period", "unit", "fixed_date", "count_trigger_day")


def clock_of(rule: Rule | None) -> dict[str, object] | None:
    """Return what of *rule* a last day hangs on, as JSON says it."""
    if rule is None:
        return None
    said = {name: getattr(rule, name) for name in _CLOCK}
    return {
        name: value if isinstance(value, (int, str)) else value.isoformat()
        for name, value in said.items()
        if value is not None
    }
