"""Pages that go on: what a channel has delivered, until somebody has acknowledged it.

For a receiver to which a page is a state. An event ends there by its age, while what it tells of
may go on and nobody may have it yet; so it is shown for as long as it is an open page.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from alerts.routing import PAGES
from monitor.facts import Instant
from monitor.muting import Standing
from monitor.notices import Notice, Severity, Told


class OpenPage(Protocol):
    """A page that nobody has acknowledged and whose matter is not over."""

    @property
    def notice(self) -> Notice: ...
    @property
    def told(self) -> Mapping[str, Instant | None]: ...


class OpenPages(Protocol):
    """What is asked of the store."""

    def open_pages(self, severities: Collection[Severity], now: Instant) -> Sequence[OpenPage]: ...


class Silences(Protocol):
    """What is asked of the store about silences."""

    def silencing(self) -> Standing:
        """Return a standing that knows the silences alone: the same for every notice."""


class Lasting:
    """Which pages go on, by *pages*; a silence keeps one back for as long as it is in force."""

    def __init__(self, pages: OpenPages, silences: Silences) -> None:
        self._pages, self._silences = pages, silences

    def open_on(self, channel: str, now: Instant) -> Sequence[Told]:
        """Return the open pages that *channel* has delivered, oldest first.

        Few questions to the store, however many pages: a sender waits for them.
        """
        silencing = self._silences.silencing()
        return [
            Told(page.notice, at, lasting=True)
            for page in self._pages.open_pages(PAGES, now)
            if (at := page.told.get(channel)) is not None
            and silencing.muted(page.notice, now) is None
        ]
