"""Whether the watchdog is heard: one ``Pulse`` for each installation. No clock, no network.

Instants are of a clock that nobody sets (``uptime``), so no step of a wall clock pages and none
keeps a page back. What is said is said once for each silence, then again every *repeat* of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from monitor.facts import Instant

ANY: Final = None
"""The name of the pulse that any watchdog feeds, where no installations are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long nothing is heard before that is told, and how often it is told again, in us.

    Raises ValueError.
    """

    silence: Instant
    repeat: Instant

    def __post_init__(self) -> None:
        for name in ("silence", "repeat"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: must be more than nothing")


@dataclass(frozen=True, slots=True)
class Pulse:
    """*since* is when it was heard last, or when we began to listen; *told* of this silence."""

    since: Instant
    heard: bool = False
    told: int = 0
    told_at: Instant | None = None


class Said(NamedTuple):
    """That *installation* is silent, for the *number*-th time, or heard again.

    Nothing had come since *since*: the last that was *heard*, or else the start.
    """

    installation: str | None
    silent: bool
    since: Instant
    heard: bool
    number: int


def beaten(pulse: Pulse, at: Instant) -> Pulse:
    """Return *pulse* after the watchdog was heard; threads may hear it out of order."""
    return Pulse(max(pulse.since, at), heard=True)


def looked(pulse: Pulse, at: Instant, patience: Patience) -> Pulse:
    """Return *pulse* after a look: it counts one more if its silence is to be told now."""
    if at - pulse.since < patience.silence:
        return pulse
    if pulse.told_at is not None and at - pulse.told_at < patience.repeat:
        return pulse
    return replace(pulse, told=pulse.told + 1, told_at=at)


class Pulses:
    """The pulses of *installations*, or one for all where none are named. Not for two threads."""

    def __init__(self, installations: Sequence[str], patience: Patience, start: Instant) -> None:
        self._patience = patience
        self._of: dict[str | None, Pulse] = {name: Pulse(start) for name in installations or (ANY,)}

    def beat(self, installations: Iterable[str | None], at: Instant) -> tuple[int, list[Said]]:
        """Take what was heard; return how many pulses that fed, and who is heard again.

        Where installations are named, a watchdog of another name feeds none.
        """
        named = dict.fromkeys(ANY if ANY in self._of else one for one in installations)
        known = [name for name in named if name in self._of]
        again = [self._said(name, silent=False) for name in known if self._of[name].told]
        for name in known:
            self._of[name] = beaten(self._of[name], at)
        return len(known), again

    def look(self, at: Instant) -> list[Said]:
        """Return whose silence is to be told now."""
        before = self._of
        self._of = {name: looked(pulse, at, self._patience) for name, pulse in before.items()}
        return [self._said(name, silent=True) for name in before if self._of[name] != before[name]]

    @property
    def silent(self) -> Sequence[str]:
        """The names of those whose silence was told and lasts; one without a name is ``""``."""
        return [name or "" for name, pulse in self._of.items() if pulse.told]

    def _said(self, name: str | None, *, silent: bool) -> Said:
        pulse = self._of[name]
        return Said(name, silent, pulse.since, pulse.heard, pulse.told)
