"""Kills a command of ``facetally`` at its steps, runs it again, and asks what became of it all.

A *scene* is commands that follow each other on a prepared database. Each runs in a fork from the
parsing of its words to its exit code; only Kafka is played, where a command asks it. The database
is kept before each command and put back after each kill. What is checked: facts against the oracle,
``verify``, an undisturbed run, and right after each kill that no duty is there that neither the
state before the command nor the one after it has.
"""

from __future__ import annotations

import gc
import json
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from sqlalchemy import select

from deploy.settings import Settings, load
from deploy.wiring import Monitor, clock, open_monitor, upgrade_database
from monitor.facts import Changed, Fact, Filed, StorageFact, Terminated
from monitor.store import files, schema
from monitor.store.engine import reading
from monitor.store.reading import status
from tests.figures import sized
from tests.integration.store_kit import SECOND, differences, duties
from tests.violence.crash_check import shown
from tests.violence.crash_driver import FAST, Tally
from tests.violence.crash_running import Runner, Words
from tests.violence.crash_state import BEGINNING, State, state_of
from tests.violence.crash_steps import KILLED, Killer, Probe, Recorder

_Duties: TypeAlias = set[tuple[Any, ...]]

REFUSED = 2
UNDISTURBED = sized(1, 2)  # every kill sees, too, that its step is the same
_DAY = 24 * 60 * 60 * SECOND
_INSTANT = re.compile(r"\b\d{16}\b")
_RANDOM = re.compile(r"'[0-9a-f]{16}'|[0-9a-f]{64}")  # tokens of runs; hashes of audit entries


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is done, and on what: *settings* are TOML, *files* are made beside them.

    *prepare* makes the database what the first command finds, *after* is what a worker does when
    the last has ended. *facts* says what was told by then. *refusals* has, for each command, what
    it says with exit 2 when it is run again after all of it was written; nothing: it ends well.
    *playing* makes a process that is about to be a command play what is not there.
    """

    settings: str
    commands: Sequence[Words]
    facts: Callable[[Monitor, Path], list[Fact]]
    refusals: Sequence[str]
    files: Mapping[str, Sequence[bytes]]
    prepare: Callable[[Bench], None] = lambda _bench: None
    after: Callable[[Monitor], None] = lambda _monitor: None
    playing: Callable[[Probe], None] = lambda _probe: None


class Bench(Runner):
    """One scene on one database."""

    def __init__(self, scene: Scene, place: Path, state: State) -> None:
        super().__init__(place, scene.playing)
        self.scene, self._state = scene, state
        self._left: set[str] = set()
        scene.prepare(self)
        self._monitor = open_monitor(self.settings)
        self._monitor.engine.dispose()
        self._state.keep(0)
        self._owed: list[_Duties] = []
        self._seen: list[_Duties] = []  # when a worker has had a look, too
        self.labels = self._undisturbed()

    @property
    def settings(self) -> Settings:
        return load(str(self.place / "facetally.toml"))

    @contextmanager
    def monitor(self) -> Iterator[Monitor]:
        """Yield the database in this process, and let go of it afterwards."""
        try:
            yield self._monitor
        finally:
            self._monitor.engine.dispose()

    def begin_again(self) -> None:
        """Have the empty tables again."""
        self._state.put_back(BEGINNING)

    # -- the scene -------------------------------------------------------------------------

    def _undisturbed(self) -> list[list[str]]:
        """Play the scene without harm, in full size again to see that it is the same."""
        runs = []
        for _ in range(UNDISTURBED):
            self._state.put_back(0)
            self._owed, self._seen = [self._duties()], []
            labels = []
            for number, words in enumerate(self.scene.commands):
                self._state.keep(number)
                labels.append(self.recorded(words))
                self._owed.append(self._duties())
                self._seen.append(self._duties_seen(number + 1))
            self._after()
            self._end = self._ended()
            found = self._differences()
            if found:
                raise AssertionError(f"undisturbed: {found}")
            runs.append(labels)
        if runs[0] != runs[-1]:
            raise AssertionError("two undisturbed runs took different steps")
        return runs[0]

    def every(self, each: int, commits: int, again: int, tally: Tally) -> None:
        """Kill each command at every *each*-th step, and after every *commits*-th commit.

        It is run again where a kill left what none had left before, and after every *again*-th
        kill; every second time after a worker has had a look.
        """
        for number, labels in enumerate(self.labels):
            tally.points += len(labels)
            ends = [at for at, label in enumerate(labels, start=1) if label == "after COMMIT"]
            ends = ends[::-commits]  # the last of all in any case
            for at in sorted({*range(1, len(labels) + 1, each), *ends}):
                where = f"{self.scene.commands[number][0]} killed at {at}, {labels[at - 1][:80]!r}"
                self._state.put_back(number)
                label = self.killed(self.scene.commands[number], at)
                tally.kills += 1
                if label != labels[at - 1]:
                    tally.wrong.append(f"{where}: was {label}")
                    continue
                if self._left_something_new(number) or tally.kills % again == 0:
                    tally.restarts += 1
                    found = self._half(number, looked=tally.restarts % 2 == 0)
                    found += self._finish(number, at)
                    tally.wrong += [f"{where}: {one}" for one in found]

    def twice(self, pairs: int, seed: int, tally: Tally) -> None:
        """Kill at a random step, and what is run then at a random step of its own.

        The first kill is done twice: once to see how many steps the command takes that comes then.
        """
        rnd = Random(seed)
        tally.points = sum(map(len, self.labels))
        for _ in range(pairs):
            number = rnd.randrange(len(self.labels))
            words, steps = self.scene.commands[number], len(self.labels[number])
            first = rnd.randint(1, steps)
            self._state.put_back(number)
            self.killed(words, first)
            length = len(self.recorded(words))
            self._state.put_back(number)
            label = self.killed(words, first)
            if label != self.labels[number][first - 1]:
                tally.wrong.append(f"{words[0]} killed at {first}: was {label}")
                continue
            second = rnd.randint(1, length)
            died = self.run(words, Killer(second, self._leave_word)).code == KILLED
            tally.kills += 1
            tally.second_kills += died
            tally.restarts += 1 + died
            where = f"{words[0]} killed at {first}, then at {second} of {length}"
            tally.wrong += [f"{where}: {one}" for one in self._finish(number, None)]

    def _finish(self, number: int, at: int | None) -> list[str]:
        """Do what an operator does: the same command again, then those that follow it."""
        found: list[str] = []
        for again, words in enumerate(self.scene.commands[number:], start=number):
            answer = self.run(words, Recorder())
            refusal = self.scene.refusals[again] if again == number else ""
            ended = at is not None and at > _written(self.labels[number])
            wanted = REFUSED if refusal and ended else 0
            if answer.code != wanted or (wanted and refusal not in answer.err):
                found.append(f"{words[0]} again ended with {answer.code}: {answer.err[-300:]}")
        self._after()
        return found + self._differences() + _unlike(self._ended(), self._end)

    def _after(self) -> None:
        with self.monitor() as monitor:
            self.scene.after(monitor)

    # -- what is there ---------------------------------------------------------------------

    def _left_something_new(self, number: int) -> bool:
        """Tell whether no kill has yet left exactly this behind, but for times and tokens."""
        text = _RANDOM.sub("~", repr(self._state.rows()))
        now = clock()
        text = _INSTANT.sub(lambda m: "~" if abs(int(m[0]) - now) < _DAY else m[0], text)
        digest = sha256(f"{number} {text}".encode()).hexdigest()
        known = digest in self._left
        self._left.add(digest)
        return not known

    def _half(self, number: int, *, looked: bool) -> list[str]:
        """Return the duties that no whole command would have opened, after a worker *looked*.

        Those that an event opens are open at once; a number is only that of a whole file.
        """
        if looked:
            self._look()
        have = self._duties()
        may = (*self._owed[number : number + 2], self._seen[number])
        if have <= set().union(*may) and _by_number(have) in map(_by_number, may):
            return []
        return [f"in between there are the duties {have}"]

    def _look(self) -> None:
        with self.monitor() as monitor:
            monitor.keeper(clock()).tick(clock())

    def _duties_seen(self, number: int) -> _Duties:
        """Return the duties after a worker has had a look, which is then taken back."""
        self._state.keep(number)
        self._look()
        seen = self._duties()
        self._state.put_back(number)
        return seen

    def _duties(self) -> _Duties:
        with self.monitor() as monitor:
            held = duties(monitor.engine)
        return {(duty.rule, duty.processor, duty.key, duty.trigger_day) for duty in held}

    def _differences(self) -> list[str]:
        with self.monitor() as monitor:
            told = self.scene.facts(monitor, self.place)
            return differences(monitor.engine, _of_storage(told), monitor.policy)

    def _ended(self) -> dict[str, Any]:
        with self.monitor() as monitor, reading(monitor.engine) as connection:
            shows = status(connection, monitor.policy.rules, monitor.policy.sources, clock())
            unfinished = [one.name for one in files.unfinished(connection)]
            recounts = len(connection.execute(select(schema.recounts)).all())
            said: dict[str, Any] = {
                **shown(monitor.engine),
                "numbers": {one.processor: vars_of(one.stock) for one in shows.processors},
                "unverified reasons": {
                    one.processor: sorted((why.reason.value, why.topic) for why in one.unverified)
                    for one in shows.processors
                },
                "files in work": unfinished,
                "recounts": recounts,
            }
            return {what: _timeless(value, clock()) for what, value in said.items()}


def _by_number(held: _Duties) -> _Duties:
    return {duty for duty in held if duty[0].startswith("frt.file")}


def vars_of(stock: Any) -> list[object]:
    return [getattr(stock, name) for name in ("individuals", "research", "systems")]


def _timeless(value: Any, now: int) -> Any:
    """Return *value* without the instants at which something was done here, today."""
    if isinstance(value, Mapping):
        return {key: _timeless(one, now) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_timeless(one, now) for one in value]
    return "then" if isinstance(value, int) and abs(value - now) < _DAY else value


def _written(labels: Sequence[str]) -> int:
    """Return how many steps there are before all of a command is written."""
    return max(number for number, label in enumerate(labels) if label == "after COMMIT")


def _of_storage(facts: Iterable[Fact]) -> list[StorageFact]:
    return [fact for fact in facts if not isinstance(fact, Terminated | Changed | Filed)]


_AGAIN = 4  # a scene plays a command that often at most


def _unlike(now: Mapping[str, Any], undisturbed: Mapping[str, Any]) -> list[str]:
    """Return what is not as after an undisturbed run.

    Records that say nothing are counted each time that a file is read; they are in no number.
    """
    found = []
    for what, have in now.items():
        want = undisturbed[what]
        if what == "ignored":
            now_, then = (dict(_counter(row) for row in rows) for rows in (have, want))
            few = [
                reason for reason, n in then.items() if not n <= now_.get(reason, 0) <= n * _AGAIN
            ]
            if few or now_.keys() != then.keys():
                found.append(f"ignored: {have}, undisturbed {want}")
        elif have != want:
            found.append(f"{what}: {have}, undisturbed {want}")
    return found


def _counter(row: Sequence[tuple[str, Any]]) -> tuple[str, int]:
    """Return reason and count of a row of ``schema.ignored``."""
    return dict(row)["reason"], dict(row)["records"]


@contextmanager
def bench(scene: Scene, url: str | None) -> Iterator[Bench]:
    """Yield *scene* on the PostgreSQL at *url*, or on a SQLite file of its own."""
    where = FAST if FAST.is_dir() else None
    gc.freeze()  # what is here need not be copied by every process that looks for garbage
    try:
        with tempfile.TemporaryDirectory(dir=where) as name:
            place = Path(name)
            for file, lines in scene.files.items():
                (place / file).write_bytes(b"".join(line + b"\n" for line in lines))
            # The tables are made by the program itself; ``state_of`` finds them there.
            _write_settings(scene, place, url or f"sqlite:///{place / 'story.db'}")
            upgrade_database(load(str(place / "facetally.toml")))
            with closing(state_of(url, place)) as state:
                _write_settings(scene, place, state.url)
                yield Bench(scene, place, state)
    finally:
        gc.unfreeze()


def _write_settings(scene: Scene, place: Path, url: str) -> None:
    text = f"database_url = {json.dumps(url)}\n{scene.settings}"
    (place / "facetally.toml").write_text(text)
