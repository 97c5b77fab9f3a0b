"""The same facts as they may arrive: in any order, twice, in other batches, by several partitions.

A *delivery* is a list of batches. Nothing that a delivery does may change what the facts come to.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeAlias

from monitor.facts import StorageFact

Batches: TypeAlias = list[list[StorageFact]]


def permuted(rnd: Random, facts: Sequence[StorageFact]) -> list[StorageFact]:
    """Return *facts* in any order."""
    draw = rnd.random
    drawn = sorted((draw(), index) for index in range(len(facts)))
    return [facts[index] for _, index in drawn]


def repeated(rnd: Random, facts: Sequence[StorageFact]) -> list[StorageFact]:
    """Return *facts* in any order, up to half of them twice."""
    draw = rnd.random
    share = draw() / 2
    return permuted(rnd, [*facts, *(fact for fact in facts if draw() < share)])


def batched(rnd: Random, facts: Sequence[StorageFact], cuts: float = 0.6) -> Batches:
    """Return *facts* cut into batches of any sizes, none of them empty.

    There is a cut after up to a share *cuts* of the facts.
    """
    draw = rnd.random
    cut = draw() * cuts
    batches: Batches = [[facts[0]]]
    for fact in facts[1:]:
        if draw() < cut:
            batches.append([fact])
        else:
            batches[-1].append(fact)
    return batches


def lagging(rnd: Random, facts: Sequence[StorageFact]) -> list[StorageFact]:
    """Return *facts* by event time, but some of them late: what partitions really look like."""
    draw = rnd.random
    late = draw() * 0.5
    order = sorted(
        (place + (draw() * len(facts) if draw() < late else 0.0), place)
        for place in range(len(facts))
    )
    by_time = sorted(facts, key=lambda fact: fact.at)
    return [by_time[place] for _, place in order]


def split(rnd: Random, facts: Sequence[StorageFact]) -> list[list[StorageFact]]:
    """Deal *facts* to two to four partitions, keyed by nothing; an empty one is left out."""
    draw, number = rnd.random, 2 + int(rnd.random() * 3)
    parts: list[list[StorageFact]] = [[] for _ in range(number)]
    for fact in facts:
        parts[int(draw() * number)].append(fact)
    return [part for part in parts if part]


def interleaved(rnd: Random, parts: Sequence[Batches]) -> Batches:
    """Return the batches of several partitions as one worker meets them, each in its own order."""
    draw = rnd.random
    left = [list(reversed(batches)) for batches in parts]
    met: Batches = []
    while left:
        turn = int(draw() * len(left))
        met.append(left[turn].pop())
        if not left[turn]:
            left.pop(turn)
    return met
