"""``python -m tests.violence`` (``make violence``): the full sizes, into docs/promises.md.

Runs the tests of this package with FACETALLY_VIOLENCE=full, in hours rather than minutes, and puts
what they reported between the two marks of the page. ``--render FILE...`` only does the latter,
with the figures of runs that ended before.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = REPOSITORY / "docs" / "promises.md"
KEPT = REPOSITORY / ".cache" / "violence.jsonl"
TESTS = (
    "tests/violence",
    "tests/acceptance/test_kills.py",
    "tests/acceptance/test_alerts_killed.py",
)
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
LONGEST_TEST_SECONDS = 6 * 3600

Figures = Mapping[str, object]


def run(tests: Sequence[str], kept: Path) -> int:
    """Run *tests* in full size, their figures into *kept*; return pytest's exit code."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.unlink(missing_ok=True)
    environment = os.environ | {"FACETALLY_VIOLENCE": "full", "FACETALLY_FIGURES": str(kept)}
    command = [sys.executable, "-m", "pytest", f"--timeout={LONGEST_TEST_SECONDS}", *tests]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


def read(files: Iterable[Path]) -> dict[str, Figures]:
    """Return the newest figures of each name in *files*."""
    found: dict[str, Figures] = {}
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            figures = json.loads(line)
            found[str(figures.pop("name"))] = figures
    return found


def table(found: Mapping[str, Figures]) -> str:
    """Return *found* as a Markdown table, a row per name."""
    rows = ["| what was done to it | how often |", "| --- | --- |"]
    for name, figures in sorted(found.items()):
        told = ", ".join(f"{key.replace('_', ' ')} {_shown(n)}" for key, n in figures.items())
        rows.append(f"| {name} | {told} |")
    return "\n".join(rows)


def _shown(figure: object) -> str:
    return f"{figure:,}" if isinstance(figure, (int, float)) else str(figure)


def render(page: str, found: Mapping[str, Figures]) -> str:
    """Return *page* with the table of *found* between its marks; ValueError if it has none."""
    before, _, rest = page.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"the page lacks {BEGIN} ... {END}")
    return f"{before}{BEGIN}\n{table(found)}\n{END}{after}"


def main() -> int:
    """Do what the command line asks; return the exit code of the tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.violence", description=__doc__)
    parser.add_argument("tests", nargs="*", default=TESTS, help="which tests (default: all)")
    parser.add_argument("--render", nargs="+", type=Path, metavar="FILE", help="run nothing")
    options = parser.parse_args()
    code = 0 if options.render else run(options.tests, KEPT)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(render(page, read(options.render or [KEPT])), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
