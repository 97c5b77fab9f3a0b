"""Silences: who muted what, until when and why. They mute the telling, and never a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, Skip

_DAY: Final = 24 * 3600 * 1_000_000
_CLOCKS_DIFFER: Final = 3600 * 1_000_000
LONGEST_DAYS: Final = 30
NEVER: Final = frozenset({Kind.DUTY_OPENED, Kind.DUTY_MOVED, Kind.DUTY_REOPENED})
"""No silence mutes these: that somebody owes something, or has less time for it, is news."""

NEVER_AS_PAGES: Final = frozenset({Kind.DUE_MOVED, Kind.FILING_STEP})
"""Nor these where they are pages: the last day is earlier, or what was filed has failed."""


def always_told(notice: Notice) -> bool:
    """Tell whether no silence mutes *notice*.

    So it is for ``NEVER``, for a last day that became earlier, for a filing that failed or was
    terminated while its duty is owed, for the last day of a duty and each day on which it is
    overdue, and for what escalates one of these: it goes on until somebody acknowledges it.
    """
    kind = notice.body.get("escalated_kind") if notice.kind is Kind.ESCALATED else notice.kind.value
    left = notice.body.get("working_days_left")
    last = kind == Kind.REMINDER and isinstance(left, int) and left <= 0
    paged = kind in NEVER_AS_PAGES and notice.severity is Severity.PAGE
    return kind in NEVER or paged or last


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What is muted *until* then: notices that agree with all that is not None."""

    number: int
    made_at: Instant
    until: Instant
    by: str
    reason: str
    processor: str | None = None
    rule: str | None = None
    kind: Kind | None = None
    severity: Severity | None = None
    ended_at: Instant | None = None
    ended_by: str | None = None

    def in_force(self, now: Instant, longest_days: int = LONGEST_DAYS) -> bool:
        """Tell whether it mutes *now*.

        One that would last for longer than may be was made by a clock that was ahead: it does not.
        """
        longest = longest_days * _DAY + _CLOCKS_DIFFER
        return self.ended_at is None and now < self.until <= now + longest

    def takes(self, notice: Notice) -> bool:
        """Tell whether *notice* is meant; an escalation is meant with what it escalates."""
        if always_told(notice):
            return False
        kinds = {notice.kind.value, notice.body.get("escalated_kind")}
        asked = (
            (self.processor, {notice.processor}),
            (self.rule, {notice.rule}),
            (self.kind, kinds),
            (self.severity, {notice.severity}),
        )
        return all(wanted is None or wanted in values for wanted, values in asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known beside the settings when a notice is to be told.

    *broken* are the channels that have failed for long; *acknowledged* is about the page that the
    notice escalates, and *over* says that nobody is called by the notice any more. *newer* is the
    next reminder of its duty, or the next round of its step. *late* are the channels that became
    known after somebody acknowledged the notice itself; *heard* is for all channels, once that was
    some minutes ago.
    """

    silences: Sequence[Silence] = ()
    broken: frozenset[str] = frozenset()
    acknowledged: bool = False
    heard: bool = False
    over: bool = False
    newer: Notice | None = None
    late: frozenset[str] = frozenset()
    longest_days: int = LONGEST_DAYS

    def muted(self, notice: Notice, now: Instant) -> Skip | None:
        """Return the oldest silence that mutes *notice* now, as why it is not told."""
        for one in self.silences:
            if one.in_force(now, self.longest_days) and one.takes(notice):
                return Skip("silenced", one.number)
        return None
