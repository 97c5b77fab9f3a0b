"""What the senders count. The wiring connects this to Prometheus, under the names given here.

The label ``channel`` is one of the configured channels. All of it is called from several threads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from monitor.facts import Instant

CHORES: Final = "_chores"
"""What the loop of chores is called in metrics, where senders have their channel's name."""


class Metrics(Protocol):
    """Counters and gauges of the process that sends."""

    def sent(self, channel: str) -> None:
        """``facetally_notices_sent_total{channel}``: notices confirmed by the receiver."""

    def failed(self, channel: str, *, permanent: bool) -> None:
        """``facetally_notice_failures_total{channel,permanent}``: attempts that failed."""

    def shown(self, channel: str, *, ok: bool) -> None:
        """``facetally_duty_posts_total{channel,outcome}``: re-posts of the open duties.

        Not *ok* is any end but the receiver's confirmation, an error of ours too.
        """

    def crashed(self, channel: str) -> None:
        """``facetally_alerts_errors_total{channel}``: errors that are not the receiver's."""

    def turned(self, channel: str, now: Instant) -> None:
        """``facetally_alerts_last_round_timestamp_seconds{channel}``: for a dead-man's switch."""

    def waiting(self, channel: str, notices: int, failing: int, oldest_s: float) -> None:
        """Three gauges by channel, zero when all is delivered.

        ``facetally_notices_waiting``, ``facetally_notices_failing`` and
        ``facetally_notice_oldest_waiting_timestamp_seconds``.
        """

    def pages(self, waiting: int, oldest_s: float, after_last: int) -> None:
        """Three gauges of the pages that are escalated and that nobody has acknowledged.

        ``facetally_pages_unacknowledged``, ``facetally_page_oldest_unacknowledged_age_seconds`` and
        ``facetally_pages_after_last_step``.
        """

    def reachable(self, people: Mapping[str, bool], steps: Mapping[tuple[str, int], bool]) -> None:
        """Tell for everybody and for every step whether a channel of theirs works.

        ``facetally_responder_unreachable{responder}`` and
        ``facetally_escalation_step_unreachable{escalation,step}``.
        """

    def silences(self, lasting: int) -> None:
        """``facetally_silences_active``: silences in force."""


class NoMetrics:
    """Counts nothing."""

    def sent(self, channel: str) -> None: ...
    def failed(self, channel: str, *, permanent: bool) -> None: ...
    def shown(self, channel: str, *, ok: bool) -> None: ...
    def crashed(self, channel: str) -> None: ...
    def turned(self, channel: str, now: Instant) -> None: ...
    def waiting(self, channel: str, notices: int, failing: int, oldest_s: float) -> None: ...
    def pages(self, waiting: int, oldest_s: float, after_last: int) -> None: ...
    def reachable(
        self, people: Mapping[str, bool], steps: Mapping[tuple[str, int], bool]
    ) -> None: ...
    def silences(self, lasting: int) -> None: ...
