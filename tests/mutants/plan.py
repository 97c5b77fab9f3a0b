"""What is mutated, and which tests must notice: the fast, deterministic ones, quickest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AT_LEAST: Final = 85
"""The share of mutants, in percent, that must be killed in each module and in all."""


@dataclass(frozen=True, slots=True)
class Target:
    """A module of the pure core and the unit tests that are run against each of its mutants."""

    module: str
    tests: tuple[str, ...]

    @property
    def path(self) -> str:
        """Relative to the repository."""
        return self.module.replace(".", "/") + ".py"

    @property
    def arguments(self) -> list[str]:
        """What pytest is given."""
        return [f"tests/unit/test_{name}.py" for name in self.tests]


TARGETS: Final = (
    Target(
        "monitor.ledger",
        (
            "ledger",
            "ledger_individuals",
            "ledger_parts",
            "digest",
            "history",
            "ledger_properties",
        ),
    ),
    Target("monitor.history", ("history", "ledger_properties")),
    Target("monitor.folding", ("folding_rows", "folding")),
    Target("monitor.limits", ("limits",)),
    Target("monitor.workdays", ("workdays_told", "workdays")),
    Target("monitor.rules", ("rules", "rules_told", "duties")),
    Target("monitor.duties", ("duties_told", "duties")),
    Target("monitor.marks", ("marks",)),
    Target("monitor.digest", ("digest",)),
    Target("monitor.chain", ("chain",)),
)
