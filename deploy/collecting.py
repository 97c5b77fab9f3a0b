"""When Python looks for garbage in cycles: by the clock, and not after so many new objects.

A batch is a million objects and not one cycle, and the collector would walk them again and again:
that was a quarter of a worker's time (docs/performance.md). Nearly everything is freed by counting
references all the same; what is not waits for some seconds.
"""

from __future__ import annotations

import gc
import threading
import time
from functools import cache

_EVERY = 10.0


@cache
def collect_seldom(every: float = _EVERY) -> None:
    """From now on collect every so many seconds, and leave alone what there is already.

    Once for a process: a second call changes nothing. Were there a thread for each command that
    is called in one process, they would do nothing but collect.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    threading.Thread(target=_collect, args=(every,), name="garbage", daemon=True).start()


def _collect(every: float) -> None:
    while True:
        time.sleep(every)
        gc.collect()
