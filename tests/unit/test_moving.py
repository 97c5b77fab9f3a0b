"""Which last days move, and why: a year, another clock, or both, one after the other."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from monitor.calendars import Year
from monitor.duties import Duty, deadline_under, owed
from monitor.filings import Life, Step, StepKind, Target, settle
from monitor.moving import Cause, Known, clock_of, is_older, moves
from monitor.rules import SHIPPED, Rule, with_overrides
from monitor.workdays import Calendar, load_calendar, overdue_from

NOW = load_calendar()
FILE = SHIPPED[0]
SHORT = with_overrides(SHIPPED, [{"id": "frt.file", "period": 20}])[0]
NEW_YEAR = frozenset({date(2027, 1, 1)})
YEAR = Year(year=2027, version="2027-1", notice="drawn", off=NEW_YEAR, work=frozenset[date]())
LONGER = replace(YEAR, version="2027-2", off=NEW_YEAR | {date(2027, 1, 4)})
WITH_2027, CORRECTED = Calendar((*NOW.years, YEAR)), Calendar((*NOW.years, LONGER))
KNOWN = Known(years={one.version: one for one in (*NOW.years, YEAR, LONGER)})
DEC_1 = overdue_from(date(2026, 11, 30))


def duty(rule: Rule = FILE, calendar: Calendar = NOW, trigger_at: int = DEC_1) -> Duty:
    return owed(
        rule,
        processor="acme",
        key="1",
        trigger_at=trigger_at,
        known_at=trigger_at,
        calendar=calendar,
        proof={},
    )


def closed(held: Duty, day: date) -> Duty:
    """Return *held* as it was submitted and completed on a day."""
    at = overdue_from(day) - 1
    steps = [
        Step(
            id=kind,
            kind=StepKind(kind),
            at=at,
            known_at=at,
            source="command",
            rule=held.rule,
            duty="1",
            by="b",
            reason="r",
        )
        for kind in ("submitted", "completed")
    ]
    target = Target(held.rule, "1", held.trigger_at, None)
    life: Life = settle([target], steps).lives[target]
    return replace(held, life=life, closed_at=at)


def seen(
    held: Duty, rule: Rule, calendar: Calendar, known: Known = KNOWN
) -> list[tuple[Cause, date | None]]:
    return [(one.why, one.after.deadline.due_day) for one in moves(held, [rule], calendar, known)]


@pytest.mark.parametrize(
    ("version", "ours", "older"),
    [
        ("2025-1+2026-1", "2025-1+2026-1", True),
        ("2025-1+2026-1", "2025-1+2026-1+2027-1", True),
        ("2025-1+2026-1+2027-9", "2025-1+2026-1+2027-10", True),
        ("2025-1+2026-1+2027-1", "2025-1+2026-1", False),
        ("2025-1+2026-2", "2025-1+2026-1+2027-1", False),
    ],
)
def test_a_calendar_is_older_that_has_no_year_and_none_higher_that_ours_lacks(
    version: str, ours: str, *, older: bool
) -> None:
    assert is_older(version, ours) is older


def test_a_day_that_is_still_what_rule_and_calendar_give_moves_nowhere() -> None:
    assert seen(duty(), FILE, NOW) == []


def test_a_year_settles_and_a_correction_moves() -> None:
    assert seen(duty(), FILE, WITH_2027) == [(Cause.CALENDAR, date(2027, 1, 13))]
    assert seen(duty(calendar=WITH_2027), FILE, CORRECTED) == [(Cause.CALENDAR, date(2027, 1, 14))]


def test_nothing_is_counted_back_by_an_older_calendar() -> None:
    assert seen(duty(calendar=WITH_2027), SHORT, NOW) == []


def test_another_clock_moves_a_day_by_the_rule_that_was_and_the_rule_that_is() -> None:
    known = replace(KNOWN, sets=[{"frt.file": SHORT}, {}, {"frt.file": FILE}])
    (moved,) = moves(duty(), [SHORT], NOW, known)

    assert (moved.why, moved.was, moved.rule) == (Cause.RULE, FILE, SHORT)
    assert (moved.after.deadline.due_day, moved.earlier) == (date(2026, 12, 29), True)


def test_another_clock_moves_a_day_although_nobody_knows_what_the_rule_was() -> None:
    (moved,) = moves(duty(), [SHORT], NOW, KNOWN)

    assert (moved.why, moved.was) == (Cause.RULE, None)


def test_of_both_the_rule_is_counted_first_by_the_calendar_that_was() -> None:
    known = replace(KNOWN, sets=[{"frt.file": FILE}])
    longer = replace(FILE, period=31)

    assert seen(duty(), longer, WITH_2027, known) == [
        (Cause.RULE, None),
        (Cause.CALENDAR, date(2027, 1, 14)),
    ]


@pytest.mark.parametrize("years", [{}, {"2026-1": NOW.years[1]}, {"2025-1": NOW.years[0]}])
def test_where_it_is_not_known_what_a_day_was_counted_by_the_calendar_is_the_cause(
    years: dict[str, Year],
) -> None:
    known = Known(years=years, sets=[{"frt.file": FILE}])

    assert [cause for cause, _ in seen(duty(), SHORT, WITH_2027, known)] == [Cause.CALENDAR]


def test_years_that_do_not_follow_each_other_are_no_calendar() -> None:
    assert KNOWN.calendar("2025-1+2027-1") is None


OFF = replace(FILE, enabled=False)


@pytest.mark.parametrize(("rules", "by"), [([], 1), ([OFF], None), ([replace(OFF, period=20)], 1)])
def test_while_its_rule_is_gone_or_off_a_duty_is_settled_by_the_rule_that_counted_it(
    rules: list[Rule], by: int | None
) -> None:
    """It is owed as before; which of the sets of rules that was, is said."""
    known = replace(KNOWN, sets=[{"frt.file": SHORT}, {"frt.file": FILE}])
    (moved,) = moves(duty(), rules, WITH_2027, known)

    assert (moved.why, moved.after.deadline.due_day) == (Cause.CALENDAR, date(2027, 1, 13))
    assert (moved.by, moved.was) == (by, None)


def test_while_its_rule_is_off_another_clock_of_it_moves_nothing() -> None:
    known = replace(KNOWN, sets=[{"frt.file": FILE}])

    assert moves(duty(), [replace(OFF, period=20)], NOW, known) == []


@pytest.mark.parametrize("known", [KNOWN, Known(years={})])
def test_what_nobody_knows_the_rule_of_stays_as_it_is(known: Known) -> None:
    assert moves(duty(), [], WITH_2027, known) == []


def test_what_has_ended_is_settled_by_the_rule_it_was_counted_by() -> None:
    """Submitted within the interval: only the year tells whether that was in time."""
    ended = closed(duty(), date(2027, 1, 13))
    known = replace(KNOWN, sets=[{"frt.file": SHORT}, {"frt.file": FILE}])
    (moved,) = moves(ended, [SHORT], WITH_2027, known)

    assert (ended.in_time, moved.after.in_time) == (None, True)
    assert (moved.why, moved.after.deadline.due_day) == (Cause.CALENDAR, date(2027, 1, 13))
    assert moved.by == 1
    assert moves(closed(duty(SHORT), date(2026, 12, 20)), [FILE], WITH_2027, known) == []


def test_a_clock_is_told_by_what_a_last_day_hangs_on() -> None:
    fixed = with_overrides(
        SHIPPED, [{"id": "frt.file.legacy", "fixed_date": date(2025, 7, 31), "source": "x"}]
    )[1]

    assert clock_of(None) is None
    assert clock_of(FILE) == {"period": 30, "unit": "working_days", "count_trigger_day": False}
    assert clock_of(fixed) == {
        "unit": "fixed_date",
        "fixed_date": "2025-07-31",
        "count_trigger_day": False,
    }
    assert deadline_under(fixed, date(2025, 5, 1), NOW).due_day == date(2025, 7, 31)
