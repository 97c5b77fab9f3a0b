"""The database of a lane: empty again for each story, and put back to where a phase began.

What a killed process leaves open is waited for: its locks go with it on SQLite, its transaction is
rolled back by the server on PostgreSQL.
"""

from __future__ import annotations

import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import Table, make_url, select

from monitor.store import schema
from monitor.store.engine import open_engine

BEGINNING = -1
"""The empty tables, among the phases."""

# A killed process is no crash of the server, so that its disk need not keep up.
_NEED_NOT_WAIT = "-csynchronous_commit=off"
_RANDOM = frozenset({"look"})


class State(ABC):
    """A database that can be kept and put back while nobody uses it."""

    url: str

    @abstractmethod
    def keep(self, phase: int) -> None:
        """Keep all that is there under the number of a phase."""

    @abstractmethod
    def put_back(self, phase: int) -> None:
        """Make it what it was when *phase* was kept."""

    @abstractmethod
    def rows(self) -> list[list[str]]:
        """Return every row that a process would find, by table, and touch nothing."""

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""


def state_of(url: str | None, place: Path) -> State:
    """Return a database with our tables, kept as ``BEGINNING``: at *url*, or a file in *place*."""
    return _File(place) if url is None else _Server(url)


def _all_of(table: Table) -> str:
    """Return the query for all of *table*; of what is random, only whether it is there."""
    return str(select(*(c.is_not(None) if c.name in _RANDOM else c for c in table.columns)))


_TABLES = schema.metadata.sorted_tables
_ALL = [_all_of(table) for table in _TABLES]


def _make_tables(url: str) -> None:
    engine = open_engine(url)
    schema.metadata.create_all(engine)
    engine.dispose()


class _File(State):
    """A SQLite file, copied."""

    def __init__(self, place: Path) -> None:
        self._path = place / "story.db"
        self.url = f"sqlite:///{self._path}"
        _make_tables(self.url)
        self.keep(BEGINNING)

    def _copy(self, phase: int) -> Path:
        return self._path.with_suffix(f".{phase}")

    def keep(self, phase: int) -> None:
        assert not self._beside("-wal").exists(), "somebody is connected"
        shutil.copyfile(self._path, self._copy(phase))

    def put_back(self, phase: int) -> None:
        for ending in ("-wal", "-shm"):
            self._beside(ending).unlink(missing_ok=True)
        shutil.copyfile(self._copy(phase), self._path)

    def rows(self) -> list[list[str]]:
        # Of a copy: to open the file itself would do the work of who opens it next.
        copy = self._path.with_name("seen.db")
        shutil.copyfile(self._path, copy)
        if self._beside("-wal").exists():
            shutil.copyfile(self._beside("-wal"), f"{copy}-wal")
        with closing(sqlite3.connect(copy)) as connection:
            return [sorted(map(repr, connection.execute(query))) for query in _ALL]

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(self._path.name + ending)

    def close(self) -> None: ...


class _Server(State):
    """A PostgreSQL database; the copies are in schemas of their own."""

    def __init__(self, url: str) -> None:
        parsed = make_url(url).update_query_dict({"options": _NEED_NOT_WAIT})
        self.url = parsed.render_as_string(hide_password=False)
        _make_tables(self.url)
        plain = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection = psycopg.connect(plain, autocommit=True)
        self._tables = [table.name for table in _TABLES]
        self._back: dict[int, list[Composed]] = {}
        self.keep(BEGINNING)

    def keep(self, phase: int) -> None:
        where = f"kept_{phase + 1}"
        copies = [
            _sql("CREATE TABLE {}.{} AS TABLE {}", where, name, name) for name in self._tables
        ]
        anew = (_sql("DROP SCHEMA IF EXISTS {} CASCADE", where), _sql("CREATE SCHEMA {}", where))
        self._run([*anew, *copies])
        guards = self._guards()
        self._back[phase] = [
            *(_sql("ALTER TABLE {} DISABLE TRIGGER {}", *one) for one in guards),
            *(_sql("DELETE FROM {}", name) for name in reversed(self._tables)),
            *(_sql("INSERT INTO {} TABLE {}.{}", name, where, name) for name in self._tables),
            *(_sql("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}", *one) for one in guards),
            *self._numbers(),
        ]

    def _guards(self) -> list[tuple[str, str]]:
        """Return the tables of evidence and what guards them, which no restoring passes by."""
        found = self._connection.execute(
            "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
            "WHERE t.tgname LIKE 'facetally_keep_%'"
        )
        return [(str(table), str(name)) for table, name in found.fetchall()]

    def _numbers(self) -> Iterator[Composed]:
        """Yield what makes every sequence go on from where it is now."""
        names = self._connection.execute("SELECT relname FROM pg_class WHERE relkind = 'S'")
        for (name,) in names.fetchall():
            now = self._connection.execute(_sql("SELECT last_value, is_called FROM {}", name))
            yield SQL("SELECT setval({}, {}, {})").format(name, *now.fetchall()[0])

    def put_back(self, phase: int) -> None:
        self._run(self._back[phase])

    def rows(self) -> list[list[str]]:
        found = (self._connection.execute(query.encode()).fetchall() for query in _ALL)
        return [sorted(map(repr, rows)) for rows in found]

    def _run(self, statements: Iterable[Composed]) -> None:
        """Run them in one round trip, which is one transaction."""
        self._connection.execute(SQL("; ").join(statements))

    def close(self) -> None:
        self._connection.close()


def _sql(statement: LiteralString, *names: str) -> Composed:
    return SQL(statement).format(*map(Identifier, names))
