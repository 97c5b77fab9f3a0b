"""A number that may be wrong is marked everywhere it is shown, and how it is verified again.

Three faults over a real Kafka: records lost to retention, an old copy of the database put back, a
source that went silent. ``Shown`` is every place with a number; each test asks all of them.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from monitor.trust import MEANING, Doubt
from streams.admin import Admin
from tests.acceptance.command import Forker
from tests.acceptance.running import until
from tests.figures import report
from tests.receiver import Answer, Receiver, receiving
from tests.services.kafka import Kafka
from tests.violence.faults_kit import SIGNING, Process, Scene, enrolled, new_name, scene

SILENT_HOURS = 0.001  # 3.6 seconds


@dataclass(frozen=True, slots=True)
class Shown:
    """What each place with a number says of whether it is verified."""

    scene: Scene
    alerts: Process
    receiver: Receiver

    def status(self) -> list[str]:
        found = self.scene.processor()
        assert found["verified"] is (not found["unverified"])
        return [one["reason"] for one in found["unverified"]]

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return the different notices of *kind* that the webhook has been sent."""
        bodies = [json.loads(request.body) for request in list(self.receiver.requests)]
        of_kind = {
            body["data"]["key"]: body["data"]
            for body in bodies
            if body["type"] == f"facetally.{kind}"
        }
        return list(of_kind.values())

    def until_told(self, kind: str) -> dict[str, Any]:
        until(lambda: bool(self.told(kind)), f"a notice {kind}", 30)
        (only,) = self.told(kind)
        return only

    def everywhere(self, doubt: Doubt) -> None:
        """Assert that each place shows the number as unverified for *doubt*, with the way back."""
        facetally, meaning = self.scene.facetally, MEANING[doubt]
        topic = self.scene.topic
        for found in (self.scene.processor(), *facetally.duties(), self.explained()):
            assert found["verified"] is False
            (why,) = found["unverified"]
            assert (why["reason"], why["topic"]) == (doubt.value, topic)
            assert why["way_back"] == meaning.way_back
        (then,) = facetally.status(as_of="2026-03-02T12:00:00Z")["processors"]
        assert then["verified"] is False
        for command in (("status",), ("duties",), self.explaining):
            text = facetally.good(*command)
            assert f"unverified: acme: {doubt.value} {topic}" in text
            assert meaning.way_back in text
        self.until_metrics(doubt)

    explaining = ("explain", "--processor", "acme", "p0")

    def explained(self) -> dict[str, Any]:
        return self.scene.facetally.json(*self.explaining)

    def until_metrics(self, *doubts: Doubt) -> None:
        """Wait until the metrics show just *doubts*: a scrape may be ten seconds old."""
        wanted = {
            f"facetally_unverified{{processor=acme,reason={doubt.value}}}": float(doubt in doubts)
            for doubt in Doubt
        }
        wanted["facetally_verified{processor=acme}"] = float(not doubts)

        def shown() -> bool:
            found = self.alerts.metrics()
            return {name: found.get(name) for name in wanted} == wanted

        until(shown, f"metrics of {doubts}", 30)

    def accept(self, doubt: Doubt) -> dict[str, Any]:
        compared = datetime.now(UTC).isoformat()
        said = ("--by", "privacy office", "--because", "listed at the source")
        return self.scene.facetally.json(
            "accept",
            "--processor",
            "acme",
            "--reason",
            doubt.value,
            "--compared-at",
            compared,
            *said,
        )

    def accepted(self, doubt: Doubt, individuals: int) -> None:
        """Accept *doubt*, and assert that it is gone, written down, and told."""
        answer = self.accept(doubt)
        told = self.until_told("number_accepted")

        assert (answer["individuals"], answer["verified"]) == (individuals, True)
        assert self.status() == []
        assert told["facts"]["individuals"] == individuals
        assert (told["facts"]["by"], told["facts"]["because"]) == (
            "privacy office",
            "listed at the source",
        )
        assert self.scene.holds()
        self.until_metrics()


@contextmanager
def shown(place: Scene, receiver: Receiver) -> Iterator[Shown]:
    with place.running("alerts") as alerts:
        yield Shown(place, alerts, receiver)


def people(first: int, last: int) -> list[str]:
    return [enrolled(f"p{number}", f"08:{number:02d}") for number in range(first, last)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(Answer(204)) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Place:
    """A scene, and how its database is copied away and put back while nobody uses it."""

    scene: Scene
    copy: Callable[[], None]
    put_back: Callable[[], None]


def made(
    kafka: Kafka,
    forker: Forker,
    home: Path,
    receiver: Receiver,
    *,
    database_url: str | None = None,
    head: str = "",
) -> Scene:
    channel = (
        f'[[channels]]\nkind = "webhook"\nurl = "{receiver.url}"\n'
        f'allow_private = true\nsecret = "{SIGNING}"\n'
    )
    found = scene(
        kafka,
        forker,
        home,
        topics=(),
        channels=channel,
        database_url=database_url,
        head=head,
        at_least=25,
    )
    kafka.create_topic(found.topic)
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest,
    kafka: Kafka,
    forker: Forker,
    tmp_path: Path,
    receiver: Receiver,
) -> Place:
    if request.param == "sqlite":
        found = made(kafka, forker, tmp_path, receiver)
        file, copy = tmp_path / "facetally.db", tmp_path / "backup.db"

        def put_back() -> None:
            for beside in ("-wal", "-shm"):
                Path(f"{file}{beside}").unlink(missing_ok=True)
            shutil.copyfile(copy, file)

        return Place(found, lambda: _copied(file, copy), put_back)
    url = str(request.getfixturevalue("postgres_url"))
    name, backup = url.rpartition("/")[2], new_name("backup").replace("-", "_")
    found = made(kafka, forker, tmp_path, receiver, database_url=url)

    def run(*statements: str) -> None:
        address = url.rpartition("/")[0].replace("+psycopg", "") + "/postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    return Place(
        found,
        lambda: run(f"CREATE DATABASE {backup} TEMPLATE {name}"),
        lambda: run(f"DROP DATABASE {name}", f"CREATE DATABASE {name} TEMPLATE {backup}"),
    )


def _copied(file: Path, copy: Path) -> None:
    assert not Path(f"{file}-wal").exists(), "a part of the database would not be copied"
    shutil.copyfile(file, copy)


def until_published(place: Scene, offset: int, facts: int = 0) -> None:
    """Wait until the group's offset in Kafka is *offset*, and says that there are *facts*."""

    def committed() -> bool:
        with Admin(place.connection) as admin:
            found = admin.committed(place.topic).get((place.topic, 0))
        if found is None or found.written is None:
            return False
        return found.offset == offset and found.written.book >= facts

    until(committed, f"the group at {offset}, with {facts} facts", 30)


def test_an_old_copy_of_the_database_put_back_is_told_and_stays_unverified_until_accepted(
    place: Place, receiver: Receiver
) -> None:
    began = time.monotonic()
    where = place.scene
    where.put(*people(0, 20))
    with where.running():
        where.until_individuals(20)
    place.copy()
    where.put(*people(20, 30))
    with where.running():
        where.until_individuals(30)
        until_published(where, 30)
    place.put_back()
    before = where.individuals()
    with where.running():
        where.until_individuals(30)
        until_published(where, 30)
        where.until_reached("yes")
    with where.running(), shown(where, receiver) as places:
        (duty,) = where.facetally.duties()
        page = places.until_told("database_restored")
        places.everywhere(Doubt.DATABASE_RESTORED)
        places.accepted(Doubt.DATABASE_RESTORED, 30)
        (later,) = where.facetally.duties()

    assert before == 20
    assert duty["proof"]["verified"] is False
    assert (later["proof"]["verified"], later["verified"]) == (False, True)
    assert page["severity"] == "page"
    assert (page["facts"]["stored"], page["facts"]["committed"]) == (20, 30)
    assert MEANING[Doubt.DATABASE_RESTORED].way_back in page["description"]["en"]
    assert MEANING[Doubt.DATABASE_RESTORED].way_back_zh in page["description"]["zh"]
    assert "UNVERIFIED" in places.until_told("duty_opened")["summary"]["en"]
    report("unverified.database_restored", seconds=round(time.monotonic() - began, 1))


def test_an_old_copy_is_told_though_no_record_came_since_by_a_file_that_it_does_not_know(
    place: Place, receiver: Receiver
) -> None:
    """Kafka's positions agree: what was written beside them does not."""
    where = place.scene
    where.put(*people(0, 5))
    with where.running():
        where.until_individuals(5)
        until_published(where, 5)
    place.copy()
    file = where.facetally.home / "more.ndjson"
    file.write_text("".join(f"{one}\n" for one in people(5, 8)), encoding="utf-8")
    where.facetally.good("apply", str(file), "--source", "cloudevents")
    with where.running():
        until_published(where, 5, facts=8)
        known = where.processor()["verified"]
    place.put_back()
    with where.running(), shown(where, receiver) as places:
        page = places.until_told("database_restored")

    assert known is True
    assert where.individuals() == 5
    assert [why["reason"] for why in where.processor()["unverified"]] == ["database_restored"]
    assert (page["facts"]["records"], page["facts"]["facts"]) == (0, 3)


def test_an_empty_database_under_a_group_that_has_read_before_is_told_of_whoever_comes(
    kafka: Kafka, forker: Forker, tmp_path: Path, receiver: Receiver
) -> None:
    where = made(kafka, forker, tmp_path, receiver)
    where.put(*people(0, 5))
    with where.running():
        where.until_individuals(5)
        until_published(where, 5)
    for file in tmp_path.glob("facetally.db*"):
        file.unlink()
    where.facetally.good("db", "upgrade")
    with where.running():
        where.until_individuals(5)

    assert [why["reason"] for why in where.processor()["unverified"]] == ["database_restored"]


def test_a_worker_that_is_killed_at_work_leaves_a_verified_number(
    kafka: Kafka, forker: Forker, tmp_path: Path, receiver: Receiver
) -> None:
    where = made(kafka, forker, tmp_path, receiver)
    where.put(*people(0, 10))
    with where.running() as worker:
        where.until_individuals(10)
        until_published(where, 10)
        where.put(*people(10, 20))
        where.until_individuals(20)
        worker.owned.kill()
    where.put(*people(20, 30))
    with where.running():
        where.until_individuals(30)
        until_published(where, 30)

    assert where.processor()["verified"] is True


def test_records_lost_to_retention_make_the_number_unverified_until_accepted(
    kafka: Kafka, forker: Forker, tmp_path: Path, receiver: Receiver
) -> None:
    began = time.monotonic()
    where = made(kafka, forker, tmp_path, receiver)
    where.put(*people(0, 26))
    with where.running():
        where.until_individuals(26)
        where.until_reached("yes")
    where.put(*people(26, 32))
    where.delete_before(30)
    with where.running(), shown(where, receiver) as places:
        where.until_individuals(28)
        page = places.until_told("gap")
        places.everywhere(Doubt.GAP_RETENTION)
        (duty,) = where.facetally.duties()
        places.accepted(Doubt.GAP_RETENTION, 28)

    assert duty["proof"]["verified"] is True  # the gap came later
    assert MEANING[Doubt.GAP_RETENTION].way_back in page["description"]["en"]
    report("unverified.gap", seconds=round(time.monotonic() - began, 1))


def test_a_source_that_went_silent_is_paged_once_and_verified_again_by_its_next_record(
    kafka: Kafka, forker: Forker, tmp_path: Path, receiver: Receiver
) -> None:
    began = time.monotonic()
    head = f"silent_after_hours = {SILENT_HOURS}\n"
    where = made(kafka, forker, tmp_path, receiver, head=head)
    where.put(*people(0, 26))
    with where.running(), shown(where, receiver) as places:
        where.until_reached("yes")
        page = places.until_told("source_silent")
        places.everywhere(Doubt.SOURCE_SILENT)
        said = ("--compared-at", "2026-03-02T08:00:00Z", "--by", "me", "--because", "quiet")
        options = ("--processor", "acme", "--reason", "source_silent", *said)
        refused = where.facetally.run("accept", *options)
        where.put("not json: a sign of life all the same")
        until(lambda: where.processor()["verified"], "the silence to be over", 30)
        over = places.until_told("source_heard")
        pages = len(places.told("source_silent"))

    assert refused.code == 2
    assert MEANING[Doubt.SOURCE_SILENT].way_back in refused.err
    assert (page["severity"], over["severity"]) == ("page", "info")
    assert page["facts"]["topic"] == over["facts"]["topic"] == where.topic
    assert pages == 1
    report("unverified.silence", seconds=round(time.monotonic() - began, 1))
