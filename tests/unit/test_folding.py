"""Which batches reach a threshold, which must be looked back on, and which need neither.

The property is the promise of ``monitor.folding``: a threshold is either found exactly in the
batch that reaches it, or a recount is marked as due; it is never missed and never made up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

import pytest

from monitor.facts import Enrolled, Instant, Removed, StorageFact
from monitor.folding import Movement, Watch, fold, look, near
from monitor.history import Point, look_back
from monitor.ledger import Ledger
from tests import oracle
from tests.builders import (
    ACME,
    ANN,
    BETA,
    BETA_GATE,
    BOB,
    CY,
    LEFT,
    PAY,
    SHARED,
    enrolled,
    face_removed,
    linked,
    nothing_is_research,
    removed,
    row,
    truncated,
)
from tests.histories import (
    PROCESSORS,
    PROFILES,
    START,
    STEP,
    history,
    rebatched,
    research,
    smallest,
)

LATE = 100  # the newest instant known in the tables below


@pytest.mark.parametrize(
    ("before", "peak", "facts", "unreached", "expected"),
    [
        # Nobody could be enough.
        (0, 0, 4, [5], False),
        # Every fact raises the number by one at the most, and equal is enough.
        (0, 0, 5, [5], True),
        (3, 3, 2, [5], True),
        # The highest number of the past counts: a late fact may raise it there.
        (0, 4, 1, [5], True),
        # One threshold is enough, and without any there is nothing to look for.
        (0, 0, 2, [9, 2], True),
        (0, 0, 99, [], False),
        # A batch without facts that raise is never near while the past is below.
        (4, 4, 0, [5], False),
    ],
)
def test_near(
    before: int,
    peak: int,
    facts: int,
    unreached: list[int],
    *,
    expected: bool,
) -> None:
    assert near(before, peak, facts, unreached) is expected


def moved(
    first_at: Instant, last_at: Instant, raising: int, late: int = 0, *points: tuple[int, int]
) -> Movement:
    return Movement(first_at, last_at, raising, late, [Point(*point) for point in points])


KNOWN = Watch(last_at=LATE, peak=3)


@pytest.mark.parametrize(
    ("movement", "before", "unreached", "reached_at", "expected", "reached"),
    [
        # Far below: the bound grows by what could have been raised.
        (moved(101, 102, 1), 3, [9], [], Watch(last_at=102, peak=4), {}),
        # Late facts raise the bound of the past, and the newest instant stays.
        (moved(50, 60, 2, 2), 1, [9], [], Watch(last_at=LATE, peak=5), {}),
        # Reached by facts newer than all known ones: exact, and so is the peak.
        (
            moved(101, 103, 2, 0, (101, 1), (103, 2)),
            3,
            [5],
            [],
            Watch(last_at=103, peak=5),
            {5: Point(103, 5)},
        ),
        # Passed within the batch and left again before its end.
        (
            moved(101, 103, 2, 0, (101, 2), (103, 0)),
            3,
            [5],
            [],
            Watch(last_at=103, peak=5),
            {5: Point(101, 5)},
        ),
        # It could have been, and was not: known exactly, too.
        (moved(101, 103, 2, 0, (101, 1)), 3, [5], [], Watch(last_at=103, peak=4), {}),
        # As many new as late facts: only a look back can tell.
        (
            moved(99, 103, 2, 1, (99, 1), (103, 2)),
            3,
            [5],
            [],
            Watch(last_at=103, peak=5, recount_due=True),
            {},
        ),
        # A fact of the newest known instant is late: that instant is not over.
        (
            moved(LATE, LATE, 2, 2, (LATE, 2)),
            3,
            [5],
            [],
            Watch(last_at=LATE, peak=5, recount_due=True),
            {},
        ),
        # Newer facts that were not followed instant by instant.
        (moved(101, 103, 2), 3, [5], [], Watch(last_at=103, peak=5, recount_due=True), {}),
        # Older than a known first reach, or of its instant: it may move it.
        (moved(80, 80, 0), 3, [], [80], Watch(last_at=LATE, peak=3, recount_due=True), {}),
        (moved(79, 120, 0), 3, [], [80], Watch(last_at=120, peak=3, recount_due=True), {}),
        # Later than a known first reach: it cannot.
        (moved(81, 81, 1, 1), 3, [], [80], Watch(last_at=LATE, peak=4), {}),
    ],
)
def test_look(
    movement: Movement,
    before: int,
    unreached: list[int],
    reached_at: list[Instant],
    expected: Watch,
    reached: Mapping[int, Point],
) -> None:
    looked = look(KNOWN, movement, before, unreached, reached_at)

    assert (looked.watch, looked.reached) == (expected, reached)


def test_while_a_recount_is_due_nothing_is_exact() -> None:
    due = replace(KNOWN, recount_due=True)
    looked = look(due, moved(101, 101, 2, 0, (101, 2)), 3, [5], [])

    assert (looked.watch.recount_due, looked.reached) == (True, {})


# -- what a batch did --------------------------------------------------------------------------


def movement_of(
    *facts: StorageFact, known: Sequence[StorageFact] = (), last_at: int = 0
) -> Movement:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all(known)
    folded = fold(ledger, facts, tenants={}, last_at={ACME: last_at}, instant_by_instant=False)
    return folded.movements[ACME]


@pytest.mark.parametrize(
    ("fact", "raises"),
    [
        (enrolled(BOB, 20), True),
        # Stored already, from an older instant on: there, or elsewhere.
        (enrolled(ANN, 20), False),
        (enrolled(ANN, 20, place=PAY), False),
        # Stored, but from a later instant on: it counts between the two.
        (enrolled(ANN, 5), True),
        (enrolled(ANN, 5, place=PAY), True),
        (removed(ANN, 20), False),
        # A link may part two who were one.
        (linked(ANN, BOB, 20), True),
    ],
)
def test_which_facts_can_raise_a_number(fact: StorageFact, *, raises: bool) -> None:
    movement = movement_of(fact, known=[enrolled(ANN, 10)])

    assert movement.raising == int(raises)


def test_a_refreshed_face_that_is_not_live_raises_the_number() -> None:
    gone: list[StorageFact] = [row(LEFT, ANN, (0, 1, 1), 10), truncated((0, 2, 2), 11)]

    assert movement_of(row(LEFT, ANN, (0, 3, 3), 12), known=gone).raising == 1


def test_a_face_in_operation_raises_the_number_of_somebody_stored_for_research() -> None:
    ledger = Ledger(lambda place: place == PAY)
    ledger.apply_all([enrolled(ANN, 10, place=PAY)])
    facts = [enrolled(ANN, 20)]
    folded = fold(ledger, facts, tenants={}, last_at={}, instant_by_instant=False)

    assert folded.movements[ACME].raising == 1


def test_a_raising_fact_not_newer_than_all_that_was_known_is_late() -> None:
    movement = movement_of(
        enrolled(ANN, 9), enrolled(BOB, 10), enrolled(CY, 11), known=[], last_at=10
    )

    assert (movement.raising, movement.raising_late) == (3, 2)
    assert (movement.first_at, movement.last_at) == (9, 11)


def test_a_movement_spans_its_facts_in_whatever_order_they_came() -> None:
    facts: list[StorageFact] = [enrolled(ANN, 12), enrolled(BOB, 9), enrolled(CY, 15)]

    movement = movement_of(*facts)

    assert (movement.first_at, movement.last_at) == (9, 15)


def test_a_repetition_to_the_letter_moves_nobody() -> None:
    ledger = Ledger(nothing_is_research)
    known: list[StorageFact] = [enrolled(ANN, 10), linked(ANN, BOB, 11)]
    ledger.apply_all(known)
    folded = fold(ledger, known, tenants={}, last_at={}, instant_by_instant=True)

    assert (folded.fresh, folded.movements) == ([], {})


def test_an_older_fact_that_loses_is_written_down_and_moves() -> None:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all([enrolled(ANN, 10)])
    late = enrolled(ANN, 5)
    folded = fold(ledger, [late], tenants={}, last_at={}, instant_by_instant=False)

    assert (folded.fresh, list(folded.movements)) == ([late], [ACME])


def test_a_named_slot_moves_all_tenants_of_its_store_and_an_unnamed_one_its_owner() -> None:
    tenants = {SHARED.name: [ACME, BETA]}
    found = [
        set(
            fold(
                Ledger(nothing_is_research),
                [fact],
                tenants=tenants,
                last_at={},
                instant_by_instant=False,
            ).movements
        )
        for fact in (
            face_removed(LEFT, 1, store=SHARED),
            enrolled(ANN, 1, face=LEFT, store=SHARED),
            enrolled(ANN, 1, store=SHARED),
        )
    ]

    assert found == [{ACME, BETA}, {ACME, BETA}, {ACME}]


def test_a_truncation_in_a_log_is_known_by_the_book_alone() -> None:
    """Its position says nothing of its instant, so as-of numbers need both tellings."""
    ledger = Ledger(nothing_is_research)
    ledger.apply_all([truncated((0, 9, 9), 20)])
    earlier = truncated((0, 9, 9), 10)
    folded = fold(ledger, [earlier], tenants={}, last_at={}, instant_by_instant=False)

    assert folded.fresh == [earlier]


def test_points_are_the_change_after_each_instant() -> None:
    ledger = Ledger(nothing_is_research)
    ledger.apply_all([enrolled(ANN, 10)])
    facts: list[StorageFact] = [
        enrolled(CY, 30),
        enrolled(BOB, 20),
        removed(ANN, 30),
        enrolled(BOB, 40, place=BETA_GATE),
    ]
    folded = fold(ledger, facts, tenants={}, last_at={}, instant_by_instant=True)

    assert folded.movements[ACME].points == [Point(20, 1)]
    assert folded.movements[BETA].points == [Point(40, 1)]


# -- never missed, never made up ---------------------------------------------------------------

THRESHOLDS = (1, 2, 3)
SEEDS = range(int(os.environ.get("FACETALLY_SEEDS", "150")))


class Watching:
    """What the store carries along for one processor, over a whole ledger in memory."""

    def __init__(self, processor: str, tenants: Mapping[str, Sequence[str]]) -> None:
        self._processor, self._tenants = processor, tenants
        self._ledger = Ledger(research)
        self._book: list[StorageFact] = []
        self.watch = Watch()
        self.reached: dict[int, Instant] = {}

    def number(self) -> int:
        stock = self._ledger.stock.get(self._processor)
        return stock.individuals if stock else 0

    def keep(self, facts: Sequence[StorageFact]) -> None:
        before = self.number()
        last_at = {self._processor: self.watch.last_at}
        folded = fold(
            self._ledger, facts, tenants=self._tenants, last_at=last_at, instant_by_instant=True
        )
        self._book += folded.fresh
        movement = folded.movements.get(self._processor)
        if movement is None:
            return
        unreached = [n for n in THRESHOLDS if n not in self.reached]
        looked = look(self.watch, movement, before, unreached, self.reached.values())
        self.watch = looked.watch
        self.reached |= {n: point.at for n, point in looked.reached.items()}

    def recount(self) -> None:
        wanted = [(n, None) for n in THRESHOLDS]
        found = look_back(self._book, self._processor, wanted, research)
        self.reached = {n: point.at for n, point in found.reaches.items() if point is not None}
        self.watch = replace(self.watch, peak=found.peak, recount_due=False)


def tenants_of(facts: Sequence[StorageFact]) -> dict[str, list[str]]:
    """Return who has slots in each store, as if all of it were known from the start."""
    slots = [f for f in facts if isinstance(f, Enrolled | Removed) and f.place is not None]
    pairs = {(fact.store.name, fact.place.processor) for fact in slots if fact.place}
    return {store: [p for s, p in sorted(pairs) if s == store] for store, _ in pairs}


def misses(seed: int, facts: Sequence[StorageFact]) -> list[str]:
    """Return what is wrong after any batch; a recount is done now and then, where it is due."""
    rnd = Random(seed)
    tenants = tenants_of(facts)
    watching = {name: Watching(name, tenants) for name in PROCESSORS}
    seen: list[StorageFact] = []
    wrong: list[str] = []
    for part in rebatched(rnd, facts):
        seen += part
        for processor, one in watching.items():
            one.keep(part)
            if one.watch.recount_due and rnd.random() < 0.5:
                one.recount()
            wrong += _wrong(processor, one, seen)
    return wrong


def _fails(seed: int, facts: Sequence[StorageFact]) -> bool:
    return bool(misses(seed, facts))


def _wrong(processor: str, one: Watching, seen: Sequence[StorageFact]) -> list[str]:
    numbers = oracle.timeline(seen, processor, research)
    if max(numbers.values()) > one.watch.peak:
        return [f"{processor}: the peak was {max(numbers.values())}, not {one.watch.peak}"]
    if one.watch.recount_due:
        return []
    expected = {n: oracle.first_reach(numbers, n) for n in THRESHOLDS}
    found = {n: one.reached.get(n) for n in THRESHOLDS}
    return [] if found == expected else [f"{processor}: reached {found}, and not {expected}"]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_threshold_is_found_exactly_or_a_recount_is_due(profile: str) -> None:
    for seed in SEEDS:
        facts = history(Random(seed), PROFILES[profile])
        if not misses(seed, facts):
            continue
        least = smallest(facts, partial(_fails, seed))
        told = "\n".join([*misses(seed, least), "of which", *map(repr, least)])
        pytest.fail(f"profile {profile}, seed {seed}:\n{told}")


def test_histories_in_order_are_followed_without_any_recount() -> None:
    """The other half of the promise: what is read as it happens costs no look back."""
    watching = Watching(ACME, {})
    at = START
    for subject in (ANN, BOB, CY):
        at += STEP
        watching.keep([enrolled(subject, at)])

    assert not watching.watch.recount_due
    assert watching.reached == {n: START + n * STEP for n in THRESHOLDS}
