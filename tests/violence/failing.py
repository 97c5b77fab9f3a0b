"""Lets statements fail as a database lets them fail, at the boundary to its driver.

On PostgreSQL the server itself says no, or cuts the connection, so that the transaction is really
lost. SQLite's errors are made, with the names that its driver gives them; those after which SQLite
rolls back by itself roll back.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import psycopg

from tests.violence.crash_steps import Nobody

UNKNOWN = "outcome unknown"
KINDS = (
    "disk full",
    "connection lost",
    "serialization failure",
    "deadlock",
    "lock timeout",
    UNKNOWN,
)
"""Of the last one every commit is made and then reported as failed; of the others nothing is."""

_PERIODIC = frozenset({"ends", "lacking", "moment", "positions", "tick", "topics", "written"})
_ROUNDS = 2
_TERMINATE = "SELECT pg_terminate_backend(pg_backend_pid())"


class _Sqlite(NamedTuple):
    name: str
    code: int
    text: str
    rolls_back: bool = False


_SQLITE: Mapping[str, _Sqlite] = {
    "disk full": _Sqlite("SQLITE_FULL", 13, "database or disk is full", rolls_back=True),
    "connection lost": _Sqlite("SQLITE_IOERR", 10, "disk I/O error", rolls_back=True),
    "serialization failure": _Sqlite("SQLITE_BUSY_SNAPSHOT", 517, "database is locked"),
    "deadlock": _Sqlite("SQLITE_LOCKED", 6, "database table is locked"),
    "lock timeout": _Sqlite("SQLITE_BUSY", 5, "database is locked"),
    UNKNOWN: _Sqlite("SQLITE_IOERR", 10, "disk I/O error"),
}
_STATES: Mapping[str, str] = {
    "disk full": "53100",
    "serialization failure": "40001",
    "deadlock": "40P01",
    "lock timeout": "55P03",
}


def fail(kind: str, raw: Any) -> NoReturn:
    """Raise what the driver of the connection *raw* raises for *kind*."""
    if isinstance(raw, psycopg.Connection):
        _on_server(kind, raw)
    failure = _SQLITE[kind]
    if failure.rolls_back:
        raw.rollback()
    error = sqlite3.OperationalError(failure.text)
    error.sqlite_errorname, error.sqlite_errorcode = failure.name, failure.code
    raise error


def _on_server(kind: str, raw: psycopg.Connection[Any]) -> NoReturn:
    state = _STATES.get(kind)
    says_no = f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"
    raw.execute((says_no if state else _TERMINATE).encode())
    raise AssertionError(f"PostgreSQL did not mind a {kind}")


class Site(NamedTuple):
    """A statement: the call that runs it, which of its kind that is, and where in it."""

    call: str
    period: int
    number: int
    step: str
    occurrence: int


class Sites(Nobody):
    """Tells statements and commits apart, the same in each attempt at a call.

    What is called again and again counts as a new call until the third time in a *phase*: while
    something else fails it comes round as often as one likes.
    """

    def __init__(self, phase: Callable[[], int]) -> None:
        self._phase = phase
        self.seen: dict[Site, int] = {}
        self._call = ""
        self._ended_well: Counter[tuple[str, int]] = Counter()
        self._occurrences: Counter[str] = Counter()

    def doing(self, name: str) -> None:
        self._call = name
        self._occurrences.clear()

    def done(self) -> None:
        self._ended_well[self._call, self._period] += 1

    @property
    def _period(self) -> int:
        return self._phase() if self._call in _PERIODIC else 0

    def before(self, step: str, raw: Any = None) -> None:
        if raw is not None:
            self.at(self._site(step), raw)

    def after(self, step: str, raw: Any = None) -> None:
        if step == "COMMIT":
            self.at(self._site("committed"), raw)

    def _site(self, step: str) -> Site:
        self._occurrences[step] += 1
        number = self._ended_well[self._call, self._period]
        if self._call in _PERIODIC:
            number = min(number, _ROUNDS)
        return Site(self._call, self._period, number, step, self._occurrences[step])

    def at(self, site: Site, raw: Any) -> None:  # noqa: ARG002 - for those who fail there
        self.seen[site] = self.seen.get(site, 0) + 1


class Each(Sites):
    """Lets every statement of every call fail once, each in an attempt of its own."""

    def __init__(self, phase: Callable[[], int], kind: str) -> None:
        super().__init__(phase)
        self._kind = kind
        self.failed: set[Site] = set()

    def at(self, site: Site, raw: Any) -> None:
        super().at(site, raw)
        if site not in self.failed and (site.step == "committed") == (self._kind == UNKNOWN):
            self.failed.add(site)
            fail(self._kind, raw)


class One(Sites):
    """Lets one statement fail, once."""

    def __init__(self, phase: Callable[[], int], kind: str, site: Site) -> None:
        super().__init__(phase)
        self._kind, self._wanted = kind, site
        self.failures = 0

    def at(self, site: Site, raw: Any) -> None:
        if site == self._wanted and not self.failures:
            self.failures += 1
            fail(self._kind, raw)
