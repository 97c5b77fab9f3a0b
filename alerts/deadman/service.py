"""The dead-man's receiver: hears Alertmanager tell the watchdog, and pages when it does not.

Needs no database and no Kafka, and is meant for another machine than Alertmanager's. One thread
looks, one for each channel sends, and requests have threads of their own.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, TypeAlias

from alerts.channel import BadSettings, Channel
from alerts.deadman.beats import check_token, firing
from alerts.deadman.couriers import Courier, notice_of
from alerts.deadman.pulse import Patience, Pulses, Said
from alerts.doors import Door, host_and_port, opened
from alerts.origin import Origin
from alerts.service import uptime
from monitor.facts import Instant

log = logging.getLogger(__name__)

PATH: Final = "/watchdog"
LOOKING: Final = "_looking"
"""What the loop that looks is called where senders have their channel's name."""
_LONGEST: Final = 65_536  # one message of Alertmanager about one group of alerts
_EVERY_S: Final = 0.1
_SHORTEST_TOKEN: Final = 16
_LAST_ATTEMPT_S: Final = 25.0

Clock: TypeAlias = Callable[[], Instant]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadmanSettings:
    """Where the watchdog is heard, and who is told when it is not. Raises BadSettings.

    *channels* are names. Where *installations* are named each of them has to be heard, and a
    watchdog of another name counts for none. *token*, if there is one, every request has to have.
    """

    address: str
    channels: tuple[str, ...]
    patience: Patience
    installations: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        host_and_port(self.address)
        for name in self.installations:
            try:
                Origin(installation=name)
            except BadSettings:
                raise BadSettings("installations: 1 to 63 of a-z 0-9 _ - are allowed") from None
        if self.token is not None and not _is_token(self.token):
            raise BadSettings(f"token: at least {_SHORTEST_TOKEN} of A-Z a-z 0-9 and signs")

    @property
    def is_open(self) -> bool:
        """Whether others than this machine reach it, and nobody has to have a token."""
        if self.token is not None:
            return False
        host, _ = host_and_port(self.address)
        with suppress(ValueError):
            return not ip_address(host).is_loopback
        return host != "localhost"


def _is_token(text: str) -> bool:
    fits = text.isascii() and text.isprintable() and " " not in text
    return fits and len(text) >= _SHORTEST_TOKEN


class Deadman:
    """Everything that is heard and owed in one run of the process. For threads."""

    def __init__(
        self,
        settings: DeadmanSettings,
        channels: Sequence[Channel],
        clock: Clock,
        uptime: Clock = uptime,
    ) -> None:
        self._settings, self._clock, self._uptime = settings, clock, uptime
        self.couriers = [Courier(channel) for channel in channels]
        self._lock = threading.Lock()
        self._pulses = Pulses(settings.installations, settings.patience, uptime())
        self._run = secrets.token_hex(8)
        self._beats = self._refused = 0
        self._names: set[str | None] = set()

    def door(self) -> Door:
        """Return what takes the messages of Alertmanager."""
        return Door(
            path=PATH,
            what="a message to the dead-man's receiver",
            take=self._take,
            longest=_LONGEST,
            count=self._count,
            health=self._health,
        )

    def look(self) -> None:
        """Tell of each silence that is to be told now."""
        with self._lock:
            self._tell(self._pulses.look(self._uptime()))

    def turn(self, courier: Courier) -> bool:
        """Try what *courier* owes; tell whether there is more to try at once."""
        return courier.turn(self._uptime(), self._clock())

    def _take(self, headers: Mapping[str, str], body: bytes) -> Mapping[str, object]:
        check_token(headers, self._settings.token)
        found = firing(body)
        with self._lock:
            beats, again = self._pulses.beat(found, self._uptime())
            self._beats += beats
            self._tell(again)
            self._note_names(found)
        return {"beats": beats}

    def _note_names(self, found: Sequence[str | None]) -> None:
        """Log once that watchdogs are heard which the settings should name."""
        named = self._settings.installations
        new = {one for one in found if one not in named} - self._names
        if not new or len(self._names) >= (1 if named else 2):
            return  # anybody may make names up
        self._names |= new
        if named:
            log.warning("a watchdog is heard whose installation is not in deadman.installations")
        elif len(self._names) > 1:
            why = "or the silence of one goes unnoticed"
            log.warning("several watchdogs are heard: name them in deadman.installations, %s", why)

    def _tell(self, found: Sequence[Said]) -> None:
        """Owe it to every channel; in the lock, so that all are told in one order."""
        up, now = self._uptime(), self._clock()
        for said in found:
            notice = notice_of(said, self._run, up, now)
            what = "silent" if said.silent else "heard again"
            which = f" of {said.installation}" if said.installation else ""
            log.warning("the watchdog%s is %s (%s)", which, what, notice.key)
            for courier in self.couriers:
                courier.give(notice)

    def _count(self, status: int) -> None:
        if status >= 400:  # noqa: PLR2004 - what HTTP calls an error
            with self._lock:
                self._refused += 1

    def _health(self) -> Mapping[str, object]:
        with self._lock:
            silent = list(self._pulses.silent)
            counted = {"beats": self._beats, "refused": self._refused}
        owed = sum(one.owed for one in self.couriers)
        return {**counted, "silent": len(silent), "undelivered": owed}


def run_deadman(
    settings: DeadmanSettings,
    channels: Sequence[Channel],
    clock: Clock,
    stop: threading.Event,
    turned: Callable[[str], None] = lambda _: None,
) -> None:
    """Hear and page until *stop* is set. Raises OSError if the address is taken.

    *turned* is called with the name of each loop, a channel's or ``LOOKING``, as often as it turns.
    """
    deadman = Deadman(settings, channels, clock)
    with opened(settings.address, deadman.door()) as where:
        log.info("the watchdog is heard on http://%s:%d%s", *where, PATH)
        if settings.is_open:
            log.warning("deadman.token: anybody who reaches %s can keep it quiet", settings.address)
        threads = [_sending(deadman, one, stop, turned) for one in deadman.couriers]
        while not stop.is_set():
            deadman.look()
            turned(LOOKING)
            stop.wait(_EVERY_S)
    for thread in threads:
        thread.join(_LAST_ATTEMPT_S / len(threads))
    owed = sum(one.owed for one in deadman.couriers)
    if owed:
        log.warning("%d notices are not delivered, and are given up", owed)


def _sending(
    deadman: Deadman, courier: Courier, stop: threading.Event, turned: Callable[[str], None]
) -> threading.Thread:
    def send() -> None:
        while not stop.is_set():
            more = deadman.turn(courier)
            turned(courier.name)
            if not more:
                stop.wait(_EVERY_S)

    # A daemon: a receiver that drips its answer must not keep the process from ending.
    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread
