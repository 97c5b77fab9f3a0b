"""Who is connected to a small server that strangers can reach: few at once, none for long.

The timeout of a socket is for one read, so that whoever sends a byte now and then would keep a
place for ever. Here a request has to have come as a whole in time; and where all places are taken,
the oldest of those that have not makes room for the next.
"""

from __future__ import annotations

import contextlib
import socket
import threading


class Callers:
    """At most *most* connections; each is cut that is not ``heard`` within *longest_s*."""

    def __init__(self, most: int, longest_s: float) -> None:
        self._most, self._longest_s = most, longest_s
        self._lock = threading.Lock()
        self._asking: dict[socket.socket, threading.Timer] = {}  # oldest first
        self._heard: set[socket.socket] = set()

    def admit(self, caller: socket.socket) -> bool:
        """Take *caller* in; False if all places are taken by requests that are being answered."""
        timer = threading.Timer(self._longest_s, self._late, (caller,))
        timer.daemon = True
        with self._lock:
            if len(self._asking) + len(self._heard) >= self._most:
                oldest = next(iter(self._asking), None)
                if oldest is None:
                    return False
                self._cut(oldest)
            self._asking[caller] = timer
            timer.start()
        return True

    def heard(self, caller: socket.socket) -> None:
        """Its request has come as a whole: it is answered, however long that takes."""
        with self._lock:
            timer = self._asking.pop(caller, None)
            if timer is not None:
                timer.cancel()
                self._heard.add(caller)

    def left(self, caller: socket.socket) -> None:
        """Its connection is over."""
        with self._lock:
            self._heard.discard(caller)
            timer = self._asking.pop(caller, None)
            if timer is not None:
                timer.cancel()

    def _late(self, caller: socket.socket) -> None:
        with self._lock:
            if caller in self._asking:
                self._cut(caller)

    def _cut(self, caller: socket.socket) -> None:
        """End it: its thread reads the end of the request, and leaves."""
        self._asking.pop(caller).cancel()
        with contextlib.suppress(OSError):  # it has gone by itself
            caller.shutdown(socket.SHUT_RDWR)
