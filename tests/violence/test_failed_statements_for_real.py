"""Disks that are full, locks that somebody has and deadlocks, made and not injected."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg.pq import ConnStatus
from sqlalchemy import Engine, event, make_url
from sqlalchemy.exc import DBAPIError

from monitor.facts import Enrolled
from monitor.intake import Batch, Ignored, PositionMoved
from monitor.store.engine import IDLE_SECONDS, open_engine
from tests.builders import enrolled, hashed
from tests.integration.store_kit import (
    batch,
    differences,
    dump,
    keeper,
    policy,
    postgres_engine,
    sqlite_engine,
)
from tests.violence.crash_steps import watched
from tests.violence.failing import UNKNOWN, One, Site, Sites

POLICY = policy(2)
MANY = 3_000  # enough to need more pages than an empty database has
PROCESSORS = 0x66740002  # the space of locks of ``monitor.store.locks``
PATIENCE = 20.0


def _people(number: int, first: int = 0) -> list[Enrolled]:
    return [enrolled(hashed(f"p{n}"), n + 1) for n in range(first, first + number)]


def _next(facts: Sequence[Enrolled], expected: int | None) -> Batch:
    following = (expected or 0) + len(facts) + 1
    return batch(
        facts, move=(0, expected, following), records=len(facts) + 1, ignored={Ignored.HEARTBEAT: 1}
    )


def test_a_full_disk_keeps_nothing_and_room_keeps_all(tmp_path: Path) -> None:
    few, many = _people(2), _people(MANY, first=2)
    with sqlite_engine(tmp_path) as engine:
        room = {"pages": 0}

        @event.listens_for(engine, "checkout")
        def limit(raw: Any, _record: object, _proxy: object) -> None:
            used = raw.execute("PRAGMA page_count").fetchone()[0]
            raw.execute(f"PRAGMA max_page_count = {used + room['pages']}")

        room["pages"] = 10_000
        kept = keeper(engine, POLICY)
        kept.keep([_next(few, None)])
        before = dump(engine)
        room["pages"] = 4
        with pytest.raises(DBAPIError) as caught:
            kept.keep([_next(many, 3)])
        after = dump(engine)
        room["pages"] = 10_000
        kept.keep([_next(many, 3)])

        assert isinstance(caught.value.orig, sqlite3.OperationalError)
        assert caught.value.orig.sqlite_errorname == "SQLITE_FULL"
        assert after == before
        assert len(dump(engine)["book"]) == 2 + MANY


def test_a_lock_that_another_process_has_is_waited_for_and_tried_again(tmp_path: Path) -> None:
    facts = _people(3)
    with sqlite_engine(tmp_path) as engine:

        @event.listens_for(engine, "checkout")
        def impatient(raw: Any, _record: object, _proxy: object) -> None:
            raw.execute("PRAGMA busy_timeout = 50")

        kept = keeper(engine, POLICY)
        other = sqlite3.connect(str(engine.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DBAPIError) as caught:
            kept.keep([_next(facts, None)])
        other.execute("ROLLBACK")
        other.close()
        kept.keep([_next(facts, None)])

        assert isinstance(caught.value.orig, sqlite3.OperationalError)
        assert caught.value.orig.sqlite_errorname == "SQLITE_BUSY"
        assert differences(engine, facts, POLICY) == []


def test_a_lock_that_another_process_has_is_waited_for_ten_seconds(tmp_path: Path) -> None:
    with sqlite_engine(tmp_path) as engine:
        kept = keeper(engine, POLICY)
        other = sqlite3.connect(str(engine.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(DBAPIError):
            kept.keep([_next(_people(3), None)])
        waited = time.monotonic() - began
        other.close()

    assert 9.5 <= waited < 20


def _with(url: str, **options: str) -> str:
    said = " ".join(f"-c {name}={value}" for name, value in options.items())
    return f"{url}?options={quote(said)}"


def _other(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url.replace("+psycopg", ""))


def test_a_lock_timeout_keeps_nothing_and_is_tried_again(postgres_url: str) -> None:
    facts = _people(3)
    with postgres_engine(_with(postgres_url, lock_timeout="200ms")) as engine:
        kept = keeper(engine, POLICY)
        kept.keep([_next(facts[:1], None)])
        before = dump(engine)
        with _other(postgres_url) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s, 1)", (PROCESSORS,))
            with pytest.raises(DBAPIError) as caught:
                kept.keep([_next(facts[1:], 2)])
        after = dump(engine)
        kept.keep([_next(facts[1:], 2)])

        assert isinstance(caught.value.orig, psycopg.errors.LockNotAvailable)
        assert after == before
        assert differences(engine, facts, POLICY) == []


@pytest.mark.parametrize(
    ("frozen_in", "name"), [("a COPY", "facetally"), ("a message", "worker-1")]
)
def test_who_is_frozen_within_a_statement_is_ended_by_who_waits_for_it(
    postgres_url: str, frozen_in: str, name: str
) -> None:
    """To the server that is no idle transaction: it would wait for the rest for ever.

    Ours is whoever holds a lock of ours, by whatever name.
    """
    facts = _people(3)
    with postgres_engine(postgres_url) as engine:
        kept = keeper(engine, POLICY)
        kept.keep([_next(facts[:1], None)])
        before = dump(engine)
        with (
            _frozen(postgres_url, "a COPY", name="psql", space=1) as stranger,
            _frozen(postgres_url, frozen_in, name=name),
        ):
            began = time.monotonic()
            with pytest.raises(DBAPIError) as caught:
                kept.keep([_next(facts[1:], 2)])
            waited = time.monotonic() - began
            after = dump(engine)
            kept.keep([_next(facts[1:], 2)])
            strangers = _ended(stranger)

        assert isinstance(caught.value.orig, psycopg.errors.LockNotAvailable)
        assert not strangers
        assert 29 < waited < 50
        assert after == before
        assert differences(engine, facts, POLICY) == []


def test_a_frozen_session_of_another_role_is_named_until_we_are_allowed_to_end_it(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        _role(postgres_url) as (frozen_role, theirs),
        _role(postgres_url) as (role, ours),
        _frozen(theirs, "a COPY", name="worker-1") as frozen,
        _other(postgres_url) as owner,
    ):
        owner.autocommit = True
        time.sleep(IDLE_SECONDS + 1)
        waits(ours)
        unseen = list(caplog.messages)
        owner.execute(f"GRANT pg_read_all_stats TO {role}".encode())
        waits(ours)
        seen = caplog.messages[len(unseen) :]
        ended_before = _ended(frozen)
        owner.execute(f"GRANT pg_signal_backend TO {role}".encode())
        waits(ours)

        who = f"session {frozen.info.backend_pid} of role {frozen_role} holds what we wait for"
        asks = "grant us pg_read_all_stats and pg_signal_backend, or its role"
        assert unseen == [f"{who}, and we may not see whether it is frozen: {asks}"]
        assert seen == [f"{who}, and we may not end it, and it is frozen: {asks}"]
        assert not ended_before
        assert _ended(frozen)


def waits(url: str) -> None:
    """Wait in vain for what the frozen one holds."""
    engine = open_engine(_with(url, lock_timeout="200ms"))
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, 1)", (PROCESSORS,))
    engine.dispose()


@contextlib.contextmanager
def _role(url: str) -> Iterator[tuple[str, str]]:
    """Make a role that may do nothing but come in; yield its name and its URL."""
    name = f"worker_{uuid.uuid4().hex[:8]}"
    with contextlib.closing(_other(url)) as owner:
        owner.autocommit = True
        owner.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'".encode())
        owner.execute(f"GRANT TEMPORARY ON DATABASE {owner.info.dbname} TO {name}".encode())
        try:
            theirs = make_url(url).set(username=name, password=name)
            yield name, theirs.render_as_string(hide_password=False)
        finally:
            owner.execute(f"DROP OWNED BY {name}".encode())
            owner.execute(f"DROP ROLE {name}".encode())


def test_who_has_been_at_a_statement_for_less_than_that_is_waited_for(postgres_url: str) -> None:
    facts = _people(2)
    with postgres_engine(_with(postgres_url, lock_timeout="500ms")) as engine:
        kept = keeper(engine, POLICY)
        kept.keep([_next(facts[:1], None)])
        with _frozen(postgres_url, "a COPY") as slow:
            with pytest.raises(DBAPIError):
                kept.keep([_next(facts[1:], 2)])

            assert not _ended(slow)


@contextlib.contextmanager
def _frozen(
    url: str, within: str, *, name: str = "facetally", space: int = PROCESSORS
) -> Iterator[psycopg.Connection[Any]]:
    """Hold what the others need, by a client that has sent a part of a statement and is silent."""
    with contextlib.closing(_other(f"{url}?application_name={name}")) as connection:
        connection.execute("CREATE TEMPORARY TABLE half (a integer)")
        connection.execute("SELECT pg_advisory_xact_lock(%s, 1)", (space,))
        if within == "a COPY":
            connection.pgconn.send_query(b"COPY half FROM STDIN")
        else:
            connection.pgconn.enter_pipeline_mode()
            connection.pgconn.send_query_params(b"SELECT 1", None)  # and no sync
        connection.pgconn.flush()
        yield connection


def _ended(connection: psycopg.Connection[Any]) -> bool:
    """Tell whether the server has closed this connection: there is an end to read."""
    pgconn = connection.pgconn
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        try:
            pgconn.consume_input()
        except psycopg.OperationalError:
            return True
        time.sleep(0.05)
    return pgconn.status == ConnStatus.BAD


def test_the_victim_of_a_deadlock_keeps_nothing_and_is_tried_again(postgres_url: str) -> None:
    facts = _people(3)
    errors: list[BaseException | None] = []
    with postgres_engine(_with(postgres_url, deadlock_timeout="2s")) as engine:
        kept = keeper(engine, POLICY)
        kept.keep([_next(facts[:1], None)])
        before = dump(engine)

        def keep() -> None:
            try:
                kept.keep([_next(facts[1:], 2)])
            except DBAPIError as exc:
                errors.append(exc.orig)

        victim = threading.Thread(target=keep)
        with _other(_with(postgres_url, deadlock_timeout="60s")) as other:
            other.execute("SELECT pg_advisory_xact_lock(%s, 1)", (PROCESSORS,))
            victim.start()
            _until_somebody_waits(postgres_url)
            other.execute("SELECT * FROM positions FOR UPDATE")
            victim.join(PATIENCE)
        after = dump(engine)
        kept.keep([_next(facts[1:], 2)])

        assert [type(error) for error in errors] == [psycopg.errors.DeadlockDetected]
        assert after == before
        assert differences(engine, facts, POLICY) == []


def _until_somebody_waits(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    with _other(url) as looking:
        while time.monotonic() < deadline:
            if looking.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
                return
            time.sleep(0.02)
    raise AssertionError("nobody waited")


def test_a_batch_whose_commit_was_not_heard_of_is_refused_on_sqlite(tmp_path: Path) -> None:
    with sqlite_engine(tmp_path) as engine:
        _refused(engine)


def test_a_batch_whose_commit_was_not_heard_of_is_refused_on_postgresql(postgres_url: str) -> None:
    with postgres_engine(postgres_url) as engine:
        _refused(engine)


def _refused(engine: Engine) -> None:
    """The connection is lost after the commit: facts, counters, ``recent`` and audit count once."""
    kept = keeper(engine, POLICY)
    kept.keep([_next(_people(1), None)])  # so that all names are known
    lost = Site("keep", 0, 0, "committed", 1)
    probe = One(_only_phase, UNKNOWN, lost)
    watched(engine, probe)
    facts = _people(2, first=1)

    probe.doing("keep")
    with pytest.raises(DBAPIError):
        kept.keep([_next(facts, 2)])
    once = dump(engine)
    with pytest.raises(PositionMoved):
        kept.keep([_next(facts, 2)])

    assert probe.failures == 1
    assert len(once["book"]) == 3
    assert once["ignored"] == [("heartbeat", 2)]
    assert dump(engine) == once


def _only_phase() -> int:
    return 0


def test_sites_tell_the_same_statement_of_two_calls_apart() -> None:
    sites = Sites(_only_phase)

    for _ in range(2):
        sites.doing("keep")
        sites.before("INSERT", object())
        sites.before("INSERT", object())
        sites.done()

    assert len(sites.seen) == 4
