"""Connections to addresses that were checked, and to no other.

A name is resolved once; what it leads to is checked, and that very address is connected to. So
a name that leads elsewhere a moment later leads nowhere. The certificate is asked for, and the
``Host`` header says, what the settings name: httpcore takes both from the URL.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, TypeAlias

import httpcore

from alerts.channels.addresses import allowed

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name, literal. Raises OSError or UnicodeError where there are none."""

_MOST: Final = 8  # addresses of one name that are tried
_LONGEST_S: Final = 20.0


class Refused(Exception):
    """A name leads to an address that may not be connected to. Names neither."""


def system_addresses(host: str, port: int) -> Sequence[str]:
    """Return what the system's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class Checked(httpcore.NetworkBackend):
    """Connects where it may; with *private*, to one's own networks too.

    A name of which one address is not allowed is refused whole. Raises Refused.
    """

    def __init__(self, *, private: bool, resolve: Resolve = system_addresses) -> None:
        self._private, self._resolve = private, resolve
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to one of the addresses of *host*, all tries within *timeout*."""
        ends = time.monotonic() + (timeout or _LONGEST_S)
        addresses = self._addresses(host, port, ends)
        failed: Exception = httpcore.ConnectError("the name has no address")
        for tried, address in enumerate(addresses):
            left = ends - time.monotonic()
            if left <= 0:
                raise httpcore.ConnectTimeout from None
            share = left / (len(addresses) - tried)
            try:
                return self._plain.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as exc:
                failed = exc
        raise failed

    def _addresses(self, host: str, port: int, ends: float) -> Sequence[str]:
        found = _within(ends - time.monotonic(), lambda: self._resolve(host, port))[:_MOST]
        if not all(allowed(address, private=self._private) for address in found):
            raise Refused
        return found


def _within(seconds: float, resolve: Callable[[], Sequence[str]]) -> Sequence[str]:
    """Resolve in a thread: the system's resolver cannot be told to hurry, only left behind."""
    answers: SimpleQueue[Sequence[str] | Exception] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve())
        except (OSError, UnicodeError) as exc:
            answers.put(exc)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=max(seconds, 0.001))
    except Empty:
        raise httpcore.ConnectTimeout from None
    if isinstance(answer, Exception):
        raise httpcore.ConnectError from None
    return answer
