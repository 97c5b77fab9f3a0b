"""A look back under the system call filter of the worker's unit, as systemd would load it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import confined
from tests.builders import ANN, BOB, enrolled
from tests.conftest import REPOSITORY
from tests.integration.store_kit import NOW, batch, keeper, sqlite_engine
from tests.services.presence import require

UNIT = REPOSITORY / "deploy" / "systemd" / "facetally-worker@.service"
LOOK_BACK = """
import sys
from monitor.marks import Marks
from monitor.store.apart import sweep_apart
from monitor.store.engine import open_engine
print(sweep_apart(open_engine(sys.argv[1]), Marks(), "acme", [(1, None)]).peak)
"""
NICE = "import os; print(os.nice(5))"


@pytest.fixture(autouse=True)
def parts() -> None:
    require(confined.available())


def run(unit: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.confined", str(unit), sys.executable, "-c", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=REPOSITORY,
        env=os.environ,
    )


def without_niceness(folder: Path) -> Path:
    """Return a unit that forbids it, as a stricter drop-in of an administrator would."""
    unit = folder / UNIT.name
    unit.write_text(UNIT.read_text("utf-8").replace("SystemCallFilter=setpriority\n", ""), "utf-8")
    return unit


def test_the_unit_lets_a_look_back_make_itself_nicer() -> None:
    done = run(UNIT, NICE)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_stricter_unit_would_forbid_that(tmp_path: Path) -> None:
    done = run(without_niceness(tmp_path), NICE)

    assert "PermissionError" in done.stderr


def test_a_look_back_is_done_under_the_filter_and_without_being_nicer(tmp_path: Path) -> None:
    with sqlite_engine(tmp_path) as engine:
        keeper(engine).keep([batch([enrolled(ANN, NOW), enrolled(BOB, NOW)])])
        done = run(without_niceness(tmp_path), LOOK_BACK, str(engine.url))

    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
