"""The numbers as they were at an instant, by the facts known now: ``status --as-of``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from monitor.facts import Instant
from monitor.marks import Marks
from monitor.rules import Rule
from monitor.store.names import Names
from monitor.store.reading import ProcessorStatus, Status, status
from monitor.store.sweeping import SIZES, Sizes, Swept, sweep
from monitor.trust import Sources


def status_as_of(
    connection: Connection,
    rules: Iterable[Rule],
    marks: Marks,
    instant: Instant,
    sources: Sources | None = None,
    *,
    today: Instant | None = None,
    sizes: Sizes = SIZES,
) -> Status:
    """Return the numbers as of *instant*: the fold of the facts that had happened by then.

    Thresholds are those reached by *instant*, by the facts known now; a reach is pending if it is
    not confirmed today. What is against the numbers now (by *sources* at *today*) is against those
    of any instant. Reads the book once, whatever the number of processors.
    """
    now = status(connection, rules, sources, today)
    names = Names.load(connection)
    wanted = {
        one.processor: [threshold.reach.threshold for threshold in one.thresholds]
        for one in now.processors
    }
    swept = sweep(connection, names, wanted, marks.research, until=instant, sizes=sizes)
    then = (_then(one, swept[one.processor]) for one in now.processors)
    return replace(now, processors=tuple(then))


def _then(now: ProcessorStatus, swept: Swept) -> ProcessorStatus:
    thresholds = (
        threshold
        if swept.reaches[threshold.reach.threshold] is not None
        else replace(threshold, reach=threshold.reach.not_reached())
        for threshold in now.thresholds
    )
    return replace(now, stock=swept.stock, thresholds=tuple(thresholds))
