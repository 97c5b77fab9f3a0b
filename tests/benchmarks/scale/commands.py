"""The parts of a run as processes: the one that keeps, and ``facetally`` commands beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from tests.acceptance.command import MODULE, SECRET
from tests.benchmarks.scale.building import Said, Spent
from tests.conftest import REPOSITORY

# Linux counts the memory of who starts a process as that process's own until it executes, and
# pytest is large: something small in between starts and measures it.
_MEASURE: Final = """\
import resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as measured:
    print(
        time.perf_counter() - started,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        file=measured,
    )
sys.exit(code)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command ended, in seconds and in bytes of memory at the most."""

    code: int
    out: str
    seconds: float
    most_resident: int


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with settings, over one database."""

    folder: Path
    database_url: str

    @property
    def environ(self) -> Mapping[str, str]:
        return {
            "FACETALLY_DATABASE_URL": self.database_url,
            "FACETALLY_SECRET": SECRET,
            "FACETALLY_METRICS_ADDRESS": "127.0.0.1:0",
        }

    def run(self, *arguments: str) -> Ran:
        """Run a ``facetally`` command in a process of its own, and measure that."""
        settings = self.folder / "facetally.toml"
        settings.touch()
        command = [sys.executable, *MODULE, "--config", str(settings), *arguments]
        out, measured = self.folder / "out", self.folder / "measured"
        with out.open("wb") as file:
            code = subprocess.call(
                [sys.executable, "-c", _MEASURE, str(measured), *command],
                env={**os.environ, **self.environ},
                cwd=REPOSITORY,
                stdout=file,
            )
        seconds, kilobytes = measured.read_text().split()
        return Ran(
            code=code,
            out=out.read_text(),
            seconds=float(seconds),
            most_resident=int(kilobytes) * 1024,
        )

    def json(self, *arguments: str) -> dict[str, Any]:
        """Return the answer of a command that has to exit 0."""
        ran = self.run(*arguments, "--json")
        assert ran.code == 0, f"{arguments} ended with {ran.code}"
        found: dict[str, Any] = json.loads(ran.out)
        return found


class Keeper:
    """A running process of ``building``; ends with the block."""

    def __init__(self, home: Home, milestones: Sequence[int], *options: str) -> None:
        module = "tests.benchmarks.scale.building"
        numbers = map(str, milestones)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, home.database_url, *numbers, *options],
            env={**os.environ, **home.environ},
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._waits = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait()
        _pipe(self._process.stdout).close()

    def next(self) -> Said:
        """Let it go on, and return what it says next."""
        if self._waits:
            pipe = _pipe(self._process.stdin)
            pipe.write("\n")
            pipe.flush()
        line = _pipe(self._process.stdout).readline()
        assert line, f"the keeping process ended with {self._process.wait()}"
        self._waits = True
        found = json.loads(line)
        return Said(**{**found, "spent": Spent(**found["spent"])})


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
