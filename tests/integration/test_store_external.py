"""Numbers and events that a person tells: the duties they open, move and begin again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Engine

from monitor.duties import Status
from monitor.filings import StepKind
from monitor.rules import SHIPPED, with_overrides
from monitor.store.agreement import SettingsDiffer
from monitor.store.engine import reading
from monitor.store.external import NotTold, NumberSaid, Taken, every_number, tell_number
from monitor.store.external_events import EventSaid, tell_event
from monitor.store.filings_said import decide
from monitor.store.filings_values import Decided
from monitor.store.keeping import Policy
from monitor.store.names import Names
from monitor.store.verifying import verify
from tests.builders import ACME, ANN, BOB, enrolled
from tests.integration.feed import DAY, on
from tests.integration.store_kit import (
    NOW,
    batch,
    dump,
    duties,
    keeper,
    no_topics,
    not_owed,
    notices,
    policy,
    rows,
)

MEASURE = "pi.individuals"
OVERRIDES: list[Mapping[str, Any]] = [
    {"id": "pio.report", "enabled": True, "at_least": 3},
    {"id": "audit.periodic", "enabled": True, "at_least": 10},
    {"id": "incident.other", "enabled": True},
    {"id": "frt.retain", "enabled": True},
    {"id": "frt.pipia", "enabled": True},
]
POLICY = replace(policy(), rules=with_overrides(SHIPPED, OVERRIDES))
HOUR = 3_600_000_000


@pytest.fixture(autouse=True)
def _known(engine: Engine) -> None:
    """One person is stored: the processor is known."""
    keeper(engine, POLICY, no_topics).keep([batch([enrolled(ANN, on("2026-01-05"))])])


@pytest.fixture(autouse=True)
def _owed(engine: Engine) -> Iterator[None]:
    """Whatever a test does, the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, POLICY.rules) == []


def number(engine: Engine, count: int, day: str, now: int = NOW, chosen: Policy = POLICY) -> Taken:
    told = NumberSaid(
        processor=ACME, name=MEASURE, number=count, at=on(day), by="ann lee", reason="census"
    )
    return tell_number(engine, told, chosen, now)


def event(engine: Engine, kind: str, day: str = "2026-03-02", reference: str = "") -> Taken:
    told = EventSaid(
        processor=ACME, kind=kind, at=on(day), by="ann lee", reason="it did", reference=reference
    )
    return tell_event(engine, told, POLICY, NOW)


def held(engine: Engine) -> list[tuple[str, str, date, date | None]]:
    return [(d.rule, d.key, d.trigger_day, d.deadline.due_day) for d in duties(engine)]


# Numbers


def test_a_told_number_that_exceeds_opens_a_duty_for_two_years(engine: Engine) -> None:
    number(engine, 10, "2026-02-01")
    before = [one for one in held(engine) if one[0] == "audit.periodic"]
    taken = number(engine, 11, "2026-02-02")

    assert before == []  # 超过: ten is not more than ten
    audit = [one for one in held(engine) if one[0] == "audit.periodic"]
    assert audit == [("audit.periodic", "1-1", date(2026, 2, 2), date(2028, 2, 2))]
    assert taken.rules == ("pio.report", "audit.periodic")
    (duty,) = [one for one in taken.duties if one.rule == "audit.periodic"]
    assert duty.proof["told"] == {
        "at": on("2026-02-02"),
        "by": "ann lee",
        "known_at": NOW,
        "reason": "census",
    }


def test_a_recurring_duty_begins_again_on_its_last_day(engine: Engine) -> None:
    number(engine, 11, "2026-02-02")
    eve, day = on("2028-02-01"), on("2028-02-02")
    keeper(engine, POLICY, no_topics).tick(eve)
    before = [key for rule, key, _, _ in held(engine) if rule == "audit.periodic"]
    worker = keeper(engine, POLICY, no_topics)
    worker.tick(eve)
    worker.tick(day)
    worker.tick(day + HOUR)

    assert before == ["1-1"]
    assert [one for one in held(engine) if one[0] == "audit.periodic"] == [
        ("audit.periodic", "1-1", date(2026, 2, 2), date(2028, 2, 2)),
        ("audit.periodic", "1-2", date(2028, 2, 2), date(2030, 2, 2)),
    ]
    assert len([row for row in notices(engine, "duty_opened") if row.rule == "audit.periodic"]) == 2


def test_a_recurring_duty_does_not_begin_again_once_the_number_has_fallen(engine: Engine) -> None:
    number(engine, 11, "2026-02-02")
    number(engine, 9, "2027-06-01", now=on("2027-06-02"))
    keeper(engine, POLICY, no_topics).tick(on("2028-02-03"))

    assert [key for rule, key, _, _ in held(engine) if rule == "audit.periodic"] == ["1-1"]


def test_a_number_reached_anew_after_the_clock_was_over_begins_one_of_its_own(
    engine: Engine,
) -> None:
    """It was below where the second period would have begun: that clock was over."""
    number(engine, 11, "2026-02-02")
    number(engine, 9, "2028-01-01", now=on("2028-01-02"))
    keeper(engine, POLICY, no_topics).tick(on("2028-03-01"))
    before = audits(engine)
    number(engine, 12, "2028-04-01", now=on("2028-04-02"))
    begun = audits(engine)
    keeper(engine, POLICY, no_topics).tick(on("2030-04-01"))

    assert before == [("1-1", date(2026, 2, 2))]
    assert begun == [*before, ("2-1", date(2028, 4, 1))]
    assert audits(engine) == [*begun, ("2-2", date(2030, 4, 1))]
    assert notices(engine, "restatement_waits") == []


def test_clocks_are_told_apart_although_the_first_number_is_told_last(engine: Engine) -> None:
    late = on("2028-04-02")
    number(engine, 12, "2028-04-01", now=late)
    number(engine, 9, "2028-01-01", now=late)
    number(engine, 11, "2026-02-02", now=late)

    assert audits(engine) == [("1-1", date(2026, 2, 2)), ("2-1", date(2028, 4, 1))]
    moved = [row.duty for row in notices(engine, "duty_moved") if row.rule == "audit.periodic"]
    assert moved == ["1-1"]


def test_a_period_that_a_corrected_number_does_not_ask_for_waits_for_a_person(
    engine: Engine,
) -> None:
    number(engine, 11, "2026-02-02")
    keeper(engine, POLICY, no_topics).tick(on("2028-02-03"))
    before = audits(engine)
    number(engine, 9, "2028-01-01", now=on("2028-02-04"))
    waits = [row.duty for row in notices(engine, "restatement_waits")]
    number(engine, 12, "2028-03-01", now=on("2028-03-02"))

    assert before == [("1-1", date(2026, 2, 2)), ("1-2", date(2028, 2, 2))]
    assert waits == ["1-2"]
    assert audits(engine) == [*before, ("2-1", date(2028, 3, 1))]


def annul(engine: Engine, key: str, now: int) -> None:
    decided = Decided(
        processor=ACME,
        rule="audit.periodic",
        duty=key,
        kind=StepKind.ANNULLED,
        by="ann lee",
        reason="done elsewhere",
    )
    decide(engine, decided, POLICY, now)


def audits(engine: Engine) -> list[tuple[str, date]]:
    return [(key, day) for rule, key, day, _ in held(engine) if rule == "audit.periodic"]


def test_annulling_one_period_ends_that_period_and_not_the_clock(engine: Engine) -> None:
    number(engine, 11, "2026-02-02")
    annul(engine, "1-1", on("2027-06-03"))
    for day in ("2028-02-02", "2030-02-02"):
        keeper(engine, POLICY, no_topics).tick(on(day))
    annul(engine, "1-2", on("2030-06-03"))
    number(engine, 12, "2030-06-04", now=on("2030-06-05"))
    keeper(engine, POLICY, no_topics).tick(on("2032-02-02"))

    assert audits(engine) == [
        ("1-1", date(2026, 2, 2)),
        ("1-2", date(2028, 2, 2)),
        ("1-3", date(2030, 2, 2)),
        ("1-4", date(2032, 2, 2)),
    ]


def test_a_number_that_is_reached_anew_after_an_annulment_begins_a_clock_of_its_own(
    engine: Engine,
) -> None:
    number(engine, 11, "2026-02-02")
    annul(engine, "1-1", on("2026-06-03"))
    number(engine, 9, "2026-07-01", now=on("2026-09-02"))
    number(engine, 12, "2026-09-01", now=on("2026-09-02"))
    before = audits(engine)
    number(engine, 8, "2026-09-01", now=on("2026-09-03"))

    assert before == [("1-1", date(2026, 2, 2)), ("2-1", date(2026, 9, 1))]
    assert audits(engine) == before
    (waits,) = notices(engine, "restatement_waits")
    assert (waits.duty, json.loads(waits.body)["why"]) == ("2-1", "reach_vanished")


def warned(engine: Engine, rule: str = "audit.periodic") -> list[tuple[int, str]]:
    told = [row for row in notices(engine, "threshold_approached") if row.rule == rule]
    bodies = [json.loads(row.body) for row in told]
    return [(body["percent"], body["passed"]) for body in bodies]


def test_a_told_number_that_comes_near_is_told_once_a_share(engine: Engine) -> None:
    """Eleven reach it: 9 are over 80 %, 10 are over 90 %."""
    for count, day in ((8, "2026-02-01"), (9, "2026-02-02"), (10, "2026-02-03")):
        number(engine, count, day)
    number(engine, 9, "2026-02-04")  # 82 %: not below where 90 % is armed again
    number(engine, 7, "2026-02-05")
    before = warned(engine)
    number(engine, 10, "2026-02-06")
    (entry, *_) = [
        json.loads(row.body)
        for row in rows(engine, "audit")
        if row.kind == "threshold.approached"
        and "number" in row.body
        and "audit.periodic" in row.body
    ]

    assert before == [(80, "80"), (90, "90")]
    assert warned(engine) == [*before, (90, "80/90")]
    assert (entry["rule"], entry["number"], entry["individuals"]) == ("audit.periodic", MEASURE, 9)


def test_a_number_that_is_reached_at_once_is_no_early_warning(engine: Engine) -> None:
    number(engine, 11, "2026-02-01")
    number(engine, 10, "2026-02-03")

    assert warned(engine) == []


def test_a_stock_far_below_leaves_the_warning_of_the_told_number_alone(engine: Engine) -> None:
    lower = {"id": "pio.report", "enabled": True, "at_least": 9}
    chosen = replace(POLICY, rules=with_overrides(SHIPPED, [lower]))
    one = keeper(engine, chosen, no_topics)
    for at in range(3):
        number(engine, 8, "2026-02-01", chosen=chosen, now=NOW + at)
        one.tick(NOW + 2_000_000 * at)

    assert warned(engine, "pio.report") == [(80, "80")]


def test_what_holds_already_told_again_is_kept_once(engine: Engine) -> None:
    first, again = number(engine, 5, "2026-03-02"), number(engine, 5, "2026-03-02")
    other = number(engine, 6, "2026-03-02")

    assert (first.new, again.new, other.new) == (True, False, True)
    assert again.duties == first.duties
    assert [row.kind for row in rows(engine, "audit")].count("number.told") == 2


def test_an_earlier_number_told_later_moves_the_duty_earlier_at_once(engine: Engine) -> None:
    number(engine, 4, "2026-03-10")
    number(engine, 5, "2026-03-02")

    (duty,) = duties(engine)
    assert (duty.rule, duty.trigger_day) == ("pio.report", date(2026, 3, 2))
    assert [row.severity for row in notices(engine, "duty_moved")] == ["page"]


def test_a_corrected_number_that_never_reached_waits_for_a_person(engine: Engine) -> None:
    number(engine, 4, "2026-03-10")
    number(engine, 2, "2026-03-10")

    assert len(duties(engine)) == 1
    (waits,) = notices(engine, "restatement_waits")
    assert json.loads(waits.body)["why"] == "reach_vanished"


def test_of_two_numbers_of_one_instant_the_last_told_holds_and_both_are_kept(
    engine: Engine,
) -> None:
    number(engine, 2, "2026-03-10")
    number(engine, 4, "2026-03-10")
    with reading(engine) as connection:
        kept = every_number(connection, Names.load(connection))

    assert [row.number for _, row in kept] == [2, 4]
    assert len(duties(engine)) == 1


def test_a_stock_that_reaches_later_leaves_the_day_of_the_told_number(engine: Engine) -> None:
    number(engine, 3, "2026-01-10")
    one = keeper(engine, POLICY, no_topics)
    stored = [enrolled(BOB, on("2026-02-01")), enrolled(b"\x07" * 16, on("2026-02-02"))]
    one.keep([batch(stored)])
    one.tick(NOW)

    (duty,) = duties(engine)
    assert (duty.trigger_day, duty.proof["number"]) == (date(2026, 1, 10), MEASURE)
    assert notices(engine, "restatement_waits") == []


def test_a_stock_that_reached_earlier_keeps_its_day_when_a_later_number_is_told(
    engine: Engine,
) -> None:
    one = keeper(engine, POLICY, no_topics)
    stored = [enrolled(BOB, on("2026-02-01")), enrolled(b"\x07" * 16, on("2026-02-02"))]
    one.keep([batch(stored)])
    one.tick(NOW)
    number(engine, 3, "2026-03-10")

    (duty,) = duties(engine)
    assert (duty.trigger_day, "number" in duty.proof) == (date(2026, 2, 2), False)
    assert notices(engine, "restatement_waits") == []


def test_a_number_told_before_its_rule_is_on_counts_when_it_is(engine: Engine) -> None:
    keeper(engine, policy(), no_topics)
    number(engine, 5, "2026-03-02", chosen=policy())
    before = duties(engine)
    keeper(engine, POLICY, no_topics).tick(NOW)

    assert before == []
    assert [rule for rule, *_ in held(engine)] == ["pio.report"]


def test_what_a_person_tells_is_not_judged_by_other_rules_than_those_of_the_workers(
    engine: Engine,
) -> None:
    before = dump(engine)
    with pytest.raises(SettingsDiffer, match=r"rule audit.periodic, .*use the settings file of"):
        number(engine, 5, "2026-03-02", chosen=policy())
    with pytest.raises(SettingsDiffer):
        tell_event(
            engine,
            EventSaid(
                processor=ACME, kind="incident.graded", at=on("2026-03-02"), by="b", reason="r"
            ),
            policy(),
            NOW,
        )

    assert dump(engine) == before


# Events


def test_an_incident_runs_in_hours(engine: Engine) -> None:
    (duty,) = event(engine, "incident.graded").duties

    assert duty.overdue_at == on("2026-03-02") + 4 * HOUR
    assert duties(engine) == [duty]
    (notice,) = notices(engine, "duty_opened")
    assert notice.severity == "page"
    assert json.loads(notice.body)["due_at"] == "2026-03-02T16:00:00+00:00"


def test_the_same_event_told_twice_is_one_duty_and_one_entry(engine: Engine) -> None:
    first, second = event(engine, "incident.graded"), event(engine, "incident.graded")

    assert (first.new, second.new) == (True, False)
    assert first.duties == second.duties
    assert [row.kind for row in rows(engine, "audit")] == ["event.told", "duty.opened"]


def test_two_incidents_of_one_instant_are_told_apart_by_their_reference(engine: Engine) -> None:
    event(engine, "incident.graded", reference="case 1")
    event(engine, "incident.graded", reference="case 2")

    at = on("2026-03-02")
    assert sorted(key for _, key, _, _ in held(engine)) == [f"case 1.{at}", f"case 2.{at}"]


def test_two_assessments_of_one_system_are_both_kept(engine: Engine) -> None:
    event(engine, "assessment.recorded", "2026-03-02", reference="gate")
    event(engine, "assessment.recorded", "2026-03-09", reference="gate")

    assert [due for _, _, _, due in held(engine)] == [date(2029, 3, 2), date(2029, 3, 9)]
    assert notices(engine, "restatement_waits") == []


def test_what_is_to_be_kept_is_told_without_waking_anybody_and_ends_by_itself(
    engine: Engine,
) -> None:
    (duty,) = event(engine, "assessment.recorded").duties
    (notice,) = notices(engine, "duty_opened")

    assert duty.deadline.due_day == date(2029, 3, 2)
    assert duty.status(duty.overdue_at) is Status.COMPLETED
    assert notice.severity == "info"


def test_a_missing_assessment_is_due_at_once(engine: Engine) -> None:
    (duty,) = event(engine, "assessment.missing").duties

    assert duty.deadline.due_day == duty.trigger_day == date(2026, 3, 2)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("incident.grade", "no rule is about an event 'incident.grade'; there are assessment.mis"),
        ("registration.changed", "comes in with the stream, or by 'facetally change'"),
        ("filing.submitted", "comes in with the stream, or by 'facetally filing'"),
    ],
)
def test_an_event_that_no_rule_is_about_is_refused(engine: Engine, kind: str, says: str) -> None:
    with pytest.raises(NotTold, match=says):
        event(engine, kind)
    assert rows(engine, "told_events") == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"processor": "nobody"}, "there is no processor 'nobody'"),
        ({"name": "pi.people"}, "no rule is about a number 'pi.people'; there are pi.individuals"),
        ({"number": -1}, "must be from 0 to 1,000,000,000,000"),
        ({"number": 10**25}, "must be from 0 to 1,000,000,000,000"),
        ({"at": NOW + DAY}, "in the future"),
        ({"at": 5}, "before the year 2000"),
    ],
)
def test_a_number_that_cannot_be_is_refused(
    engine: Engine, values: Mapping[str, Any], says: str
) -> None:
    good = NumberSaid(processor=ACME, name=MEASURE, number=5, at=NOW, by="b", reason="r")
    with pytest.raises(NotTold, match=says):
        tell_number(engine, replace(good, **values), POLICY, NOW)

    assert rows(engine, "told_numbers") == []


def test_the_chain_holds_over_what_was_told(engine: Engine) -> None:
    number(engine, 11, "2026-02-02")
    event(engine, "incident.graded")
    with reading(engine) as connection:
        found = verify(connection, POLICY.marks)

    assert all(one.holds for one in found)
