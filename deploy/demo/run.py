"""The demo as a whole: broker, database, worker, alerts, receiver, estate, view; then the proof.

Worker and alerts are the real processes; what they are shown to have done is read from the
database. At the end the ledger is compared with what the simulation knows to be true.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import settings as settings_module
from deploy.demo.broker import LOOPBACK, broker
from deploy.demo.children import Child, DemoFailed, facetally, running
from deploy.demo.estate import Site, Story, estate
from deploy.demo.feed import Feed
from deploy.demo.proof import Check, compared, verified
from deploy.demo.receiver import Receiver, receiving
from deploy.demo.seen import Rate, Seen, look
from deploy.demo.setting import new_webhook_secret, write_settings
from deploy.demo.view import Moment, View
from deploy.wiring import Monitor, clock, open_monitor, upgrade_database
from monitor.store import positions, showing
from monitor.store.channels import known_channels
from monitor.store.engine import reading
from streams.admin import Admin
from streams.connection import Connection

_LOOK_EVERY_S = 0.4
_SET_UP_S = 30.0
_SETTLE_S = 30.0
_LOOK_BACK_S = 5.0  # then the look back that is due is left to the end of the demo
_CLOSING_S = 8.0  # what comparing and verifying takes of the time, at most a quarter
_ENDING_S = 12.0
EXPECTED_RULES = ("frt.file", "frt.cancel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """*seconds* count from the first event; *folder* is there and empty."""

    seconds: float
    individuals: int
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the demo ended. *checks* is empty if it was told to stop before the end."""

    settings: Path
    seen: Seen
    checks: Sequence[Check]
    stopped: bool

    @property
    def missing(self) -> list[str]:
        """The duties that were to be shown, and were not."""
        return [r for r in EXPECTED_RULES if r not in {duty.rule for duty in self.seen.duties}]


def run_demo(
    options: Options, view: Callable[[], View], say: Callable[[str], None], stop: threading.Event
) -> Outcome:
    """Run until *options.seconds* are over or *stop* is set. Raises DemoFailed."""
    began = time.monotonic()
    sites = estate(options.individuals)
    with ExitStack() as stack:
        address, broker_child = stack.enter_context(broker(options.folder))
        secret = new_webhook_secret()
        receiver = stack.enter_context(receiving(secret, LOOPBACK))
        file = write_settings(options.folder, address, receiver.url, secret, sites)
        monitor = stack.enter_context(_opened(file))
        feed = Feed(
            Connection(bootstrap_servers=address),
            [Story(site, options.seed) for site in sites],
            clock,
        )
        with _processes(file, options.folder) as (worker, alerts):
            children = (broker_child, worker, alerts)
            _wait_until_up(monitor, sites, children, stop)
            if not stop.is_set():
                say(f"set up in {time.monotonic() - began:.1f} s: broker {address}, worker, alerts")
            watching = _Watching(options, monitor, feed, receiver, children, stop)
            if not stop.is_set():
                watching.run(view())
        if watching.settled:
            # As the worker would after its rest: what came late is looked back on, and counts.
            monitor.keeper(clock()).finish(clock())
        seen = look(monitor)
        checks = [] if stop.is_set() else _checked(monitor, feed, seen, watching)
    return Outcome(settings=file, seen=seen, checks=checks, stopped=stop.is_set())


class _Watching:
    """The time from the first event on: feed, look, show, and let it settle."""

    def __init__(
        self,
        options: Options,
        monitor: Monitor,
        feed: Feed,
        receiver: Receiver,
        children: Sequence[Child],
        stop: threading.Event,
    ) -> None:
        self._options, self._monitor, self._feed = options, monitor, feed
        self._receiver, self._children, self._stop = receiver, children, stop
        self._rate = Rate()
        self.settled = False

    def run(self, view: View) -> None:
        """Show the whole of it on *view*."""
        seconds = self._options.seconds
        feeding = max(seconds - _CLOSING_S, 0.75 * seconds)
        self._feed.start()
        started = time.monotonic()
        try:
            while time.monotonic() - started < feeding and not self._stop.is_set():
                seen = self._show(view, started, "live" if self._feed.live else "backlog")
                if self._feed.waiting and seen.records >= self._feed.records:
                    self._feed.go_live()
                self._stop.wait(_LOOK_EVERY_S)
            self._feed.stop(_SETTLE_S)
            self._settle(view, started)
        finally:
            self._feed.stop(0.0)
            view.close()

    def _settle(self, view: View, started: float) -> None:
        """Wait until all is read, confirmed and told; a worker rests between looking back."""
        began = time.monotonic()
        while not self._stop.is_set() and (waited := time.monotonic() - began) < _SETTLE_S:
            seen = self._show(view, started, "settling")
            looking_back = any(one.recount_pending for one in seen.status.processors)
            if _quiet(seen) and self._all_read() and (not looking_back or waited > _LOOK_BACK_S):
                self.settled = True
                self._show(view, started, "done")
                return
            self._stop.wait(_LOOK_EVERY_S)

    def _show(self, view: View, started: float, phase: str) -> Seen:
        for child in self._children:
            child.check()
        self._feed.check()
        seen = look(self._monitor)
        moment = Moment(
            second=time.monotonic() - started,
            of=self._options.seconds,
            phase=phase,
            seen=seen,
            rate=self._rate.after(seen.records),
            received=self._receiver.received,
            refused=self._receiver.refused,
        )
        view.show(moment)
        return seen

    def _all_read(self) -> bool:
        """Ask Kafka where the partitions end, and the database how far it has got."""
        settings = self._monitor.settings
        with Admin(Connection(bootstrap_servers=settings.bootstrap_servers)) as admin:
            ends = admin.ends(_partitions(admin, [topic.name for topic in settings.topics]))
        with reading(self._monitor.engine) as connection:
            stored = positions.read(connection, ends)
        return all(
            end == 0 or (tp in stored and stored[tp].next_offset >= end) for tp, end in ends.items()
        )


def _partitions(admin: Admin, topics: Sequence[str]) -> list[tuple[str, int]]:
    return [(seen.topic, n) for seen in admin.topics(topics) for n in range(seen.partitions)]


def _quiet(seen: Seen) -> bool:
    """Whether every reach is confirmed and every notice sent."""
    thresholds = (t for one in seen.status.processors for t in one.thresholds)
    return not any(t.reach.pending for t in thresholds) and all(
        one.sent_at is not None for one in seen.told
    )


@contextmanager
def _opened(file: Path) -> Iterator[Monitor]:
    settings = settings_module.load(str(file))
    upgrade_database(settings)
    monitor = open_monitor(settings)
    try:
        yield monitor
    finally:
        monitor.engine.dispose()


@contextmanager
def _processes(file: Path, folder: Path) -> Iterator[tuple[Child, Child]]:
    """Run worker and alerts until the block ends; they are asked to end together."""
    with (
        running(
            "worker", facetally(file, "worker"), folder / "worker.log", patience=_ENDING_S
        ) as w,
        running(
            "alerts", facetally(file, "alerts"), folder / "alerts.log", patience=_ENDING_S
        ) as a,
    ):
        try:
            yield w, a
        finally:
            w.ask_to_end()


def _wait_until_up(
    monitor: Monitor, sites: Sequence[Site], children: Sequence[Child], stop: threading.Event
) -> None:
    """Return when every partition is read to its (empty) end and the channels are known."""
    wanted = {(site.topic, number) for site in sites for number in range(site.partitions)}
    channels = sorted(channel.name for channel in monitor.settings.channels)
    deadline = time.monotonic() + _SET_UP_S
    while time.monotonic() < deadline and not stop.is_set():
        for child in children:
            child.check()
        with reading(monitor.engine) as connection:
            read = showing.partitions_at_end(connection)
            if read >= wanted and known_channels(connection) == channels:
                return
        time.sleep(0.1)
    if not stop.is_set():
        raise DemoFailed(f"worker and alerts are not up after {_SET_UP_S:g} s; see their logs")


def _checked(monitor: Monitor, feed: Feed, seen: Seen, watching: _Watching) -> list[Check]:
    found = [
        Check("everything sent was read and told", watching.settled, f"{seen.records:,} records")
    ]
    found += compared(seen.status.processors, feed.sent())
    return found + verified(monitor)
