"""From what is said of a watchdog to each channel: in order, again and again until it is delivered.

It is kept in memory only, and whoever starts anew looks anew. A channel that fails holds up no
other, and of one channel what it refuses holds up nothing about another installation. How little of
one installation is kept, however long a channel is away, and what is told of it, says ``Line``.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Final, NamedTuple

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


class Owed(NamedTuple):
    """A page about the *silence* of that number, or what was said after it: heard again."""

    silence: int
    notice: Notice

    @property
    def is_page(self) -> bool:
        """Whether it says that nothing is heard."""
        return self.notice.kind is Kind.WATCHDOG_SILENT


@dataclass(slots=True)
class Line:
    """What one channel is owed of one installation: two notices at most, in their order.

    The last one is always how it is now. An all-clear is told only to who was told a page, and a
    page that never was is told before its all-clear, unless a newer silence has begun meanwhile:
    then that one is told in its place. Of one silence the newest page is owed.
    """

    owed: list[Owed] = field(default_factory=list)
    attempts: int = 0
    due_at: Instant | None = None  # None until somebody looks
    silence: int = 0
    over: bool = True
    told: int | None = None  # the silence that the receiver takes to last

    def take(self, notice: Notice) -> None:
        """Owe *notice*, and no more what it makes idle."""
        if notice.kind is Kind.WATCHDOG_SILENT:
            self.silence += self.over
            self.over = False
            before = [one for one in self.owed if not one.is_page and self.told is not None]
        else:
            self.over = True
            before = [one for one in self.owed if one.is_page and one.silence != self.told]
        self.owed = [*before, Owed(self.silence, notice)]

    def delivered(self, done: Owed) -> None:
        """Owe *done* no more; a newer one that has taken its place is still owed."""
        self.attempts = 0
        self.told = done.silence if done.is_page else None
        self.owed = [one for one in self.owed if one.notice is not done.notice]
        while self.told is None and self.owed and not self.owed[0].is_page:
            del self.owed[0]

    def refused(self, page: Owed) -> None:
        """Let the all-clear pass a page that is over, where the receiver has an older one still."""
        if self.told is not None and self.owed[-1] is not page and page in self.owed:
            self.owed.remove(page)


class Courier:
    """What one channel is owed. ``give`` is called from any thread, ``turn`` from one."""

    def __init__(self, channel: Channel, retry: Retry = _RETRY) -> None:
        self._channel, self._retry = channel, retry
        self._lock = threading.Lock()
        self._lines: dict[BodyValue, Line] = {}
        self._not_before: Instant = 0  # as the receiver asked

    @property
    def name(self) -> str:
        """The name of the channel."""
        return self._channel.name

    @property
    def owed(self) -> int:
        """How many notices are not delivered."""
        with self._lock:
            return sum(len(line.owed) for line in self._lines.values())

    def give(self, notice: Notice) -> None:
        """Owe *notice*, in place of what it makes idle about the same installation."""
        watched = notice.body.get("watched")
        with self._lock:
            line = self._lines.setdefault(watched, Line())
            if not line.owed:
                line.due_at = None
            line.take(notice)

    def turn(self, up: Instant, now: Instant) -> bool:
        """Try what has been due longest; tell whether to go on at once."""
        with self._lock:
            line = self._due(up)
            one = line.owed[0] if line is not None else None
        if line is None or one is None:
            return False
        try:
            answer = self._channel.send(one.notice, now)
        except NotDelivered as exc:
            self._put_off(line, one, up, exc)
            return False
        except Exception as exc:
            log.exception("channel %s: error, goes on", self.name)
            ours = NotDelivered(f"an error of ours ({type(exc).__name__})")
            self._put_off(line, one, up, ours)
            return False
        with self._lock:
            line.delivered(one)
        log.info("%s delivered on %s: %s", one.notice.key, self.name, answer)
        return True

    def _due(self, up: Instant) -> Line | None:
        """Return whose turn it is: who failed comes after all that were due meanwhile."""
        waiting = [line for line in self._lines.values() if line.owed]
        for line in waiting:
            line.due_at = up if line.due_at is None else line.due_at
        first = min(waiting, key=lambda line: line.due_at or 0, default=None)
        if first is None or max(first.due_at or 0, self._not_before) > up:
            return None
        return first

    def _put_off(self, line: Line, one: Owed, up: Instant, error: NotDelivered) -> None:
        """Wait as a page does, whatever it is: the next one must not wait for an all-clear.

        What is owed of others is tried meanwhile, unless the receiver asked for a pause.
        """
        with self._lock:
            line.attempts += 1
            line.due_at = up + self._retry.after(line.attempts, error, Severity.PAGE)
            if error.retry_after_s:
                self._not_before = up + self._retry.after(0, error, Severity.PAGE)
            if error.permanent:
                line.refused(one)
        where = (one.notice.key, self.name, line.attempts)
        log.warning("%s not delivered on %s, attempt %d: %s", *where, error)
