"""Routes that change while pages wait, and pages that are out of date, on both databases."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from sqlalchemy import Engine

from alerts.escalating import Escalating
from alerts.judging import BySettings
from alerts.outbox import send_next
from alerts.people import Person
from alerts.routing import Escalation, Route, Routing, Step
from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity
from monitor.store.muted import Standings
from monitor.store.pages import Pages
from tests.integration.store_kit import MINUTE, NOW, SECOND
from tests.integration.test_store_pages import ALONE, CHANNELS, HOUR, TIMES, Office, Phone, page


def to(*channels: str, known: tuple[str, ...] = CHANNELS) -> Routing:
    return Routing(channels=known, routes=(Route(channels=channels),))


def restarted(office: Office, routing: Routing, now: Instant) -> None:
    """Begin anew with other settings."""
    office.judge = BySettings(routing, lambda: TIMES, Standings(office.engine))
    office.phones = {name: office.phones[name] for name in routing.channels}
    office.outbox.ensure(routing.channels, now)


def keys(office: Office, name: str) -> list[str]:
    return [one.key for one in office.phones[name].got]


@pytest.fixture
def dead(engine: Engine) -> Office:
    """A page goes to a channel that does not work, and the others were passed over."""
    office = Office(engine, to("first"))
    office.phones["first"].broken = True
    office.put(page("a"))
    office.send(NOW)
    assert [office.phones[name].got for name in CHANNELS] == [[], [], []]
    return office


def test_a_page_that_is_led_elsewhere_is_told_there(dead: Office) -> None:
    restarted(dead, to("second"), NOW + MINUTE)
    dead.send(NOW + MINUTE)
    dead.send(NOW + 2 * MINUTE)

    assert (keys(dead, "second"), keys(dead, "third")) == ([page("a").key], [])
    assert dead.outbox.waiting() == []
    assert len(dead.entries("notice.owed_again")) == 1
    assert dead.wrong() == []


def test_a_page_of_a_channel_that_is_removed_is_told_by_the_new_route(dead: Office) -> None:
    restarted(dead, to("second", known=("second", "third")), NOW + MINUTE)
    dead.send(NOW + MINUTE)
    again = len(dead.entries("notice.owed_again"))
    dead.outbox.ensure(["second", "third"], NOW + 2 * MINUTE)

    assert (keys(dead, "second"), keys(dead, "third")) == ([page("a").key], [])
    assert len(dead.entries("notice.owed_again")) == again
    assert dead.wrong() == []


def test_a_page_of_a_channel_that_is_removed_is_told_though_a_log_has_it(engine: Engine) -> None:
    office = Office(engine, to("first", "third"))
    office.phones["first"].broken = True
    office.put(page("a"))
    office.send(NOW)
    restarted(office, to("second", "third", known=("second", "third")), NOW + MINUTE)
    office.send(NOW + MINUTE)

    assert (keys(office, "second"), keys(office, "third")) == ([page("a").key], [page("a").key])


def test_of_two_processes_with_other_routes_one_tells_it(engine: Engine) -> None:
    office = Office(engine, to("first"))
    old, new = office.judge, BySettings(to("second"), lambda: TIMES, Standings(engine))
    office.put(page("a"))
    for judge, name in ((old, "second"), (new, "first"), (old, "second"), (new, "second")):
        claim = office.outbox.claim(name, NOW, MINUTE)
        skip = None if claim is None else judge.why_not(claim.notice, name, NOW)
        if claim is not None and (skip is None or not office.outbox.skipped(claim, NOW, skip)):
            office.outbox.sent(claim, NOW, "200")
    for after in (1, 2):
        office.send(NOW + after * SECOND)
    told = [one for name in CHANNELS for one in office.outbox.told_since(name, 0, NOW + HOUR)]

    assert [one.notice.key for one in told] == [page("a").key]
    assert office.wrong() == []


def test_a_page_that_its_channel_never_tried_is_told_by_the_new_route(engine: Engine) -> None:
    """Its thread was at an older page, and a log has told it."""
    office = Office(engine, to("first", "third"))
    first = office.phones.pop("first")
    office.put(page("a"))
    office.send(NOW)
    office.phones["first"] = first
    first.broken = True
    restarted(office, to("second", "third"), NOW + MINUTE)
    office.send(NOW + MINUTE)
    office.send(NOW + 2 * MINUTE)

    assert (keys(office, "second"), keys(office, "third")) == ([page("a").key], [page("a").key])
    assert office.outbox.waiting() == []
    assert office.wrong() == []


def test_of_two_processes_with_other_routes_and_a_log_one_tells_it_in_any_order(
    engine: Engine,
) -> None:
    """Both in the same order again and again; the old one ends after one round, or never."""
    office = Office(engine)
    judges = {
        one: BySettings(to(one, "third"), lambda: TIMES, Standings(engine))
        for one in ("first", "second")
    }
    turns = [(judge, name) for judge in judges for name in ("first", "second")]
    late = []
    for order, stays in product(permutations(turns), (True, False)):
        told = page(f"{len(keys(office, 'third'))}")
        office.put(told)
        rounds = 0
        send_next(office.outbox, office.phones["third"], NOW, judge=judges["first"])
        while not any(told.key in keys(office, name) for name in ("first", "second")):
            rounds += 1
            for judge, name in order:
                if rounds == 1 or stays or judge == "second":
                    send_next(office.outbox, office.phones[name], NOW, judge=judges[judge])
            if rounds > 4:
                late.append(order)
                break
        office.judge = judges["second"]
        office.send(NOW)

    assert late == []
    assert len(keys(office, "third")) == 48
    assert office.outbox.waiting() == []
    assert office.wrong() == []


def test_what_was_passed_over_and_is_acknowledged_is_not_told_again(dead: Office) -> None:
    dead.acknowledge(page("a").key, NOW + SECOND)
    restarted(dead, to("second", known=("second", "third")), NOW + MINUTE)
    dead.send(NOW + MINUTE)

    assert keys(dead, "second") == []


# -- what is out of date -----------------------------------------------------------------------


def reminder(name: str, at: Instant, duty: str = "1") -> Notice:
    return Notice(
        key=f"reminder:{name}",
        kind=Kind.REMINDER,
        severity=Severity.PAGE,
        processor="acme",
        rule="frt.file",
        duty=duty,
        created_at=at,
        body={"working_days_left": -1, "rung": name},
    )


def test_of_the_reminders_of_an_outage_the_newest_of_each_duty_is_told(engine: Engine) -> None:
    office = Office(engine, Routing(channels=CHANNELS))
    office.put(*(reminder(str(day), NOW + day) for day in range(7)), reminder("b", NOW, "2"))
    office.send(NOW + HOUR)

    assert sorted(keys(office, "first")) == ["reminder:6", "reminder:b"]
    assert '"why":"superseded"' in office.entries("notice.skipped")[-1]
    assert office.wrong() == []


def test_of_the_rounds_that_a_channel_missed_it_is_told_the_newest(engine: Engine) -> None:
    office = Office(engine)
    office.phones["third"].broken = True
    office.put(page("a"), page("b"))
    for now in range(NOW, NOW + 6 * HOUR, 30 * MINUTE):
        office.pass_to(now)
    office.phones["third"].broken = False
    office.send(NOW + 6 * HOUR)

    assert office.got()["third"] == [(3, 4), (3, 4)]
    assert office.outbox.waiting() == []


def test_a_page_that_a_failing_channel_put_off_goes_when_that_works_again(engine: Engine) -> None:
    office = Office(engine, Routing(channels=("first",)))
    phone = office.phones["first"]
    phone.broken = True
    office.put(page("a"))
    for now in range(NOW, NOW + 40 * MINUTE, MINUTE):
        office.send(now)
    phone.broken = False
    office.put(page("b"))
    claim = office.outbox.claim("first", NOW + 40 * MINUTE, MINUTE)
    assert claim is not None
    office.outbox.sent(claim, NOW + 40 * MINUTE, "200")
    office.send(NOW + 40 * MINUTE)

    assert claim.notice == page("b")
    assert keys(office, "first") == [page("a").key]


def test_what_another_process_is_sending_is_not_taken_from_it_when_the_channel_works(
    engine: Engine,
) -> None:
    office = Office(engine, Routing(channels=("first",)))
    office.put(page("a"), page("b"))
    one = office.outbox.claim("first", NOW, MINUTE)
    assert one is not None
    office.outbox.failed(one, NOW + 5 * MINUTE, "answered 500")
    two = office.outbox.claim("first", NOW + 5 * MINUTE, MINUTE)
    held = office.outbox.claim("first", NOW + 5 * MINUTE, MINUTE)
    assert two is not None
    assert held is not None
    office.outbox.sent(two, NOW + 5 * MINUTE, "200")

    assert office.outbox.claim("first", NOW + 5 * MINUTE + SECOND, MINUTE) is None


def alone(engine: Engine) -> Office:
    """One person, who is told every half an hour."""
    ann = Person(name="ann", channels=("first",))
    steps = (Step(after=0, people=("ann",)),)
    every = Escalation(name="duty", steps=steps, repeat=30 * MINUTE)
    return Office(
        engine,
        Routing(
            channels=("first",),
            people=(ann,),
            escalations=(every,),
            routes=(Route(escalation="duty"),),
        ),
    )


def test_who_is_told_a_page_after_an_outage_is_told_again_after_its_repeat(engine: Engine) -> None:
    office = alone(engine)
    office.put(page("a"))
    back = NOW + 10 * HOUR
    office.escalating.look(back)
    for now in (back, back + 30 * MINUTE - 1):
        office.pass_to(now)
    before = office.got()["first"]
    office.pass_to(back + 30 * MINUTE)

    assert before == [ALONE]
    assert office.got()["first"] == [ALONE, (1, 21)]


def test_a_delivery_that_a_clock_far_ahead_has_marked_keeps_no_repeat_back(engine: Engine) -> None:
    office = alone(engine)
    office.put(page("a"))
    office.send(NOW + 400 * 24 * HOUR)
    office.pass_to(NOW + 30 * MINUTE)

    assert office.got()["first"] == [ALONE, (1, 1)]


def test_a_new_channel_is_not_told_what_somebody_has(engine: Engine) -> None:
    office = Office(engine, to("first", known=("first",)))
    office.put(page("a", duty="1"), page("b", duty="2"))
    office.send(NOW)
    office.acknowledge(page("a", duty="1").key, NOW + MINUTE)
    office.phones["second"] = Phone("second")
    restarted(office, to("second", known=("first", "second")), NOW + HOUR)
    office.send(NOW + HOUR)

    assert keys(office, "second") == [page("b").key]


def test_of_the_steps_that_a_new_channel_missed_it_is_told_the_last_alone(engine: Engine) -> None:
    """Ann is of both steps, and her channel is new to a page that another has told."""
    office = Office(engine, to("third"))
    office.put(page("a"))
    office.send(NOW)
    ann = Person(name="ann", channels=("first",))
    steps = tuple(Step(after=after, people=("ann",)) for after in (0, 10 * MINUTE))
    ladder = Escalation(name="duty", steps=steps)
    routing = Routing(
        channels=CHANNELS,
        people=(ann,),
        escalations=(ladder,),
        routes=(Route(escalation="duty"),),
    )
    office.escalating = Escalating(routing, lambda: TIMES, Pages(engine), office.gauges)
    restarted(office, routing, NOW + HOUR)
    for now in (NOW + HOUR, NOW + HOUR + 2 * SECOND, NOW + 2 * HOUR):
        office.pass_to(now)

    assert office.got()["first"] == [(2, 0)]
