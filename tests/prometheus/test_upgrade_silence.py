"""The silence of the guide's upgrade: what was told before is not told as over, nor once more."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from alerts.channels.alertmanager import duty_labels, event_labels
from monitor.notices import Kind, Notice, Severity
from tests.guide import typed
from tests.prometheus.shipped import ALERTMANAGER
from tests.receiver import Answer, Receiver, receiving
from tests.services import alertmanager as alertmanagers
from tests.services.alertmanager import Alertmanager
from tests.services.presence import require
from tests.workers import until

NOTICE = Notice(key="gap:1", kind=Kind.GAP, severity=Severity.PAGE, processor="acme", created_at=0)
OLD = (duty_labels("acme", "frt.file", "1"), event_labels(NOTICE))
NEW = duty_labels("acme", "frt.change", "1")
QUIET = 3.0  # several group intervals: that nothing is told cannot be waited for
WATCHDOG = {"alertname": "FacetallyWatchdog", "severity": "none"}


@contextmanager
def shipped(receiver: Receiver) -> Iterator[Alertmanager]:
    """The configuration that ships, with its pager here and without its long intervals."""
    text = ALERTMANAGER.read_text("utf-8").replace("https://pager.example/facetally", receiver.url)
    made = Alertmanager(re.sub(r"group_interval: \w+", "group_interval: 1s", text))
    made.start()
    try:
        yield made
    finally:
        made.close()


def post(manager: Alertmanager, alerts: Sequence[dict[str, str]], seconds: int) -> None:
    """Post *alerts* as facetally does: each ends in so many *seconds*."""
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    posted = [{"labels": one, "endsAt": end.isoformat()} for one in alerts]
    httpx.post(
        f"{manager.url}/api/v2/alerts",
        content=json.dumps(posted),
        headers={"content-type": "application/json"},
    ).raise_for_status()


def told(receiver: Receiver) -> list[tuple[str, str]]:
    """Return what the pager was told, in order: firing or resolved, and of what."""
    messages = [json.loads(one.body) for one in list(receiver.requests)]
    return [
        (alert["status"], alert["labels"]["alertname"] + alert["labels"].get("rule", ""))
        for message in messages
        for alert in message["alerts"]
    ]


def listed(manager: Alertmanager) -> list[str]:
    found = httpx.get(f"{manager.url}/api/v2/alerts", timeout=20, trust_env=False).json()
    return [one["labels"]["alertname"] for one in found]


def of_the_guide(section: str, what: str) -> list[str]:
    """Return the words that the guide gives to amtool for its silence."""
    (line,) = [one for one in typed(section) if f" silence {what} " in one]
    return shlex.split(line)[2:]


@pytest.mark.parametrize("section", ["Upgrade", "Backup and restore"])
def test_after_a_pause_of_alerts_nothing_is_told_twice_and_what_is_new_is_told(
    section: str,
) -> None:
    require(alertmanagers.available())
    with receiving(Answer(200)) as receiver, shipped(receiver) as manager:
        post(manager, OLD, 300)
        assert until(lambda: len(told(receiver)) == 2, 60)
        before = told(receiver)
        number = manager.amtool(*of_the_guide(section, "add")).strip()
        post(manager, OLD, 0)
        assert until(lambda: listed(manager) == [], 60)
        time.sleep(QUIET)
        post(manager, [*OLD, NEW, WATCHDOG], 300)
        assert until(lambda: len(listed(manager)) == 4, 60)
        heard = [one["labels"]["alertname"] for one in manager.alerts()]
        ending = [number if word == "ID" else word for word in of_the_guide(section, "expire")]
        manager.amtool(*ending)
        assert until(lambda: len(told(receiver)) > 2, 60)
        time.sleep(QUIET)
        after = told(receiver)

    assert sorted(before) == [("firing", "FacetallyDutyOpenfrt.file"), ("firing", "FacetallyGap")]
    assert heard == ["FacetallyWatchdog"]
    assert after == [*before, ("firing", "FacetallyDutyOpenfrt.change")]


def test_without_the_silence_a_duty_is_told_as_over_and_pages_again() -> None:
    require(alertmanagers.available())
    with receiving(Answer(200)) as receiver, shipped(receiver) as manager:
        post(manager, OLD, 300)
        assert until(lambda: len(told(receiver)) == 2, 60)
        post(manager, OLD, 0)
        assert until(lambda: ("resolved", "FacetallyDutyOpenfrt.file") in told(receiver), 60)
        post(manager, OLD, 300)
        assert until(lambda: told(receiver).count(("firing", "FacetallyGap")) == 2, 60)
        assert until(lambda: told(receiver).count(("firing", "FacetallyDutyOpenfrt.file")) == 2, 60)
