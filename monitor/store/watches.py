"""What is carried along per processor to notice a reach: watches and reaches, in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import BindParameter, Connection, and_, bindparam, or_, select

from monitor.facts import Instant
from monitor.folding import Looked, Movement, Watch
from monitor.history import Point, Threshold
from monitor.rules import Rule
from monitor.store import bulk, moments, schema
from monitor.store.moments import Sight
from monitor.store.names import Names

_OFF = 0  # in place of the number of a rule that is not enabled

# Every batch asks: made once, as making them costs more than they do.
_ids: BindParameter[int] = bindparam("ids", expanding=True)
_WATCHES = select(schema.watches).where(schema.watches.c.processor_id.in_(_ids))
_REACHES = select(schema.reaches).where(schema.reaches.c.processor_id.in_(_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How one stock rule stands for one processor. ``trigger_at`` None: never reached."""

    processor: str
    rule: str
    at_least: int
    latch: int = 1
    trigger_at: Instant | None = None
    individuals: int | None = None
    first_seen_at: Instant | None = None
    first_seen_no: int | None = None
    confirmed_at: Instant | None = None
    paged_at: Instant | None = None
    after: Instant | None = None

    @property
    def threshold(self) -> Threshold:
        """What is looked for: after the latch was armed anew, a passing from below."""
        return self.at_least, self.after

    def rearmed(self, latch: int, after: Instant | None) -> Reach:
        """Return the reach of another latch, to be looked for."""
        return Reach(
            processor=self.processor,
            rule=self.rule,
            at_least=self.at_least,
            latch=latch,
            after=after,
        )

    @property
    def pending(self) -> bool:
        """Reached, but not confirmed (DESIGN section 3, confirmed reach)."""
        return self.trigger_at is not None and self.confirmed_at is None

    def anew(self, seen: Sight) -> Reach:
        """Return the reach as one that is seen for the first time."""
        return replace(self, first_seen_at=seen.at, first_seen_no=seen.moment)

    def not_ahead_of(self, now: Instant) -> Reach:
        """Return the reach, seen now if it was seen by a clock that was ahead."""
        if self.first_seen_at is None or self.first_seen_at <= now:
            return self
        return replace(self, first_seen_at=now)

    def not_reached(self) -> Reach:
        """Return the reach as one that there never was."""
        return self.rearmed(self.latch, self.after)

    def found(self, point: Point | None, seen: Sight) -> Reach:
        """Return the reach as the fold has it now; *point* None: nothing was reached."""
        if point is None:
            return self.not_reached()
        reach = replace(self, trigger_at=point.at, individuals=point.individuals)
        if self.first_seen_at is None:
            return reach.anew(seen)
        # Another instant was not looked for when ends were looked up for this one. The page for
        # what stays unconfirmed is not put off by an earlier one: late facts may go on coming.
        if self.pending and point.at < (self.trigger_at or 0):
            return replace(reach, first_seen_no=seen.moment)
        return reach.anew(seen) if self.pending and point.at != self.trigger_at else reach

    def unopened(self, before: Reach, seen: Sight) -> Reach:
        """Return the reach of which no duty came; at another instant than *before* one may."""
        if self.trigger_at is None or self.trigger_at == before.trigger_at:
            return self
        reach = replace(self, confirmed_at=None)
        return reach.anew(seen) if before.confirmed_at is not None else reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """What has come in since the latest recount of a processor began."""

    first_at: Instant | None = None
    raising: int = 0
    passed: bool = False


class Watches:
    """The watches and reaches of some processors, read, changed and written back."""

    def __init__(
        self, connection: Connection, names: Names, rules: Iterable[Rule], wanted: Iterable[str]
    ) -> None:
        self._connection, self._names = connection, names
        self.watch: dict[str, Watch] = {}
        self.since: dict[str, Since] = {}
        self.reaches: dict[str, dict[str, Reach]] = {}
        self._off: list[Reach] = []
        ids = [names.processor_ids[name] for name in wanted]
        self._read(ids)
        for name in wanted:
            self.watch.setdefault(name, Watch())
            self.since.setdefault(name, Since())
            self.reaches.setdefault(name, {})
            self._match(name, rules)

    def _read(self, ids: list[int]) -> None:
        by_id = self._names.processor_by_id
        for row in self._connection.execute(_WATCHES, {"ids": ids}):
            name = by_id[row.processor_id]
            self.watch[name] = Watch(
                last_at=row.last_at, peak=row.peak, recount_due=row.recount_due
            )
            self.since[name] = Since(
                first_at=row.since_first_at,
                raising=row.since_raising,
                passed=bool(row.since_passed),
            )
        for row in self._connection.execute(_REACHES, {"ids": ids}):
            name = by_id[row.processor_id]
            self.reaches.setdefault(name, {})[row.rule] = Reach(
                processor=name,
                rule=row.rule,
                at_least=row.at_least,
                latch=row.latch,
                trigger_at=row.trigger_at,
                individuals=row.individuals,
                first_seen_at=row.first_seen_at,
                first_seen_no=row.first_seen_no,
                confirmed_at=row.confirmed_at,
                paged_at=row.paged_at,
                after=row.after,
            )

    def _match(self, processor: str, rules: Iterable[Rule]) -> None:
        """Have one reach for each rule; a rule that is new or has another number is looked at."""
        reaches = self.reaches[processor]
        wanted = {rule.id: rule.reached_at for rule in rules}
        for rule_id in [rule_id for rule_id in reaches if rule_id not in wanted]:
            held = reaches.pop(rule_id)
            # Nobody looks for it any more: if its rule comes back, it is to be found anew.
            self._off.append(replace(held.rearmed(held.latch, held.after), at_least=_OFF))
        for rule_id, at_least in wanted.items():
            known = reaches.get(rule_id)
            if known is not None and known.at_least == at_least:
                continue
            made = Reach(processor=processor, rule=rule_id, at_least=at_least)
            reaches[rule_id] = made if known is None else made.rearmed(known.latch, known.after)
            # Since a latch was armed anew the peak may be that of the time since.
            windowed = any(reach.after is not None for reach in reaches.values())
            over = windowed or self.watch[processor].peak >= at_least
            if over or (known and known.trigger_at):
                self.watch[processor] = replace(self.watch[processor], recount_due=True)

    def unreached(self, processor: str) -> list[int]:
        """Return the thresholds that were never reached, as far as is known."""
        return [
            reach.at_least
            for reach in self.reaches[processor].values()
            if reach.trigger_at is None and reach.after is None
        ]

    def armed(self, processor: str) -> list[tuple[int, Instant]]:
        """Return the thresholds that are armed anew and not reached since, and since when."""
        return [
            (reach.at_least, reach.after)
            for reach in self.reaches[processor].values()
            if reach.trigger_at is None and reach.after is not None
        ]

    def reached_at(self, processor: str) -> list[Instant]:
        """Return the instants at which the other thresholds were first reached.

        Of one that is armed anew: the instant since when, as all before it is about older duties.
        """
        reaches = self.reaches[processor].values()
        found = (one.after if one.trigger_at is None else one.trigger_at for one in reaches)
        return [at for at in found if at is not None]

    def note(self, processor: str, looked: Looked, movement: Movement, now: Instant) -> None:
        """Keep what a batch meant for *processor*."""
        self.watch[processor] = looked.watch
        since = self.since[processor]
        first_at = movement.first_at if since.first_at is None else since.first_at
        self.since[processor] = Since(
            first_at=min(first_at, movement.first_at),
            raising=since.raising + movement.raising,
            passed=since.passed or looked.passed,
        )
        new = {
            rule_id: point
            for rule_id, reach in self.reaches[processor].items()
            if (point := looked.reached.get(reach.at_least)) is not None
            and reach.trigger_at is None
            and reach.after is None
        }
        if new:
            seen = Sight(now, moments.take(self._connection))
            for rule_id, point in new.items():
                reach = self.reaches[processor][rule_id]
                self.reaches[processor][rule_id] = reach.found(point, seen)

    def save(self) -> None:
        """Write all of them."""
        ids = self._names.processor_ids
        bulk.upsert(
            self._connection,
            schema.watches,
            [
                (
                    ids[n],
                    w.last_at,
                    w.peak,
                    w.recount_due,
                    self.since[n].first_at,
                    self.since[n].raising,
                    self.since[n].passed,
                )
                for n, w in sorted(self.watch.items())
            ],
        )
        rows = [
            _reach_row(ids[processor], reach)
            for processor, reaches in sorted(self.reaches.items())
            for _, reach in sorted(reaches.items())
        ]
        rows += [_reach_row(ids[reach.processor], reach) for reach in self._off]
        bulk.upsert(self._connection, schema.reaches, rows)


def _reach_row(number: int, reach: Reach) -> tuple[object, ...]:
    return (
        number,
        reach.rule,
        reach.at_least,
        reach.latch,
        reach.trigger_at,
        reach.individuals,
        reach.first_seen_at,
        reach.first_seen_no,
        reach.confirmed_at,
        reach.paged_at,
        reach.after,
    )


def recounts_due(connection: Connection, names: Names, rules: Iterable[Rule] = ()) -> list[str]:
    """Return the processors whose trigger days must be looked back on.

    So must those with a reach that was looked for at another number than that of *rules*.
    """
    watches, reaches = schema.watches.c, schema.reaches.c
    numbers = set(connection.scalars(select(watches.processor_id).where(watches.recount_due)))
    others = [and_(reaches.rule == r.id, reaches.at_least != r.reached_at) for r in rules]
    if others:
        numbers.update(connection.scalars(select(reaches.processor_id).where(or_(*others))))
    return sorted(names.processor_by_id[number] for number in numbers)


def pending(connection: Connection, names: Names) -> list[str]:
    """Return the processors with a reach that is not confirmed."""
    table = schema.reaches.c
    query = (
        select(table.processor_id)
        .where(table.trigger_at.is_not(None), table.confirmed_at.is_(None))
        .distinct()
    )
    return sorted(names.processor_by_id[number] for number in connection.scalars(query))


__all__ = ["Reach", "Since", "Watches", "pending", "recounts_due"]
