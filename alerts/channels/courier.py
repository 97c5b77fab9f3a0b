"""The other end of ``apprise_child``: starts it, asks it, and kills it when it takes too long.

The child is started when it is first needed and kept: the library takes a second to load. It gets
an environment of its own, so no proxy, credential or switch of this process reaches it, and its
orders through a pipe, so no address is seen in a list of processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

_HOME: Final = Path(__file__).parents[2]  # of our packages
_START_S: Final = 30.0
_GRACE_S: Final = 2.0  # the child ends itself first
_LONGEST_ANSWER: Final = 4096


class TooSlow(Exception):
    """The child did not answer in time, and is no more."""


class Ended(Exception):
    """The child ended without an answer; *why* it did not begin, if that is so, in a word."""

    def __init__(self, why: str | None = None) -> None:
        super().__init__()
        self.why = why


class Courier:
    """Talks to one child, started by *first*, its first order. Used by one thread at a time."""

    def __init__(self, first: Mapping[str, object], more: Mapping[str, str]) -> None:
        """*more* is what the child finds in its environment."""
        self._first, self._more = first, more
        self._child: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = _nothing

    def start(self) -> None:
        """Start a child, in place of the one there is. Raises TooSlow or Ended."""
        self.close()
        self._child = _started(self._more)
        self._end = weakref.finalize(self, _killed, self._child)
        why = self._asked(self._first, _START_S)["why"]
        if why is not None:
            self.close()
            raise Ended(str(why))

    def ask(self, order: Mapping[str, object], seconds: float) -> Mapping[str, Any]:
        """Return the answer to *order*; a child that is gone is started again first.

        Raises TooSlow when *seconds* are over: what was under way is ended, not left behind.
        Raises Ended.
        """
        if self._child is None or self._child.poll() is not None:
            self.start()
        return self._asked(order, seconds + _GRACE_S)

    def close(self) -> None:
        """End the child."""
        self._end()
        self._child = None

    def _asked(self, order: Mapping[str, object], seconds: float) -> Mapping[str, Any]:
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 - pipes
        try:
            child.stdin.write(json.dumps(order).encode() + b"\n")
            child.stdin.flush()
            line = _line(child.stdout.fileno(), seconds)
        except BrokenPipeError:
            line = b""
        except TooSlow:
            self.close()
            raise
        if not line.endswith(b"\n"):
            ended_by_clock = _code_of(child) == -signal.SIGALRM
            self.close()
            raise TooSlow if ended_by_clock else Ended
        found: Mapping[str, Any] = json.loads(line)
        return found


def _started(more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    own = {
        "PYTHONPATH": str(_HOME),
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        # Or requests would take a password for the host from somebody's ~/.netrc.
        "NETRC": os.devnull,
        "HOME": "/nonexistent",
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "alerts.channels.apprise_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={**own, **more},
    )


def _line(handle: int, seconds: float) -> bytes:
    """Return what comes up to a line's end, or up to the end of it all. Raises TooSlow."""
    ends, found = time.monotonic() + seconds, b""
    with selectors.DefaultSelector() as selector:
        selector.register(handle, selectors.EVENT_READ)
        while not found.endswith(b"\n"):
            if not selector.select(max(ends - time.monotonic(), 0.0)):
                raise TooSlow
            some = os.read(handle, _LONGEST_ANSWER)
            found += some
            if not some or len(found) > _LONGEST_ANSWER:
                return found
    return found


def _code_of(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        return None


def _killed(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what it was to read is lost anyway
                pipe.close()


def _nothing() -> None:
    """There is no child yet."""
