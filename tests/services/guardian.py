"""Sees to it that no process of a test session outlives the session, however that ends.

A small process of its own group reads process groups from a pipe: ``+PGID`` when one starts,
``-PGID`` when it has ended. The pipe closes when the session is gone, by SIGKILL too, and then
the guardian kills the groups that are left: those, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from functools import cache


class Guardian:
    """A running guardian; ``guardian()`` gives the one of this session."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def watch(self, group: int) -> None:
        """Kill this process group if the session ends before ``forget`` is called."""
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """This process group has ended; its number may be given to someone else."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """End the session now."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=10)

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


def left_over(lines: Iterable[str]) -> set[int]:
    """Return the groups that were watched and not forgotten."""
    groups: set[int] = set()
    for line in lines:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    return groups


if __name__ == "__main__":
    # Ctrl-C in the terminal and its closing must not end the guardian before the session.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for orphan in left_over(sys.stdin):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(orphan, signal.SIGKILL)
