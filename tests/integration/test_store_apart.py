"""Look backs in a process of their own: the same answer, and nothing that outlives its worker."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread

import pytest
from sqlalchemy import Engine

from monitor.facts import StorageFact
from monitor.marks import Marks, SystemMark
from monitor.store import looking
from monitor.store.apart import SweepFailed, limit_for, sweep_apart
from monitor.store.engine import open_engine, reading
from monitor.store.keeper import SqlKeeper
from monitor.store.names import Names
from monitor.store.sweeping import sweep
from tests.builders import ACME, ANN, BOB, CY, GATE_VIP, enrolled, subject_removed
from tests.conftest import REPOSITORY
from tests.histories import PROFILES, history
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed
from tests.integration.store_kit import (
    MARKS,
    NOW,
    batch,
    differences,
    keeper,
    no_topics,
    policy,
    postgres_engine,
    sqlite_engine,
)

PATIENCE = 60.0

# What a worker does in its thread for look backs.
WORKER = """
import sys
from monitor.marks import Marks
from monitor.store.apart import sweep_apart
from monitor.store.engine import open_engine
sweep_apart(open_engine(sys.argv[1]), Marks(), "acme", [(1, None)])
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as made:
        yield made


def check(engine: Engine) -> None:
    keeping = keeper(engine)
    facts = [fact for seed in range(6) for fact in history(Random(seed), PROFILES["mixed"])]
    keeping.keep([batch(facts)])
    with reading(engine) as connection:
        names = Names.load(connection)
        wanted = {"acme": [(n, None) for n in (1, 2, 3, 4)]}
        here = sweep(connection, names, wanted, MARKS.research)["acme"]
    there = sweep_apart(engine, MARKS, "acme", [(n, None) for n in (1, 2, 3, 4)])

    assert (there.peak, there.reaches) == (here.peak, here.reaches)
    assert vars_of(there.stock) == vars_of(here.stock)
    assert here.peak > 0


def vars_of(stock: object) -> list[object]:
    return [getattr(stock, name) for name in ("individuals", "research", "systems")]


def test_a_sweep_apart_finds_what_one_in_process_finds(engine: Engine) -> None:
    check(engine)


def test_a_sweep_apart_reads_postgresql_too(postgresql: Engine) -> None:
    check(postgresql)


def test_a_sweep_apart_counts_a_gallery_in_operation_within_a_research_system(
    engine: Engine,
) -> None:
    whole = SystemMark(processor=ACME, system="gate", research=True, reason="r", by="b")
    marks = Marks([whole, SystemMark(processor=ACME, system="gate", gallery="vip")])
    facts = [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 1, place=GATE_VIP)]
    keeper(engine, policy(2, marks=marks)).keep([batch(facts)])
    stock = sweep_apart(engine, marks, ACME, [(1, None)]).stock

    assert (stock.individuals, stock.research) == (1, 1)


def test_a_worker_looks_back_in_another_process_and_finds_the_reach(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "APART_FROM", 0)
    facts: list[StorageFact] = [
        *TWO,
        subject_removed(BOB, MARCH_2 + 2),
        enrolled(CY, MARCH_2 - DAY),
    ]
    late: list[StorageFact] = [enrolled(ANN, MARCH_2 - 2 * DAY)]
    feed = Feed(engine)
    feed.read(0, facts)
    feed.read(0, late)
    worker = SqlKeeper(engine, POLICY, no_topics, NOW, background=True)
    deadline = time.monotonic() + PATIENCE
    while _due(engine) and time.monotonic() < deadline:
        worker.tick(NOW)
        time.sleep(0.05)

    assert not _due(engine)
    assert differences(engine, [*facts, *late], POLICY) == []


def _due(engine: Engine) -> bool:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM watches WHERE recount_due")
        return bool(found.scalar())


def test_a_sweep_that_breaks_off_is_an_error_and_no_answer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = open_engine(f"sqlite:///{tmp_path / 'no-folder' / 'none.db'}")
    with pytest.raises(SweepFailed):
        sweep_apart(broken, MARKS, ACME, [(1, None)])

    assert "unable to open database file" in capfd.readouterr().err


def test_the_process_ends_with_the_worker_that_was_killed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql+psycopg://a@127.0.0.1:{server.getsockname()[1]}/a?connect_timeout=600"
        parent = subprocess.Popen([sys.executable, "-c", WORKER, url], cwd=REPOSITORY)
        try:
            child = _child_of(parent.pid)
            silent, _ = server.accept()  # a database that never answers
            alive = _lives(child)
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait()
        with silent:
            deadline = time.monotonic() + PATIENCE
            while _lives(child) and time.monotonic() < deadline:
                time.sleep(0.05)
            ended = not _lives(child)

    assert alive
    assert ended


def test_a_module_of_the_folder_we_are_in_is_not_taken_for_ours(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper(engine).keep([batch([enrolled(ANN, 1)])])
    for module in ("monitor.py", "sqlalchemy.py"):
        (tmp_path / module).write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    swept = sweep_apart(engine, MARKS, ACME, [(1, None)])

    assert swept.peak == 1


@pytest.mark.parametrize(("longest", "silence"), [(PATIENCE, 5.0), (15.0, PATIENCE)])
def test_a_process_that_hangs_is_ended_and_no_answer(longest: float, silence: float) -> None:
    """One that is frozen says nothing; one whose database never answers says that it lives."""
    hung: list[int] = []

    def hang(server: socket.socket) -> None:
        silent, _ = server.accept()
        hung.append(_child_of(os.getpid()))
        if silence < longest:
            os.kill(hung[0], signal.SIGSTOP)
        over.wait(PATIENCE)
        silent.close()

    over = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        waiter = Thread(target=hang, args=(server,))
        waiter.start()
        url = f"postgresql+psycopg://a@127.0.0.1:{server.getsockname()[1]}/a?connect_timeout=600"
        started = time.monotonic()
        with pytest.raises(SweepFailed):
            sweep_apart(
                open_engine(url), MARKS, ACME, [(1, None)], longest=longest, silence=silence
            )
        took = time.monotonic() - started
        over.set()
        waiter.join(PATIENCE)

    assert took < PATIENCE
    assert not _lives(hung[0])


def test_a_look_back_apart_may_take_thirty_times_as_long_as_it_should() -> None:
    assert limit_for(0) == 300
    assert limit_for(10_000_000) == 10_300


def _child_of(pid: int) -> int:
    """Return the process that sweeps for *pid*, in whichever of its threads."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        tasks = Path(f"/proc/{pid}/task").iterdir()
        found = [one for task in tasks for one in (task / "children").read_text().split()]
        for one in found:
            if b"monitor.store.apart" in Path(f"/proc/{one}/cmdline").read_bytes():
                return int(one)
        time.sleep(0.05)
    pytest.fail("there is no process that sweeps")


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
