"""What people told, calendars and ends of use, row by row against the audit log, both ways.

Days follow from these rows, and the database refuses to change them; who takes its guards away and
changes, adds or deletes one leaves an entry without its row, or a row without its entry. So does
who cuts the newest entries off together with the head of the log.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select

from monitor.bundle import CALENDAR_LOADED, CALENDAR_USED
from monitor.bundle import Verdict as Judged
from monitor.chain import Checkpoint, Entry, canonical
from monitor.recounting import Recount, years_from
from monitor.store import audit, retention, schema
from monitor.store.names import Names

TERMINATION_TOLD: Final = "termination.told"


class _Kept(NamedTuple):
    """A table of evidence: the kinds of entry that speak of it, and when their instant stands."""

    table: str
    kinds: frozenset[str]
    at: str | None  # the column that is the instant of the entry
    optional: frozenset[str] = frozenset()  # columns that only some of the entries have
    left_out: frozenset[str] = frozenset({"id", "processor_id"})


_CALENDARS: Final = _Kept(
    "calendars",
    frozenset({CALENDAR_USED, CALENDAR_LOADED}),
    at="loaded_at",
    optional=frozenset({"by", "because"}),
    left_out=frozenset({"text"}),
)
_TABLES: Final = (
    _CALENDARS,
    _Kept("told_numbers", frozenset({"number.told"}), at=None),
    _Kept("told_events", frozenset({"event.told"}), at=None),
    _Kept("terminations", frozenset({TERMINATION_TOLD}), at="known_at"),
)
_OF_KIND: Final = {kind: kept for kept in _TABLES for kind in kept.kinds}


class Evidence:
    """Hears every entry of the log, and compares what it said with the rows that there are."""

    def __init__(self) -> None:
        self._said: dict[str, Counter[str]] = {kept.table: Counter() for kept in _TABLES}

    def hear(self, entry: Entry) -> None:
        """Take in one entry."""
        kept = _OF_KIND.get(entry.kind)
        if kept is None:
            return
        said = dict.fromkeys(kept.optional) | json.loads(entry.body)
        if kept.at is not None:
            said[kept.at] = entry.at
        self._said[kept.table][_name(entry.processor, said)] += 1

    def wrong(self, connection: Connection) -> Iterator[tuple[str, str]]:
        """Yield each table with what is not there as the log says; it names no value of a row."""
        names = Names.load(connection)
        for kept in _TABLES:
            there = Counter(_rows(connection, names, kept))
            said = self._said[kept.table]
            for count, what in (
                ((there - said).total(), "rows that no entry of the audit log speaks of"),
                ((said - there).total(), "rows missing or changed that the audit log speaks of"),
            ):
                if count:
                    yield kept.table, f"{count} {what}"
        for year, version, sealed, text in _texts(connection):
            if hashlib.sha256(text.encode()).hexdigest() != sealed:
                yield _CALENDARS.table, f"the text of {year}, {version}, is not what was sealed"


def _rows(connection: Connection, names: Names, kept: _Kept) -> Iterator[str]:
    for row in connection.execute(select(schema.metadata.tables[kept.table])):
        columns = row._mapping  # noqa: SLF001 - the documented way to a row's dict
        whose = names.processor_by_id.get(columns.get("processor_id", 0))
        yield _name(whose, {k: v for k, v in columns.items() if k not in kept.left_out})


def _name(processor: str | None, said: Mapping[str, Any]) -> str:
    return canonical({"processor": processor, "row": said})


def _texts(connection: Connection) -> Iterable[tuple[int, str, str, str]]:
    table = schema.calendars.c
    query = select(table.year, table.version, table.sha256, table.text)
    return ((row.year, row.version, row.sha256, row.text) for row in connection.execute(query))


def examine(connection: Connection, checkpoints: Iterable[Checkpoint] = ()) -> Judged:
    """Check the log in the database, and what it speaks of, in one reading of it.

    The chain with its head and *checkpoints*, the guards of the tables, the rows of evidence, and
    each last day of a duty, counted again by the calendars that are kept and the rules then.
    """
    evidence = Evidence()
    recount = Recount(years_from((year, text) for year, _, _, text in _texts(connection)))

    def hear(entry: Entry) -> None:
        evidence.hear(entry)
        recount.hear(entry)

    found = audit.examine(connection, checkpoints, hear)
    whole = found.holds
    for table in retention.unguarded(connection):
        found.note(table, None, "the database no longer refuses changes of this table")
    if whole:  # what a broken log says is no measure
        for table, why in evidence.wrong(connection):
            found.note(table, None, why)
        for seq, why in recount.end():
            found.note(schema.audit.name, seq, why)
        found.days = recount.days
    return found
