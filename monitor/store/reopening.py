"""Duties that are owed again: what was told of them before is over for good.

A page is over while its duty is owed no more, by the state of now. When the duty is owed again,
the page that tells so is the only one to be answered: older ones say a day or a number of then.
Nor is it told afterwards that the duty was met or had ended: pages go first, so a channel that was
away would hear that last. That they are over is kept in the transaction that makes the duty owed
again, and nobody is marked as having acknowledged them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.notices import PAGED_AGAIN, Kind, Severity
from monitor.store import ending, owing, schema
from monitor.store.ending import OF_CLOCKS
from monitor.store.names import Names

_n = schema.notices.c


class Again(NamedTuple):
    """A duty that is owed now: what it *was* before the change, and what it is."""

    was: Duty
    duty: Duty


class Before:
    """What a processor owed, and what had been told, before a change of either.

    Made under the processor's lock, before the first write that may change what is owed: a step
    that is kept, an end of use, a duty that is moved.
    """

    def __init__(self, connection: Connection, names: Names, processor: str) -> None:
        self.processor = processor
        self._connection, self._names = connection, names
        self._held = dict(self._duties())
        self._last = connection.scalar(select(func.max(_n.id))) or 0

    def owed_again(self) -> list[Again]:
        """Return the duties that are owed now and were there before, not owed."""
        return [one for one in self._still_owed() if not one.was.owed]

    def failed_at_once(self) -> list[Again]:
        """Return the duties that were owed before and are, but of which a page tells it anew.

        Submitted and failed in one batch: nobody saw it met.
        """
        kinds = [kind.value for kind in PAGED_AGAIN]
        return [one for one in self._still_owed() if one.was.owed and self._paged(one, kinds)]

    def is_told(self, again: Again) -> bool:
        """Tell whether a page about the clock of a duty was written since."""
        return self._paged(again, [kind.value for kind in OF_CLOCKS - {Kind.REMINDER}])

    def end_pages(self, again: Again, now: Instant) -> None:
        """Mark what was told before of a duty as over; see ``ending``.

        What said that nobody has to act any more, too.
        """
        ending.end_pages(self._connection, again.duty, now, until=self._last, met=True)

    def _still_owed(self) -> list[Again]:
        return [
            Again(self._held[number], duty)
            for number, duty in self._duties()
            if duty.owed and number in self._held
        ]

    def _paged(self, again: Again, kinds: Sequence[str]) -> bool:
        page = (_n.kind.in_(kinds), _n.severity == Severity.PAGE.value, _n.id > self._last)
        query = select(_n.id).where(*page, ending.about(again))
        return self._connection.execute(query).first() is not None

    def _duties(self) -> Iterable[tuple[int, Duty]]:
        mine = schema.duties.c.processor_id == self._names.processor_ids[self.processor]
        return owing.read_duties(self._connection, self._names, [mine])
