"""What lies beside a SQLite file: a log that a killed process left, and the lock of the worker."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from monitor.facts import Truncated, Version
from monitor.marks import Marks
from monitor.store.engine import (
    AlreadyRunning,
    DatabaseUnreachable,
    WorkerLock,
    answering,
    open_engine,
)
from tests.builders import ANN, BETA_GATE, BOB, CY, GATE, SHARED, enrolled, hashed, removed
from tests.figures import report, sized
from tests.integration.store_kit import NOW, batch, differences, keeper, policy, sqlite_engine


def live(path: Path, steps: str) -> None:
    """Do *steps* to the database."""
    url = f"sqlite:///{path}"
    engine, beside = open_engine(url), open_engine(url).connect().execution_options(reading=True)
    for step in steps.split():
        if step in {"write", "grow"}:
            with engine.begin() as connection:
                more = "INSERT INTO more VALUES (zeroblob(9000))"
                connection.execute(text("UPDATE counts SET n = n + 1" if step == "write" else more))
        elif step == "read":  # whoever reads holds a checkpoint up
            beside.rollback()
            beside.execute(text("SELECT n FROM counts")).scalar()
        else:
            beside.rollback()
            with closing(sqlite3.connect(path)) as checking:
                checking.execute(f"PRAGMA wal_checkpoint({step})").fetchall()


def killed_after(path: Path, steps: str) -> None:
    """Have a process do *steps* to the database, and end as if it were killed."""
    child = os.fork()
    if not child:
        try:
            live(path, steps)
        finally:
            os._exit(9)
    os.waitpid(child, 0)

    assert Path(f"{path}-wal").exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database with a number in it, closed well."""
    found = tmp_path / "store.db"
    engine = open_engine(f"sqlite:///{found}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counts (n INTEGER)"))
        connection.execute(text("CREATE TABLE more (x BLOB)"))
        connection.execute(text("INSERT INTO counts VALUES (0)"))
    engine.dispose()
    return found


def number(path: Path) -> int:
    engine = open_engine(f"sqlite:///{path}")
    try:
        with answering(engine), engine.connect() as connection:
            return int(connection.execute(text("SELECT n FROM counts")).scalar_one())
    finally:
        engine.dispose()


def copied(path: Path, way: str) -> Path:
    copy = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as beside:
        if way == "VACUUM INTO":
            beside.execute("VACUUM INTO ?", (str(copy),))
        else:
            with closing(sqlite3.connect(copy)) as there:
                beside.backup(there)
    return copy


@pytest.mark.parametrize("way", ["VACUUM INTO", ".backup"])
@pytest.mark.parametrize("since", ["write write RESTART write", "write write PASSIVE write grow"])
def test_an_old_copy_beside_the_log_of_a_killed_process_is_refused_and_left_alone(
    path: Path, way: str, since: str
) -> None:
    if since.count("PASSIVE") and way == ".backup":
        since = since.replace("PASSIVE", "RESTART")  # else the log has all that the copy lacks
    copy = copied(path, way)
    killed_after(path, since)
    log = Path(f"{path}-wal")
    shutil.copy(copy, path)
    before = (path.read_bytes(), log.read_bytes())
    for _ in range(2):
        with pytest.raises(DatabaseUnreachable, match=r"remove store\.db-wal and store\.db-shm"):
            number(path)
    after = (path.read_bytes(), log.read_bytes())
    log.unlink()
    Path(f"{path}-shm").unlink()

    assert after == before
    assert number(path) == 0


def test_a_database_whose_process_was_killed_anywhere_is_opened_as_it_was(path: Path) -> None:
    """With checkpoints that came through, half through, or not at all."""
    seed = int(os.environ.get("FACETALLY_SEED", random.randrange(1 << 32)))
    chance, written, lives = random.Random(seed), 0, sized(12, 300)
    for _ in range(lives):
        steps = chance.choices(
            ["write", "grow", "read", "PASSIVE", "RESTART", "TRUNCATE"], [6, 3, 2, 2, 1, 1], k=12
        )
        killed_after(path, " ".join(["write", *steps]))
        written += 1 + steps.count("write")
        if chance.random() < 0.6:  # else the next life finds the log as it is
            assert number(path) == written, f"FACETALLY_SEED={seed}"
    report("killed sqlite processes", lives=lives, written=written, seed=seed)

    assert number(path) == written, f"FACETALLY_SEED={seed}"


# -- the lock ----------------------------------------------------------------------------------


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


def test_a_symbolic_link_leads_to_the_same_lock(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "store.db")
    lock = WorkerLock(engine)
    with pytest.raises(AlreadyRunning, match="one at a time"):
        WorkerLock(open_engine(f"sqlite:///{tmp_path / 'link.db'}"))
    lock.release()

    WorkerLock(open_engine(f"sqlite:///{tmp_path / 'link.db'}")).release()


def test_a_file_with_a_second_name_is_refused(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "second.db").hardlink_to(tmp_path / "store.db")
    with pytest.raises(AlreadyRunning, match="hard link"):
        WorkerLock(engine)
    (tmp_path / "second.db").unlink()

    WorkerLock(engine).release()


def test_a_lock_that_was_removed_under_its_holder_is_taken_once_more_only(
    engine: Engine, tmp_path: Path
) -> None:
    lock = WorkerLock(engine)
    (tmp_path / "store.db.lock").unlink()
    second = WorkerLock(engine)
    with pytest.raises(AlreadyRunning, match="one at a time"):
        WorkerLock(engine)
    lock.release()
    with pytest.raises(AlreadyRunning, match="one at a time"):
        WorkerLock(engine)
    second.release()


def test_two_workers_on_sqlite_whose_lock_was_removed_count_right_all_the_same(
    engine: Engine,
) -> None:
    """The second brings a tenant into a shared store; the first then empties the store."""
    chosen, begun = policy(100, marks=Marks(())), NOW - 10**9
    first = keeper(engine, chosen)
    of_acme = enrolled(ANN, begun, face=hashed("f1"), place=GATE, store=SHARED)
    of_both = enrolled(CY, begun + 1, place=BETA_GATE)
    first.keep([batch([of_acme, of_both], move=(0, None, 1))])
    second = keeper(engine, chosen)
    of_beta = enrolled(BOB, begun + 2, face=hashed("f2"), place=BETA_GATE, store=SHARED)
    second.keep([batch([of_beta], move=(1, None, 1))])
    emptied = Truncated(SHARED, Version(begun + 10, 0, 0), begun + 10)
    gone = removed(CY, begun + 5, place=BETA_GATE, store=None)
    first.keep([batch([emptied, gone], move=(0, 1, 2))])

    assert differences(engine, [of_acme, of_both, of_beta, emptied, gone], chosen) == []
