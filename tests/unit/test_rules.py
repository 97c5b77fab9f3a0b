"""The rules as rows: what ships, what settings may change, which row a trigger falls under."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pytest

from monitor.duties import deadline_under
from monitor.rules import (
    CHANGED,
    COUNTED,
    IN_FORCE,
    SHIPPED,
    TERMINATED,
    Rule,
    RuleError,
    event_rules,
    number_rules,
    rule_for_trigger,
    stock_rules,
    with_overrides,
)
from monitor.workdays import load_calendar, overdue_from

ONE_DAY_BEFORE = date(2025, 5, 31)


def row(rules: tuple[Rule, ...], name: str) -> Rule:
    return next(rule for rule in rules if rule.id == name)


# What ships


@pytest.mark.parametrize(
    ("name", "measure", "threshold", "clock"),
    [
        ("frt.file", "stock", (">=", 100_000), (30, "working_days", None)),
        ("frt.file.legacy", "stock", (">=", 100_000), (None, "fixed_date", date(2025, 7, 14))),
        ("frt.change", "event", (">=", None), (30, "working_days", None)),
        ("frt.cancel", "event", (">=", None), (30, "working_days", None)),
        ("frt.review", "event", (">=", None), (15, "working_days", None)),
        ("frt.supplement", "event", (">=", None), (10, "working_days", None)),
        ("frt.retain", "event", (">=", None), (3, "years", None)),
        ("frt.pipia", "event", (">=", None), (None, "at_once", None)),
        ("pio.report", "stock", (">=", 1_000_000), (30, "working_days", None)),
        ("pio.legacy", "stock", (">=", 1_000_000), (None, "fixed_date", date(2025, 8, 29))),
        ("audit.periodic", "external", (">", 10_000_000), (2, "years", None)),
        ("incident.other", "event", (">=", None), (4, "hours", None)),
    ],
)
def test_a_shipped_row_says_what_the_law_says(
    name: str,
    measure: str,
    threshold: tuple[str, int | None],
    clock: tuple[int | None, str, date | None],
) -> None:
    rule = row(SHIPPED, name)

    assert rule.measure == measure
    assert (rule.comparator, rule.at_least) == threshold
    assert (rule.period, rule.unit, rule.fixed_date) == clock
    assert rule.source
    assert rule.addressee


def test_nothing_else_ships() -> None:
    assert len(SHIPPED) == len({rule.id for rule in SHIPPED}) == 12


def test_only_the_rows_about_filing_are_on() -> None:
    assert {rule.id for rule in SHIPPED if rule.enabled} == {
        "frt.file",
        "frt.file.legacy",
        "frt.change",
        "frt.cancel",
        "frt.review",
        "frt.supplement",
    }


@pytest.mark.parametrize(
    ("comparator", "reached_at"),
    [
        # 达到, 以上: the number itself reaches.
        (">=", 100_000),
        # 超过: it does not.
        (">", 100_001),
    ],
)
def test_reaching_includes_the_number_and_exceeding_does_not(
    comparator: str, reached_at: int
) -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "comparator": comparator}])

    assert row(rules, "frt.file").reached_at == reached_at
    assert row(rules, "frt.file.legacy").reached_at == reached_at


def test_a_rule_without_a_threshold_does_not_say_where_it_is_reached() -> None:
    with pytest.raises(RuleError, match="at_least"):
        _ = row(SHIPPED, "frt.change").reached_at


def test_stock_rules_and_the_end_of_use_latch_and_a_change_does_not() -> None:
    assert [rule.id for rule in SHIPPED if rule.enabled and rule.latched] == [
        "frt.file",
        "frt.file.legacy",
        "frt.cancel",
    ]


# Which rules are asked


def test_thresholds_are_the_enabled_stock_rules_without_their_legacy_rows() -> None:
    assert [rule.id for rule in stock_rules(SHIPPED)] == ["frt.file"]


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (CHANGED, ["frt.change"]),
        (TERMINATED, ["frt.cancel"]),
        ("filing.returned", ["frt.supplement"]),
        # Its row is off.
        ("incident.graded", []),
    ],
)
def test_an_event_opens_duties_under_the_rules_of_its_kind(event: str, names: list[str]) -> None:
    assert [rule.id for rule in event_rules(SHIPPED, event)] == names


@pytest.mark.parametrize(
    ("name", "day", "falls_under"),
    [
        # In force from 2025-06-01 on; reached before is the announcement's fixed date.
        ("frt.file", IN_FORCE, "frt.file"),
        ("frt.file", ONE_DAY_BEFORE, "frt.file.legacy"),
        ("frt.file", date(2019, 1, 1), "frt.file.legacy"),
        # Asked by the name of the legacy row, the answer is the same.
        ("frt.file.legacy", IN_FORCE, "frt.file"),
        ("frt.file.legacy", ONE_DAY_BEFORE, "frt.file.legacy"),
        # Changes and terminations before opened nothing.
        ("frt.change", IN_FORCE, "frt.change"),
        ("frt.change", ONE_DAY_BEFORE, None),
        ("frt.cancel", IN_FORCE, "frt.cancel"),
        ("frt.cancel", ONE_DAY_BEFORE, None),
        # Off, and unknown.
        ("pio.report", date(2026, 1, 1), None),
        ("pio.legacy", date(2025, 1, 1), None),
        ("gone", date(2026, 1, 1), None),
    ],
)
def test_the_trigger_day_says_which_row_holds(
    name: str, day: date, falls_under: str | None
) -> None:
    rule = rule_for_trigger(SHIPPED, name, day)

    assert (rule.id if rule else None) == falls_under


def test_an_early_reach_opens_nothing_once_the_legacy_row_is_off() -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file.legacy", "enabled": False}])

    assert rule_for_trigger(rules, "frt.file", ONE_DAY_BEFORE) is None
    assert rule_for_trigger(rules, "frt.file", IN_FORCE) == row(SHIPPED, "frt.file")


def test_a_rule_of_ones_own_holds_for_every_day() -> None:
    rules = with_overrides(SHIPPED, [{"id": "early", "at_least": 90_000, "period": 5}])

    assert rule_for_trigger(rules, "early", date(2019, 1, 1)) == row(rules, "early")


# What settings change


def test_no_overrides_change_nothing() -> None:
    assert with_overrides(SHIPPED, []) == SHIPPED


def test_the_legacy_row_takes_the_threshold_of_its_rule() -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "at_least": 6}])

    assert row(rules, "frt.file").at_least == 6
    assert row(rules, "frt.file.legacy").at_least == 6
    assert row(rules, "pio.legacy").at_least == 1_000_000


def test_all_that_is_not_named_in_an_override_stays() -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "count_trigger_day": True}])

    assert row(rules, "frt.file").count_trigger_day
    assert [rule for rule in rules if rule.id != "frt.file"] == [
        rule for rule in SHIPPED if rule.id != "frt.file"
    ]


def test_a_rule_is_switched_on_with_its_legacy_row() -> None:
    rules = with_overrides(SHIPPED, [{"id": "pio.report", "enabled": True}])

    legacy = rule_for_trigger(rules, "pio.report", date(2025, 7, 17))
    assert legacy == row(rules, "pio.legacy")
    assert rule_for_trigger(rules, "pio.report", date(2025, 7, 18)) == row(rules, "pio.report")
    assert [rule.id for rule in stock_rules(rules)] == ["frt.file", "pio.report"]


def test_a_rule_is_switched_off_with_its_legacy_row() -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "enabled": False}])

    assert stock_rules(rules) == ()
    assert rule_for_trigger(rules, "frt.file", ONE_DAY_BEFORE) is None


def test_the_fixed_date_of_a_legacy_row_can_be_changed() -> None:
    later = date(2025, 7, 31)

    rules = with_overrides(SHIPPED, [{"id": "frt.file.legacy", "fixed_date": later}])

    assert row(rules, "frt.file.legacy").fixed_date == later


def test_a_rule_can_be_added() -> None:
    added = {"id": "own.warning", "at_least": 90_000, "period": 10, "unit": "calendar_days"}

    rules = with_overrides(SHIPPED, [added])

    assert rules[:-1] == SHIPPED
    assert rules[-1] == Rule(
        id="own.warning", at_least=90_000, period=10, unit="calendar_days", source="settings"
    )
    assert [rule.id for rule in stock_rules(rules)] == ["frt.file", "own.warning"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"at_least": 5}, "id: every"),
        ({"id": 5}, "id: every"),
        ({"id": "Own Rule", "at_least": 5, "period": 1}, "'Own Rule': id: use small letters"),
        ({"id": "x" * 65, "at_least": 5, "period": 1}, "id: use small letters"),
        # What is written must be of the right kind, and known.
        ({"id": "frt.file", "at_least": "100000"}, "'frt.file': at_least: must be of type int"),
        ({"id": "frt.file", "at_least": True}, "at_least: must be of type int"),
        ({"id": "frt.file", "enabled": 1}, "enabled: must be of type bool"),
        ({"id": "frt.file", "since": datetime(2025, 6, 1)}, "since: must be of type date"),  # noqa: DTZ001 - as TOML gives it
        ({"id": "frt.file", "atleast": 5}, "atleast: cannot be set; use one of addressee, at_"),
        ({"id": "frt.file", "unit": "weeks"}, "unit: must be one of working_days, calendar"),
        ({"id": "frt.file", "comparator": "="}, "comparator: must be one of >=, >"),
        ({"id": "own", "measure": "faces"}, "measure: must be one of stock, event, external"),
        # Out of range.
        ({"id": "frt.file", "at_least": 0}, "at_least: give a number of individuals from 1 on"),
        ({"id": "frt.file", "period": 0}, "period: give a number of working_days from 1 on"),
        # A new rule must be complete.
        ({"id": "own", "period": 1}, "at_least: give a number"),
        ({"id": "own", "at_least": 5}, "period: give a number"),
        ({"id": "own", "at_least": 5, "unit": "fixed_date"}, "fixed_date: give the last day"),
        ({"id": "own", "measure": "event", "period": 1}, "event: give its kind"),
        # What a shipped rule is about stays, and the legacy row follows its rule.
        ({"id": "frt.file", "measure": "event"}, "measure: cannot be set"),
        ({"id": "frt.change", "event": TERMINATED}, "event: cannot be set"),
        ({"id": "frt.file.legacy", "at_least": 5}, "at_least: cannot be set"),
        ({"id": "audit.periodic", "recurring": False}, "recurring: cannot be set"),
        # A rule that would never open a duty, or never end one, must not look as if it did.
        ({"id": "own", "at_least": 5, "measure": "external", "period": 1}, "number: give its name"),
        ({"id": "own", "measure": "event", "event": "No Kind", "period": 1}, "event: use small"),
        ({"id": "own", "at_least": 5, "number": "No Name", "period": 1}, "number: use small"),
        (
            {"id": "own", "measure": "event", "event": "e", "number": "n", "period": 1},
            "number: an event has none",
        ),
        ({"id": "own", "at_least": 5, "period": 1, "latch": False}, "latch: a number is reached"),
        ({"id": "own", "at_least": 5, "period": 1, "recurring": True}, "recurring: only years"),
        (
            {"id": "own", "at_least": 5, "period": 1, "unit": "years", "recurring": True},
            "recurring: only a told number recurs",
        ),
        (
            {
                "id": "own",
                "measure": "event",
                "event": "e",
                "period": 1,
                "unit": "years",
                "recurring": True,
            },
            "recurring: only a told number recurs",
        ),
        ({"id": "own", "at_least": 5, "period": 1, "unit": "years", "keeps": True}, "keeps: only"),
        (
            {"id": "own", "measure": "event", "event": "e", "period": 1, "keeps": True},
            "keeps: only events are kept, for years",
        ),
        (
            {
                "id": "own",
                "measure": "event",
                "event": "e",
                "latch": True,
                "recurring": True,
                "period": 1,
                "unit": "years",
                "keeps": True,
            },
            "recurring: only a told number recurs",
        ),
        (
            {"id": "own", "at_least": 5, "period": 1, "unit": "hours", "count_trigger_day": True},
            "count_trigger_day: hours count no days",
        ),
        # What does nothing must not look as if it did.
        (
            {"id": "own", "measure": "event", "event": "e", "period": 1, "at_least": 9},
            "at_least: an event has no number",
        ),
        (
            {"id": "own", "measure": "event", "event": "e", "period": 1, "comparator": ">="},
            "comparator: an event has no number",
        ),
        ({"id": "frt.change", "at_least": 9}, "at_least: an event has no number"),
        ({"id": "own", "at_least": 5, "period": 1, "event": "e"}, "event: stock is about a number"),
        (
            {"id": "own", "at_least": 5, "period": 1, "fixed_date": IN_FORCE},
            "fixed_date: working_days have none: set unit, or leave it out",
        ),
        (
            {"id": "own", "at_least": 5, "period": 1, "unit": "fixed_date", "fixed_date": IN_FORCE},
            "period: fixed_date has none",
        ),
        ({"id": "own", "at_least": 5, "period": 1, "unit": "at_once"}, "period: at_once has none"),
        (
            {"id": "own", "measure": "event", "event": "filing.submitted", "period": 1},
            "event: only frt.review and frt.supplement are about steps of a filing",
        ),
        *(
            (
                {"id": "own", "measure": "event", "event": event, "period": 1},
                "event: a face that is stored or removed is counted and opens nothing",
            )
            for event in sorted(COUNTED)
        ),
        # What would leave the calendar, or the database.
        ({"id": "frt.file", "period": 25_001}, "period: give at most 25,000 working_days"),
        ({"id": "own", "at_least": 5, "period": 101, "unit": "years"}, "period: give at most 100"),
        ({"id": "frt.file", "at_least": 10**12 + 1}, "at_least: give a number up to 1,000,000,000"),
    ],
)
def test_an_override_that_cannot_hold_is_refused_and_says_what_to_do(
    override: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(RuleError) as caught:
        with_overrides(SHIPPED, [override])

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("unit", "period"),
    [("working_days", 25_000), ("calendar_days", 36_525), ("hours", 876_600), ("years", 100)],
)
def test_the_longest_clock_that_can_be_set_ends_on_a_day(unit: str, period: int) -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "unit": unit, "period": period}])
    deadline = deadline_under(rules[0], IN_FORCE, load_calendar(), overdue_from(IN_FORCE))

    assert deadline.latest.year >= 2120


def test_a_shipped_rule_that_is_given_a_fixed_date_has_no_period_left() -> None:
    fixed = {"id": "frt.file", "unit": "fixed_date", "fixed_date": date(2027, 1, 1)}

    assert row(with_overrides(SHIPPED, [fixed]), "frt.file").period is None


def test_an_error_carries_rule_and_field() -> None:
    with pytest.raises(RuleError) as caught:
        with_overrides(SHIPPED, [{"id": "frt.file", "period": -1}])

    assert (caught.value.rule, caught.value.field) == ("frt.file", "period")


def test_two_overrides_of_one_rule_are_refused() -> None:
    twice = [{"id": "frt.file", "at_least": 5}, {"id": "frt.file", "at_least": 6}]

    with pytest.raises(RuleError, match="id: is there twice"):
        with_overrides(SHIPPED, twice)


def test_an_error_says_which_table_it_is_about() -> None:
    tables = [{"id": "frt.file", "at_least": 6}, {"id": "own", "at_least": 0, "period": 1}]
    with pytest.raises(RuleError) as caught:
        with_overrides(SHIPPED, tables)

    assert caught.value.table == 1


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda rule: rule.id)
def test_every_shipped_rule_can_be_switched_on(rule: Rule) -> None:
    rules = with_overrides(SHIPPED, [{"id": rule.id, "enabled": True}])

    assert row(rules, rule.id).enabled


@pytest.mark.parametrize(
    ("number", "names"),
    [
        ("pi.individuals", ["pio.report", "audit.periodic"]),
        ("n", []),
        (None, ["pio.report", "audit.periodic"]),
    ],
)
def test_a_told_number_may_open_duties_under_the_rules_that_name_it(
    number: str | None, names: list[str]
) -> None:
    on = [{"id": "pio.report", "enabled": True}, {"id": "audit.periodic", "enabled": True}]
    rules = with_overrides(SHIPPED, on)

    assert [rule.id for rule in number_rules(rules, number)] == names


def test_no_told_number_opens_a_duty_under_a_rule_that_is_off() -> None:
    assert number_rules(SHIPPED, "pi.individuals") == ()


def test_an_event_latches_where_its_rule_says_so() -> None:
    kind: dict[str, Any] = {"measure": "event", "event": "use.began", "period": 1}
    rules = with_overrides((), [{"id": "a", **kind}, {"id": "b", **kind, "latch": True}])

    assert [rule.latched for rule in rules] == [False, True]
