"""A channel that tells people something, each notice in the language of the route that takes it."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from alerts.channel import Channel
from alerts.routing import Routing
from alerts.values import Language
from monitor.facts import Instant
from monitor.notices import Kind, Notice


class Speaker(Channel, Protocol):
    """A channel that says a notice in one language of several; ``send`` does in its own."""

    def send_in(self, language: Language, notice: Notice, now: Instant) -> str:
        """Deliver *notice* in *language*, as ``send``."""


class Speaking:
    """*channel*, with the languages of *routing*; where a route names none, with its own."""

    def __init__(self, channel: Speaker, routing: Routing) -> None:
        self._channel, self._routing = channel, routing

    @property
    def name(self) -> str:
        return self._channel.name

    def send(self, notice: Notice, now: Instant) -> str:
        """Deliver *notice*; see the channel. A step of an escalation speaks as its page did."""
        language = self._routing.language(_page_of(notice), self.name)
        if language is None:
            return self._channel.send(notice, now)
        return self._channel.send_in(language, notice, now)


def _page_of(notice: Notice) -> Notice:
    kind = notice.body.get("escalated_kind")
    known = notice.kind is Kind.ESCALATED and kind in set(Kind)
    return replace(notice, kind=Kind(str(kind))) if known else notice
