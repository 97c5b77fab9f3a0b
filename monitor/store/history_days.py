"""The number day by day, for forecasts: as the book has it, or as it was known then.

A look back writes every day from the book, exactly, by event time, and so does ``filling`` where
facts of the past have come in since. Between these the present number is noted for the present day
as it goes; ``forecast`` and the filing pack read the book instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, delete, select

from monitor.facts import Instant, Place
from monitor.forecast import Forecast, forecast
from monitor.rules import Rule, stock_rules
from monitor.store import bulk, schema
from monitor.store.engine import reading
from monitor.store.names import Names
from monitor.store.stock import OPERATION
from monitor.store.sweeping import sweep
from monitor.workdays import beijing_day

_EVERY: Instant = 60_000_000
_c, _stock = schema.days.c, schema.stock.c
_ONE = timedelta(days=1)


class Diary:
    """Notes the number of the day, about once a minute."""

    def __init__(self) -> None:
        self._noted_at: Instant | None = None

    def note(self, engine: Engine, now: Instant) -> None:
        """Write the numbers of now for today in Beijing, where they differ."""
        if self._noted_at is not None and 0 <= now - self._noted_at < _EVERY:
            return
        self._noted_at = now
        today = beijing_day(now)
        with reading(engine) as connection:
            rows = _changed(connection, today)
        if rows:
            with engine.begin() as connection:
                bulk.upsert(connection, schema.days, rows)


def _changed(connection: Connection, today: date) -> list[tuple[int, int, int, bool]]:
    held = select(_c.processor_id, _c.individuals).where(_c.day == today.toordinal())
    known = {row.processor_id: row.individuals for row in connection.execute(held)}
    counted = select(_stock.processor_id, _stock.individuals).where(_stock.kind == OPERATION)
    return [
        (row.processor_id, today.toordinal(), row.individuals, False)
        for row in connection.execute(counted.order_by(_stock.processor_id))
        if known.get(row.processor_id) != row.individuals
    ]


def replace(connection: Connection, number: int, days: Mapping[int, int]) -> None:
    """Write all *days* of the processor with this *number* from the book, under its lock."""
    connection.execute(delete(schema.days).where(_c.processor_id == number))
    rows = [(number, day, individuals, True) for day, individuals in sorted(days.items())]
    bulk.upsert(connection, schema.days, rows)


def read(connection: Connection, number: int, since: date) -> dict[date, int]:
    """Return the number at the end of each noted day from *since* on, and of the one before."""
    earliest = since.toordinal()
    before = select(_c.day).where(_c.processor_id == number, _c.day < earliest)
    first = connection.scalar(before.order_by(_c.day.desc()).limit(1))
    query = select(_c.day, _c.individuals).where(
        _c.processor_id == number, _c.day >= (first or earliest)
    )
    return by_date({row.day: row.individuals for row in connection.execute(query)})


def by_date(days: Mapping[int, int]) -> dict[date, int]:
    """Return the same with dates in place of their numbers, in their order."""
    return {date.fromordinal(day): individuals for day, individuals in sorted(days.items())}


def filled(days: Mapping[date, int], today: date) -> Iterator[tuple[date, int]]:
    """Yield every day from the first one on up to *today*: where nothing is noted, as before."""
    if not days:
        return
    day, number = min(days), 0
    while day <= today:
        number = days.get(day, number)
        yield day, number
        day += _ONE


def from_book(
    connection: Connection,
    names: Names,
    processors: Iterable[str],
    research: Callable[[Place], bool],
    until: Instant,
) -> dict[str, dict[date, int]]:
    """Return the number at the end of each day on which it changed, by the facts known now."""
    found = swept_days(connection, names, processors, research, until)
    return {name: by_date(days) for name, days in found.items()}


def swept_days(
    connection: Connection,
    names: Names,
    processors: Iterable[str],
    research: Callable[[Place], bool],
    until: Instant,
) -> dict[str, Mapping[int, int]]:
    """Return the same with days as numbers, as they are kept."""
    swept = sweep(connection, names, dict.fromkeys(processors, ()), research, until=until)
    return {name: one.days for name, one in swept.items()}


def forecasts_from_book(
    connection: Connection,
    names: Names,
    processors: Iterable[str],
    rules: Iterable[Rule],
    research: Callable[[Place], bool],
    now: Instant,
) -> list[tuple[str, str, Forecast]]:
    """Return processor, rule and forecast; nothing of processors without any fact of storage."""
    rules = stock_rules(rules)
    found = []
    for name, days in from_book(connection, names, processors, research, now).items():
        known = list(filled(days, beijing_day(now)))
        found += [(name, rule.id, forecast(known, rule.reached_at)) for rule in rules if known]
    return found
