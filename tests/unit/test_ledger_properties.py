"""Any order, any repeats, any batches: the ledger is what the brute-force oracle says.

Each claim is held over 4,900 random histories: 600 seeded ones of each of seven profiles, the
same in every run (``make mutants`` takes fewer), and 100 that hypothesis draws afresh. A seeded
failure is told with the profile, the seed and the smallest part of the history that still fails.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from random import Random
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from monitor.digest import combine, digest, link_register, registers, slot_register
from monitor.facts import Instant, Linked, StorageFact
from monitor.history import Point, as_of, curve, first_reach, look_back
from monitor.ledger import Ledger, Standing
from tests import oracle
from tests.builders import numbers
from tests.histories import (
    PROCESSORS,
    PROFILES,
    Batches,
    Profile,
    histories,
    history,
    instant,
    rebatched,
    research,
    smallest,
)

SEEDS = range(int(os.environ.get("FACETALLY_SEEDS", "600")))
DRAWN = settings(
    max_examples=100,
    deadline=None,
    derandomize=False,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink],  # explaining a failure takes a minute
    suppress_health_check=[HealthCheck.too_slow],
)
Claim: TypeAlias = Callable[[Sequence[StorageFact], Random], bool]


def folded(batches: Batches) -> Ledger:
    ledger = Ledger(research)
    for batch in batches:
        ledger.apply_all(batch)
    return ledger


def expected_standings(facts: Sequence[StorageFact]) -> dict[oracle.Individual, Standing]:
    return {
        who: Standing(
            operation=not all(research(place) for place in places),
            research=any(research(place) for place in places),
            systems=frozenset(place.system for place in places),
        )
        for who, places in oracle.stored(facts).items()
    }


def stock_is_right(facts: Sequence[StorageFact], rnd: Random) -> bool:
    ledgers = [folded(rebatched(rnd, facts)) for _ in range(3)]
    expected = oracle.stock(facts, research)
    return all(numbers(ledger) == expected for ledger in ledgers)


def standing_is_right(facts: Sequence[StorageFact], rnd: Random) -> bool:
    expected = expected_standings(facts)
    return all(folded(rebatched(rnd, facts)).standing == expected for _ in range(2))


def as_of_is_right(facts: Sequence[StorageFact], rnd: Random) -> bool:
    ats = [*(rnd.choice(facts).at for _ in range(3)), instant(rnd, Profile(())) - 1]
    arranged = list(chain.from_iterable(rebatched(rnd, facts)))
    return all(
        numbers(as_of(arranged, t, research)) == oracle.stock(facts, research, t) for t in ats
    )


def reaches_are_right(facts: Sequence[StorageFact], rnd: Random) -> bool:
    arranged = list(chain.from_iterable(rebatched(rnd, facts)))
    processor = rnd.choice(PROCESSORS)
    timeline = oracle.timeline(facts, processor, research)
    after = rnd.choice(facts).at + rnd.choice((-1, 0, 1))
    found = look_back(arranged, processor, ((n, None) for n in (1, 2, 3)), research)
    reaches: dict[tuple[int, Instant | None], Point | None]
    reaches = {(n, None): found.reaches[n] for n in (1, 2, 3)}
    points = list(curve(arranged, processor, research))
    reaches |= {(n, after): first_reach(points, n, after) for n in (1, 2)}
    sweep = (found.peak, found.last_at) == (max(timeline.values()), max(timeline))
    return sweep and all(
        (point.at if point else None) == oracle.first_reach(timeline, n, since)
        and (point is None or point.individuals == timeline[point.at])
        for (n, since), point in reaches.items()
    )


def digest_is_one(facts: Sequence[StorageFact], rnd: Random) -> bool:
    return len({digest(folded(rebatched(rnd, facts))) for _ in range(4)}) == 1


def registers_are_the_newest(facts: Sequence[StorageFact], rnd: Random) -> bool:
    """Slots and links in the digest are what the oracle finds to be said last."""
    ledger = folded(rebatched(rnd, facts))
    links = [fact for fact in facts if isinstance(fact, Linked)]
    last = [
        link_register(link)
        for link in dict.fromkeys(links)
        if not any(
            (other.processor, other.subject) == (link.processor, link.subject)
            and oracle.link_beats(other, link)
            for other in links
        )
    ]
    expected = [*(slot_register(fact) for fact in oracle.newest_assignments(facts)), *last]
    found = [r for r in registers(ledger) if r[0] in {"Enrolled", "Removed", "link"}]
    return combine(found) == combine(expected) and len(found) == len(expected)


CLAIMS: dict[str, Claim] = {
    "stock by purpose and by system": stock_is_right,
    "standing of each individual": standing_is_right,
    "stock as of an instant": as_of_is_right,
    "first instant of a reach": reaches_are_right,
    "bit-identical digest": digest_is_one,
    "registers hold what was said last": registers_are_the_newest,
}


def fails(holds: Claim, seed: int, facts: Sequence[StorageFact]) -> bool:
    return not holds(facts, Random(seed))


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("profile", PROFILES)
def test_seeded_histories_in_any_order_agree_with_the_oracle(profile: str, claim: str) -> None:
    holds = CLAIMS[claim]
    for seed in SEEDS:
        facts = history(Random(seed), PROFILES[profile])
        if not fails(holds, seed, facts):
            continue
        least = smallest(facts, partial(fails, holds, seed))
        told = "\n".join(map(repr, least))
        pytest.fail(f"{claim} is wrong: profile {profile}, seed {seed}, of which\n{told}")


@pytest.mark.parametrize("profile", PROFILES)
def test_drawn_histories_in_any_order_agree_with_the_oracle(profile: str) -> None:
    @DRAWN
    @given(histories(PROFILES[profile]), st.randoms(use_true_random=False))
    def check(facts: list[StorageFact], rnd: Random) -> None:
        assert [claim for claim, holds in CLAIMS.items() if not holds(facts, rnd)] == []

    check()
