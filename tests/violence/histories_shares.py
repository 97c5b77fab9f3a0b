"""What a history is full of, so that the generator cannot rot without being noticed.

A million histories prove little if few of them hold what the merge rule is about. ``traits`` names
what is in one; the runner counts them over a sample and the tests ask for a least share of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import pairwise
from random import Random

from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Order,
    Purged,
    StorageFact,
    SubjectRemoved,
    Truncated,
)
from tests import oracle
from tests.violence.histories_arranging import lagging
from tests.violence.histories_making import PROCESSORS
from tests.violence.histories_truth import Face, Truth, first_reach, truth

LEAST: dict[str, float] = {
    "tie in a slot": 0.35,
    "tie of links": 0.20,
    "move to another owner": 0.50,
    "move to another processor": 0.28,
    "link in force": 0.45,
    "chain of links": 0.07,
    "unlinked": 0.20,
    "face covered by a scope removal": 0.40,
    "face covered by a truncation": 0.15,
    "scope removal that ties with a face": 0.45,
    "face older than what it was told after": 0.30,
    "log against the clock": 0.35,
    "row dated by a column": 0.13,
    "store of two processors": 0.33,
    "in research": 0.40,
    "number falls": 0.33,
    "reach that is lost and comes again": 0.12,
    "late fact that moves the trigger day": 0.11,
}
_THRESHOLDS = (1, 2, 3)


def traits(facts: Sequence[StorageFact], said: Truth, rnd: Random) -> Counter[str]:
    """Return which of ``LEAST`` are in a history, each once; *rnd* draws a delivery."""
    found = {*_of_slots(said), *_of_links(facts, said), *_of_numbers(said)}
    found |= set(_of_facts(facts))
    if _day_moves(lagging(rnd, facts), said):
        found.add("late fact that moves the trigger day")
    return Counter(found)


def _of_slots(said: Truth) -> Iterator[str]:
    last = max(said.counts)
    for slot in said.slots:
        best = slot[0]
        if any(one.said.version == best.said.version for one in slot[1:]):
            yield "tie in a slot"
        owners = {
            (one.said.place.processor, one.said.subject)
            for one in slot
            if isinstance(one.said, Enrolled)
        }
        if len(owners) > 1:
            yield "move to another owner"
        if len({processor for processor, _ in owners}) > 1:
            yield "move to another processor"
        if isinstance(best.said, Enrolled) and best.ends <= last:
            yield "face covered by a scope removal"
        if best.said.store.order is Order.LOG and _against_the_clock(slot):
            yield "log against the clock"
        if any(best.at < one.at for one in slot[1:]):
            yield "face older than what it was told after"


def _against_the_clock(slot: Sequence[Face]) -> bool:
    return any(better.at < worse.at for better, worse in pairwise(slot))


def _of_links(facts: Sequence[StorageFact], said: Truth) -> Iterator[str]:
    in_force = {who: link for who, link in said.links.items() if link.individual is not None}
    if in_force:
        yield "link in force"
    if len(in_force) < len(said.links):
        yield "unlinked"
    for (processor, subject), link in in_force.items():
        further = in_force.get((processor, link.individual or b""))
        if further is not None and further.individual != link.individual != subject:
            yield "chain of links"
    versions: Counter[tuple[object, ...]] = Counter()
    for one in {fact for fact in facts if isinstance(fact, Linked)}:
        versions[one.processor, one.subject, one.version] += 1
    if any(times > 1 for times in versions.values()):
        yield "tie of links"


def _of_facts(facts: Sequence[StorageFact]) -> Iterator[str]:
    faces = [fact for fact in facts if isinstance(fact, Enrolled)]
    tenants: dict[str, set[str]] = {}
    for face in faces:
        tenants.setdefault(face.store.name, set()).add(face.place.processor)
        if face.read_at != face.at:
            yield "row dated by a column"
    if any(len(processors) > 1 for processors in tenants.values()):
        yield "store of two processors"
    for fact in facts:
        if not isinstance(fact, SubjectRemoved | Purged | Truncated):
            continue
        covered = [face for face in faces if oracle.covers(fact, face)]
        if isinstance(fact, Truncated):
            if any(face.version < fact.version for face in covered):
                yield "face covered by a truncation"
        elif any(face.read_at == fact.at and oracle.is_newer(face, fact) for face in covered):
            yield "scope removal that ties with a face"


def _of_numbers(said: Truth) -> Iterator[str]:
    if any(one.research for counts in said.counts.values() for one in counts.values()):
        yield "in research"
    for processor in PROCESSORS:
        numbers = list(said.numbers(processor).values())
        falls = [i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1]]
        if falls:
            yield "number falls"
        for threshold in _THRESHOLDS:
            over = [number >= threshold for number in numbers]
            if (
                sum(now and not before for before, now in zip([False, *over], over, strict=False))
                > 1
            ):
                yield "reach that is lost and comes again"


def _day_moves(delivery: Sequence[StorageFact], said: Truth) -> bool:
    """Tell whether the second half of *delivery* holds a late fact that moves a trigger day."""
    known = delivery[: len(delivery) // 2]
    if not known:
        return False
    told, before = max(fact.at for fact in known), truth(known)
    for processor in PROCESSORS:
        early, late = before.numbers(processor), said.numbers(processor)
        for threshold in _THRESHOLDS:
            was, now = first_reach(early, threshold), first_reach(late, threshold)
            if was is not None and _day(was) != _day(now):
                return True  # a reach that was known is gone, or another one
            if was is None and now is not None and now < told:
                return True  # one that was missed, in the past
    return False


def _day(at: Instant | None) -> int | None:
    """Return the number of the day in Beijing."""
    return None if at is None else (at + _BEIJING) // _DAY


_BEIJING: Instant = timedelta(hours=8) // timedelta(microseconds=1)
_DAY: Instant = timedelta(days=1) // timedelta(microseconds=1)
