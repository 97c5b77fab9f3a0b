"""Engines for SQLite and PostgreSQL, set up so that a transaction means the same on both.

SQLite: WAL, ``BEGIN IMMEDIATE`` for whoever writes, ten seconds of waiting for the other process,
and one worker per database, kept by an operating-system lock that a SIGKILL frees. PostgreSQL: READ
COMMITTED, and advisory locks in one fixed order (``locks.py``).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

__all__ = [
    "AlreadyRunning",
    "BadDatabaseUrl",
    "DatabaseUnreachable",
    "Engine",
    "WorkerLock",
    "answering",
    "is_sqlite",
    "open_engine",
    "reading",
]

BUSY_SECONDS = 10


class BadDatabaseUrl(ValueError):
    """The ``database_url`` cannot be used; the message never holds its password."""


class DatabaseUnreachable(RuntimeError):
    """The database does not answer; the message names it without its password."""


class AlreadyRunning(RuntimeError):
    """Another worker (or ``apply``) holds this SQLite database."""


def open_engine(url: str) -> Engine:
    """Return an engine for *url*: ``sqlite:///PATH`` or ``postgresql+psycopg://...``."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadDatabaseUrl("database_url is no database URL; see the settings guide") from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(url)
    if parsed.drivername == "postgresql+psycopg":
        return create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")
    raise BadDatabaseUrl(
        f"database_url uses {parsed.drivername!r}; use sqlite:/// or postgresql+psycopg://"
    )


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Turn what a driver raises within into DatabaseUnreachable, without the driver's text.

    A driver quotes statements and parameters; only the kind of its error is passed on.
    """
    try:
        yield
    except DBAPIError as exc:
        where = engine.url.render_as_string(hide_password=True)
        raise DatabaseUnreachable(
            f"the database {where} does not answer ({type(exc.orig).__name__}): is it running, "
            "and are address, user and password right?"
        ) from None


def is_sqlite(connection: Connection | Engine) -> bool:
    """Tell which of the two databases this is."""
    return connection.dialect.name == "sqlite"


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: object, _record: object) -> None:
        dbapi_connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own
        cursor = dbapi_connection.cursor()  # type: ignore[attr-defined]  # sqlite3's own
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={BUSY_SECONDS * 1000}",
            "cache_size=-131072",  # 128 MiB: the upper levels of the trees of millions of rows
            "temp_store=MEMORY",
            "wal_autocheckpoint=4000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def reading(engine: Engine) -> Connection:
    """Return a connection for one consistent read: many statements see one state.

    On SQLite it does not wait for writers; on PostgreSQL it is REPEATABLE READ.
    """
    connection = engine.connect()
    if is_sqlite(engine):
        return connection.execution_options(reading=True)
    return connection.execution_options(isolation_level="REPEATABLE READ")


class WorkerLock:
    """Held by the one worker of a SQLite database; freed by the end of the process."""

    def __init__(self, engine: Engine) -> None:
        self._file: IO[str] | None = None
        path = engine.url.database
        if not is_sqlite(engine) or path in {None, "", ":memory:"}:
            return
        self._file = Path(f"{path}.lock").open("a")  # noqa: SIM115 - held until release
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise AlreadyRunning(
                f"another facetally worker or apply is using {path}: SQLite takes one at a time; "
                "stop it, or use PostgreSQL for several workers"
            ) from None

    def release(self) -> None:
        """Let another worker have the database."""
        if self._file is not None:
            self._file.close()
