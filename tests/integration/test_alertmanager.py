"""Against a real Alertmanager, read back with its own amtool."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.alertmanager import Alertmanager, AlertmanagerSettings
from alerts.channels.log import Log
from alerts.metrics import NoMetrics
from alerts.outbox import Retry
from alerts.service import Beside, Sender, run_alerts
from monitor.facts import Instant
from monitor.notices import Kind, Notice, OpenDuty, Severity, Told, key_of
from tests.outbox_fake import SqliteOutbox
from tests.prometheus.shipped import ALERTMANAGER as SHIPPED
from tests.receiver import Answer, Receiver, receiving
from tests.services import alertmanager as services
from tests.services.presence import require

SECOND = 1_000_000
LIFE_S = 5  # room for a busy machine between posts of one second


def clock() -> Instant:
    return time.time_ns() // 1000


@pytest.fixture
def processor() -> str:
    """A name of the test's own, since all tests share one Alertmanager."""
    return f"第一银行-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def desk(tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox(tmp_path / "outbox.db")


@contextmanager
def alerts_running(desk: SqliteOutbox, url: str, beside: Beside | None = None) -> Iterator[None]:
    settings = AlertmanagerSettings(url=url, every_s=1, life_s=LIFE_S, event_life_s=LIFE_S)
    stop = threading.Event()
    thread = threading.Thread(
        target=run_alerts,
        args=(desk, [Alertmanager(settings), Log()], clock, stop, 0.05),
        kwargs={"beside": beside},
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def opened(desk: SqliteOutbox, processor: str) -> OpenDuty:
    """Open a duty as the monitor does: the state and its notice."""
    duty = OpenDuty(
        processor=processor,
        rule="frt.file",
        duty="2026-11-22",
        opened_at=clock(),
        body={"individuals": 100_000, "due_between": "2027-01-01/2027-01-11"},
    )
    desk.open_duty(duty)
    desk.put(told(Kind.DUTY_OPENED, duty))
    return duty


def told(kind: Kind, duty: OpenDuty) -> Notice:
    return Notice(
        key=key_of(kind, duty.processor, duty.rule, duty.duty),
        kind=kind,
        severity=Severity.PAGE,
        processor=duty.processor,
        rule=duty.rule,
        duty=duty.duty,
        created_at=clock(),
        body=duty.body,
    )


def wait_for(reached: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not reached in {seconds} s"
        time.sleep(0.1)


def listed(manager: services.Alertmanager, processor: str) -> list[dict[str, Any]]:
    return manager.alerts(f"processor={processor}")


def test_a_notice_is_listed_by_amtool_stays_while_the_duty_is_open_and_resolves(
    alertmanager: services.Alertmanager, desk: SqliteOutbox, processor: str
) -> None:
    duty = opened(desk, processor)
    with alerts_running(desk, alertmanager.url):
        wait_for(lambda: not desk.waiting() and bool(listed(alertmanager, processor)))
        [first] = listed(alertmanager, processor)
        time.sleep(LIFE_S + 2)
        [later] = listed(alertmanager, processor)
        desk.close_duty(duty, clock())
        wait_for(lambda: not listed(alertmanager, processor), seconds=LIFE_S)

    assert first["labels"] == {
        "alertname": "FacetallyDutyOpen",
        "processor": processor,
        "rule": "frt.file",
        "duty": "2026-11-22",
        "severity": "page",
    }
    assert first["annotations"]["due_between"] == "2027-01-01/2027-01-11"
    assert "产生一项法定义务" in first["annotations"]["summary_zh"]
    assert (later["fingerprint"], later["startsAt"]) == (first["fingerprint"], first["startsAt"])
    assert later["endsAt"] > first["endsAt"]


def test_a_duty_that_nobody_shows_any_more_ends_by_itself(
    alertmanager: services.Alertmanager, desk: SqliteOutbox, processor: str
) -> None:
    opened(desk, processor)
    with alerts_running(desk, alertmanager.url):
        wait_for(lambda: bool(listed(alertmanager, processor)))

    wait_for(lambda: not listed(alertmanager, processor), seconds=LIFE_S + 3)


def test_a_move_to_an_earlier_day_is_an_alert_beside_the_duty_and_passes(
    alertmanager: services.Alertmanager, desk: SqliteOutbox, processor: str
) -> None:
    duty = opened(desk, processor)
    desk.put(told(Kind.DUTY_MOVED, duty))
    with alerts_running(desk, alertmanager.url):
        wait_for(lambda: len(listed(alertmanager, processor)) == 2)
        names = {alert["labels"]["alertname"] for alert in listed(alertmanager, processor)}
        wait_for(lambda: len(listed(alertmanager, processor)) == 1, seconds=LIFE_S + 3)
        [left] = listed(alertmanager, processor)

    assert names == {"FacetallyDutyOpen", "FacetallyDutyMoved"}
    assert left["labels"]["alertname"] == "FacetallyDutyOpen"


def test_a_page_that_nobody_has_acknowledged_outlives_an_event_and_then_ends_by_itself(
    alertmanager: services.Alertmanager, desk: SqliteOutbox, processor: str
) -> None:
    gap = replace(told(Kind.GAP, opened(desk, processor)), duty=None)
    desk.put(gap)
    unacknowledged = [Told(gap, clock(), lasting=True)]
    beside = Beside(open_on=lambda _, now: unacknowledged)  # noqa: ARG005 - as OpenOn
    with alerts_running(desk, alertmanager.url, beside):
        wait_for(lambda: any(map(is_gap, listed(alertmanager, processor))))
        time.sleep(2 * LIFE_S)
        later = listed(alertmanager, processor)
        unacknowledged.clear()
        wait_for(lambda: not any(map(is_gap, listed(alertmanager, processor))))
        left = listed(alertmanager, processor)

    assert sum(map(is_gap, later)) == 1
    assert [one["labels"]["alertname"] for one in left] == ["FacetallyDutyOpen"]


def pages(receiver: Receiver, status: str) -> int:
    return sum(json.loads(request.body)["status"] == status for request in receiver.requests)


CONFIGURATION = """\
route:
  receiver: pager
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
receivers:
  - name: pager
    webhook_configs:
      - url: {url}
"""


def test_the_receiver_behind_it_is_paged_once_for_one_duty_and_told_of_its_end(
    desk: SqliteOutbox, processor: str
) -> None:
    require(services.available())
    with receiving(Answer(200)) as pager:
        manager = services.Alertmanager(CONFIGURATION.format(url=pager.url))
        try:
            manager.start()
            duty = opened(desk, processor)
            with alerts_running(desk, manager.url):
                wait_for(lambda: pages(pager, "firing") > 0)
                # Through several posts, each with another end.
                time.sleep(LIFE_S + 2)
                desk.close_duty(duty, clock())
                desk.put(told(Kind.DUTY_CLOSED, duty))
                wait_for(lambda: pages(pager, "resolved") > 0)
                time.sleep(2)
        finally:
            manager.close()

    assert (pages(pager, "firing"), pages(pager, "resolved")) == (1, 1)


@pytest.mark.parametrize("interval", ["1s", "5m"])
@pytest.mark.parametrize("kind", [Kind.DUTY_REOPENED, Kind.FILING_STEP])
def test_by_the_shipped_routes_a_duty_that_is_owed_again_pages_once_more(
    desk: SqliteOutbox, processor: str, kind: Kind, interval: str
) -> None:
    """Its pager may have been told the end, or not yet."""
    require(services.available())
    with receiving(Answer(200)) as pager:
        shipped = SHIPPED.read_text("utf-8").replace("https://pager.example/facetally", pager.url)
        manager = services.Alertmanager(shipped.replace("interval: 5m", f"interval: {interval}"))
        try:
            manager.start()
            duty = opened(desk, processor)
            with alerts_running(desk, manager.url):
                wait_for(lambda: pages(pager, "firing") > 0)
                desk.close_duty(duty, clock())
                wait_for(lambda: not manager.alerts(f"processor={processor}"))
                wait_for(lambda: interval == "5m" or pages(pager, "resolved") > 0)
                desk.put(told(kind, duty))
                desk.reopen_duty(duty)
                wait_for(lambda: pages(pager, "firing") > 1)
                # Through several posts.
                time.sleep(LIFE_S + 2)
                (left,) = manager.alerts(f"processor={processor}")
        finally:
            manager.close()

    assert pages(pager, "firing") == 2
    assert left["labels"]["notice"] == told(kind, duty).key


def test_the_end_of_a_duty_s_former_alert_says_that_it_is_owed_again(
    desk: SqliteOutbox, processor: str
) -> None:
    """It was submitted and failed at once: its pager hears the end of one alert after the other."""
    require(services.available())
    with receiving(Answer(200)) as pager:
        shipped = SHIPPED.read_text("utf-8").replace("https://pager.example/facetally", pager.url)
        manager = services.Alertmanager(shipped.replace("interval: 5m", "interval: 1s"))
        try:
            manager.start()
            duty = opened(desk, processor)
            with alerts_running(desk, manager.url):
                wait_for(lambda: pages(pager, "firing") > 0)
                failed = told(Kind.FILING_STEP, duty)
                desk.put(failed)
                wait_for(lambda: pages(pager, "firing") > 1)
                wait_for(lambda: pages(pager, "resolved") > 0)
        finally:
            manager.close()
    messages = [json.loads(one.body) for one in list(pager.requests)]
    (end,) = [one for one in messages if one["status"] == "resolved"]

    assert "notice" not in end["commonLabels"]
    assert "owed again" in end["commonAnnotations"]["summary"]
    assert failed.key in end["commonAnnotations"]["summary"]
    assert failed.key in end["commonAnnotations"]["summary_zh"]


def test_a_clock_that_is_ahead_of_alertmanager_s_makes_no_former_alert_fire(processor: str) -> None:
    require(services.available())
    duty = OpenDuty(
        processor=processor,
        rule="frt.file",
        duty="1",
        opened_at=clock(),
        again="filing_step:1",
        former=(None,),
    )
    with receiving(Answer(200)) as pager:
        shipped = SHIPPED.read_text("utf-8").replace("https://pager.example/facetally", pager.url)
        manager = services.Alertmanager(shipped.replace("interval: 5m", "interval: 1s"))
        try:
            manager.start()
            channel = Alertmanager(AlertmanagerSettings(url=manager.url))
            for _ in range(10):
                channel.show([duty], [], [], clock() + 30_000_000)
                time.sleep(0.4)
        finally:
            manager.close()

    assert pages(pager, "firing") == 1
    assert pages(pager, "resolved") == 0


WAITING_GROUP = CONFIGURATION.replace("group_wait: 0s", "group_wait: 3s")


@pytest.mark.parametrize("alerts_start_again", [False, True])
def test_a_page_that_alertmanager_confirmed_and_lost_in_a_crash_reaches_its_receiver(
    desk: SqliteOutbox, processor: str, *, alerts_start_again: bool
) -> None:
    """It told nobody yet: its group waits, and its alerts live in memory only."""
    require(services.available())
    gap = replace(told(Kind.GAP, opened(desk, processor)), duty=None)
    desk.ensure(["alertmanager"], gap.created_at)
    desk.put(gap)
    with receiving(Answer(200)) as pager:
        manager = services.Alertmanager(WAITING_GROUP.format(url=pager.url))
        settings = AlertmanagerSettings(url=manager.url, every_s=1, life_s=LIFE_S)
        try:
            manager.start()
            sender = Sender(desk, Alertmanager(settings), Retry(), NoMetrics())
            while sender.send(clock()):
                pass
            confirmed = desk.waiting()
            [before] = [one for one in listed(manager, processor) if is_gap(one)]
            manager.kill()
            manager.start()
            lost = listed(manager, processor), list(pager.requests)
            if alerts_start_again:
                sender = Sender(desk, Alertmanager(settings), Retry(), NoMetrics())
            until = time.monotonic() + 20
            while not pages_of(pager, gap) and time.monotonic() < until:
                sender.send(clock())
                sender.show(clock())
                time.sleep(0.2)
            [after] = [one for one in listed(manager, processor) if is_gap(one)]
            paged_once = pages_of(pager, gap)
            for _ in range(20):  # and as often as it is posted again, nobody is paged again
                sender.show(clock())
                time.sleep(0.2)
        finally:
            manager.close()

    assert confirmed == []
    assert lost == ([], [])
    assert (paged_once, pages_of(pager, gap)) == (1, 1)
    same = ("fingerprint", "labels", "startsAt", "endsAt")
    assert [after[name] for name in same] == [before[name] for name in same]


def is_gap(alert: dict[str, Any]) -> bool:
    return bool(alert["labels"]["alertname"] == "FacetallyGap")


def pages_of(receiver: Receiver, notice: Notice) -> int:
    """How often the receiver behind Alertmanager was paged for *notice*."""
    alerts = [alert for one in receiver.requests for alert in json.loads(one.body)["alerts"]]
    return sum(alert["labels"].get("notice") == notice.key for alert in alerts)


def test_an_alertmanager_that_comes_late_gets_the_notice_and_the_state(
    desk: SqliteOutbox, processor: str
) -> None:
    require(services.available())
    manager = services.Alertmanager()
    opened(desk, processor)
    try:
        with alerts_running(desk, manager.url):
            wait_for(lambda: any(found.failing for found in desk.waiting()))
            manager.start()
            wait_for(lambda: not desk.waiting() and bool(listed(manager, processor)))
    finally:
        manager.close()
