"""What a notice looks like: as an alert, in words, in the log."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import words
from alerts.channels.alertmanager import Alertmanager, AlertmanagerSettings
from alerts.channels.http import rfc3339
from alerts.channels.log import Log, line
from alerts.channels.webhook import payload
from monitor.facts import Instant
from monitor.notices import ClosedDuty, Kind, Notice, Severity, Told
from tests.outbox_contract import NOW, SECOND, duty, notice
from tests.receiver import Answer, Request, receiving

HOSTILE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


def manager(url: str, **changes: object) -> Alertmanager:
    return Alertmanager(AlertmanagerSettings(url=url, **changes))  # type: ignore[arg-type]  # each test names its own


def posted_to(receiver_requests: list[Request]) -> list[dict[str, object]]:
    [request] = receiver_requests
    return alerts_of(request)


def alerts_of(request: Request) -> list[dict[str, object]]:
    assert request.path == "/am/api/v2/alerts"
    alerts: list[dict[str, object]] = json.loads(request.body)
    return alerts


def test_the_notice_of_a_duty_and_its_state_are_one_alert() -> None:
    told = Notice(
        key="duty_opened:1",
        kind=Kind.DUTY_OPENED,
        severity=Severity.WARNING,
        processor="acme",
        rule="frt.file",
        duty="one",
        created_at=NOW,
        body={},
    )
    with receiving(Answer(200)) as first, receiving(Answer(200)) as second:
        manager(f"{first.url}/am").send(told, NOW + SECOND)
        manager(f"{second.url}/am/").show([duty("one")], [], [], NOW + SECOND)
    [notified], [shown] = posted_to(first.requests), posted_to(second.requests)

    assert notified["labels"] == shown["labels"]
    assert notified["labels"] == {
        "alertname": "FacetallyDutyOpen",
        "processor": "acme",
        "rule": "frt.file",
        "duty": "one",
        "severity": "page",
    }
    assert (notified["startsAt"], notified["endsAt"]) == (shown["startsAt"], shown["endsAt"])
    assert shown["startsAt"] == rfc3339(NOW)
    assert shown["endsAt"] == rfc3339(NOW + 301 * SECOND)


@pytest.mark.parametrize("kind", [Kind.DUTY_REOPENED, Kind.FILING_STEP])
def test_the_page_that_a_duty_is_owed_again_its_state_and_its_end_are_one_alert(kind: Kind) -> None:
    told = replace(notice("a", duty="one", kind=kind), processor="acme")
    owed = replace(duty("one"), again=told.key)
    ended = ClosedDuty("acme", "frt.file", "one", NOW, NOW + SECOND, told.key)
    with receiving(Answer(200)) as receiver:
        channel = manager(f"{receiver.url}/am")
        channel.send(told, NOW + SECOND)
        channel.show([owed], [], [Told(told, NOW + SECOND, lasting=True)], NOW + SECOND)
        channel.show([], [ended], [Told(told, NOW + SECOND)], NOW + SECOND)
    sent, shown, last = [alerts_of(request) for request in receiver.requests]

    assert [len(alerts) for alerts in (sent, shown, last)] == [1, 1, 1]
    assert sent[0]["labels"] == shown[0]["labels"] == last[0]["labels"]
    assert sent[0]["labels"] == {
        "alertname": "FacetallyDutyOpen",
        "processor": "acme",
        "rule": "frt.file",
        "duty": "one",
        "severity": "page",
        "notice": told.key,
    }
    assert last[0]["endsAt"] == rfc3339(NOW + SECOND)


def test_a_page_that_a_duty_is_owed_again_lasts_where_the_duty_is_not_shown() -> None:
    """By the routes its page may go to this channel, and the one that opened it elsewhere."""
    told = replace(notice("a", duty="one", kind=Kind.DUTY_REOPENED), processor="acme")
    with receiving(Answer(200)) as receiver:
        channel = manager(f"{receiver.url}/am")
        channel.send(told, NOW)
        channel.show([], [], [Told(told, NOW, lasting=True)], NOW + SECOND)
    sent, shown = [alerts_of(request)[0] for request in receiver.requests]

    assert shown["labels"] == sent["labels"]
    assert str(shown["endsAt"]) > str(sent["endsAt"])


def test_that_a_filing_was_submitted_is_an_alert_of_its_own() -> None:
    told = notice("a", duty="one", kind=Kind.FILING_STEP, severity=Severity.INFO)
    with receiving(Answer(200)) as receiver:
        manager(f"{receiver.url}/am").send(told, NOW)
    [alert] = posted_to(receiver.requests)

    assert alert["labels"]["alertname"] == "FacetallyFilingStep"  # type: ignore[index]  # an object


def test_a_closed_duty_ends_when_it_was_closed_and_an_open_one_is_never_shown_as_closed() -> None:
    ended = ClosedDuty("acme", "frt.file", "two", NOW, NOW + SECOND)
    stale = ClosedDuty("acme", "frt.file", "one", NOW, NOW + SECOND)
    with receiving(Answer(200)) as receiver:
        manager(f"{receiver.url}/am").show([duty("one")], [ended, stale], [], NOW + 5 * SECOND)
    ends = {
        alert["labels"]["duty"]: alert["endsAt"]  # type: ignore[index]  # labels are an object
        for alert in posted_to(receiver.requests)
    }

    assert ends == {"one": rfc3339(NOW + 305 * SECOND), "two": rfc3339(NOW + SECOND)}


def test_no_alert_ends_before_it_starts_even_when_clocks_differ() -> None:
    ahead = NOW + 3600 * SECOND
    ended = ClosedDuty("acme", "frt.file", "two", ahead, ahead)
    with receiving(Answer(200)) as receiver:
        manager(f"{receiver.url}/am").show([duty("one", at=ahead)], [ended], [], NOW)

    assert all(
        str(alert["startsAt"]) <= str(alert["endsAt"]) for alert in posted_to(receiver.requests)
    )


def test_the_notice_that_a_duty_is_closed_ends_its_alert_at_once() -> None:
    told = notice("a", duty="one", kind=Kind.DUTY_CLOSED)
    with receiving(Answer(200)) as receiver:
        manager(f"{receiver.url}/am").send(told, NOW + SECOND)
    [alert] = posted_to(receiver.requests)

    assert alert["endsAt"] == rfc3339(NOW + SECOND)
    assert alert["labels"]["alertname"] == "FacetallyDutyOpen"  # type: ignore[index]  # an object


def test_any_other_notice_is_an_alert_of_its_own_with_a_limited_life() -> None:
    with receiving(Answer(200)) as receiver:
        channel = manager(f"{receiver.url}/am", event_life_s=600, generator_url="https://here/x")
        channel.send(notice("a", kind=Kind.DUTY_MOVED, duty="one"), NOW + SECOND)
    [alert] = posted_to(receiver.requests)

    assert alert["labels"] == {
        "alertname": "FacetallyDutyMoved",
        "processor": "acme 第一",
        "rule": "frt.file",
        "duty": "one",
        "severity": "page",
        "notice": notice("a", kind=Kind.DUTY_MOVED).key,
    }
    assert alert["endsAt"] == rfc3339(NOW + 601 * SECOND)
    assert alert["generatorURL"] == "https://here/x"


def test_an_event_is_posted_again_as_the_very_same_alert_and_a_duty_as_its_state_only() -> None:
    event, opens = notice("a", duty="one"), notice("b", duty="one", kind=Kind.DUTY_OPENED)
    with receiving(Answer(200)) as first, receiving(Answer(200)) as second:
        manager(f"{first.url}/am").send(event, NOW + SECOND)
        told = [Told(event, NOW + SECOND), Told(opens, NOW + SECOND)]
        manager(f"{second.url}/am").show([], [], told, NOW + 61 * SECOND)

    assert posted_to(second.requests) == posted_to(first.requests)


@pytest.mark.parametrize(
    ("sent_at", "now", "ends"),
    [
        # No shorter than what nobody has to take on.
        (NOW, NOW + 60 * SECOND, NOW + 600 * SECOND),
        # After that it goes on as a duty does.
        (NOW, NOW + 900 * SECOND, NOW + 930 * SECOND),
        # Marked by a clock that was a year ahead.
        (NOW + 365 * 86_400 * SECOND, NOW, NOW + 600 * SECOND),
    ],
)
def test_a_page_that_goes_on_is_the_same_alert_with_an_end_ahead(
    sent_at: Instant, now: Instant, ends: Instant
) -> None:
    event = notice("a", kind=Kind.GAP)
    with receiving(Answer(200)) as receiver:
        channel = manager(f"{receiver.url}/am", event_life_s=600, every_s=10, life_s=30)
        channel.send(event, sent_at)
        channel.show([], [], [Told(event, sent_at, lasting=True)], now)
    [[sent], [shown]] = [alerts_of(request) for request in receiver.requests]

    assert shown["labels"] == sent["labels"]
    assert shown["endsAt"] == rfc3339(ends)


def test_facts_and_words_in_both_languages_are_annotations() -> None:
    with receiving(Answer(200)) as receiver:
        manager(f"{receiver.url}/am").send(notice("a", duty="one", kind=Kind.DUTY_OPENED), NOW)
    [alert] = posted_to(receiver.requests)

    assert alert["annotations"] == {
        "individuals": "100000",
        "due_day": "2026-04-14",
        "late": "false",
        "summary": "A duty is open: filing of FR use, Art. 15 (acme 第一)",
        "summary_zh": "产生一项法定义务：人脸识别技术应用备案（第十五条）（acme 第一）",
        "description": "individuals stored: 100,000; last day to act: 2026-04-14",
        "description_zh": "存储人数：100,000；截止日：2026年4月14日",
    }


def test_many_duties_go_in_several_requests_and_none_in_none() -> None:
    with receiving(Answer(200)) as receiver:
        channel = manager(receiver.url)
        channel.show([], [], [], NOW)
        channel.show([duty(str(index)) for index in range(501)], [], [], NOW)

    assert [len(json.loads(request.body)) for request in receiver.requests] == [500, 1]


# Words


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_notice_has_words_in_both_languages(kind: Kind) -> None:
    said = words.summary(notice("a", kind=kind))

    assert said.en.endswith(" (acme 第一)")
    assert said.zh.endswith("（acme 第一）")
    assert said.en[0].isascii() != said.zh[0].isascii()


def test_a_provisional_deadline_is_said_to_be_one() -> None:
    said = words.description({"due_day": None, "due_between": "2027-01-01/2027-01-11"})

    assert said.en == (
        "last day to act, provisional, calendar not published: between 2027-01-01 and 2027-01-11"
    )
    assert said.zh == "截止日（暂定，节假日安排尚未公布）：2027年1月1日 至 2027年1月11日 之间"


def test_an_unknown_rule_is_named_by_its_id() -> None:
    told = Notice(
        key="k", kind=Kind.DUTY_OPENED, severity=Severity.PAGE, rule="own.rule", created_at=NOW
    )

    assert words.summary(told) == ("A duty is open: own.rule", "产生一项法定义务：own.rule")


# The log


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (Severity.PAGE, logging.ERROR),
        (Severity.WARNING, logging.WARNING),
        (Severity.INFO, logging.INFO),
    ],
)
def test_a_notice_is_one_line_of_json_in_the_log(
    caplog: pytest.LogCaptureFixture, severity: Severity, level: int
) -> None:
    caplog.set_level(logging.INFO)
    told = Notice(
        key="gap:1", kind=Kind.GAP, severity=severity, created_at=NOW, body={"topic": "faces"}
    )
    answer = Log().send(told, NOW)
    [record] = caplog.records
    content = json.loads(record.getMessage().removeprefix("notice "))

    assert (answer, record.levelno) == ("logged", level)
    assert content["key"] == "gap:1"
    assert content["facts"] == {"topic": "faces"}
    assert content["created_at"] == rfc3339(NOW)


@given(HOSTILE)
def test_no_text_breaks_the_line_or_any_body(text: str) -> None:
    told = Notice(
        key="gap:1",
        kind=Kind.GAP,
        severity=Severity.PAGE,
        processor=text,
        rule=text,
        duty=text,
        created_at=NOW,
        body={"topic": text},
    )
    logged, body = line(told), json.loads(payload(told))

    assert len(logged.splitlines()) == 1
    assert json.loads(logged)["processor"] == text
    assert body["data"]["facts"] == {"topic": text}
