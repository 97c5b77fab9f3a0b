"""One history through ``SqlKeeper``: partitions, positions, restarts, crashes, replays, duties.

A *plan* deals the facts to partitions and cuts them into batches, each with the move of its
position. ``work`` is what a worker does: read the stored positions, keep what comes next, begin
anew after a refusal. On the way it restarts (a new keeper, that knows only the database), keeps a
batch again as if it had not heard that it was kept, reads old facts again, and ticks. ``finish``
tells that every partition was read to its end; then everything in the database must be the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from random import Random
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from monitor.digest import digest
from monitor.facts import Instant, StorageFact
from monitor.history import as_of
from monitor.intake import Batch, EndSeen, PositionMoved, TopicSeen
from monitor.ledger import Ledger, Stock
from monitor.rules import stock_rules
from monitor.store import book, stock
from monitor.store.as_of import status_as_of
from monitor.store.digests import kept_digest
from monitor.store.engine import reading
from monitor.store.keeper import SqlKeeper
from monitor.store.names import Names
from monitor.store.reading import status
from monitor.store.verifying import verify
from tests import oracle
from tests.builders import numbers
from tests.integration.store_kit import (
    MARKS,
    NOW,
    TOPIC,
    batch,
    duties,
    empty,
    keeper,
    notices,
    one_topic,
    policy,
)
from tests.violence.histories_arranging import batched, lagging, permuted, split
from tests.violence.histories_making import history, research
from tests.violence.histories_truth import Truth, first_reach, truth

POLICY = policy(2, 1, 3, 4)
RULES = {rule.id: rule.reached_at for rule in stock_rules(POLICY.rules)}


class Manner(Enum):
    """How partitions tell the time, and so when a reach is confirmed."""

    IN_ORDER = "in order"  # by event time: a reach that is confirmed on the way stays what it is
    SILENT = "silent"  # in any order, telling no time: nothing is confirmed before the end
    HASTY = "hasty"  # late facts behind a told time: duties may be opened too early, never too late


class Plan(NamedTuple):
    """The batches of each partition, and in which manner they tell the time."""

    manner: Manner
    partitions: Sequence[Sequence[Batch]]

    def next_of(self, partition: int, offset: int | None) -> list[Batch]:
        """Return the batches of *partition* that are not kept yet, if *offset* is stored."""
        batches = self.partitions[partition]
        return [one for one in batches if one.move and (one.move.expected or 0) >= (offset or 0)]


def plan(rnd: Random, facts: Sequence[StorageFact]) -> Plan:
    manner = list(Manner)[int(rnd.random() * len(Manner))]
    partitions = []
    for number, part in enumerate(split(rnd, facts)):
        if manner is Manner.IN_ORDER:
            arranged = sorted(part, key=lambda fact: fact.at)
        else:
            arranged = lagging(rnd, part) if rnd.random() < 0.5 else permuted(rnd, part)
        offset: int | None = None
        batches: list[Batch] = []
        for some in batched(rnd, arranged, 0.5):
            following = (offset or 0) + len(some)
            told = None if manner is Manner.SILENT else max(fact.at for fact in some)
            batches.append(batch(some, move=(number, offset, following), instant=told))
            offset = following
        partitions.append(batches)
    return Plan(manner, partitions)


class KeptTwice(AssertionError):
    """A batch whose position had moved was kept again."""


def begin(engine: Engine, planned: Plan) -> None:
    """Have a worker say how many partitions there are, before any batch is kept."""
    keeper(engine, POLICY, one_topic).topics([TopicSeen(TOPIC, "id", len(planned.partitions))])


def work(engine: Engine, rnd: Random, planned: Plan, mine: Sequence[int]) -> int:
    """Keep all that is in the partitions *mine*; return how often a batch was refused.

    Others may be at the same partitions: of two who keep one batch, one is refused.
    """
    keeping, refused = keeper(engine, POLICY, one_topic), 0
    while chosen := _chosen(rnd, planned, keeping, mine):
        try:
            keeping.keep(chosen)
        except PositionMoved:
            refused += 1
            continue
        drawn = rnd.random()
        if drawn < 0.15:
            _expect_refusal(keeping, chosen)
        elif drawn < 0.3:
            keeping = keeper(engine, POLICY, one_topic)
        elif drawn < 0.5:
            keeping.tick(NOW)
        elif drawn < 0.6:
            keeping.keep([batch(one.facts) for one in chosen])
    return refused


def _chosen(rnd: Random, planned: Plan, keeping: SqlKeeper, mine: Sequence[int]) -> list[Batch]:
    """Return what a fetch brings: the next batches of some partitions."""
    stored = keeping.positions([(TOPIC, number) for number in mine])
    offsets = {number: stored.get((TOPIC, number)) for number in mine}
    waiting = [
        left
        for number, held in offsets.items()
        if (left := planned.next_of(number, held.next_offset if held else None))
    ]
    if not waiting:
        return []
    several = _some_of(rnd, waiting)
    return [one for left in several for one in left[: 1 + int(rnd.random() * 2)]]


def _some_of(rnd: Random, waiting: list[list[Batch]]) -> list[list[Batch]]:
    """Return at least one of *waiting*."""
    some = [left for left in waiting if rnd.random() < 0.5]
    return some or [waiting[int(rnd.random() * len(waiting))]]


def _expect_refusal(keeping: SqlKeeper, kept: Sequence[Batch]) -> None:
    try:
        keeping.keep(kept)
    except PositionMoved:
        return
    raise KeptTwice(f"{[one.move for one in kept]}")


def finish(engine: Engine, planned: Plan) -> None:
    """Look back on all that is due, tell that all partitions are at their ends, and confirm."""
    keeping = keeper(engine, POLICY, one_topic)
    keeping.finish(NOW + 1, confirm=False)
    ends = [sum(one.records for one in batches) for batches in planned.partitions]
    moment = keeping.moment()
    keeping.ends([EndSeen(TOPIC, n, end, NOW + 2, moment) for n, end in enumerate(ends)])
    keeping.tick(NOW + 3)


# -- on one database, by one worker ------------------------------------------------------------


def wrong_of(engine: Engine, seed: int) -> list[str]:
    """Return what is wrong with the history of *seed*, kept in the emptied database."""
    return wrong(engine, history(seed), Random(seed))


def wrong(engine: Engine, facts: Sequence[StorageFact], rnd: Random) -> list[str]:
    """Return where the database, after one worker's run and after a replay, is not the truth."""
    planned, said = plan(rnd, facts), truth(facts)
    try:
        fill(engine, rnd, planned)
        found = differences(engine, planned.manner, facts, said)
        opened = duties(engine)
        _replay(engine, rnd, facts)
    except KeptTwice as twice:
        return [f"kept twice: {twice}"]
    found += [f"after a replay: {one}" for one in differences(engine, None, facts, said)]
    if duties(engine) != opened:
        found.append(f"a replay changed duties: {opened} became {duties(engine)}")
    return found


def fill(engine: Engine, rnd: Random, planned: Plan) -> None:
    """Empty the database, and have one worker read all partitions to their ends."""
    empty(engine)
    begin(engine, planned)
    work(engine, rnd, planned, range(len(planned.partitions)))
    finish(engine, planned)


def _replay(engine: Engine, rnd: Random, facts: Sequence[StorageFact]) -> None:
    """Read everything from zero, on top of what is there."""
    keeping = keeper(engine, POLICY, one_topic)
    for some in batched(rnd, permuted(rnd, facts), 0.15):
        keeping.keep([batch(some)])
    keeping.finish(NOW + 4)


# -- comparing ---------------------------------------------------------------------------------


def differences(
    engine: Engine, manner: Manner | None, facts: Sequence[StorageFact], said: Truth
) -> list[str]:
    """Return where the database is not what *said* says; duties and the past with a *manner*."""
    with reading(engine) as connection:
        names = Names.load(connection)
        found = _differ("stock", _counts(stock.read(connection, names)), _last(said))
        whole = Ledger(research)
        whole.apply_all(facts)
        kept = kept_digest(connection, names).registers
        found += _differ("digest", kept, digest(whole))
        checks = verify(connection, MARKS)
        found += [f"verify {one.check}: {one.detail}" for one in checks if not one.holds]
        found += _reaches_differ(connection, said)
        if manner is not None:
            found += _past_differs(connection, names, facts, said)
    if manner is not None:
        found += _duties_differ(engine, manner, said)
    return found


def _differ(what: str, have: object, want: object) -> list[str]:
    return [] if have == want else [f"{what}: kept {have}, the truth is {want}"]


def _last(said: Truth) -> Mapping[str, oracle.Count]:
    return said.counts[max(said.counts)]


def _counts(stocks: Mapping[str, Stock]) -> dict[str, oracle.Count]:
    counts = {
        name: oracle.Count(
            one.individuals, one.research, {s: n for s, n in one.systems.items() if n}
        )
        for name, one in stocks.items()
    }
    return {name: one for name, one in counts.items() if one != oracle.NOBODY}


def _past_differs(
    connection: Connection, names: Names, facts: Sequence[StorageFact], said: Truth
) -> list[str]:
    """Ask the book about every instant, and ``status --as-of`` about that of the first fact."""
    written = list(book.read(connection, names))
    found = []
    for instant, want in said.counts.items():
        have = numbers(as_of(written, instant, research))
        found += _differ(f"as of {instant}, by the book", have, want)
    at = facts[0].at
    shown = status_as_of(connection, POLICY.rules, MARKS, at).processors
    then = _counts({one.processor: one.stock for one in shown})
    return found + _differ(f"status as of {at}", then, said.counts[at])


def _reaches_differ(connection: Connection, said: Truth) -> list[str]:
    found = []
    for one in status(connection, POLICY.rules).processors:
        timeline = said.numbers(one.processor)
        found += [f"{one.processor}: a recount is due"] if one.recount_pending else []
        for threshold in one.thresholds:
            what, reach = f"{one.processor} reaches {threshold.at_least}", threshold.reach
            at = first_reach(timeline, threshold.at_least)
            found += _differ(what, reach.trigger_at, at)
            found += _differ(f"{what} with", reach.individuals, timeline[at] if at else None)
            found += [f"{what}: not confirmed"] if reach.pending else []
    return found


def _duties_differ(engine: Engine, manner: Manner, said: Truth) -> list[str]:
    """Exactly one duty for each reach, of the right day, and one notice that it was opened."""
    have = sorted((one.processor, one.rule, one.trigger_day.isoformat()) for one in duties(engine))
    want = sorted(
        (processor, rule, _day(at))
        for processor in _everyone(said)
        for rule, at_least in RULES.items()
        if (at := first_reach(said.numbers(processor), at_least)) is not None
    )
    opened = len(notices(engine, "duty_opened"))
    found = [] if opened == len(have) else [f"{opened} notices that one of {have} was opened"]
    if manner is not Manner.HASTY:
        return found + _differ("duties", have, want)
    days = {one[:2]: one[2] for one in have}
    if len(days) != len(have):
        found.append(f"two duties for one reach: {have}")
    late = [one for one in want if days.get(one[:2], "9") > one[2]]
    return found + [f"a duty is missing or too late: {one} in {have}" for one in late]


def _everyone(said: Truth) -> set[str]:
    return {name for counted in said.counts.values() for name in counted}


def _day(at: Instant) -> str:
    """Return the day in Beijing, eight hours ahead of UTC all year."""
    utc = datetime.fromtimestamp(at // 1_000_000, UTC)
    return (utc + timedelta(hours=8)).date().isoformat()
