"""What hides what, asked of a real Alertmanager with the shipped configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.prometheus.shipped import ALERTMANAGER
from tests.services import alertmanager as alertmanagers
from tests.services.alertmanager import Alertmanager
from tests.services.presence import require
from tests.workers import until

WORKER = {"job": "facetally-worker"}


@pytest.fixture
def alertmanager() -> Iterator[Alertmanager]:
    require(alertmanagers.available())
    made = Alertmanager(ALERTMANAGER.read_text(encoding="utf-8"))
    made.start()
    yield made
    made.close()


def active(alertmanager: Alertmanager, *alerts: dict[str, str]) -> list[dict[str, str]]:
    """Post *alerts*, given by name and labels, and return those that are not hidden."""
    posted = [{"labels": {"severity": "page", **labels}} for labels in alerts]
    url = f"{alertmanager.url}/api/v2/alerts"
    httpx.post(url, content=json.dumps(posted), headers={"content-type": "application/json"})
    found: list[dict[str, str]] = []

    def judged() -> bool:
        known = httpx.get(url, timeout=20, trust_env=False).json()
        shown = [one for one in known if one["status"]["state"] == "active"]
        found[:] = [one["labels"] for one in shown]
        return len(known) == len(alerts) and all(
            one["status"]["state"] != "unprocessed" for one in known
        )

    assert until(judged, 60)
    for labels in found:
        del labels["severity"]
    return found


def named(name: str, **labels: str) -> dict[str, str]:
    return {"alertname": f"Facetally{name}", **labels}


def test_the_cause_hides_what_follows_within_its_installation_and_no_other(
    alertmanager: Alertmanager,
) -> None:
    cause = named("AlertsDown", installation="staging")
    follows = named("NoticesStuck", installation="staging", channel="mail")
    others = [
        named("NoticesStuck", installation="prod", channel="mail"),
        named("LedgerUnreadable", installation="prod"),
    ]
    seen = active(alertmanager, cause, follows, *others)

    assert sorted(seen, key=str) == sorted([cause, *others], key=str)


def test_a_worker_that_keeps_nothing_hides_its_own_alerts_and_those_of_no_other(
    alertmanager: Alertmanager,
) -> None:
    cause = named("KeepingStalled", instance="w1", **WORKER)
    follows = named("ChecksFailing", instance="w1", **WORKER)
    others = [
        named("ChecksFailing", instance="w2", **WORKER),
        named("PartitionStalled", topic="t", partition="1"),
    ]
    seen = active(alertmanager, cause, follows, *others)

    assert sorted(seen, key=str) == sorted([cause, *others], key=str)


def test_a_database_that_is_away_hides_who_waits_for_it_and_not_who_waits_for_kafka(
    alertmanager: Alertmanager,
) -> None:
    cause = named("LedgerUnreadable", installation="staging")
    follows = named("WorkerStuck", installation="staging", instance="w1", thread="keeper", **WORKER)
    others = [
        named("WorkerStuck", installation="staging", instance="w1", thread="kafka-admin", **WORKER),
        named("WorkerStuck", installation="prod", instance="w1", thread="keeper", **WORKER),
    ]
    seen = active(alertmanager, cause, follows, *others)

    assert sorted(seen, key=str) == sorted([cause, *others], key=str)


def test_where_no_worker_runs_none_is_told_to_hang(alertmanager: Alertmanager) -> None:
    cause = named("WorkerDown")
    follows = named("WorkerStuck", instance="w1", thread="keeper", **WORKER)

    assert active(alertmanager, cause, follows) == [cause]


def test_a_missing_topic_hides_its_own_partitions_only(alertmanager: Alertmanager) -> None:
    cause = named("TopicMissing", processor="acme", topic="gone", reason="topic_missing")
    follows = named("PartitionUnread", topic="gone", partition="0")
    other = named("PartitionUnread", topic="t", partition="0")
    seen = active(alertmanager, cause, follows, other)

    assert sorted(seen, key=str) == sorted([cause, other], key=str)
