"""Whether a notice is for a channel now: routes, the first step, silences, acknowledgements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from alerts.escalation import Circumstances, at_once, behind
from alerts.people import WorkingTime
from alerts.routing import Routing
from monitor.facts import Instant
from monitor.muting import Standing
from monitor.notices import (
    ACKNOWLEDGED,
    LATER,
    NOBODY_NAMED,
    NOT_ROUTED,
    OVER,
    SUPERSEDED,
    Kind,
    Notice,
    Reached,
    Severity,
    Skip,
)

_STEP: Final = ("people", "escalation", "escalation_step")


class Judge(Protocol):
    """What a sender asks about each notice that it has claimed; from several threads."""

    def why_not(self, notice: Notice, channel: str, now: Instant) -> Skip | None:
        """Return why *notice* is not to be told on *channel*; None: it is."""

    def reached(self, notice: Notice, channel: str) -> Reached:
        """Return whom *notice* reaches on *channel*, for the evidence."""

    def shows(self, processor: str, rule: str, channel: str, now: Instant) -> bool:
        """Tell whether the open duties of *processor* under *rule* are shown on *channel*."""


class Everything:
    """Keeps nothing back."""

    def why_not(self, notice: Notice, channel: str, now: Instant) -> Skip | None:  # noqa: ARG002 - as the protocol
        return None

    def reached(self, notice: Notice, channel: str) -> Reached:  # noqa: ARG002 - as the protocol
        return NOBODY_NAMED

    def shows(self, processor: str, rule: str, channel: str, now: Instant) -> bool:  # noqa: ARG002 - as the protocol
        return True


class Standings(Protocol):
    """What the store knows that decides whether something is told."""

    def standing(self, notice: Notice, now: Instant) -> Standing:
        """Return the silences in force, the channels that fail, and if it is acknowledged."""


class BySettings:
    """Judges by *routing*, and by what *standings* says at that moment."""

    def __init__(
        self, routing: Routing, times: Callable[[], WorkingTime], standings: Standings
    ) -> None:
        self._routing, self._times, self._standings = routing, times, standings

    def why_not(self, notice: Notice, channel: str, now: Instant) -> Skip | None:
        """Return why *notice* is not for *channel* now.

        What was written for one channel is for that; only it or its page being acknowledged or
        over, the next of its kind, or a silence keeps it back. Of what was acknowledged a moment
        ago a channel is told all the same: all are told at once, and one answer is not for all.
        """
        standing = self._standings.standing(notice, now)
        told = self._told_at_once(notice, standing, now)
        if channel not in told:
            return NOT_ROUTED._replace(instead=told) if told else LATER
        acknowledged = notice.kind is Kind.ESCALATED and standing.acknowledged
        if acknowledged or standing.heard or channel in standing.late:
            return ACKNOWLEDGED
        if standing.over:
            return OVER
        newer = standing.newer
        if newer is not None and channel in self._told_at_once(newer, standing, now):
            return SUPERSEDED
        return standing.muted(notice, now)

    def reached(self, notice: Notice, channel: str) -> Reached:
        """Return who is behind *channel* in the first step, or in that which *notice* is."""
        people, name, step = (notice.body.get(one) for one in _STEP)
        if notice.kind is Kind.ESCALATED and isinstance(step, int):
            return Reached(str(people) if people else None, str(name) if name else None, step)
        for one in self._routing.of(notice).escalations:
            names = behind(self._routing, one.steps[0]).get(channel)
            if names is not None:
                return Reached(", ".join(names) or None, one.name, 1)
        return NOBODY_NAMED

    def shows(self, processor: str, rule: str, channel: str, now: Instant) -> bool:
        """Tell whether the page of such a duty is for *channel*, at whatever time of the day."""
        page = Notice(
            key="duty",
            kind=Kind.DUTY_OPENED,
            severity=Severity.PAGE,
            processor=processor,
            rule=rule,
            created_at=now,
        )
        routed = self._routing.of(page)
        first = [self._routing.behind(one.steps[0]) for one in routed.escalations]
        return channel in routed.channels.union(*first)

    def _told_at_once(self, notice: Notice, standing: Standing, now: Instant) -> frozenset[str]:
        if notice.channel is not None:
            return frozenset({notice.channel})
        routed = self._routing.of(notice)
        given = Circumstances(times=self._times(), broken=standing.broken)
        first = [
            at_once(self._routing, one, notice.severity, now, given) for one in routed.escalations
        ]
        return routed.channels.union(*first)
