"""What the feed is made from: one consistent read of the database."""

from __future__ import annotations

from collections.abc import Collection

from deploy.ical.feed import Entry
from monitor.facts import Instant
from monitor.filings import family
from monitor.store import owing
from monitor.store.engine import Engine, reading
from monitor.store.names import Names
from monitor.store.revisions import DutyName, accepted_at, revisions
from monitor.store.trust import Trust
from monitor.trust import Sources


class NobodyKnown(ValueError):
    """The database knows no such processor."""


def gather(
    engine: Engine, sources: Sources, now: Instant, processors: Collection[str] = ()
) -> list[Entry]:
    """Return the duties of *processors* (all without any), as at *now*. Raises NobodyKnown."""
    with reading(engine) as connection:
        names = Names.load(connection)
        unknown = sorted(set(processors) - set(names.processor_ids))
        if unknown:
            raise NobodyKnown(f"there is no processor {unknown[0]!r} in the database")
        duties = [
            duty
            for _, duty in owing.read_duties(connection, names)
            if not processors or duty.processor in processors
        ]
        revised, accepted = revisions(connection), accepted_at(connection)
        trust = Trust(connection, names, sources, now)
        against = {one: trust.against(one) for one in {duty.processor for duty in duties}}
    return [
        Entry(
            duty=duty,
            revision=revised[DutyName(duty.processor, family(duty.rule), duty.key)],
            against=against[duty.processor],
            accepted_at=accepted.get(duty.processor, 0),
        )
        for duty in duties
    ]
