"""What panels, their rows and their queries are, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_READABLE: Final = "(max by (installation) (facetally_ledger_readable) == 1)"


class Kind(StrEnum):
    """How a panel draws."""

    LINES = "timeseries"
    NUMBER = "stat"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression, and how its series are called."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: *unit* is Grafana's name of it; a number is red from *red* on, or below *low*."""

    title: str
    description: str
    kind: Kind
    unit: str
    queries: tuple[Query, ...]
    width: int = 12
    red: float | None = None
    low: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def lines(title: str, description: str, unit: str, *queries: tuple[str, str]) -> Panel:
    """Return a panel of lines over time, half as wide as the page, each by its installation."""
    named = tuple(Query(expr, f"{{{{installation}}}} {legend}") for expr, legend in queries)
    return Panel(title, description, Kind.LINES, unit, named)


def number(title: str, description: str, expr: str, *, red: float | None = 1) -> Panel:
    """Return a panel of one number, a sixth of the page; red from *red* on, or else below 1."""
    low = 1.0 if red is None else None
    return Panel(
        title, description, Kind.NUMBER, "short", (Query(expr, "{{installation}}"),), 4, red, low
    )


def table(title: str, description: str, unit: str, expr: str) -> Panel:
    """Return a panel that lists the series of now."""
    return Panel(title, description, Kind.TABLE, unit, (Query(expr, ""),))


def of_read(expression: str) -> str:
    """Return *expression*, or 0 where it has no series, of every ledger that can be read now."""
    zero = f"0 * {_READABLE}"
    return f"({expression} or {zero}) and on (installation) {_READABLE}"
