"""Files in work: what an ``apply`` has begun to keep and not yet read to its end.

What a file says in its middle is no number that ever was, so no reach is confirmed while there is
a row here (``looking.py``). It is written with the first facts of a run, in their transaction, and
goes when all files have been read and looked back on: neither a lost connection nor a SIGKILL
takes it away. Another run of the same file of the same source takes the row over, as facts may
come twice; a run that has lost its row may keep nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from monitor.facts import Instant
from monitor.notices import Kind, Notice, Severity, key_of
from monitor.store import audit, owing, schema
from monitor.store.engine import is_sqlite, reading
from monitor.trust import Doubt, Why, in_body

_table = schema.files
_c = schema.files.c


class TakenOver(RuntimeError):
    """Another ``apply`` of a file of ours has begun, or a person has abandoned it."""


class NothingUnfinished(ValueError):
    """There is no file to abandon."""


@dataclass(frozen=True, slots=True, order=True)
class File:
    """A file: *key* is a hash of where it is, the same next time; *name* is shown."""

    key: str
    name: str


@dataclass(slots=True)
class Run:
    """One run of ``apply``; *begun*: it has kept facts, so that its rows are there."""

    id: str
    source: str
    files: tuple[File, ...]
    begun: bool = field(default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A file that was begun and not ended; its run last said that it lives at *beat_at*."""

    source: str
    name: str
    run: str
    since: Instant
    beat_at: Instant
    told_at: Instant | None


def hold(connection: Connection, run: Run, now: Instant) -> None:
    """Write that the files of *run* are in work, or that it still lives.

    The first statement of the transaction; the caller notes ``run.begun`` after its commit.
    Raises TakenOver.
    """
    if run.begun:
        _check(connection, run)
        lives = {"beat_at": now, "told_at": None}  # and is to be told of again if it dies yet
        connection.execute(update(_table).where(_c.run == run.id).values(lives))
        return
    dialect = sqlite if is_sqlite(connection) else postgresql
    for file in sorted(set(run.files)):  # in one order, or two runs could wait for each other
        row = {"run": run.id, "name": file.name, "beat_at": now, "told_at": None}
        statement = dialect.insert(_table).values(
            source=run.source, file=file.key, since=now, **row
        )
        connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=row))


_KEY = [_c.source, _c.file]


def end(connection: Connection, run: Run) -> None:
    """Take away the rows of a run that has read all. Raises TakenOver."""
    if run.begun:
        _check(connection, run)
    where = (_c.source == run.source, _c.file.in_([file.key for file in run.files]))
    connection.execute(delete(_table).where(*where))


def _check(connection: Connection, run: Run) -> None:
    """Hold the rows of *run* until the end of the transaction, or raise TakenOver."""
    ours = select(_c.file).where(_c.run == run.id).order_by(*_KEY).with_for_update()
    if len(connection.execute(ours).all()) != len(set(run.files)):
        raise TakenOver(
            "another facetally apply of the same file has begun, or a person has abandoned it: "
            "this one stops"
        )


def any_in_work(connection: Connection) -> bool:
    """Tell whether any file is in work."""
    return connection.execute(select(_c.run).limit(1)).first() is not None


def unfinished(connection: Connection) -> list[Unfinished]:
    """Return the files that are in work or whose run died, oldest first."""
    rows = connection.execute(select(_table).order_by(_c.since, _c.source, _c.name))
    return [_unfinished(row) for row in rows]


def whys(connection: Connection) -> list[Why]:
    """Return what is against every number because of files: one reason for each run."""
    runs: dict[str, list[Unfinished]] = {}
    for one in unfinished(connection):
        runs.setdefault(one.run, []).append(one)
    return [_why(of_run) for of_run in runs.values()]


def _why(of_run: Sequence[Unfinished]) -> Why:
    first, others = of_run[0], len(of_run) - 1
    named = f"{first.name} and {others} more" if others else first.name
    return Why(reason=Doubt.FILE_UNFINISHED, topic=named, since=first.since)


def _unfinished(row: Any) -> Unfinished:  # noqa: ANN401 - a row of schema.files
    return Unfinished(
        source=row.source,
        name=row.name,
        run=row.run,
        since=row.since,
        beat_at=row.beat_at,
        told_at=row.told_at,
    )


def tell(engine: Engine, now: Instant, after: Instant) -> None:
    """Page, once, for each run that has not been heard of for longer than *after*.

    One that was heard of by a clock which was ahead is taken as heard of now.
    """
    with reading(engine) as connection:
        found = unfinished(connection)
    dead = {one.run: one for one in reversed(found) if one.told_at is None}
    for one in dead.values():
        if now - one.beat_at < after:
            if one.beat_at > now:
                _not_ahead_of(engine, one.run, now)
            continue
        mark = update(_table).where(and_(_c.run == one.run, _c.told_at.is_(None)))
        with engine.begin() as connection:
            if connection.execute(mark.values(told_at=now)).rowcount:  # else another worker
                owing.note(connection, _page(one, now), "file.unfinished")


def _not_ahead_of(engine: Engine, run: str, now: Instant) -> None:
    with engine.begin() as connection:
        ahead = update(_table).where(_c.run == run, _c.beat_at > now)
        connection.execute(ahead.values(beat_at=now))


def _page(one: Unfinished, now: Instant) -> Notice:
    why = _why([one])
    return Notice(
        key=key_of(Kind.FILE_UNFINISHED, one.source, one.name, one.run, str(one.beat_at)),
        kind=Kind.FILE_UNFINISHED,
        severity=Severity.PAGE,
        created_at=now,
        body={"source": one.source, "topic": one.name, "since": one.since, **in_body([why])},
    )


def abandon(
    engine: Engine, source: str | None, *, by: str, because: str, now: Instant
) -> list[Unfinished]:
    """Drop what is unfinished, of one *source* or of all, with an audit entry for each file.

    What was kept of it counts from now on. A run that still lives stops with TakenOver. Raises
    NothingUnfinished.
    """
    chosen: Iterable[Any] = [] if source is None else [_c.source == source]
    with engine.begin() as connection:
        query = select(_table).where(*chosen).order_by(*_KEY).with_for_update()
        rows = list(connection.execute(query))
        if not rows:
            raise NothingUnfinished("there is no unfinished file" + (" of it" if source else ""))
        these = or_(*(and_(_c.source == row.source, _c.file == row.file) for row in rows))
        connection.execute(delete(_table).where(these))
        for row in rows:
            body = {"source": row.source, "file": row.name, "since": row.since}
            said = body | {"by": by, "because": because}
            audit.append(connection, now, "file.abandoned", None, said)
    return [_unfinished(row) for row in rows]
