"""The settings about rules: early warnings, and in which line of the file a rule is wrong.

``tomllib`` gives no positions, so a wrong rule is looked for by reading the file up to each line
and seeing in which one the field first appears. That costs a few dozen readings of a small file,
and only where there is an error; good settings cost nothing.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

from deploy.reading import BadConfig, Table
from monitor.approach import Levels
from monitor.rules import RuleError


def read_levels(table: Table | None) -> Levels:
    """Return the early warnings of ``[early_warnings]``. Raises BadConfig."""
    if table is None:
        return Levels()
    defaults = Levels()
    percent = table.whole_numbers("percent", defaults.percent)
    rearm = table.whole("rearm_points", defaults.rearm, least=1)
    table.finish()
    try:
        return Levels(percent=tuple(percent), rearm=rearm)
    except ValueError as exc:
        raise BadConfig(f"{table.at}.percent: {exc}, such as [80, 90, 95]") from None


def located(text: str, error: RuleError) -> str:
    """Return the message of *error* with the line of *text* that it is about, where one is."""
    line = line_of(text, error)
    return f"line {line}: {error}" if line is not None else str(error)


def line_of(text: str, error: RuleError) -> int | None:
    """Return the line, from 1 on, of the field, or where it is missing of its table."""
    table = error.table
    if table is None:
        return None
    lines = text.splitlines(keepends=True)

    def has_field(found: Mapping[str, object]) -> bool:
        one = _table(found, table)
        return one is not None and error.field in one

    def has_table(found: Mapping[str, object]) -> bool:
        return _table(found, table) is not None

    return _first_line(lines, has_field) or _first_line(lines, has_table)


def _table(found: Mapping[str, object], number: int) -> Mapping[str, object] | None:
    rules = found.get("rules")
    if not isinstance(rules, list) or len(rules) <= number:
        return None
    one = rules[number]
    return one if isinstance(one, dict) else None


def _first_line(lines: Sequence[str], has: Callable[[Mapping[str, object]], bool]) -> int | None:
    """Return the line with which what is looked for begins.

    A value may go over several lines, before the last of which the file cannot be read: then it
    begins in the line after the last that could be read without it.
    """

    def there(count: int) -> bool:
        """Tell whether it is there by the first *count* lines, or the first more that read."""
        found = _read(lines, count)
        while found is None:
            count += 1
            found = _read(lines, count)
        return has(found)

    if not there(len(lines)):
        return None
    return bisect_left(range(len(lines) + 1), x=True, key=there)


def _read(lines: Sequence[str], count: int) -> Mapping[str, object] | None:
    try:
        return tomllib.loads("".join(lines[:count]))
    except tomllib.TOMLDecodeError:
        return None
