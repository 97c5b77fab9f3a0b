"""How many individuals each system has in operation and in research, and each of its galleries.

From the book, as of an instant, by one sweep that gives the history of the days, too. A person in
two places of a system is one in that system, and in both numbers if one place is for research.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection

from monitor.facts import Instant, Place
from monitor.marks import Marks
from monitor.store.history_days import by_date
from monitor.store.names import Names
from monitor.store.sweeping import sweep


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """So many *individuals* in a system, or in a *gallery* of it, for one of the two purposes."""

    system: str
    gallery: str | None
    research: bool
    individuals: int


def stored_by_place(
    connection: Connection, names: Names, processor: str, marks: Marks, until: Instant
) -> tuple[list[Stored], Mapping[date, int]]:
    """Return what was stored where at *until*, and the number at the end of each day before.

    Of galleries only those with a mark of their own stand there. Both are by the facts known now.
    """
    marked = {(one.processor, one.system, one.gallery) for one in marks.rows if one.gallery}

    def labels(place: Place) -> Iterator[str]:
        research = marks.research(place)
        yield json.dumps([place.system, None, research])
        if tuple(place) in marked:
            yield json.dumps([place.system, place.gallery, research])

    swept = sweep(connection, names, {processor: ()}, marks.research, until=until, labels=labels)[
        processor
    ]
    return sorted(_stored(swept.stock.systems), key=_order), by_date(swept.days)


def _stored(systems: Mapping[str, int]) -> Iterable[Stored]:
    for label, individuals in systems.items():
        system, gallery, research = json.loads(label)
        yield Stored(system=system, gallery=gallery, research=research, individuals=individuals)


def _order(one: Stored) -> tuple[str, str, bool]:
    return one.system, one.gallery or "", one.research
