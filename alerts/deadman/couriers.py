"""From what is said of a watchdog to each channel: in order, again and again until it is delivered.

It is kept in memory only, and whoever starts anew looks anew. A channel that fails holds up no
other. It is never owed two pages of one silence, however long it is away: of one installation the
last page and the last all-clear are kept, and told in the order in which they were said.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from alerts.channel import Channel, NotDelivered
from alerts.deadman.pulse import Said
from alerts.outbox import Retry
from monitor.facts import Instant
from monitor.notices import BodyValue, Kind, Notice, Severity, key_of

log = logging.getLogger(__name__)

_RETRY: Final = Retry()


def notice_of(said: Said, run: str, up: Instant, now: Instant) -> Notice:
    """Return *said* as a notice; *up* and *now* are the same moment by two clocks.

    *run* names this run of the process, so that no key comes again after a restart.
    """
    kind = Kind.WATCHDOG_SILENT if said.silent else Kind.WATCHDOG_HEARD
    since = now - (up - said.since)
    name = "silent_since" if not said.silent else "last_beat_at" if said.heard else None
    body: dict[str, BodyValue] = {name or "listening_since": since}
    if said.installation is not None:
        body["watched"] = said.installation
    parts = (run, said.installation or "", str(said.since), str(said.number))
    return Notice(
        key=key_of(kind, *parts),
        kind=kind,
        severity=Severity.PAGE if said.silent else Severity.WARNING,
        created_at=now,
        body=body,
    )


class Courier:
    """What one channel is owed. ``give`` is called from any thread, ``turn`` from one."""

    def __init__(self, channel: Channel, retry: Retry = _RETRY) -> None:
        self._channel, self._retry = channel, retry
        self._lock = threading.Lock()
        self._owed: dict[tuple[Kind, BodyValue], Notice] = {}  # what was said first is first
        self._attempts = 0
        self._again_at: Instant = 0

    @property
    def name(self) -> str:
        """The name of the channel."""
        return self._channel.name

    @property
    def owed(self) -> int:
        """How many notices are not delivered."""
        with self._lock:
            return len(self._owed)

    def give(self, notice: Notice) -> None:
        """Owe *notice* in place of one of its kind about the same installation."""
        what = notice.kind, notice.body.get("watched")
        with self._lock:
            self._owed.pop(what, None)
            self._owed[what] = notice

    def turn(self, up: Instant, now: Instant) -> bool:
        """Try what is owed longest, if it is time; tell whether there is more to try at once."""
        with self._lock:
            notice = next(iter(self._owed.values()), None)
        if notice is None or up < self._again_at:
            return False
        try:
            answer = self._channel.send(notice, now)
        except NotDelivered as exc:
            self._put_off(notice, up, exc)
            return False
        except Exception as exc:
            log.exception("channel %s: error, goes on", self.name)
            self._put_off(notice, up, NotDelivered(f"an error of ours ({type(exc).__name__})"))
            return False
        self._delivered(notice, answer)
        return True

    def _put_off(self, notice: Notice, up: Instant, error: NotDelivered) -> None:
        """Wait as a page does, whatever it is: the next one must not wait for an all-clear."""
        self._attempts += 1
        self._again_at = up + self._retry.after(self._attempts, error, Severity.PAGE)
        where = (notice.key, self.name, self._attempts)
        log.warning("%s not delivered on %s, attempt %d: %s", *where, error)

    def _delivered(self, notice: Notice, answer: str) -> None:
        self._attempts, self._again_at = 0, 0
        what = notice.kind, notice.body.get("watched")
        with self._lock:
            if self._owed.get(what) is notice:  # and not a later one that came meanwhile
                del self._owed[what]
        log.info("%s delivered on %s: %s", notice.key, self.name, answer)
