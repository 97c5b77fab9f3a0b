"""Work that takes long and may wait: one piece after another, with rests between.

A look back over 100,000 individuals takes seconds of processor time, and minutes over millions. In
a worker it is waited for in a thread, while another process does it (``apart.py``), so that batches
go on meanwhile; the rest keeps short ones to a third of the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)

_REST = 2.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LONGEST_REST = 10.0  # seconds: a reach that waits for a look back is found within these


class Backoff(Generic[_K]):
    """When to try again what failed: after a second, and twice as long each time, to a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[_K, tuple[float, float]] = {}  # the latest pause, and when it ends

    def may_try(self, what: _K) -> bool:
        """Tell whether it is time for *what*."""
        return self._clock() >= self._failed.get(what, (0.0, 0.0))[1]

    def failed(self, what: _K) -> float:
        """Return after how many seconds *what* may be tried again."""
        before, _ = self._failed.get(what, (0.0, 0.0))
        pause = min(2 * before or _FIRST_PAUSE, _LONGEST_PAUSE)
        self._failed[what] = (pause, self._clock() + pause)
        return pause

    def succeeded(self, what: _K) -> None:
        """Forget what went before."""
        self._failed.pop(what, None)


class Paced:
    """Runs pieces of work, never two at once. With *background* they run in a daemon thread."""

    def __init__(self, *, background: bool) -> None:
        self._background = background
        self._again = 0.0
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def may_run(self) -> bool:
        """Tell whether the next piece can start now."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._thread = None
        return time.monotonic() >= self._again

    def run(self, work: Callable[[], None]) -> None:
        """Do *work*, here or in the background; call only if it ``may_run``."""
        if not self._background:
            self._guarded(work)
            return
        self._thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
        self._thread.start()

    def raise_error(self) -> None:
        """Raise what the latest piece raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            self._timed(work)
        except Exception as exc:  # noqa: BLE001 - ``raise_error`` does
            self._error = exc

    def _timed(self, work: Callable[[], None]) -> None:
        started = time.monotonic()
        try:
            work()
        finally:
            ended = time.monotonic()
            self._again = ended + min(_REST * (ended - started), _LONGEST_REST)
