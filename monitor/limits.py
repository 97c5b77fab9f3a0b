"""When a partition must be stopped: too many rejects, or a log that went backwards. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from monitor.facts import Instant
from monitor.intake import LogPoint, LogWentBack

Recent: TypeAlias = Sequence[Sequence[int]]
"""Pairs (records, rejects) of the latest batches, oldest first."""

_PARTS = 32  # a window is cut into no more than about twice as many pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimit:
    """More than *rejects* that are also over *share* of the last *window* records are too many."""

    rejects: int = 1_000
    share: float = 0.01
    window: int = 10_000

    def after(self, recent: Recent, records: int, rejects: int) -> list[list[int]]:
        """Return *recent* with one more batch, without what has left the window."""
        kept = [list(pair) for pair in recent]
        # Small batches share a pair: a window of ten thousand single records is not worth keeping.
        if kept and kept[-1][0] + records <= self.window // _PARTS:
            kept[-1] = [kept[-1][0] + records, kept[-1][1] + rejects]
        elif records:
            kept.append([records, rejects])
        while kept and sum(pair[0] for pair in kept[1:]) >= self.window:
            kept.pop(0)
        return kept

    def exceeded(self, recent: Recent) -> bool:
        """Tell whether the window holds too many rejects."""
        rejects = sum(pair[1] for pair in recent)
        records = sum(pair[0] for pair in recent)
        return rejects > self.rejects and rejects > self.share * records


_WENT_BACK_AFTER: Instant = 60_000_000


def advance_log(known: LogPoint | None, seen: LogPoint | None) -> LogPoint | None:
    """Return the highest of two points of one partition's log, *seen* read after *known*.

    Raises LogWentBack if *seen* lies below *known* though it is over a minute younger: another
    database's log has taken its place (DESIGN section 3, "Change logs").
    """
    if known is None or seen is None:
        return seen or known
    if seen.version < known.version and seen.at > known.at + _WENT_BACK_AFTER:
        raise LogWentBack
    return max(known, seen)
