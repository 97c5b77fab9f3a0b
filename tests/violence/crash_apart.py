"""A look back in a process of its own, which is killed, or the worker that waits for it.

The worker is a fork with the real keeper, whose look backs run in the background and in the real
``python -m monitor.store.apart``. A process that is killed by its steps has them in its own thread,
or they would have no numbers.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from sqlalchemy import select

from monitor.facts import StorageFact
from monitor.store import keeper as keepers
from monitor.store import looking, pacing, schema
from monitor.store.apart import SweepFailed
from monitor.store.engine import open_engine, reading
from monitor.store.keeper import SqlKeeper
from tests.builders import (
    ANN,
    BOB,
    CY,
    HIGH,
    LEFT,
    LOW,
    RIGHT,
    enrolled,
    linked,
    row,
    row_deleted,
    subject_removed,
)
from tests.integration.feed import DAY, MARCH_2, POLICY, confirmed
from tests.integration.store_kit import NOW, differences, no_topics
from tests.violence.crash_apart_child import ASKED
from tests.violence.crash_check import shown
from tests.violence.crash_commands import UNDISTURBED
from tests.violence.crash_driver import FAST, LONGEST_LIFE
from tests.violence.crash_running import OfMainThread
from tests.violence.crash_state import State, state_of
from tests.violence.crash_steps import KILLED, Killer, Nobody, Probe, Recorder, Switch, watched

FASTER = 20  # the pauses between look backs, so that one that failed is tried again soon
PATIENCE = 30.0

READ: list[StorageFact] = [
    enrolled(ANN, MARCH_2),
    row(LEFT, CY, (1, 1, 1), MARCH_2 + DAY),
    enrolled(BOB, MARCH_2 + 2 * DAY),
    linked(LOW, ANN, MARCH_2 + DAY),
    enrolled(LOW, MARCH_2 + 3 * DAY),
    subject_removed(BOB, MARCH_2 + 4 * DAY),
]
LATE: list[StorageFact] = [
    row(RIGHT, HIGH, (1, 0, 5), MARCH_2 - 3 * DAY),
    row(LEFT, BOB, (1, 0, 6), MARCH_2 - 2 * DAY),
    row_deleted(RIGHT, (1, 2, 0), MARCH_2 + 5 * DAY),
    enrolled(CY, MARCH_2 - DAY),
    linked(CY, HIGH, MARCH_2 - 2 * DAY),
]
"""They make the day of the threshold earlier, so that the book is looked back on."""


_AT_ITS_START = """
from tests.violence import crash_apart_child
asked = crash_apart_child.begin()
from tests.violence import crash_apart_steps
crash_apart_steps.watch(*asked)
"""


class LookBack:
    """A database in which a look back is due, and processes that do it."""

    def __init__(self, place: Path, state: State) -> None:
        self._place, self._state = place, state
        (place / "sitecustomize.py").write_text(_AT_ITS_START)
        (place / "aside").mkdir()
        self._switch = Switch()
        self._engine = open_engine(state.url)
        watched(self._engine, self._switch)
        feed = confirmed(self._engine, READ, POLICY)
        feed.read(0, LATE)
        self.before = self._said()
        self._engine.dispose()
        state.keep(0)
        self._undisturbed()

    def _undisturbed(self) -> None:
        self.labels: list[str] = []
        for _ in range(UNDISTURBED):
            self._state.put_back(0)
            began = time.monotonic()
            status = self._wait(self._worker(Recorder(), inline=True))
            self.seconds = time.monotonic() - began
            self.end = self._said()
            found = self._differences()
            assert (status, found) == (0, []), (status, found)
            before, self.labels = self.labels, json.loads((self._place / "steps").read_text())
            self.labels_apart: list[str] = json.loads((self._place / "labels").read_text())
        assert UNDISTURBED == 1 or before == self.labels
        assert self.before["reaches"] != self.end["reaches"]
        assert any("set aside" in label for label in self.labels_apart)

    # -- processes -------------------------------------------------------------------------

    def _worker(self, probe: Probe, *, inline: bool) -> int:
        """Start a worker that ticks until nothing is due; return its process."""
        child = os.fork()
        if child == 0:
            self._look(probe, inline=inline)
        return child

    def _look(self, probe: Probe, *, inline: bool) -> NoReturn:
        failed = 0
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_LIFE)
            os.dup2(os.open(self._place / "err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
            (self._place / "worker").write_text(str(os.getpid()))
            place = str(self._place)
            os.environ |= {ASKED: place, "PYTHONPATH": place, "TMPDIR": str(self._place / "aside")}
            _hurry(inline=inline)
            self._switch.to = OfMainThread(probe)  # the lock's lease is renewed by the clock
            worker = SqlKeeper(self._engine, POLICY, no_topics, NOW, background=True)
            while True:
                try:
                    worker.tick(NOW + 10)
                except SweepFailed:
                    failed += 1
                if not inline:
                    time.sleep(0.01)
                if inline or not self._due():
                    worker.tick(NOW + 11)
                    break
            self._engine.dispose()
            if isinstance(probe, Recorder):
                (self._place / "steps").write_text(json.dumps(probe.labels))
        except BaseException:  # noqa: BLE001 - as the interpreter would
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(10 if failed else 0)

    def _wait(self, child: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    # -- kills -----------------------------------------------------------------------------

    def worker_killed_at(self, at: int) -> list[str]:
        """Kill the worker at a step of its own; return what is wrong then and in the end."""
        self._begin()
        status = self._wait(self._worker(Killer(at, self._leave_word), inline=True))
        found = [] if status == KILLED else [f"the worker ended with {status}"]
        return found + self._after_the_worker(self.labels[at - 1])

    def worker_killed(self, **when: float) -> list[str]:
        """Kill the worker at a step of the process that looks back for it, or at a moment."""
        self._begin(whom="parent", **when)
        status = self._wait(self._worker(Nobody(), inline=False))
        if status in {0, -signal.SIGKILL} and "after" in when:  # else it was done by then
            return self._after_the_worker(None)
        found = [] if status == -signal.SIGKILL else [f"the worker ended with {status}"]
        return found + self._after_the_worker(self._label(when))

    def apart_killed(self, **when: float) -> list[str]:
        """Kill the process that looks back; its worker lives, and has to have it done again."""
        self._begin(whom="child", **when)
        status = self._wait(self._worker(Nobody(), inline=False))
        if "after" in when:
            found = [] if status in {0, 10} else [f"the worker ended with {status}"]
            return found + self._orphans() + self._wrong()
        found = [] if status == 10 else [f"the worker ended with {status}"]
        return found + self._told(self._label(when)) + self._orphans() + self._wrong()

    def _label(self, when: dict[str, float]) -> str:
        return self.labels_apart[int(when["at"]) - 1]

    def _begin(self, **asked: float | str) -> None:
        self._state.put_back(0)
        for file in ("word", "child", "asked"):
            (self._place / file).unlink(missing_ok=True)
        if asked:
            (self._place / "asked").write_text(json.dumps(asked))

    def _leave_word(self, _count: int, label: str) -> None:
        (self._place / "word").write_text(label)

    # -- what became of it -----------------------------------------------------------------

    def _after_the_worker(self, label: str | None) -> list[str]:
        found = [] if label is None else self._told(label)
        found += self._orphans()
        now = self._said()
        for what in ("numbers", "book"):
            if now[what] != self.before[what]:
                found.append(f"{what} were {self.before[what]}, are {now[what]}")
        if now["duties"] not in (self.before["duties"], self.end["duties"]):
            found.append(f"in between there are the duties {now['duties']}")
        (self._place / "asked").unlink(missing_ok=True)
        status = self._wait(self._worker(Nobody(), inline=False))
        found += [] if status == 0 else [f"the next worker ended with {status}"]
        return found + self._wrong()

    def _told(self, label: str) -> list[str]:
        word = self._place / "word"
        was = word.read_text() if word.exists() else "nowhere"
        return [] if was == label else [f"killed {was}, not {label}"]

    def _orphans(self) -> list[str]:
        """Return who looks back and has not ended soon after its worker, and what it left."""
        file = self._place / "child"
        if not file.exists():
            return []
        pid = int(file.read_text())
        until = time.monotonic() + PATIENCE
        while _lives(pid):
            if time.monotonic() > until:
                return [f"process {pid} outlives its worker"]
            time.sleep(0.01)
        return [f"{file.name} was left" for file in (self._place / "aside").iterdir()]

    def _wrong(self) -> list[str]:
        found = self._differences()
        now = self._said()
        return found + [
            f"{what}: {now[what]}, undisturbed {self.end[what]}"
            for what in now
            if now[what] != self.end[what]
        ]

    def _due(self) -> bool:
        with reading(self._engine) as connection:
            watches = schema.watches.c
            return (
                connection.execute(select(watches.last_at).where(watches.recount_due)).all() != []
            )

    def _differences(self) -> list[str]:
        try:
            return differences(self._engine, READ + LATE, POLICY)
        finally:
            self._engine.dispose()

    def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = shown(self._engine)
        with reading(self._engine) as connection:
            said["numbers"] = sorted(map(tuple, connection.execute(select(schema.stock))))
            said["recounts"] = len(connection.execute(select(schema.recounts)).all())
        self._engine.dispose()
        return said


def _hurry(*, inline: bool) -> None:
    """Be a worker whose smallest book is looked back on apart, and who rests shortly between."""
    faster = SimpleNamespace(monotonic=lambda: time.monotonic() * FASTER)
    vars(looking)["APART_FROM"] = 0
    vars(pacing)["time"] = faster
    pacing.Backoff.__init__.__defaults__ = (faster.monotonic,)  # it took the clock when it was made
    if inline:
        vars(keepers)["Paced"] = lambda *, background: pacing.Paced(background=not background)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@contextmanager
def look_back(url: str | None) -> Iterator[LookBack]:
    """Yield a look back that is due on the PostgreSQL at *url*, or on a SQLite file of its own."""
    where = FAST if FAST.is_dir() else None
    gc.freeze()  # what is here need not be copied by every process that looks for garbage
    try:
        with (
            tempfile.TemporaryDirectory(dir=where) as place,
            closing(state_of(url, Path(place))) as state,
        ):
            yield LookBack(Path(place), state)
    finally:
        gc.unfreeze()
