"""What a service manager is told: that we are up, that we go on, that we end (``sd_notify(3)``).

The protocol is one datagram to the socket that ``NOTIFY_SOCKET`` names; without that variable
nothing is sent. The watchdog is fed by the loops that do the work and by nothing else, so a process
whose loops stand still is started anew. A database or a receiver that is away stops no loop.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping

log = logging.getLogger("facetally")

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
_SHARE = 4  # of the watchdog's time: so often we say that we live


class Supervisor:
    """The service manager that started this process, if one did."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from *environ* where to tell, and how often; *uptime* is in seconds."""
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._every = _watchdog_seconds(environ) / _SHARE
        self._uptime = uptime
        self._next = 0.0

    def tell(self, state: str) -> None:
        """Send *state*. That nobody listens is no error of ours."""
        if not self._address:
            return
        # An abstract socket has a NUL in place of the @ of its name.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.settimeout(0)
                out.sendto(state.encode(), address)
        except OSError as exc:
            log.debug("the service manager was not told %s: %s", state, exc.strerror)

    def alive(self) -> None:
        """Feed the watchdog, where there is one; may be called as often as a loop turns."""
        now = self._uptime()
        if self._every and now >= self._next:
            self._next = now + self._every
            self.tell(ALIVE)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return the watchdog's time, 0 without one; a parent's is none of ours."""
    mine = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if mine and text.isdecimal() else 0.0


class Together:
    """Several loops of one process: it lives as long as each of them has turned lately.

    For threads. *patience* is how many seconds a turn may take: as long as its slowest attempt.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        loops: Collection[str],
        patience: float,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervisor, self._patience, self._uptime = supervisor, patience, uptime
        self._waited_for = set(loops)
        self._turned: dict[str, float] = {}
        self._lock = threading.Lock()

    def turned(self, loop: str) -> None:
        """Note that *loop* has turned. When all have for the first time, the process is ready."""
        with self._lock:
            now = self._uptime()
            self._turned[loop] = now
            if self._waited_for:
                self._waited_for.discard(loop)
                if not self._waited_for:
                    self._supervisor.tell(READY)
            if not self._waited_for and now - min(self._turned.values()) <= self._patience:
                self._supervisor.alive()
