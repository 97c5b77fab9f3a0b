"""Behind ``facetally verify``: who answered, what was muted and skipped, against the audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from monitor.store import acknowledging, audit, ending, muted, schema
from monitor.store.channels import SKIPPED

_n, _d = schema.notices.c, schema.deliveries.c
_Said: TypeAlias = tuple[object, ...]
_END = (muted.ENDED, muted.EXPIRED)


def answered_wrong(connection: Connection) -> list[str]:
    """Return which acknowledgements, ends of pages, silences and skips are not as the log says."""
    said = _fold(connection)
    there = {
        "acknowledgement": _acknowledged(connection),
        "page that is over": _over(connection),
        "silence": _silences(connection),
        "skipped delivery": _skipped(connection),
    }
    return sorted(
        f"{what} {' '.join(map(str, key))} (not as the audit log says)"
        for what, rows in there.items()
        for key in rows.keys() | said[what].keys()
        if rows.get(key) != said[what].get(key)
    )


def _fold(connection: Connection) -> Mapping[str, dict[_Said, _Said]]:
    acks: dict[_Said, _Said] = {}
    over: dict[_Said, _Said] = {}
    silences: dict[_Said, _Said] = {}
    skipped: dict[_Said, _Said] = {}
    for entry in audit.entries(connection):
        body: dict[str, Any] = json.loads(entry.body) if entry.kind in _KINDS else {}
        where = (body.get("notice"), body.get("channel"))
        if entry.kind == acknowledging.ENTRY:
            acks[body["notice"],] = (entry.at, body["by"], body["how"], body["reason"])
        elif entry.kind == ending.ENTRY:
            over[body["notice"],] = (entry.at,)
        elif entry.kind == muted.ADDED:
            silences[body["silence"],] = (
                entry.at,
                *(body[name] for name in _OF_SILENCE),
                None,
                None,
            )
        elif entry.kind in _END and (body["silence"],) in silences:
            begun = silences[body["silence"],]
            silences[body["silence"],] = (*begun[:-2], entry.at, body["by"])
        elif entry.kind == SKIPPED:
            skipped[where] = (entry.at, body["why"], body.get("silence"))
        elif entry.kind in {muted.OWED_AGAIN, "notice.sent"}:
            skipped.pop(where, None)
    return {
        "acknowledgement": acks,
        "page that is over": over,
        "silence": silences,
        "skipped delivery": skipped,
    }


_KINDS = frozenset(
    {
        acknowledging.ENTRY,
        ending.ENTRY,
        muted.ADDED,
        *_END,
        SKIPPED,
        muted.OWED_AGAIN,
        "notice.sent",
    }
)
_OF_SILENCE = ("until", "by", "reason", "processor", "rule", "kind", "severity")


def _acknowledged(connection: Connection) -> Mapping[_Said, _Said]:
    table = schema.acknowledgements
    query = select(_n.key, table).join(table, table.c.notice_id == _n.id)
    return {(row.key,): (row.at, row.by, row.how, row.reason) for row in connection.execute(query)}


def _over(connection: Connection) -> Mapping[_Said, _Said]:
    table = schema.pages_over
    query = select(_n.key, table.c.at).join(table, table.c.notice_id == _n.id)
    return {(row.key,): (row.at,) for row in connection.execute(query)}


def _silences(connection: Connection) -> Mapping[_Said, _Said]:
    return dict(_described(connection))


def _described(connection: Connection) -> Iterator[tuple[_Said, _Said]]:
    for row in connection.execute(select(schema.silences)):
        made = tuple(getattr(row, name) for name in _OF_SILENCE)
        yield (row.id,), (row.made_at, *made, row.ended_at, row.ended_by)


def _skipped(connection: Connection) -> Mapping[_Said, _Said]:
    query = (
        select(_n.key, _d.channel, _d.skipped_at, _d.skipped, _d.silence)
        .join(schema.deliveries, _d.notice_id == _n.id)
        .where(_d.skipped_at.is_not(None))
    )
    return {
        (row.key, row.channel): (row.skipped_at, row.skipped, row.silence)
        for row in connection.execute(query)
    }
