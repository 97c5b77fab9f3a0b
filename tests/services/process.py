"""One process of a real part: started in a group of its own, ended as a group, by its number.

No retries: a part that does not come up is an error that shows the end of its log.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.services.guardian import guardian

LOOPBACK = "127.0.0.1"


class NotUpError(RuntimeError):
    """A part did not come up; the message ends with the tail of its log."""


class Owned:
    """A process that was started here and is ended here."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start *command*; its output is appended to *log*, *env* is added to ours."""
        self._log = log
        self._name = Path(command[0]).name
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        guardian().watch(self.pid)

    @property
    def pid(self) -> int:
        """The number of the process, which is also that of its group."""
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until *ready* says so. Raise NotUpError if the process ends first, or never."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive():
                raise NotUpError(f"{self._name} ended with {self._process.returncode}{self.tail()}")
            if time.monotonic() > deadline:
                self.stop(seconds=1)
                raise NotUpError(f"{self._name} is not up after {seconds} s{self.tail()}")
            time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGTERM, seconds: float = 20) -> None:
        """Ask the process to end, and after *seconds* kill its whole group."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=seconds)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the group, what the process has left behind included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        guardian().forget(self.pid)

    def tail(self, lines: int = 15) -> str:
        text = self._log.read_text(errors="replace").splitlines()
        return "\n".join(["", *text[-lines:]])


def free_port() -> int:
    """Return a loopback port that nobody uses, below the range of outgoing connections.

    Above it, a client that tries a stopped server again and again is one day given the server's
    own port as its source, connects to itself, and the server cannot start any more.
    """
    chooser = random.SystemRandom()
    while True:
        port = chooser.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def listening(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
