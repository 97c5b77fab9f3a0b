"""One rule as a value: every column of the table, and the checks that make a row complete.

A rule that exists can be read; one that is *enabled* can be run, each kind of measure and clock
that there is. What cannot be run is refused where the rule is made, with the field to mend.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal, TypeAlias, get_args

Measure: TypeAlias = Literal["stock", "event", "external"]
Comparator: TypeAlias = Literal[">=", ">"]
Unit: TypeAlias = Literal[
    "working_days", "calendar_days", "hours", "years", "fixed_date", "at_once"
]

CHANGED = "registration.changed"
TERMINATED = "processor.terminated"
SUBMITTED = "filing.submitted"
RETURNED = "filing.returned"
HEARD = frozenset({CHANGED, TERMINATED, SUBMITTED, RETURNED})
"""The kinds of event that come in with the stream; a person tells of any other one."""

COUNTED = frozenset(
    {
        "census.began",
        "census.ended",
        "census.listed",
        "face.enrolled",
        "face.removed",
        "gallery.purged",
        "subject.linked",
        "subject.removed",
        "subject.unlinked",
        "system.purged",
    }
)
"""What the stream says of storage: it changes the number, and opens no duty by itself."""

PI_INDIVIDUALS = "pi.individuals"
"""The external number of the shipped rules: individuals whose personal information is handled."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "measure": get_args(Measure),
    "comparator": get_args(Comparator),
    "unit": get_args(Unit),
}
_NAME = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_NAME_LENGTH = 64
_LETTERS = "use small letters, digits, '.', '_', '-', at most 64"
_RECURS = frozenset({"years", "calendar_days"})
_COUNTS_DAYS = frozenset({"working_days", "calendar_days"})
LARGEST = 10**12
"""More than there are people: no number that is told or asked for is larger."""

_A_CENTURY: Mapping[str, int] = {
    "working_days": 25_000,
    "calendar_days": 36_525,
    "hours": 876_600,
    "years": 100,
}
_NOT_OF_EVENTS = ("at_least", "comparator")


class RuleError(ValueError):
    """A rule cannot be used. The message names rule and field and says what to do.

    *table* is the number of the ``[[rules]]`` table that it came from, from 0 on, where known.
    """

    def __init__(self, rule: str, field: str, what: str) -> None:
        super().__init__(f"rule {rule!r}: {field}: {what}")
        self.rule = rule
        self.field = field
        self.table: int | None = None


def is_name(text: str) -> bool:
    """Tell whether *text* can be the id of a rule, the kind of an event or a told number."""
    return _NAME.fullmatch(text) is not None and len(text) <= _NAME_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row. A rule that exists is complete; one that is enabled can be run.

    ``stock``: reached when *individuals* ``comparator`` *at_least* holds for the first time; a
    person who tells of the *number*, if it names one, can reach it too. ``external``: the same of
    the *number* alone. ``event``: an event of the kind *event* opens a duty.

    With *latch* there is one duty per processor until a person annuls it or the filing is
    cancelled; None is what the measure asks for: numbers latch, and so does the end of FR use.

    The clock is *period* of *unit*, or ends on *fixed_date*, or on the trigger day itself
    (``at_once``). A *recurring* one, of an external number, begins again on each last day, for as
    long as the number is reached. *keeps* turns the duty round: something is to be kept up to the
    last day, with which the duty ends by itself.

    Trigger days before *since* open no duty under this rule; if another row is its legacy row
    (*legacy_of*), that one holds for trigger days before the legacy row's *before*.
    """

    id: str
    measure: Measure = "stock"
    comparator: Comparator = ">="
    at_least: int | None = None
    number: str | None = None
    event: str | None = None
    latch: bool | None = None
    period: int | None = None
    unit: Unit = "working_days"
    fixed_date: date | None = None
    count_trigger_day: bool = False  # one day stricter than the official dates
    recurring: bool = False
    keeps: bool = False
    since: date | None = None
    before: date | None = None
    legacy_of: str | None = None
    enabled: bool = True
    addressee: str = ""
    source: str = "settings"

    def __post_init__(self) -> None:
        if not is_name(self.id):
            raise RuleError(self.id, "id", _LETTERS)
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise RuleError(self.id, field, f"must be one of {', '.join(choices)}")
        self._check_measure()
        self._check_clock()
        self._check_life()

    @property
    def latched(self) -> bool:
        """One duty per processor until re-armed; otherwise one duty per event."""
        if self.latch is not None:
            return self.latch
        return self.measure != "event" or self.event == TERMINATED

    @property
    def reached_at(self) -> int:
        """The smallest number of individuals that reaches the threshold."""
        if self.at_least is None:
            raise RuleError(self.id, "at_least", "has no threshold; ask only of stock rules")
        return self.at_least + (self.comparator == ">")

    def _check_measure(self) -> None:
        if self.measure == "event":
            if not self.event:
                raise RuleError(self.id, "event", f"give its kind, such as {CHANGED}")
            if not is_name(self.event):
                raise RuleError(self.id, "event", _LETTERS)
        elif self.at_least is None or self.at_least < 1:
            raise RuleError(self.id, "at_least", "give a number of individuals from 1 on")
        elif self.at_least > LARGEST:
            raise RuleError(self.id, "at_least", f"give a number up to {LARGEST:,}")
        if self.number is not None and not is_name(self.number):
            raise RuleError(self.id, "number", _LETTERS)
        if self.measure == "external" and self.number is None:
            raise RuleError(self.id, "number", f"give its name, such as {PI_INDIVIDUALS}")
        if self.measure == "event" and self.number is not None:
            raise RuleError(self.id, "number", "an event has none; leave it out")

    def _check_clock(self) -> None:
        if self.unit == "fixed_date":
            if self.fixed_date is None:
                raise RuleError(self.id, "fixed_date", "give the last day, such as 2025-07-14")
        elif self.unit != "at_once" and (self.period is None or self.period < 1):
            raise RuleError(self.id, "period", f"give a number of {self.unit} from 1 on")
        elif self.unit in _A_CENTURY and (self.period or 0) > _A_CENTURY[self.unit]:
            most = f"{_A_CENTURY[self.unit]:,} {self.unit}"
            raise RuleError(self.id, "period", f"give at most {most}, which is a century")
        if self.count_trigger_day and self.unit not in _COUNTS_DAYS:
            raise RuleError(
                self.id, "count_trigger_day", f"{self.unit} count no days; leave it out"
            )

    def _check_life(self) -> None:
        """Refuse to look as if a duty were watched that would never be opened, or never end."""
        if self.latch is False and self.measure != "event":
            raise RuleError(self.id, "latch", "a number is reached once; leave it out")
        if self.recurring and self.unit not in _RECURS:
            raise RuleError(self.id, "recurring", "only years and calendar_days recur")
        if self.recurring and self.measure != "external":
            raise RuleError(self.id, "recurring", 'only a told number recurs; measure = "external"')
        if self.keeps and (self.measure != "event" or self.unit not in _RECURS):
            raise RuleError(self.id, "keeps", "only events are kept, for years or calendar_days")


def without_idle_clock(rule: Rule) -> Rule:
    """Return *rule* without a period where its clock has none.

    Of a shipped rule that was given another unit the old period means nothing.
    """
    return rule if _has_period(rule) else replace(rule, period=None)


def check_applies(rule: Rule, given: Collection[str]) -> None:
    """Raise RuleError if a field that was *given* does nothing in *rule*.

    It would look as if it did.
    """
    for field in given:
        if why := _idle(rule, field):
            raise RuleError(rule.id, field, f"{why}, or leave it out")


def _idle(rule: Rule, field: str) -> str | None:
    if field in _NOT_OF_EVENTS and rule.measure == "event":
        return "an event has no number: set measure"
    if field == "event" and rule.measure != "event":
        return f"{rule.measure} is about a number: set measure"
    if field == "period" and not _has_period(rule):
        return f"{rule.unit} has none: set unit"
    if field == "fixed_date" and rule.unit != "fixed_date":
        return f"{rule.unit} have none: set unit"
    return None


def _has_period(rule: Rule) -> bool:
    return rule.unit in _A_CENTURY
