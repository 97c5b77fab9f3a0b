"""Kills a process at one of its steps, starts it again, and asks what became of the story.

A lane is a process with a database, a receiver and a world of its own. It lives the story once
itself, so that all it forks are warm, and then forks one process for each life.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TypeAlias

from sqlalchemy import Engine, make_url, text

from monitor.store import schema
from monitor.store.engine import is_sqlite, open_engine
from tests.receiver import Answer, Receiver, receiving
from tests.violence.crash_check import Shown, shown, wrong
from tests.violence.crash_life import NEXT_LEASE, Life, Said, prepare, webhook
from tests.violence.crash_steps import KILLED, Killer, Nobody, Probe, Recorder, Switch, watched
from tests.violence.crash_world import World

LANES = 2
LONGEST_LIFE = 60  # seconds, for a life that takes less than one
RESTART = NEXT_LEASE + 20.0  # seconds from a kill to the next start
Work: TypeAlias = Callable[..., "Tally"]
"""Called with a URL, its lane's number, how many lanes there are, and what it is asked for."""

FAST = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there


@dataclass(slots=True)
class Tally:
    """What a lane did, and what it found wrong."""

    points: int = 0
    kills: int = 0
    wrong: list[str] = field(default_factory=list)


class Lane:
    """One story at a time, on one database."""

    def __init__(self, url: str, receiver: Receiver) -> None:
        self._url, self._receiver = url, receiver
        self.world, self._switch = World(), Switch()
        self._hook = webhook(receiver.url)
        prepare(self.world)
        self._template: Path | None = None
        self.reset()
        self._engine = open_engine(url)
        watched(self._engine, self._switch)
        self._checking = self._engine if url.startswith("sqlite") else open_engine(url)
        self.undisturbed: Shown | None = None
        self.labels = self._undisturbed()
        gc.freeze()  # what is here need not be copied by every process that looks for garbage

    def _undisturbed(self) -> list[str]:
        """Live the story without harm: to get warm, and twice to see that it is the same."""
        labels = []
        for _ in range(3):
            self.reset()
            recorder = Recorder()
            self.live(recorder)
            self._engine.dispose()
            found = self.wrong()
            if found:
                raise AssertionError(f"undisturbed: {found}")
            self.undisturbed = shown(self._checking)
            self._let_go()
            labels.append(recorder.labels)
        if labels[1] != labels[2]:
            different = [one for one in zip(*labels[1:], strict=False) if one[0] != one[1]]
            raise AssertionError(f"two undisturbed runs took different steps: {different[:1]}")
        return labels[1]

    def live(self, probe: Probe) -> Said:
        """Live here, in this process."""
        self._switch.to = probe
        try:
            return Life(self.world, self._engine, self._hook, self._switch).live()
        finally:
            self._switch.to = Nobody()

    def killed(self, at: int) -> str:
        """Live in a process of its own that is killed at step *at*; say how it ended."""
        status = self.forked(Killer(at, self.world.leave_word))
        return self.world.label if status == KILLED else f"exit {status}"

    def forked(self, probe: Probe) -> int:
        """Live in a process of its own; return its exit code."""
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_LIFE)
            gc.disable()
            try:
                self.live(probe)
                self._engine.dispose()
            except BaseException:  # noqa: BLE001 - as the interpreter would
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def restart(self) -> None:
        """Let the time pass that it takes until somebody starts the process again."""
        self.world.pass_time(RESTART)

    def finish(self) -> list[str]:
        """Start again, live to the end, and return what is wrong then."""
        self.restart()
        status = self.forked(Nobody())
        if status != 0:
            return [f"the restarted process ended with {status} in {self.world.phase.name}"]
        return self.wrong()

    def wrong(self) -> list[str]:
        try:
            return wrong(self._checking, self._receiver.requests, self.undisturbed)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if is_sqlite(self._checking):  # its file is about to be replaced
            self._checking.dispose()

    def reset(self) -> None:
        """Begin anew: empty tables, nothing received, the first phase."""
        self.world.reset()
        self._receiver.requests.clear()
        if self._url.startswith("sqlite"):
            self._reset_file(Path(make_url(self._url).database or ""))
        elif self._template is None:
            self._template = Path()
            _make_tables(self._url)
        else:
            _empty(self._checking)

    def _reset_file(self, path: Path) -> None:
        if self._template is None:
            _make_tables(self._url)
            self._template = path.with_suffix(".empty")
            path.rename(self._template)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        shutil.copyfile(self._template, path)


def _make_tables(url: str) -> None:
    engine = open_engine(url)
    schema.metadata.create_all(engine)
    engine.dispose()


def _empty(engine: Engine) -> None:
    """Empty all tables, waiting for a killed process's transaction to be rolled back."""
    with engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(table.delete())
        numbered = "SELECT setval(oid, 1, false) FROM pg_class WHERE relkind = 'S'"
        connection.execute(text(numbered))


@contextmanager
def lane(url: str | None) -> Iterator[Lane]:
    """Yield a lane on the PostgreSQL at *url*, or on a SQLite file of its own."""
    where = FAST if FAST.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=where) as place,
        receiving(Answer(503), Answer(204)) as receiver,
    ):
        yield Lane(url or f"sqlite:///{place}/story.db", receiver)


def kill_at(lane: Lane, at: int) -> list[str]:
    """Kill at step *at*, and return what is wrong in the end."""
    lane.reset()
    label = lane.killed(at)
    if label != lane.labels[at - 1]:
        return [f"step {at} was {label}, not {lane.labels[at - 1]}"]
    where = f"killed at {at}, {label!r} in {lane.world.phase.name}"
    return [f"{where}: {found}" for found in lane.finish()]


def every_step(url: str | None, number: int, of: int, each: int) -> Tally:
    """Kill at every *each*-th step, in lane *number* of *of*; the last one always."""
    tally = Tally()
    with lane(url) as one:
        last = len(one.labels)
        tally.points = last
        chosen = sorted({*range(1, last + 1, each), last})
        for at in chosen[number::of]:
            tally.wrong += kill_at(one, at)
            tally.kills += 1
    return tally


def killed_twice(url: str | None, number: int, of: int, pairs: int, seed: int) -> Tally:
    """Kill at a random step, and the process that is started then at a random one of its own."""
    tally = Tally()
    rnd = Random(f"{seed}/{number}")
    with lane(url) as one:
        tally.points = len(one.labels)
        for _ in range(number, pairs, of):
            first, second = (rnd.randint(1, tally.points) for _ in range(2))
            one.reset()
            one.killed(first)
            one.restart()
            # A second life is shorter: one that ends before that step was not killed again.
            died = one.forked(Killer(second, one.world.leave_word)) == KILLED
            tally.kills += 1 + died
            where = f"killed at {first}, then at {second}"
            tally.wrong += [f"{where}: {found}" for found in one.finish()]
    return tally


def in_lanes(work: Work, urls: Sequence[str | None], *arguments: int) -> Tally:
    """Divide *work* between lanes, one for each of *urls*."""
    lanes = len(urls)
    with ProcessPoolExecutor(lanes, get_context("spawn")) as pool:
        jobs = [pool.submit(work, url, n, lanes, *arguments) for n, url in enumerate(urls)]
        parts = [job.result() for job in jobs]
    points = {part.points for part in parts}
    assert len(points) == 1
    wrongs = [line for part in parts for line in part.wrong]
    return Tally(points.pop(), sum(part.kills for part in parts), wrongs)
