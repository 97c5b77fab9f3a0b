"""A database that stands still for one process: its sessions are stopped, and nobody else's.

Connections stay open, and the kernel acknowledges what is sent to them, as on a server whose disk
does not answer. So no timeout of TCP ends the wait.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

# Between two statements, so that none of them holds what all of PostgreSQL needs.
IDLE = "SELECT pid, client_port FROM pg_stat_activity WHERE state LIKE 'idle%'"


class Freezer:
    """Stops the sessions of the process *number*, those as well that it makes meanwhile."""

    def __init__(self, number: int, connection: psycopg.Connection[Any]) -> None:
        self._number, self._connection = number, connection
        self._stopped: set[int] = set()

    def freeze(self) -> None:
        """Stop those that are there now."""
        ports = _ports(self._number)
        for session, port in self._connection.execute(IDLE.encode()).fetchall():
            if port in ports and session not in self._stopped:
                self._stopped.add(session)
                os.kill(session, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for session in self._stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, signal.SIGCONT)


@contextlib.contextmanager
def freezing(number: int, connection: psycopg.Connection[Any]) -> Iterator[Freezer]:
    """Let all go on at the end of the block."""
    freezer = Freezer(number, connection)
    try:
        yield freezer
    finally:
        freezer.thaw()


def _ports(number: int) -> set[int]:
    """Return the local ports of the TCP connections of the process *number*."""
    sockets = set()
    for file in Path(f"/proc/{number}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            sockets.add(str(file.readlink()))
    table = Path(f"/proc/{number}/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    rows = [line.split() for line in table]
    return {int(row[1].split(":")[1], 16) for row in rows if f"socket:[{row[9]}]" in sockets}
