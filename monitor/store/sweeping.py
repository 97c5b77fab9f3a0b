"""Sweeping the book in parts: the numbers of its processors at every instant, in flat memory.

The book is read once and its rows are set aside (``spilling.py``) by the individuals that they
bear on (``monitor.parts``). One part after the other is then folded by the one ledger, and what
its number did is set aside, too; the parts' changes, merged by instant, are the curve. A small
book is one part, and nothing is written to disk.

What has to fit in memory is one part, and so all facts of one subject, and of one named slot.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Self

from sqlalchemy import Connection

from monitor.facts import (
    Enrolled,
    Instant,
    Place,
    Purged,
    Removed,
    StorageFact,
    SubjectHash,
    Truncated,
)
from monitor.history import Following, Point, Threshold, follow, noting
from monitor.ledger import Ledger, Stock, SubjectKey
from monitor.parts import Faces, part_of
from monitor.store import book
from monitor.store.names import Names
from monitor.store.spilling import Row, Spill
from monitor.workdays import beijing_ordinal

_PROCESSOR, _FACE, _SUBJECT, _INDIVIDUAL, _WIDTH = 1, 4, 5, 6, 10  # columns of ``book.rows``


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is held in memory: a book of up to *whole* facts is not divided at all.

    Else a part is of about *part* facts, each of which takes about a kilobyte while it is folded.
    """

    whole: int = 200_000
    part: int = 50_000

    def parts(self, facts: int) -> int:
        """Return into how many parts *facts* are divided."""
        return 1 if facts <= self.whole else -(-facts // self.part)

    def held(self, parts: int) -> int:
        """Return how many rows wait in memory before they are written to disk."""
        return self.whole if parts == 1 else self.part


SIZES = Sizes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep found of one processor."""

    stock: Stock  # after the last instant
    peak: int  # the highest number that ever was, see ``history.Following``
    reaches: Mapping[Threshold, Point | None]
    days: Mapping[int, int] = field(default_factory=dict)  # the number at the end, by ordinal


Thresholds = Iterable[Threshold]
Labels = Callable[[Place], Iterable[str]]


def sweep(
    connection: Connection,
    names: Names,
    wanted: Mapping[str, Thresholds],
    research: Callable[[Place], bool],
    *,
    until: Instant | None = None,
    sizes: Sizes = SIZES,
    labels: Labels | None = None,
) -> dict[str, Swept]:
    """Fold the book for each processor in *wanted*; with *until*, what had happened by then.

    *wanted* gives the thresholds whose first reach is asked for, as ``history.look_back`` does;
    *labels*, if anything but systems, what the stock is counted by beside the whole number.
    """
    with divide(connection, names, wanted, research, until=until, sizes=sizes) as divided:
        return divided.fold(labels)


def divide(
    connection: Connection,
    names: Names,
    wanted: Mapping[str, Thresholds],
    research: Callable[[Place], bool],
    *,
    until: Instant | None = None,
    sizes: Sizes = SIZES,
    older: Thresholds = (),
) -> Divided:
    """Do the reading of ``sweep``: what is left to do needs the database no more.

    *older* thresholds are looked for as well; the peak is not that of their time.

    A transaction that stays open for minutes keeps SQLite from emptying its log of writes, and
    PostgreSQL from cleaning up.
    """
    parts = sizes.parts(book.size_bound(connection))
    divided = Divided(names, wanted, research, parts, sizes.held(parts), list(older))
    try:
        divided.read(book.rows(connection, names, wanted, until))
    except BaseException:
        divided.close()
        raise
    return divided


class Divided:
    """The facts that bear on some processors, set aside by part; use it as a context, once."""

    def __init__(
        self,
        names: Names,
        wanted: Mapping[str, Thresholds],
        research: Callable[[Place], bool],
        parts: int,
        held: int,
        older: Sequence[Threshold] = (),
    ) -> None:
        self._older = older
        self._names, self._wanted, self._research, self._parts = names, wanted, research, parts
        self._ids = {names.processor_ids[name]: name for name in wanted}
        self._subjects, self._copies = Spill[int](held), Spill[int](held)
        self._faces = Spill[int](held)
        self._changes = Spill[tuple[str, int]](held)
        self._scopes: dict[str, list[StorageFact]] = defaultdict(list)
        self._stock = {name: Stock() for name in wanted}
        self._ledger: Callable[..., Ledger] = Ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything that was set aside."""
        for spill in (self._subjects, self._copies, self._faces, self._changes):
            spill.close()

    # -- giving each part its facts --------------------------------------------------------

    def read(self, rows: Iterable[Row]) -> None:
        """Give every fact to the parts whose individuals it can bear on."""
        parts, ids = self._parts, self._ids
        faces, subjects = self._faces.add, self._subjects.add
        for row in rows:
            face, subject = row[_FACE], row[_SUBJECT]
            if face is not None:
                faces(part_of(face, parts), row)
            elif subject is None:
                self._give_to_all(book.fact_of(self._names, row))
            elif row[_PROCESSOR] in ids:
                subjects(part_of(subject, parts), row)

    def _give_to_all(self, fact: StorageFact) -> None:
        if isinstance(fact, Truncated):
            for store, tenant in self._names.tenants:
                if store == fact.store.name and tenant in self._wanted:
                    self._scopes[tenant].append(fact)
        elif isinstance(fact, Purged) and fact.processor in self._wanted:
            self._scopes[fact.processor].append(fact)

    def _give_faces(self, part: int) -> None:
        """Give the facts of named slots to those who got or lost the face by them."""
        faces, names = Faces(), self._names
        facts = sorted(
            ((book.fact_of(names, row), row) for row in self._faces.read(part)), key=_at_of_first
        )
        for fact, row in facts:
            assert isinstance(fact, (Enrolled, Removed))  # noqa: S101 - nothing else has a face
            for processor, subject in faces.concerned(fact):
                if processor in self._wanted:
                    whose = (names.processor_ids[processor], subject)
                    self._subjects.add(part_of(subject, self._parts), (*row, *whose))

    def _give_to_individuals(self, part: int) -> None:
        """Copy what is said of a subject to the parts of those whom it was ever linked to."""
        others: dict[tuple[int, SubjectHash], set[int]] = defaultdict(set)
        for row in self._subjects.read(part):
            if row[_INDIVIDUAL] is not None:
                there = part_of(row[_INDIVIDUAL], self._parts)
                if there != part:
                    others[_whose(row)].add(there)
        if not others:
            return
        for row in self._subjects.read(part):
            for there in others.get(_whose(row), ()):
                self._copies.add(there, row)

    # -- folding ---------------------------------------------------------------------------

    def fold(self, labels: Labels | None = None) -> dict[str, Swept]:
        """Fold one part after the other; return what all of them together come to."""
        if labels is not None:
            self._ledger = partial(Ledger, labels=labels)
        parts = range(self._parts)
        for part in parts:
            self._give_faces(part)
        self._faces.close()
        for part in parts if self._parts > 1 else ():
            self._give_to_individuals(part)
        for part in parts:
            for processor, facts in self._facts(part).items():
                self._fold(part, processor, facts)
        return {processor: self._found(processor) for processor in self._wanted}

    def _facts(self, part: int) -> dict[str, list[StorageFact]]:
        found: dict[str, list[StorageFact]] = defaultdict(list)
        for spill in (self._subjects, self._copies):
            for row in spill.read(part):
                fact = book.fact_of(self._names, row[:_WIDTH])
                found[self._ids[_whose(row)[0]]].append(fact)
        return found

    def _fold(self, part: int, processor: str, facts: list[StorageFact]) -> None:
        facts += self._scopes.get(processor, ())
        counts = self._counted(part, processor) if self._parts > 1 else None
        ledger = self._ledger(self._research, counts)
        before = 0
        for at, individuals in follow(ledger, facts, processor):
            if individuals != before:
                self._changes.add((processor, part), (at, individuals - before))
                before = individuals
        self._stock[processor].add(ledger.stock.get(processor, Stock()))

    def _counted(self, part: int, processor: str) -> Callable[[SubjectKey], bool]:
        parts = self._parts

        def counts(individual: SubjectKey) -> bool:
            return individual[0] == processor and part_of(individual[1], parts) == part

        return counts

    # -- what it comes to ------------------------------------------------------------------

    def _found(self, processor: str) -> Swept:
        following = Following(self._wanted[processor], self._older)
        points, days = noting(self._points(processor), beijing_ordinal)
        for point in points:
            following.note(point)
        return Swept(
            stock=self._stock[processor],
            peak=following.peak,
            reaches=following.passes,
            days=days,
        )

    def _points(self, processor: str) -> Iterator[Point]:
        individuals = 0
        runs = [self._changes.read((processor, part)) for part in range(self._parts)]
        for at, together in groupby(merge(*runs), key=itemgetter(0)):
            individuals += sum(change for _, change in together)
            yield Point(at, individuals)


def _at_of_first(pair: tuple[StorageFact, Row]) -> Instant:
    return pair[0].at


def _whose(row: Sequence[object]) -> tuple[int, SubjectHash]:
    """Return whom a row is for: who got or lost a named face, else the subject of the fact."""
    return row[_WIDTH:] or (row[_PROCESSOR], row[_SUBJECT])  # type: ignore[return-value]  # columns


__all__ = ["SIZES", "Sizes", "Swept", "sweep"]
