"""A simulated change log, read in every way that Kafka may hand it out, gives the table's truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest

from monitor.digest import digest
from monitor.facts import Enrolled, Place, Removed, StorageFact, Truncated, Version
from monitor.ledger import Ledger
from tests import oracle
from tests.builders import numbers
from tests.changelog import LogFact, Run, Truth, interleaved, simulate

SEEDS = range(300)


def research(place: Place) -> bool:
    return place.system == "pay"


def folded(facts: Sequence[StorageFact]) -> Ledger:
    ledger = Ledger(research)
    for start in range(0, len(facts), 7):
        ledger.apply_all(facts[start : start + 7])
    return ledger


def true_count(truth: Truth) -> dict[str, oracle.Count]:
    places: dict[oracle.Individual, frozenset[Place]] = {}
    for place, subject in truth.values():
        who = (place.processor, subject)
        places[who] = places.get(who, frozenset()) | {place}
    return oracle.count(places, research)


def shuffled(rnd: Random, partitions: Sequence[Sequence[LogFact]]) -> list[StorageFact]:
    """Return all records in no order at all, some of them twice."""
    facts: list[StorageFact] = [fact for partition in partitions for fact in partition]
    facts += rnd.choices(facts, k=len(facts) // 3) if facts else []
    rnd.shuffle(facts)
    return facts


def runs() -> list[tuple[int, Run]]:
    return [(seed, simulate(Random(seed), partitions=1 + seed % 4)) for seed in SEEDS]


RUNS = runs()


@pytest.mark.parametrize("read", [interleaved, shuffled])
def test_the_number_at_the_end_is_that_of_the_table(
    read: Callable[[Random, Sequence[Sequence[LogFact]]], list[StorageFact]],
) -> None:
    for seed, run in RUNS:
        facts = read(Random(seed), run.partitions)

        assert numbers(folded(facts)) == true_count(run.steps[-1].truth), f"seed {seed}"


def test_the_number_at_every_noted_instant_is_that_of_the_table() -> None:
    for seed, run in RUNS[:150]:
        for step in run.steps:
            parts = [p[:end] for p, end in zip(run.partitions, step.offsets, strict=True)]
            facts = interleaved(Random(seed), parts)

            assert numbers(folded(facts)) == true_count(step.truth), f"seed {seed}"


def test_the_number_half_way_through_any_reading_is_the_oracles() -> None:
    for seed, run in RUNS[:150]:
        facts = interleaved(Random(seed), run.partitions)
        for part in (facts[: len(facts) // 3], facts[: len(facts) // 2], facts):
            assert numbers(folded(part)) == oracle.stock(part, research), f"seed {seed}"


def test_the_digest_does_not_depend_on_how_the_partitions_were_read() -> None:
    for seed, run in RUNS:
        rnd = Random(seed)
        once = folded(interleaved(rnd, run.partitions))
        again = folded(shuffled(rnd, run.partitions))

        assert digest(once) == digest(again), f"seed {seed}"


def by_clock(fact: LogFact) -> Version:
    epoch, _, lsn = fact.version
    return Version(epoch, fact.at, lsn)


def by_lsn_alone(fact: LogFact) -> Version:
    epoch, _, lsn = fact.version
    return Version(epoch, lsn, 0)


def without_the_epoch(fact: LogFact) -> Version:
    return Version(0, *fact.version[1:])


def by_commit_alone(fact: LogFact) -> Version:
    return Version(*fact.version[:2], 0)


@pytest.mark.parametrize("order", [by_clock, by_lsn_alone, without_the_epoch, by_commit_alone])
def test_any_lesser_order_is_wrong_somewhere_so_the_simulator_has_teeth(
    order: Callable[[LogFact], Version],
) -> None:
    wrong = 0
    for _, run in RUNS:
        facts: list[StorageFact] = [
            fact._replace(version=order(fact)) for partition in run.partitions for fact in partition
        ]
        wrong += numbers(folded(facts)) != true_count(run.steps[-1].truth)

    assert wrong > 0


def test_a_ledger_that_trusts_the_order_of_arrival_is_wrong_somewhere() -> None:
    wrong = 0
    for seed, run in RUNS:
        facts = interleaved(Random(seed), run.partitions)
        arrived = [fact._replace(version=Version(0, n, 0)) for n, fact in enumerate(facts)]
        wrong += numbers(folded(arrived)) != true_count(run.steps[-1].truth)

    assert wrong > 0


def facts_of(run: Run) -> list[LogFact]:
    return [fact for partition in run.partitions for fact in partition]


def test_the_simulator_shows_commits_in_another_order_than_the_writes() -> None:
    def overtakes(run: Run) -> bool:
        versions = sorted({fact.version for fact in facts_of(run)})
        return any(a[0] == b[0] and a[2] > b[2] for a, b in pairwise(versions))

    assert sum(overtakes(run) for _, run in RUNS) > len(RUNS) // 2


def test_the_simulator_shows_key_changes_truncations_repeats_and_new_databases() -> None:
    seen = dict.fromkeys(("key change", "truncation", "repeat", "epoch", "late clock"), 0)
    for _, run in RUNS:
        facts = facts_of(run)
        kinds: dict[Version, set[type]] = {}
        for fact in facts:
            kinds.setdefault(fact.version, set()).add(type(fact))
        seen["key change"] += any({Enrolled, Removed} <= kind for kind in kinds.values())
        seen["truncation"] += any(isinstance(fact, Truncated) for fact in facts)
        seen["repeat"] += len(set(facts)) < len(facts)
        seen["epoch"] += any(fact.version.major for fact in facts)
        seen["late clock"] += any(
            old.at > new.at and old.version < new.version
            for old in facts
            for new in facts
            if isinstance(old, Enrolled) and isinstance(new, Removed) and old.face == new.face
        )

    assert min(seen.values()) > len(RUNS) // 10
