"""Duties that are owed again: one page tells it, and older ones stay over, on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, insert, select

from monitor.facts import Instant
from monitor.muting import Silence
from monitor.notices import Kind, Severity
from monitor.store import muted, notices_told, schema
from monitor.store.acknowledging import Said, acknowledge
from monitor.store.engine import reading
from monitor.store.muted import Expiring, Wanted
from monitor.store.owed_told import answered_wrong
from monitor.store.pages import Pages
from tests.builders import CY, enrolled
from tests.integration.feed import POLICY, TWO, confirmed, on
from tests.integration.filing_kit import CANCEL, FILE, K, filed, judge, live, say, terminated
from tests.integration.store_kit import MINUTE, NOW, batch, duties, keeper
from tests.integration.test_store_annulled import crossed_twice
from tests.integration.test_store_pages import ALONE, HOUR, Office
from tests.integration.test_store_rerouting import reminder

FIRST, THEN, AGAIN = NOW + HOUR, NOW + 2 * HOUR, NOW + 3 * HOUR


def _withdrawn(engine: Engine) -> None:
    """The submission was told by mistake."""
    step = say(engine, K.SUBMITTED, "2026-03-05", now=THEN).step
    judge(engine, K.CORRECTED, withdraws=step, now=AGAIN)


def _reopened(engine: Engine) -> None:
    judge(engine, K.ANNULLED, now=THEN)
    judge(engine, K.REOPENED, now=AGAIN)


def _failed(engine: Engine) -> None:
    say(engine, K.SUBMITTED, "2026-03-05", now=THEN)
    say(engine, K.FAILED, "2026-03-09", now=AGAIN)


def _told_to_have_failed(engine: Engine) -> None:
    monitor = keeper(engine, POLICY)
    monitor.keep([batch([filed("submitted", on("2026-03-05"))], read_at=THEN)])
    monitor.keep([batch([filed("failed", on("2026-03-09"))], read_at=AGAIN)])


def _completed_and_taken_back(engine: Engine) -> None:
    first = say(engine, K.SUBMITTED, "2026-03-05", now=THEN).step
    second = say(engine, K.COMPLETED, "2026-03-06", now=THEN + 1).step
    judge(engine, K.CORRECTED, withdraws=second, now=THEN + 2)
    judge(engine, K.CORRECTED, withdraws=first, now=AGAIN)


WAYS: dict[Callable[[Engine], None], Kind] = {
    _withdrawn: Kind.DUTY_REOPENED,
    _reopened: Kind.DUTY_REOPENED,
    _failed: Kind.FILING_STEP,
    _told_to_have_failed: Kind.FILING_STEP,
    _completed_and_taken_back: Kind.DUTY_REOPENED,
}


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    """Whatever a test does, ``verify`` finds the evidence of it whole."""
    made = Office(engine)
    yield made

    assert made.wrong() == []


def open_kinds(engine: Engine, now: Instant = AGAIN) -> list[Kind]:
    return [one.notice.kind for one in Pages(engine).open_pages([Severity.PAGE], now)]


def kinds(office: Office, name: str) -> list[Kind]:
    return [one.kind for one in office.phones[name].got]


def escalated(office: Office, name: str) -> list[object]:
    steps = [one for one in office.phones[name].got if one.kind is Kind.ESCALATED]
    return [one.body["escalated_kind"] for one in steps]


@pytest.mark.parametrize(("way", "kind"), WAYS.items(), ids=[way.__name__ for way in WAYS])
def test_of_a_duty_that_is_owed_again_the_newest_page_alone_goes_up_the_steps(
    engine: Engine, office: Office, way: Callable[[Engine], None], kind: Kind
) -> None:
    confirmed(engine, TWO)
    office.put(reminder("old", NOW + MINUTE))
    office.pass_to(NOW + MINUTE)
    before = open_kinds(engine)
    way(engine)
    office.pass_to(AGAIN)
    office.pass_to(AGAIN + 30 * MINUTE)
    steps = escalated(office, "second")

    assert before == [Kind.DUTY_OPENED, Kind.REMINDER]
    assert open_kinds(engine) == [kind]
    assert steps == [kind]
    assert sum('"kind":"duty_opened"' in body for body in office.entries("page.over")) == 1
    assert sum('"kind":"reminder"' in body for body in office.entries("page.over")) == 1
    assert office.entries("page.acknowledged") == []


def test_a_page_that_tells_it_is_owed_again_is_over_with_the_next_one(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    _reopened(engine)
    judge(engine, K.ANNULLED, now=AGAIN + 1)
    between = open_kinds(engine)
    judge(engine, K.REOPENED, now=AGAIN + 2)

    assert between == []
    assert open_kinds(engine) == [Kind.DUTY_REOPENED]
    assert len(office.entries("page.over")) == 4


def test_while_a_duty_is_owed_no_more_nothing_is_over_for_good(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    say(engine, K.SUBMITTED, "2026-03-05", now=THEN)
    say(engine, K.COMPLETED, "2026-03-25", now=THEN + 1)

    assert open_kinds(engine) == []
    assert office.entries("page.over") == []


def test_the_page_of_another_duty_stays_open(engine: Engine, office: Office) -> None:
    feed = confirmed(engine, TWO)
    live(feed, terminated(on("2026-03-20")), now=NOW + MINUTE)
    before = open_kinds(engine)
    judge(engine, K.ANNULLED, rule=CANCEL, now=THEN)
    judge(engine, K.REOPENED, rule=CANCEL, now=AGAIN)

    assert before == [Kind.DUTY_OPENED, Kind.DUTY_OPENED]
    assert open_kinds(engine) == [Kind.DUTY_OPENED, Kind.DUTY_REOPENED]
    assert [body.partition(',"notice"')[0] for body in office.entries("page.over")] == [
        '{"duty":"1","kind":"duty_opened"',
        '{"duty":"1","kind":"duty_closed"',
    ]
    assert all('"rule":"frt.cancel"' in body for body in office.entries("page.over"))


def test_a_duty_that_another_decision_makes_owed_again_has_one_page(
    engine: Engine, office: Office
) -> None:
    """The second crossing is superseded while the first one is owed."""
    feed = crossed_twice(engine)
    judge(engine, K.ANNULLED, now=FIRST)
    live(feed, enrolled(CY, NOW + MINUTE), now=FIRST + 1)
    judge(engine, K.REOPENED, duty="1", now=THEN)
    owed = [duty.key for duty in duties(engine) if duty.owed]
    judge(engine, K.ANNULLED, duty="1", now=AGAIN)
    found = Pages(engine).open_pages([Severity.PAGE], AGAIN)

    assert owed == ["1"]
    assert [duty.key for duty in duties(engine) if duty.owed] == ["2"]
    assert [(one.notice.duty, one.notice.kind) for one in found] == [("2", Kind.DUTY_REOPENED)]
    assert len(office.entries("page.over")) == 4


def test_what_a_dead_channel_still_owes_of_before_is_not_told_after_the_page_of_now(
    engine: Engine, office: Office
) -> None:
    """Neither the page nor a step of it: they say a day of then."""
    for name in ("first", "second"):
        office.phones[name].broken = True
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    office.pass_to(NOW + 31 * MINUTE)
    _reopened(engine)
    for name in ("first", "second"):
        office.phones[name].broken = False
    office.send(AGAIN + MINUTE)
    office.pass_to(AGAIN + 10 * MINUTE)
    skipped = [body for body in office.entries("notice.skipped") if '"why":"over"' in body]

    assert kinds(office, "first") == [Kind.DUTY_REOPENED]
    assert escalated(office, "second") == []
    assert len(skipped) == 5
    assert office.outbox.waiting() == []


@pytest.mark.parametrize(("way", "kind"), WAYS.items(), ids=[way.__name__ for way in WAYS])
def test_a_channel_that_was_away_hears_last_that_the_duty_is_owed_again(
    engine: Engine, office: Office, way: Callable[[Engine], None], kind: Kind
) -> None:
    """Not that it was met or had ended: to Alertmanager that would be the end of its alert."""
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    office.phones["first"].broken = True
    way(engine)
    office.send(AGAIN)
    office.phones["first"].broken = False
    office.send(AGAIN + HOUR)
    told = [(one.kind, one.severity) for one in office.phones["first"].got]

    assert [one.duty for one in office.outbox.open_duties()] == ["1"]
    assert told == [(Kind.DUTY_OPENED, Severity.PAGE), (kind, Severity.PAGE)]
    assert office.outbox.waiting() == []


def test_what_ends_it_the_next_time_is_told(engine: Engine, office: Office) -> None:
    confirmed(engine, TWO)
    _reopened(engine)
    judge(engine, K.ANNULLED, now=AGAIN + 1)
    office.send(AGAIN + MINUTE)

    assert kinds(office, "first")[-1] is Kind.DUTY_CLOSED
    assert kinds(office, "first").count(Kind.DUTY_CLOSED) == 1


def test_a_silence_that_ends_tells_nothing_of_before(engine: Engine, office: Office) -> None:
    wanted = Wanted(until=AGAIN + HOUR, by="ops", reason="works", kind=Kind.REMINDER)
    made: Silence = muted.add(engine, wanted, NOW)
    confirmed(engine, TWO)
    office.put(replace(reminder("early", NOW + MINUTE), body={"working_days_left": 3}))
    office.send(NOW + MINUTE)
    _reopened(engine)
    Expiring(engine, lambda _: None).look(made.until)
    office.send(made.until)

    assert kinds(office, "first") == [Kind.DUTY_OPENED, Kind.DUTY_REOPENED]


def test_what_is_over_for_good_is_acknowledged_by_nobody_and_is_shown(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    _reopened(engine)
    done = acknowledge(engine, Said(what=f"acme/{FILE}", by="ann", how="command"), AGAIN + 1)
    with reading(engine) as connection:
        shown = [
            (one.notice.kind, one.over_at)
            for one in notices_told.told(connection)
            if one.notice.severity is Severity.PAGE
        ]

    assert shown == [(Kind.DUTY_OPENED, AGAIN), (Kind.DUTY_REOPENED, None)]
    assert done is not None
    assert len(done.now) == 2
    assert office.entries("page.over")[0].startswith('{"duty":"1","kind":"duty_opened"')


def test_a_page_that_was_made_over_by_hand_is_found(engine: Engine) -> None:
    office = Office(engine)
    confirmed(engine, TWO)
    with engine.begin() as connection:
        number = connection.scalar(select(schema.notices.c.id))
        connection.execute(insert(schema.pages_over).values(notice_id=number, at=NOW))
    with reading(engine) as connection:
        (found,) = answered_wrong(connection)

    assert open_kinds(engine) == []
    assert found.startswith("page that is over duty_opened:")
    assert found.endswith("(not as the audit log says)")
    assert office.got() == {name: [] for name in ("first", "second", "third")}


def test_of_a_duty_that_was_opened_and_met_in_one_batch_the_page_of_its_failure_stays(
    engine: Engine, office: Office
) -> None:
    feed = confirmed(engine, TWO)
    live(
        feed,
        terminated(on("2026-03-20")),
        filed("submitted", on("2026-03-21"), rule=CANCEL),
        now=FIRST,
    )
    live(feed, filed("failed", on("2026-03-22"), rule=CANCEL), now=THEN)
    office.pass_to(AGAIN)

    assert open_kinds(engine) == [Kind.DUTY_OPENED, Kind.FILING_STEP]
    assert office.got()["first"].count(ALONE) >= 2
