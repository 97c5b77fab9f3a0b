"""One table of a pack, as a value: what is in a cell, a row, a sheet.

A cell is a text in both languages (``Words``), a text or number that has none, a day, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from alerts.words import Words

Cell: TypeAlias = Words | str | int | date | None
Row: TypeAlias = Sequence[Cell]

YES, NO = Words("yes", "是"), Words("no", "否")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table; *id* is its key in JSON.

    With *charted* its second column is drawn over the first, with the threshold as a line unless
    that is 0.
    """

    id: str
    title: Words
    columns: Sequence[Words]
    rows: Sequence[Row]
    charted: int | None = None
