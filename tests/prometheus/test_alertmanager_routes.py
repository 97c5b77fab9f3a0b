"""The Alertmanager configuration that is shipped: right by amtool, and each alert goes its road."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.alertmanager import duty_labels, event_labels
from monitor.notices import Kind, Notice, Severity, key_of
from tests.prometheus.shipped import ALERTMANAGER, FALLBACK, RULES, Alert, alerts, loaded
from tests.prometheus.watched import seconds
from tests.services import alertmanager as alertmanagers
from tests.services.presence import require

EVERY = alerts(*RULES, *FALLBACK)
ROAD = {"none": "deadman", "page": "page", "warning": "warnings", "info": "nobody"}
# What happened once ends by its age, which is no good news: nobody is told "resolved".
ONCE = {"page": "page-once", "warning": "warnings-once", "info": "nobody"}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    require(alertmanagers.available())
    return subprocess.run(
        ["amtool", *arguments], check=False, capture_output=True, text=True, timeout=30
    )


def receiver_of(labels: dict[str, str]) -> str:
    """Ask amtool where an alert goes."""
    pairs = [f"{name}={value}" for name, value in labels.items()]
    done = amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", *pairs)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def notice(severity: Severity) -> Notice:
    return Notice(
        key=key_of(Kind.GAP, "faces"),
        kind=Kind.GAP,
        severity=severity,
        processor="acme",
        created_at=0,
    )


def test_amtool_takes_the_configuration() -> None:
    done = amtool("check-config", str(ALERTMANAGER))

    assert done.returncode == 0, done.stderr
    assert "7 receivers" in done.stdout


@pytest.mark.parametrize("alert", EVERY, ids=lambda one: one.name)
def test_each_rule_goes_where_its_severity_says(alert: Alert) -> None:
    labels = {"alertname": alert.name, **alert.labels}
    road = ROAD[alert.severity]

    assert receiver_of(labels) == (f"other,{road}" if "last_mile" in labels else road)


@pytest.mark.parametrize("severity", list(Severity))
def test_a_notice_of_facetally_goes_where_its_severity_says(severity: Severity) -> None:
    assert receiver_of(event_labels(notice(severity))) == ONCE[severity.value]


def test_an_open_duty_pages() -> None:
    assert receiver_of(duty_labels("acme", "frt.file", "1")) == "page"
    assert receiver_of(duty_labels("acme", "frt.file", "1", "duty_reopened:1")) == "page"


def test_nothing_hides_a_duty_or_a_notice() -> None:
    """What facetally posts itself is the target of no inhibition."""
    rules: list[dict[str, Any]] = loaded(ALERTMANAGER)["inhibit_rules"]
    targets = {
        name
        for rule in rules
        for matcher in rule["target_matchers"]
        for name in re.findall(r"Facetally\w+", matcher)
    }

    assert targets
    assert targets <= {one.name for one in EVERY}


def test_what_hides_another_is_a_rule_too_and_never_the_watchdog() -> None:
    rules: list[dict[str, Any]] = loaded(ALERTMANAGER)["inhibit_rules"]
    sources = {
        name
        for rule in rules
        for matcher in rule["source_matchers"]
        for name in re.findall(r"Facetally\w+", matcher)
    }

    assert sources <= {one.name for one in EVERY} - {"FacetallyWatchdog"}


def test_the_watchdog_is_told_again_each_minute_and_never_as_resolved() -> None:
    found = loaded(ALERTMANAGER)
    road = found["route"]["routes"][0]
    (receiver,) = [one for one in found["receivers"] if one["name"] == road["receiver"]]

    assert road["repeat_interval"] == road["group_interval"] == "1m"
    assert all(one["send_resolved"] is False for one in receiver["webhook_configs"])


@pytest.mark.parametrize("name", ["page-once", "warnings-once"])
def test_the_end_of_what_happened_once_is_not_told(name: str) -> None:
    (receiver,) = [one for one in loaded(ALERTMANAGER)["receivers"] if one["name"] == name]

    assert all(one["send_resolved"] is False for one in receiver["webhook_configs"])


def test_two_attempts_at_a_message_are_within_the_window_that_counts_them() -> None:
    """Each road tries again after its own group_interval, or that of the first one."""
    root = loaded(ALERTMANAGER)["route"]
    again = [one["group_interval"] for one in (root, *root["routes"]) if "group_interval" in one]
    (rule,) = [one for one in EVERY if one.name == "FacetallyNotificationsFailing"]
    windows = set(re.findall(r"\[(\w+)\]", rule.expr))

    assert 2 * max(map(seconds, again)) < min(map(seconds, windows))


def test_nothing_is_hidden_across_installations() -> None:
    assert all("installation" in one["equal"] for one in loaded(ALERTMANAGER)["inhibit_rules"])


def test_who_is_told_that_the_pager_fails_is_not_the_pager() -> None:
    found = {one["name"]: one["webhook_configs"] for one in loaded(ALERTMANAGER)["receivers"][:-1]}

    assert found["other"][0]["url"] not in {one["url"] for one in found["page"]}


def refusing(file: Path) -> subprocess.CompletedProcess[str]:
    script = ALERTMANAGER.with_name("refuse-examples.sh")
    return subprocess.run(
        ["sh", str(script), str(file), "echo", "it runs"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_an_alertmanager_with_receivers_of_the_example_is_not_started() -> None:
    done = refusing(ALERTMANAGER)

    assert done.returncode == 1
    assert done.stdout == ""
    assert "https://pager.example/facetally" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "- url: 'https://pager.example'",
        "- url: https://pager.example?x=1",
        "- url: https://PAGER.EXAMPLE/x",
        "- url: https://pager.example./x",
        "- to: a@x.example, b@y.org",
        "- {channel: '#alerts', api_url: https://chat.example/x}",
    ],
)
def test_an_example_is_refused_however_it_is_written(tmp_path: Path, line: str) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"# ours\n{line}\n")
    done = refusing(file)

    assert (done.returncode, done.stdout) == (1, "")
    assert f"2:{line}" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        "- url: https://pager.example.org/x",
        "- url: https://pager.example-hospital.cn/x",
        "- url: https://a.org/x # in the place of https://pager.example/x",
    ],
)
def test_what_is_no_example_is_not_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"{line}\n")

    assert refusing(file).stdout == "it runs\n"


def test_with_receivers_of_ones_own_it_is_started(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(ALERTMANAGER.read_text().replace(".example/", ".example.org/"))

    assert refusing(file).stdout == "it runs\n"
