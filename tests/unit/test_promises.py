"""docs/promises.md: every line names tests, and they exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from monitor import measures
from tests.conftest import REPOSITORY
from tests.violence.__main__ import BEGIN, END, PAGE, read, render, table

NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
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


@cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


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


def test_every_named_test_exists() -> None:
    named = NAMED.findall(PAGE.read_text(encoding="utf-8"))
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (REPOSITORY / path).is_file() or name not in functions(REPOSITORY / path)
    ]

    assert missing == []


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
