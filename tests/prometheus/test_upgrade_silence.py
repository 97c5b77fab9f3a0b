"""The silence of the guide's upgrade: what was told before is not told as over, nor once more."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from alerts.channels.alertmanager import duty_labels, event_labels
from monitor.notices import Kind, Notice, Severity
from tests.conftest import REPOSITORY
from tests.guide import Machine, prepared, typed
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
PROGRAM = "/usr/local/sbin/facetally-silence"
DOWN = {"alertname": "FacetallyAlertsDown", "severity": "page"}
OTHER = ("silence", "add", "--author=me", "--comment=me", "alertname=FacetallyAlertsDown")
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Answer(200)) as pager:
        yield pager


@pytest.fixture
def manager(receiver: Receiver) -> Iterator[Alertmanager]:
    require(alertmanagers.available())
    with shipped(receiver) as made:
        yield made


@pytest.fixture
def machine(tmp_path: Path, manager: Alertmanager) -> Machine:
    """A machine with the script that ships; its Alertmanager is named as a site names its own."""
    made = prepared(Machine(tmp_path, environ={"PATIENCE": "10"}))
    made.place(PROGRAM).write_text((REPOSITORY / "deploy/systemd/facetally-silence").read_text())
    made.place(PROGRAM).chmod(0o755)
    made.settle(PROGRAM)
    made.place("/etc/facetally").mkdir(parents=True)
    made.place("/etc/facetally/places").write_text(f"ALERTMANAGER={manager.url}\n")
    return made


def of_the_guide(section: str) -> list[str]:
    """Return the lines of the guide that begin and end its silence."""
    return [one for one in typed(section) if one.startswith("facetally-silence ")]


def silenced(machine: Machine, *matchers: str) -> str:
    """Begin a silence as the guide does; return its ID."""
    return machine.follow([shlex.join(["facetally-silence", "1h", "upgrade", *matchers])]).strip()


def gone(manager: Alertmanager, one: dict[str, str]) -> None:
    post(manager, [one], 0)
    assert until(lambda: one["alertname"] not in listed(manager), 60)
    time.sleep(QUIET)


@pytest.mark.parametrize("section", ["Upgrade", "Backup and restore"])
def test_after_a_pause_of_alerts_nothing_is_told_twice_and_what_is_new_is_told(
    section: str, receiver: Receiver, manager: Alertmanager, machine: Machine
) -> None:
    post(manager, OLD, 300)
    assert until(lambda: len(told(receiver)) == 2, 60)
    before = told(receiver)
    beginning, ending = of_the_guide(section)
    number = machine.follow([beginning]).strip()
    post(manager, OLD, 0)
    assert until(lambda: listed(manager) == [], 60)
    time.sleep(QUIET)
    post(manager, [*OLD, NEW, WATCHDOG], 300)
    assert until(lambda: len(listed(manager)) == 4, 60)
    heard = [one["labels"]["alertname"] for one in manager.alerts()]
    machine.follow([re.sub(r"\bID\b", number, ending)])
    assert until(lambda: len(told(receiver)) > 2, 60)
    time.sleep(QUIET)

    assert sorted(before) == [("firing", "FacetallyDutyOpenfrt.file"), ("firing", "FacetallyGap")]
    assert heard == ["FacetallyWatchdog"]
    assert told(receiver) == [*before, ("firing", "FacetallyDutyOpenfrt.change")]


@pytest.mark.parametrize("other", [(), OTHER], ids=["told", "held by another silence"])
def test_a_rule_that_fired_before_the_silence_is_told_as_over_and_told_anew(
    other: Sequence[str], receiver: Receiver, manager: Alertmanager, machine: Machine
) -> None:
    """Under the silence its end would be nobody's, and its next beginning for hours, too."""
    post(manager, [DOWN], 300)
    assert until(lambda: told(receiver) == [("firing", "FacetallyAlertsDown")], 60)
    held = manager.amtool(*other).split() if other else []
    silenced(machine)
    for number in held:
        manager.amtool("silence", "expire", number)
    gone(manager, DOWN)
    assert until(lambda: told(receiver)[1:] == [("resolved", "FacetallyAlertsDown")], 60)
    post(manager, [DOWN], 300)

    assert until(lambda: told(receiver)[2:] == [("firing", "FacetallyAlertsDown")], 60)


def test_a_rule_that_fires_for_the_pause_alone_is_told_nobody(
    receiver: Receiver, manager: Alertmanager, machine: Machine
) -> None:
    """The silence is ended while it fires still: it waits until Prometheus has seen the end."""
    number = silenced(machine)
    post(manager, [DOWN], 4)
    machine.follow([f"facetally-silence end {number}"])
    over = listed(manager) == []
    time.sleep(QUIET)

    assert over
    assert told(receiver) == []


def test_the_end_waits_for_a_rule_that_goes_on_and_then_it_is_told(
    receiver: Receiver, manager: Alertmanager, machine: Machine
) -> None:
    number = silenced(machine)
    post(manager, [DOWN], 300)
    began = time.monotonic()
    machine.follow([f"facetally-silence end {number}"])
    waited = time.monotonic() - began

    assert 9 <= waited < 60
    assert until(lambda: told(receiver) == [("firing", "FacetallyAlertsDown")], 60)


def test_the_end_waits_for_nothing_that_another_silence_holds_or_that_is_owed(
    receiver: Receiver, manager: Alertmanager, machine: Machine
) -> None:
    number = silenced(machine)
    silenced(machine, "alertname=FacetallyAlertsDown")
    post(manager, [DOWN, *OLD], 300)
    began = time.monotonic()
    machine.follow([f"facetally-silence end {number}"])

    assert time.monotonic() - began < 8
    assert until(lambda: len(told(receiver)) == len(OLD), 60)
    assert "FacetallyAlertsDown" not in str(told(receiver))


def test_of_several_installations_one_is_silenced(manager: Alertmanager, machine: Machine) -> None:
    """What fires in another excludes nothing here."""
    there = {**DOWN, "installation": "airport"}
    post(manager, [there], 300)
    silenced(machine, "installation=harbour")
    post(manager, [{**DOWN, "installation": "harbour"}], 300)
    assert until(lambda: len(listed(manager)) == 2, 60)

    assert [one["labels"]["installation"] for one in manager.alerts()] == ["airport"]


@pytest.mark.parametrize("words", [[], ["upgrade"], ["1h"], ["end"]], ids=str)
def test_words_that_say_too_little_change_nothing(
    words: list[str], manager: Alertmanager, machine: Machine
) -> None:
    with pytest.raises(AssertionError):
        machine.follow([shlex.join(["facetally-silence", *words])])

    assert json.loads(manager.amtool("--output=json", "silence", "query")) == []


def test_without_the_silence_a_duty_is_told_as_over_and_pages_again(
    receiver: Receiver, manager: Alertmanager
) -> None:
    post(manager, OLD, 300)
    assert until(lambda: len(told(receiver)) == 2, 60)
    post(manager, OLD, 0)
    assert until(lambda: ("resolved", "FacetallyDutyOpenfrt.file") in told(receiver), 60)
    post(manager, OLD, 300)
    assert until(lambda: told(receiver).count(("firing", "FacetallyGap")) == 2, 60)
    assert until(lambda: told(receiver).count(("firing", "FacetallyDutyOpenfrt.file")) == 2, 60)
