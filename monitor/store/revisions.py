"""How often what a duty says has changed, and when it last did, read off the audit log.

The log is append-only, so a number read off it only ever grows, whoever asks and however often:
what a calendar entry needs for its SEQUENCE (RFC 5545 3.8.7.4).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from monitor.facts import Instant
from monitor.filings import family
from monitor.store import schema

_ABOUT_DUTIES: Final = (
    "duty.opened",
    "duty.moved",
    "duty.due_moved",
    "duty.proof_refined",
    "duty.closed",
    "duty.reopened",
)
# Each is news, whatever was said before: what was closed may be closed for another reason.
_ENDS: Final = {"duty.closed", "duty.reopened"}
_SHOWN: Final = ("rule", "trigger_day", "due_day", "due_between", "due_at")
_ACCEPTED: Final = "number.accepted"


class DutyName(NamedTuple):
    """What stays of a duty whatever moves it: *rule* is that of its family, never a legacy row."""

    processor: str
    rule: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """*number* counts changes of the days, ends and reopenings; *at* is the newest entry.

    An end that comes by itself, with a day, has no entry and is not in *number*.
    """

    number: int
    at: Instant
    shown: tuple[object, ...]


def revisions(connection: Connection) -> Mapping[DutyName, Revision]:
    """Return the revision of each duty that is in the audit log."""
    found: dict[DutyName, Revision] = {}
    table = schema.audit.c
    query = select(table.at, table.kind, table.processor, table.body)
    ordered = query.where(table.kind.in_(_ABOUT_DUTIES)).order_by(table.seq)
    for row in connection.execute(ordered, execution_options={"yield_per": 5_000}):
        body = json.loads(row.body)
        said = body.get("after", body)
        if "key" not in said:
            continue  # the step by which a person reopened it; what that did has its own entry
        name = DutyName(row.processor, family(said["rule"]), said["key"])
        found[name] = _after(found.get(name), row.at, row.kind, said)
    return found


def _after(before: Revision | None, at: Instant, kind: str, said: Mapping[str, Any]) -> Revision:
    shown = tuple(said.get(name) for name in _SHOWN)
    if before is None:
        return Revision(number=0, at=at, shown=shown)
    changed = kind in _ENDS or shown != before.shown
    newest = max(before.at, at)  # clocks of several processes
    return replace(before, number=before.number + changed, at=newest, shown=shown)


def accepted_at(connection: Connection) -> Mapping[str, Instant]:
    """Return when a person last accepted a number of each processor."""
    table = schema.audit.c
    query = select(table.processor, func.max(table.at)).where(table.kind == _ACCEPTED)
    found = connection.execute(query.group_by(table.processor))
    return {processor: at for processor, at in found if processor is not None}
