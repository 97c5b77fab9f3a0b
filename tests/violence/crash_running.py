"""Runs commands of ``facetally`` in forks, from the parsing of their words to the exit code.

What they do to their database is heard of step by step, and may be where they end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from sqlalchemy import Engine

from deploy import wiring
from deploy.cli.main import main
from monitor.store.engine import open_engine
from tests.homes import Answer
from tests.violence.crash_driver import LONGEST_LIFE
from tests.violence.crash_steps import KILLED, Killer, Probe, Recorder, watched

Words: TypeAlias = tuple[str, ...]


class OfMainThread:
    """Hears what the main thread does: what another does by the clock has no number."""

    def __init__(self, to: Probe) -> None:
        self._to = to

    @staticmethod
    def _ours() -> bool:
        return threading.current_thread() is threading.main_thread()

    def before(self, step: str, raw: Any = None) -> None:
        if self._ours():
            self._to.before(step, raw)

    def after(self, step: str, raw: Any = None) -> None:
        if self._ours():
            self._to.after(step, raw)

    def doing(self, name: str) -> None: ...

    def done(self) -> None: ...


class Runner:
    """Runs commands in *place*, where their settings are, each in a process of its own."""

    def __init__(self, place: Path, playing: Callable[[Probe], None] = lambda _probe: None) -> None:
        self.place, self._playing = place, playing

    def run(self, words: Words, probe: Probe) -> Answer:
        """Run a command in a process of its own, whose steps *probe* hears of."""
        child = os.fork()
        if child == 0:
            self._be(words, probe)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return Answer(code, (self.place / "out").read_text(), (self.place / "err").read_text())

    def _be(self, words: Words, probe: Probe) -> NoReturn:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(LONGEST_LIFE)
            os.chdir(self.place)
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            heard = OfMainThread(probe)
            vars(wiring)["open_engine"] = lambda url: _watched(url, heard)
            self._playing(heard)
            sys.argv = ["facetally", "--config", "facetally.toml", *words]
            main()
            code = 0
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
        except BaseException:  # noqa: BLE001 - as the interpreter would
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            if isinstance(probe, Recorder):
                Path("labels").write_text(json.dumps(probe.labels))
            os._exit(code)

    def recorded(self, words: Words) -> list[str]:
        """Run a command to its good end; return its steps."""
        answer = self.run(words, Recorder())
        if answer.code != 0:
            raise AssertionError(f"{words} ended with {answer.code}: {answer.err}")
        labels: list[str] = json.loads((self.place / "labels").read_text())
        return labels

    def killed(self, words: Words, at: int) -> str:
        """Run a command that is killed at its step *at*; return the label of where it was."""
        answer = self.run(words, Killer(at, self._leave_word))
        if answer.code != KILLED:
            return f"exit {answer.code}: {answer.err[-300:]}"
        return (self.place / "word").read_text()

    def _leave_word(self, _count: int, label: str) -> None:
        (self.place / "word").write_text(label)


def _watched(url: str, probe: Probe) -> Engine:
    engine = open_engine(url)
    watched(engine, probe)
    return engine
