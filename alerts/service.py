"""The process that sends: one thread per channel, so that a receiver that hangs delays no other.

One more thread does the chores that need no receiver: escalations, reminders, silences that end.

Ends when *stop* is set, after the attempts under way. Whatever goes wrong with the store or in a
channel is logged, counted and tried again: these loops are the last to give up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias, TypeVar

from alerts.channel import Channel, NotDelivered, StateChannel
from alerts.judging import Everything, Judge
from alerts.metrics import CHORES, Metrics, NoMetrics
from alerts.outbox import SECOND, Retry, Turn, send_next
from monitor.facts import Instant
from monitor.notices import ClosedDuty, OpenDuty, Outbox, Told

log = logging.getLogger(__name__)

Clock: TypeAlias = Callable[[], Instant]
_T = TypeVar("_T")
_D = TypeVar("_D", OpenDuty, ClosedDuty)
OpenOn: TypeAlias = Callable[[str, Instant], Sequence[Told]]
"""The pages that a channel has delivered and that go on: nobody has acknowledged them."""

_LOOK_AFTER_S: Final = 15.0  # how often the outbox is repaired and its backlog measured
_LONGEST_PAUSE_S: Final = 30.0
_AFTER_REFUSAL_S: Final = 0.1
_LAST_ATTEMPT_S: Final = 25.0  # what attempts under way may take in all, once told to stop
_CHORES_EVERY_S: Final = 2.0
_EVERYTHING: Final = Everything()


def _none(channel: str, now: Instant) -> Sequence[Told]:  # noqa: ARG001 - as OpenOn
    return ()


class Chore(Protocol):
    """Something to be looked at all the time, whatever receivers do."""

    def look(self, now: Instant) -> None:
        """Do what is due. May raise: it is called again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What decides over what is sent, and what is done beside it."""

    judge: Judge = _EVERYTHING
    chores: Sequence[Chore] = ()
    open_on: OpenOn = _none


_ALONE: Final = Beside()


def uptime() -> Instant:
    """Return the microseconds since some moment, by a clock that nobody sets."""
    return time.monotonic_ns() // 1000


def run_alerts(
    outbox: Outbox,
    channels: Sequence[Channel],
    clock: Clock,
    stop: threading.Event,
    interval: float,
    *,
    metrics: Metrics | None = None,
    retry: Retry | None = None,
    beside: Beside | None = None,
) -> None:
    """Send until *stop* is set; look for new notices every *interval* seconds.

    An attempt that is still under way 25 s after that is left behind, and its notice comes again.
    Raises ValueError if two channels have one name.
    """
    names = [channel.name for channel in channels]
    if len(set(names)) != len(names):
        raise ValueError("two channels have the same name")
    counts, more = metrics or NoMetrics(), beside or Beside()
    senders = [
        Sender(outbox, channel, retry or Retry(), counts, beside=more) for channel in channels
    ]
    loops: list[_Loop] = [*senders, *([Chores(more.chores, counts)] if more.chores else [])]
    threads = [_started(loop, clock, stop, interval) for loop in loops]

    crashes = 0
    while not stop.is_set():
        crashes = 0 if _look_after(outbox, names, counts, clock()) else crashes + 1
        stop.wait(_pause(crashes, interval) if crashes else _LOOK_AFTER_S)
    _join(threads)


class _Loop(Protocol):
    def run(self, clock: Clock, stop: threading.Event, interval: float) -> None: ...


class Chores:
    """Does each of *chores* in turn; one that fails keeps no other from being done."""

    def __init__(self, chores: Sequence[Chore], metrics: Metrics) -> None:
        self._chores, self._metrics = chores, metrics

    def run(self, clock: Clock, stop: threading.Event, interval: float) -> None:
        """Do them every other second until *stop* is set, less often while all goes wrong."""
        every, crashes = max(interval, _CHORES_EVERY_S), 0
        while not stop.is_set():
            crashes = 0 if self.look(clock()) else crashes + 1
            stop.wait(_pause(crashes, every))

    def look(self, now: Instant) -> bool:
        """Do all of them once; tell whether all went well."""
        well = True
        for chore in self._chores:
            try:
                chore.look(now)
            except Exception:
                log.exception("%s: error, goes on", type(chore).__name__)
                self._metrics.crashed(CHORES)
                well = False
        if well:
            self._metrics.turned(CHORES, now)
        return well


class Sender:
    """What one channel's thread does, turn by turn."""

    def __init__(
        self,
        outbox: Outbox,
        channel: Channel,
        retry: Retry,
        metrics: Metrics,
        uptime: Clock = uptime,
        beside: Beside = _ALONE,
    ) -> None:
        """Pace what is shown by *uptime*: by a clock that is set back, duties would resolve."""
        self._outbox, self._uptime = outbox, uptime
        self._channel = channel
        self._retry = retry
        self._metrics = metrics
        self._judge, self._open_on = beside.judge, beside.open_on
        self._show_at: Instant = 0

    def run(self, clock: Clock, stop: threading.Event, interval: float) -> None:
        """Take turns until *stop* is set, at once while there is more, else every *interval* s."""
        crashes = 0
        while not stop.is_set():
            # Apart, so that neither keeps the other from being tried.
            shown, sent = self._tried(self.show, clock()), self._tried(self.send, clock())
            crashes = crashes + 1 if None in {shown, sent} else 0
            if crashes or not sent:
                stop.wait(_pause(crashes, interval))
            elif sent is Turn.REFUSED:
                # Two senders whose clocks differ each take the other's pauses for over.
                stop.wait(min(interval, _AFTER_REFUSAL_S))

    def send(self, now: Instant) -> Turn:
        """Offer the notice that waits longest; false if none is due."""
        more = send_next(self._outbox, self._channel, now, self._retry, self._metrics, self._judge)
        self._metrics.turned(self._channel.name, now)
        return more

    def show(self, now: Instant) -> bool:
        """Show the state of the duties, and again what was told lately, if this channel needs that.

        Only when it is time. The store says what was told: who has just started goes on with it.
        """
        channel, up = self._channel, self._uptime()
        if not isinstance(channel, StateChannel) or up < self._show_at:
            return False
        # After a failure sooner, so that one lost post does not let an alert end.
        self._show_at = up + channel.every_us // 4
        try:
            self._post_state(channel, now)
        except Exception as exc:
            self._metrics.shown(channel.name, ok=False)
            if isinstance(exc, NotDelivered):
                return False
            raise  # whoever is at fault, the duties are not shown
        self._show_at = up + channel.every_us
        self._metrics.shown(channel.name, ok=True)
        return True

    def _post_state(self, channel: StateChannel, now: Instant) -> None:
        duties = self._shown(self._outbox.open_duties(), now)
        closed = self._shown(self._outbox.closed_duties_since(now - channel.closed_for_us), now)
        life = channel.told_for_us
        # What a clock that was far ahead has marked would be told for as long as it was ahead.
        lately = self._outbox.told_since(channel.name, now - life, now + life)
        lasting = self._open_on(channel.name, now)
        going_on = {one.notice.key for one in lasting}
        told = [*lasting, *(one for one in lately if one.notice.key not in going_on)]
        try:
            channel.show(duties, closed, told, now)
        except NotDelivered as exc:
            what = (len(duties), len(told), channel.name, exc)
            log.warning("%d open duties, %d notices not shown again on %s: %s", *what)
            raise

    def _shown(self, duties: Sequence[_D], now: Instant) -> Sequence[_D]:
        """Return those of *duties* that are for this channel."""
        name, shows = self._channel.name, self._judge.shows
        return [duty for duty in duties if shows(duty.processor, duty.rule, name, now)]

    def _tried(self, work: Callable[[Instant], _T], now: Instant) -> _T | None:
        try:
            return work(now)
        except Exception:
            log.exception("channel %s: error, goes on", self._channel.name)
            self._metrics.crashed(self._channel.name)
            return None


def _look_after(outbox: Outbox, names: Sequence[str], metrics: Metrics, now: Instant) -> bool:
    """Repair the outbox and measure its backlog. Return False if the store is away."""
    try:
        outbox.ensure(names, now)
        waiting = {found.channel: found for found in outbox.waiting()}
    except Exception:
        log.exception("the outbox cannot be read, goes on")
        return False
    for name in names:
        found = waiting.get(name)
        if found is None:
            metrics.waiting(name, 0, 0, 0.0)
            continue
        age = max(now - found.oldest, 0) / SECOND
        metrics.waiting(name, found.notices, found.failing, age)
    return True


def _started(loop: _Loop, clock: Clock, stop: threading.Event, interval: float) -> threading.Thread:
    # A daemon: a receiver that drips its answer must not keep the process from ending.
    thread = threading.Thread(target=loop.run, args=(clock, stop, interval), daemon=True)
    thread.start()
    return thread


def _pause(crashes: int, interval: float) -> float:
    return float(min(interval * 2 ** min(crashes, 10), max(_LONGEST_PAUSE_S, interval)))


def _join(threads: Sequence[threading.Thread]) -> None:
    left = _LAST_ATTEMPT_S / max(len(threads), 1)
    for thread in threads:
        thread.join(left)
