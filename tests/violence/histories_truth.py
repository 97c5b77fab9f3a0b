"""What a history comes to, by another way of computing than the ledger's.

The definitions are those of ``tests/oracle.py`` (which assignment beats which, what a scope
removal covers); only the arithmetic is faster. A face counts from its own instant until the first
instant of a scope removal that it does not outlive, and only while nothing better is said of its
slot: so each slot is a list of intervals, best first, and the number at any instant is read off.
No ledger, no registers, nothing carried from one instant to the next. ``tests/oracle.py`` itself is
asked about a share of the histories, so that both must agree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import NamedTuple, TypeAlias

from monitor.facts import (
    Enrolled,
    Instant,
    Linked,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    SubjectRemoved,
    Truncated,
    Version,
)
from tests import oracle
from tests.violence.histories_making import research

Individual: TypeAlias = tuple[str, SubjectHash]
Stored: TypeAlias = Mapping[Individual, frozenset[Place]]
Scope: TypeAlias = tuple[str | None, ...]
NEVER: Instant = 1 << 62


class Face(NamedTuple):
    """What is said of a slot from *at* on; until *ends* somebody is there, if at all."""

    at: Instant
    ends: Instant
    said: oracle.Assignment


class Standing(NamedTuple):
    """An individual in the statutory number, in research, and by system."""

    operation: bool
    research: bool
    systems: frozenset[str]


class Truth(NamedTuple):
    """The stock after each instant, oldest first, and what the registers end up with."""

    counts: Mapping[Instant, Mapping[str, oracle.Count]]  # of processors that store anybody
    stored: Stored  # by all facts
    slots: Sequence[Sequence[Face]]  # best first, and never empty
    links: Mapping[Individual, Linked]
    scopes: Mapping[tuple[type, str, bytes, Scope], Version]

    def numbers(self, processor: str) -> dict[Instant, int]:
        """Return the statutory number of *processor* after each instant, oldest first."""
        return {t: found.get(processor, oracle.NOBODY)[0] for t, found in self.counts.items()}


def truth(facts: Sequence[StorageFact]) -> Truth:
    """Return what is so, at every instant of *facts*."""
    removals = [f for f in facts if isinstance(f, SubjectRemoved | Purged | Truncated)]
    slots = _slots(facts, removals)
    links = _links(facts)
    instants = sorted({fact.at for fact in facts})
    there = [_stored(slots, links, t) for t in instants]
    return Truth(
        {t: count(stored) for t, stored in zip(instants, there, strict=True)},
        there[-1],
        slots,
        {key: said[0] for key, said in links.items()},
        _scopes(removals),
    )


def _better(one: oracle.Assignment, other: oracle.Assignment) -> int:
    return -1 if oracle.beats(one, other) else 1


def _later(one: Linked, other: Linked) -> int:
    return -1 if oracle.link_beats(one, other) else 1


_BY_BEATING, _BY_LINK = cmp_to_key(_better), cmp_to_key(_later)


def _slots(
    facts: Sequence[StorageFact], removals: Sequence[oracle.ScopeRemoval]
) -> list[list[Face]]:
    grouped: dict[tuple[object, ...], list[oracle.Assignment]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, Enrolled | Removed):
            owner = () if fact.face else (fact.place, fact.subject)
            grouped[fact.store.name, fact.face, *owner].append(fact)
    slots = []
    for said in grouped.values():
        if len(said) > 1:
            said.sort(key=_BY_BEATING)
        slots.append([Face(one.at, _ends(one, removals), one) for one in said])
    return slots


def _ends(said: oracle.Assignment, removals: Sequence[oracle.ScopeRemoval]) -> Instant:
    if isinstance(said, Removed):
        return said.at
    gone = (r.at for r in removals if oracle.covers(r, said) and not oracle.is_newer(said, r))
    return min(gone, default=NEVER)


def _links(facts: Sequence[StorageFact]) -> dict[Individual, list[Linked]]:
    links: dict[Individual, list[Linked]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, Linked):
            links[fact.processor, fact.subject].append(fact)
    for said in links.values():
        said.sort(key=_BY_LINK)
    return links


def _scopes(
    removals: Sequence[oracle.ScopeRemoval],
) -> dict[tuple[type, str, bytes, Scope], Version]:
    newest: dict[tuple[type, str, bytes, Scope], Version] = {}
    for gone in removals:
        if isinstance(gone, Truncated):
            key: tuple[type, str, bytes, Scope] = (Truncated, gone.store.name, b"", ())
        else:
            subject = gone.subject if isinstance(gone, SubjectRemoved) else b""
            key = (type(gone), gone.processor, subject, (gone.system, gone.gallery))
        newest[key] = max(gone.version, newest.get(key, gone.version))
    return newest


def _stored(
    slots: Sequence[Sequence[Face]], links: Mapping[Individual, Sequence[Linked]], t: Instant
) -> Stored:
    there: dict[Individual, frozenset[Place]] = {}
    for slot in slots:
        for at, ends, said in slot:
            if at > t:
                continue
            if t < ends and isinstance(said, Enrolled):
                place = said.place
                who = (place.processor, said.subject)
                for link in links.get(who, ()):
                    if link.at <= t:
                        who = (who[0], link.individual or who[1])
                        break
                there[who] = there.get(who, frozenset()) | {place}
            break
    return there


_STANDINGS: dict[frozenset[Place], Standing] = {}


def standing(where: frozenset[Place]) -> Standing:
    """Return how one who is stored in these places counts."""
    known = _STANDINGS.get(where)
    if known is None:
        marks = {research(place) for place in where}
        systems = frozenset(place.system for place in where)
        known = _STANDINGS[where] = Standing(False in marks, True in marks, systems)
    return known


def count(there: Stored) -> dict[str, oracle.Count]:
    """Return the stock of every processor that stores anybody."""
    totals: dict[str, tuple[int, int, dict[str, int]]] = {}
    for (processor, _), where in there.items():
        individuals, in_research, systems = totals.get(processor, (0, 0, {}))
        counted = standing(where)
        for system in counted.systems:
            systems[system] = systems.get(system, 0) + 1
        both = (individuals + counted.operation, in_research + counted.research)
        totals[processor] = (*both, systems)
    return {name: oracle.Count(*total) for name, total in totals.items()}


def first_reach(
    numbers: Mapping[Instant, int], at_least: int, after: Instant | None = None
) -> Instant | None:
    """Return the first instant at or over *at_least*; with *after* the first pass from below."""
    before = 0
    for t, number in numbers.items():  # oldest first
        if number >= at_least and (after is None or (t > after and before < at_least)):
            return t
        before = number
    return None
