"""Within the process of a look back: ends it, or its parent, at a step or at a moment.

``sitecustomize`` calls ``begin`` before the interpreter runs ``monitor.store.apart``. Nothing of
the product is imported here, so that a random moment may be one of importing it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from signal import SIGKILL
from typing import Any

ASKED = "CRASH_APART"
"""Names the folder in the environment; ``asked`` in it says what to do, ``child`` who does it."""

LONG = 60.0  # seconds, in which a process whose worker is gone has to end


def begin() -> tuple[Path, dict[str, Any]]:
    """Return the folder and what is asked; the first who is asked takes the question with it."""
    place = Path(os.environ[ASKED])
    (place / "child").write_text(str(os.getpid()))
    taken = place / "taken"
    try:
        (place / "asked").rename(taken)
    except FileNotFoundError:
        return place, {}
    asked: dict[str, Any] = json.loads(taken.read_text())
    if "after" in asked:
        threading.Thread(target=_end_after, args=(place, asked), daemon=True).start()
    return place, asked


def _end_after(place: Path, asked: dict[str, Any]) -> None:
    time.sleep(asked["after"])
    end(place, asked["whom"], "at a random moment")


def end(place: Path, whom: str, label: str) -> None:
    """Kill *whom*: itself, or a parent, and then go on for so long that it would be an orphan.

    A parent only if it is the worker still, and not who adopts orphans.
    """
    (place / "word").write_text(label)
    if whom == "child":
        os.kill(os.getpid(), SIGKILL)
    worker = int((place / "worker").read_text())
    if os.getppid() == worker:
        os.kill(worker, SIGKILL)
    time.sleep(LONG)
