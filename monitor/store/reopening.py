"""Duties that are owed again: what was told of them before is over for good.

A page is over while its duty is owed no more, by the state of now. When the duty is owed again,
the page that tells so is the only one to be answered: older ones say a day or a number of then.
That they are over is kept in the transaction that makes the duty owed again, and nobody is marked
as having acknowledged them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, insert, or_, select

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import of_family
from monitor.notices import Kind, Severity
from monitor.store import audit, owing, schema
from monitor.store.names import Names
from monitor.store.over import OF_CLOCKS

ENTRY: Final = "page.over"
_n, _o = schema.notices.c, schema.pages_over.c


class Again(NamedTuple):
    """A duty that is owed again: what it *was* before the change, and what it is."""

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
        return [
            Again(self._held[number], duty)
            for number, duty in self._duties()
            if duty.owed and number in self._held and not self._held[number].owed
        ]

    def is_told(self, again: Again) -> bool:
        """Tell whether a page about the clock of a duty was written since."""
        kinds = [kind.value for kind in OF_CLOCKS - {Kind.REMINDER}]
        page = (_n.kind.in_(kinds), _n.severity == Severity.PAGE.value, _n.id > self._last)
        query = select(_n.id).where(*page, self._about(again))
        return self._connection.execute(query).first() is not None

    def end_pages(self, again: Again, now: Instant) -> None:
        """Mark what was told before of a duty as over, each with its entry of the audit log.

        Not what wakes and reminds nobody: it told what was so.
        """
        calls = or_(_n.severity != Severity.INFO.value, _n.kind == Kind.REMINDER.value)
        kinds = [kind.value for kind in OF_CLOCKS]
        query = (
            select(_n.id, _n.key, _n.kind)
            .where(_n.kind.in_(kinds), calls, self._about(again))
            .where(_n.id <= self._last, _n.id.not_in(select(_o.notice_id)))
            .order_by(_n.id)
        )
        duty = again.duty
        for row in self._connection.execute(query).all():
            self._connection.execute(insert(schema.pages_over).values(notice_id=row.id, at=now))
            said = {"notice": row.key, "kind": row.kind, "rule": duty.rule, "duty": duty.key}
            audit.append(self._connection, now, ENTRY, self.processor, said)

    def _duties(self) -> Iterable[tuple[int, Duty]]:
        mine = schema.duties.c.processor_id == self._names.processor_ids[self.processor]
        return owing.read_duties(self._connection, self._names, [mine])

    def _about(self, again: Again) -> ColumnElement[bool]:
        """Return whether a notice is about a duty, by its rule of now or of any time before."""
        names = {(rule, duty.key) for duty in again for rule in of_family(duty.rule)}
        named = [and_(_n.rule == rule, _n.duty == key) for rule, key in sorted(names)]
        return and_(_n.processor == self.processor, or_(*named))
