"""Why a date was what it was: counted again by the calendars and rules that the log seals. Pure.

Each entry that gives a duty its last day names the calendar that it was counted by; the rules are
those of the newest ``rules.used`` before it. A process writes that entry after its settings hold,
so the set that is written next is tried, too. What is counted again by an older set (it has ended,
or its rule is off or gone) names the entry that seals it (``rules_of``), and that set must have
given it the day it had before, too. What cannot be counted to the day that stands there
was not counted by what is sealed. Entries from before the first set of rules (a log that an older
release began) are left out: nothing says what they were counted by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import Any, Final, TypeAlias

from monitor.calendars import BadCalendar, Year, parse_year
from monitor.chain import Entry
from monitor.duties import deadline_under
from monitor.facts import Instant
from monitor.rules import Rule, RuleError
from monitor.workdays import Calendar, Deadline, Uncountable, beijing_day, overdue_from

RULES_USED: Final = "rules.used"
RULES_OF: Final = "rules_of"
"""What an entry calls the number of the one that seals the rules it was still counted by."""

GIVES_A_DAY: Final = frozenset({"duty.opened", "duty.moved", "duty.due_moved"})
"""The kinds of entry for which a duty's last day was counted; others repeat an older one."""

Years: TypeAlias = Mapping[str, Sequence[Year]]
"""By version; two texts of one version are both tried."""

_NAMES: Final = frozenset(field.name for field in fields(Rule))
_DATES: Final = ("fixed_date", "since", "before")
_NEEDED: Final = ("rule", "key", "trigger_day", "due_day", "due_between", "calendar_version")
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A last day as an entry or a duty has it; *instants* are those that may have begun it.

    *rules_of* is the entry that seals the older rules by which it was still counted, and *was*
    the day before that.
    """

    rule: str
    key: str
    trigger_day: date
    first: date
    last: date
    provisional: bool
    due_at: Instant | None
    calendar_version: str
    instants: Sequence[Instant]
    rules_of: int | None = None
    was: Claim | None = None

    def is_of(self, deadline: Deadline) -> bool:
        """Tell whether *deadline* is the one that stands there."""
        ours = (self.first, self.last, self.provisional, self.due_at)
        return ours == (*deadline.days, deadline.provisional, deadline.due_at)


def claim_of(entry: Entry) -> Claim | None:
    """Return the last day that *entry* gives a duty, or None if it gives none that we can read."""
    if entry.kind not in GIVES_A_DAY:
        return None
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        body = json.loads(entry.body)
        found = _claim(body if entry.kind == "duty.opened" else body.get("after"))
        rules_of = body.get(RULES_OF)
        if found is None or rules_of is None:
            return found
        named = rules_of if isinstance(rules_of, int) else 0  # no entry has that number
        return replace(found, rules_of=named, was=_before(body, found))
    return None


def _before(body: Mapping[str, Any], after: Claim) -> Claim | None:
    """Return the day that the same duty had before, of the same trigger day."""
    with suppress(ValueError, TypeError, AttributeError):
        was = _claim(body.get("before"))
        ours = (after.rule, after.key, after.trigger_day)
        if was is not None and (was.rule, was.key, was.trigger_day) == ours:
            return was
    return None


def _claim(said: object) -> Claim | None:
    if not isinstance(said, dict) or any(name not in said for name in _NEEDED):
        return None
    due, between, due_at = said["due_day"], said["due_between"], said.get("due_at")
    first, _, last = (between or f"{due}/{due}").partition("/")
    proof, day = said.get("proof") or {}, date.fromisoformat(said["trigger_day"])
    return Claim(
        rule=said["rule"],
        key=said["key"],
        trigger_day=day,
        first=date.fromisoformat(first),
        last=date.fromisoformat(last),
        provisional=due is None,
        due_at=None if due_at is None else _instant(due_at),
        calendar_version=said["calendar_version"],
        instants=_instants(proof, day),
    )


def _instant(text: str) -> Instant:
    since = datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1)


def _instants(proof: Mapping[str, Any], day: date) -> list[Instant]:
    """Return the instants of *day* from which a clock of hours may run, by its *proof*."""
    corrected = proof.get("corrected") or {}
    told = (proof.get("trigger_at"), proof.get("at"), corrected.get("found_at"))
    found = [at for at in told if isinstance(at, int) and beijing_day(at) == day]
    return found if found and not corrected else [*found, overdue_from(day - _ONE_DAY)]


def rules_from(told: object) -> dict[str, Rule]:
    """Return by id the rules that an entry seals; what is none of ours is left out."""
    found = {}
    for one in told if isinstance(told, list) else ():
        with suppress(RuleError, TypeError, ValueError, AttributeError):
            said = {name: value for name, value in one.items() if name in _NAMES}
            days = {name: date.fromisoformat(said[name]) for name in _DATES if said.get(name)}
            rule = Rule(**said | days)
            found[rule.id] = rule
    return found


def years_from(texts: Iterable[tuple[int, str]]) -> dict[str, list[Year]]:
    """Return the years in *texts* by version; a text that is no year is left out."""
    found: dict[str, list[Year]] = {}
    for number, text in texts:
        with suppress(BadCalendar):
            year = parse_year(f"{number}.toml", text)
            known = found.setdefault(year.version, [])
            if year not in known:
                known.append(year)
    return found


def calendars_of(version: str, years: Years) -> Iterator[Calendar]:
    """Yield each calendar that may have been called *version*; none if a year of it is missing."""
    for some in product(*(years.get(one, ()) for one in version.split("+"))):
        with suppress(BadCalendar):
            yield Calendar(some)


def found_by(
    claim: Claim, sets: Iterable[Mapping[str, Rule]], years: Years
) -> tuple[Rule, Calendar] | None:
    """Return the rule and the calendar that give the day of *claim*; the first of *sets* wins.

    None: it is not what they count to.
    """
    calendars = list(calendars_of(claim.calendar_version, years))
    for rules in sets:
        rule = rules.get(claim.rule)
        for calendar in calendars if rule is not None else ():
            assert rule is not None  # noqa: S101 - else there is nothing to go through
            if any(claim.is_of(one) for one in _counted(rule, claim, calendar)):
                return rule, calendar
    return None


def _counted(rule: Rule, claim: Claim, calendar: Calendar) -> Iterator[Deadline]:
    for at in claim.instants:
        with suppress(RuleError, Uncountable, OverflowError, ValueError):
            yield deadline_under(rule, claim.trigger_day, calendar, at)


class Recount:
    """Counts every last day of a log again, entry by entry.

    Memory grows with the sets of rules, and not with the log.
    """

    def __init__(self, years: Years) -> None:
        self._years = years
        self._rules: dict[str, Rule] | None = None
        self._sets: dict[int, dict[str, Rule]] = {}
        self._waiting: list[tuple[int, Claim]] = []
        self.wrong: list[tuple[int, str]] = []
        self.days = 0  # that were counted again

    def hear(self, entry: Entry) -> None:
        """Go on to *entry*."""
        if entry.kind == RULES_USED:
            self._use(entry)
        elif self._rules is not None and (claim := claim_of(entry)) is not None:
            self.days += 1
            if claim.rules_of is not None:
                self._carried(entry.seq, claim, claim.rules_of)
            elif found_by(claim, [self._rules], self._years) is None:
                self._waiting.append((entry.seq, claim))

    def end(self) -> list[tuple[int, str]]:
        """Return each entry whose day is not what the sealed calendars and rules count to."""
        self._settle({})
        return self.wrong

    def _use(self, entry: Entry) -> None:
        with suppress(ValueError, RecursionError):
            body = json.loads(entry.body)
            rules = rules_from(body.get("rules") if isinstance(body, dict) else None)
            self._settle(rules)
            self._rules = self._sets[entry.seq] = rules

    def _carried(self, seq: int, claim: Claim, rules_of: int) -> None:
        """Ask the rules that *claim* names whether they gave its day, and the one before it."""
        rules = self._sets.get(rules_of, {})
        for one in (claim.was, claim):
            if one is None or found_by(one, [rules], self._years) is None:
                self.wrong.append((seq, self._why(claim)))
                return

    def _settle(self, rules: Mapping[str, Rule]) -> None:
        for seq, claim in self._waiting:
            if found_by(claim, [rules], self._years) is None:
                self.wrong.append((seq, self._why(claim)))
        self._waiting.clear()

    def _why(self, claim: Claim) -> str:
        version = claim.calendar_version
        missing = sorted(one for one in version.split("+") if one not in self._years)
        if missing:
            return f"it was counted by calendar {', '.join(missing)}, which no entry seals"
        shown = claim.first if claim.first == claim.last else f"{claim.first} to {claim.last}"
        return (
            f"{claim.rule} of {claim.trigger_day} does not end on {shown} by the calendars and "
            "rules that the log seals"
        )
