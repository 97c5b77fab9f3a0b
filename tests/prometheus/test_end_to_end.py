"""From a fault of real processes to the receiver that is paged, by the rules that are shipped.

One run for all tests of this file: the faults come one after the other, what was told is noted,
and each test asks for its own. The times of the rules are shortened, see ``watched``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import psycopg
import pytest

from deploy.grafana.panels import ROWS
from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.acceptance.command import Facetally, Forker
from tests.conftest import REPOSITORY
from tests.homes import event
from tests.prometheus.watched import Watched, watched
from tests.receiver import Answer, Behaviour, Request, receiving
from tests.services import alertmanager as alertmanagers
from tests.services import prometheus as prometheuses
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.presence import require
from tests.workers import until

PATIENCE: Final = 300.0  # a fault takes half a minute; a machine that is busy is not at fault
SIGNING: Final = "whsec_" + "QUJD" * 8
READ_ONLY: Final = "ALTER DATABASE {0} SET default_transaction_read_only = on"
WRITABLE: Final = "ALTER DATABASE {0} RESET default_transaction_read_only"
CUT: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
SETTINGS: Final = """\
bootstrap_servers = "{kafka}"
group = "watched"

[[rules]]
id = "frt.file"
at_least = 3

[[topics]]
name = "watched-faces"
source = "cloudevents"

[[topics]]
name = "watched-quiet"
source = "cloudevents"
processors = ["beta"]
silent_after_hours = 0.001

[[topics]]
name = "watched-never-made"
source = "cloudevents"
processors = ["gamma"]

[[channels]]
kind = "webhook"
url = "{receiver}/notices"
allow_private = true
secret = "{signing}"

[[channels]]
kind = "webhook"
name = "refused"
url = "{receiver}/refused"
allow_private = true
secret = "{signing}"

[[channels]]
kind = "alertmanager"
name = "lost"
url = "{receiver}/lost"
every_s = 4
life_s = 60

[[channels]]
kind = "alertmanager"
name = "shown"
url = "{receiver}/shown"
every_s = 4
life_s = 60
"""
# What each road answers: facetally's own channels, and the roads of Alertmanager.
ANSWERS: Final = {"/notices": 204, "/refused": 403, "/shown/api/v2/alerts": 200}
ROADS: Final = {
    "FacetallyWatchdog": "deadman",
    "FacetallyNoticesStuck": "page",
    "FacetallyDutiesNotShown": "page",
    "FacetallyTopicMissing": "page",
    "FacetallyTopicSilent": "warnings",
    "FacetallyNumberUnverified": "warnings",
    "FacetallyRecordsRejected": "warnings",
    "FacetallyKeepingStalled": "page",
    "FacetallyLedgerUnreadable": "page",
    "FacetallyReadingStalled": "page",
    "FacetallyWorkerDown": "page",
    "FacetallyAlertsDown": "page",
}

# Those of one moment: a cut file, a bad record, a silent and a missing topic, receivers that fail.
AT_WORK: Final = tuple(ROADS)[:7]
FAULTS: Final = tuple(ROADS)[1:]  # without the watchdog, which fires always


@dataclass
class Run:
    """What was seen: which alerts were silent before their fault, and told after it."""

    silent: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    panels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)


def answering() -> Behaviour:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/lost"):
            return Answer(500)
        return Answer(ANSWERS.get(request.path, 200))

    return answer


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
    for topic in ("watched-faces", "watched-quiet"):
        kafka.create_topic(topic)
    with receiving(answering()) as receiver:
        text = SETTINGS.format(kafka=kafka.bootstrap, receiver=receiver.url, signing=SIGNING)
        url = postgres.database()
        facetally = Facetally(forker, home / "run", text, database_url=url)
        rules = home / "rules"
        rules.mkdir()
        with watched(facetally, receiver, rules) as world:
            yield Faults(kafka, postgres, facetally, world, url).all()


class Faults:
    """One fault after the other; each ends before the next."""

    def __init__(
        self, kafka: Kafka, postgres: Postgres, facetally: Facetally, world: Watched, url: str
    ) -> None:
        self._kafka, self._postgres, self._facetally = kafka, postgres, facetally
        self._world, self._url = world, url
        self.run = Run()

    def all(self) -> Run:
        # What has never been scraped at 0 cannot be seen to rise.
        until(partial(self._answered, "facetally_rejected_records"), PATIENCE)
        self._quiet_before(*FAULTS)
        self._at_work()
        self._told(*AT_WORK)
        self._world.note_families()
        self._database_read_only()
        self._database_away()
        self._broker_away()
        self._show_panels()
        self._processes_killed()
        return self.run

    # What every fault does.

    def _quiet_before(self, *names: str) -> None:
        """Note which alerts do not fire, given some seconds to settle."""
        for name in names:
            if until(partial(self._silent, name), PATIENCE):
                self.run.silent.add(name)

    def _told(self, *names: str) -> None:
        for name in names:
            if until(partial(self._world.told, ROADS[name], name), PATIENCE):
                self.run.told.add(name)

    def _silent(self, name: str) -> bool:
        return not self._world.fires(name)

    def _answered(self, query: str) -> bool:
        return bool(self._world.prometheus.query(query))

    def _put(self, *events: str, topic: str = "watched-faces") -> None:
        connection = Connection(bootstrap_servers=self._kafka.bootstrap)
        publish(connection, topic, [Outgoing(one.encode()) for one in events])

    # The faults.

    def _at_work(self) -> None:
        """A duty is opened, a record rejected, a file cut off; two receivers refuse."""
        people = [event(f"P{number}", time="2026-03-02T08:00:00Z") for number in range(3)]
        others = [event(name, processor=name) for name in ("beta", "gamma")]
        self._put(*people, *others, event("odd", kind="face.nonsense"), event(None, kind="x"))
        until(lambda: bool(self._facetally.duties()), PATIENCE)
        cut = self._facetally.home / "cut.ndjson"
        cut.write_text(event("late") + "\n" + event("later")[:50])
        assert self._facetally.run("apply", "--source", "cloudevents", str(cut)).code == 2

    def _database_read_only(self) -> None:
        self._quiet_before("FacetallyKeepingStalled")
        self._database(READ_ONLY)
        self._put(event("P9"))
        self._told("FacetallyKeepingStalled")
        self._database(WRITABLE)

    def _database(self, statement: str) -> None:
        with psycopg.connect(self._url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            name = connection.info.dbname
            connection.execute(statement.format(f'"{name}"').encode())
            connection.execute(CUT.encode())

    def _database_away(self) -> None:
        self._quiet_before("FacetallyLedgerUnreadable")
        self._postgres.stop()
        self._told("FacetallyLedgerUnreadable")
        self._postgres.start()
        self._quiet_before("FacetallyLedgerUnreadable", "FacetallyKeepingStalled")

    def _broker_away(self) -> None:
        self._quiet_before("FacetallyReadingStalled")
        self._kafka.kill()
        self._told("FacetallyReadingStalled")
        self._kafka.revive()
        self._world.note_families()

    def _show_panels(self) -> None:
        """Ask what each panel of the dashboard asks, while all of it runs again."""
        self._put(event("P10"))
        self.run.families = self._world.families
        asked = {
            query.expr: panel.title
            for row in ROWS
            for panel in row.panels
            for query in panel.queries
        }
        for expression, title in asked.items():
            wanted = filled_in(expression)
            until(partial(self._answered, wanted), 20)
            self.run.panels[f"{title}: {expression}"] = self._world.prometheus.query(wanted)

    def _processes_killed(self) -> None:
        self._quiet_before("FacetallyWorkerDown", "FacetallyAlertsDown")
        self._world.worker.kill()
        self._told("FacetallyWorkerDown")
        self._world.alerts.kill()
        self._told("FacetallyAlertsDown")


def filled_in(expression: str) -> str:
    """Return a panel's query as Grafana sends it, with all processors and minutes of data."""
    return expression.replace("$processor", ".*").replace("$__rate_interval", "5m")


QUERIES: Final = [
    f"{panel.title}: {query.expr}"
    for row in ROWS
    for panel in row.panels
    for query in panel.queries
]


@pytest.mark.parametrize("name", ROADS)
def test_a_fault_of_real_processes_reaches_the_receiver_of_its_road(run: Run, name: str) -> None:
    assert name in run.told


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
