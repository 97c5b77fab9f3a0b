"""Channels that do as they are told, and a count of what was counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alerts.metrics import NoMetrics
from monitor.facts import Instant
from monitor.notices import ClosedDuty, Notice, OpenDuty, Told
from tests.outbox_contract import SECOND


class Scripted:
    """A channel that does as the script says, by the key of the notice; else it delivers."""

    name = "scripted"

    def __init__(self, script: Callable[[Notice, int], BaseException | None] | None = None) -> None:
        self._script = script or (lambda _notice, _times: None)
        self.tried: list[str] = []
        self.delivered: list[str] = []

    def send(self, notice: Notice, now: Instant) -> str:  # noqa: ARG002 - of the protocol
        self.tried.append(notice.key)
        error = self._script(notice, self.tried.count(notice.key))
        if error is not None:
            raise error
        self.delivered.append(notice.key)
        return "200"


class Showing(Scripted):
    """A channel that also shows the state of the duties."""

    every_us = 60 * SECOND
    closed_for_us = 600 * SECOND
    told_for_us = 3600 * SECOND

    def __init__(self, *errors: Exception | None) -> None:
        super().__init__()
        self._errors = list(errors)
        self.shown: list[tuple[Instant, list[str], list[str]]] = []
        self.told: list[tuple[Instant, list[Told]]] = []

    def show(
        self,
        duties: Sequence[OpenDuty],
        closed: Sequence[ClosedDuty],
        told: Sequence[Told],
        now: Instant,
    ) -> None:
        self.told.append((now, list(told)))
        self.shown.append((now, [d.duty for d in duties], [d.duty for d in closed]))
        error = self._errors.pop(0) if self._errors else None
        if error is not None:
            raise error


class Counted(NoMetrics):
    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def sent(self, channel: str) -> None:
        self.seen.append(("sent", channel))

    def failed(self, channel: str, *, permanent: bool) -> None:
        self.seen.append(("failed", channel, permanent))

    def shown(self, channel: str, *, ok: bool) -> None:
        self.seen.append(("shown", channel, ok))

    def crashed(self, channel: str) -> None:
        self.seen.append(("crashed", channel))

    def waiting(self, channel: str, notices: int, failing: int, oldest_s: float) -> None:
        self.seen.append(("waiting", channel, notices, failing, oldest_s))
