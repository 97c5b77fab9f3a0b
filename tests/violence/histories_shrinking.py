"""The smallest part of a history that still fails, as a test that can be pasted and run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monitor.facts import Order, StorageFact, Store

Fails = Callable[[Sequence[StorageFact]], bool]

_IMPORTS = {
    "folded": (
        "from random import Random",
        "from tests.violence import histories_folding",
    ),
    "kept": (
        "from pathlib import Path",
        "from random import Random",
        "from tests.integration.store_kit import sqlite_engine",
        "from tests.violence import histories_keeping",
    ),
}
_CALL = {
    "folded": ("    assert histories_folding.wrong(facts, Random({seed})) == []",),
    "kept": (
        "    with sqlite_engine(tmp_path) as engine:",
        "        assert histories_keeping.wrong(engine, facts, Random({seed})) == []",
    ),
}


def smallest(facts: Sequence[StorageFact], fails: Fails) -> list[StorageFact]:
    """Return a part of *facts* that still *fails*, and from which no single fact can go.

    Delta debugging: pieces of a half are left out first, then smaller ones, down to single facts.
    """
    left, size = list(facts), max(1, len(facts) // 2)
    while True:
        left, removed = _without_pieces(left, size, fails)
        if size > 1:
            size //= 2
        elif not removed:
            return left


def _without_pieces(
    facts: list[StorageFact], size: int, fails: Fails
) -> tuple[list[StorageFact], bool]:
    index, removed = 0, False
    while index < len(facts):
        without = facts[:index] + facts[index + size :]
        if without and fails(without):
            facts, removed = without, True
        else:
            index += size
    return facts, removed


def source(fact: StorageFact) -> str:
    """Return the expression that makes *fact*."""
    fields = zip(fact._fields, fact, strict=True)
    return f"{type(fact).__name__}({', '.join(f'{name}={_value(v)}' for name, v in fields)})"


def _value(value: object) -> str:
    if isinstance(value, Store):
        return f"Store({value.name!r}, Order.{Order(value.order).name})"
    if isinstance(value, bytes) and len(set(value)) == 1:
        return f"bytes([{value[0]}]) * {len(value)}"
    return repr(value)


def reproduction(facts: Sequence[StorageFact], way: str, seed: int, found: Sequence[str]) -> str:
    """Return a test module that fails as the history did; *seed* draws its deliveries."""
    kinds = {type(fact).__name__ for fact in facts} | {"Order", "Place", "Store", "Version"}
    argument = "tmp_path: Path" if way == "kept" else ""
    lines = [
        *_IMPORTS[way],
        f"from monitor.facts import {', '.join(sorted(kinds))}",
        "",
        *(f"# {one}" for one in found),
        f"def test_a_history_that_failed({argument}) -> None:",
        "    facts = [",
        *(f"        {source(fact)}," for fact in facts),
        "    ]",
        "",
        *(line.format(seed=seed) for line in _CALL[way]),
    ]
    return "\n".join(lines) + "\n"
