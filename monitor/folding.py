"""Folding a batch into the ledger, and what that can have done to a threshold.

The number at the end of a batch follows from the registers. Whether the number *was ever* at a
threshold is a question about every instant, and answering it exactly takes the whole book. Three
facts keep that rare (``docs/decisions/0002-trigger-day.md``):

- facts newer than all known ones only continue the curve of the number, so its next points are
  exact when they are folded instant by instant;
- any one fact raises the number at any instant by one at the most, so ``peak``, an upper bound of
  all that ever was, can be carried along, and nothing was reached while it is below;
- a fact later than a known first reach cannot move it.

What is left is marked ``recount_due`` and looked back on from the book.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Order,
    Purged,
    Removed,
    StorageFact,
    SubjectRemoved,
    Truncated,
)
from monitor.history import Point
from monitor.ledger import Assignment, Ledger, SlotKey, SubjectKey, slot_of

_AT = attrgetter("at")


@dataclass(slots=True)
class Movement:
    """What a batch did to one processor."""

    first_at: Instant  # oldest and newest instant of its new facts
    last_at: Instant
    raising: int = 0  # facts that can have raised the number somewhere
    raising_late: int = 0  # those of them not newer than all that was known
    points: list[Point] = field(default_factory=list)  # change of the number, by instant


@dataclass(slots=True)
class Folded:
    """The outcome of one batch."""

    fresh: list[StorageFact] = field(default_factory=list)  # for the book: not known already
    subjects: set[SubjectKey] = field(default_factory=set)  # rows to write
    slots: set[SlotKey] = field(default_factory=set)  # named slots to write
    scopes: list[StorageFact] = field(default_factory=list)  # purges and truncations in force
    movements: dict[str, Movement] = field(default_factory=dict)  # by processor


def fold(
    ledger: Ledger,
    facts: Sequence[StorageFact],
    *,
    tenants: Mapping[str, Sequence[str]],
    last_at: Mapping[str, Instant],
    instant_by_instant: bool,
) -> Folded:
    """Apply *facts* to the loaded, settled *ledger*.

    *tenants* names the processors that have slots in a store, *last_at* the newest instant known
    of a processor. With *instant_by_instant* the points of each movement are filled in (relative
    to the number before the batch); it costs a settling for each instant.
    """
    folded = Folded()
    if not instant_by_instant:
        for fact in facts:
            _fold_one(ledger, fact, folded, tenants, last_at)
        ledger.settle()
        return folded
    base = {name: stock.individuals for name, stock in ledger.stock.items()}
    for at, together in groupby(sorted(facts, key=_AT), key=_AT):
        for fact in together:
            _fold_one(ledger, fact, folded, tenants, last_at)
        ledger.settle()
        _note_points(ledger, folded, base, at)
    return folded


def _note_points(ledger: Ledger, folded: Folded, base: Mapping[str, int], at: Instant) -> None:
    for processor, movement in folded.movements.items():
        stock = ledger.stock.get(processor)
        change = (stock.individuals if stock else 0) - base.get(processor, 0)
        if not movement.points or movement.points[-1].individuals != change:
            movement.points.append(Point(at, change))


def _fold_one(
    ledger: Ledger,
    fact: StorageFact,
    folded: Folded,
    tenants: Mapping[str, Sequence[str]],
    last_at: Mapping[str, Instant],
) -> None:
    if isinstance(fact, (Enrolled, Removed)):
        key = slot_of(fact)
        known = ledger.slots.get(key)
        gains = isinstance(fact, Enrolled) and _raises(ledger, fact)
        if ledger.assign(key, fact, known):
            _touch(folded, key, fact, known)
        elif known == fact:
            return  # a repetition
        owner = fact.place.processor if fact.place else None
        _move(folded, owner, fact.at, last_at, gains=gains)
        # An unnamed slot is of one gallery: other tenants of the store have no part in it.
        for tenant in tenants.get(fact.store.name, ()) if fact.face else ():
            if tenant != owner:
                _move(folded, tenant, fact.at, last_at, gains=False)
    elif not _fold_other(ledger, fact, folded, tenants, last_at):
        return
    folded.fresh.append(fact)


def _fold_other(
    ledger: Ledger,
    fact: SubjectRemoved | Linked | Purged | Truncated,
    folded: Folded,
    tenants: Mapping[str, Sequence[str]],
    last_at: Mapping[str, Instant],
) -> bool:
    """Fold a fact that is not about one slot; return False if it was known."""
    # The position of a truncation in a log says nothing of its instant: the book must tell.
    undated = isinstance(fact, Truncated) and fact.store.order is Order.LOG
    if ledger.knows(fact) and not undated:
        return False
    changed = ledger.apply(fact)
    if changed and isinstance(fact, (SubjectRemoved, Linked)):
        folded.subjects.add((fact.processor, fact.subject))
    elif changed:
        folded.scopes.append(fact)
    if isinstance(fact, Truncated):
        for tenant in tenants.get(fact.store.name, ()):
            _move(folded, tenant, fact.at, last_at, gains=False)
    else:
        _move(folded, fact.processor, fact.at, last_at, gains=isinstance(fact, Linked))
    return True


def _raises(ledger: Ledger, fact: Enrolled) -> bool:
    """Tell whether *fact* can raise the number at any instant.

    It cannot if its subject has a live face since before, this one or another: from then on they
    were stored at every instant until now, whoever they are linked with, and still are without
    this fact.
    """
    slots = ledger.owned.get((fact.place.processor, fact.subject))
    if not slots:
        return True
    for held in slots.values():
        if not isinstance(held, Enrolled) or held.at > fact.at:
            continue
        if ledger.alike(held.place, fact.place) and ledger.live(held):
            return False
    return True


def _touch(folded: Folded, key: SlotKey, fact: Assignment, known: Assignment | None) -> None:
    if fact.face:
        folded.slots.add(key)
    if fact.place is not None and fact.subject is not None:
        folded.subjects.add((fact.place.processor, fact.subject))
    if isinstance(known, Enrolled):
        folded.subjects.add((known.place.processor, known.subject))


def _move(
    folded: Folded,
    processor: str | None,
    at: Instant,
    last_at: Mapping[str, Instant],
    *,
    gains: bool,
) -> None:
    if processor is None:
        return
    movement = folded.movements.get(processor)
    if movement is None:
        movement = folded.movements[processor] = Movement(at, at)
    elif at < movement.first_at:
        movement.first_at = at
    elif at > movement.last_at:
        movement.last_at = at
    if gains:
        movement.raising += 1
        if at <= last_at.get(processor, -1):
            movement.raising_late += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is carried along for one processor (see the module's head)."""

    last_at: Instant = -1
    peak: int = 0
    recount_due: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What a batch means for the thresholds of one processor."""

    watch: Watch
    reached: Mapping[int, Point]  # thresholds first reached in this batch, known exactly
    passed: bool = False  # one that is armed anew may have been: only a look back can tell


def near(
    before: int, peak: int, facts: int, unreached: Iterable[int], armed: Iterable[int] = ()
) -> bool:
    """Tell whether *facts* more could bring a processor to one of the *unreached* thresholds.

    One that is *armed* anew was passed before, so what was high in the past does not matter.
    """
    highest = max(before, peak) + facts
    return any(highest >= at_least for at_least in unreached) or any(
        before + facts >= at_least for at_least in armed
    )


def _may_pass(watch: Watch, movement: Movement, before: int, at_least: int, after: Instant) -> bool:
    """Tell whether the number can have passed *at_least* from below since *after*."""
    if movement.first_at <= watch.last_at:
        return max(watch.peak + movement.raising_late, before + movement.raising) >= at_least
    if before + movement.raising < at_least:
        return False
    if not movement.points:
        return True
    below = before < at_least
    for point in movement.points:
        reached = before + point.individuals >= at_least
        if below and reached and point.at > after:
            return True
        below = not reached
    return False


def look(
    watch: Watch,
    movement: Movement,
    before: int,
    unreached: Iterable[int],
    reached_at: Iterable[Instant],
    armed: Iterable[tuple[int, Instant]] = (),
) -> Looked:
    """Decide what *movement* means: thresholds reached exactly now, or a recount that is due.

    *before* is the number before the batch, *unreached* the thresholds never reached so far, and
    *reached_at* the instants at which the others were first reached. Of those that are *armed*
    anew, with the instant since when, a look back finds the reach.
    """
    due = watch.recount_due or any(movement.first_at <= at for at in reached_at)
    peak = max(watch.peak + movement.raising_late, before + movement.raising)
    reached: dict[int, Point] = {}
    if any(peak >= at_least for at_least in unreached):
        if movement.first_at > watch.last_at and movement.points and not watch.recount_due:
            curve = [Point(p.at, before + p.individuals) for p in movement.points]
            peak = max(before, *(point.individuals for point in curve))
            for at_least in unreached:
                point = next((p for p in curve if p.individuals >= at_least), None)
                if point is not None:
                    reached[at_least] = point
        else:
            due = True
    passed = any(_may_pass(watch, movement, before, *one) for one in armed)
    last_at = max(watch.last_at, movement.last_at)
    followed = Watch(last_at=last_at, peak=max(peak, watch.peak), recount_due=due or passed)
    return Looked(followed, reached, passed)
