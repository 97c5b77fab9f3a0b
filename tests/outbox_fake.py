"""An outbox in a small SQLite file: the protocol once more, for the tests of the senders.

A file and not memory, so that a process can be killed over it. As good as ``outbox_contract.py``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monitor.facts import Instant
from monitor.notices import (
    NEWS_OF_DUTIES,
    NEWS_OF_PAGES,
    NOBODY_NAMED,
    NOT_ROUTED,
    Claim,
    ClosedDuty,
    Delivery,
    Kind,
    Notice,
    OpenDuty,
    Reached,
    Severity,
    Skip,
    Told,
    Waiting,
    body_from,
    body_text,
)

_TABLES = """
CREATE TABLE IF NOT EXISTS notice (
    key TEXT PRIMARY KEY, kind TEXT NOT NULL, severity TEXT NOT NULL,
    processor TEXT, rule TEXT, duty TEXT, created_at INTEGER NOT NULL, body TEXT NOT NULL,
    only_on TEXT);
CREATE TABLE IF NOT EXISTS notice_channel (
    name TEXT PRIMARY KEY, since INTEGER NOT NULL, known INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS notice_delivery (
    key TEXT NOT NULL REFERENCES notice, channel TEXT NOT NULL, attempts INTEGER NOT NULL,
    not_before INTEGER NOT NULL, claimed_at INTEGER, sent_at INTEGER, said TEXT, skipped_at INTEGER,
    PRIMARY KEY (key, channel));
CREATE TABLE IF NOT EXISTS duty (
    processor TEXT, rule TEXT, duty TEXT, opened_at INTEGER NOT NULL, closed_at INTEGER,
    body TEXT NOT NULL, PRIMARY KEY (processor, rule, duty));
CREATE TABLE IF NOT EXISTS heard (key TEXT PRIMARY KEY);
"""

_OVER = """
(EXISTS (SELECT 1 FROM heard h WHERE h.key = n.key)
OR n.severity = 'page' AND n.kind = 'duty_opened' AND EXISTS (SELECT 1 FROM duty
    WHERE (duty.processor, duty.rule, duty.duty) = (n.processor, n.rule, n.duty)
    AND duty.closed_at IS NOT NULL))
"""

_OWE = f"""
INSERT INTO notice_delivery (key, channel, attempts, not_before, skipped_at, said)
SELECT n.key, c.name, 0, 0, iif({_OVER}, :now, NULL), iif({_OVER}, 'over', NULL)
FROM notice n CROSS JOIN notice_channel c
WHERE c.known AND (n.only_on IS NULL OR n.only_on = c.name) AND (
    n.created_at >= c.since
    OR n.duty IS NOT NULL AND n.created_at >= c.since - :duties
    OR NOT EXISTS (SELECT 1 FROM notice_delivery d WHERE d.key = n.key AND d.sent_at IS NOT NULL)
    OR n.severity = 'page' AND NOT EXISTS (SELECT 1 FROM heard h WHERE h.key = n.key) AND (
        n.created_at >= c.since - :pages
        OR EXISTS (SELECT 1 FROM notice_delivery d JOIN notice_channel gone ON gone.name = d.channel
            WHERE d.key = n.key AND d.sent_at IS NULL AND d.skipped_at IS NULL AND NOT gone.known)))
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants

_SETTLE = f"""
UPDATE notice_delivery SET skipped_at = :now, said = 'over'
WHERE channel = :channel AND sent_at IS NULL AND skipped_at IS NULL
AND key IN (SELECT n.key FROM notice n WHERE {_OVER})
"""  # noqa: S608 - constants

_AGAIN = """
(SELECT json_group_array(key) FROM (SELECT key FROM notice n
    WHERE (n.processor, n.rule, n.duty) = (duty.processor, duty.rule, duty.duty)
    AND n.severity = 'page' AND n.kind IN ('duty_reopened', 'filing_step')
    ORDER BY n.rowid))
"""

_NEWS = {"duties": NEWS_OF_DUTIES, "pages": NEWS_OF_PAGES}

_DUE = """
SELECT d.attempts, n.*
FROM notice_delivery d JOIN notice n USING (key) JOIN notice_channel c ON c.name = d.channel
WHERE c.known AND d.channel = :channel AND d.sent_at IS NULL AND d.skipped_at IS NULL
AND (d.not_before <= :now OR d.claimed_at > :ahead)
ORDER BY CASE n.severity WHEN 'page' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END,
CASE WHEN d.attempts = 0 THEN n.created_at ELSE d.not_before END, n.created_at, d.key
LIMIT 1
"""

_WAITING = """
SELECT d.channel, count(*), sum(d.said IS NOT NULL), min(n.created_at)
FROM notice_delivery d JOIN notice n USING (key) JOIN notice_channel c ON c.name = d.channel
WHERE c.known AND d.sent_at IS NULL AND d.skipped_at IS NULL GROUP BY d.channel ORDER BY d.channel
"""


class SqliteOutbox:
    """``monitor.notices.Outbox`` and the hand that writes into it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._begin() as database:
            for statement in filter(str.strip, _TABLES.split(";")):
                database.execute(statement)

    def put(self, notice: Notice) -> None:
        names = (notice.processor, notice.rule, notice.duty)
        row = (notice.key, notice.kind, notice.severity, *names, notice.created_at)
        with self._begin() as database:
            database.execute(
                "INSERT INTO notice VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*row, body_text(notice.body), notice.channel),
            )
            database.execute(_OWE, {"now": notice.created_at, **_NEWS})

    def acknowledge(self, key: str, now: Instant) -> None:  # noqa: ARG002 - when is of the real one
        with self._begin() as database:
            database.execute("INSERT INTO heard VALUES (?) ON CONFLICT DO NOTHING", (key,))

    def open_duty(self, duty: OpenDuty) -> None:
        row = (duty.processor, duty.rule, duty.duty, duty.opened_at, body_text(duty.body))
        with self._begin() as database:
            database.execute("INSERT INTO duty VALUES (?, ?, ?, ?, NULL, ?)", row)

    def close_duty(self, duty: OpenDuty, closed_at: Instant) -> None:
        which = (duty.processor, duty.rule, duty.duty)
        with self._begin() as database:
            database.execute(
                "UPDATE duty SET closed_at = ? WHERE (processor, rule, duty) = (?, ?, ?)",
                (closed_at, *which),
            )

    def reopen_duty(self, duty: OpenDuty) -> None:
        which = (duty.processor, duty.rule, duty.duty)
        with self._begin() as database:
            database.execute(
                "UPDATE duty SET closed_at = NULL WHERE (processor, rule, duty) = (?, ?, ?)", which
            )

    def delivery(self, key: str, channel: str) -> Delivery | None:
        columns = "key, channel, attempts, not_before, sent_at"
        with self._begin() as database:
            found = database.execute(
                f"SELECT {columns} FROM notice_delivery WHERE (key, channel) = (?, ?)",  # noqa: S608 - constant
                (key, channel),
            ).fetchone()
        return None if found is None else Delivery(*found)

    def ensure(self, channels: Sequence[str], now: Instant) -> None:
        with self._begin() as database:
            known = {
                name for (name,) in database.execute("SELECT name FROM notice_channel WHERE known")
            }
            database.execute("UPDATE notice_channel SET known = 0")
            for name in channels:
                database.execute(
                    "INSERT INTO notice_channel VALUES (?, ?, 1)"
                    " ON CONFLICT (name) DO UPDATE SET known = 1, since = iif(?, since, ?)",
                    (name, now, name in known, now),
                )
                if name not in known:
                    database.execute(_SETTLE, {"now": now, "channel": name})
            database.execute(_OWE, {"now": now, **_NEWS})

    def claim(self, channel: str, now: Instant, lease_us: int) -> Claim | None:
        with self._begin() as database:
            limits = {"now": now, "ahead": now + lease_us}
            found = database.execute(_DUE, {"channel": channel, **limits}).fetchone()
            if found is None:
                return None
            attempts, *row = found
            key = row[0]
            database.execute(
                "UPDATE notice_delivery SET attempts = attempts + 1, claimed_at = ?,"
                " not_before = ? WHERE (key, channel) = (?, ?)",
                (now, now + lease_us, key, channel),
            )
        told = _notice(row)
        return Claim(told, channel, attempts + 1)

    def sent(self, claim: Claim, now: Instant, answer: str, to: Reached = NOBODY_NAMED) -> None:  # noqa: ARG002 - evidence is of the real one
        with self._begin() as database:
            database.execute(
                "UPDATE notice_delivery SET sent_at = ?, said = ?, skipped_at = NULL"
                " WHERE (key, channel) = (?, ?) AND sent_at IS NULL",
                (now, answer, claim.notice.key, claim.channel),
            )

    def failed(self, claim: Claim, again_at: Instant, error: str) -> None:
        with self._begin() as database:
            database.execute(
                "UPDATE notice_delivery SET not_before = ?, said = ?"
                " WHERE (key, channel, attempts) = (?, ?, ?) AND sent_at IS NULL",
                (again_at, error, claim.notice.key, claim.channel, claim.attempts),
            )

    def skipped(self, claim: Claim, now: Instant, skip: Skip) -> bool:
        with self._begin() as database:
            others = {
                channel: (sent_at is not None, said if skipped_at is not None else None)
                for channel, sent_at, said, skipped_at in database.execute(
                    "SELECT d.channel, d.sent_at, d.said, d.skipped_at FROM notice_delivery d"
                    " JOIN notice_channel c ON c.name = d.channel"
                    " WHERE d.key = ? AND d.channel <> ? AND (c.known OR d.sent_at IS NOT NULL)",
                    (claim.notice.key, claim.channel),
                )
            }
            passed = {name for name, (_, why) in others.items() if why == NOT_ROUTED.why}
            held = bool(others.keys() - passed)
            again = passed & skip.instead
            for name in again:
                database.execute(
                    "UPDATE notice_delivery SET skipped_at = NULL, not_before = 0"
                    " WHERE (key, channel) = (?, ?)",
                    (claim.notice.key, name),
                )
            relies = claim.attempts <= 3 if again else held
            if skip.instead and not relies:
                return False
            database.execute(
                "UPDATE notice_delivery SET skipped_at = ?, said = ? WHERE (key, channel) = (?, ?)"
                " AND sent_at IS NULL AND skipped_at IS NULL",
                (now, skip.why, claim.notice.key, claim.channel),
            )
        return True

    def open_duties(self) -> Sequence[OpenDuty]:
        with self._begin() as database:
            found = database.execute(
                f"SELECT processor, rule, duty, opened_at, body, {_AGAIN} FROM duty"  # noqa: S608 - constants
                " WHERE closed_at IS NULL"
            ).fetchall()
        return [
            OpenDuty(
                processor=who,
                rule=rule,
                duty=duty,
                opened_at=at,
                body=body_from(body),
                again=pages[-1],
                former=pages[:-1],
            )
            for who, rule, duty, at, body, again in found
            for pages in [(None, *json.loads(again))]
        ]

    def closed_duties_since(self, since: Instant) -> Sequence[ClosedDuty]:
        with self._begin() as database:
            found = database.execute(
                f"SELECT processor, rule, duty, opened_at, closed_at, {_AGAIN} FROM duty"  # noqa: S608 - constants
                " WHERE closed_at >= ?",
                (since,),
            ).fetchall()
        return [
            ClosedDuty(who, rule, duty, opened, closed, (None, *json.loads(again))[-1])
            for who, rule, duty, opened, closed, again in found
        ]

    def told_since(self, channel: str, since: Instant, until: Instant) -> Sequence[Told]:
        with self._begin() as database:
            found = database.execute(
                "SELECT d.sent_at, n.* FROM notice_delivery d JOIN notice n USING (key)"
                " WHERE d.channel = ? AND d.sent_at > ? AND d.sent_at <= ? ORDER BY d.sent_at",
                (channel, since, until),
            ).fetchall()
        return [Told(_notice(row), sent_at) for sent_at, *row in found]

    def waiting(self) -> Sequence[Waiting]:
        with self._begin() as database:
            return [Waiting(*row) for row in database.execute(_WAITING).fetchall()]

    @contextmanager
    def _begin(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        try:
            # Safe when a process is killed, which is all that is tried here.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN IMMEDIATE")
            yield database
            database.execute("COMMIT")
        finally:
            database.close()  # rolls back what was not committed


def _notice(row: Sequence[Any]) -> Notice:
    key, kind, severity, processor, rule, duty, created_at, body, channel = row
    return Notice(
        key=key,
        kind=Kind(kind),
        severity=Severity(severity),
        processor=processor,
        rule=rule,
        duty=duty,
        created_at=created_at,
        body=body_from(body),
        channel=channel,
    )
