"""Groups of processors: one number beside, and never instead of, those of the members.

The statutory number is that of each processor. A group's number is exact where every system of
every member hashes people in one namespace ``shared/NAME`` and nobody is linked, since a link
leads out of it, into the default namespace of whoever states it. Otherwise one person may be
several individuals, and the number is the sum of the members': an upper bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from monitor.facts import SubjectHash
from monitor.identity import SHARED
from monitor.ledger import Stock

Stored: TypeAlias = tuple[SubjectHash, bool, bool]
"""An individual of one member: stored in operation, and in research."""

_FEWEST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Processors that belong together; *filed_by* is who files for them, where one does."""

    name: str
    members: tuple[str, ...]
    filed_by: str | None = None

    def __post_init__(self) -> None:
        if not self.name or not all(self.members):
            raise ValueError("a group and its members need names")
        if len(set(self.members)) < max(_FEWEST, len(self.members)):
            raise ValueError("a group has at least two members, each of them once")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupNumber:
    """The number of a group. *namespace* is the shared one if it is *exact*.

    *why* says in words what stands against an exact number, if anything does.
    """

    group: Group
    individuals: int
    research: int
    namespace: str | None = None
    why: str | None = None

    @property
    def exact(self) -> bool:
        """Whether each person is counted once; else the number is an upper bound."""
        return self.namespace is not None


def shared_by(namespaces: Iterable[str]) -> str | None:
    """Return the shared namespace if all of *namespaces* are that one, and there are any."""
    found = set(namespaces)
    name = found.pop() if len(found) == 1 else ""
    return name if name.startswith(SHARED) else None


def distinct(members: Iterable[Iterable[Stored]]) -> tuple[int, int]:
    """Count the people of all *members* once each: in operation, and in research.

    Each member's are in the order of their hashes and are read once, so memory stays flat.
    """
    operation = research = 0
    for _, copies in groupby(merge(*members), key=itemgetter(0)):
        here, there = False, False
        for _, stored, studied in copies:
            here, there = here or stored, there or studied
        operation += here
        research += there
    return operation, research


def summed(group: Group, stocks: Mapping[str, Stock], why: str) -> GroupNumber:
    """Return the sum of the members' own numbers: no fewer people than there are."""
    found = [stocks[member] for member in group.members if member in stocks]
    return GroupNumber(
        group=group,
        individuals=sum(one.individuals for one in found),
        research=sum(one.research for one in found),
        why=why,
    )
