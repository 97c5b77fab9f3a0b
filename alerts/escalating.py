"""Looks after open pages: writes the steps that are due, each for one channel and once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from alerts.escalation import Circumstances, Turn, due
from alerts.metrics import Metrics
from alerts.outbox import SECOND
from alerts.people import WorkingTime
from alerts.routing import Escalation, Routing
from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, key_of

_PAUSE: Final = 60 * SECOND


class Page(Protocol):
    """A page that nobody has acknowledged; see ``monitor.store.pages``."""

    @property
    def number(self) -> int: ...
    @property
    def notice(self) -> Notice: ...
    @property
    def since(self) -> Instant | None: ...
    @property
    def told(self) -> Mapping[str, Instant | None]: ...
    @property
    def untried(self) -> frozenset[str]: ...

    def age_from(self, now: Instant) -> Instant:
        """Return since when it counts."""


class ChannelsNow(Protocol):
    """Which channels there are, and which of them have failed for long."""

    @property
    def known(self) -> frozenset[str]: ...
    @property
    def broken(self) -> frozenset[str]: ...


class PageStore(Protocol):
    """What is asked of the store."""

    def open_pages(self, severities: Collection[Severity], now: Instant) -> Sequence[Page]: ...
    def channels(self, now: Instant) -> ChannelsNow: ...
    def note(self, since: Mapping[int, Instant]) -> None: ...
    def escalate(self, steps: Sequence[Notice]) -> int: ...


class Escalating:
    """One chore of the alerts process; several processes may do it at once."""

    def __init__(
        self,
        routing: Routing,
        times: Callable[[], WorkingTime],
        store: PageStore,
        metrics: Metrics,
    ) -> None:
        self._routing, self._times, self._store = routing, times, store
        self._metrics = metrics

    def look(self, now: Instant) -> None:
        """Write the steps that are due for each open page. Without escalations there are none."""
        if not self._routing.escalations:
            return
        pages = [
            (page, escalations)
            for page in self._store.open_pages(self._routing.escalated, now)
            if (escalations := self._routing.of(page.notice).escalations)
        ]
        moved = {page.number: page.age_from(now) for page, _ in pages if _is_news(page, now)}
        if moved:
            self._store.note(moved)
        channels = self._store.channels(now)
        given = Circumstances(times=self._times(), broken=channels.broken)
        for page, escalations in pages:
            steps = [
                step_of(page.notice, escalation, turn, page.age_from(now), now)
                for escalation in escalations
                for turn in self._due(page, escalation, now, given)
                if turn.channel in channels.known
            ]
            if steps:
                self._store.escalate(steps)
        self._show(pages, channels, now)

    def _show(
        self,
        pages: Sequence[tuple[Page, Sequence[Escalation]]],
        channels: ChannelsNow,
        now: Instant,
    ) -> None:
        ages = [now - page.age_from(now) for page, _ in pages]
        last = [
            all(age >= one.steps[-1].after for one in escalations)
            for age, (_, escalations) in zip(ages, pages, strict=True)
        ]
        self._metrics.pages(len(pages), max(ages, default=0) / SECOND, sum(last))
        working = channels.known - channels.broken
        people = {one.name: bool(working & set(one.channels)) for one in self._routing.people}
        steps = {
            (escalation.name, number): bool(working & self._routing.behind(step))
            for escalation in self._routing.escalations
            for number, step in enumerate(escalation.steps, start=1)
        }
        self._metrics.reachable(people, steps)

    def _due(
        self, page: Page, escalation: Escalation, now: Instant, given: Circumstances
    ) -> list[Turn]:
        """Return what is due but for what the page itself tells: its first step, the first time.

        And for what it has told on the same channel a moment ago, or is about to. Of several steps
        on one channel that is the last: the others are written already, or were missed.
        """
        severity, since = page.notice.severity, page.age_from(now)
        turns = due(self._routing, escalation, severity, since, now, given)
        last = {turn.channel: turn for turn in turns}  # in the order of steps
        return [
            turn
            for turn in last.values()
            if (turn.step > 1 or turn.round > 0 or turn.channel not in page.told)
            and not _just_told(page, escalation, turn, now)
        ]


def step_of(
    page: Notice, escalation: Escalation, turn: Turn, since: Instant, now: Instant
) -> Notice:
    """Return the notice of a *turn*: for its channel alone, with all that the *page* says."""
    return Notice(
        key=key_of(Kind.ESCALATED, page.key, escalation.name, *_named(escalation, turn)),
        kind=Kind.ESCALATED,
        severity=page.severity,
        processor=page.processor,
        rule=page.rule,
        duty=page.duty,
        created_at=now,
        channel=turn.channel,
        body={
            **page.body,
            "page": page.key,
            "page_since": since,
            "escalated_kind": page.kind.value,
            "escalation": escalation.name,
            "escalation_step": turn.step,
            "escalation_round": turn.round,
            "people": ", ".join(turn.people) or None,
        },
    )


def _named(escalation: Escalation, turn: Turn) -> tuple[str, ...]:
    """Return what tells a *turn* of a page from all others."""
    named = (str(turn.step), str(turn.round), turn.channel)
    if turn.round == 0:
        return named
    # Rounds are counted by these: with other settings the numbers of now may be written already,
    # and nobody would be told until the page is old enough for one that is not.
    return *named, str(escalation.repeat), str(escalation.steps[turn.step - 1].after)


def _just_told(page: Page, escalation: Escalation, turn: Turn, now: Instant) -> bool:
    """Tell whether the page itself is so new on the channel of *turn* that this says nothing new.

    As after an outage, when it is old already when it is told.
    """
    at = page.told.get(turn.channel)
    if at is None:
        return turn.channel in page.untried
    pause = escalation.repeat if turn.round > 0 else None
    # Not what a clock that was ahead has marked: it would be so for as long as that was ahead.
    return 0 <= now - at < (pause or _PAUSE)


def _is_news(page: Page, now: Instant) -> bool:
    return page.since is None or page.since > now
