"""Tests against mutants in forks of one warm process: no start-up per mutant, nothing on disk.

The parent imports pytest and the libraries but nothing of ours. Each child puts one mutant in the
place of its module before anything imports it, and runs the tests up to the first failure.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from hypothesis import Phase, settings

from tests.mutants.mutations import Mutant

LIBRARIES = ("chinese_calendar", "httpx", "kafka", "psycopg")
LOG = ".cache/mutants.log"
"""What pytest said of the module as it is."""

_MEMORY = 4 << 30
_BROKEN = 70

settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    phases=[Phase.explicit, Phase.generate],
)


class Outcome(StrEnum):
    """What became of a mutant. Only the first two count as killed."""

    KILLED = "killed"  # a test failed, or the module could not be imported
    ENDLESS = "endless"  # used several times the processor time of all tests
    SURVIVED = "survived"
    BROKEN = "broken"  # pytest itself failed: says nothing, so it counts as survived


class Ended(NamedTuple):
    """A mutant and what became of it, with the processor seconds that it took."""

    mutant: Mutant | None
    outcome: Outcome
    seconds: float


def warm_up() -> None:
    """Import what every child needs. Raises RuntimeError if anything of ours came along."""
    for name in LIBRARIES:
        importlib.import_module(name)
    if any(name.partition(".")[0] == "monitor" for name in sys.modules):
        raise RuntimeError("the code under test was imported before it was mutated")
    os.environ.setdefault("FACETALLY_SEEDS", "12")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    gc.collect()
    gc.freeze()  # pytest collects garbage at its end: not that of the parent, again and again


def run(
    mutants: Iterable[Mutant | None], arguments: Sequence[str], *, workers: int, seconds: int
) -> Iterator[Ended]:
    """Run pytest with *arguments* against each mutant (None: the module as it is).

    No child gets more than *seconds* of processor time. In the order in which they end.
    """
    running: dict[int, Mutant | None] = {}
    for mutant in mutants:
        if len(running) >= workers:
            yield _next_end(running, seconds)
        pid = os.fork()
        if pid == 0:
            _be(mutant, arguments, seconds)
        running[pid] = mutant
    while running:
        yield _next_end(running, seconds)


def _next_end(running: dict[int, Mutant | None], seconds: int) -> Ended:
    pid, status, usage = os.wait4(-1, 0)
    code = os.waitstatus_to_exitcode(status)
    outcomes = {
        0: Outcome.SURVIVED,
        pytest.ExitCode.TESTS_FAILED: Outcome.KILLED,
        pytest.ExitCode.INTERRUPTED: Outcome.KILLED,  # a test module could not be imported
    }
    used = usage.ru_utime + usage.ru_stime
    outcome = outcomes.get(code, Outcome.BROKEN)
    if code < 0 and used > seconds - 1:  # ended by the kernel, which allowed it no more
        outcome = Outcome.ENDLESS
    return Ended(running.pop(pid), outcome, used)


def _be(mutant: Mutant | None, arguments: Sequence[str], seconds: int) -> None:
    """Run the tests in this child, and end it."""
    code = _BROKEN
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        log = os.open(os.devnull if mutant else LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if mutant is not None:
            sys.meta_path.insert(0, _Finder(mutant))
        code = int(pytest.main(list(arguments)))
    finally:
        os._exit(code)


class _Finder(MetaPathFinder):
    """Hands out one mutant under its module's name."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self._mutant.module:
            return None
        return spec_from_loader(fullname, _Loader(self._mutant))


class _Loader(SourceLoader):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def get_filename(self, fullname: str) -> str:
        return str(Path(fullname.replace(".", "/") + ".py").absolute())

    def get_data(self, path: str | bytes) -> bytes:
        del path
        return self._mutant.source.encode()
