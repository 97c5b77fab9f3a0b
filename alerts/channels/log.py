"""The process's own log: one JSON line for each notice. Always there, and wakes nobody."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Final

from alerts import words
from alerts.channel import checked_name
from alerts.channels.http import rfc3339
from monitor.facts import Instant
from monitor.notices import Notice, Severity

log = logging.getLogger("facetally.notices")

_LEVELS: Final = {
    Severity.PAGE: logging.ERROR,
    Severity.WARNING: logging.WARNING,
    Severity.INFO: logging.INFO,
}
# JSON allows these in a text, yet some readers of logs break the line there.
_BREAKS: Final = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x7f\x85\u2028\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """Raises BadSettings."""

    name: str = "log"

    def __post_init__(self) -> None:
        checked_name(self.name)


class Log:
    """Writes to the logger ``facetally.notices``: pages as errors, the rest by severity."""

    def __init__(self, settings: LogSettings | None = None) -> None:
        self._name = (settings or LogSettings()).name

    @property
    def name(self) -> str:
        return self._name

    def send(self, notice: Notice, now: Instant) -> str:  # noqa: ARG002 - of the protocol
        """Return ``logged``."""
        log.log(_LEVELS[notice.severity], "notice %s", line(notice))
        return "logged"


def line(notice: Notice) -> str:
    """Return *notice* as JSON on one line."""
    content = {
        "key": notice.key,
        "kind": notice.kind,
        "severity": notice.severity,
        "processor": notice.processor,
        "rule": notice.rule,
        "duty": notice.duty,
        "created_at": rfc3339(notice.created_at),
        "summary": words.summary(notice).en,
        "facts": dict(notice.body),
    }
    return json.dumps(content, ensure_ascii=False).translate(_BREAKS)
