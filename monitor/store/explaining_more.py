"""``facetally explain`` of a duty and of a number: the facts, entries and marks that made it.

Facts are shown without whom they are about: kind, place, version, instants.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from monitor.chain import Entry
from monitor.duties import Duty
from monitor.facts import Instant, Version
from monitor.ledger import Stock
from monitor.marks import Marks, SystemMark
from monitor.store import audit, book, owing, schema
from monitor.store.names import Names
from monitor.store.sweeping import sweep
from monitor.store.trust import Trust, topics_of
from monitor.trust import Sources, Why

_MOST = 20  # facts of one instant
_b = schema.book.c


class NothingToExplain(ValueError):
    """There is no such processor or duty; the message says which there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact without its subject."""

    what: str
    at: Instant
    known_at: Instant
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyExplained:
    """A duty, the facts of its trigger's instant (the first ones), and its audit entries."""

    duty: Duty
    facts: Sequence[Fact]
    more_facts: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberExplained:
    """A number as of an instant, and how many facts of each kind it was folded from."""

    processor: str
    as_of: Instant
    stock: Stock
    marks: Sequence[SystemMark]
    facts: Mapping[str, int]
    newest_at: Instant | None
    known_at: Instant | None
    topics: Sequence[str]
    unverified: Sequence[Why]
    audit_entries: int
    audit_head: str


def explain_duty(
    connection: Connection, processor: str, rule: str, key: str | None
) -> DutyExplained:
    """Return what made the duty of *processor* under *rule*; without *key* the newest one."""
    names = Names.load(connection)
    _check(names, processor)
    mine = [schema.duties.c.processor_id == names.processor_ids[processor]]
    duties = [duty for _, duty in owing.read_duties(connection, names, mine)]
    wanted = [duty for duty in duties if duty.rule == rule and key in {None, duty.key}]
    if not wanted:
        known = ", ".join(f"{duty.rule}:{duty.key}" for duty in duties) or "none"
        raise NothingToExplain(f"{processor!r} has no such duty; there are {known}")
    duty = wanted[-1]
    of_instant = book.entries(
        connection,
        names,
        _b.processor_id == names.processor_ids[processor],
        _b.at == duty.trigger_at,
    )
    return DutyExplained(
        duty=duty,
        facts=[
            Fact(what=_what(fact), at=fact.at, known_at=known_at, version=fact.version)
            for _, known_at, fact in of_instant[:_MOST]
        ],
        more_facts=max(0, len(of_instant) - _MOST),
        entries=[entry for entry in audit.entries(connection) if _is_about(entry, duty)],
    )


def explain_number(
    connection: Connection,
    processor: str,
    marks: Marks,
    sources: Sources,
    *,
    as_of: Instant,
    now: Instant,
) -> NumberExplained:
    """Return what the number of *processor* as of *as_of* is folded from.

    Raises NothingToExplain.
    """
    names = Names.load(connection)
    _check(names, processor)
    number = names.processor_ids[processor]
    swept = sweep(connection, names, {processor: ()}, marks.research, until=as_of)[processor]
    of_then = (_b.processor_id == number, _b.at <= as_of)
    query = select(_b.kind, func.count()).where(*of_then).group_by(_b.kind)
    counts = {book.kind_name(kind): count for kind, count in connection.execute(query)}
    newest = connection.execute(select(func.max(_b.at), func.max(_b.known_at)).where(*of_then))
    newest_at, known_at = newest.one()
    entries, head = audit.head(connection)
    return NumberExplained(
        processor=processor,
        as_of=as_of,
        stock=swept.stock,
        marks=[one for one in marks.rows if one.processor == processor and one.research],
        facts=dict(sorted(counts.items())),
        newest_at=newest_at,
        known_at=known_at,
        topics=sorted(topics_of(connection, names, processor)),
        unverified=Trust(connection, names, sources, now).against(processor),
        audit_entries=entries,
        audit_head=head,
    )


def _check(names: Names, processor: str) -> None:
    if processor not in names.processor_ids:
        raise NothingToExplain(f"there is no processor {processor!r} in the database")


def _what(fact: Any) -> str:  # noqa: ANN401 - any fact of storage
    place = getattr(fact, "place", None)
    where = place if place is not None else fact
    named = (getattr(where, "system", None), getattr(where, "gallery", None))
    there = "/".join(filter(None, named))
    return type(fact).__name__ + (f" in {there}" if there else "")


def _is_about(entry: Entry, duty: Duty) -> bool:
    """Tell whether *entry* names the duty, as it is or as it was before it moved."""
    if entry.processor != duty.processor:
        return False
    body = json.loads(entry.body)
    said = [body, *(body.get(part) for part in ("duty", "before", "after"))]
    family = {duty.rule, duty.rule.removesuffix(".legacy"), f"{duty.rule}.legacy"}
    return any(
        isinstance(one, dict) and one.get("rule") in family and one.get("key") == duty.key
        for one in said
    )
