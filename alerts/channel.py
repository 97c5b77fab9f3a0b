"""What a way to somebody must offer, and how it says that it did not get there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from monitor.facts import Instant
from monitor.notices import ClosedDuty, Notice, OpenDuty, Told

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


class BadSettings(ValueError):
    """A setting of a channel is wrong. The message names the setting and never quotes it."""


class NotDelivered(Exception):
    """The receiver has not confirmed: it may or may not have the notice.

    *permanent*: so far as can be told only a person can mend it (wrong address, refused
    signature); a proxy that is just being replaced answers the same. *retry_after_s* is what the
    receiver asked for, already bounded. The message may be shown: it holds no address, secret or
    text of the receiver.
    """

    def __init__(
        self, message: str, *, permanent: bool = False, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.retry_after_s = retry_after_s


class Channel(Protocol):
    """A way to somebody. Used by one thread at a time."""

    @property
    def name(self) -> str:
        """Names the channel in the outbox, metrics and logs: stable, one of few."""

    def send(self, notice: Notice, now: Instant) -> str:
        """Return the receiver's confirmation in a word, or raise NotDelivered."""


@runtime_checkable
class StateChannel(Channel, Protocol):
    """A channel to a receiver that forgets what it is not told again."""

    @property
    def every_us(self) -> int:
        """How often to show the state."""

    @property
    def closed_for_us(self) -> int:
        """How long a closed duty is still shown as closed."""

    @property
    def told_for_us(self) -> int:
        """How long a notice that was delivered is told again: the receiver may have lost it."""

    def show(
        self,
        duties: Sequence[OpenDuty],
        closed: Sequence[ClosedDuty],
        told: Sequence[Told],
        now: Instant,
    ) -> None:
        """Tell what is owed now, what no longer is and what was told, or raise NotDelivered."""


def checked_name(name: str) -> str:
    """Return *name* if it can name a channel. Raises BadSettings."""
    if not _NAME.fullmatch(name):
        raise BadSettings("name: 1 to 63 of a-z 0-9 _ - are allowed")
    return name
