"""What people read of the rules: each row's source and addressee, and every message whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from monitor.rules import (
    CHANGED,
    IN_FORCE,
    SHIPPED,
    TERMINATED,
    Rule,
    RuleError,
    event_rules,
    rule_for_trigger,
    with_overrides,
)

PROVINCE = "provincial-level or higher cyberspace authority"
CITY = "city-level cyberspace authority"
ART_15 = "Order No. 19 (CAC, MPS), art. 15"
PIO_DAY = date(2025, 7, 18)
ROWS = {rule.id: rule for rule in SHIPPED}


@pytest.mark.parametrize(
    ("name", "since", "before", "addressee", "source"),
    [
        ("frt.file", IN_FORCE, None, PROVINCE, ART_15),
        ("frt.file.legacy", None, IN_FORCE, PROVINCE, "CAC announcement of 2025-05-30"),
        ("frt.change", IN_FORCE, None, PROVINCE, ART_15),
        ("frt.cancel", IN_FORCE, None, PROVINCE, ART_15),
        (
            "frt.review",
            IN_FORCE,
            None,
            "the processor; the clock is the authority's",
            "CAC filing guide",
        ),
        ("frt.supplement", IN_FORCE, None, PROVINCE, "CAC filing guide"),
        ("frt.retain", None, None, "the processor keeps it", "Order No. 19 (CAC, MPS), art. 9"),
        ("frt.pipia", IN_FORCE, None, "the processor", "Order No. 19 (CAC, MPS), art. 9"),
        ("pio.report", PIO_DAY, None, CITY, "CAC announcement of 2025-07-18"),
        ("pio.legacy", None, PIO_DAY, CITY, "CAC announcement of 2025-07-18"),
        (
            "audit.periodic",
            date(2025, 5, 1),
            None,
            "the processor",
            "Compliance Audit Measures, art. 4, in force 2025-05-01",
        ),
        (
            "incident.other",
            date(2025, 11, 1),
            None,
            "cyberspace authority",
            "Incident Reporting Measures, in force 2025-11-01",
        ),
    ],
)
def test_a_row_names_its_source_its_addressee_and_its_days(
    name: str, since: date | None, before: date | None, addressee: str, source: str
) -> None:
    rule = ROWS[name]

    assert (rule.since, rule.before) == (since, before)
    assert (rule.addressee, rule.source) == (addressee, source)
    assert not rule.count_trigger_day


def test_the_measures_are_in_force_from_the_first_of_june() -> None:
    assert date(2025, 6, 1) == IN_FORCE


def test_events_are_those_of_the_wire_contract() -> None:
    assert {rule.id: rule.event for rule in SHIPPED if rule.event} == {
        "frt.change": "registration.changed",
        "frt.cancel": "processor.terminated",
        "frt.review": "filing.submitted",
        "frt.supplement": "filing.returned",
        "frt.retain": "assessment.recorded",
        "frt.pipia": "assessment.missing",
        "incident.other": "incident.graded",
    }


def test_two_rows_stand_in_for_others_and_one_recurs() -> None:
    assert {rule.id: rule.legacy_of for rule in SHIPPED if rule.legacy_of is not None} == {
        "frt.file.legacy": "frt.file",
        "pio.legacy": "pio.report",
    }
    assert [rule.id for rule in SHIPPED if rule.recurring] == ["audit.periodic"]


def test_a_rule_with_a_threshold_alone_is_a_clock_of_working_days() -> None:
    assert Rule(id="own", at_least=1, period=1) == Rule(
        id="own",
        measure="stock",
        comparator=">=",
        at_least=1,
        period=1,
        unit="working_days",
        fixed_date=None,
        count_trigger_day=False,
        since=None,
        before=None,
        legacy_of=None,
        event=None,
        recurring=False,
        enabled=True,
        addressee="",
        source="settings",
    )


@pytest.mark.parametrize(
    "name", ["a", "9", "a.b", "a_b", "a-b", "frt.file.2", "0a", "z" * 64, "a.b_c-d"]
)
def test_an_id_is_made_of_words_and_single_signs_between_them(name: str) -> None:
    assert Rule(id=name, at_least=1, period=1).id == name


@pytest.mark.parametrize(
    "name", ["", "A", "a..b", ".a", "a.", "a b", "a.-b", "é", "z" * 65, "a\n", "a/b", "aXa"]
)
def test_any_other_id_is_refused(name: str) -> None:
    with pytest.raises(RuleError) as caught:
        Rule(id=name, at_least=1, period=1)

    assert str(caught.value) == (
        f"rule {name!r}: id: use small letters, digits, '.', '_', '-', at most 64"
    )


SETTABLE = (
    "addressee, at_least, comparator, count_trigger_day, enabled, fixed_date, period, since, "
    "source, unit"
)
ALL_SETTABLE = (
    "addressee, at_least, comparator, count_trigger_day, enabled, event, fixed_date, keeps, latch, "
    "measure, number, period, recurring, since, source, unit"
)
MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({"at_least": 5}, "rule '?': id: every [[rules]] table needs an id in quotes"),
    (
        {"id": "frt.file", "unit": "weeks"},
        (
            "rule 'frt.file': unit: must be one of working_days, calendar_days, hours, years, "
            "fixed_date, at_once"
        ),
    ),
    (
        {"id": "own", "measure": "faces"},
        "rule 'own': measure: must be one of stock, event, external",
    ),
    ({"id": "own", "comparator": "="}, "rule 'own': comparator: must be one of >=, >"),
    (
        {"id": "own", "measure": "event", "period": 1},
        "rule 'own': event: give its kind, such as registration.changed",
    ),
    (
        {"id": "own", "measure": "event", "event": "", "period": 1},
        "rule 'own': event: give its kind, such as registration.changed",
    ),
    (
        {"id": "own", "at_least": 0, "period": 1},
        "rule 'own': at_least: give a number of individuals from 1 on",
    ),
    (
        {"id": "own", "period": 1},
        "rule 'own': at_least: give a number of individuals from 1 on",
    ),
    (
        {"id": "own", "at_least": 1, "unit": "fixed_date"},
        "rule 'own': fixed_date: give the last day, such as 2025-07-14",
    ),
    (
        {"id": "own", "at_least": 1, "period": 0, "unit": "years"},
        "rule 'own': period: give a number of years from 1 on",
    ),
    (
        {"id": "own", "at_least": 1},
        "rule 'own': period: give a number of working_days from 1 on",
    ),
    (
        {"id": "frt.file", "at_least": True},
        "rule 'frt.file': at_least: must be of type int",
    ),
    (
        {"id": "frt.file", "event": CHANGED},
        f"rule 'frt.file': event: cannot be set; use one of {SETTABLE}",
    ),
    (
        {"id": "own", "recuring": True},
        f"rule 'own': recuring: cannot be set; use one of {ALL_SETTABLE}",
    ),
    (
        {"id": "frt.file.legacy", "period": 5},
        (
            "rule 'frt.file.legacy': period: cannot be set; use one of addressee, enabled, "
            "fixed_date, source"
        ),
    ),
]


@pytest.mark.parametrize(("override", "message"), MESSAGES)
def test_a_message_says_what_to_do_in_whole_sentences(
    override: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(RuleError) as caught:
        with_overrides(SHIPPED, [override])

    assert str(caught.value) == message


def test_two_tables_of_one_rule_are_named() -> None:
    with pytest.raises(RuleError) as caught:
        with_overrides(SHIPPED, [{"id": "frt.file", "period": 5}] * 2)

    assert str(caught.value) == "rule 'frt.file': id: is there twice; merge the two tables"


def test_asking_an_event_rule_for_its_threshold_says_whom_to_ask() -> None:
    with pytest.raises(RuleError) as caught:
        _ = ROWS["frt.change"].reached_at

    assert str(caught.value) == (
        "rule 'frt.change': at_least: has no threshold; ask only of stock rules"
    )
    assert (caught.value.rule, caught.value.field) == ("frt.change", "at_least")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("comparator", ">"),
        ("at_least", 7),
        ("period", 7),
        ("unit", "calendar_days"),
        ("count_trigger_day", True),
        ("since", date(2026, 1, 1)),
        ("enabled", False),
        ("addressee", "us"),
        ("source", "our contract"),
    ],
)
def test_each_of_these_fields_can_be_set(field: str, value: object) -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", field: value}])

    changed: dict[str, Any] = {field: value}
    assert rules[0] == replace(ROWS["frt.file"], **changed)


@pytest.mark.parametrize(
    ("field", "value"), [("addressee", "us"), ("source", "a letter"), ("enabled", False)]
)
def test_each_of_these_fields_of_a_legacy_row_can_be_set(field: str, value: object) -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file.legacy", field: value}])

    changed: dict[str, Any] = {field: value}
    assert rules[1] == replace(ROWS["frt.file.legacy"], **changed)


def test_an_event_rule_of_ones_own_opens_duties_beside_the_shipped_one() -> None:
    own = {"id": "own", "measure": "event", "event": TERMINATED, "period": 5}

    rules = with_overrides(SHIPPED, [own])

    assert [rule.id for rule in event_rules(rules, TERMINATED)] == ["frt.cancel", "own"]
    assert rules[-1].latched


def test_a_stock_rule_is_not_asked_about_events() -> None:
    odd = replace(ROWS["frt.file"], event=CHANGED)

    assert event_rules([odd], CHANGED) == ()


@pytest.mark.parametrize("unit", ["working_days", "calendar_days", "years", "hours", "at_once"])
def test_these_clocks_run(unit: Any) -> None:
    assert Rule(id="own", at_least=1, period=1, unit=unit).enabled


def test_a_legacy_row_without_a_day_stands_in_for_nothing() -> None:
    rules = (ROWS["frt.file"], replace(ROWS["frt.file.legacy"], before=None))

    assert rule_for_trigger(rules, "frt.file", date(2026, 1, 1)) == rules[0]
    assert rule_for_trigger(rules, "frt.file", date(2025, 5, 31)) is None


def test_a_legacy_row_whose_rule_is_gone_holds_for_nothing() -> None:
    alone = (ROWS["frt.file.legacy"],)

    assert rule_for_trigger(alone, "frt.file.legacy", date(2025, 5, 31)) is None


def test_the_legacy_row_of_another_rule_does_not_hold_for_this_one() -> None:
    rules = with_overrides(SHIPPED, [{"id": "pio.report", "enabled": True}])

    found = rule_for_trigger(rules, "frt.file", date(2025, 7, 17))
    assert found == ROWS["frt.file"]
