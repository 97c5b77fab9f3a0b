"""Sees to it that nothing of a test session outlives the session, however that ends.

A small process of its own group reads a pipe: ``+PGID`` when a process group starts, ``-PGID``
when it has ended, and the directories that the session has made. The pipe closes when the
session is gone, by SIGKILL too, and then the guardian kills the groups and removes the
directories that are left: those, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path


class Guardian:
    """A running guardian; ``guardian()`` gives the one of this session."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # or who reads that of the session waits for the guardian
            start_new_session=True,
            text=True,
        )

    def watch(self, group: int) -> None:
        """Kill this process group if the session ends before ``forget`` is called."""
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """This process group has ended; its number may be given to someone else."""
        self._tell(f"-{group}")

    def directory(self, name: str) -> Path:
        """Make a temporary directory that is gone at the latest when the session is."""
        made = tempfile.mkdtemp(prefix=f"facetally-{name}-")
        self._tell(made)
        return Path(made)

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise RuntimeError("the guardian was started without a pipe")
        pipe.write(f"{line}\n")
        pipe.flush()


@cache
def guardian() -> Guardian:
    """Return the guardian of this session, started when first asked for."""
    return Guardian()


def attend() -> None:
    """Follow what the session says until it is gone, and clean up after it."""
    groups: set[int] = set()
    directories: list[str] = []
    for line in map(str.strip, sys.stdin):
        if line.startswith("+"):
            groups.add(int(line))
        elif line.startswith("-"):
            groups.discard(-int(line))
        else:
            directories.append(line)
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    # Ctrl-C in the terminal and its closing must not end the guardian before the session.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    attend()
