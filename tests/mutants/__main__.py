"""``make mutants``: mutate the pure core, run its unit tests, print the table, list survivors.

Ends with 1 if less than 85 % of the mutants of a module, or of all, are killed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.mutations import Mutant, mutants_of
from tests.mutants.plan import AT_LEAST, TARGETS, Target
from tests.mutants.warm import LOG, Outcome, run, warm_up

_REPORT = Path(".cache/mutants.txt")
_PATIENCE = 3  # an endless mutant has used this many times the processor time of all tests


def main(names: Sequence[str], workers: int) -> int:
    """Run the targets of these names, or all; return the exit status."""
    chosen = [target for target in TARGETS if not names or target.module.partition(".")[2] in names]
    warm_up()
    total: Counter[Outcome] = Counter()
    weak: list[str] = []
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text("", encoding="utf-8")
    print("| module | mutants | killed | of these endless | survived | % | minutes |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for target in chosen:
        began = time.monotonic()
        ended = _outcomes(target, workers)
        counts = Counter(outcome for _, outcome in ended)
        total += counts
        minutes = (time.monotonic() - began) / 60
        share = _row(target.module, counts, minutes)
        if share < AT_LEAST:
            weak.append(target.module)
    if _row("all", total, None) < AT_LEAST:
        weak.append("all")
    print(f"every mutant that no test failed for: {_REPORT}")
    if weak:
        print(f"less than {AT_LEAST} % killed in: {', '.join(weak)}")
    return 1 if weak else 0


def _outcomes(target: Target, workers: int) -> list[tuple[Mutant, Outcome]]:
    with tempfile.TemporaryDirectory() as cache:
        arguments = [
            *("-x", "-q", "--hypothesis-profile=mutants"),
            *("-o", f"cache_dir={cache}", "-o", "addopts="),
            # Hypothesis was imported before pytest could look at it: the point of a warm start.
            *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
            *("-p", "pytest_timeout", "-p", "_hypothesis_pytestplugin"),
            *("-k", "not drawn", *target.arguments),
        ]
        whole = next(run([None], arguments, workers=1, seconds=600))
        if whole.outcome is not Outcome.SURVIVED:
            raise SystemExit(f"the tests of {target.module} fail as it is: {LOG}")
        mutants = mutants_of(target.module, Path(target.path))
        limit = 2 + int(_PATIENCE * whole.seconds)
        found: list[tuple[Mutant, Outcome]] = []
        for end in run(mutants, arguments, workers=workers, seconds=limit):
            if end.mutant is not None:
                found.append((end.mutant, end.outcome))
                _note(end.mutant, end.outcome)
                if len(found) % 50 == 0:
                    print(f"{target.module}: {len(found)} of {len(mutants)}", file=sys.stderr)
        return found


def _note(mutant: Mutant, outcome: Outcome) -> None:
    if outcome is Outcome.KILLED:
        return
    with _REPORT.open("a", encoding="utf-8") as file:
        file.write(f"{outcome} {mutant.module}:{mutant.line}\n{mutant.diff}\n\n")


def _row(name: str, counts: Counter[Outcome], minutes: float | None) -> float:
    endless = counts[Outcome.ENDLESS]
    killed = counts[Outcome.KILLED] + endless
    share = 100 * killed / counts.total()
    took = "" if minutes is None else f"{minutes:.1f}"
    survived = counts.total() - killed
    print(
        f"| {name} | {counts.total()} | {killed} | {endless} | {survived} | {share:.1f} | {took} |",
        flush=True,
    )
    return share


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    known = [target.module.partition(".")[2] for target in TARGETS]
    parser.add_argument("module", nargs="*", help=f"of {', '.join(known)}; none is all")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    if unknown := set(given.module) - set(known):
        parser.error(f"no such module: {', '.join(sorted(unknown))}")
    sys.exit(main(given.module, given.workers))
