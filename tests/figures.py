"""How large a test is, and what it measured: small for ``make check``, whole for ``make violence``.

``FACETALLY_VIOLENCE=full`` asks for the full sizes. With ``FACETALLY_FIGURES=FILE`` each figure is
added to that file as a line of JSON, from which ``docs/promises.md`` gets its numbers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

FULL = os.environ.get("FACETALLY_VIOLENCE") == "full"


def sized(check: int, full: int) -> int:
    """Return the size that was asked for: *check* or *full*."""
    return full if FULL else check


def report(name: str, **figures: float | str) -> None:
    """Say what was measured under *name*; a later line of the same name replaces an earlier one."""
    line = json.dumps({"name": name, **figures})
    print(line)
    path = os.environ.get("FACETALLY_FIGURES")
    if path:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
