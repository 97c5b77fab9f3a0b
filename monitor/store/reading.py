"""What the database knows, as plain values for ``status``, ``duties`` and their kin.

Every function reads within the caller's transaction (``engine.reading``), so that all numbers of
one answer are of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sqlalchemy import Connection, func, select

from monitor.facts import Instant
from monitor.history import as_of, look_back
from monitor.ledger import Stock
from monitor.marks import Marks
from monitor.rules import Rule, stock_rules
from monitor.store import book, positions, schema, snapshots, stock
from monitor.store.looking import topics_of
from monitor.store.names import Names
from monitor.store.watches import Reach, Watches


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason for which a number is not verified, since when, and by which topic."""

    reason: str
    topic: str
    since: Instant


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the settings say of where numbers come from.

    *incomplete* topics do not begin at the beginning. *feeding* names the configured topics that
    can feed a processor; a snapshot is over when it has been read from all of them.
    """

    incomplete: frozenset[str] = frozenset()
    feeding: Callable[[str], Iterable[str]] | None = None


def status(
    connection: Connection,
    rules: Iterable[Rule],
    sources: Sources | None = None,
) -> Status:
    """Return what is so now."""
    names = Names.load(connection)
    stocks = stock.read(connection, names)
    everyone = sorted(names.processor_ids)
    watches = Watches(connection, names, stock_rules(rules), everyone)
    known = snapshots.read(connection)
    said = sources or Sources()
    return Status(
        processors=tuple(
            _one(connection, names, watches, name, stocks.get(name, Stock()), known, said)
            for name in everyone
        ),
        rejected=rejected(connection),
        ignored={row.reason: row.records for row in connection.execute(select(schema.ignored))},
    )


def status_as_of(
    connection: Connection,
    rules: Iterable[Rule],
    marks: Marks,
    instant: Instant,
    sources: Sources | None = None,
) -> Status:
    """Return the numbers as of *instant*: the fold of the facts that had happened by then.

    Thresholds are those reached by *instant*, by the facts known now; a reach is pending if it is
    not confirmed today.
    """
    now = status(connection, rules, sources)
    names = Names.load(connection)
    found = []
    for one in now.processors:
        facts = list(book.read(connection, names, [one.processor]))
        stocks = as_of(facts, instant, marks.research).stock
        wanted = [(threshold.at_least, None) for threshold in one.thresholds]
        known = [fact for fact in facts if fact.at <= instant]
        history = look_back(known, one.processor, wanted, marks.research)
        found.append(
            replace(
                one,
                stock=stocks.get(one.processor, Stock()),
                thresholds=tuple(
                    threshold
                    if history.reaches[threshold.at_least] is not None
                    else replace(threshold, reach=threshold.reach.found(None, instant))
                    for threshold in one.thresholds
                ),
            )
        )
    return replace(now, processors=tuple(found))


def _one(
    connection: Connection,
    names: Names,
    watches: Watches,
    processor: str,
    counted: Stock,
    known: dict[tuple[str, str], snapshots.Known],
    sources: Sources,
) -> ProcessorStatus:
    topics = topics_of(connection, names, processor)
    bounds = [snapshots.bounded_until(known, topic) for topic in topics]
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
        unverified=tuple(_reasons(connection, names, processor, topics, known, sources)),
        recount_pending=watches.watch[processor].recount_due,
    )


def _reasons(
    connection: Connection,
    names: Names,
    processor: str,
    topics: Iterable[str],
    known: dict[tuple[str, str], snapshots.Known],
    sources: Sources,
) -> list[Why]:
    table = schema.unverified
    rows = connection.execute(
        select(table).where(table.c.processor_id == names.processor_ids[processor])
    )
    reasons = [Why(reason=row.reason, topic=row.topic, since=row.since) for row in rows]
    unfinished = snapshots.unfinished(known)
    for topic in sorted(topics):
        if topic in sources.incomplete:
            reasons.append(Why(reason="source_incomplete", topic=topic, since=0))
        elif topic in unfinished:
            since = max(one.row_until or 0 for (_, of), one in known.items() if of == topic)
            reasons.append(Why(reason="snapshot_running", topic=topic, since=since))
        else:
            reasons += _unread(connection, processor, topic, known, sources)
    return reasons


def _unread(
    connection: Connection,
    processor: str,
    topic: str,
    known: dict[tuple[str, str], snapshots.Known],
    sources: Sources,
) -> list[Why]:
    """Say so if a snapshot is over, but partitions that can hold rows of it are not read so far.

    One partition tells that it was over; another one may lag. Files have no partitions to wait for.
    """
    over = snapshots.ended(known, topic)
    if over is None or sources.feeding is None or not positions.is_read(connection, topic):
        return []
    row_until, seen_at = over
    if positions.all_passed(connection, sources.feeding(processor), row_until, seen_at):
        return []
    return [Why(reason="snapshot_running", topic=topic, since=row_until)]


def rejected(connection: Connection) -> dict[str, int]:
    """Return how many records are set aside, by reason."""
    table = schema.rejects
    number = func.count().label("number")
    query = select(table.c.reason, number).group_by(table.c.reason).order_by(table.c.reason)
    return {row.reason: row.number for row in connection.execute(query)}
