"""A real PostgreSQL: a cluster of its own, made by initdb, gone after the tests.

The system's cluster is not used and need not run. PostgreSQL refuses to run as root, so root
hands the cluster to the user ``postgres``. fsync stays on: a test of durability means it.
"""

from __future__ import annotations

import itertools
import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from signal import SIGINT, SIGQUIT, Signals

import psycopg

from tests.services.guardian import guardian
from tests.services.process import LOOPBACK, Owned, free_port

OWNER = "facetally"
UNPRIVILEGED = "postgres"
UP_SECONDS = 180.0  # on a machine that has much else to do

# Small: everything of a test fits, and two cores serve many parts at once.
OPTIONS = {
    "listen_addresses": LOOPBACK,
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "fsync": "on",
    # After a crash every file is made durable first: of hundreds of databases one by one that
    # takes longer than anything that is tested.
    "recovery_init_sync_method": "syncfs",
    "jit": "off",
    "autovacuum_naptime": "10s",
}


def available() -> str | None:
    """Return why there can be no PostgreSQL here, or None."""
    if _binaries() is None:
        return "no initdb: Debian's package postgresql has it"
    if os.geteuid() != 0:
        return None
    if shutil.which("setpriv") is None:
        return "no setpriv: root needs it to start PostgreSQL as another user"
    if UNPRIVILEGED not in {user.pw_name for user in pwd.getpwall()}:
        return f"no user {UNPRIVILEGED}: root needs one to start PostgreSQL as"
    return None


class Postgres:
    """A cluster with its data; ``stop`` and ``start`` keep data and port."""

    def __init__(self, superuser: str = OWNER) -> None:
        """Make the cluster. Its only user has a password and comes in over TCP."""
        self.superuser = superuser
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._numbers = itertools.count(1)
        self._home = guardian().directory("postgres")
        self._cluster = self._home / "cluster"
        self._process: Owned | None = None
        password = self._home / "password"
        password.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self._home, password):
                shutil.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        access = ("--username", superuser, "--pwfile", str(password), "--auth", "scram-sha-256")
        form = ("--encoding", "UTF8", "--no-locale", "--no-sync")
        subprocess.run(
            _unprivileged("initdb", "--pgdata", str(self._cluster), *access, *form),
            check=True,
            capture_output=True,
            timeout=60,
            cwd=self._home,
        )

    def start(self) -> None:
        """Start the server and return when it lets us in."""
        options = {**OPTIONS, "port": str(self.port), "unix_socket_directories": str(self._home)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._process = Owned(
            _unprivileged("postgres", "-D", str(self._cluster), *settings),
            log=self._home / "server.log",
            cwd=self._home,
        )
        self._process.until(self._answers, seconds=UP_SECONDS)

    def stop(self, how: Signals = SIGINT) -> None:
        """Shut down and disconnect everybody; what is stored stays.

        SIGINT is the "fast" shutdown (SIGTERM would wait until the last client has gone), SIGQUIT
        the "immediate" one, after which the server recovers as from a crash.
        """
        if self._process is not None:
            self._process.stop(how=how, seconds=30)

    def kill(self) -> None:
        """SIGKILL the server and its children; what is stored stays, as after a crash."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End it at once and remove the data: nothing of it has to last."""
        self.stop(SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def sockets(self) -> Path:
        """The folder of its Unix sockets."""
        return self._home

    def database(self) -> str:
        """Make an empty database and return its URL for SQLAlchemy."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self._address(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self._address(name).replace("postgresql://", "postgresql+psycopg://")

    def _address(self, database: str = "postgres") -> str:
        return f"postgresql://{self.superuser}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _unprivileged(program: str, *arguments: str) -> list[str]:
    """Return the command line of a PostgreSQL program, as another user where we are root."""
    command = [f"{_binaries()}/{program}", *arguments]
    if os.geteuid() != 0:
        return command
    user = f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}"
    return ["setpriv", *user, "--init-groups", "--reset-env", "--", *command]


def _binaries() -> Path | None:
    return next(_places(), None)


def _places() -> Iterator[Path]:
    """Yield where initdb is: on the path, or where Debian hides it, newest version first."""
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    yield from sorted((path.parent for path in versions), key=_version, reverse=True)


def _version(binaries: Path) -> int:
    return int(binaries.parent.name)
