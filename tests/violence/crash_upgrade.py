"""``facetally db upgrade`` of a new database, killed at a step: its tables, and its secret.

The steps are those of the database, and what is done to the file of the secret.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import inspect, make_url, select

from deploy.settings import load
from deploy.wiring import open_monitor
from monitor.store import schema
from monitor.store.engine import open_engine
from tests.violence.crash_running import Runner
from tests.violence.crash_steps import Nobody, Probe

UPGRADE = ("db", "upgrade")
_SECRET = "facetally.secret"


def _hear_of_files(probe: Probe) -> None:
    """Tell *probe* of what is done to the secret's file, and of what is forced to the disk."""
    opened, forced = os.open, os.fsync

    def open_told(path: Any, *rest: Any, **more: Any) -> int:
        if Path(path).name != _SECRET:
            return opened(path, *rest, **more)
        probe.before("open the secret")
        handle = opened(path, *rest, **more)
        probe.before("write the secret")
        return handle

    def fsync_told(handle: int) -> None:
        probe.before("fsync")
        forced(handle)

    vars(os).update(open=open_told, fsync=fsync_told)


class Upgrade(Runner):
    """A database that is not there, and the command that makes it."""

    def __init__(self, place: Path, url: str | None) -> None:
        super().__init__(place, _hear_of_files)
        self._server = url
        self._url = url or f"sqlite:///{place / 'new.db'}"
        (place / "facetally.toml").write_text(f'database_url = "{self._url}"\n')
        self.gone()
        self.labels = self.recorded(UPGRADE)
        self._tables = self._shape()

    def gone(self) -> None:
        """Have no database, and no secret."""
        for file in self.place.glob("new.db*"):
            file.unlink()
        (self.place / _SECRET).unlink(missing_ok=True)
        if self._server is not None:
            plain = make_url(self._server).set(drivername="postgresql")
            address = plain.render_as_string(hide_password=False)
            with closing(psycopg.connect(address, autocommit=True)) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")

    def killed_at(self, at: int) -> list[str]:
        """Kill it at a step and run it again; return what is wrong then."""
        self.gone()
        label = self.killed(UPGRADE, at)
        if label != self.labels[at - 1]:
            return [f"killed {label}, not {self.labels[at - 1]}"]
        secret = self._secret()
        answer = self.run(UPGRADE, Nobody())
        if answer.code != 0:
            return [f"again: {answer.code}, {answer.err[-300:]}"]
        found = []
        if secret.strip() and self._secret() != secret:
            found.append("another secret was made")
        found += [] if self._shape() == self._tables else ["other tables"]
        open_monitor(load(str(self.place / "facetally.toml"))).engine.dispose()  # it is whole, ours
        return found

    def _secret(self) -> str:
        file = self.place / _SECRET
        return file.read_text() if file.exists() else ""

    def _shape(self) -> dict[str, Any]:
        engine = open_engine(self._url)
        try:
            seen = inspect(engine)
            with engine.connect() as connection:
                names = sorted(connection.scalars(select(schema.meta.c.name)))
            tables = sorted(seen.get_table_names())
            columns = {name: [str(c["name"]) for c in seen.get_columns(name)] for name in tables}
            indexes = {name: len(seen.get_indexes(name)) for name in tables}
            return {"columns": columns, "indexes": indexes, "meta": names}
        finally:
            engine.dispose()
