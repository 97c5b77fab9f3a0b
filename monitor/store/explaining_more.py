"""``facetally explain`` of a number: the facts and marks that made it, without whom they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from monitor.facts import Instant
from monitor.ledger import Stock
from monitor.marks import Marks, SystemMark
from monitor.store import audit, book, schema
from monitor.store.names import Names
from monitor.store.sweeping import sweep
from monitor.store.trust import Trust, topics_of
from monitor.trust import Sources, Why

_b = schema.book.c


class NothingToExplain(ValueError):
    """There is no such processor or duty; the message says which there are."""


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
    check_known(names, processor)
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


def check_known(names: Names, processor: str) -> None:
    """Raise NothingToExplain for a processor that the database does not know."""
    if processor not in names.processor_ids:
        raise NothingToExplain(f"there is no processor {processor!r} in the database")
