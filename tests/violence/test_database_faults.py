"""The database restarts, is full or lets nobody write: we stall, say so, and nothing is skipped."""

from __future__ import annotations

import contextlib
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import DBAPIError

from monitor.identity import Identity
from monitor.store.engine import reading
from monitor.store.verifying import verify
from streams.adapters.cloudevents import CloudEvents
from streams.reader import Source
from streams.telling import Logged
from tests.acceptance.command import Forker
from tests.acceptance.running import until
from tests.integration.store_kit import MARKS, keeper, now_status, policy, sqlite_engine
from tests.receiver import Answer, receiving
from tests.services.kafka import Kafka
from tests.services.postgres import Postgres
from tests.violence.faults_kit import SIGNING, Scene, enrolled, new_name, scene, steady
from tests.workers import running, send, settings_for

KEEPING: Final = "facetally_retries_total{doing=keeping}"
SAID: Final = "keeping failed, trying again: OperationalError"
PEOPLE: Final = 3_000
FULL_AT: Final = 64 * 1024  # bytes that a file may have
PAGES: Final = 120


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as started:
        yield started


def people(prefix: str, number: int) -> list[str]:
    return [enrolled(f"{prefix}-{index}", "08:00") for index in range(number)]


@contextmanager
def connected(url: str) -> Iterator[psycopg.Connection]:
    """Yield a connection of the test's own to the database of a worker."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        yield connection


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_database_that_restarts_between_batches_costs_no_fact_and_no_notice(
    kafka: Kafka,
    postgres: Postgres,
    postgres_url: str,
    forker: Forker,
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    with receiving(Answer(204)) as receiver:
        channel = (
            f'[[channels]]\nkind = "webhook"\nurl = "{receiver.url}"\n'
            f'allow_private = true\nsecret = "{SIGNING}"\n'
        )
        world = scene(
            kafka, forker, tmp_path, at_least=10, channels=channel, database_url=postgres_url
        )
        kafka.create_topic(world.topic)
        world.put(*people("before", 5))
        with world.running(), world.running("alerts") as alerts:
            world.until_individuals(5)
            postgres.stop(how)
            postgres.start()
            world.put(*people("after", 5))
            world.until_individuals(10)
            until(lambda: len(receiver.requests) == 1, "the notice", 60)
            until(lambda: alerts.metrics()["facetally_ledger_readable{}"] == 1, "the gauges", 30)

    assert world.reached() == "yes"
    assert world.holds()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
def test_a_database_that_restarts_in_the_middle_of_a_batch_keeps_it_once(
    kafka: Kafka,
    postgres: Postgres,
    postgres_url: str,
    forker: Forker,
    tmp_path: Path,
    how: signal.Signals,
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=50, database_url=postgres_url)
    kafka.create_topic(world.topic)
    world.put(*people("before", 5))

    with world.running() as worker:
        world.until_individuals(5)
        _cut_in_the_middle(world, postgres, postgres_url, how)
        world.until_individuals(25)
        failed = worker.metrics()[KEEPING]

    assert failed >= 1
    assert SAID in worker.said()
    assert world.facetally.positions() == {f"{world.topic}/0": 25}
    assert world.holds()


def _cut_in_the_middle(world: Scene, postgres: Postgres, url: str, how: signal.Signals) -> None:
    """Stop the server while the worker's batch has written some tables and waits for another."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'book'::regclass"
    with contextlib.suppress(psycopg.OperationalError), connected(url) as connection:
        connection.execute("LOCK TABLE book IN EXCLUSIVE MODE")
        world.put(*people("middle", 20))
        until(lambda: connection.execute(waiting).fetchone() == (1,), "the batch under way", 30)
        postgres.stop(how)  # our connection breaks too
    postgres.start()


FULL_TABLE: Final = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON book FOR EACH ROW EXECUTE FUNCTION full_disk();
"""
ROOM: Final = "DROP TRIGGER full_disk ON book; DROP FUNCTION full_disk();"
READ_ONLY: Final = """
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = on',
current_database()); END $$;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
"""
WRITABLE: Final = """
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; COMMIT;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I RESET default_transaction_read_only',
current_database()); END $$;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
"""


@pytest.mark.parametrize(
    ("shut", "opened"), [(FULL_TABLE, ROOM), (READ_ONLY, WRITABLE)], ids=["full", "read-only"]
)
def test_a_postgresql_that_takes_nothing_stalls_the_worker_and_nothing_is_skipped(
    kafka: Kafka, postgres_url: str, forker: Forker, tmp_path: Path, shut: str, opened: str
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=50, database_url=postgres_url)
    kafka.create_topic(world.topic)
    world.put(*people("before", 5))

    with world.running() as worker:
        world.until_individuals(5)
        _ran(postgres_url, shut)
        _stalls(world, people("later", 20), worker.metrics)
        _ran(postgres_url, opened)
        world.until_individuals(25)

    assert "keeping failed, trying again: " in worker.said()
    assert world.facetally.positions() == {f"{world.topic}/0": 25}
    assert world.holds()


def _ran(url: str, statements: str) -> None:
    with connected(url) as connection:
        connection.execute(statements.encode())


def _stalls(world: Scene, events: list[str], metrics: Callable[[], Mapping[str, float]]) -> None:
    """Publish *events*: none is counted, the tries are, and the lag is shown."""
    before = world.individuals()
    lag = f"facetally_partition_lag_records{{partition=0,topic={world.topic}}}"
    world.put(*events)
    until(lambda: metrics().get(KEEPING, 0) >= 2, "attempts that failed", 60)
    until(lambda: metrics().get(lag) == len(events), "the lag", 30)
    assert steady(lambda: world.individuals() == before, 1)


def test_a_full_disk_under_sqlite_stalls_the_worker_and_nothing_is_skipped(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    """The system lets the worker's files not grow any more, then does again."""
    world = scene(kafka, forker, tmp_path, at_least=10**6)
    kafka.create_topic(world.topic)
    world.put(*people("before", 5))

    with world.running() as worker:
        world.until_individuals(5)
        pid, fsize = worker.owned.pid, resource.RLIMIT_FSIZE
        limits = resource.prlimit(pid, fsize)
        resource.prlimit(pid, fsize, (FULL_AT, limits[1]))
        _stalls(world, people("later", PEOPLE), worker.metrics)
        resource.prlimit(pid, fsize, limits)
        world.until_individuals(5 + PEOPLE)

    assert SAID in worker.said()
    assert world.facetally.positions() == {f"{world.topic}/0": 5 + PEOPLE}
    assert world.holds()


class Refusals(Logged):
    """Remembers what SQLite called the errors after which was tried again."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def retrying(self, doing: str, error: Exception) -> None:
        super().retrying(doing, error)
        if isinstance(error, DBAPIError) and isinstance(error.orig, sqlite3.Error):
            self.names.append(error.orig.sqlite_errorname)


def test_a_sqlite_without_a_free_page_is_waited_for_and_nothing_is_skipped(
    kafka: Kafka, tmp_path: Path
) -> None:
    topic, refusals, pages = new_name(), Refusals(), [10**6]
    kafka.create_topic(topic)
    identity = Identity("5e" * 32)
    with sqlite_engine(tmp_path) as engine:
        event.listen(engine, "checkout", _limit(pages))
        settings = replace(
            settings_for(kafka, topic),
            topics={topic: Source("cloudevents", CloudEvents(identity))},
            observer=refusals,
        )
        with running(settings, keeper(engine, policy(10**6))):
            send(kafka, topic, people("before", 5))
            until(lambda: _individuals(engine) == 5, "what was there before", 60)
            pages[0] = PAGES
            send(kafka, topic, people("later", PEOPLE))
            until(lambda: refusals.names.count("SQLITE_FULL") >= 2, "a full database", 60)
            before = _individuals(engine)
            pages[0] = 10**6
            until(lambda: _individuals(engine) == 5 + PEOPLE, "all of them", 60)
        with reading(engine) as connection:
            wrong = [one for one in verify(connection, MARKS) if not one.holds]

    assert before < 5 + PEOPLE
    assert wrong == []


def _limit(pages: list[int]) -> Callable[[sqlite3.Connection, object, object], None]:
    def limit(connection: sqlite3.Connection, _record: object, _proxy: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")

    return limit


def _individuals(engine: Engine) -> int:
    return sum(one.stock.individuals for one in now_status(engine, policy(10**6).rules).processors)
