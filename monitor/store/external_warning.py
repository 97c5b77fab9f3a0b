"""Early warnings of told numbers: the same shares, told once each, as soon as the number is told.

A told number is certain, so nothing has to be waited for. A rule that a stock may prove, too, has
levels of its own for its told number: the one says nothing of the other.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from monitor import approach
from monitor.approach import Approach, Levels
from monitor.facts import Instant
from monitor.history import Point
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.rules import Rule
from monitor.store import bulk, owing, schema

_a = schema.approaches.c


def warn(
    connection: Connection,
    processor: tuple[int, str],
    rule: Rule,
    levels: Levels,
    newest: Point,
    now: Instant,
) -> None:
    """Tell of the highest share of the threshold of *rule* that the *newest* number passes.

    *processor* is its number and its name. Over the threshold the duty speaks.
    """
    number, name = processor
    before = _read(connection, number, rule, levels)
    over = newest.individuals >= rule.reached_at
    after = before if over else [_seen(one, rule, levels, newest, now) for one in before]
    passed = [one.percent for one in after if one.waiting]
    after = [approach.told(one, now) if one.waiting else one for one in after]
    if after == before:
        return
    _write(connection, number, rule, after)
    if passed:
        highest = next(one for one in after if one.percent == max(passed))
        _tell(connection, name, rule, highest, passed, newest, now)


def _seen(level: Approach, rule: Rule, levels: Levels, newest: Point, now: Instant) -> Approach:
    return approach.seen(
        level, newest.individuals, rule.reached_at, levels.rearm, newest_at=newest.at, now=now
    )


def _name(rule: Rule) -> str:
    return f"{rule.id}:{rule.number}"  # no rule has a colon in its id


def _read(connection: Connection, number: int, rule: Rule, levels: Levels) -> list[Approach]:
    """Return the levels as they stand; of another threshold they are new."""
    mine = (_a.processor_id == number, _a.rule == _name(rule))
    rows = connection.execute(select(schema.approaches).where(*mine))
    known = {row.percent: row for row in rows}
    found = []
    for percent in levels.percent:
        row = known.get(percent)
        level = Approach(percent=percent, passes=row.passes if row else 0)
        if row is not None and row.at_least == rule.reached_at:
            level = Approach(
                percent=percent,
                passes=row.passes,
                seen_at=row.seen_at,
                newest_at=row.newest_at,
                told_at=row.told_at,
            )
        found.append(level)
    return found


def _write(connection: Connection, number: int, rule: Rule, levels: list[Approach]) -> None:
    mine = (_a.processor_id == number, _a.rule == _name(rule))
    connection.execute(delete(schema.approaches).where(*mine))
    at_least = rule.reached_at
    rows = [
        (
            number,
            _name(rule),
            one.percent,
            at_least,
            one.passes,
            one.seen_at,
            None,
            one.newest_at,
            one.told_at,
        )
        for one in levels
        if one != Approach(percent=one.percent)
    ]
    bulk.upsert(connection, schema.approaches, rows)


def _tell(
    connection: Connection,
    processor: str,
    rule: Rule,
    level: Approach,
    passed: list[int],
    newest: Point,
    now: Instant,
) -> None:
    assert rule.number is not None  # noqa: S101 - of a number rule
    kind = Kind.THRESHOLD_APPROACHED
    of_level = (str(rule.reached_at), str(level.percent), str(level.passes))
    notice = Notice(
        key=key_of(kind, processor, rule.id, rule.number, *of_level),
        kind=kind,
        severity=Severity.WARNING,
        processor=processor,
        rule=rule.id,
        created_at=now,
        body={
            "individuals": newest.individuals,
            "at_least": rule.reached_at,
            "rule": rule.id,
            "number": rule.number,
            "percent": level.percent,
            "passed": "/".join(map(str, passed)),
        },
    )
    owing.note(connection, notice, "threshold.approached")
