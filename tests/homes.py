"""The ``facetally`` command in tests: run within this process, or as a program of its own.

Within the process the same code runs from the parsing of the words to the exit code; only what a
process alone has (signals, what is printed at its very end) needs the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner

from deploy.cli.main import cli
from tests.services.process import Owned

ROOT = Path(__file__).parents[1]
PATIENCE = 60.0

SECRET = "5e" * 32


class Answer(NamedTuple):
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A folder with ``facetally.toml``, and the command run with it."""

    path: Path
    secret: str | None = SECRET

    @property
    def settings(self) -> Path:
        return self.path / "facetally.toml"

    @property
    def database(self) -> Path:
        return self.path / "facetally.db"

    def write(self, name: str, lines: Sequence[bytes | str]) -> Path:
        file = self.path / name
        raw = (line.encode() if isinstance(line, str) else line for line in lines)
        file.write_bytes(b"".join(line + b"\n" for line in raw))
        return file

    def run(
        self, *words: str | Path, given: bytes = b"", env: Mapping[str, str] | None = None
    ) -> Answer:
        """Run within this process."""
        command = ["--config", str(self.settings), *map(str, words)]
        result = CliRunner().invoke(cli, command, input=given, env=self._env(env))
        error = result.exception
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Answer(result.exit_code, result.stdout, result.stderr)

    def good(self, *words: str | Path) -> Answer:
        """Run within this process; it must exit 0."""
        answer = self.run(*words)
        assert answer.code == 0, answer
        return answer

    def json(self, *words: str | Path) -> Any:
        return self.good(*words, "--json").json()

    def program(
        self,
        *words: str | Path,
        given: bytes = b"",
        env: Mapping[str, str] | None = None,
        seconds: float = PATIENCE,
    ) -> Answer:
        """Run as a program, in the folder, by its settings file's default name."""
        done = subprocess.run(
            [*_program(), *map(str, words)],
            input=given,
            capture_output=True,
            check=False,
            timeout=seconds,
            cwd=self.path,
            env=self._environ(env),
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> Owned:
        """Start as a program; its output goes to ``log``."""
        return Owned(
            [*_program(), *words], log=self.log, cwd=self.path, env=self._environ(env, add=True)
        )

    @property
    def log(self) -> Path:
        return self.path / "output.log"

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def individuals(self) -> dict[str, int]:
        found = self.json("status")["processors"]
        return {one["processor"]: one["individuals"] for one in found}

    def _env(self, env: Mapping[str, str] | None) -> dict[str, str | None]:
        # Where the tests run a terminal may have a width: commands here write into a pipe.
        base = {"FACETALLY_CONFIG": None, "COLUMNS": None, "LINES": None}
        return {"FACETALLY_SECRET": self.secret, **base, **(env or {})}

    def _environ(self, env: Mapping[str, str] | None, *, add: bool = False) -> dict[str, str]:
        base = {} if add else dict(os.environ)
        wanted = self._env(env)
        kept = {k: v for k, v in base.items() if k not in wanted}
        return {**kept, **{k: v for k, v in wanted.items() if v is not None}}


def _program() -> list[str]:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from deploy.cli.main import main; main()"
    )
    return [sys.executable, "-P", "-c", code]


def home(path: Path, *parts: str, **keys: object) -> Home:
    """Make a folder with settings: *keys* of the root, then *parts* of TOML."""
    path.mkdir(parents=True, exist_ok=True)
    root = {"metrics_address": "127.0.0.1:0", "start_patience_seconds": 5, **keys}
    lines = [f"{key} = {json.dumps(value)}" for key, value in root.items()]
    made = Home(path)
    made.settings.write_text("\n".join([*lines, *parts]) + "\n")
    return made


def ready(path: Path, *parts: str, **keys: object) -> Home:
    """Make a folder with settings and a new database."""
    made = home(path, *parts, **keys)
    made.good("db", "upgrade")
    return made


def topic(name: str, source: str = "cloudevents", more: str = "") -> str:
    return f'[[topics]]\nname = "{name}"\nsource = "{source}"\n{more}'


def event(
    subject: str | None = "ann",
    *,
    kind: str = "face.enrolled",
    time: object = "2026-03-02T08:00:00Z",
    attributes: Mapping[str, object] | None = None,
    **data: object,
) -> str:
    """Return a bare CloudEvent; *data* is beside processor acme and system gate."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "test",
            "type": f"facetally.{kind}",
            "subject": subject,
            "time": time,
            "data": {"processor": "acme", "system": "gate", **data},
            **(attributes or {}),
        }
    )
