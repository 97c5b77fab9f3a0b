"""Kills a process at one of its steps, starts it again, and asks what became of the story.

A lane is a process with a database, a receiver and a world of its own. It lives the story once
itself, so that all it forks are warm, and then forks one process for each life.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import traceback
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import NoReturn, TypeAlias

from monitor.store.engine import is_sqlite, open_engine
from tests.receiver import Answer, Receiver, Request, receiving
from tests.violence.crash_check import Shown, shown, wrong
from tests.violence.crash_life import NEXT_LEASE, Life, Said, prepare, webhook
from tests.violence.crash_state import BEGINNING, State, state_of
from tests.violence.crash_steps import (
    KILLED,
    Counting,
    Killer,
    Nobody,
    Probe,
    Recorder,
    Switch,
    watched,
)
from tests.violence.crash_world import World

LANES = 2
NEIGHBOURS = 20  # steps that one lane takes: they often leave the same behind
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
    second_kills: int = 0  # of processes that were started after a kill
    restarts: int = 0
    wrong: list[str] = field(default_factory=list)


class Lane:
    """One story at a time, on one database."""

    def __init__(self, state: State, receiver: Receiver, switch: Switch) -> None:
        self._state, self._receiver = state, receiver
        self.world, self._switch = World(), switch
        self._hook = webhook(receiver.url)
        prepare(self.world)
        self._engine = open_engine(state.url)
        watched(self._engine, self._switch)
        self._checking = self._engine if is_sqlite(self._engine) else open_engine(state.url)
        self.undisturbed: Shown | None = None
        self._begins: list[int] = []
        self._left: set[str] = set()
        self.labels = self._undisturbed()
        gc.freeze()  # what is here need not be copied by every process that looks for garbage

    def _undisturbed(self) -> list[str]:
        """Live the story without harm: to get warm, and twice to see that it is the same."""
        labels = []
        for _ in range(3):
            self.reset()
            begins: list[int] = []
            recorder = Recorder()
            self.live(recorder, _counting(recorder, begins))
            self._engine.dispose()
            found = self.wrong()
            if found:
                raise AssertionError(f"undisturbed: {found}")
            self.undisturbed = shown(self._checking)
            self._let_go()
            labels.append(recorder.labels)
            self._begins = begins
        if labels[1] != labels[2]:
            different = [one for one in zip(*labels[1:], strict=False) if one[0] != one[1]]
            raise AssertionError(f"two undisturbed runs took different steps: {different[:1]}")
        return labels[1]

    def live(self, probe: Probe, between: Callable[[int], None] | None = None) -> Said:
        """Live here, in this process, calling *between* before each phase."""
        self._switch.to = probe
        try:
            return Life(self.world, self._engine, self._hook, self._switch, between).live()
        finally:
            self._switch.to = Nobody()

    def kill_at(self, steps: Iterable[int], then: Callable[[int], None]) -> list[str]:
        """Kill a process at each of *steps*, call *then*; return which ended otherwise.

        The story is lived here. Before each phase it is kept, a process is forked for each kill in
        that phase, which lives on from there until it is killed, and all is put back.
        """
        wrong: list[str] = []
        chosen, here = sorted(steps), os.getpid()

        def between(phase: int) -> None:
            if os.getpid() != here:
                return  # of a process that has missed its step
            self._state.keep(phase)
            kept = self.world.kept(), len(self._receiver.requests)
            for at in (at for at in chosen if self._phase_of(at) == phase):
                child = os.fork()
                if child == 0:
                    _mortal()
                    self._switch.to = Killer(at, self.world.leave_word, self._begins[phase])
                    return
                label = self._end_of(child)
                if label == self.labels[at - 1]:
                    then(at)
                else:
                    wrong.append(f"step {at} was {label}, not {self.labels[at - 1]}")
                self.world.put_back(kept[0])
                del self._receiver.requests[kept[1] :]
                self._state.put_back(phase)

        self.reset()
        self._live_forked(between)
        return wrong

    def _phase_of(self, step: int) -> int:
        return bisect_left(self._begins, step) - 1

    def _live_forked(self, between: Callable[[int], None]) -> None:
        """Live; a process that is forked on the way ends where its life does."""
        here = os.getpid()
        try:
            self.live(Nobody(), between)
            self._engine.dispose()
        except BaseException:
            if os.getpid() == here:
                raise
            _end_badly()
        if os.getpid() != here:
            os._exit(0)

    def _end_of(self, child: int) -> str:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return self.world.label if status == KILLED else f"exit {status}"

    def forked(self, probe: Probe) -> int:
        """Live in a process of its own; return its exit code."""
        child = os.fork()
        if child == 0:
            _mortal()
            try:
                self.live(probe)
                self._engine.dispose()
            except BaseException:  # noqa: BLE001 - as the interpreter would
                _end_badly()
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def left_something_new(self) -> bool:
        """Tell whether no killed process has yet left exactly this behind, but for the time.

        How the next one lives depends on the phase, the database, the group's offsets and the
        receiver, and on nothing else.
        """
        requests = [(r.headers["webhook-id"], r.body) for r in self._receiver.requests]
        left = repr((self.world.number, self.world.committed, self._state.rows(), requests))
        digest = sha256(left.encode()).hexdigest()
        known = digest in self._left
        self._left.add(digest)
        return not known

    def restart(self) -> None:
        """Let the time pass that it takes until somebody starts the process again."""
        self.world.pass_time(RESTART)

    def steps_to_the_end(self) -> int:
        """Live to the end in a process of its own; return how many steps it took."""
        status = self.forked(Counting(self.world.leave_word))
        assert status == 0, f"the process ended with {status} in {self.world.phase.name}"
        return self.world.steps

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
        self._switch.ended_well.clear()
        self._receiver.requests.clear()
        self._state.put_back(BEGINNING)


def _counting(recorder: Recorder, begins: list[int]) -> Callable[[int], None]:
    """Return what tells *begins* how many steps there were before each phase."""
    return lambda _: begins.append(recorder.count)


def _mortal() -> None:
    """Be a process that takes no longer than it may, and collects no garbage."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST_LIFE)
    gc.disable()


def _end_badly() -> NoReturn:
    """Say what is being raised, as the interpreter would, and end."""
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


@contextmanager
def lane(url: str | None, *, stubborn: bool = False) -> Iterator[Lane]:
    """Yield a lane on the PostgreSQL at *url*, or on a SQLite file of its own.

    Its receiver refuses the first notice. A *stubborn* one, for lives in this process, refuses all
    until that was noted: else only the first statement of noting it could fail, and none after it.
    """
    where = FAST if FAST.is_dir() else None
    switch = Switch()

    def answer(_: Request) -> Answer:
        return Answer(204 if "failed" in switch.ended_well else 503)

    answers = (answer,) if stubborn else (Answer(503), Answer(204))
    with (
        tempfile.TemporaryDirectory(dir=where) as place,
        receiving(*answers) as receiver,
        closing(state_of(url, Path(place))) as state,
    ):
        yield Lane(state, receiver, switch)


def chosen_steps(points: int, first: int, each: int) -> list[int]:
    """Return every *each*-th of *points* steps from step *first* on, and the last one."""
    return sorted({*range(first, points + 1, each), points})


def every_step(url: str | None, number: int, of: int, first: int, each: int, again: int) -> Tally:
    """Kill at the ``chosen_steps``, in lane *number* of *of*.

    The process is started again where a kill left what none had left before in this lane, and
    after every *again*-th kill.
    """
    tally = Tally()
    with lane(url) as one:
        tally.points = len(one.labels)
        chosen = chosen_steps(tally.points, first, each)

        def finish(at: int) -> None:
            tally.kills += 1
            new = one.left_something_new()
            if new or tally.kills % again == 0:
                tally.restarts += 1
                where = f"killed at {at}, {one.labels[at - 1]!r} in {one.world.phase.name}"
                tally.wrong += [f"{where}: {found}" for found in one.finish()]

        mine = (at for index, at in enumerate(chosen) if index // NEIGHBOURS % of == number)
        tally.wrong += one.kill_at(mine, finish)
    return tally


def killed_twice(url: str | None, number: int, of: int, pairs: int, seed: int) -> Tally:
    """Kill at a random step, and the process that is started then at a random one of its own.

    Each first kill is done twice: once to see how many steps the process takes that comes then.
    """
    tally = Tally()
    rnd = Random(f"{seed}/{number}")
    with lane(url) as one:
        tally.points = len(one.labels)
        firsts = [rnd.randint(1, tally.points) for _ in range(number, pairs, of)]
        lengths: list[int] = []

        def again(first: int) -> None:
            one.restart()
            if not lengths:
                lengths.append(one.steps_to_the_end())
                return
            length = lengths.pop()
            second = rnd.randint(1, length)
            died = one.forked(Killer(second, one.world.leave_word)) == KILLED
            tally.kills += 1
            tally.second_kills += died
            tally.restarts += 1 + died
            where = f"killed at {first}, then at {second} of {length}"
            tally.wrong += [f"{where}: {found}" for found in one.finish()]

        tally.wrong += one.kill_at([*firsts, *firsts], again)
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
    return Tally(
        points=points.pop(),
        kills=sum(part.kills for part in parts),
        second_kills=sum(part.second_kills for part in parts),
        restarts=sum(part.restarts for part in parts),
        wrong=wrongs,
    )
