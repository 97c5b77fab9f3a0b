"""The mutants of `make mutants`: that they reach what matters, and one change is one change."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.plan import TARGETS, Target

REPOSITORY = Path(__file__).parents[2]
SOURCE = '''"""A module."""

from dataclasses import dataclass

LIMIT: int = 100_000
TABLE = ("a",)


@dataclass(frozen=True)
class Row:
    """A row."""

    number: int = 3

    @property
    def reached(self) -> bool:
        return self.number >= LIMIT


def plain(x: int) -> int:
    return x + 1
'''


@pytest.fixture
def mutants(tmp_path: Path) -> list[Mutant]:
    path = tmp_path / "sample.py"
    path.write_text(SOURCE, encoding="utf-8")
    return mutants_of("sample", path)


@pytest.mark.parametrize(
    "changed",
    [
        # Constants and tables of a module.
        "+LIMIT: int = 100001",
        '+TABLE = ("XXaXX",)',
        # A field and a property of a data class.
        "+    number: int = 4",
        "+        return self.number > LIMIT",
        # A plain function.
        "+    return x - 1",
        "+    return x + 2",
    ],
)
def test_a_mutation_is_found_wherever_it_stands(changed: str, mutants: list[Mutant]) -> None:
    assert changed in [mutant.diff.splitlines()[1] for mutant in mutants]


def test_no_two_mutants_are_the_same_and_each_can_be_compiled(mutants: list[Mutant]) -> None:
    sources = [mutant.source for mutant in mutants]

    assert SOURCE not in sources
    assert len(set(sources)) == len(sources)
    for source in sources:
        compile(source, "mutant", "exec")


def test_texts_that_explain_and_decorators_stay_as_they_are(mutants: list[Mutant]) -> None:
    for mutant in mutants:
        assert '"""A row."""' in mutant.source
        assert "@dataclass(frozen=True)" in mutant.source


def test_a_mutant_names_the_line_that_it_changes(mutants: list[Mutant]) -> None:
    (mutant,) = [mutant for mutant in mutants if "self.number > LIMIT" in mutant.source]

    assert SOURCE.splitlines()[mutant.line - 1].strip() == "return self.number >= LIMIT"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.module)
def test_a_target_names_files_that_exist(target: Target) -> None:
    named = [target.path, *target.arguments]

    assert [path for path in named if not (REPOSITORY / path).is_file()] == []


# In a process of its own: this one has imported the code under test, and could not mutate it.
RUN = """
import sys
from pathlib import Path
from tests.mutants.mutations import Mutant
from tests.mutants.warm import run, warm_up

warm_up()
source = Path("monitor/chain.py").read_text()
begin = "    links = Links()"
changes = {
    "nothing": source,
    "an entry is forgotten": source.replace("wanted = self.seq + 1", "wanted = self.seq + 2"),
    "no import": "1 / 0",
    "no end": source.replace(begin, "    while True: pass"),
    "no process": source.replace(begin, "    import os; os.abort()"),
}
assert len(set(changes.values())) == len(changes)
mutants = [Mutant("monitor.chain", 1, name, text) for name, text in changes.items()]
arguments = [
    *("-x", "-q", "-o", "addopts=", "-o", f"cache_dir={sys.argv[1]}", "-p", "pytest_timeout"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning", "tests/unit/test_chain.py"),
]
for end in run(mutants, arguments, workers=2, seconds=3):
    print(end.mutant.diff, end.outcome, sep=": ")
"""


def test_only_what_a_test_notices_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)

    assert sorted(ran.stdout.splitlines()) == [
        "an entry is forgotten: killed",
        "no end: endless",
        "no import: killed",
        "no process: broken",
        "nothing: survived",
    ]
