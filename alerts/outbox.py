"""From the outbox to a channel: claim, send, then mark, one notice per call.

At least once: who dies between sending and marking leaves a lease that runs out, and the notice
goes again under the same key. Nothing is ever given up, and what is not delivered is shown. A
page is never put off for longer than ``PAGE_PAUSE``, whatever the refusal was and whatever the
receiver asked for: a proxy that answers 404 or 429 for the seconds of a deploy must not cost an
hour. A notice that cannot be sent holds up no other.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from alerts.channel import Channel, NotDelivered
from alerts.judging import Everything, Judge
from alerts.metrics import Metrics, NoMetrics
from monitor.facts import Instant
from monitor.notices import LONGEST_PAUSE, NOBODY_NAMED, Claim, Outbox, Reached, Severity, Skip

log = logging.getLogger(__name__)

SECOND: Final = 1_000_000
PAGE_PAUSE: Final = 300 * SECOND
_NO_METRICS: Final = NoMetrics()
_EVERYTHING: Final = Everything()


class Turn(IntEnum):
    """What came of one turn; false if there was nothing to do."""

    NONE_DUE = 0
    SENT = 1
    REFUSED = 2
    SKIPPED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When to try again. *lease_us* must outlast one attempt, or a repeat is certain.

    *longest_us* is no longer than ``LONGEST_PAUSE``: what waits longer is taken as due. It is for
    what wakes nobody up; a page never waits for longer than *page_us*.

    *jitter* gives numbers of [0, 1), so that receivers that failed together are not tried
    together for ever.
    """

    lease_us: int = 120 * SECOND
    longest_us: int = LONGEST_PAUSE
    page_us: int = PAGE_PAUSE
    jitter: Callable[[], float] = random.random

    def after(self, attempts: int, error: NotDelivered, severity: Severity) -> int:
        """Return the pause in microseconds after the failure of attempt number *attempts*.

        Doubles from two seconds up to *page_us* or *longest_us*, give or take a quarter, and is
        not shorter than the receiver asked for, up to the same.
        """
        longest = self.page_us if severity is Severity.PAGE else self.longest_us
        doubled = SECOND * 2 ** min(attempts, 32)
        pause = min(int(doubled * (0.75 + self.jitter() / 2)), longest)
        asked = int((error.retry_after_s or 0.0) * SECOND)
        return max(pause, min(asked, longest))


_RETRY: Final = Retry()


def send_next(
    outbox: Outbox,
    channel: Channel,
    now: Instant,
    retry: Retry = _RETRY,
    metrics: Metrics = _NO_METRICS,
    judge: Judge = _EVERYTHING,
) -> Turn:
    """Offer the notice that *channel* has owed longest, and return what came of it.

    One that *judge* has a reason against is skipped, unless it is that others tell it and nobody
    does. A judge that fails keeps nothing back.
    """
    claim = outbox.claim(channel.name, now, retry.lease_us)
    if claim is None:
        return Turn.NONE_DUE
    skip = _judged(judge, claim, now)
    if skip is not None and outbox.skipped(claim, now, skip):
        return Turn.SKIPPED
    try:
        answer = channel.send(claim.notice, now)
    except NotDelivered as exc:
        pause = retry.after(claim.attempts, exc, claim.notice.severity)
        _put_back(outbox, claim, now + pause, exc)
        metrics.failed(channel.name, permanent=exc.permanent)
        return Turn.REFUSED
    except Exception as exc:
        # Whatever is wrong here, nobody was told: the channel has to count as failing.
        log.exception("channel %s: error, goes on", channel.name)
        error = NotDelivered(f"an error of ours ({type(exc).__name__})")
        pause = retry.after(claim.attempts, error, claim.notice.severity)
        _put_back(outbox, claim, now + pause, error)
        metrics.crashed(channel.name)
        metrics.failed(channel.name, permanent=False)
        return Turn.REFUSED
    outbox.sent(claim, now, answer, _reached(judge, claim))
    metrics.sent(channel.name)
    return Turn.SENT


def _judged(judge: Judge, claim: Claim, now: Instant) -> Skip | None:
    try:
        return judge.why_not(claim.notice, claim.channel, now)
    except Exception:
        log.exception("channel %s: whether to send cannot be told, so it is sent", claim.channel)
        return None


def _reached(judge: Judge, claim: Claim) -> Reached:
    try:
        return judge.reached(claim.notice, claim.channel)
    except Exception:
        log.exception("channel %s: who is behind it cannot be told", claim.channel)
        return NOBODY_NAMED


def _put_back(outbox: Outbox, claim: Claim, again_at: Instant, error: NotDelivered) -> None:
    level = logging.ERROR if error.permanent else logging.WARNING
    where = (claim.notice.key, claim.channel, claim.attempts)
    log.log(level, "notice %s not delivered on %s, attempt %d: %s", *where, error)
    outbox.failed(claim, again_at, f"{'permanent: ' if error.permanent else ''}{error}")
