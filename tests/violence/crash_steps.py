"""Numbers every step that touches the outside, at the boundary and not in the product.

What reaches the database driver goes through ``watched``: statements, COPY, and both sides of each
begin, commit and rollback. The other steps (poll, decode, look up, send) are told by the parts
that play the outside. A *probe* hears of each step before and after it, and may end the process
there, or raise what the driver would.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from sqlalchemy import Connection, Engine, event

from monitor.store.engine import is_sqlite

_SPACE = re.compile(r"\s+")
_LONGEST = 2_000

KILLED = 77
"""What a process that ``Killer`` has ended exits with."""


class Probe(Protocol):
    """Hears of steps; *raw* is the driver's connection where there is one."""

    def before(self, step: str, raw: Any = None) -> None: ...

    def after(self, step: str, raw: Any = None) -> None: ...

    def doing(self, name: str) -> None:
        """Say which call of the product the next steps belong to."""

    def done(self) -> None:
        """Say that this call has ended well."""


def watched(engine: Engine, probe: Probe) -> None:
    """Tell *probe* of all that *engine* does from now on."""

    @event.listens_for(engine, "do_execute")
    def execute(cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        return _run(probe, cursor, statement, lambda: cursor.execute(statement, parameters))

    @event.listens_for(engine, "do_execute_no_params")
    def bare(cursor: Any, statement: str, _context: object) -> bool:
        return _run(probe, cursor, statement, lambda: cursor.execute(statement))

    @event.listens_for(engine, "do_executemany")
    def many(cursor: Any, statement: str, parameters: Any, _context: object) -> bool:
        return _run(probe, cursor, statement, lambda: cursor.executemany(statement, parameters))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not is_sqlite(connection):  # there it is a statement
            probe.before("BEGIN")

    @event.listens_for(engine, "connect")
    def connect(raw: Any, _record: object) -> None:
        if isinstance(raw, psycopg.Connection):
            raw.cursor_factory = _copying(probe)

    _around_ends(engine.dialect, probe)


def _run(probe: Probe, cursor: Any, statement: str, execute: Any) -> bool:
    step = short(statement)
    probe.before(step, cursor.connection)
    execute()
    probe.after(step, cursor.connection)
    return True


def _around_ends(dialect: Any, probe: Probe) -> None:
    commit, rollback = dialect.do_commit, dialect.do_rollback

    def do_commit(raw: Any) -> None:
        probe.before("COMMIT", _driver(raw))
        commit(raw)
        probe.after("COMMIT", _driver(raw))

    def do_rollback(raw: Any) -> None:
        probe.before("ROLLBACK")
        rollback(raw)

    dialect.do_commit, dialect.do_rollback = do_commit, do_rollback


def _driver(raw: Any) -> Any:
    return getattr(raw, "driver_connection", raw)


def _copying(probe: Probe) -> type[psycopg.Cursor[Any]]:
    """Return a cursor class that tells of COPY, which SQLAlchemy knows nothing of."""

    class Copying(psycopg.Cursor[Any]):
        @contextmanager
        def copy(self, statement: Any, *rest: Any, **more: Any) -> Iterator[psycopg.Copy]:
            step = short(str(statement))
            probe.before(step, self.connection)
            with super().copy(statement, *rest, **more) as copied:
                yield copied
            probe.after(step, self.connection)

    return Copying


def short(statement: str) -> str:
    """Return *statement* in one line that tells it from others."""
    return _SPACE.sub(" ", statement)[:_LONGEST]


class Switch:
    """A probe that another one stands behind, for an engine that outlives it."""

    def __init__(self) -> None:
        self.to: Probe = Nobody()
        self.ended_well: set[str] = set()  # calls in this process
        self._call = ""

    def before(self, step: str, raw: Any = None) -> None:
        self.to.before(step, raw)

    def after(self, step: str, raw: Any = None) -> None:
        self.to.after(step, raw)

    def doing(self, name: str) -> None:
        self._call = name
        self.to.doing(name)

    def done(self) -> None:
        self.ended_well.add(self._call)
        self.to.done()


class Nobody:
    """Hears nothing."""

    def before(self, step: str, raw: Any = None) -> None: ...

    def after(self, step: str, raw: Any = None) -> None: ...

    def doing(self, name: str) -> None: ...

    def done(self) -> None: ...


_TWO_SIDED = frozenset({"COMMIT", "send", "publish offsets"})


class Numbered(Nobody):
    """Gives the steps their numbers, from 1.

    What changes something outside has a number before and one after it. What is after any other
    step is before the next one, and a rollback only says what the end of a process says too.
    """

    def __init__(self, count: int = 0) -> None:
        self.count = count  # so many steps were taken before

    def before(self, step: str, raw: Any = None) -> None:  # noqa: ARG002 - as the protocol
        if step != "ROLLBACK":
            self._number(f"before {step}")

    def after(self, step: str, raw: Any = None) -> None:  # noqa: ARG002 - as the protocol
        if step in _TWO_SIDED:
            self._number(f"after {step}")

    def _number(self, label: str) -> None:
        self.count += 1
        self.reached(label)

    def reached(self, label: str) -> None:
        """Do something at this step."""


class Counting(Numbered):
    """Leaves word of each step, so that the parent knows how many a process took."""

    def __init__(self, leave_word: Callable[[int, str], None]) -> None:
        super().__init__()
        self._leave_word = leave_word

    def reached(self, label: str) -> None:
        self._leave_word(self.count, label)


class Recorder(Numbered):
    """Remembers the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: list[str] = []

    def reached(self, label: str) -> None:
        self.labels.append(label)


class Killer(Numbered):
    """Ends the process at step *at*, with no clean-up, leaving word of where that was."""

    def __init__(self, at: int, leave_word: Callable[[int, str], None], count: int = 0) -> None:
        super().__init__(count)
        self._at, self._leave_word = at, leave_word

    def reached(self, label: str) -> None:
        if self.count == self._at:
            self._leave_word(self.count, label)
            os._exit(KILLED)
