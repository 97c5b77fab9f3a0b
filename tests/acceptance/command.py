"""The ``facetally`` command as its users run it: a process with arguments, output and exit code.

Most of a short command's time goes into importing it. The acceptance tests run hundreds, so they
ask a parent process (``tests.acceptance.forker``) that has imported the command and forks for
each: as much a process of its own as any, started in milliseconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.conftest import REPOSITORY
from tests.services.process import Owned

SECRET = "5a" * 32
MODULE = ("-m", "deploy.cli.main")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command ended with."""

    code: int
    out: str
    err: str


class Forker:
    """The parent process of commands; one command at a time."""

    def __init__(self, home: Path) -> None:
        self._out, self._err = home / "out", home / "err"
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.acceptance.forker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=REPOSITORY,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        pipes = self._process.stdin, self._process.stdout
        for pipe in pipes:
            assert pipe is not None
            pipe.close()
        self._process.wait(timeout=30)

    def run(self, arguments: Sequence[str], environ: Mapping[str, str]) -> Answer:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        request = {
            "arguments": list(arguments),
            "environ": dict(environ),
            "out": str(self._out),
            "err": str(self._err),
        }
        with self._turn:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            code = int(stdout.readline())
            return Answer(code, self._out.read_text(), self._err.read_text())


class Facetally:
    """One database with its settings file, and the command over it."""

    def __init__(
        self, forker: Forker, home: Path, settings: str, *, database_url: str | None = None
    ) -> None:
        """Write *settings* into *home* and make the tables, on SQLite unless told otherwise."""
        self._forker, self.home = forker, home
        home.mkdir(parents=True, exist_ok=True)
        self.settings = home / "facetally.toml"
        self.settings.write_text(settings)
        self.database_url = database_url or f"sqlite:///{home / 'facetally.db'}"
        self.environ = {
            "FACETALLY_DATABASE_URL": self.database_url,
            "FACETALLY_SECRET": SECRET,
            "FACETALLY_METRICS_ADDRESS": "127.0.0.1:0",
        }
        self.good("db", "upgrade")

    def run(self, *arguments: str) -> Answer:
        """Run the command and wait for its end."""
        return self._forker.run(("--config", str(self.settings), *arguments), self.environ)

    def good(self, *arguments: str) -> str:
        """Return the output of a command that has to exit 0."""
        answer = self.run(*arguments)
        assert answer.code == 0, f"{arguments[:2]} ended with {answer.code}: {answer.err[-2000:]}"
        return answer.out

    def json(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.good(*arguments, "--json"))
        return found

    def apply(self, source: str, *files: Path) -> dict[str, Any]:
        return self.json("apply", "--source", source, *map(str, files))

    def apply_lines(self, source: str, lines: Iterable[bytes]) -> dict[str, Any]:
        """Apply a file with just these *lines*, which is gone afterwards."""
        file = self.home / "piece.ndjson"
        with file.open("wb") as out:
            out.writelines(line + b"\n" for line in lines)
        try:
            return self.apply(source, file)
        finally:
            file.unlink()

    def status(self, as_of: str | None = None) -> dict[str, Any]:
        return self.json("status", *(("--as-of", as_of) if as_of else ()))

    def duties(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.json("duties")["duties"]
        return found

    def positions(self) -> dict[str, int]:
        """Return the next offset of each partition, named ``topic/partition``."""
        found = self.json("positions")["positions"]
        return {f"{one['topic']}/{one['partition']}": one["next_offset"] for one in found}

    def digest(self) -> str:
        """Return the digest of the registers, once ``verify`` has found nothing wrong."""
        found = self.json("verify")
        return str(next(c["detail"] for c in found["checks"] if c["check"] == "registers"))

    def start(self, *arguments: str) -> Owned:
        """Start a command that goes on until it is told to stop, from scratch."""
        command = [sys.executable, *MODULE, "--config", str(self.settings), *arguments]
        log = self.home / f"{arguments[0]}.log"
        return Owned(command, log=log, env=self.environ, cwd=REPOSITORY)

    def from_scratch(self, *arguments: str) -> Answer:
        """Run the command in an interpreter of its own, imports and all."""
        done = subprocess.run(
            [sys.executable, *MODULE, "--config", str(self.settings), *arguments],
            env={**os.environ, **self.environ},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)
