"""Numbers the steps of a look back in a process of its own, at its boundary.

What it asks of the database, sets aside on disk and answers; its own code is untouched. The book
is divided though it is small, so that something is set aside.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine

from monitor.store import engine as engines
from monitor.store import spilling, sweeping
from tests.violence.crash_apart_child import end
from tests.violence.crash_steps import Numbered, Probe, watched

_SMALL = sweeping.Sizes(whole=2, part=4)


class _Steps(Numbered):
    """Writes down the steps, and ends somebody at one of them."""

    def __init__(self, place: Path, asked: Mapping[str, Any]) -> None:
        super().__init__()
        self._place, self._asked = place, asked
        self._labels: list[str] = []

    def reached(self, label: str) -> None:
        self._labels.append(label)
        (self._place / "labels").write_text(json.dumps(self._labels))
        if self.count == self._asked.get("at"):
            end(self._place, self._asked["whom"], label)


class _Answering:
    """Standard output that says so before the answer and in its middle; its end ends us."""

    def __init__(self, real: TextIO, steps: Probe) -> None:
        self._real, self._steps = real, steps

    def write(self, text: str) -> None:
        half = len(text) // 2
        self._steps.before("answer")
        self._real.write(text[:half])
        self._real.flush()
        self._steps.before("second half of the answer")
        self._real.write(text[half:])

    def flush(self) -> None:
        self._real.flush()

    def fileno(self) -> int:
        return self._real.fileno()


def watch(place: Path, asked: Mapping[str, Any]) -> None:
    """Hear of all steps of this process from now on."""
    steps = _Steps(place, asked)
    open_engine, write = engines.open_engine, vars(spilling.Spill)["_write"]

    def opened(url: str) -> Engine:
        engine = open_engine(url)
        watched(engine, steps)
        return engine

    def written(spill: object) -> None:
        steps.before("set aside on disk")
        write(spill)

    vars(engines)["open_engine"] = opened
    setattr(spilling.Spill, "_write", written)  # noqa: B010 - mypy knows better what it is
    defaults = sweeping.divide.__kwdefaults__ or {}
    defaults["sizes"] = _SMALL  # it took its own when it was made
    vars(sys)["stdout"] = _Answering(sys.stdout, steps)
