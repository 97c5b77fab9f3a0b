"""Duties: the day they are due, how they stand at an instant, and what a late fact does to them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.calendars import parse_year
from monitor.duties import (
    Decision,
    Duty,
    Restatement,
    Status,
    Why,
    as_json,
    deadline_under,
    event_key,
    owed,
    recounted,
    restated,
)
from monitor.facts import Instant, Version
from monitor.rules import SHIPPED, Rule, rule_for_trigger, with_overrides
from monitor.workdays import Calendar, Deadline, beijing_day, load_calendar, overdue_from

CALENDAR = load_calendar()
VERSION = "2025-1+2026-1"
RULES = {rule.id: rule for rule in SHIPPED}
DAY_US = 24 * 3600 * 1_000_000
KNOWN: Instant = 1_800_000_000_000_000
YEAR_2027 = parse_year(
    "2027.toml",
    """
    year = 2027
    version = "2027-1"
    notice = { number = "test", published = 2026-11-30, source = "made up" }
    holidays = [{ name = "New Year", first = 2027-01-01, last = 2027-01-03 }]
    """,
)
WITH_2027 = Calendar((*CALENDAR.years, YEAR_2027))


def at(text: str) -> Instant:
    """The instant in *text*; a day alone is its noon in Beijing."""
    text = text if "T" in text else f"{text}T12:00:00+08:00"
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def duty(
    trigger: str = "2025-07-18",
    rule: str = "frt.file",
    *,
    calendar: Calendar = CALENDAR,
    key: str = "1",
) -> Duty:
    return owed(
        RULES[rule],
        processor="acme",
        key=key,
        trigger_at=at(trigger),
        known_at=KNOWN,
        calendar=calendar,
        proof={"individuals": 100_000},
    )


# What is owed


def test_a_reach_owes_a_filing_within_thirty_working_days() -> None:
    found = duty("2025-07-18")

    assert found == Duty(
        processor="acme",
        rule="frt.file",
        key="1",
        trigger_day=date(2025, 7, 18),
        trigger_at=at("2025-07-18"),
        not_later_than=False,
        opened_at=KNOWN,
        deadline=Deadline.on(date(2025, 8, 29), VERSION),
        proof={"individuals": 100_000},
    )


@pytest.mark.parametrize(
    ("instant", "day", "due"),
    [
        ("2025-07-17T15:59:59.999999+00:00", "2025-07-17", "2025-08-28"),
        ("2025-07-17T16:00:00+00:00", "2025-07-18", "2025-08-29"),
    ],
)
def test_the_trigger_day_is_the_day_in_beijing(instant: str, day: str, due: str) -> None:
    found = duty(instant)

    assert found.trigger_day == date.fromisoformat(day)
    assert found.deadline.due_day == date.fromisoformat(due)


@pytest.mark.parametrize(
    ("trigger", "rule", "due"),
    [
        # Reached before the Measures: the date of the announcement, whatever the day.
        ("2025-05-31", "frt.file.legacy", "2025-07-14"),
        ("2019-01-01", "frt.file.legacy", "2025-07-14"),
        ("2025-06-01", "frt.file", "2025-07-14"),
        ("2025-06-03", "frt.file", "2025-07-15"),
    ],
)
def test_the_row_of_the_trigger_day_gives_the_due_day(trigger: str, rule: str, due: str) -> None:
    row = rule_for_trigger(SHIPPED, "frt.file", date.fromisoformat(trigger))

    assert row == RULES[rule]
    assert duty(trigger, rule).deadline == Deadline.on(date.fromisoformat(due), VERSION)


@pytest.mark.parametrize(
    ("rule", "trigger", "due"),
    [
        (Rule(id="own", at_least=1, period=10, unit="calendar_days"), "2026-09-25", "2026-10-05"),
        (
            Rule(id="own", at_least=1, period=10, unit="calendar_days", count_trigger_day=True),
            "2026-09-25",
            "2026-10-04",
        ),
        (
            Rule(id="own", at_least=1, period=30, count_trigger_day=True),
            "2025-07-18",
            "2025-08-28",
        ),
        (RULES["frt.retain"], "2025-07-18", "2028-07-18"),
        # No such day three years on: the last of the month.
        (RULES["frt.retain"], "2028-02-29", "2031-02-28"),
    ],
)
def test_a_clock_runs_in_its_own_unit(rule: Rule, trigger: str, due: str) -> None:
    deadline = deadline_under(rule, date.fromisoformat(trigger), CALENDAR)

    assert deadline == Deadline.on(date.fromisoformat(due), VERSION)


@pytest.mark.parametrize(
    ("instant", "due", "too_late"),
    [
        ("2026-09-01T09:30:00+08:00", "2026-09-01", "2026-09-01T13:30:00+08:00"),
        # To the last microsecond of a day is that day; one more is the next.
        ("2026-09-01T20:00:00+08:00", "2026-09-01", "2026-09-02T00:00:00+08:00"),
        ("2026-09-01T20:00:01+08:00", "2026-09-02", "2026-09-02T00:00:01+08:00"),
    ],
)
def test_a_clock_of_hours_runs_from_the_instant(instant: str, due: str, too_late: str) -> None:
    opened = duty(instant, rule="incident.other")

    assert opened.deadline.due_day == date.fromisoformat(due)
    assert opened.overdue_at == at(too_late)
    assert opened.status(at(too_late) - 1) is Status.OPEN
    assert opened.status(at(too_late)) is Status.OVERDUE


def test_a_duty_as_json_says_the_instant_only_of_a_clock_of_hours() -> None:
    hours = duty("2026-09-01T09:30:00+08:00", rule="incident.other")

    assert as_json(hours, KNOWN, CALENDAR)["due_at"] == "2026-09-01T05:30:00+00:00"
    assert "due_at" not in as_json(duty("2025-07-18"), KNOWN, CALENDAR)


def test_what_is_to_be_done_at_once_is_due_on_the_day_itself() -> None:
    opened = duty("2026-10-03", rule="frt.pipia")

    assert opened.deadline == Deadline.on(date(2026, 10, 3), VERSION)


def test_what_is_kept_for_years_ends_by_itself_and_is_never_overdue() -> None:
    kept = duty("2026-09-01", rule="frt.retain")
    end = at("2029-09-02T00:00:00+08:00")

    assert kept.closed_at == end
    assert kept.status(end - 1) is Status.OPEN
    assert kept.status(end) is Status.COMPLETED


def test_another_number_of_hours_moves_the_deadline_within_the_same_day() -> None:
    opened = duty("2026-09-01T09:30:00+08:00", rule="incident.other")
    shorter = with_overrides(SHIPPED, [{"id": "incident.other", "enabled": True, "period": 2}])

    moved = recounted(opened, shorter, CALENDAR)
    assert moved is not None
    assert moved.overdue_at == at("2026-09-01T11:30:00+08:00")
    assert moved.deadline.days == opened.deadline.days


def test_a_reach_before_any_loaded_year_still_has_a_deadline() -> None:
    own = Rule(id="own", at_least=1, period=30)

    deadline = deadline_under(own, date(2019, 1, 1), CALENDAR)

    assert deadline.provisional


def test_the_same_event_gives_the_same_key_and_another_one_another() -> None:
    keys = [event_key(Version(*parts)) for parts in ((5, 0, 0), (5, 0, 0), (5, 1, 0), (51, 0, 0))]

    assert keys == ["5.0.0", "5.0.0", "5.1.0", "51.0.0"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": ""}, "needs a processor"),
        ({"rule": ""}, "needs a processor"),
        ({"key": ""}, "needs a processor"),
        ({"trigger_day": date(2025, 7, 17)}, "in Beijing"),
        ({"annulled": "a test system"}, "closed_at"),
        ({"proof": {"individuals": float("nan")}}, "JSON"),
    ],
)
def test_a_duty_that_contradicts_itself_cannot_be_built(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(duty(), **changes)  # type: ignore[arg-type]  # one field each, by name


def test_a_proof_that_is_no_json_is_refused() -> None:
    with pytest.raises(TypeError):
        replace(duty(), proof={"day": date(2025, 7, 18)})


def test_a_duty_keeps_its_own_proof_in_the_form_of_the_database() -> None:
    proof: dict[str, object] = {"coordinates": ("faces", 3, 17)}
    kept = replace(duty(), proof=proof)

    proof["coordinates"] = "changed afterwards"

    assert kept.proof == {"coordinates": ["faces", 3, 17]}


def test_duties_can_be_kept_in_a_set() -> None:
    assert len({duty(), duty(), duty(key="2")}) == 2


# How it stands


def closed(held: Duty, when: Instant, annulled: str | None = None) -> Duty:
    return replace(held, closed_at=when, annulled=annulled)


OVERDUE_AT = at("2025-08-30T00:00:00+08:00")


@pytest.mark.parametrize(
    ("now", "status"),
    [
        # From the first moment on.
        (at("2025-07-18"), Status.OPEN),
        # The whole last day in Beijing is in time.
        (OVERDUE_AT - 1, Status.OPEN),
        # Midnight after it is too late.
        (OVERDUE_AT, Status.OVERDUE),
        (OVERDUE_AT + 400 * DAY_US, Status.OVERDUE),
    ],
)
def test_a_duty_is_open_until_its_last_day_is_over(now: Instant, status: Status) -> None:
    assert duty("2025-07-18").status(now) is status


@pytest.mark.parametrize(
    ("now", "status"),
    [
        # The interval is 2027-01-01..2027-01-11, and alerts use its early end.
        (at("2027-01-01T23:59:59.999999+08:00"), Status.OPEN),
        (at("2027-01-02T00:00:00+08:00"), Status.OVERDUE),
    ],
)
def test_a_provisional_duty_is_overdue_after_its_early_end(now: Instant, status: Status) -> None:
    assert duty("2026-11-22").status(now) is status


@pytest.mark.parametrize(
    ("annulled", "status"),
    [(None, Status.COMPLETED), ("a test system", Status.ANNULLED)],
)
def test_a_closed_duty_stays_closed_however_late_it_is(
    annulled: str | None, status: Status
) -> None:
    held = closed(duty(), at("2025-08-01"), annulled)

    assert held.status(at("2025-08-01")) is status
    assert held.status(OVERDUE_AT) is status


def test_before_it_was_closed_a_duty_was_open() -> None:
    held = closed(duty(), at("2025-08-01"))

    assert held.status(at("2025-08-01") - 1) is Status.OPEN


@given(st.integers(at("2024-06-01"), at("2027-12-31")), st.integers(0, 400 * DAY_US))
def test_status_and_days_left_never_disagree(trigger_at: Instant, passed: int) -> None:
    row = rule_for_trigger(SHIPPED, "frt.file", beijing_day(trigger_at))
    assert row is not None
    held = replace(duty(rule=row.id), trigger_at=trigger_at, trigger_day=beijing_day(trigger_at))
    held = replace(held, deadline=deadline_under(row, held.trigger_day, CALENDAR))
    now = trigger_at + passed

    entry = as_json(held, now, CALENDAR)

    left = CALENDAR.working_days_left(beijing_day(now), held.deadline)
    assert entry["working_days_left"] == left
    assert (left < 0) == (entry["status"] == "overdue")


# As the command line shows it


def test_a_duty_as_json() -> None:
    assert as_json(duty("2025-07-18"), at("2025-08-28"), CALENDAR) == {
        "processor": "acme",
        "rule": "frt.file",
        "key": "1",
        "status": "open",
        "trigger_day": "2025-07-18",
        "due_day": "2025-08-29",
        "due_between": None,
        "working_days_left": 1,
        "calendar_version": VERSION,
        "owed_by": "processor",
        "submitted_day": None,
        "submitted_in_time": None,
        "proof": {"individuals": 100_000},
    }


def test_a_provisional_duty_as_json_has_two_days_instead_of_one() -> None:
    entry = as_json(duty("2026-11-22"), at("2026-11-22"), CALENDAR)

    assert entry["due_day"] is None
    assert entry["due_between"] == ["2027-01-01", "2027-01-11"]
    assert entry["working_days_left"] == 30


def test_an_overdue_duty_as_json_has_a_negative_number_left() -> None:
    # In Beijing it is already the next day.
    entry = as_json(duty("2025-07-18"), at("2025-08-29T16:00:00+00:00"), CALENDAR)

    assert (entry["status"], entry["working_days_left"]) == ("overdue", -1)


def test_a_closed_duty_as_json_has_nothing_left_to_count() -> None:
    entry = as_json(closed(duty(), at("2025-08-01")), at("2025-08-02"), CALENDAR)

    assert (entry["status"], entry["working_days_left"]) == ("completed", None)


# Counted again when a year is loaded


def test_loading_a_year_turns_the_interval_into_a_day() -> None:
    held = duty("2026-11-22")

    found = recounted(held, SHIPPED, WITH_2027)

    due = Deadline.on(date(2027, 1, 4), "2025-1+2026-1+2027-1")
    assert found == replace(held, deadline=due)


def test_loading_a_year_leaves_alone_what_it_does_not_change() -> None:
    assert recounted(duty("2025-07-18"), SHIPPED, WITH_2027) is None


def test_a_closed_duty_is_not_counted_again() -> None:
    assert recounted(closed(duty("2026-11-22"), KNOWN), SHIPPED, WITH_2027) is None


@pytest.mark.parametrize(
    "rules",
    [(), with_overrides(SHIPPED, [{"id": "frt.file", "enabled": False}])],
    ids=["gone", "off"],
)
def test_a_duty_whose_rule_is_gone_or_off_is_not_counted_again(rules: tuple[Rule, ...]) -> None:
    assert recounted(duty("2026-11-22"), rules, WITH_2027) is None


# What a late fact does to it


def found_anew(held: Duty, trigger: str | None, rules: tuple[Rule, ...] = SHIPPED) -> Restatement:
    return restated(
        held,
        rules,
        None if trigger is None else at(trigger),
        known_at=KNOWN + DAY_US,
        calendar=CALENDAR,
        proof={"individuals": 100_000, "restated": True},
    )


def test_an_earlier_day_moves_the_duty_at_once() -> None:
    held = duty("2025-07-18")

    found = found_anew(held, "2025-07-17")

    assert found == Restatement(
        decision=Decision.MOVE,
        why=Why.EARLIER_DAY,
        held_day=date(2025, 7, 18),
        found_day=date(2025, 7, 17),
        known_at=KNOWN + DAY_US,
        duty=replace(
            held,
            trigger_day=date(2025, 7, 17),
            trigger_at=at("2025-07-17"),
            deadline=Deadline.on(date(2025, 8, 28), VERSION),
            proof={"individuals": 100_000, "restated": True},
        ),
    )


@pytest.mark.parametrize(
    ("held", "found", "decision", "why"),
    [
        # Another instant of the same day changes nothing.
        ("2025-07-18", "2025-07-18T00:00:00+08:00", Decision.KEEP, Why.SAME_DAY),
        # A later day waits for a person.
        ("2025-07-18", "2025-07-19", Decision.ASK, Why.LATER_DAY),
        # So does a reach that never was.
        ("2025-07-18", None, Decision.ASK, Why.REACH_VANISHED),
        # One microsecond may be a day.
        ("2025-07-18", "2025-07-17T23:59:59.999999+08:00", Decision.MOVE, Why.EARLIER_DAY),
        ("2025-07-18", "2025-07-19T00:00:00+08:00", Decision.ASK, Why.LATER_DAY),
    ],
)
def test_the_day_found_anew_decides(
    held: str, found: str | None, decision: Decision, why: Why
) -> None:
    answer = found_anew(duty(held), found)

    assert (answer.decision, answer.why) == (decision, why)


@pytest.mark.parametrize("found", ["2025-07-18T00:00:00+08:00", "2025-07-19", None])
def test_unless_it_moves_the_duty_stays_as_it_was(found: str | None) -> None:
    held = duty("2025-07-18")

    assert found_anew(held, found).duty == held


def test_an_earlier_day_before_the_measures_turns_the_duty_into_its_legacy_row() -> None:
    answer = found_anew(duty("2025-06-03"), "2025-05-31")

    assert answer.decision is Decision.MOVE
    assert (answer.duty.rule, answer.duty.key) == ("frt.file.legacy", "1")
    assert answer.duty.deadline.due_day == date(2025, 7, 14)


def test_a_legacy_duty_turns_back_only_by_a_person() -> None:
    held = duty("2025-05-31", "frt.file.legacy")

    answer = found_anew(held, "2025-06-03")

    assert (answer.decision, answer.why) == (Decision.ASK, Why.LATER_DAY)
    assert answer.duty == held


def test_a_legacy_duty_moves_to_an_earlier_day_of_its_own_row() -> None:
    answer = found_anew(duty("2025-05-31", "frt.file.legacy"), "2020-01-01")

    assert answer.decision is Decision.MOVE
    assert (answer.duty.rule, answer.duty.trigger_day) == ("frt.file.legacy", date(2020, 1, 1))


def test_an_end_of_use_before_the_measures_waits_for_a_person() -> None:
    answer = found_anew(duty("2025-06-03", "frt.cancel"), "2025-05-31")

    assert (answer.decision, answer.why) == (Decision.ASK, Why.NO_RULE_THEN)


def test_a_duty_whose_rule_was_switched_off_waits_for_a_person() -> None:
    rules = with_overrides(SHIPPED, [{"id": "frt.file", "enabled": False}])

    answer = found_anew(duty("2025-07-18"), "2025-07-17", rules)

    assert (answer.decision, answer.why) == (Decision.ASK, Why.NO_RULE_THEN)


@pytest.mark.parametrize("found", ["2025-07-17", "2025-07-19", None])
def test_whatever_concerns_a_closed_duty_waits_for_a_person(found: str | None) -> None:
    answer = found_anew(closed(duty("2025-07-18"), KNOWN), found)

    assert (answer.decision, answer.why) == (Decision.ASK, Why.DUTY_CLOSED)


def test_a_bounded_day_moves_the_duty_as_a_bound() -> None:
    answer = restated(
        duty("2025-07-18"),
        SHIPPED,
        at("2025-07-17"),
        known_at=KNOWN,
        calendar=CALENDAR,
        proof={},
        not_later_than=True,
    )

    assert answer.duty.not_later_than


@given(st.lists(st.integers(at("2025-01-01"), at("2026-12-31")), min_size=1, max_size=8))
def test_after_any_findings_the_duty_has_the_earliest_day(instants: list[Instant]) -> None:
    held = duty("2026-12-31")
    for instant in instants:
        held = restated(held, SHIPPED, instant, known_at=KNOWN, calendar=CALENDAR, proof={}).duty

    earliest = min(date(2026, 12, 31), *map(beijing_day, instants))
    assert held.trigger_day == earliest
    assert held.rule == ("frt.file" if earliest >= date(2025, 6, 1) else "frt.file.legacy")
    assert held.overdue_at == overdue_from(held.deadline.earliest)
