"""What a worker says whose settings do not hold any more: to the log at once, later by a page.

It keeps and confirms nothing (``agreement.py``), but it still holds its partitions. To restart
one worker after the other takes its time; of one that is left over somebody has to know.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, Engine, func, select

from monitor.agreeing import Agreed
from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import agreement, owing, schema
from monitor.store.agreement import SettingsReplaced
from monitor.store.engine import reading

log = logging.getLogger(__name__)

_SAY_AGAIN: Instant = 60 * 1_000_000


class Overtaken:
    """Looks whether *ours* still hold, and pages once if they have not for *patience*."""

    def __init__(self, ours: Agreed, patience: Instant) -> None:
        self._ours, self._patience = ours, patience
        self._since: Instant | None = None
        self._said_at: Instant | None = None
        self._paged = False

    def look(self, engine: Engine, now: Instant) -> None:
        """Raise SettingsReplaced if other settings hold, and say so."""
        try:
            with reading(engine) as connection:
                agreement.check(connection, self._ours)
        except SettingsReplaced as replaced:
            self._say(engine, str(replaced), now)
            raise
        self._since, self._said_at, self._paged = None, None, False

    def _say(self, engine: Engine, text: str, now: Instant) -> None:
        if self._said_at is None or not 0 <= now - self._said_at < _SAY_AGAIN:
            self._said_at = now
            log.error("%s", text)
        if self._since is None or self._since > now:
            self._since = now
        if now - self._since >= self._patience and not self._paged:
            with engine.begin() as connection:
                self._page(connection, now)
            self._paged = True

    def _page(self, connection: Connection, now: Instant) -> None:
        """Page, once for each change of settings and each other settings that somebody has."""
        known = agreement.registered(connection)
        if known is None or known == self._ours:
            return
        changes = schema.audit.c.kind == agreement.CHANGED
        latest = connection.scalar(select(func.max(schema.audit.c.seq)).where(changes))
        notice = Notice(
            key=key_of(Kind.SETTINGS_REPLACED, self._ours.fingerprint, str(latest)),
            kind=Kind.SETTINGS_REPLACED,
            severity=Severity.PAGE,
            created_at=now,
            body={"differs": agreement.named(known.after(self._ours))},
        )
        owing.note(connection, notice, "settings.replaced")
