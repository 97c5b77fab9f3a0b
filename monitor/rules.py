"""What the law asks, as rows: who must do something, from which number or event on, by when.

``SHIPPED`` is the table of the statute and its neighbours, each row with its article. Only the
rows about filing at 100,000 individuals are on; the others are held so that the same engine can
run them once what they measure is listened to. Users change rows by id or add their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal, TypeAlias, get_args

Measure: TypeAlias = Literal["stock", "event", "external"]
Comparator: TypeAlias = Literal[">=", ">"]
Unit: TypeAlias = Literal[
    "working_days", "calendar_days", "hours", "years", "fixed_date", "at_once"
]

CHANGED = "registration.changed"
TERMINATED = "processor.terminated"
HEARD = frozenset({CHANGED, TERMINATED})
"""The kinds of event that open duties in this release."""

IN_FORCE = date(2025, 6, 1)
"""The Measures are in force from this day on (Order No. 19 of CAC and MPS, art. 20)."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "measure": get_args(Measure),
    "comparator": get_args(Comparator),
    "unit": get_args(Unit),
}
_SETTABLE: Mapping[str, type] = {
    "measure": str,
    "comparator": str,
    "at_least": int,
    "period": int,
    "unit": str,
    "fixed_date": date,
    "count_trigger_day": bool,
    "since": date,
    "event": str,
    "enabled": bool,
    "addressee": str,
    "source": str,
}
# What a rule is about stays: duties in the database were opened by it.
_OF_A_ROW = _SETTABLE.keys() - {"measure", "event"}
_OF_A_LEGACY_ROW = frozenset({"fixed_date", "enabled", "addressee", "source"})
_ID = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_ID_LENGTH = 64
_CLOCKS = frozenset({"working_days", "calendar_days", "years", "fixed_date"})


class RuleError(ValueError):
    """A rule cannot be used. The message names rule and field and says what to do."""

    def __init__(self, rule: str, field: str, what: str) -> None:
        super().__init__(f"rule {rule!r}: {field}: {what}")
        self.rule = rule
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row. A rule that exists is complete; one that is enabled can be run.

    ``stock``: reached when *individuals* ``comparator`` *at_least* holds for the first time.
    ``event``: each event of the kind *event* opens a duty. ``external``: a number that we are
    not told yet. The clock is *period* of *unit*, or ends on *fixed_date*.

    Trigger days before *since* open no duty under this rule; if another row is its legacy row
    (*legacy_of*), that one holds for trigger days before the legacy row's *before*.
    """

    id: str
    measure: Measure = "stock"
    comparator: Comparator = ">="
    at_least: int | None = None
    period: int | None = None
    unit: Unit = "working_days"
    fixed_date: date | None = None
    count_trigger_day: bool = False  # one day stricter than the official dates
    since: date | None = None
    before: date | None = None
    legacy_of: str | None = None
    event: str | None = None
    recurring: bool = False
    enabled: bool = True
    addressee: str = ""
    source: str = "settings"

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id) or len(self.id) > _ID_LENGTH:
            raise RuleError(self.id, "id", "use small letters, digits, '.', '_', '-', at most 64")
        for field, choices in _CHOICES.items():
            if getattr(self, field) not in choices:
                raise RuleError(self.id, field, f"must be one of {', '.join(choices)}")
        self._check_measure()
        self._check_clock()
        if self.enabled:
            self._check_built()

    @property
    def latched(self) -> bool:
        """One duty per processor until re-armed; otherwise one duty per event."""
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
        elif self.at_least is None or self.at_least < 1:
            raise RuleError(self.id, "at_least", "give a number of individuals from 1 on")

    def _check_clock(self) -> None:
        if self.unit == "fixed_date":
            if self.fixed_date is None:
                raise RuleError(self.id, "fixed_date", "give the last day, such as 2025-07-14")
        elif self.unit != "at_once" and (self.period is None or self.period < 1):
            raise RuleError(self.id, "period", f"give a number of {self.unit} from 1 on")

    def _check_built(self) -> None:
        """Refuse to look as if a duty were watched that would never be opened."""
        if self.measure == "external":
            raise RuleError(self.id, "enabled", "its number cannot be read in yet; leave it off")
        if self.unit not in _CLOCKS or self.recurring:
            raise RuleError(self.id, "enabled", "its kind of clock is not built yet; leave it off")
        if self.measure == "event" and self.event not in HEARD:
            kinds = " and ".join(sorted(HEARD))
            raise RuleError(self.id, "enabled", f"only {kinds} are listened to; leave it off")


_PROVINCE = "provincial-level or higher cyberspace authority"
_ART_15 = "Order No. 19 (CAC, MPS), art. 15"
_ANNOUNCEMENT = "CAC announcement of 2025-05-30"
_GUIDE = "CAC filing guide"
_ART_9 = "Order No. 19 (CAC, MPS), art. 9"
_PIO = "CAC announcement of 2025-07-18"

SHIPPED: tuple[Rule, ...] = (
    Rule(
        id="frt.file",
        at_least=100_000,
        period=30,
        since=IN_FORCE,
        addressee=_PROVINCE,
        source=_ART_15,
    ),
    Rule(
        id="frt.file.legacy",
        at_least=100_000,
        unit="fixed_date",
        fixed_date=date(2025, 7, 14),
        before=IN_FORCE,
        legacy_of="frt.file",
        addressee=_PROVINCE,
        source=_ANNOUNCEMENT,
    ),
    Rule(
        id="frt.change",
        measure="event",
        event=CHANGED,
        period=30,
        since=IN_FORCE,
        addressee=_PROVINCE,
        source=_ART_15,
    ),
    Rule(
        id="frt.cancel",
        measure="event",
        event=TERMINATED,
        period=30,
        since=IN_FORCE,
        addressee=_PROVINCE,
        source=_ART_15,
    ),
    Rule(
        id="frt.review",
        measure="event",
        event="filing.submitted",
        period=15,
        since=IN_FORCE,
        enabled=False,
        addressee="the processor; the clock is the authority's",
        source=_GUIDE,
    ),
    Rule(
        id="frt.supplement",
        measure="event",
        event="filing.returned",
        period=10,
        since=IN_FORCE,
        enabled=False,
        addressee=_PROVINCE,
        source=_GUIDE,
    ),
    Rule(
        id="frt.retain",
        measure="event",
        event="assessment.recorded",
        period=3,
        unit="years",
        enabled=False,
        addressee="the processor keeps it",
        source=_ART_9,
    ),
    Rule(
        id="frt.pipia",
        measure="event",
        event="assessment.missing",
        unit="at_once",
        since=IN_FORCE,
        enabled=False,
        addressee="the processor",
        source=_ART_9,
    ),
    Rule(
        id="pio.report",
        at_least=1_000_000,
        period=30,
        since=date(2025, 7, 18),
        enabled=False,
        addressee="city-level cyberspace authority",
        source=_PIO,
    ),
    Rule(
        id="pio.legacy",
        at_least=1_000_000,
        unit="fixed_date",
        fixed_date=date(2025, 8, 29),
        before=date(2025, 7, 18),
        legacy_of="pio.report",
        enabled=False,
        addressee="city-level cyberspace authority",
        source=_PIO,
    ),
    Rule(
        id="audit.periodic",
        measure="external",
        comparator=">",
        at_least=10_000_000,
        period=2,
        unit="years",
        recurring=True,
        enabled=False,
        addressee="the processor",
        source="Compliance Audit Measures, art. 4, in force 2025-05-01",
    ),
    Rule(
        id="incident.other",
        measure="event",
        event="incident.graded",
        period=4,
        unit="hours",
        enabled=False,
        addressee="cyberspace authority",
        source="Incident Reporting Measures, in force 2025-11-01",
    ),
)


def with_overrides(
    rules: Iterable[Rule], overrides: Iterable[Mapping[str, Any]]
) -> tuple[Rule, ...]:
    """Return *rules* with the settings' ``[[rules]]`` applied: changed by id, or added.

    A legacy row always has the threshold of the rule that it stands in for, and is switched on
    and off with it unless it is switched itself. Raises RuleError.
    """
    known = {rule.id: rule for rule in rules}
    switched: dict[str, bool] = {}
    for override in overrides:
        name = _id_of(override)
        if name in switched:
            raise RuleError(name, "id", "is there twice; merge the two tables")
        switched[name] = "enabled" in override
        known[name] = _changed(known.get(name), name, override)
    return tuple(
        _following(rule, known[rule.legacy_of], switched.get(rule.id, False))
        if rule.legacy_of
        else rule
        for rule in known.values()
    )


def stock_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the enabled stock rules that have a threshold of their own: no legacy rows."""
    return tuple(
        rule
        for rule in rules
        if rule.enabled and rule.measure == "stock" and rule.legacy_of is None
    )


def event_rules(rules: Iterable[Rule], event: str) -> tuple[Rule, ...]:
    """Return the enabled rules that an event of this kind may open a duty under."""
    return tuple(
        rule for rule in rules if rule.enabled and rule.measure == "event" and rule.event == event
    )


def rule_for_trigger(rules: Iterable[Rule], rule_id: str, trigger_day: date) -> Rule | None:
    """Return the row under which a trigger on *trigger_day* opens a duty, or None: it opens none.

    *rule_id* may name a rule or its legacy row, either gives the same answer. None for a rule
    that is unknown or off, and for a trigger before the rule held that no legacy row covers.
    """
    known = {rule.id: rule for rule in rules}
    rule = known.get(rule_id)
    if rule is not None and rule.legacy_of is not None:
        rule = known.get(rule.legacy_of)
    if rule is None or not rule.enabled:
        return None
    for legacy in known.values():
        if legacy.legacy_of == rule.id and legacy.before and trigger_day < legacy.before:
            return legacy if legacy.enabled else None
    return None if rule.since and trigger_day < rule.since else rule


def _id_of(override: Mapping[str, Any]) -> str:
    name = override.get("id")
    if not isinstance(name, str):
        raise RuleError("?", "id", "every [[rules]] table needs an id in quotes")
    return name


def _changed(rule: Rule | None, name: str, override: Mapping[str, Any]) -> Rule:
    settable = _settable(rule)
    fields = {field: value for field, value in override.items() if field != "id"}
    for field, value in fields.items():
        if field not in settable:
            raise RuleError(name, field, f"cannot be set; use one of {', '.join(sorted(settable))}")
        # type() and not isinstance(): true is no number, and an instant is no day.
        if type(value) is not _SETTABLE[field]:
            raise RuleError(name, field, f"must be of type {_SETTABLE[field].__name__}")
    return replace(rule, **fields) if rule is not None else Rule(id=name, **fields)


def _settable(rule: Rule | None) -> AbstractSet[str]:
    if rule is None:
        return _SETTABLE.keys()
    return _OF_A_LEGACY_ROW if rule.legacy_of else _OF_A_ROW


def _following(rule: Rule, of: Rule, switched: bool) -> Rule:  # noqa: FBT001 - private
    enabled = rule.enabled if switched else of.enabled
    return replace(rule, comparator=of.comparator, at_least=of.at_least, enabled=enabled)
