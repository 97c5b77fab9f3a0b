"""Early warnings in SQL: which shares of a threshold the number has passed, each told once.

The number is looked at between batches. Partitions run ahead of each other, so a share that is
passed is told when the number was at or over it at every look until each partition that feeds the
processor has passed the newest fact of the number first seen there, or was read to its end since.
What falls below before is never told. While files are being applied nothing is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, Engine, delete, select

from monitor import approach
from monitor.approach import AHEAD, Approach
from monitor.facts import Instant
from monitor.forecast import WINDOW_DAYS, Forecast, forecast
from monitor.notices import BodyValue, Kind, Notice, Severity, key_of
from monitor.rules import Rule, stock_rules
from monitor.store import bulk, files, history_days, moments, owing, positions, schema
from monitor.store.engine import reading
from monitor.store.filling import filled_up_to, is_stale
from monitor.store.keeping import Policy
from monitor.store.locks import lock_processors
from monitor.store.names import Names
from monitor.store.stock import OPERATION
from monitor.store.trust import Trust
from monitor.trust import in_body
from monitor.workdays import beijing_day

_EVERY: Instant = 1_000_000
_AHEAD_EVERY: Instant = 3_600_000_000  # a forecast of days
_PATIENCE: Instant = 15 * 60 * 1_000_000  # for the days that are past to be filled in
_a, _r, _s, _w = (t.c for t in (schema.approaches, schema.reaches, schema.stock, schema.watches))


_Stand: TypeAlias = list[tuple[Rule, list[Approach]]]


class _Seen(NamedTuple):
    """What one look found of a processor: its number, its newest fact, its levels by rule."""

    individuals: int
    newest_at: Instant
    reached: frozenset[str]
    levels: Mapping[str, list[Approach]]


class Approaching:
    """Looks for shares that were passed. *feeding* names the topics that can feed a processor."""

    def __init__(
        self, engine: Engine, policy: Policy, feeding: Callable[[str], Iterable[str]]
    ) -> None:
        self._engine, self._policy, self._feeding = engine, policy, feeding
        self._rules = stock_rules(policy.rules) if policy.levels.percent else ()
        self._looked_at: Instant | None = None
        self._near: dict[tuple[int, str], bool | None] = {}
        self._near_by: tuple[Instant, int] | None = None

    def look(self, names: Names, now: Instant) -> None:
        """Write how the levels stand, and tell those that are certain."""
        soon = self._looked_at is not None and 0 <= now - self._looked_at < _EVERY
        if not self._rules or soon:
            return
        self._looked_at = now
        with reading(self._engine) as connection:
            numbers = sorted(connection.scalars(select(_s.processor_id).distinct()))
            found = self._read(connection, numbers)
            self._look_ahead(connection, names, found, now)
        for number in numbers:
            if self._moves(number, found[number], now):
                with self._engine.begin() as connection:
                    lock_processors(connection, [number])
                    self._settle(connection, names, number, now)

    def _look_ahead(
        self, connection: Connection, names: Names, found: Mapping[int, _Seen], now: Instant
    ) -> None:
        """See which thresholds may be reached soon: each hour, and when days were filled in."""
        upto = filled_up_to(connection)
        if upto is None:
            return
        if self._near_by is not None:
            looked_at, by = self._near_by
            if by == upto and 0 <= now - looked_at < _AHEAD_EVERY:
                return
        self._near_by = (now, upto)
        self._near = {
            (number, rule.id): approach.near(
                read_forecast(
                    connection, names, names.processor_by_id[number], rule.reached_at, now
                )
            )
            for number, seen in found.items()
            for rule in self._rules_of(seen)
        }

    def _read(self, connection: Connection, numbers: Iterable[int]) -> dict[int, _Seen]:
        numbers = list(numbers)
        counted = select(_s.processor_id, _s.individuals).where(
            _s.kind == OPERATION, _s.processor_id.in_(numbers)
        )
        stock = {row.processor_id: row.individuals for row in connection.execute(counted)}
        query = select(_w.processor_id, _w.last_at).where(_w.processor_id.in_(numbers))
        newest = {row.processor_id: row.last_at for row in connection.execute(query)}
        reached: dict[int, set[str]] = {number: set() for number in numbers}
        query = select(_r.processor_id, _r.rule).where(
            _r.processor_id.in_(numbers), _r.trigger_at.is_not(None)
        )
        for row in connection.execute(query):
            reached[row.processor_id].add(row.rule)
        levels = self._levels(connection, numbers)
        return {
            number: _Seen(
                stock.get(number, 0),
                newest.get(number, 0),
                frozenset(reached[number]),
                levels[number],
            )
            for number in numbers
        }

    def _levels(
        self, connection: Connection, numbers: Iterable[int]
    ) -> dict[int, dict[str, list[Approach]]]:
        """Return the levels of the settings as they stand; of another threshold they are new."""
        rows = connection.execute(select(schema.approaches).where(_a.processor_id.in_(numbers)))
        known = {(row.processor_id, row.rule, row.percent): row for row in rows}
        found: dict[int, dict[str, list[Approach]]] = {}
        for number in numbers:
            found[number] = {}
            for rule in self._rules:
                found[number][rule.id] = []
                for percent in (AHEAD, *self._policy.levels.percent):
                    row = known.get((number, rule.id, percent))
                    level = Approach(percent=percent, passes=row.passes if row else 0)
                    if row is not None and row.at_least == rule.reached_at:
                        level = Approach(
                            percent=percent,
                            passes=row.passes,
                            seen_at=row.seen_at,
                            seen_no=row.seen_no,
                            newest_at=row.newest_at,
                            told_at=row.told_at,
                        )
                    found[number][rule.id].append(level)
        return found

    def _rules_of(self, seen: _Seen) -> list[Rule]:
        """Return the rules whose threshold was not reached: of the others the duty speaks.

        Nor is it told that a number comes near which is there: once armed anew, a threshold must
        be passed from below.
        """
        return [
            rule
            for rule in self._rules
            if rule.id not in seen.reached and seen.individuals < rule.reached_at
        ]

    def _seen(self, number: int, seen: _Seen, rule: Rule, now: Instant) -> list[Approach]:
        rearm = self._policy.levels.rearm
        forecast, *levels = seen.levels[rule.id]
        if (number, rule.id) in self._near:  # else another worker may know
            near = self._near[number, rule.id]
            forecast = approach.ahead(forecast, near=near, newest_at=seen.newest_at, now=now)
        return [
            forecast,
            *(
                approach.seen(
                    level,
                    seen.individuals,
                    rule.reached_at,
                    rearm,
                    newest_at=seen.newest_at,
                    now=now,
                )
                for level in levels
            ),
        ]

    def _moves(self, number: int, seen: _Seen, now: Instant) -> bool:
        for rule in self._rules_of(seen):
            levels = self._seen(number, seen, rule, now)
            if levels != seen.levels[rule.id] or any(level.waiting for level in levels):
                return True
        return False

    def _settle(self, connection: Connection, names: Names, number: int, now: Instant) -> None:
        seen = self._read(connection, [number])[number]
        processor = names.processor_by_id[number]
        quiet = files.any_in_work(connection)
        filled = not is_stale(connection, now)
        stand = [(rule, self._seen(number, seen, rule, now)) for rule in self._rules_of(seen)]
        for rule, levels in _sighted(connection, stand):
            sure = {
                level.percent
                for level in levels
                if not quiet and level.waiting and self._certain(connection, processor, level)
                # A warning has the forecast with it: that is worth some minutes.
                if filled or now - (level.seen_at or 0) >= _PATIENCE
            }
            after = [approach.told(one, now) if one.percent in sure else one for one in levels]
            self._write(connection, number, rule, after)
            if sure:
                highest = next(one for one in after if one.percent == max(sure))
                self._tell(connection, names, rule, processor, seen, highest, sure, now)

    def _certain(self, connection: Connection, processor: str, level: Approach) -> bool:
        assert level.newest_at is not None and level.seen_no is not None  # noqa: PT018, S101 - waits
        topics = list(self._feeding(processor))
        return positions.all_passed(connection, topics, level.newest_at, level.seen_no)

    def _write(
        self, connection: Connection, number: int, rule: Rule, levels: Iterable[Approach]
    ) -> None:
        columns = (_a.processor_id == number, _a.rule == rule.id)
        connection.execute(delete(schema.approaches).where(*columns))
        rows = [
            (
                number,
                rule.id,
                one.percent,
                rule.reached_at,
                one.passes,
                one.seen_at,
                one.seen_no,
                one.newest_at,
                one.told_at,
            )
            for one in levels
            if one != Approach(percent=one.percent)
        ]
        bulk.upsert(connection, schema.approaches, rows)

    def _tell(
        self,
        connection: Connection,
        names: Names,
        rule: Rule,
        processor: str,
        seen: _Seen,
        level: Approach,
        sure: Iterable[int],
        now: Instant,
    ) -> None:
        """Tell of the highest level that was passed; lower ones passed with it are in *sure*.

        The forecast is with each of them, so it is told by itself only where no share was passed.
        """
        whys = Trust(connection, names, self._policy.sources, now).against(processor)
        expected = read_forecast(connection, names, processor, rule.reached_at, now)
        kind = Kind.FORECAST_NEAR if level.percent == AHEAD else Kind.THRESHOLD_APPROACHED
        passed = [str(percent) for percent in sorted(sure) if percent != AHEAD]
        shares: dict[str, BodyValue] = {}
        if passed:
            shares = {"percent": level.percent, "passed": "/".join(passed)}
        body: dict[str, BodyValue] = {
            "individuals": seen.individuals,
            "at_least": rule.reached_at,
            "rule": rule.id,
            **shares,
            **_in_body(expected),
            **in_body(whys),
        }
        notice = Notice(
            key=key_of(
                kind,
                processor,
                rule.id,
                str(rule.reached_at),
                str(level.percent),
                str(level.passes),
            ),
            kind=kind,
            severity=Severity.WARNING,
            processor=processor,
            rule=rule.id,
            created_at=now,
            body=body,
        )
        owing.note(connection, notice, kind.replace("_", "."))


def _sighted(connection: Connection, stand: _Stand) -> _Stand:
    """Give those that are first seen now their moment, before anything is told of any rule.

    An end that was looked up before this transaction proves nothing of what it sees.
    """
    fresh = any(_first_seen(one) for _, levels in stand for one in levels)
    moment = moments.take(connection) if fresh else None
    return [
        (rule, [replace(one, seen_no=moment) if _first_seen(one) else one for one in levels])
        for rule, levels in stand
    ]


def _first_seen(level: Approach) -> bool:
    return level.seen_at is not None and level.seen_no is None


def _in_body(found: Forecast) -> dict[str, BodyValue]:
    if found.first is None:
        return {}
    first = found.first.isoformat()
    band: dict[str, BodyValue] = {"forecast_from": first}
    if found.last is not None:
        band = {"forecast_between": f"{first}/{found.last.isoformat()}"}
    return band | {"forecast": found.day.isoformat() if found.day is not None else None}


def read_forecast(
    connection: Connection, names: Names, processor: str, at_least: int, now: Instant
) -> Forecast:
    """Return the forecast from the noted days and the number of now."""
    number, today = names.processor_ids[processor], beijing_day(now)
    days = history_days.read(connection, number, today - timedelta(days=WINDOW_DAYS))
    counted = select(_s.individuals).where(_s.processor_id == number, _s.kind == OPERATION)
    days[today] = connection.scalar(counted) or 0
    return forecast(list(history_days.filled(days, today)), at_least)


Outlooks: TypeAlias = Mapping[tuple[str, str], tuple[int, Forecast]]
"""By processor and rule: the highest level told that is in force (0: none), and the forecast."""


def outlooks(connection: Connection, names: Names, rules: Iterable[Rule], now: Instant) -> Outlooks:
    """Return what is ahead of every processor, from the noted days; reads few rows."""
    levels, rules = warned(connection, names), stock_rules(rules)
    return {
        (name, rule.id): (
            levels.get((name, rule.id), 0),
            read_forecast(connection, names, name, rule.reached_at, now),
        )
        for name in sorted(names.processor_ids)
        for rule in rules
    }


def warned(connection: Connection, names: Names) -> dict[tuple[str, str], int]:
    """Return by processor and rule the highest level that was told and is not armed again."""
    found: dict[tuple[str, str], list[Approach]] = {}
    for row in connection.execute(select(schema.approaches)):
        level = Approach(percent=row.percent, told_at=row.told_at)
        found.setdefault((names.processor_by_id[row.processor_id], row.rule), []).append(level)
    return {key: approach.in_force(levels) for key, levels in found.items()}
