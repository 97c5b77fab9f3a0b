"""What the law asks, as rows: who must do something, from which number or event on, by when.

``SHIPPED`` is the table of the statute and its neighbours, each row with its article. Only the
rows about filing at 100,000 individuals are on; users switch on the others, change rows by id or
add their own. ``monitor.rule`` says what a row is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date
from typing import Any

from monitor.rule import (
    CHANGED,
    COUNTED,
    HEARD,
    PI_INDIVIDUALS,
    TERMINATED,
    Comparator,
    Measure,
    Rule,
    RuleError,
    Unit,
    check_applies,
    is_name,
    without_idle_clock,
)

__all__ = [
    "CHANGED",
    "COUNTED",
    "HEARD",
    "IN_FORCE",
    "PI_INDIVIDUALS",
    "SHIPPED",
    "TERMINATED",
    "Comparator",
    "Measure",
    "Rule",
    "RuleError",
    "Unit",
    "event_rules",
    "is_name",
    "number_rules",
    "rule_for_trigger",
    "stock_rules",
    "with_overrides",
]

IN_FORCE = date(2025, 6, 1)
"""The Measures are in force from this day on (Order No. 19 of CAC and MPS, art. 20)."""

_SETTABLE: Mapping[str, type] = {
    "measure": str,
    "comparator": str,
    "at_least": int,
    "number": str,
    "event": str,
    "latch": bool,
    "period": int,
    "unit": str,
    "fixed_date": date,
    "count_trigger_day": bool,
    "recurring": bool,
    "keeps": bool,
    "since": date,
    "enabled": bool,
    "addressee": str,
    "source": str,
}
# What a rule is about stays: duties in the database were opened by it.
_OF_A_ROW = _SETTABLE.keys() - {"measure", "event", "number", "latch", "recurring", "keeps"}
_OF_A_LEGACY_ROW = frozenset({"fixed_date", "enabled", "addressee", "source"})

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
        addressee="the processor; the clock is the authority's",
        source=_GUIDE,
    ),
    Rule(
        id="frt.supplement",
        measure="event",
        event="filing.returned",
        period=10,
        since=IN_FORCE,
        addressee=_PROVINCE,
        source=_GUIDE,
    ),
    Rule(
        id="frt.retain",
        measure="event",
        event="assessment.recorded",
        period=3,
        unit="years",
        keeps=True,
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
        number=PI_INDIVIDUALS,
        period=30,
        since=date(2025, 7, 18),
        enabled=False,
        addressee="city-level cyberspace authority",
        source=_PIO,
    ),
    Rule(
        id="pio.legacy",
        at_least=1_000_000,
        number=PI_INDIVIDUALS,
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
        number=PI_INDIVIDUALS,
        period=2,
        unit="years",
        recurring=True,
        since=date(2025, 5, 1),
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
        since=date(2025, 11, 1),
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
    for table, override in enumerate(overrides):
        try:
            name = _id_of(override, switched)
            known[name] = _changed(known.get(name), name, override)
        except RuleError as exc:
            exc.table = table
            raise
        switched[name] = "enabled" in override
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


def number_rules(rules: Iterable[Rule], number: str | None = None) -> tuple[Rule, ...]:
    """Return the enabled rules, no legacy rows, that a told number may open a duty under."""
    return tuple(
        rule
        for rule in rules
        if rule.enabled
        and rule.legacy_of is None
        and rule.number is not None
        and number in {None, rule.number}
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


def _id_of(override: Mapping[str, Any], seen: Mapping[str, bool]) -> str:
    name = override.get("id")
    if not isinstance(name, str):
        raise RuleError("?", "id", "every [[rules]] table needs an id in quotes")
    if name in seen:
        raise RuleError(name, "id", "is there twice; merge the two tables")
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
    made = replace(rule, **fields) if rule is not None else _own(name, fields)
    check_applies(made, fields)
    return without_idle_clock(made)


def _own(name: str, fields: Mapping[str, Any]) -> Rule:
    event = fields.get("event")
    if isinstance(event, str) and event.startswith("filing."):
        what = "only frt.review and frt.supplement are about steps of a filing; use another kind"
        raise RuleError(name, "event", what)
    if event in COUNTED:
        what = "a face that is stored or removed is counted and opens nothing; use another kind"
        raise RuleError(name, "event", what)
    return Rule(id=name, **fields)


def _settable(rule: Rule | None) -> AbstractSet[str]:
    if rule is None:
        return _SETTABLE.keys()
    return _OF_A_LEGACY_ROW if rule.legacy_of else _OF_A_ROW


def _following(rule: Rule, of: Rule, switched: bool) -> Rule:  # noqa: FBT001 - private
    enabled = rule.enabled if switched else of.enabled
    return replace(rule, comparator=of.comparator, at_least=of.at_least, enabled=enabled)
