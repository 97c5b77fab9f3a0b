"""The rules that are shipped: right by promtool, shown firing and silent, with a runbook each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor import measures
from monitor.notices import Kind
from tests.conftest import REPOSITORY
from tests.prometheus.shipped import (
    CASES,
    FALLBACK,
    OF_PROCESSES,
    OF_THE_LAST_MILE,
    RULES,
    RUNBOOKS,
    Alert,
    alerts,
    cases,
    metrics_in,
    recorded,
    rules,
    snake,
)
from tests.services.prometheus import Promtool

EVERY = alerts(*RULES, *FALLBACK)
WATCHDOG = "FacetallyWatchdog"
# True of a metric's absence, or of nothing at all: there may be no series to be silent about.
OF_NOTHING = re.compile(r"absent\(|vector\(")


def by_name(one: Alert | Path) -> str:
    return one.name


@pytest.mark.parametrize("file", [*RULES, *FALLBACK], ids=by_name)
def test_promtool_takes_the_rules(file: Path, promtool: Promtool) -> None:
    assert promtool.check_rules(file) == ""


@pytest.mark.parametrize("file", CASES, ids=by_name)
def test_the_rules_fire_and_are_silent_as_their_tests_say(file: Path, promtool: Promtool) -> None:
    assert promtool.test_rules(file) == ""


def test_a_rule_that_is_changed_fails_its_test(tmp_path: Path, promtool: Promtool) -> None:
    """The judge can say no: a page that takes an hour more is found out."""
    for file in RULES:
        (tmp_path / file.name).write_text(file.read_text().replace("for: 5m", "for: 1h"))
    for file in CASES:
        moved = file.read_text().replace("../../deploy/prometheus/rules", str(tmp_path))
        (tmp_path / f"{file.stem}.changed.yml").write_text(moved)

    assert "FacetallyWorkerDown" in promtool.test_rules(tmp_path / "processes.test.changed.yml")
    assert "FacetallyNoticesStuck" in promtool.test_rules(tmp_path / "outbox.test.changed.yml")


@pytest.mark.parametrize("alert", EVERY, ids=by_name)
def test_each_alert_is_shown_firing_and_silent(alert: Alert) -> None:
    asked = [case for case in cases() if case.alert == alert.name]

    assert any(case.fires for case in asked)
    if alert.name != WATCHDOG:
        assert any(not case.fires for case in asked)


@pytest.mark.parametrize("alert", EVERY, ids=by_name)
def test_each_alert_is_silent_where_what_it_reads_is_there(alert: Alert) -> None:
    """Silence for want of any series would be shown by any expression."""
    silent = [case for case in cases() if case.alert == alert.name and not case.fires]

    assert any(alert.metrics <= case.inputs for case in silent) or OF_NOTHING.search(alert.expr)


@pytest.mark.parametrize(
    "rule", rules(*RULES, *FALLBACK), ids=lambda r: r.get("alert", r.get("record"))
)
def test_rules_read_metrics_that_exist(rule: dict[str, str]) -> None:
    known = {spec.name for spec in measures.catalogue()}
    known |= OF_PROCESSES | OF_THE_LAST_MILE | {"up"}

    assert metrics_in(rule["expr"]) <= known


def test_recorded_metrics_are_used_by_rules_or_runbooks() -> None:
    users = "".join(path.read_text() for path in [*RULES, *RUNBOOKS.glob("*.md")])

    assert [name for name in recorded() if users.count(name) < 2] == []


@pytest.mark.parametrize("alert", EVERY, ids=by_name)
def test_each_alert_says_what_and_where_to_read_on_in_both_languages(alert: Alert) -> None:
    chinese = re.compile("[\u4e00-\u9fff]")
    said = alert.annotations

    assert set(said) == {"summary", "summary_zh", "description", "description_zh", "runbook_url"}
    assert chinese.search(said["summary_zh"])
    assert chinese.search(said["description_zh"])
    assert not chinese.search(said["summary"] + said["description"])


@pytest.mark.parametrize("alert", EVERY, ids=by_name)
def test_severities_are_those_that_are_routed(alert: Alert) -> None:
    assert alert.severity in ({"none"} if alert.name == WATCHDOG else {"page", "warning"})


@pytest.mark.parametrize("alert", EVERY, ids=by_name)
def test_each_runbook_is_there_with_its_heading(alert: Alert) -> None:
    path, _, heading = alert.annotations["runbook_url"].partition("#")
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    headings = {
        re.sub(r"\W+", "-", line.lstrip("# ").lower()).strip("-")
        for line in text.splitlines()
        if line.startswith("#")
    }

    assert not heading or heading in headings


@pytest.mark.parametrize(
    "alert", [one for one in alerts(*RULES) if one.severity == "page"], ids=by_name
)
def test_each_page_has_a_runbook_of_its_own(alert: Alert) -> None:
    assert alert.annotations["runbook_url"] == f"docs/runbooks/{snake(alert.name)}.md"


def test_no_rule_has_the_name_of_an_alert_that_facetally_posts_itself() -> None:
    """Or one would resolve the other, and inhibitions would hide duties."""
    posted = {"Facetally" + kind.value.title().replace("_", "") for kind in Kind}

    assert {one.name for one in EVERY} & (posted | {"FacetallyDutyOpen"}) == set()


def test_rules_about_duties_are_off_by_default() -> None:
    read = {metric for one in alerts(*RULES) for metric in one.metrics}

    assert {metric for metric in read if metric.startswith("facetally_duty_")} == {
        "facetally_duty_posts_total"
    }


def test_every_metric_of_health_is_watched() -> None:
    """What is exported so that a fault is seen has a rule that sees it."""
    read = {metric for one in EVERY for metric in one.metrics}
    told = {spec.name for spec in measures.catalogue()} - read

    assert told == {
        # The numbers themselves, which are for the dashboards.
        "facetally_processors",
        "facetally_individuals",
        "facetally_research_individuals",
        "facetally_system_individuals",
        "facetally_threshold_individuals",
        "facetally_threshold_reached",
        "facetally_threshold_warned_percent",
        "facetally_duties",
        # They page through the outbox, each day.
        "facetally_duties_overdue",
        # The sum of facetally_unverified, which names the reason.
        "facetally_verified",
        # Said by others that alert: what is kept, what waits.
        "facetally_records_read_total",
        "facetally_batches_kept_total",
        "facetally_notices_waiting",
        "facetally_notices_sent_total",
        # Said by the one that has come to its last step.
        "facetally_pages_unacknowledged",
        "facetally_page_oldest_unacknowledged_age_seconds",
        # No fault.
        "facetally_silences_active",
        # Anybody can knock; what matters is a page that nobody has, which is said by itself.
        "facetally_acknowledgement_requests_total",
        "facetally_ignored_records",
        "facetally_records_ignored_total",
    }
