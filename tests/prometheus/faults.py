"""The faults of real processes, one after the other where they exclude each other.

Times are shortened (``watched``), in the rules and for the five minutes after which a channel
counts as broken; nothing else is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any, Final

import psycopg

from deploy.grafana.panels import ROWS
from monitor.measures import MOST_SYSTEMS
from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.acceptance.command import Facetally
from tests.homes import event
from tests.prometheus.freezing import freezing
from tests.prometheus.scene import PATIENCE, Settings, beating, open_transaction
from tests.prometheus.watched import Watched
from tests.receiver import Answer, Behaviour, Request
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.workers import until

READ_ONLY: Final = "ALTER DATABASE {0} SET default_transaction_read_only = on"
WRITABLE: Final = "ALTER DATABASE {0} RESET default_transaction_read_only"
CUT: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
# Reads go on, and the senders wait: as beside a long migration or a careless session.
LOCKED: Final = "LOCK TABLE notices, deliveries, channels IN EXCLUSIVE MODE"
HUNG: Final = 1_100  # records: FacetallyLagGrowing asks for more than 1,000
SYSTEMS: Final = MOST_SYSTEMS + 1
SLOW: Final = "5.5 s"  # FacetallySlowTransactions asks for more than 5
WATCHDOG: Final = "FacetallyWatchdog"  # fires always
# FacetallyNoticesStuck of the same channel is told in their place.
INHIBITED: Final = ("FacetallyNoticesFailing", "FacetallyChannelRefuses")
# What each road answers: facetally's own channels, and the roads of Alertmanager.
ANSWERS: Final = {"/notices": 204, "/refused": 403, "/shown/api/v2/alerts": 200}
# Imported by each interpreter that finds it: the clock of that process is an hour ahead.
AHEAD: Final = """\
import time
_real = time.time_ns
time.time_ns = lambda: _real() + 3_600_000_000_000
"""


@dataclass
class Run:
    """What was seen: which alerts were silent before their fault, and told after it."""

    silent: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    panels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)


def answering() -> Behaviour:
    def answer(request: Request) -> Answer:
        if request.path.startswith("/lost"):
            return Answer(500)
        return Answer(ANSWERS.get(request.path, 200))

    return answer


def filled_in(expression: str) -> str:
    """Return a panel's query as Grafana sends it, with all processors and minutes of data."""
    return expression.replace("$processor", ".*").replace("$__rate_interval", "5m")


class Faults:
    """Brings about each fault and notes what was told; *roads* is who has to hear which alert.

    From the first fault on *still* is set: then the quiet topic is quiet.
    """

    def __init__(
        self,
        parts: tuple[Kafka, Postgres],
        facetally: Facetally,
        settings: Settings,
        world: Watched,
        roads: Mapping[str, str],
        still: Event,
    ) -> None:
        self._kafka, self._postgres = parts
        self._facetally, self._settings = facetally, settings
        self._world, self._roads, self._still = world, roads, still
        self._silent_first = [one for one in (*roads, *INHIBITED) if one != WATCHDOG]
        self.run, self._heard = Run(), 0  # what was heard before a fault is not of it

    def all(self, at_work: tuple[str, ...]) -> Run:
        """Do all of it; *at_work* are those of one moment, told while everything runs."""
        # What has never been scraped at 0 cannot be seen to rise.
        until(partial(self._answered, "facetally_rejected_records"), PATIENCE)
        self._quiet_before(*self._silent_first)
        with self._at_work():
            self._reject_more()
            self._told(*at_work)
            self._known(*INHIBITED)
            self._world.note_families()
        self._database_read_only()
        self._database_away()
        self._broker_away()
        self._show_panels()
        self._database_slow()
        self._database_frozen()
        self._settings_replaced()
        self._processes_killed()
        self._topics_left_out()
        self._started_again_and_again()
        self._files_run_out()
        self._told_to_the_log_alone()
        return self.run

    # What every fault does.

    def _quiet_before(self, *names: str) -> None:
        """Note which alerts do not fire, given some seconds to settle."""
        for name in names:
            if until(partial(self._silent, name), PATIENCE):
                self.run.silent.add(name)
        self._heard = len(self._world.receiver.requests)

    def _told(self, *names: str) -> None:
        for name in names:
            told = partial(self._world.told, self._roads[name], name, self._heard)
            if until(told, PATIENCE):
                self.run.told.add(name)

    def _known(self, *names: str) -> None:
        """Note which have come to Alertmanager, where their cause is told in their place."""
        for name in names:
            if until(partial(self._world.has, name), PATIENCE):
                self.run.known.add(name)

    def _silent(self, name: str) -> bool:
        return not self._world.fires(name)

    def _answered(self, query: str) -> bool:
        return bool(self._world.prometheus.query(query))

    def _found(self, query: str, found: list[dict[str, Any]]) -> bool:
        """Keep the answer itself: some gauges are gone for a moment now and then."""
        found[:] = self._world.prometheus.query(query)
        return bool(found)

    def _put(self, *events: str, topic: str = "watched-faces") -> None:
        connection = Connection(bootstrap_servers=self._kafka.bootstrap)
        publish(connection, topic, [Outgoing(one.encode()) for one in events])

    def _written(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(statement.encode())

    def _connected(self) -> psycopg.Connection[Any]:
        url = self._facetally.database_url.replace("+psycopg", "")
        connection = psycopg.connect(url, autocommit=True)
        connection.execute("SET default_transaction_read_only = off")
        return connection

    # The faults.

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """A duty, bad records, a cut file, an open transaction; a target and a name too many."""
        with open_transaction(self._kafka, "watched-hung", [event("P0")] * HUNG):
            self._still.set()
            self._open_duties()
            self._cut_off_a_file()
            self._fail_for_long("refused")
            self._world.scrape("facetally-worker", self._world.worker.address, "127.0.0.1:9")
            also = self._world.alerts.address.replace("127.0.0.1", "localhost")
            self._world.scrape("facetally-alerts", self._world.alerts.address, also)
            yield
        self._world.scrape("facetally-alerts", self._world.alerts.address)
        self._world.scrape("facetally-worker", self._world.worker.address)

    def _open_duties(self) -> None:
        people = [event(f"P{number}", time="2026-03-02T08:00:00Z") for number in range(3)]
        waiting = [event(f"D{number}", processor="delta") for number in range(3)]
        others = [event(name, processor=name) for name in ("beta", "gamma")]
        others += [event("S0", processor="zeta", system=f"gate {n}") for n in range(SYSTEMS)]
        odd = [event("odd", kind="face.nonsense"), event(None, kind="x")]
        self._put(*people, *waiting, *others, *odd)
        self._put(*[event("odd", kind="face.nonsense")] * 20, topic="watched-bad")
        until(lambda: bool(self._facetally.duties()), PATIENCE)

    def _reject_more(self) -> None:
        """A rate wants a counter that was scraped before it rises, of good records as well."""
        rejected = 'facetally_records_rejected_total{topic="watched-faces"}'
        until(partial(self._answered, rejected), PATIENCE)
        self._put(event("odd", kind="face.nonsense"), event("P0"))

    def _cut_off_a_file(self) -> None:
        cut = self._facetally.home / "cut.ndjson"
        cut.write_text(event("late") + "\n" + event("later")[:50])
        assert self._facetally.run("apply", "--source", "cloudevents", str(cut)).code == 2

    def _fail_for_long(self, channel: str) -> None:
        """Shorten the five minutes: let the channel have begun to fail ten minutes ago."""
        failing = f"channel = '{channel}' AND failing_since IS NOT NULL"

        def begun() -> bool:
            with self._connected() as connection:
                done = connection.execute(
                    f"UPDATE channels SET failing_since = failing_since - 600000000 "  # noqa: S608
                    f"WHERE {failing}".encode()
                )
                return done.rowcount == 1

        assert until(begun, PATIENCE)

    def _database_read_only(self) -> None:
        self._quiet_before("FacetallyKeepingStalled")
        self._database(READ_ONLY)
        self._put(event("P9"))
        self._told("FacetallyKeepingStalled")
        self._database(WRITABLE)

    def _database(self, statement: str) -> None:
        with self._connected() as connection:
            connection.execute(statement.format(f'"{connection.info.dbname}"').encode())
            connection.execute(CUT.encode())

    def _database_away(self) -> None:
        self._quiet_before("FacetallyLedgerUnreadable")
        self._postgres.stop()
        self._told("FacetallyLedgerUnreadable")
        self._postgres.start()
        self._quiet_before("FacetallyLedgerUnreadable", "FacetallyKeepingStalled")

    def _broker_away(self) -> None:
        """And meanwhile what needs no broker: it takes the worker a minute to be sure."""
        names = ("FacetallySenderStuck", "FacetallyAuditRewritten", "FacetallyAuditShrunk")
        self._quiet_before("FacetallyReadingStalled", *names)
        self._kafka.kill()
        self._senders_locked_out()
        self._told("FacetallyReadingStalled")
        self._kafka.revive()
        self._world.note_families()

    def _show_panels(self) -> None:
        """Ask what each panel of the dashboard asks, while all of it runs again.

        Records come meanwhile: what is said of a partition begins anew with a new assignment.
        """
        self.run.families = self._world.families
        asked = {
            query.expr: panel.title
            for row in ROWS
            for panel in row.panels
            for query in panel.queries
        }
        with beating(self._kafka, "watched-quiet"):
            for expression, title in asked.items():
                found = self.run.panels[f"{title}: {expression}"] = []
                until(partial(self._found, filled_in(expression), found), PATIENCE)

    def _database_frozen(self) -> None:
        """Stop the sessions of the worker: it asks, and nothing comes back, not even an error."""
        name = "FacetallyWorkerStuck"
        self._quiet_before(name)
        with (
            self._connected() as connection,
            freezing(self._world.worker.pid, connection) as freezer,
        ):

            def told() -> bool:
                freezer.freeze()
                return self._world.told(self._roads[name], name, self._heard)

            if until(told, PATIENCE):
                self.run.told.add(name)

    def _database_slow(self) -> None:
        """Let the worker wait within a transaction for a table that somebody has locked.

        Again and again: one slow transaction is not told.
        """
        name = "FacetallySlowTransactions"
        self._quiet_before(name)
        until_over = time.monotonic() + PATIENCE
        while not self._world.told(self._roads[name], name, self._heard):
            if time.monotonic() > until_over:
                return
            with self._connected() as connection, connection.transaction():
                connection.execute(b"LOCK TABLE positions IN EXCLUSIVE MODE")
                self._put(event("P11"))
                assert until(self._somebody_waits, PATIENCE)
            time.sleep(0.5)  # what waited is through before the next one locks
        self.run.told.add(name)

    def _somebody_waits(self) -> bool:
        with self._connected() as connection:
            waiting = (
                "SELECT FROM pg_stat_activity WHERE datname = current_database() "
                f"AND wait_event_type = 'Lock' AND now() - xact_start > interval '{SLOW}'"
            )
            return connection.execute(waiting.encode()).fetchone() is not None

    def _settings_replaced(self) -> None:
        """Others hold than those of the worker, so that what is due between batches fails."""
        self._quiet_before("FacetallyChecksFailing")
        self._facetally.settings.write_text(self._settings.text("watched-quiet", at_least=4))
        more = self._facetally.home / "more.ndjson"
        more.write_text(event("P12") + "\n")
        self._facetally.good("apply", "--take-settings", "--source", "cloudevents", str(more))
        self._told("FacetallyChecksFailing")

    def _senders_locked_out(self) -> None:
        """Senders wait for a lock; behind their backs the log is changed, and put back."""
        with self._connected() as connection, connection.transaction():
            connection.execute(LOCKED.encode())
            self._told("FacetallySenderStuck")  # by now nothing was written for a while
            self._written("UPDATE audit_head SET hash = reverse(hash)")
            self._told("FacetallyAuditRewritten")
            self._written("UPDATE audit_head SET hash = reverse(hash), seq = seq - 1")
            self._told("FacetallyAuditShrunk")
            self._written("UPDATE audit_head SET seq = seq + 1")

    def _processes_killed(self) -> None:
        self._world.worker.kill()
        self._world.alerts.kill()
        self._told("FacetallyWorkerDown", "FacetallyAlertsDown")

    def _topics_left_out(self) -> None:
        """Start again with fewer topics, and with a clock that is wrong."""
        ahead = self._facetally.home / "ahead"
        ahead.mkdir()
        (ahead / "sitecustomize.py").write_text(AHEAD)
        self._world.worker.start()
        self._world.alerts.start(PYTHONPATH=str(ahead))
        self._told("FacetallyPartitionUnread", "FacetallyClockWrong")
        self._world.worker.kill()
        self._facetally.settings.write_text(self._settings.text("watched-never-made"))
        self._world.worker.start()
        self._told("FacetallyNothingRead")

    def _started_again_and_again(self) -> None:
        """It has started twice again already, within what is an hour to the quick rule."""
        self._quiet_before("FacetallyRestarting")
        for _ in range(2):
            self._world.worker.kill()
            now = time.time() - 1  # it is told in hundredths of a second, by the kernel's clock
            self._world.worker.start()
            scraped = f'process_start_time_seconds{{job="facetally-worker"}} > {now}'
            until(partial(self._answered, scraped), PATIENCE)
        self._told("FacetallyRestarting")

    def _files_run_out(self) -> None:
        """Let the process have hardly more open files than it has open now."""
        self._quiet_before("FacetallyOpenFiles")
        with self._world.worker.narrowed():
            self._told("FacetallyOpenFiles")

    def _told_to_the_log_alone(self) -> None:
        self._quiet_before("FacetallyNobodyTold")
        self._world.alerts.kill()
        self._facetally.settings.write_text(self._settings.text("watched-quiet", telling=""))
        self._world.alerts.start()
        self._told("FacetallyNobodyTold")
