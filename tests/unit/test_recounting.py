"""Every last day in a log is counted again by what the log seals; none that differs passes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import Any

import pytest

from monitor import calendars
from monitor.calendars import Year
from monitor.chain import GENESIS, Entry, canonical, seal
from monitor.duties import Duty, corrected, owed
from monitor.recounting import (
    RULES_USED,
    Recount,
    calendars_of,
    claim_of,
    found_by,
    rules_from,
    years_from,
)
from monitor.rules import SHIPPED, Rule, with_overrides
from monitor.store.owing import describe
from monitor.workdays import Calendar, load_calendar

TEXTS = [(year, (files(calendars) / f"{year}.toml").read_text("utf-8")) for year in (2025, 2026)]
YEARS = years_from(TEXTS)
CALENDAR = load_calendar()
RULES = {rule.id: rule for rule in SHIPPED}
YEAR_2027 = Year(
    year=2027,
    version="2027-1",
    notice="drawn",
    off=frozenset({date(2027, 1, 1)}),
    work=frozenset[date](),
)
WITH_2027 = Calendar((*CALENDAR.years, YEAR_2027))
ALL_YEARS = YEARS | {"2027-1": [YEAR_2027]}
SHORTER = with_overrides(SHIPPED, [{"id": "frt.file", "period": 20}])
_Said = tuple[str, Mapping[str, object]]


def instant(day: date, hour: int = 4) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) * 1_000_000


def duty(
    rule: Rule = RULES["frt.file"],
    day: date = date(2026, 1, 15),
    calendar: Calendar = CALENDAR,
    **proof: object,
) -> Duty:
    at = instant(day)
    return owed(
        rule,
        processor="acme",
        key="1",
        trigger_at=at,
        known_at=at,
        calendar=calendar,
        proof={"trigger_at": at, **proof},
    )


def used(rules: Iterable[Rule] = SHIPPED) -> _Said:
    return RULES_USED, {"rules": json.loads(json.dumps([asdict(r) for r in rules], default=str))}


def opened(one: Duty, **other: object) -> _Said:
    return "duty.opened", describe(one) | other


def chain(bodies: Iterable[_Said]) -> list[Entry]:
    entries: list[Entry] = []
    for seq, (kind, body) in enumerate(bodies, 1):
        previous = entries[-1].hash if entries else GENESIS
        entries.append(seal(seq, seq, kind, "acme", canonical(body), previous))
    return entries


def recounted(*bodies: _Said, years: Mapping[str, Any] = YEARS) -> Recount:
    recount = Recount(years)
    for entry in chain(bodies):
        recount.hear(entry)
    recount.end()
    return recount


@pytest.mark.parametrize("rule", [rule for rule in SHIPPED if rule.legacy_of is None])
def test_the_last_day_of_every_shipped_rule_is_counted_again(rule: Rule) -> None:
    found = recounted(used(), opened(duty(rule, date(2026, 3, 2))))

    assert (found.days, found.wrong) == (1, [])


@pytest.mark.parametrize("rule", ["frt.file.legacy", "pio.legacy"])
def test_a_fixed_date_is_the_one_of_the_rule(rule: str) -> None:
    one = duty(RULES[rule], date(2025, 5, 5))
    other = describe(one) | {"due_day": "2025-07-15"}

    assert recounted(used(), opened(one)).wrong == []
    assert len(recounted(used(), ("duty.opened", other)).wrong) == 1


def test_a_provisional_deadline_is_counted_to_both_its_ends() -> None:
    one = duty(day=date(2026, 11, 23))
    other = opened(one, due_between="2027-01-02/2027-01-12")

    assert one.deadline.provisional
    assert recounted(used(), opened(one)).wrong == []
    assert [seq for seq, _ in recounted(used(), other).wrong] == [2]


@pytest.mark.parametrize(
    "other", [{"due_day": "2026-03-05"}, {"due_day": "2026-03-03"}, {"trigger_day": "2026-01-14"}]
)
def test_a_day_that_the_log_does_not_count_to_is_named_with_its_entry(
    other: Mapping[str, object],
) -> None:
    found = recounted(used(), opened(duty(), **other))

    ((seq, why),) = found.wrong
    assert seq == 2
    assert why.startswith("frt.file of 2026-01-1")
    assert "does not end on 2026-03-0" in why


@pytest.mark.parametrize("kind", ["duty.moved", "duty.due_moved"])
def test_of_a_duty_that_moved_the_new_day_is_counted(kind: str) -> None:
    before, after = describe(duty()), describe(duty(day=date(2026, 1, 14)))
    wrong = {"before": after, "after": after | {"due_day": "2026-02-28"}}

    assert recounted(used(), (kind, {"before": before, "after": after})).wrong == []
    assert [seq for seq, _ in recounted(used(), (kind, wrong)).wrong] == [2]


def test_the_rules_that_held_then_count_and_no_later_ones() -> None:
    first, later = opened(duty()), opened(duty(SHORTER[0]))
    fine = recounted(used(), first, used(SHORTER), later)
    mixed = recounted(used(), used(SHORTER), first, later, used(SHORTER))

    assert (fine.days, fine.wrong) == (2, [])
    assert [seq for seq, _ in mixed.wrong] == [3]


def settled(rules_of: object, **other: object) -> _Said:
    """Return the entry of a duty that ended before its year came, after another clock held."""
    before, after = duty(day=date(2026, 11, 23)), duty(day=date(2026, 11, 23), calendar=WITH_2027)
    said = {"before": describe(before), "after": describe(after), "rules_of": rules_of}
    return "duty.due_moved", said | other


FIRST = opened(duty(day=date(2026, 11, 23)))


def test_what_is_counted_again_by_an_older_set_names_the_entry_that_seals_it() -> None:
    found = recounted(used(), FIRST, used(SHORTER), settled(1), years=ALL_YEARS)

    assert (found.days, found.wrong) == (2, [])


@pytest.mark.parametrize("rules_of", [None, 0, 2, 3, 4, 5, "1", [1]])
def test_a_set_that_is_not_the_one_named_counts_to_nothing(rules_of: object) -> None:
    """The newest of all is what counts where none is named; a later one cannot be named."""
    found = recounted(used(), FIRST, used(SHORTER), settled(rules_of), used(), years=ALL_YEARS)
    none_named = rules_of is None  # then the next set is tried, which is the right one

    assert [seq for seq, _ in found.wrong] == ([] if none_named else [4])


@pytest.mark.parametrize(
    "before",
    [
        describe(duty(SHORTER[0], day=date(2026, 11, 23))),
        describe(duty(day=date(2026, 11, 23))) | {"key": "2"},
        describe(duty(day=date(2026, 11, 23))) | {"trigger_day": "2026-11-20"},
        describe(duty(day=date(2026, 11, 23))) | {"trigger_day": "soon"},
        {},
        "nothing",
    ],
)
def test_an_older_set_must_have_given_the_day_before_too(before: object) -> None:
    """Else a duty could be said to be counted by any set that ever held."""
    found = recounted(used(), used(SHORTER), settled(1, before=before), years=ALL_YEARS)

    assert [seq for seq, _ in found.wrong] == [3]


def test_a_process_may_write_its_rules_after_its_first_duty() -> None:
    found = recounted(used(), opened(duty(SHORTER[0])), used(SHORTER), used())

    assert found.wrong == []


def test_what_was_written_before_the_first_rules_is_not_judged() -> None:
    found = recounted(opened(duty(), due_day="2026-05-05"), used(), opened(duty()))

    assert (found.days, found.wrong) == (1, [])


def test_a_calendar_that_no_entry_seals_is_named() -> None:
    only = {"2026-1": YEARS["2026-1"]}
    found = recounted(used(), opened(duty()), years=only)

    assert found.wrong == [(2, "it was counted by calendar 2025-1, which no entry seals")]


def test_a_rule_that_the_log_does_not_seal_counts_to_nothing() -> None:
    found = recounted(used(SHIPPED[1:]), opened(duty()))

    assert [seq for seq, _ in found.wrong] == [2]


def test_two_texts_of_one_version_are_both_tried() -> None:
    other = TEXTS[1][1].replace("2026-02-14", "2026-02-08").replace("2026-02-28", "2026-03-01")
    years = years_from([TEXTS[0], (2026, other), *TEXTS, TEXTS[1]])
    (first, *more) = calendars_of(CALENDAR.version, years)

    assert len(more) == 1
    for calendar in (first, *more):
        assert recounted(used(), opened(duty(calendar=calendar)), years=years).wrong == []


def test_years_that_do_not_follow_are_no_calendar() -> None:
    assert list(calendars_of("2026-1+2025-1", YEARS)) == []
    assert list(calendars_of("2027-1", YEARS)) == []


def test_a_clock_of_hours_runs_from_the_instant_of_its_proof() -> None:
    one = duty(RULES["incident.other"])
    two = opened(one, due_at="2026-01-15T08:00:00.000001+00:00")
    of_event = replace(one, proof={"at": one.trigger_at})

    assert recounted(used(), opened(one)).wrong == []
    assert recounted(used(), opened(of_event)).wrong == []
    assert [seq for seq, _ in recounted(used(), two).wrong] == [2]


@pytest.mark.parametrize("found_on", [None, date(2026, 1, 15), date(2026, 1, 16)])
def test_a_day_that_a_person_corrected_runs_from_its_begin_or_from_what_was_found(
    found_on: date | None,
) -> None:
    moved = with_overrides(SHIPPED, [{"id": "incident.other", "enabled": True}])
    one = corrected(
        duty(RULES["incident.other"]),
        moved,
        date(2026, 1, 16),
        known_at=1,
        calendar=CALENDAR,
        by="office",
        reason="seen later",
        found_at=None if found_on is None else instant(found_on),
    )

    assert recounted(used(moved), ("duty.moved", {"after": describe(one)})).wrong == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("duty.moved", "[]"),
        ("duty.moved", "{}"),
        ("duty.opened", "no json"),
        ("duty.opened", '{"rule":"frt.file"}'),
        ("duty.opened", canonical(describe(duty()) | {"trigger_day": "soon"})),
        ("notice.sent", canonical(describe(duty()))),
    ],
)
def test_an_entry_that_gives_no_day_claims_none(kind: str, body: str) -> None:
    assert claim_of(seal(1, 1, kind, "acme", body, GENESIS)) is None


def test_what_is_no_rule_or_no_year_is_left_out() -> None:
    told = [{"id": "frt.file"}, "x", {"id": "a", "at_least": 5, "period": 1, "of_later": 1}]

    assert list(rules_from(told)) == ["a"]
    assert rules_from("no list") == {}
    assert years_from([(2026, "first = 1\n")]) == {}


def test_rules_that_cannot_be_read_leave_those_before_in_force() -> None:
    recount = Recount(YEARS)
    broken = seal(1, 1, RULES_USED, None, "no json", GENESIS)
    for entry in (*chain([used()]), broken, *chain([opened(duty())])):
        recount.hear(entry)

    assert (recount.days, recount.end()) == (1, [])


def test_rules_that_are_no_object_are_none() -> None:
    recount = Recount(YEARS)
    recount.hear(seal(1, 1, RULES_USED, None, "[]", GENESIS))
    recount.hear(chain([opened(duty())])[0])

    assert len(recount.end()) == 1


def test_a_last_day_that_no_calendar_can_have_is_not_found() -> None:
    claim = claim_of(chain([opened(duty())])[0])
    assert claim is not None
    forged = replace(claim, trigger_day=date(9999, 12, 1))

    assert found_by(claim, [RULES], YEARS) == (RULES["frt.file"], CALENDAR)
    assert found_by(forged, [RULES], YEARS) is None
