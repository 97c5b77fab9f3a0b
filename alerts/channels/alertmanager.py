"""Prometheus Alertmanager, API v2.

To it a duty is a state: an alert that is not posted again resolves, so the open duties are shown
every minute with an end a few minutes ahead, and closed ones as ended. The notice that opens or
closes a duty is the same alert, so nobody is paged twice. A duty that is owed again has another
one, by the page that tells so, or the page would be lost where the end was not told yet. Every
other notice is an alert of its own, with a limited life, or, if it is a page, until somebody has
acknowledged it. Alerts live in
its memory, and wait there before anybody is told: one that is killed has lost what it had
confirmed, so these are posted again as well, the very same alert, until their life is over. Several
Alertmanagers of one cluster are several channels: each must be told, and they drop the repeats
among themselves.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from alerts import words
from alerts.channel import BadSettings
from alerts.channels.http import HttpSettings, Poster, rfc3339
from alerts.channels.urls import checked_url
from alerts.origin import NOWHERE, Origin
from monitor.facts import Instant
from monitor.filings import family
from monitor.notices import (
    PAGED_AGAIN,
    Body,
    ClosedDuty,
    Kind,
    Notice,
    OpenDuty,
    Severity,
    Told,
)

Alert: TypeAlias = dict[str, str | dict[str, str]]

_Matter: TypeAlias = tuple[str, str, str]

_SECOND: Final = 1_000_000
_PATH: Final = "/api/v2/alerts"
_MOST_AT_ONCE: Final = 500  # alerts of one request
_SHOWN_AS_STATE: Final = frozenset({Kind.DUTY_OPENED, Kind.DUTY_CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertmanagerSettings(HttpSettings):
    """*url* is what precedes ``/api/v2``. Raises BadSettings.

    Open duties are shown every *every_s* seconds and end by themselves after *life_s* without;
    an event is an alert for *event_life_s* at least, posted again as often. *generator_url* is
    linked from each alert. It is usually beside us, in a network of one's own, so that is allowed;
    addresses of no network (link-local, metadata of a cloud) are not.
    """

    name: str = "alertmanager"
    allow_private: bool = True
    every_s: int = 60
    life_s: int = 300
    event_life_s: int = 3600
    generator_url: str | None = None
    origin: Origin = NOWHERE

    def __post_init__(self) -> None:
        HttpSettings.__post_init__(self)
        if not 1 <= self.every_s < self.life_s:
            raise BadSettings("every_s: at least 1 and less than life_s")
        if self.event_life_s < 1:
            raise BadSettings("event_life_s: at least 1")
        if self.generator_url is not None:
            checked_url("generator_url", self.generator_url)


class Alertmanager:
    """Posts notices, and shows the state of the duties."""

    def __init__(self, settings: AlertmanagerSettings) -> None:
        self._settings = settings
        self._poster = Poster(settings)

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def every_us(self) -> int:
        """How often to show the state."""
        return self._settings.every_s * _SECOND

    @property
    def closed_for_us(self) -> int:
        """How long a closed duty is shown as closed: until its last end has passed anyway."""
        return 2 * self._settings.life_s * _SECOND

    def send(self, notice: Notice, now: Instant) -> str:
        """Return the status code, or raise NotDelivered."""
        return self._post(
            [self._alert_of(notice, now)],
            now,
            {"idempotency-key": self._settings.origin.id_of(notice)},
        )

    @property
    def told_for_us(self) -> int:
        """How long an event that was confirmed is posted again."""
        return self._settings.event_life_s * _SECOND

    def show(
        self,
        duties: Sequence[OpenDuty],
        closed: Sequence[ClosedDuty],
        told: Sequence[Told],
        now: Instant,
    ) -> None:
        """Post *duties* as firing, *closed* as ended, *told* as it was; or raise NotDelivered.

        What lasts of *told* goes on as duties do, and ends by itself once it is told no more.
        """
        firing = {_matter(*_name(duty)): self._firing(duty, now) for duty in duties}
        # A duty that is open is never shown as closed, whatever the other list says.
        ended = [self._ended(duty, now) for duty in closed if _matter(*_name(duty)) not in firing]
        events = [self._told(one, now) for one in told if not _is_shown(one, firing)]
        ended += [self._former(duty, one) for duty in duties for one in duty.former]
        alerts = [*firing.values(), *ended, *events]
        for start in range(0, len(alerts), _MOST_AT_ONCE):
            self._post(alerts[start : start + _MOST_AT_ONCE], now, {})

    def _post(self, alerts: Sequence[Alert], now: Instant, headers: dict[str, str]) -> str:
        body = json.dumps(alerts, ensure_ascii=False).encode()
        return self._poster.post(_PATH, body, headers, now)

    def _alert_of(self, notice: Notice, now: Instant) -> Alert:
        if not _is_state(notice):
            return self._event(notice, self._event_end(now))
        return self._event(notice, now if notice.kind is Kind.DUTY_CLOSED else self._end(now))

    def _told(self, told: Told, now: Instant) -> Alert:
        if not told.lasting:
            return self._event(told.notice, self._event_end(told.sent_at))
        # Not by a clock that was ahead: after an acknowledgement it would last for as long.
        end = max(self._event_end(min(told.sent_at, now)), self._end(now))
        return self._event(told.notice, end)

    def _event(self, notice: Notice, end: Instant) -> Alert:
        annotations = self._annotations(words.summary(notice), notice.body, notice.kind)
        labels = _state_labels(notice) if _is_state(notice) else event_labels(notice)
        return self._alert(labels, annotations, notice.created_at, end)

    def _firing(self, duty: OpenDuty, now: Instant) -> Alert:
        said = words.summary_of_duty(duty)
        annotations = self._annotations(said, duty.body, Kind.DUTY_OPENED)
        labels = duty_labels(*_name(duty), duty.again)
        return self._alert(labels, annotations, duty.opened_at, self._end(now))

    def _ended(self, duty: ClosedDuty, now: Instant) -> Alert:
        labels = duty_labels(*_name(duty), duty.again)
        return self._alert(labels, {}, duty.opened_at, min(duty.closed_at, now))

    def _former(self, duty: OpenDuty, again: str | None) -> Alert:
        """Return the end of the alert that *duty* had before it was owed again.

        Alertmanager may tell that after the page: its words must not sound as if nothing were owed.
        It ends long ago, whatever Alertmanager's clock says: ahead of that it would fire.
        """
        labels = duty_labels(*_name(duty), again)
        said = words.shown_elsewhere(duty)
        annotations = {"summary": said.en, "summary_zh": said.zh}
        return self._alert(labels, annotations, duty.opened_at, duty.opened_at)

    def _event_end(self, sent_at: Instant) -> Instant:
        return sent_at + self._settings.event_life_s * _SECOND

    def _end(self, now: Instant) -> Instant:
        return now + self._settings.life_s * _SECOND

    def _annotations(self, said: words.Words, body: Body, kind: Kind) -> dict[str, str]:
        runbook = self._settings.origin.runbook_of(kind)
        return _annotations(said, body) | ({} if runbook is None else {"runbook_url": runbook})

    def _alert(
        self, labels: dict[str, str], annotations: dict[str, str], start: Instant, end: Instant
    ) -> Alert:
        if self._settings.origin.installation is not None:
            labels = {**labels, "installation": self._settings.origin.installation}
        alert: Alert = {
            "labels": labels,
            "annotations": annotations,
            # An alert that ends before it starts is refused, and clocks differ between hosts.
            "startsAt": rfc3339(min(start, end)),
            "endsAt": rfc3339(end),
        }
        if self._settings.generator_url is not None:
            alert["generatorURL"] = self._settings.generator_url
        return alert


def duty_labels(processor: str, rule: str, duty: str, again: str | None = None) -> dict[str, str]:
    """Return what identifies the alert of a duty: the same for its notice and its state.

    *again* is the key of the page that told that it is owed again.
    """
    return {
        "alertname": "FacetallyDutyOpen",
        "processor": processor,
        "rule": rule,
        "duty": duty,
        "severity": Severity.PAGE.value,
        **({} if again is None else {"notice": again}),
    }


def event_labels(notice: Notice) -> dict[str, str]:
    """Return what identifies the alert of one notice; by its key, or two would be taken for one."""
    named = {"processor": notice.processor, "rule": notice.rule, "duty": notice.duty}
    return {
        "alertname": "Facetally" + notice.kind.value.title().replace("_", ""),
        **{name: value for name, value in named.items() if value},
        "severity": notice.severity.value,
        "notice": notice.key,
    }


def _is_state(notice: Notice) -> bool:
    """Tell whether its alert is that of a duty, which is shown anyway."""
    named = bool(notice.processor and notice.rule and notice.duty)
    return named and (notice.kind in _SHOWN_AS_STATE or _pages_again(notice))


def _pages_again(notice: Notice) -> bool:
    return notice.kind in PAGED_AGAIN and notice.severity is Severity.PAGE


def _is_shown(told: Told, firing: Container[_Matter]) -> bool:
    """Tell whether what was told is among the duties that are *firing*, or over with its duty.

    By the routes a channel may be told that a duty is owed again, and not shown it.
    """
    one = told.notice
    if not (told.lasting and _pages_again(one)):
        return _is_state(one)
    return _matter(one.processor or "", one.rule or "", one.duty or "") in firing


def _matter(processor: str, rule: str, duty: str) -> _Matter:
    """Return what stays the same when a duty turns into its legacy row."""
    return processor, family(rule), duty


def _state_labels(notice: Notice) -> dict[str, str]:
    again = notice.key if _pages_again(notice) else None
    return duty_labels(str(notice.processor), str(notice.rule), str(notice.duty), again)


def _name(duty: OpenDuty | ClosedDuty) -> tuple[str, str, str]:
    return duty.processor, duty.rule, duty.duty


def _annotations(said: words.Words, body: Body) -> dict[str, str]:
    facts = {name: words.plain(value) for name, value in body.items() if value is not None}
    described = words.description(body)
    return facts | {
        "summary": said.en,
        "summary_zh": said.zh,
        "description": described.en,
        "description_zh": described.zh,
    }
