"""Look backs that fail or freeze: they hold up nobody else, and somebody gets to know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, text

from monitor.facts import Place, StorageFact
from monitor.store import looking as looking_back_on
from monitor.store.engine import is_sqlite
from monitor.store.keeper import SqlKeeper
from monitor.store.locks import LEASE_SECONDS, looking_back
from monitor.store.looking import Looking
from monitor.store.names import Registry
from monitor.store.pacing import Backoff
from monitor.store.sweeping import divide
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.conftest import REPOSITORY
from tests.integration.feed import DAY, MARCH_2, POLICY, Feed
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    batch,
    differences,
    duties,
    keeper,
    notices,
    postgres_engine,
    rows,
)

BETA = Place("beta", "gate", "")
PATIENCE = 60.0

# A worker that looks back, and is frozen in the middle.
HOLDER = """
import sys, time
from monitor.store import locks
from monitor.store.engine import open_engine
locks.LEASE_SECONDS = 1
with locks.looking_back(open_engine(sys.argv[1]), 1, wait=True) as ours:
    print(ours, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as made:
        yield made


def full_disk_for(processor: str) -> Callable[..., Any]:
    def divided(connection: Any, names: Any, wanted: Any, research: Any, **more: Any) -> Any:
        if processor in wanted:
            raise OSError(28, "No space left on device")
        return divide(connection, names, wanted, research, **more)

    return divided


def both_due(engine: Engine) -> None:
    """Have a recount due of ``acme`` and of ``beta``, whose reach only it can find."""
    for place in (Place(ACME, "gate", ""), BETA):
        late = [enrolled(ANN, MARCH_2, place=place), enrolled(BOB, MARCH_2 - 5, place=place)]
        for fact in late:
            keeper(engine, POLICY).keep([batch([fact])])


def ticked(engine: Engine, now: int) -> list[str]:
    """Tick as a worker does that has just started; return what went wrong."""
    try:
        keeper(engine, POLICY).tick(now)
    except OSError as exc:
        return [type(exc).__name__]
    return []


def test_a_look_back_that_fails_holds_up_no_other_and_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(looking_back_on, "divide", full_disk_for(ACME))
    both_due(engine)
    wrong = ticked(engine, NOW)

    assert wrong == ["OSError"]
    assert [duty.processor for duty in duties(engine)] == ["beta"]
    assert [r.getMessage() for r in caplog.records if r.name == "monitor.store.keeper"] == [
        "looking back on acme failed (OSError): again in 1 s"
    ]


def test_a_recount_that_is_due_for_too_long_is_paged_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back_on, "divide", full_disk_for(ACME))
    both_due(engine)
    told = []
    for minutes in (0, 14, 15, 16):
        ticked(engine, NOW + minutes * MINUTE)
        told.append([page.processor for page in notices(engine, "recount_overdue")])
    monkeypatch.undo()
    ticked(engine, NOW + 17 * MINUTE)

    assert told == [[], [], ["acme"], ["acme"]]
    assert [duty.processor for duty in duties(engine)] == ["beta", "acme"]
    assert rows(engine, "recounts") == []


def test_a_recount_that_is_due_again_is_not_overdue_at_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_due(engine)
    ticked(engine, NOW)
    monkeypatch.setattr(looking_back_on, "divide", full_disk_for(ACME))
    keeper(engine, POLICY).keep([batch([enrolled(CY, MARCH_2 - DAY)])])
    ticked(engine, NOW + 20 * MINUTE)

    assert len(rows(engine, "recounts")) == 1
    assert notices(engine, "recount_overdue") == []


def test_what_fails_is_tried_again_after_ever_longer_pauses() -> None:
    now = [0.0]
    backoff: Backoff[str] = Backoff(lambda: now[0])
    pauses = [backoff.failed(ACME) for _ in range(8)]
    waits = backoff.may_try(ACME), backoff.may_try("beta")
    now[0] = 60.0
    later = backoff.may_try(ACME)
    backoff.succeeded(ACME)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert waits == (False, True)
    assert later
    assert backoff.failed(ACME) == 1


def test_who_is_frozen_while_it_looks_back_holds_up_the_others_for_seconds(
    postgres_url: str,
) -> None:
    command = [sys.executable, "-c", HOLDER, postgres_url]
    with (
        postgres_engine(postgres_url) as engine,
        subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as holder,
    ):
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "True\n"
            time.sleep(3)  # three leases: it renews its own
            with looking_back(engine, 1, wait=False) as ours:
                while_it_lives = ours
            os.kill(holder.pid, signal.SIGSTOP)
            with looking_back(engine, 1, wait=True) as ours:
                frozen = ours
        finally:
            holder.kill()

    assert not while_it_lives
    assert frozen
    assert LEASE_SECONDS <= 15


def test_who_lost_its_look_back_to_another_one_says_nothing(engine: Engine) -> None:
    """It was frozen: what came in meanwhile was taken into account by the other one only."""
    feed = Feed(engine)
    facts: list[StorageFact] = [
        enrolled(ANN, MARCH_2),
        subject_removed(ANN, MARCH_2 + 1),
        enrolled(BOB, MARCH_2 - 1),
    ]
    meanwhile: list[StorageFact] = [enrolled(CY, MARCH_2 - DAY), enrolled(BOB, MARCH_2 - DAY)]
    for fact in facts:
        feed.read(0, [fact])
    names = Registry(engine, POLICY.marks).names

    class Frozen(Looking):
        def _finish(self, *arguments: Any) -> bool:
            if not is_sqlite(engine):
                with engine.begin() as connection:  # its connections are cut, its locks are free
                    others = "datname = current_database() AND pid <> pg_backend_pid()"
                    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"  # noqa: S608 - ours
                    connection.execute(text(cut))
                engine.dispose()
            feed.read(1, meanwhile, NOW + 2)
            other.append(Looking(engine, POLICY, None).recount(names, ACME, NOW + 2))
            late.append(super()._finish(*arguments))
            return late[0]

    other: list[bool] = []
    late: list[bool] = []
    Frozen(engine, POLICY, None).recount(names, ACME, NOW + 3)

    assert (other, late) == ([True], [False])
    assert differences(engine, [*facts, *meanwhile], POLICY) == []


def test_an_error_of_a_look_back_in_the_background_is_raised_when_all_else_is_done(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking_back_on, "divide", full_disk_for(ACME))
    both_due(engine)
    worker = SqlKeeper(engine, POLICY, lambda _: (), NOW, background=True)
    deadline = time.monotonic() + PATIENCE
    errors: list[int | None] = []
    while (not errors or not duties(engine)) and time.monotonic() < deadline:
        try:
            worker.tick(NOW)
        except OSError as exc:
            errors.append(exc.errno)
        time.sleep(0.02)

    assert errors[0] == 28
    assert [duty.processor for duty in duties(engine)] == ["beta"]
