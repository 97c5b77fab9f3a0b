"""Engines for SQLite and PostgreSQL, set up so that a transaction means the same on both.

SQLite: WAL, ``BEGIN IMMEDIATE`` for whoever writes, ten seconds of waiting for the other process,
and one worker per database, kept by an operating-system lock that a SIGKILL frees. PostgreSQL: READ
COMMITTED, and advisory locks in one fixed order (``locks.py``). A process that stops in the middle
of a transaction, as on a frozen machine, loses it after ``IDLE_SECONDS``: its locks would hold up
everybody else for as long as it is frozen. Between two statements the server sees to that; within
one, who has waited for its locks so long ends it (``frozen.py``). A server whose packets vanish is
given up after 45 s (``VANISHED``), unless the URL says otherwise.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError

from monitor.store import mixed
from monitor.store.frozen import end_frozen

__all__ = [
    "AlreadyRunning",
    "BadDatabaseUrl",
    "DatabaseUnreachable",
    "Engine",
    "WorkerLock",
    "answering",
    "checked_url",
    "is_sqlite",
    "may_idle",
    "may_wait",
    "open_engine",
    "reading",
]

BUSY_SECONDS = 10
CONNECT_SECONDS = 10
# What the kernel here does where packets vanish (a firewall that drops them, a machine without
# power) and nobody says so: waiting for an answer it asks after 15, 25, 35 s and gives up at 45 s,
# and so it does where nothing of what was sent is acknowledged. By itself it takes hours. A server
# that is frozen goes on acknowledging: of that a worker's rounds tell (FacetallyWorkerStuck).
VANISHED = {
    "keepalives_idle": "15",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "45000",
}
# The longest pause between two statements is the fold of a batch: of 50,000 facts 1.5 to 1.8 s on
# a busy machine, 16 to 18 s where the process gets a tenth of it: 15 s would cut it for ever.
IDLE_SECONDS = 30
APPLICATION = "facetally"


class BadDatabaseUrl(ValueError):
    """The ``database_url`` cannot be used; the message never holds its password."""


class DatabaseUnreachable(RuntimeError):
    """The database does not answer; the message names it without its password."""


class AlreadyRunning(RuntimeError):
    """Another worker (or ``apply``) holds this SQLite database."""


def open_engine(url: str) -> Engine:
    """Return an engine for *url*: ``sqlite:///PATH`` or ``postgresql+psycopg://...``."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return _postgresql(parsed)


def checked_url(url: str, here: Path, password: str | None = None) -> str:
    """Return *url*, the path of a SQLite file taken as relative to the folder *here*.

    A *password* that is kept elsewhere is put into it. Raises BadDatabaseUrl, which quotes neither.
    """
    parsed = _parsed(url)
    if password is not None:
        parsed = _with_password(parsed, password)
    if parsed.get_backend_name() != "sqlite":
        return parsed.render_as_string(hide_password=False) if password is not None else url
    if not parsed.database or parsed.database == ":memory:":
        raise BadDatabaseUrl("database_url: give SQLite a file, sqlite:///FILE")
    path = str((here / parsed.database).absolute())
    return parsed.set(database=path).render_as_string(hide_password=False)


def _with_password(url: URL, password: str) -> URL:
    if url.get_backend_name() == "sqlite":
        raise BadDatabaseUrl("database_password: SQLite has none; leave it out")
    if url.username is None or url.password is not None:
        raise BadDatabaseUrl(
            "database_password: needs a database_url with a user and without a password"
        )
    return url.set(password=password)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadDatabaseUrl(
            "database_url: is no database URL; write sqlite:///FILE or "
            "postgresql+psycopg://USER:PASSWORD@HOST:PORT/NAME"
        ) from None
    if parsed.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise BadDatabaseUrl("database_url: must begin with sqlite:/// or postgresql+psycopg://")
    return parsed


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Turn what a driver raises within into DatabaseUnreachable, without the driver's text.

    A driver quotes statements and parameters; only the kind of its error is passed on.
    """
    try:
        yield
    except DBAPIError as exc:
        raise _unreachable(engine.url, exc.orig) from None
    except sqlite3.Error as exc:  # of a connection that is just being made
        raise _unreachable(engine.url, exc) from None
    except mixed.MixedFiles as exc:
        raise DatabaseUnreachable(f"the database {exc}") from None


_SQLITE_SAYS = {
    "SQLITE_NOTADB": "is no SQLite database: is database_url right?",
    "SQLITE_CORRUPT": "is damaged: restore it from a copy, or make a new one and read all again",
    "SQLITE_BUSY": "is in use by somebody else for too long",
    "SQLITE_READONLY": "may not be written to: check its owner and mode",
    "SQLITE_CANTOPEN": "cannot be opened: check its folder, owner and mode",
    "SQLITE_FULL": "has no room left on its disk",
}


def _unreachable(url: URL, error: BaseException | None) -> DatabaseUnreachable:
    kind = type(error).__name__
    if url.get_backend_name() == "sqlite":
        why = _SQLITE_SAYS.get(getattr(error, "sqlite_errorname", ""), f"cannot be used ({kind})")
        return DatabaseUnreachable(f"the database {url.database} {why}")
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return DatabaseUnreachable("somebody else uses for too long what this needs: try again")
    where = url.set(query={}).render_as_string(hide_password=True)  # a query can hold a password
    return DatabaseUnreachable(
        f"the database {where} does not answer ({kind}): is it running, and are address, user and "
        "password right?"
    )


def is_sqlite(connection: Connection | Engine) -> bool:
    """Tell which of the two databases this is."""
    return connection.dialect.name == "sqlite"


def _postgresql(url: URL) -> Engine:
    # An address that swallows what it is sent would hold up a command for minutes.
    ours = {"connect_timeout": str(CONNECT_SECONDS), "application_name": APPLICATION}
    url = url.update_query_dict({**ours, **VANISHED, **url.query})
    engine = create_engine(
        url, pool_pre_ping=True, isolation_level="READ COMMITTED", hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: psycopg.Connection, _record: object) -> None:
        before, dbapi_connection.autocommit = dbapi_connection.autocommit, True
        # The second is for who is frozen while the answer to a statement is on its way.
        for name in ("idle_in_transaction_session_timeout", "tcp_user_timeout"):
            dbapi_connection.execute(f"SET {name} = '{IDLE_SECONDS}s'".encode())
        if dbapi_connection.execute("SHOW lock_timeout").fetchone() == ("0",):  # nobody's wish
            dbapi_connection.execute(f"SET lock_timeout = '{IDLE_SECONDS}s'".encode())
        dbapi_connection.autocommit = before

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading", False):
            may_idle(connection, 0)  # who only reads is in nobody's way

    @event.listens_for(engine, "handle_error")
    def waited(context: ExceptionContext) -> None:
        if isinstance(context.original_exception, psycopg.errors.LockNotAvailable):
            end_frozen(engine, IDLE_SECONDS)

    return engine


def may_idle(connection: Connection, seconds: int) -> None:
    """Let this transaction on PostgreSQL wait so long between two statements; 0 is for ever."""
    connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{seconds}s'")


def may_wait(connection: Connection) -> None:
    """Let this transaction on PostgreSQL wait for a lock as long as it takes."""
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")


_OPENED = mixed.Opened()  # of this process: POSIX locks are


def _sqlite(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    path = Path(url.database or ":memory:").resolve()

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _record: object, args: Any, options: Any) -> Any:  # noqa: ANN401 - the driver's
        return _OPENED.connect(path, lambda: dialect.connect(*args, **options))

    @event.listens_for(engine, "close")
    def closed(_dbapi_connection: object, _record: object) -> None:
        _OPENED.closed(path)

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
        connection.info[_CHANGES] = _driver(connection).total_changes

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        driver = _driver(connection)
        if driver.total_changes != connection.info.get(_CHANGES):
            mixed.commits_one_more(driver)

    return engine


_CHANGES = "changes before"


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def reading(engine: Engine) -> Connection:
    """Return a connection for one consistent read: many statements see one state.

    On SQLite it does not wait for writers; on PostgreSQL it is REPEATABLE READ.
    """
    connection = engine.connect()
    if is_sqlite(engine):
        return connection.execution_options(reading=True)
    return connection.execution_options(isolation_level="REPEATABLE READ", reading=True)


class WorkerLock:
    """Held by the one worker of a SQLite database; freed by the end of the process.

    By whatever name it is opened: a symbolic link leads to the same lock, and a file with two names
    of its own (a hard link), of which each would have its own ``-wal``, is refused.
    """

    def __init__(self, engine: Engine) -> None:
        self._file: IO[str] | None = None
        name = engine.url.database
        if not is_sqlite(engine) or name in {None, "", ":memory:"}:
            return
        path = Path(name or "").resolve()
        if path.exists() and path.stat().st_nlink > 1:
            raise AlreadyRunning(
                f"{path} has a second name (a hard link), under which another process would not "
                "see what this one writes: remove one of the two"
            )
        while self._file is None:
            self._file = _locked(path)

    def release(self) -> None:
        """Let another worker have the database."""
        if self._file is not None:
            self._file.close()


def _locked(path: Path) -> IO[str] | None:
    """Return the locked file beside *path*, None if somebody removed it meanwhile."""
    there = Path(f"{path}.lock")
    file = there.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), there.stat()):
            return file
    except FileNotFoundError:
        pass
    except BlockingIOError:
        file.close()
        raise AlreadyRunning(
            f"another facetally worker or apply is using {path}: SQLite takes one at a time; "
            "stop it, or use PostgreSQL for several workers"
        ) from None
    file.close()
    return None
