"""The drill and the restore of the SRE's guide, typed as they stand beside a production that runs.

PostgreSQL with the guide's own roles and their passwords, by TCP; a broker; processes of facetally.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pytest

from streams.admin import Admin
from streams.connection import Connection
from streams.publish import Outgoing, publish
from tests.acceptance.running import until
from tests.conftest import REPOSITORY
from tests.guide import Machine, blocks, prepared
from tests.homes import event
from tests.services import postgres as postgreses
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.services.presence import require
from tests.services.process import Owned

# Who may do all is another user of the system; here another role, as in a cluster of Debian's.
RUNUSER: Final = 'shift 3\nPGUSER=$PGSUPERUSER PGPASSWORD=$PGSUPERPASSWORD exec "$@"'
RESTORED: Final = "Backup and restore"
DRILL: Final = "Drill: the database is lost"
SAID: Final = '--by "on call" --reason "after the backup"'
PROGRAMS: Final = tuple(
    f"/usr/local/sbin/{name}"
    for name in ("facetally", "facetally-backup", "facetally-drill", "facetally-silence")
)
SETTINGS: Final = ("/etc/facetally/facetally.toml", "/etc/facetally/owner.env")


@dataclass
class Site:
    """The machine of the guide with its broker, and the worker that counts in production."""

    machine: Machine
    connection: Connection
    group: str
    shown: str = ""
    backup: str = ""
    worker: Owned | None = None

    def type(self, *lines: str) -> str:
        """Type each line as root; return what the last one printed.

        What asks for a password gets the one that was shown last, or the owner's; NAME is the last
        backup's.
        """
        said = ""
        for one in lines:
            line = re.sub(r"\bNAME\b", self.backup, one)
            if not self._of_the_units(line):
                said = self.machine.follow([line], self._password(line))
            if line.startswith("cat "):
                self.shown = said.strip()
            if line == "facetally-backup":
                (self.backup,) = re.findall(r"^facetally-\d+T\d+Z$", said, re.MULTILINE)
        return said

    def _password(self, line: str) -> str:
        if "createuser" in line:
            return f"{self.shown}\n" * 2
        asking = "--username facetally " in line
        file = self.machine.place("/etc/facetally/owner-password")
        return file.read_text() if asking else ""

    def _of_the_units(self, line: str) -> bool:
        """Do what systemd would do, with the one worker that there is here."""
        if not line.startswith("systemctl "):
            return False
        if " stop " in line:
            self.stop()
        elif "db-upgrade" in line:
            self.upgrade()
        elif "facetally-worker@" in line:
            self.worker = self.start("facetally", "worker")
        return True

    def upgrade(self) -> None:
        """As the unit: the owner's address, and the owner's password as its credential."""
        owner = self.machine.place("/etc/facetally/owner.env").read_text().splitlines()
        (url,) = [line for line in owner if line.startswith("FACETALLY_")]
        secret = "FACETALLY_SECRET_FILE=/etc/facetally/secret"
        password = "FACETALLY_DATABASE_PASSWORD_FILE=/etc/facetally/owner-password"
        program = "/opt/facetally/bin/facetally --config /etc/facetally/facetally.toml"
        self.machine.follow([f"{url} {secret} {password} {program} db upgrade"])

    def start(self, program: str, what: str) -> Owned:
        """Start a process by *program* of root; a worker has its partitions when this returns."""
        log = self.machine.path / f"{program}-{what}.log"
        log.unlink(missing_ok=True)
        command = str(self.machine.place(f"/usr/local/sbin/{program}"))
        owned = Owned([command, what], log=log, env=self.machine.env(), cwd=REPOSITORY)
        if what == "worker":
            owned.until(lambda: "reading: partitions are assigned" in log.read_text(), seconds=120)
        return owned

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def json(self, line: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.type(line))
        return found

    def put(self, *people: str) -> None:
        publish(self.connection, self.group, [Outgoing(event(who).encode()) for who in people])

    def number(self, program: str = "facetally") -> tuple[int, bool]:
        """Return the number of acme, and whether it is verified."""
        found = self.json(f"{program} status --json")["processors"]
        return next(((one["individuals"], one["verified"]) for one in found), (0, True))

    def restored(self, program: str = "facetally") -> list[str]:
        """Return the severities of the notices that tell of a restored database."""
        found = self.json(f"{program} notices --json")["notices"]
        return [one["severity"] for one in found if one["kind"] == "database_restored"]

    def delivered(self) -> set[str]:
        """Return the kinds of which a notice was told on every channel that it was owed to."""
        found = self.json("facetally notices --json")["notices"]
        told = [one for one in found if all(by["sent_at"] for by in one["channels"])]
        return {one["kind"] for one in told if one["channels"]}

    def until_published(self, offset: int) -> None:
        def published() -> bool:
            with Admin(self.connection) as admin:
                return admin.group_offsets(self.group) == {(self.group, 0): offset}

        until(published, f"the group at {offset}", 60)


@contextmanager
def cluster() -> Iterator[Postgres]:
    running = Postgres(superuser="postgres")
    try:
        running.start()
        yield running
    finally:
        running.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, kafka: Kafka) -> Iterator[Site]:
    """Production as the guide installs it: twenty counted, a backup, a decision, five more."""
    require(postgreses.available())
    require(None if shutil.which("psql") else "no psql: Debian's package postgresql-client")
    name = f"drill-{uuid4().hex[:8]}"
    kafka.create_topic(name)
    with cluster() as server:
        made = Site(machine(tmp_path_factory, server, kafka, name), connection(kafka), name)
        try:
            install(made)
            count(made)
            yield made
        finally:
            made.stop()


def connection(kafka: Kafka) -> Connection:
    return Connection(bootstrap_servers=kafka.bootstrap)


def machine(paths: pytest.TempPathFactory, server: Postgres, kafka: Kafka, name: str) -> Machine:
    swaps = {
        "127.0.0.1:5432": f"127.0.0.1:{server.port}",
        "127.0.0.1:9092": kafka.bootstrap,
        "127.0.3.1:9470": "127.0.0.1:0",
        '"face-events"': f'"{name}"',
        'group = "facetally"': f'group = "{name}"',
        "FACETALLY_GROUP=facetally-drill": f"FACETALLY_GROUP={name}-drill",
        "--from facetally": f"--from {name}",
    }
    environ = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGSUPERUSER": server.superuser,
        "PGSUPERPASSWORD": server.password,
        "FACETALLY_METRICS_ADDRESS": "127.0.0.1:0",
    }
    home = paths.mktemp("machine")
    return prepared(Machine(home, swaps, environ), runuser=RUNUSER, amtool=":")


def install(site: Site) -> None:
    """Follow the guide from the secrets to the first worker; the program is there already."""
    _, settings, units = blocks("With systemd")
    copied = next(n for n, line in enumerate(units) if line.endswith("/usr/local/sbin/")) + 1
    site.type(*blocks("Secrets")[0], *blocks("Database and roles")[0], *settings, *units[:copied])
    site.machine.settle(*PROGRAMS, *SETTINGS)
    site.type(*units[copied:], blocks("The first start")[0][0])


def count(site: Site) -> None:
    site.put(*(f"person-{number}" for number in range(20)))
    until(lambda: site.number() == (20, True), "twenty counted")
    tell(site)
    site.type(*blocks(RESTORED)[0])
    site.type(f"facetally event acme assessment.recorded --at 2026-03-02 {SAID}")
    site.type("facetally audit checkpoint /mnt/elsewhere/checkpoints")
    site.put(*(f"late-{number}" for number in range(5)))
    until(lambda: site.number() == (25, True), "five more counted")
    site.until_published(25)


def tell(site: Site) -> None:
    """Have alerts run until its channel is known: what is owed from then on is the channel's."""
    alerts = site.start("facetally", "alerts")
    asked = "runuser --user postgres -- psql --dbname facetally --command 'SELECT * FROM channels'"
    try:
        until(lambda: "log" in site.type(asked), "the channel is known")
    finally:
        alerts.stop()


def test_the_drill_restores_a_copy_and_accepts_it_while_production_goes_on(site: Site) -> None:
    made, (worker,), looked, gone = blocks(DRILL)
    site.type(*made)
    running = site.start(*worker.split())
    try:
        drilled = positions(site, "facetally-drill")
        until(lambda: positions(site, "facetally-drill") == positions(site, "facetally"), "the end")
        before, paged = site.number("facetally-drill"), site.restored("facetally-drill")
        site.type(*looked)
        after = site.number("facetally-drill")
    finally:
        running.stop()
    site.type(*gone)

    assert worker == "facetally-drill worker"
    assert set(drilled) == set(positions(site, "facetally"))
    assert (before, paged) == ((25, False), ["page"])
    assert after == (25, True)
    assert site.worker is not None
    assert site.worker.alive()
    assert (site.number(), site.restored()) == ((25, True), [])


def positions(site: Site, program: str) -> dict[str, int]:
    found = site.json(f"{program} positions --json")["positions"]
    return {f"{one['topic']}/{one['partition']}": one["next_offset"] for one in found}


@pytest.fixture(scope="module")
def restored(site: Site) -> Site:
    """Production on its backup, read to the end of what Kafka has; alerts does not run yet."""
    site.type(*blocks(RESTORED)[1])
    until(lambda: site.number()[0] == 25, "what Kafka still has")
    return site


def test_a_database_that_is_restored_for_good_is_noticed_and_comes_to_the_same_number(
    restored: Site,
) -> None:
    assert restored.number() == (25, False)
    assert restored.restored() == ["page"]


def test_what_is_acknowledged_before_alerts_starts_is_told_once_all_the_same(
    restored: Site,
) -> None:
    looked, (known, starting, _) = blocks(RESTORED)[2:]
    restored.type(*looked)
    for page in restored.json("facetally pages --json")["pages"]:
        restored.type(known.replace("KEY", page["key"]))
    alerts = restored.start("facetally", "alerts")
    try:
        until(lambda: "database_restored" in restored.delivered(), "what the copy owes")
    finally:
        alerts.stop()

    assert starting.startswith("systemctl start facetally-alerts.service ")
    assert restored.json("facetally pages --json")["pages"] == []


def test_checkpoints_that_are_younger_than_the_backup_tell_what_was_lost(restored: Site) -> None:
    with pytest.raises(AssertionError, match=r"entry \d+ is another than the checkpoint says"):
        restored.type("facetally audit verify --checkpoint /mnt/elsewhere/checkpoints")


@pytest.mark.parametrize("words", ["alerts", "-v up", "notify test"])
def test_nobody_is_told_anything_from_a_copy(site: Site, words: str) -> None:
    with pytest.raises(AssertionError, match="would tell people"):
        site.type(f"facetally-drill {words}")
