"""A sweep of the book in a process of its own: ``python -m monitor.store.apart``.

A sweep computes for minutes where there are millions. In a thread it would take turns with whatever
else the interpreter does, and batches would take three times as long meanwhile (measured; see
``docs/decisions/0006-sweeping-in-parts.md``). Its memory goes back to the system, too.

The request comes in as a line on standard input, which holds the database's URL and is therefore
neither an argument nor the environment; the answer goes out as a line on standard output. The
process ends as soon as its parent does: then standard input ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine

from monitor.history import Point
from monitor.ledger import Stock
from monitor.marks import Marks, SystemMark
from monitor.store.engine import open_engine, reading
from monitor.store.names import Names
from monitor.store.sweeping import Swept, divide

_ROOT = str(Path(__file__).parents[2])  # where the package is, in whatever folder we run
_NICE = 5  # batches come first


class SweepFailed(RuntimeError):
    """The process that swept ended without an answer; what it said is in our standard error."""


def sweep_apart(engine: Engine, marks: Marks, processor: str, thresholds: Sequence[int]) -> Swept:
    """Do as ``sweep`` does for one processor, in another process and a view of its own."""
    request = {
        "url": engine.url.render_as_string(hide_password=False),
        "research": [
            (row.processor, row.system, row.gallery) for row in marks.rows if row.research
        ],
        "processor": processor,
        "thresholds": list(thresholds),
    }
    paths = [_ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(  # noqa: S603 - this very module, in our own interpreter
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # a Ctrl-C is for the parent, and its end is ours
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - pipes
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            answer = ""
        else:
            answer = process.stdout.readline()
        process.kill()
    if not answer.endswith("\n"):
        raise SweepFailed(f"the look back on {processor} was broken off")
    return _unpacked(json.loads(answer))


def _unpacked(answer: dict[str, Any]) -> Swept:
    stock = Stock()
    stock.individuals, stock.research, stock.systems = answer["stock"]
    reaches = {n: None if point is None else Point(*point) for n, point in answer["reaches"]}
    return Swept(stock=stock, peak=answer["peak"], reaches=reaches)


def _packed(swept: Swept) -> dict[str, Any]:
    stock = swept.stock
    return {
        "stock": [stock.individuals, stock.research, stock.systems],
        "peak": swept.peak,
        "reaches": list(swept.reaches.items()),
    }


def answer(requests: TextIO) -> str:
    """Return the answer to the one request, as a line."""
    request = json.loads(requests.readline())
    threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    marks = Marks(
        SystemMark(processor=processor, system=system, gallery=gallery, research=True)
        for processor, system, gallery in request["research"]
    )
    engine = open_engine(request["url"])
    wanted = {request["processor"]: [(n, None) for n in request["thresholds"]]}
    try:
        with reading(engine) as connection:
            divided = divide(connection, Names.load(connection), wanted, marks.research)
    finally:
        engine.dispose()
    with divided:
        return json.dumps(_packed(divided.fold()[request["processor"]])) + "\n"


def _end_with_parent(requests: TextIO) -> None:
    requests.read()
    os._exit(1)


if __name__ == "__main__":
    os.nice(_NICE)
    sys.stdout.write(answer(sys.stdin))
    sys.stdout.flush()
