"""Who is told all the same, though a page was acknowledged, met or overtaken; both databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, insert, select

from alerts.judging import BySettings
from alerts.routing import Escalation, Route, Routing
from monitor.facts import Instant
from monitor.filings import StepKind
from monitor.notices import Kind, Severity
from monitor.store import over, owing, schema
from monitor.store.engine import reading
from monitor.store.muted import Standings
from monitor.store.names import Names
from monitor.store.pages import Pages
from tests.builders import ANN, CY, enrolled
from tests.integration.feed import POLICY, TWO, Feed, confirmed, on
from tests.integration.filing_kit import K, filed, judge, say
from tests.integration.store_kit import MINUTE, NOW, batch, duties, keeper
from tests.integration.test_store_pages import CHANNELS, HOUR, PEOPLE, STEPS, TIMES, Office

ALL = Routing(channels=CHANNELS)
ON_CALL = Routing(
    channels=CHANNELS,
    people=PEOPLE,
    escalations=(Escalation(name="duty", steps=STEPS[:2], repeat=HOUR),),
    routes=(
        Route(
            rules=frozenset({"frt.file"}),
            severities=frozenset({Severity.PAGE}),
            escalation="duty",
        ),
        Route(channels=("third",)),
    ),
)


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    """Whatever a test does, ``verify`` finds the evidence of it whole."""
    made = Office(engine, ALL)
    yield made

    assert made.wrong() == []


def moved(feed: Feed, day: str, at: Instant) -> None:
    """Late facts: both had been there on *day*, long before the duty opened."""
    for number, who in enumerate([CY, ANN]):
        feed.read(0, [enrolled(who, on(day))], at + 2 * number)
        feed.tick(at + 2 * number + 1)
    feed.at_end(0, at + 4)
    feed.tick(at + 5)


def kinds(office: Office) -> dict[str, list[Kind]]:
    return {name: [one.kind for one in phone.got] for name, phone in office.phones.items()}


def test_who_acknowledges_a_duty_does_not_have_a_page_that_no_channel_could_tell_yet(
    engine: Engine, office: Office
) -> None:
    feed = confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    for phone in office.phones.values():
        phone.broken = True
    moved(feed, "2026-01-10", NOW + 2 * HOUR)
    office.send(NOW + 2 * HOUR + 10)
    office.acknowledge("acme/frt.file", NOW + 2 * HOUR + MINUTE)
    for phone in office.phones.values():
        phone.broken = False
    office.pass_to(NOW + 3 * HOUR)

    assert kinds(office) == {name: [Kind.DUTY_OPENED, Kind.DUTY_MOVED] for name in CHANNELS}


def test_who_has_only_a_log_of_a_page_does_not_have_it(engine: Engine, office: Office) -> None:
    """The shipped settings tell pages on the log, too."""
    office.judge = BySettings(ALL, lambda: TIMES, Standings(engine, logs=["third"]))
    feed = confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    for name in ("first", "second"):
        office.phones[name].broken = True
    moved(feed, "2026-01-10", NOW + 2 * HOUR)
    office.send(NOW + 2 * HOUR + 10)
    office.acknowledge("acme/frt.file", NOW + 2 * HOUR + MINUTE)
    for name in ("first", "second"):
        office.phones[name].broken = False
    office.pass_to(NOW + 3 * HOUR)

    assert kinds(office) == {name: [Kind.DUTY_OPENED, Kind.DUTY_MOVED] for name in CHANNELS}


def test_a_duty_that_opens_and_is_met_while_only_the_log_works_is_told(
    engine: Engine, office: Office
) -> None:
    office.judge = BySettings(ALL, lambda: TIMES, Standings(engine, logs=["third"]))
    for name in ("first", "second"):
        office.phones[name].broken = True
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    office.send(NOW + HOUR)
    for name in ("first", "second"):
        office.phones[name].broken = False
    office.pass_to(NOW + 2 * HOUR)
    paged = [name for name, got in kinds(office).items() if Kind.DUTY_OPENED in got]

    assert len(paged) == 2
    assert "third" in paged


@pytest.mark.parametrize("then", [None, K.COMPLETED, K.RETURNED])
def test_that_a_filing_was_late_after_all_is_told_on_every_channel(
    engine: Engine, office: Office, then: StepKind | None
) -> None:
    feed = confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    office.send(NOW + HOUR)
    office.phones["third"].broken = True
    moved(feed, "2026-01-10", NOW + 2 * HOUR)
    office.pass_to(NOW + 3 * HOUR)
    if then is not None:
        say(engine, then, "2026-03-06", now=NOW + 4 * HOUR)
    office.phones["third"].broken = False
    office.pass_to(NOW + 5 * HOUR)
    (filed_late,) = [duty for duty in duties(engine) if duty.rule == "frt.file"]

    assert (filed_late.owed, filed_late.in_time) == (False, False)
    assert all(Kind.DUTY_MOVED in got for got in kinds(office).values())


def test_of_a_duty_that_failed_and_is_annulled_a_channel_that_was_away_hears_no_page(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    say(engine, K.FAILED, "2026-03-09", now=NOW + 2 * HOUR)
    office.phones["third"].broken = True
    office.send(NOW + 2 * HOUR)
    judge(engine, K.ANNULLED, now=NOW + 3 * HOUR)
    office.phones["third"].broken = False
    office.pass_to(NOW + 4 * HOUR)
    paged = [one for one in office.phones["third"].got if one.severity is Severity.PAGE]

    assert [one.kind for one in paged] == [Kind.DUTY_OPENED]


def test_on_call_is_told_of_a_duty_that_late_facts_move_before_its_rule(engine: Engine) -> None:
    """It turns into its legacy row, whose name no route has."""
    office = Office(engine, ON_CALL)
    feed = confirmed(engine, TWO)
    office.phones["first"].broken = True
    office.pass_to(NOW + MINUTE)
    moved(feed, "2025-05-10", NOW + 2 * MINUTE)
    office.phones["first"].broken = False
    for hours in range(3):
        office.pass_to(NOW + 3 * MINUTE + hours * HOUR)

    assert [duty.rule for duty in duties(engine)] == ["frt.file.legacy"]
    assert kinds(office)["first"][0] is Kind.DUTY_MOVED
    assert {one.rule for one in office.phones["second"].got} == {"frt.file.legacy"}
    assert office.wrong() == []


def test_of_a_filing_that_was_submitted_and_failed_in_one_batch_one_page_is_open(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    both = [filed("submitted", on("2026-03-05")), filed("failed", on("2026-03-09"))]
    keeper(engine, POLICY).keep([batch(both, read_at=NOW + 3 * MINUTE)])
    office.send(NOW + 3 * MINUTE)
    (page,) = Pages(engine).open_pages([Severity.PAGE], NOW + 4 * MINUTE)
    (shown,) = office.outbox.open_duties()

    assert page.notice.kind is Kind.FILING_STEP
    assert (shown.former, shown.again) == ((None,), page.notice.key)


def test_a_duty_that_is_owed_again_and_turns_into_its_legacy_row_keeps_its_alert(
    engine: Engine, office: Office
) -> None:
    confirmed(engine, TWO)
    judge(engine, K.ANNULLED, now=NOW + 2 * MINUTE)
    judge(engine, K.REOPENED, now=NOW + 3 * MINUTE)
    (before,) = office.outbox.open_duties()
    judge(engine, K.CORRECTED, trigger_day=date(2025, 5, 31), now=NOW + 5 * MINUTE)
    (shown,) = office.outbox.open_duties()

    assert before.again is not None
    assert (shown.rule, shown.again) == ("frt.file.legacy", before.again)


def test_asking_whether_a_page_is_over_reads_no_places(
    engine: Engine, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each channel asks it of each page before it tells it: places may be many thousand."""
    confirmed(engine, TWO)
    office.send(NOW + MINUTE)
    with engine.begin() as connection:
        connection.execute(insert(schema.processors), [{"id": 77, "name": "other"}])
        found = connection.execute(select(schema.notices)).all()
    monkeypatch.setattr(Names, "load", None)
    with reading(engine) as connection:
        said = [over.calls_nobody(connection, owing.notice_of(row)) for row in found]
        many = {
            number: replace(owing.notice_of(found[0]), processor=f"p{number}")
            for number in range(600)
        }
        several = over.not_over(connection, many | {600: owing.notice_of(found[0])})

    assert said == [False] * len(found)
    assert several == [*range(601)]
