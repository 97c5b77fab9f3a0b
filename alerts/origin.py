"""From which installation a notice is, and where its runbook is read: the same on every channel.

A receiver that hears two installations must not take a notice of one for a repeat of the other's:
keys of notices are made of names, and names are the same in both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from alerts.channel import BadSettings
from alerts.values import Language, Words
from monitor.notices import Kind, Notice

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_BASE: Final = re.compile(r"https?://[^\s\"']+/")
_INSTALLATION: Final = Words("installation: {}", "部署：{}")
_RUNBOOK: Final = Words("what to do: {}", "处理手册：{}")

NEVER_PAGES: Final = frozenset(
    {
        Kind.DUE_SETTLED,
        Kind.DUTY_CLOSED,
        Kind.RESTATEMENT_WAITS,
        Kind.DUTY_CORRECTED,
        Kind.FILING_REFUSED,
        Kind.FILING_WAITING,
        Kind.FACES_REMAIN,
        Kind.CHANGE_PROPOSED,
        Kind.THRESHOLD_APPROACHED,
        Kind.FORECAST_NEAR,
        Kind.SOURCE_HEARD,
        Kind.NUMBER_ACCEPTED,
        Kind.WATCHDOG_HEARD,
        Kind.TEST,
    }
)
"""Notices that are never more than a warning, and have no runbook of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """*runbook_base* is where ``docs/runbooks/`` is published. Raises BadSettings."""

    installation: str | None = None
    runbook_base: str | None = None

    def __post_init__(self) -> None:
        if self.installation is not None and not _NAME.fullmatch(self.installation):
            raise BadSettings("installation: 1 to 63 of a-z 0-9 _ - are allowed")
        if self.runbook_base is not None and not _BASE.fullmatch(self.runbook_base):
            raise BadSettings("runbook_base: must be an http:// or https:// address that ends in /")

    def id_of(self, notice: Notice) -> str:
        """Return what receivers drop repeats by: the key, and whose it is."""
        return notice.key if self.installation is None else f"{self.installation}/{notice.key}"

    def runbook_of(self, kind: Kind) -> str | None:
        """Return the address of what to do about *kind*, if there is any."""
        if self.runbook_base is None or kind in NEVER_PAGES:
            return None
        return f"{self.runbook_base}{kind.value}.md"

    def named(self, kind: Kind) -> dict[str, str]:
        """Return ``installation`` and ``runbook_url``, those that there are."""
        found = {"installation": self.installation, "runbook_url": self.runbook_of(kind)}
        return {name: value for name, value in found.items() if value is not None}

    def lines(self, kind: Kind, language: Language) -> list[str]:
        """Return the same as lines of a message."""
        found = ((_INSTALLATION, self.installation), (_RUNBOOK, self.runbook_of(kind)))
        return [form.in_(language).format(value) for form, value in found if value is not None]


NOWHERE: Final = Origin()
"""Of an installation that is the only one, and has published no runbooks."""
