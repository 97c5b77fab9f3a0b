"""``facetally demo`` as a user runs it: without a terminal, told to end, and killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "deploy.cli.main"]
PATIENCE = 120.0

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux ends children with their parent"
)


def started(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start a demo; what it says goes to ``output`` beside its folder."""
    with folder.with_suffix(".output").open("w") as output:
        return subprocess.Popen(
            [*COMMAND, "demo", "--data", str(folder), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            text=True,
            # Of a real installation, perhaps; the demo must not write there.
            env={**os.environ, "FACETALLY_DATABASE_URL": "postgresql+psycopg://nowhere/none"},
        )


def said(folder: Path) -> str:
    return folder.with_suffix(".output").read_text()


def processes_of(folder: Path) -> list[int]:
    """Processes that were started for this demo: the folder is in their command or their files."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            known = (entry / "cmdline").read_bytes() + bytes((entry / "fd" / "1").readlink())
        except OSError:
            continue
        if bytes(folder) + b"/" in known.replace(b"\0", b"/"):
            found.append(int(entry.name))
    return found


def until(seen: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if seen():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    made = tmp_path / "demo"
    yield made
    for pid in processes_of(made):
        os.kill(pid, signal.SIGKILL)


def test_the_demo_shows_both_duties_proves_its_numbers_and_leaves_no_process(folder: Path) -> None:
    code = started(folder, "--seconds", "50").wait(PATIENCE)
    output = said(folder)

    assert code == 0, output
    assert re.search(
        r"DUTY frt\.file harbour-metro: trigger day \d{4}-\d\d-\d\d, due \d{4}", output
    )
    assert re.search(r"DUTY frt\.cancel swift-pay: trigger day \d{4}-\d\d-\d\d, due \d{4}", output)
    assert "proof: 100,000 individuals >= 100,000 at 2" in output
    for rule in ("frt.file", "frt.cancel"):
        notices = [line for line in output.splitlines() if f"NOTICE {rule} " in line]
        assert any("received by the webhook, signature verified" in line for line in notices)
        assert any("in the log" in line for line in notices)
    assert "rejected (has_biometric_content " in output
    assert "the ledger's numbers equal the simulation's truth" in output
    assert "WRONG" not in output
    assert processes_of(folder) == []

    status = [*COMMAND, "--config", str(folder / "facetally.toml"), "status", "--json"]
    answer = subprocess.run(status, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0
    assert '"harbour-metro"' in answer.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_ends_when_it_is_told_to(folder: Path, how: signal.Signals) -> None:
    demo = started(folder, "--individuals", "2000")
    assert until(lambda: "set up in" in said(folder)), said(folder)
    demo.send_signal(how)
    code = demo.wait(PATIENCE)

    assert (code, processes_of(folder)) == (0, [])
    assert "stopped before the end: nothing was compared" in said(folder)
    assert str(folder / "facetally.toml") in said(folder)


def test_a_killed_demo_leaves_no_process_behind(folder: Path) -> None:
    demo = started(folder, "--individuals", "2000")
    assert until(lambda: "set up in" in said(folder)), said(folder)
    before = processes_of(folder)
    demo.kill()
    demo.wait(PATIENCE)

    assert len(before) == 4  # the demo, its broker, its worker, its alerts
    assert until(lambda: processes_of(folder) == [])


def test_a_short_demo_says_which_duties_it_could_not_show(folder: Path) -> None:
    code = started(folder, "--seconds", "4", "--individuals", "500").wait(PATIENCE)

    assert code == 0, said(folder)
    assert "not shown: frt.file was not opened within 4 s" in said(folder)
    assert "the ledger's numbers equal the simulation's truth" in said(folder)


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    answer = subprocess.run(
        [*COMMAND, "demo", "--data", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert answer.returncode == 2
    assert "is not empty" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
