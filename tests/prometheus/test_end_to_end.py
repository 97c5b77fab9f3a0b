"""From a fault of real processes to the receiver that is paged, by the rules that are shipped.

One run for all tests of this file: the faults come one after the other, what was told is noted,
and each test asks for its own. The times of the rules are shortened, see ``watched``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from deploy.grafana.panels import ROWS
from tests.acceptance.command import Facetally, Forker
from tests.conftest import REPOSITORY
from tests.prometheus.faults import INHIBITED, WATCHDOG, Faults, Run, answering
from tests.prometheus.scene import TOPICS, Settings, beating
from tests.prometheus.shipped import RULES, alerts
from tests.prometheus.test_last_mile import ROADS as LAST_MILE
from tests.prometheus.watched import watched
from tests.receiver import receiving
from tests.services import alertmanager as alertmanagers
from tests.services import prometheus as prometheuses
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.presence import require

# Those of one moment: receivers that refuse, topics that are missing, silent or hang, a page
# that reaches nobody, a worker that is not there, a process that is scraped by two names.
AT_WORK: Final = {
    "FacetallyWatchdog": "deadman",
    "FacetallyNoticesStuck": "page",
    "FacetallyDutiesNotShown": "page",
    "FacetallyTopicMissing": "page",
    "FacetallyTopicSilent": "warnings",
    "FacetallyNumberUnverified": "warnings",
    "FacetallyRecordsRejected": "warnings",
    "FacetallyRejectShare": "warnings",
    "FacetallyPageUnacknowledged": "page",
    "FacetallyResponderUnreachable": "page",
    "FacetallyEscalationStepUnreachable": "page",
    "FacetallyPartitionStalled": "page",
    "FacetallyPartitionHeld": "warnings",
    "FacetallyReachPending": "warnings",
    "FacetallyLagGrowing": "warnings",
    "FacetallySeriesLeftOut": "warnings",
    "FacetallyWorkerMissing": "warnings",
    "FacetallyLedgerExportedTwice": "warnings",
}
ROADS: Final = AT_WORK | {
    "FacetallyKeepingStalled": "page",
    "FacetallyLedgerUnreadable": "page",
    "FacetallyReadingStalled": "page",
    "FacetallyWorkerStuck": "page",
    "FacetallySlowTransactions": "warnings",
    "FacetallyChecksFailing": "page",
    "FacetallySenderStuck": "page",
    "FacetallyAuditRewritten": "page",
    "FacetallyAuditShrunk": "page",
    "FacetallyWorkerDown": "page",
    "FacetallyAlertsDown": "page",
    "FacetallyPartitionUnread": "page",
    "FacetallyClockWrong": "page",
    "FacetallyNothingRead": "page",
    "FacetallyRestarting": "warnings",
    "FacetallyOpenFiles": "warnings",
    "FacetallyNobodyTold": "warnings",
}
FAULTS: Final = [name for name in (*ROADS, *INHIBITED) if name != WATCHDOG]
# Checked by promtool alone, and why.
BY_PROMTOOL: Final = {
    "FacetallyCalendarOver": "the shipped calendar of this year cannot be taken out, and the clock "
    "of Prometheus is the machine's",
    "FacetallyCalendarEnding": "the same: it fires or not by the day on which the test runs",
    "FacetallyPositionsMoved": "asks for twenty batches that another worker took",
    "FacetallySnapshotRunning": "asks for a first snapshot that does not end in a day",
    "FacetallyRecountPending": "a look back of so few people is over before it is seen",
    "FacetallySenderErrors": "its cause here, the database, is told in its place",
}


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as started:
        yield started


@pytest.fixture(scope="module")
def run(
    kafka: Kafka, postgres: Postgres, forker: Forker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    require(alertmanagers.available())
    require(prometheuses.available())
    home = tmp_path_factory.mktemp("watched")
    for topic in TOPICS:
        kafka.create_topic(topic)
    with receiving(answering()) as receiver:
        settings, url = Settings(kafka, receiver.url), postgres.database()
        facetally = Facetally(forker, home / "run", settings.text(), database_url=url)
        rules = home / "rules"
        rules.mkdir()
        with (
            beating(kafka, "watched-quiet") as still,
            watched(facetally, receiver, rules) as world,
        ):
            faults = Faults((kafka, postgres), facetally, settings, world, ROADS, still)
            yield faults.all(tuple(AT_WORK))


QUERIES: Final = [
    f"{panel.title}: {query.expr}"
    for row in ROWS
    for panel in row.panels
    for query in panel.queries
]


@pytest.mark.parametrize("name", ROADS)
def test_a_fault_of_real_processes_reaches_the_receiver_of_its_road(run: Run, name: str) -> None:
    assert name in run.told


@pytest.mark.parametrize("name", INHIBITED)
def test_what_follows_from_it_reaches_alertmanager_which_tells_the_cause(
    run: Run, name: str
) -> None:
    assert name in run.known


def test_every_alert_has_a_fault_here_or_a_reason_why_not() -> None:
    shipped = {one.name for one in alerts(*RULES)}

    assert shipped == {*ROADS, *INHIBITED, *LAST_MILE, *BY_PROMTOOL}
    assert not BY_PROMTOOL.keys() & {*ROADS, *INHIBITED, *LAST_MILE}


@pytest.mark.parametrize("name", FAULTS)
def test_before_its_fault_the_alert_is_silent(run: Run, name: str) -> None:
    assert name in run.silent


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_dashboard_returns_data(run: Run, query: str) -> None:
    assert run.panels[query]


def test_the_real_processes_export_what_is_documented_and_nothing_else(run: Run) -> None:
    page = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(facetally_\w+)` \|", page, re.MULTILINE))
    ours = {name for name in run.families if name.startswith("facetally_")}

    assert ours == listed


def test_beside_our_own_the_processes_export_only_process_metrics(run: Run) -> None:
    others = {name for name in run.families if not name.startswith("facetally_")}

    assert others
    assert all(name.startswith("process_") for name in others)
