"""Which steps are due: by hand for what people rely on, and against each minute of a history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from alerts.escalation import Circumstances, Turn, due
from alerts.people import Hours, Person
from alerts.routing import Escalation, Routing, Step
from monitor.facts import Instant
from monitor.notices import Severity
from tests.unit.test_routing import CHANNELS, DAY, HOUR, MINUTE, MONDAY, NIGHT, NOON, TIMES, routing

ANN0 = Turn(1, 0, "ann-phone", ("ann",))
BOB0 = Turn(1, 0, "bob-mail", ("bob",))


def turns(
    since: Instant,
    now: Instant,
    *,
    severity: Severity = Severity.PAGE,
    broken: Collection[str] = (),
    chosen: Routing | None = None,
) -> list[Turn]:
    found = chosen or routing()
    given_ = Circumstances(times=TIMES, broken=broken)
    return due(found, found.escalations[0], severity, since, now, given_)


def second(number: int) -> list[Turn]:
    return [Turn(2, number, "bob-mail", ("bob",)), Turn(2, number, "team")]


def test_steps_are_due_by_the_age_of_the_page() -> None:
    assert turns(NOON, NOON) == [ANN0, BOB0]
    assert turns(NOON, NOON + 30 * MINUTE - 1) == [ANN0, BOB0]
    assert turns(NOON, NOON + 30 * MINUTE) == [ANN0, BOB0, *second(0)]


def test_the_last_step_is_repeated_and_of_its_rounds_the_newest_is_due() -> None:
    assert turns(NOON, NOON + 90 * MINUTE) == [ANN0, BOB0, *second(1)]
    assert turns(NOON, NOON + 90 * MINUTE - 1) == [ANN0, BOB0, *second(0)]
    assert turns(NOON, NOON + 3 * HOUR) == [ANN0, BOB0, *second(2)]


def test_without_a_repeat_the_last_step_is_due_once() -> None:
    once = replace(routing().escalations[0], repeat=None)
    chosen = routing(escalation=once)

    assert turns(NOON, NOON + 5 * DAY, chosen=chosen) == [ANN0, BOB0, *second(0)]


def test_whoever_does_not_work_now_is_told_when_that_begins() -> None:
    tuesday = MONDAY + DAY

    assert turns(NIGHT, NIGHT) == [ANN0]
    assert turns(NIGHT, tuesday + 9 * HOUR - 1)[:1] == [ANN0]
    assert BOB0 not in turns(NIGHT, tuesday + 9 * HOUR - 1)
    assert turns(NIGHT, tuesday + 9 * HOUR)[:2] == [ANN0, BOB0]


def test_rounds_of_the_night_reach_whoever_sleeps_as_one_in_the_morning() -> None:
    tuesday = MONDAY + DAY
    before = {turn.channel for turn in turns(NIGHT, tuesday + 9 * HOUR - 1) if turn.step == 2}
    found = [turn for turn in turns(NIGHT, tuesday + 9 * HOUR) if turn.step == 2]

    assert before == {"team"}
    assert [(one.channel, one.round) for one in found] == [("bob-mail", 10), ("team", 10)]


def test_of_a_page_all_are_told_at_once_while_nobody_else_of_the_step_can_be() -> None:
    assert turns(NIGHT, NIGHT, broken={"ann-phone"}) == [ANN0, BOB0]
    assert turns(NIGHT, NIGHT, broken={"ann-phone"}, severity=Severity.WARNING) == [ANN0]


def test_a_step_with_nobody_who_works_now_is_told_at_once() -> None:
    alone = Escalation(name="on-call", steps=(Step(after=0, people=("bob",)),))
    chosen = routing(escalation=alone)

    assert turns(NIGHT, NIGHT, chosen=chosen) == [BOB0]


def test_a_channel_of_two_people_is_told_once_when_the_first_of_them_works() -> None:
    late = Person(name="cy", channels=("team",), hours=Hours(begins=14 * 60, ends=20 * 60))
    early = Person(name="di", channels=("team",), hours=Hours(begins=8 * 60, ends=12 * 60))
    chosen = Routing(
        channels=CHANNELS,
        people=(late, early, Person(name="ann", channels=("ann-phone",))),
        escalations=(Escalation(name="e", steps=(Step(after=0, people=("cy", "di", "ann")),)),),
    )
    both = Turn(1, 0, "team", ("cy", "di"))

    assert both not in turns(NOON, NOON, chosen=chosen)
    assert both in turns(NOON, MONDAY + 14 * HOUR, chosen=chosen)
    assert both in turns(MONDAY + 8 * HOUR, MONDAY + 8 * HOUR, chosen=chosen)


def by_the_minute(since: Instant, now: Instant) -> set[tuple[int, int, str]]:
    """What was due at any minute up to *now*, found by walking there: who works is looked up."""
    found = set()
    for step, after, repeat in ((1, 0, None), (2, 30, 60)):
        waiting: set[int] = set()
        for minute in range((now - since) // MINUTE + 1):
            at = since + minute * MINUTE
            past = minute - after
            if past >= 0 and (past == 0 or (repeat and past % repeat == 0)):
                number = past // repeat if repeat else 0
                waiting.add(number)
                found.add((step, number, "ann-phone" if step == 1 else "team"))
            if waiting and works(at):
                found |= {(step, number, "bob-mail") for number in waiting}
                waiting = set()
    return found


def works(at: Instant) -> bool:
    """Whether 9 to 18 on Monday to Friday; of the days used here none is a holiday."""
    day, rest = divmod(at - MONDAY, DAY)
    return day % 7 < 5 and 9 * HOUR <= rest < 18 * HOUR


@given(st.integers(0, 6 * 24 * 60), st.integers(0, 3 * 24 * 60))
def test_what_is_due_is_the_newest_of_what_was_due_at_any_minute(begin: int, age: int) -> None:
    since = MONDAY + begin * MINUTE
    now = since + age * MINUTE
    walked = by_the_minute(since, now)
    newest = {
        (step, max(number for s, number, c in walked if (s, c) == (step, channel)), channel)
        for step, _, channel in walked
    }

    assert {(one.step, one.round, one.channel) for one in turns(since, now)} == newest
