"""Silences on both databases: what they keep back, and what is told when they end."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest
from sqlalchemy import Engine, event, update

from monitor.muting import LONGEST_DAYS
from monitor.notices import Claim, Kind, Notice, Severity, Skip
from monitor.store import muted, owing, schema
from monitor.store.engine import reading
from monitor.store.muted import Expiring, NotSilenced, Wanted
from monitor.store.owed_told import answered_wrong
from tests.integration.feed import DAY, TWO, confirmed
from tests.integration.filing_kit import K, say
from tests.integration.store_kit import MINUTE, NOW
from tests.integration.test_store_pages import ALONE, HOUR, Office, page
from tests.integration.test_store_rerouting import restarted, to


@pytest.fixture
def office(engine: Engine) -> Office:
    return Office(engine)


def silence(office: Office, hours: int = 1, **what: Any) -> int:
    wanted = Wanted(until=NOW + hours * HOUR, by="ops", reason="works", **what)
    return muted.add(office.engine, wanted, NOW).number


def expire(office: Office, now: int) -> list[int]:
    """Let those that are over end; return how many last."""
    lasting: list[int] = []
    Expiring(office.engine, lasting.append).look(now)
    return lasting


def test_what_is_silenced_is_skipped_with_the_number_of_the_silence(office: Office) -> None:
    number = silence(office, kind=Kind.GAP)
    office.put(page("a"), page("b", kind=Kind.LOG_WENT_BACK))
    office.pass_to(NOW)
    skips = [body for body in office.entries("notice.skipped") if '"why":"silenced"' in body]

    assert [one.kind for one in office.phones["first"].got] == [Kind.LOG_WENT_BACK]
    assert len(skips) == 1
    assert f'"silence":{number}' in skips[0]
    assert office.wrong() == []


def test_the_page_that_opens_a_duty_is_told_all_the_same(engine: Engine) -> None:
    office = Office(engine)
    silence(office, severity=Severity.PAGE)
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)

    assert [one.kind for one in office.phones["first"].got] == [Kind.DUTY_OPENED]


def test_the_page_that_opens_a_duty_goes_up_its_steps_all_the_same(engine: Engine) -> None:
    """Its first channel may be dead, and then nobody would have it."""
    office = Office(engine)
    silence(office, hours=5, processor="acme")
    office.phones["first"].broken = True
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    office.pass_to(NOW + 31 * MINUTE)
    before = [one.body["escalated_kind"] for one in office.phones["second"].got]
    office.acknowledge("acme/frt.file", NOW + 32 * MINUTE)
    office.pass_to(NOW + 2 * HOUR)

    assert before == [Kind.DUTY_OPENED]
    assert office.got()["third"] == []


@pytest.mark.parametrize("kind", [K.FAILED, K.TERMINATED])
def test_the_page_that_a_filing_failed_is_told_and_goes_up_its_steps_all_the_same(
    engine: Engine, kind: K
) -> None:
    """Its duty is owed again. That it was submitted is muted: there is time for that."""
    office = Office(engine)
    silence(office, hours=5, processor="acme")
    confirmed(engine, TWO)
    office.pass_to(NOW + MINUTE)
    office.acknowledge("acme/frt.file", NOW + 2 * MINUTE)
    say(engine, K.SUBMITTED, "2026-03-05", now=NOW + HOUR)
    say(engine, kind, "2026-03-09", now=NOW + 2 * HOUR)
    for after in (0, 30 * MINUTE):
        office.pass_to(NOW + 2 * HOUR + after)
    told = [(one.kind, one.body.get("step")) for one in office.phones["first"].got]

    assert told == [(Kind.DUTY_OPENED, None), (Kind.FILING_STEP, kind.value)]
    assert [one.body["escalated_kind"] for one in office.phones["second"].got] == [Kind.FILING_STEP]
    assert office.wrong() == []


def test_no_clock_stops_for_a_silence(engine: Engine) -> None:
    office = Office(engine)
    silence(office, processor="acme")
    confirmed(engine, TWO)

    assert [duty.duty for duty in office.outbox.open_duties()] == ["1"]


@pytest.mark.parametrize("ended", ["by a person", "by time"])
def test_when_a_silence_ends_what_is_still_open_is_told(office: Office, ended: str) -> None:
    number = silence(office, kind=Kind.GAP)
    warning = Notice(key="gap:w", kind=Kind.GAP, severity=Severity.WARNING, created_at=NOW, body={})
    office.put(page("a"), page("done"), warning)
    office.pass_to(NOW)
    office.acknowledge(page("done").key, NOW + MINUTE)
    if ended == "by a person":
        assert muted.end(office.engine, number, "ops", NOW + 2 * MINUTE)
        office.send(NOW + 3 * MINUTE)
    else:
        assert expire(office, NOW + HOUR - 1) == [1]
        assert expire(office, NOW + HOUR) == [0]
        office.send(NOW + HOUR)
    kinds = ["silence.ended", "silence.expired"]

    assert [one.key for one in office.phones["first"].got] == [page("a").key]
    assert [len(office.entries(kind)) for kind in kinds] == (
        [1, 0] if ended == "by a person" else [0, 1]
    )
    assert len(office.entries("notice.owed_again")) == 1
    assert office.wrong() == []


def test_a_muted_page_whose_channel_has_left_is_told_by_the_new_route(engine: Engine) -> None:
    """Though a log has it: nobody reads that at night."""
    office = Office(engine, to("first", "third"))
    office.phones["first"].broken = True
    office.put(page("a"))
    office.send(NOW)
    silence(office, kind=Kind.GAP)
    office.send(NOW + 10 * MINUTE)
    restarted(office, to("second", "third", known=("second", "third")), NOW + 20 * MINUTE)
    office.send(NOW + 20 * MINUTE)
    before = office.got()["second"]
    for now in (NOW + HOUR, NOW + 2 * HOUR):
        expire(office, now)
        office.outbox.ensure(["second", "third"], now)
        office.send(now)

    assert before == []
    assert office.got() == {"second": [ALONE], "third": [ALONE]}
    assert office.wrong() == []


def test_of_the_steps_that_were_muted_the_newest_is_told(office: Office) -> None:
    silence(office, hours=5, kind=Kind.GAP)
    office.put(page("a"))
    for now in range(NOW, NOW + 5 * HOUR, 30 * MINUTE):
        office.pass_to(now)
    before = office.got()
    expire(office, NOW + 5 * HOUR)
    office.send(NOW + 5 * HOUR)

    assert before == {"first": [], "second": [], "third": []}
    assert office.got() == {"first": [ALONE], "second": [(2, 0)], "third": [(3, 3)]}


def test_what_another_silence_mutes_stays_muted(office: Office) -> None:
    first, second = silence(office, kind=Kind.GAP), silence(office, severity=Severity.PAGE)
    office.put(page("a"))
    office.pass_to(NOW)
    muted.end(office.engine, first, "ops", NOW + 1)
    office.send(NOW + 2)

    assert office.got()["first"] == []
    assert f'"silence":{second}' in office.entries("notice.skipped")[-1]
    assert office.wrong() == []


def _judged(office: Office) -> tuple[Claim, Skip]:
    """Return a page that a sender has claimed, and why it would not tell it."""
    office.put(page("a"))
    claim = office.outbox.claim("first", NOW, MINUTE)
    assert claim is not None
    skip = office.judge.why_not(claim.notice, claim.channel, NOW)
    assert skip is not None
    return claim, skip


def test_a_page_whose_silence_ends_before_it_is_marked_is_told(office: Office) -> None:
    """Its end has nothing to owe again yet, so nobody would ever be told."""
    number = silence(office, kind=Kind.GAP)
    claim, skip = _judged(office)
    muted.end(office.engine, number, "ops", NOW + 1)
    marked = office.outbox.skipped(claim, NOW + 2, skip)

    assert (skip, marked) == (Skip("silenced", number), False)
    assert office.entries("notice.skipped") == []
    assert [one.notices for one in office.outbox.waiting()] == [1, 1, 1]
    assert office.wrong() == []


def test_a_page_whose_silence_ends_while_it_is_marked_is_owed_again(office: Office) -> None:
    number = silence(office, kind=Kind.GAP)
    claim, skip = _judged(office)
    ends: list[Future[bool]] = []
    with ThreadPoolExecutor(1) as pool:

        def end_now(*statement: Any) -> None:
            if "UPDATE deliveries" in statement[2] and not ends:
                ends.append(pool.submit(muted.end, office.engine, number, "ops", NOW + 1))
                # Time enough to come first, if nothing holds it up.
                wait(ends, timeout=1)

        event.listen(office.engine, "before_cursor_execute", end_now)
        marked = office.outbox.skipped(claim, NOW + 2, skip)
        ended = ends[0].result()
        event.remove(office.engine, "before_cursor_execute", end_now)
    office.send(NOW + 2 * MINUTE)

    assert (marked, ended) == (True, True)
    assert office.got()["first"] == [ALONE]
    assert len(office.entries("notice.owed_again")) == 1
    assert office.wrong() == []


def test_a_silence_ends_once(office: Office) -> None:
    number = silence(office, kind=Kind.GAP)

    assert muted.end(office.engine, number, "ops", NOW + 1)
    assert not muted.end(office.engine, number, "ops", NOW + 2)
    assert not muted.end(office.engine, number + 1, "ops", NOW + 2)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"until": NOW, "kind": Kind.GAP}, "over already"),
        ({"until": NOW + LONGEST_DAYS * DAY + 1, "kind": Kind.GAP}, "no silence is longer"),
        ({"until": NOW + DAY}, "say what is to be muted"),
    ],
)
def test_a_silence_that_may_not_be_is_refused(
    office: Office, wanted: dict[str, Any], why: str
) -> None:
    with pytest.raises(NotSilenced, match=why):
        muted.add(office.engine, Wanted(by="ops", reason="works", **wanted), NOW)

    assert office.entries("silence.added") == []


def test_a_silence_by_a_clock_that_was_far_ahead_mutes_nothing(office: Office) -> None:
    wanted = Wanted(until=NOW + 400 * DAY, by="ops", reason="works", kind=Kind.GAP)
    muted.add(office.engine, wanted, NOW + 399 * DAY)
    office.put(page("a"))
    office.pass_to(NOW)

    assert office.got()["first"] == [ALONE]


def test_a_silence_that_was_changed_by_hand_is_found(office: Office) -> None:
    silence(office, kind=Kind.GAP)
    with office.engine.begin() as connection:
        connection.execute(update(schema.silences).values(until=NOW + 20 * DAY))
    with reading(office.engine) as connection:
        found = answered_wrong(connection)

    assert found == ["silence 1 (not as the audit log says)"]


def test_of_a_silenced_warning_of_a_duty_nothing_is_told_later(office: Office) -> None:
    number = silence(office, kind=Kind.RESTATEMENT_WAITS)
    waits = Notice(
        key="r:1",
        kind=Kind.RESTATEMENT_WAITS,
        severity=Severity.WARNING,
        processor="acme",
        rule="frt.file",
        duty="1",
        created_at=NOW,
        body={},
    )
    with office.engine.begin() as connection:
        owing.notify(connection, waits)
    office.pass_to(NOW)
    muted.end(office.engine, number, "ops", NOW + 1)
    office.send(NOW + 2)

    assert [phone.got for phone in office.phones.values()] == [[], [], []]
