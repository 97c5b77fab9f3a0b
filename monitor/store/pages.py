"""Pages until somebody acknowledges them: which are open, since when, and the steps told of them.

A step is a notice for one channel, whose key is the whole state of it: written once, by whoever
comes first. ``pages`` has since when a page counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity
from monitor.store import owing, schema
from monitor.store.engine import is_sqlite, reading
from monitor.store.over import not_over
from monitor.store.owing import notice_of

NEWS: Final = 3 * 24 * 3600 * 1_000_000
"""How old a page may be when it is first seen, unless a duty that is owed speaks for it."""

BROKEN_AFTER: Final = 5 * 60 * 1_000_000
"""How long a channel has failed when nobody behind it counts as told."""

ESCALATED: Final = "page.escalated"

_SOME: Final = 500
_n, _d, _c = schema.notices.c, schema.deliveries.c, schema.channels.c
_p, _a = schema.pages.c, schema.acknowledgements.c


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPage:
    """A notice that nobody has acknowledged, and whose matter is not over.

    *since* is what is kept of when it began to count, None before anybody noted that. *told* are
    the channels that have it, are owed it, or are muted: each with when it was delivered, or None.
    Of *untried* channels nobody has tried it yet.
    """

    number: int
    notice: Notice
    since: Instant | None
    told: Mapping[str, Instant | None]
    untried: frozenset[str]

    def age_from(self, now: Instant) -> Instant:
        """Return since when it counts: never after *now*, whatever clock wrote it."""
        return min(self.notice.created_at if self.since is None else self.since, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """The channels that are *known* and owed notices, and those of them that are *broken*."""

    known: frozenset[str]
    broken: frozenset[str]


class Pages:
    """Open pages over *engine*, for several processes at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open_pages(self, severities: Collection[Severity], now: Instant) -> list[OpenPage]:
        """Return the open pages of *severities*, oldest first."""
        with reading(self._engine) as connection:
            return open_pages(connection, severities, now)

    def channels(self, now: Instant) -> Channels:
        """Return which channels there are, and which have failed for ``BROKEN_AFTER``."""
        with reading(self._engine) as connection:
            known = frozenset(connection.scalars(select(_c.channel).where(_c.active)))
            return Channels(known=known, broken=broken(connection, now))

    def note(self, since: Mapping[int, Instant]) -> None:
        """Keep since when pages count, by their numbers; what is kept never moves later."""
        with self._engine.begin() as connection:
            dialect = sqlite if is_sqlite(connection) else postgresql
            for number, at in sorted(since.items()):
                row = dialect.insert(schema.pages).values(notice_id=number, since=at)
                earlier = row.on_conflict_do_update(
                    index_elements=[_p.notice_id], set_={"since": at}, where=_p.since > at
                )
                connection.execute(earlier)

    def escalate(self, steps: Sequence[Notice]) -> int:
        """Write those of *steps* that are not there, each once; return how many that were."""
        with reading(self._engine) as connection:
            there = existing(connection, (one.key for one in steps))
        missing = [one for one in steps if one.key not in there]
        for one in missing:
            with self._engine.begin() as connection:
                owing.note(connection, one, ESCALATED)
        return len(missing)


def open_pages(
    connection: Connection, severities: Collection[Severity], now: Instant
) -> list[OpenPage]:
    """Return the notices of *severities* that nobody has acknowledged and that are not over.

    A page about the clock of a duty is over when that is owed no more, and a reminder when there
    is a newer one. One that is old when it is first seen counts if its duty is owed, or if nobody
    was told of it.
    """
    told = schema.deliveries.alias().c
    delivered = exists().where(told.notice_id == _n.id, told.sent_at.is_not(None))
    wanted = or_(
        _p.notice_id.is_not(None), _n.created_at >= now - NEWS, _n.duty.is_not(None), ~delivered
    )
    query = (
        select(schema.notices, _p.since)
        .outerjoin(schema.pages, _p.notice_id == _n.id)
        .outerjoin(schema.acknowledgements, _a.notice_id == _n.id)
        .where(
            _a.notice_id.is_(None),
            _n.kind.not_in([Kind.ESCALATED.value, Kind.TEST.value]),
            _n.severity.in_(sorted(severities)),
            wanted,
        )
        .order_by(_n.id)
    )
    found = {row.id: (notice_of(row), row.since) for row in connection.execute(query)}
    going_on = not_over(connection, {number: notice for number, (notice, _) in found.items()})
    channels = _told(connection, going_on)
    return [
        OpenPage(
            number=number,
            notice=found[number][0],
            since=found[number][1],
            told={one.channel: one.sent_at for one in channels[number]},
            untried=frozenset(one.channel for one in channels[number] if _untried(one)),
        )
        for number in going_on
    ]


def broken(connection: Connection, now: Instant) -> frozenset[str]:
    """Return the known channels that have failed for ``BROKEN_AFTER``."""
    failing = select(_c.channel).where(_c.active, _c.failing_since <= now - BROKEN_AFTER)
    return frozenset(connection.scalars(failing))


def existing(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Return those of *keys* that a notice has."""
    wanted, found = list(keys), set[str]()
    for first in range(0, len(wanted), _SOME):
        some = wanted[first : first + _SOME]
        found.update(connection.scalars(select(_n.key).where(_n.key.in_(some))))
    return found


def _told(connection: Connection, numbers: Sequence[int]) -> Mapping[int, list[Row[Any]]]:
    """Return on which channels each of these notices is told: a silence takes none away."""
    told: defaultdict[int, list[Row[Any]]] = defaultdict(list)
    for first in range(0, len(numbers), _SOME):
        some = _d.notice_id.in_(numbers[first : first + _SOME])
        meant = or_(_d.skipped_at.is_(None), _d.silence.is_not(None))
        query = select(schema.deliveries).where(some, meant)
        for row in connection.execute(query):
            told[row.notice_id].append(row)
    return told


def _untried(row: Row[Any]) -> bool:
    return row.attempts == 0 and row.sent_at is None and row.skipped_at is None
