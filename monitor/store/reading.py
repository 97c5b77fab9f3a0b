"""What the database knows, as plain values for ``status``, ``duties`` and their kin.

Every function reads within the caller's transaction (``engine.reading``), so that all numbers of
one answer are of one moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from monitor.facts import Instant
from monitor.ledger import Stock
from monitor.rules import Rule, stock_rules
from monitor.store import schema, snapshots, stock
from monitor.store.names import Names
from monitor.store.trust import Trust
from monitor.store.watches import Reach, Watches
from monitor.trust import Sources, Why


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdStatus:
    """How one stock rule stands; *not_later_than*: the trigger day is only an upper bound."""

    rule: str
    at_least: int
    reach: Reach
    not_later_than: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorStatus:
    """The numbers of one processor, and how far they can be trusted."""

    processor: str
    stock: Stock
    thresholds: tuple[ThresholdStatus, ...]
    unverified: tuple[Why, ...]
    recount_pending: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything that ``status`` shows."""

    processors: tuple[ProcessorStatus, ...]
    rejected: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, int] = field(default_factory=dict)


def status(
    connection: Connection,
    rules: Iterable[Rule],
    sources: Sources | None = None,
    now: Instant | None = None,
) -> Status:
    """Return what is so now; without *now* no source is silent."""
    names = Names.load(connection)
    stocks = stock.read(connection, names)
    everyone = sorted(names.processor_ids)
    watches = Watches(connection, names, stock_rules(rules), everyone)
    trust = Trust(connection, names, sources, now)
    return Status(
        processors=tuple(
            _one(watches, name, stocks.get(name, Stock()), trust) for name in everyone
        ),
        rejected=rejected(connection),
        ignored={row.reason: row.records for row in connection.execute(select(schema.ignored))},
    )


def _one(watches: Watches, processor: str, counted: Stock, trust: Trust) -> ProcessorStatus:
    topics = trust.topics(processor)
    bounds = [snapshots.bounded_until(trust.known, topic) for topic in topics]
    thresholds = []
    for rule_id, reach in sorted(watches.reaches[processor].items()):
        at = reach.trigger_at
        bounded = at is not None and any(bound is not None and at <= bound for bound in bounds)
        thresholds.append(
            ThresholdStatus(
                rule=rule_id, at_least=reach.at_least, reach=reach, not_later_than=bounded
            )
        )
    return ProcessorStatus(
        processor=processor,
        stock=counted,
        thresholds=tuple(thresholds),
        unverified=trust.against(processor),
        recount_pending=watches.watch[processor].recount_due,
    )


def rejected(connection: Connection) -> dict[str, int]:
    """Return how many records are set aside, by reason."""
    table = schema.rejects
    number = func.count().label("number")
    query = select(table.c.reason, number).group_by(table.c.reason).order_by(table.c.reason)
    return {row.reason: row.number for row in connection.execute(query)}
