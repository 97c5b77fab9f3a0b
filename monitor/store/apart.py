"""A sweep of the book in a process of its own: ``python -m monitor.store.apart``.

A sweep computes for minutes where there are millions. In a thread it would take turns with whatever
else the interpreter does, and batches would take three times as long meanwhile (measured; see
``docs/decisions/0006-sweeping-in-parts.md``). Its memory goes back to the system, too.

The request comes in as a line on standard input, which holds the database's URL and is therefore
neither an argument nor the environment; the answer goes out as a line on standard output, and a
full stop each second before it. The process ends as soon as its parent does: then standard input
ends. The parent ends it when it says nothing for a minute, or takes far longer than it should.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TextIO

from sqlalchemy import Engine

from monitor.history import Point, Threshold
from monitor.ledger import Stock
from monitor.marks import Marks, SystemMark
from monitor.store.engine import open_engine, reading
from monitor.store.names import Names
from monitor.store.sweeping import Swept, divide

_ROOT = str(Path(__file__).parents[2])  # where the package is, in whatever folder we run
_NICE = 5  # batches come first
_AT_ONCE = 65536
_BEAT = b"."
SILENCE = 60.0  # seconds
SHORTEST_LIMIT, _LIMIT_PER_FACT = 300.0, 0.001  # seconds: thirty times the 30 us of decision 0006


class SweepFailed(RuntimeError):
    """The process that swept ended without an answer; what it said is in our standard error."""


def limit_for(facts: int) -> float:
    """Return after how many seconds a sweep of so many facts has hung."""
    return SHORTEST_LIMIT + _LIMIT_PER_FACT * facts


def sweep_apart(
    engine: Engine,
    marks: Marks,
    processor: str,
    thresholds: Sequence[Threshold],
    *,
    longest: float = SHORTEST_LIMIT,
    silence: float = SILENCE,
    older: Sequence[Threshold] = (),
) -> Swept:
    """Do as ``sweep`` does for one processor, in another process and a view of its own.

    Raises what ``sweep_all_apart`` does.
    """
    wanted = {processor: thresholds}
    swept = sweep_all_apart(engine, marks, wanted, longest=longest, silence=silence, older=older)
    return swept[processor]


def sweep_all_apart(
    engine: Engine,
    marks: Marks,
    wanted: Mapping[str, Sequence[Threshold]],
    *,
    longest: float = SHORTEST_LIMIT,
    silence: float = SILENCE,
    older: Sequence[Threshold] = (),
) -> dict[str, Swept]:
    """Do as ``sweep`` does, in another process and a view of its own.

    Raises SweepFailed if that ends without an answer, says nothing for *silence* seconds, or has
    none after *longest* (``limit_for``).
    """
    request = {
        "url": engine.url.render_as_string(hide_password=False),
        "marks": [(row.processor, row.system, row.gallery, row.research) for row in marks.rows],
        "wanted": {processor: list(one) for processor, one in wanted.items()},
        "older": list(older),
    }
    paths = [_ROOT, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    with subprocess.Popen(  # noqa: S603 - this very module, in our own interpreter
        [sys.executable, "-P", "-m", __name__],  # -P: not a module of the folder we are in
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,  # a Ctrl-C is for the parent, and its end is ours
        bufsize=0,
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - pipes
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            said = _heard(process.stdout, silence, longest)
        except BrokenPipeError:
            said = b""
        finally:
            process.kill()
    if not said.endswith(b"\n"):
        raise SweepFailed(f"the look back on {', '.join(sorted(wanted))} was broken off")
    found = json.loads(said.lstrip(_BEAT))
    return {processor: _unpacked(one) for processor, one in found.items()}


def _heard(output: IO[bytes], silence: float, longest: float) -> bytes:
    """Return what the process says until the end of a line, or as far as it gets."""
    said = b""
    until = time.monotonic() + longest
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while not said.endswith(b"\n") and (left := until - time.monotonic()) > 0:
            if not selector.select(min(silence, left)):
                break
            heard = output.read(_AT_ONCE)
            if not heard:
                break
            said += heard
    return said


def _unpacked(answer: dict[str, Any]) -> Swept:
    stock = Stock()
    stock.individuals, stock.research, stock.systems = answer["stock"]
    reaches = {
        (n, after): None if point is None else Point(*point)
        for (n, after), point in answer["reaches"]
    }
    return Swept(stock=stock, peak=answer["peak"], reaches=reaches, days=dict(answer["days"]))


def _packed(swept: Swept) -> dict[str, Any]:
    stock = swept.stock
    return {
        "stock": [stock.individuals, stock.research, stock.systems],
        "peak": swept.peak,
        "reaches": list(swept.reaches.items()),
        "days": list(swept.days.items()),
    }


def answer(requests: TextIO) -> str:
    """Return the answer to the one request, as a line."""
    request = json.loads(requests.readline())
    threading.Thread(target=_end_with_parent, args=(requests,), daemon=True).start()
    marks = Marks(
        SystemMark(processor=processor, system=system, gallery=gallery, research=research)
        for processor, system, gallery, research in request["marks"]
    )
    engine = open_engine(request["url"])
    wanted = {name: [(n, after) for n, after in one] for name, one in request["wanted"].items()}
    older = [(n, after) for n, after in request["older"]]
    try:
        with reading(engine) as connection:
            names = Names.load(connection)
            divided = divide(connection, names, wanted, marks.research, older=older)
    finally:
        engine.dispose()
    with divided:
        return json.dumps({name: _packed(one) for name, one in divided.fold().items()}) + "\n"


def _beat(done: threading.Event) -> None:
    """Say each second that we live, until *done*; who is stopped or stuck does not."""
    while not done.wait(1):
        os.write(sys.stdout.fileno(), _BEAT)


def _end_with_parent(requests: TextIO) -> None:
    requests.read()
    os._exit(1)


if __name__ == "__main__":
    with suppress(OSError):  # a supervisor may forbid it; the answer is the same
        os.nice(_NICE)
    done = threading.Event()
    beating = threading.Thread(target=_beat, args=(done,), daemon=True)
    beating.start()
    found = answer(sys.stdin)
    done.set()
    beating.join()  # nothing comes into the middle of the line, or after it
    sys.stdout.write(found)
    sys.stdout.flush()
