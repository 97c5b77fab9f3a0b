"""Pages until somebody acknowledges them, on both databases: steps, acknowledgements, evidence."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from alerts.channel import NotDelivered
from alerts.escalating import Escalating, step_of
from alerts.escalation import Turn as StepTurn
from alerts.judging import BySettings
from alerts.metrics import NoMetrics
from alerts.outbox import Retry, Turn, send_next
from alerts.people import Hours, Person, WorkingTime
from alerts.routing import Escalation, Route, Routing, Step
from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity
from monitor.store import audit, owing, pages, schema
from monitor.store.acknowledging import Done, Said, acknowledge
from monitor.store.engine import open_engine, reading
from monitor.store.muted import Standings
from monitor.store.notices_told import told
from monitor.store.outbox import SqlOutbox
from monitor.store.owed_told import answered_wrong
from monitor.store.pages import Pages
from monitor.workdays import load_calendar
from tests.integration.feed import TWO, confirmed
from tests.integration.store_kit import MINUTE, NOW, SECOND, not_owed, rules_at
from tests.outbox_contract import notice

HOUR = 60 * MINUTE
CHANNELS = ("first", "second", "third")
PEOPLE = tuple(Person(name=f"{name}-person", channels=(name,)) for name in CHANNELS)
STEPS = tuple(
    Step(after=number * 30 * MINUTE, people=(person.name,)) for number, person in enumerate(PEOPLE)
)
ROUTING = Routing(
    channels=CHANNELS,
    people=PEOPLE,
    escalations=(Escalation(name="duty", steps=STEPS, repeat=HOUR),),
    routes=(Route(severities=frozenset({Severity.PAGE}), escalation="duty"),),
)
TIMES = WorkingTime(load_calendar())
RETRY = Retry(jitter=lambda: 0.5)


@dataclass
class Phone:
    """A channel that takes everything unless it is broken, and remembers it."""

    name: str
    broken: bool = False
    got: list[Notice] = field(default_factory=list)

    def send(self, notice: Notice, now: Instant) -> str:  # noqa: ARG002 - as the protocol
        if self.broken:
            raise NotDelivered("no answer in time")
        self.got.append(notice)
        return "200"


class Gauges(NoMetrics):
    """What was shown last."""

    def __init__(self) -> None:
        self.open: tuple[int, float, int] = (-1, -1.0, -1)
        self.people: dict[str, bool] = {}
        self.steps: dict[tuple[str, int], bool] = {}

    def pages(self, waiting: int, oldest_s: float, after_last: int) -> None:
        self.open = (waiting, oldest_s, after_last)

    def reachable(self, people: object, steps: object) -> None:
        assert isinstance(people, dict)
        assert isinstance(steps, dict)
        self.people, self.steps = people, steps


class Office:
    """The alerts process, turn by turn, over a database."""

    def __init__(self, engine: Engine, routing: Routing = ROUTING) -> None:
        self.engine, self.outbox = engine, SqlOutbox(engine)
        self.phones = {name: Phone(name) for name in routing.channels}
        self.gauges = Gauges()
        self.judge = BySettings(routing, lambda: TIMES, Standings(engine))
        self.escalating = Escalating(routing, lambda: TIMES, Pages(engine), self.gauges)
        self.outbox.ensure(routing.channels, NOW - HOUR)

    def put(self, *notices: Notice) -> None:
        for one in notices:
            with self.engine.begin() as connection:
                owing.notify(connection, one)

    def pass_to(self, now: Instant) -> None:
        """Do what is due now: send, escalate, send."""
        self.send(now)
        self.escalating.look(now)
        self.send(now)

    def send(self, now: Instant) -> None:
        for phone in self.phones.values():
            while send_next(self.outbox, phone, now, RETRY, judge=self.judge) is not Turn.NONE_DUE:
                pass

    def got(self) -> dict[str, list[tuple[object, object]]]:
        """Return for each channel the step and round of what it got; those of a page are None."""
        return {
            name: [
                (one.body.get("escalation_step"), one.body.get("escalation_round"))
                for one in phone.got
            ]
            for name, phone in self.phones.items()
        }

    def acknowledge(self, what: str, now: Instant) -> Done | None:
        return acknowledge(self.engine, Said(what=what, by="ann", how="command"), now)

    def entries(self, kind: str) -> list[str]:
        with reading(self.engine) as connection:
            assert audit.broken_at(connection) is None
            return [one.body for one in audit.entries(connection) if one.kind == kind]

    def wrong(self) -> list[str]:
        with reading(self.engine) as connection:
            return [*not_owed(self.engine, rules_at(2)), *answered_wrong(connection)]


@pytest.fixture
def office(engine: Engine) -> Office:
    return Office(engine)


def page(name: str, *, at: Instant = NOW, duty: str | None = None, kind: Kind = Kind.GAP) -> Notice:
    return notice(name, at=at, duty=duty, kind=kind)


ALONE: tuple[object, object] = (None, None)


def test_a_page_goes_to_the_first_step_alone_and_then_up_the_steps(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    at_once = office.got()
    office.pass_to(NOW + 30 * MINUTE)
    later = office.got()
    office.pass_to(NOW + 60 * MINUTE)
    office.pass_to(NOW + 119 * MINUTE)
    office.pass_to(NOW + 120 * MINUTE)

    assert at_once == {"first": [ALONE], "second": [], "third": []}
    assert later == {"first": [ALONE], "second": [(2, 0)], "third": []}
    assert office.got() == {"first": [ALONE], "second": [(2, 0)], "third": [(3, 0), (3, 1)]}
    assert office.wrong() == []


def test_steps_that_were_missed_are_told_when_somebody_looks_again(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW + 10 * HOUR)

    assert office.got() == {"first": [ALONE], "second": [(2, 0)], "third": [(3, 9)]}


def test_an_acknowledgement_ends_the_escalation(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    done = office.acknowledge(page("a").key, NOW + MINUTE)
    office.pass_to(NOW + 5 * HOUR)

    assert done == Done(now=(page("a").key,), before=())
    assert office.got() == {"first": [ALONE], "second": [], "third": []}
    assert len(office.entries("page.acknowledged")) == 1
    assert office.wrong() == []


def test_a_step_that_was_written_and_not_sent_is_skipped_after_an_acknowledgement(
    office: Office,
) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    office.escalating.look(NOW + 30 * MINUTE)
    office.acknowledge(page("a").key, NOW + 31 * MINUTE)
    office.send(NOW + 32 * MINUTE)

    assert office.got()["second"] == []
    assert '"why":"acknowledged"' in office.entries("notice.skipped")[-1]
    assert office.wrong() == []


def test_the_first_acknowledgement_stays(office: Office) -> None:
    office.put(page("a"))
    office.acknowledge(page("a").key, NOW)
    again = acknowledge(office.engine, Said(what=page("a").key, by="bob", how="webhook"), NOW + 1)
    with reading(office.engine) as connection:
        ((by, at),) = connection.execute(
            select(schema.acknowledgements.c.by, schema.acknowledgements.c.at)
        ).all()

    assert again == Done(now=(), before=(page("a").key,))
    assert (by, at) == ("ann", NOW)


def test_of_a_step_its_page_is_acknowledged(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW + 30 * MINUTE)
    (step,) = office.phones["second"].got

    assert office.acknowledge(step.key, NOW + HOUR) == Done(now=(page("a").key,), before=())


def test_of_a_duty_all_its_pages_are_acknowledged(office: Office) -> None:
    mine = [page(name, duty="1", kind=Kind.DUTY_OPENED) for name in ("a", "b")]
    other = page("c", duty="2", kind=Kind.DUTY_OPENED)
    office.put(*mine, other)
    by_key = office.acknowledge("acme 第一/frt.file/1", NOW)
    by_rule = office.acknowledge("acme 第一/frt.file", NOW)

    assert by_key == Done(now=tuple(one.key for one in mine), before=())
    assert by_rule == Done(now=(other.key,), before=tuple(one.key for one in mine))


@pytest.mark.parametrize("what", ["gap:0", "acme 第一", "acme 第一/frt.file/1", ""])
def test_what_is_not_there_cannot_be_acknowledged(office: Office, what: str) -> None:
    office.put(page("a"))

    assert office.acknowledge(what, NOW) is None


def test_a_page_of_a_clock_is_over_when_its_duty_is_owed_no_more(engine: Engine) -> None:
    office = Office(engine)
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    with engine.begin() as connection:
        connection.execute(update(schema.duties).values(closed_at=NOW + 2 * MINUTE))
    office.pass_to(NOW + 5 * HOUR)

    assert office.got() == {"first": [ALONE], "second": [], "third": []}


def test_a_warning_is_not_escalated(office: Office) -> None:
    office.put(Notice(key="w:1", kind=Kind.GAP, severity=Severity.WARNING, created_at=NOW, body={}))
    office.pass_to(NOW + 5 * HOUR)

    # No route takes it, so all are told, once.
    assert office.got() == {name: [ALONE] for name in CHANNELS}


@pytest.mark.parametrize("ahead", [MINUTE, 400 * 24 * HOUR])
def test_a_page_of_a_clock_that_was_ahead_loses_no_step(office: Office, ahead: Instant) -> None:
    office.put(page("a", at=NOW + ahead))
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)

    assert office.got() == {"first": [ALONE], "second": [(2, 0)], "third": []}


def test_an_alerts_process_whose_clock_was_ahead_loses_no_step(office: Office) -> None:
    """The page was written ahead as well: its age is that of the first look that knows better."""
    office.put(page("a", at=NOW + 900 * HOUR))
    office.escalating.look(NOW + 800 * HOUR)
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)

    assert (2, 0) in office.got()["second"]


def test_old_pages_wake_nobody_when_escalations_are_first_set(office: Office) -> None:
    office.put(page("told", at=NOW - 40 * 24 * HOUR), page("new", at=NOW))
    plain = {name: Phone(name) for name in CHANNELS}
    for phone in plain.values():
        while send_next(office.outbox, phone, NOW, RETRY) is not Turn.NONE_DUE:
            pass
    office.pass_to(NOW + 30 * MINUTE)

    assert [one.body["page"] for one in office.phones["second"].got] == [page("new").key]


def test_an_old_page_that_nobody_got_is_escalated(office: Office) -> None:
    for phone in office.phones.values():
        phone.broken = True
    office.put(page("a", at=NOW - 40 * 24 * HOUR))
    office.pass_to(NOW)
    for phone in office.phones.values():
        phone.broken = False
    office.pass_to(NOW + 10 * MINUTE)

    assert office.got()["second"] == [(2, 0)]


def test_two_processes_write_each_step_once(office: Office, engine: Engine) -> None:
    office.put(page("a"))
    second = open_engine(engine.url.render_as_string(hide_password=False))
    other = Office(second)
    for one in (office, other):
        one.send(NOW)
    for now in range(NOW, NOW + 3 * HOUR + 1, 15 * MINUTE):
        for one in (office, other):
            one.escalating.look(now)
        for one in (office, other):
            one.send(now)
    got = [sorted([*office.got()[name], *other.got()[name]], key=repr) for name in CHANNELS]
    second.dispose()

    assert got == [[ALONE], [(2, 0)], [(3, 0), (3, 1), (3, 2)]]
    assert len(office.entries("page.escalated")) == 4


def test_who_writes_a_step_that_another_has_just_written_writes_nothing(office: Office) -> None:
    """Each has read that it is not there: the key decides."""
    office.put(page("a"))
    turn = StepTurn(2, 0, "second", ("second-person",))
    step = step_of(page("a"), ROUTING.escalations[0], turn, NOW, NOW + 30 * MINUTE)

    def write(_: int) -> None:
        with office.engine.begin() as connection:
            owing.note(connection, step, pages.ESCALATED)

    with ThreadPoolExecutor(4) as writers:
        list(writers.map(write, range(8)))
    office.send(NOW + 30 * MINUTE)

    assert len(office.entries("page.escalated")) == 1
    assert office.got()["second"] == [(2, 0)]


# -- channels that do not work -----------------------------------------------------------------


def test_whoever_is_behind_a_channel_that_fails_is_told_by_the_next_step_all_the_same(
    office: Office,
) -> None:
    office.phones["first"].broken = True
    office.put(page("a"))
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)

    assert office.got() == {"first": [], "second": [(2, 0)], "third": []}


def test_a_person_and_a_step_without_a_working_channel_are_shown(office: Office) -> None:
    office.phones["first"].broken = True
    office.put(page("a"))
    office.pass_to(NOW)
    before = dict(office.gauges.people)
    office.pass_to(NOW + 6 * MINUTE)
    during = (dict(office.gauges.people), dict(office.gauges.steps))
    office.phones["first"].broken = False
    office.pass_to(NOW + 20 * MINUTE)

    assert before == {f"{name}-person": True for name in CHANNELS}
    assert during[0] == before | {"first-person": False}
    assert during[1] == {("duty", 1): False, ("duty", 2): True, ("duty", 3): True}
    assert office.gauges.people == before


def test_whoever_sleeps_is_told_once_the_one_who_wakes_cannot_be(engine: Engine) -> None:
    """NOW is 07:33 in Beijing, before anybody's working hours."""
    sleeper = Person(name="sleeper", channels=("second",), hours=Hours())
    awake = Person(name="awake", channels=("first",))
    both = Escalation(name="duty", steps=(Step(after=0, people=("awake", "sleeper")),))
    office = Office(
        engine,
        Routing(
            channels=CHANNELS,
            people=(sleeper, awake),
            escalations=(both,),
            routes=(Route(escalation="duty"),),
        ),
    )
    office.phones["first"].broken = True
    office.put(page("a"))
    office.pass_to(NOW)
    before = office.got()["second"]
    office.pass_to(NOW + 6 * MINUTE)

    assert before == []
    assert office.got()["second"] == [(1, 0)]


def test_whoever_sleeps_is_told_in_the_morning(engine: Engine) -> None:
    sleeper = Person(name="sleeper", channels=("second",), hours=Hours())
    awake = Person(name="awake", channels=("first",))
    both = Escalation(name="duty", steps=(Step(after=0, people=("awake", "sleeper")),))
    office = Office(
        engine,
        Routing(
            channels=CHANNELS,
            people=(sleeper, awake),
            escalations=(both,),
            routes=(Route(escalation="duty"),),
        ),
    )
    office.put(page("a"))
    nine = NOW + 86 * MINUTE + 40 * SECOND  # 09:00 in Beijing
    for now in (NOW, nine - 1):
        office.pass_to(now)
    before = office.got()
    office.pass_to(nine)

    assert before == {"first": [ALONE], "second": [], "third": []}
    assert office.got() == {"first": [ALONE], "second": [(1, 0)], "third": []}


def test_open_pages_are_counted_with_the_age_of_the_oldest(office: Office) -> None:
    office.put(page("a"), page("b", at=NOW + 10 * MINUTE))
    office.pass_to(NOW + 65 * MINUTE)
    shown = office.gauges.open
    office.acknowledge(page("a").key, NOW + 65 * MINUTE)
    office.pass_to(NOW + 66 * MINUTE)

    assert shown == (2, 65 * 60.0, 1)
    assert office.gauges.open == (1, 56 * 60.0, 0)


# -- evidence ----------------------------------------------------------------------------------


def test_the_evidence_says_what_went_where_and_who_answered(office: Office) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)
    acknowledge(office.engine, Said(what=page("a").key, by="ann", how="command"), NOW + HOUR)
    with reading(office.engine) as connection:
        first, step = told(connection)

    assert {way.channel: (way.answer, way.skipped) for way in first.ways} == {
        "first": ("200", None),
        "second": (None, "not_routed"),
        "third": (None, "not_routed"),
    }
    assert {way.channel: (way.people, way.step) for way in first.ways} == {
        "first": ("first-person", 1),
        "second": (None, None),
        "third": (None, None),
    }
    assert [(way.people, way.step) for way in step.ways] == [("second-person", 2)]
    assert '"people":"first-person","step":1' in office.entries("notice.sent")[0]
    assert first.acknowledged is not None
    assert (first.acknowledged.by, first.acknowledged.at) == ("ann", NOW + HOUR)
    assert [(way.channel, way.answer) for way in step.ways] == [("second", "200")]
    assert step.notice.body["people"] == "second-person"


def test_the_evidence_can_be_asked_for_a_processor_a_duty_and_a_time(office: Office) -> None:
    office.put(page("a", duty="1"), page("b", at=NOW + HOUR))

    def keys(**asked: Any) -> list[str]:
        with reading(office.engine) as connection:
            return [one.notice.key for one in told(connection, **asked)]

    a, b = page("a").key, page("b").key
    assert keys(processor="acme 第一") == [a, b]
    assert keys(processor="beta") == []
    assert keys(duty="frt.file") == keys(duty="frt.file/1") == [a]
    assert keys(duty="frt.file/2") == []
    assert keys(since=NOW + 1) == [b]


TAMPERED: Sequence[tuple[str, str]] = (
    ("deliveries", "UPDATE deliveries SET skipped_at = NULL WHERE channel = 'third'"),
    ("deliveries", "UPDATE deliveries SET skipped = 'other' WHERE channel = 'third'"),
    ("acknowledgements", "UPDATE acknowledgements SET by = 'eve'"),
    ("acknowledgements", "DELETE FROM acknowledgements"),
    ("notices", "DELETE FROM notices WHERE kind = 'escalated'"),
)


@pytest.mark.parametrize("statement", [one for _, one in TAMPERED])
def test_what_was_changed_by_hand_is_found(office: Office, statement: str) -> None:
    office.put(page("a"))
    office.pass_to(NOW)
    office.pass_to(NOW + 30 * MINUTE)
    office.acknowledge(page("a").key, NOW + HOUR)
    right = office.wrong()
    with office.engine.begin() as connection:
        done = connection.exec_driver_sql(statement.replace(" by ", ' "by" '))
        assert done.rowcount >= 1

    assert right == []
    assert office.wrong() != []
