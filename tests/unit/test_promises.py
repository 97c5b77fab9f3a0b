"""docs/promises.md: every line names tests, and pytest would run them."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from monitor import measures
from tests.conftest import REPOSITORY
from tests.violence.__main__ import BEGIN, END, PAGE, read, render, table

NAMED = re.compile(r"`(tests/[\w/]+\.py)::((?:\w+::)?\w+)`")
# Every fault that the page has to speak of, by words that stand in the first cell of its row.
FAULTS = (
    "A worker is killed",
    "killed again while it recovers",
    "zombie",
    "frozen in the middle of a transaction",
    "rebalances under load",
    "A broker is killed",
    "Leaders change",
    "Brokers hang",
    "transaction is aborted",
    "transaction stays open",
    "Topic deleted and made anew, smaller or grown past the old position",
    "Topic deleted and not there",
    "Partitions added",
    "Retention passes our position",
    "clock is years ahead",
    "clock is years behind",
    "Our own clock steps back",
    "Clocks of workers differ",
    "Our own clock is ahead",
    "old metadata",
    "The n-th statement fails: disk full, connection lost, serialization failure, deadlock, lock",
    "A commit was made, but its answer was lost",
    "PostgreSQL restarts (fast or immediate), idle",
    "in the middle of a batch",
    "PostgreSQL is full",
    "The disk under SQLite is full",
    "The alerts process is killed",
    "answers 500, hangs, cuts off",
    "answers 429",
    "An old copy of the database is put back",
    "sends nothing for longer",
    "`apply` is killed",
    "A look back fails",
    "different settings at once",
)
HEADINGS = {"what happens": 5, "guarantee": 3}


def rows() -> list[tuple[int, list[str]]]:
    """Return the rows of the tables of faults and guarantees, with their line numbers."""
    found: list[tuple[int, list[str]]] = []
    wide = 0
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("|"):
            wide = 0
        elif cells[0] in HEADINGS:
            wide = HEADINGS[cells[0]]
        elif wide and not line.startswith("| ---"):
            assert len(cells) == wide, f"line {number} has {len(cells)} cells"
            found.append((number, cells))
    return found


def collected(path: str) -> frozenset[str]:
    """Return the tests that pytest finds in a file, ``name`` or ``Class::name``, by its rules.

    Functions within functions, helpers and contracts that no test class derives from are none.
    """
    if not re.fullmatch(r"test_\w+\.py", Path(path).name) or not (REPOSITORY / path).is_file():
        return frozenset()
    found = set(own_tests(module(path).body))
    for one in classes(path).values():
        methods = inherited(path, one.name)
        if one.name.startswith("Test") and "__init__" not in methods:
            found |= {f"{one.name}::{name}" for name in methods if name.startswith("test")}
    return frozenset(found)


@cache
def module(path: str) -> ast.Module:
    return ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))


def classes(path: str) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in module(path).body if isinstance(node, ast.ClassDef)}


def functions(body: list[ast.stmt]) -> set[str]:
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def own_tests(body: list[ast.stmt]) -> set[str]:
    return {name for name in functions(body) if name.startswith("test")}


def inherited(path: str, name: str) -> set[str]:
    """Return the methods of a class, with those of its bases in our own modules."""
    if name not in classes(path):
        return set()
    one, homes = classes(path)[name], imported(path)
    methods = functions(one.body)
    for base in one.bases:
        if isinstance(base, ast.Name):
            methods |= inherited(homes.get(base.id, path), base.id)
    return methods


def imported(path: str) -> dict[str, str]:
    """Return the files of what is imported from our tests, by name."""
    return {
        alias.name: f"{node.module.replace('.', '/')}.py"
        for node in module(path).body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tests.")
        for alias in node.names
        if node.module
    }


def test_every_line_names_its_tests() -> None:
    bare = [number for number, cells in rows() if not NAMED.search(cells[-1])]

    assert rows()
    assert bare == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_table_speaks_of_every_fault(fault: str) -> None:
    assert any(fault in cells[0] for _, cells in rows())


def test_every_named_metric_exists() -> None:
    page = PAGE.read_text(encoding="utf-8")
    metrics = {spec.name for spec in measures.catalogue()}
    unknown = set(re.findall(r"\bfacetally_[a-z_]+", page)) - metrics

    assert unknown == set()


def test_every_named_test_would_be_run() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    missing = [f"{path}::{name}" for path, name in named if name not in collected(path)]

    assert missing == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tests/unit/test_promises.py", "test_every_named_test_would_be_run"),
        (
            "tests/integration/test_outbox_sql.py",
            "TestSqlOutbox::test_a_notice_comes_back_as_it_was_put",
        ),
    ],
)
def test_what_pytest_runs_is_found(path: str, name: str) -> None:
    assert name in collected(path)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        # A contract that is run only through the classes that derive from it.
        ("tests/outbox_contract.py", "test_a_notice_comes_back_as_it_was_put"),
        ("tests/outbox_contract.py", "OutboxContract::test_a_notice_comes_back_as_it_was_put"),
        # A helper, a fixture, a method without its class.
        ("tests/unit/test_promises.py", "collected"),
        ("tests/integration/test_outbox_sql.py", "engine"),
        ("tests/integration/test_outbox_sql.py", "test_a_notice_comes_back_as_it_was_put"),
        ("tests/unit/no_such_file.py", "test_it"),
    ],
)
def test_what_pytest_does_not_run_is_no_test(path: str, name: str) -> None:
    assert name not in collected(path)


def test_a_function_within_a_function_is_no_test() -> None:
    nested = ast.parse("def outer():\n    def test_inner(): ...\n")

    assert own_tests(nested.body) == set()


def test_figures_of_the_latest_run_replace_those_before(tmp_path: Path) -> None:
    file = tmp_path / "figures.jsonl"
    file.write_text('{"name": "kills", "done": 3}\n{"name": "kills", "done": 1200, "seed": "7"}\n')
    page = render(f"before\n{BEGIN}\nold\n{END}\nafter\n", read([file]))

    assert "| kills | done 1,200, seed 7 |" in page
    assert "old" not in page
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert table({}).count("\n") == 1


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        render("no marks here", {})


def test_an_upgrade_says_the_version_that_there_is() -> None:
    versions = sorted((REPOSITORY / "monitor/store/migrations/versions").glob("[0-9]*.py"))
    said = re.findall(r"`facetally db upgrade` says (\d{4})", PAGE.read_text("utf-8"))

    assert len(said) == 2
    assert set(said) == {versions[-1].name[:4]}
