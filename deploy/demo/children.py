"""The processes of the demo: started here, ended here by their number, gone when we are gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import deploy
from deploy.demo import leash


class DemoFailed(RuntimeError):
    """A part of the demo did not come up or has ended; the message ends with its last words."""


class Child:
    """One process in a session of its own, so that Ctrl-C reaches the demo alone."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        """Start *command* with its output in *log*. Call from the main thread: see ``leash``."""
        self.name = name
        self._log = log
        tied = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *command]
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                tied,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise DemoFailed if the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise DemoFailed(f"the {self.name} has ended with {code}:{self._last_words()}")

    def ask_to_end(self) -> None:
        """Send SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def end(self, patience: float) -> None:
        """Wait *patience* seconds for the process to end, then kill it."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n  ".join(["", *lines[-8:]])


@contextmanager
def running(name: str, command: Sequence[str], log: Path, *, patience: float) -> Iterator[Child]:
    """Run *command* until the block ends; then it has *patience* seconds to end by itself."""
    child = Child(name, command, log)
    try:
        yield child
    finally:
        child.ask_to_end()
        child.end(patience)


def facetally(settings: Path, *words: str) -> list[str]:
    """Return the command that runs ``facetally`` with *settings* in this interpreter.

    The package is found where ours is: ``-m`` would look into the current folder first, where
    something else may be called ``deploy``.
    """
    home = str(Path(str(deploy.__file__)).parents[1])
    code = f"import sys; sys.path.insert(0, {home!r}); from deploy.cli.main import main; main()"
    return [sys.executable, "-P", "-c", code, "--config", str(settings), *words]
