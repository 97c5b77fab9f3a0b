"""The measured way of a page, as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from tests.benchmarks.latency import Latencies

_PAGE = """\
# How long a page takes

Made by `{command}` (`make paging`); do not edit by hand, run it again.

Measured {day} on {cores} cores ({machine}, Python {python}), all on one machine: broker,
{database}, one worker, the alerts process, the receiver and what writes the records. Load average
before the run {load}. From the record's append in Kafka (the broker's
LogAppendTime) to the arrival of its page at our own signed webhook, each a processor that nobody
knew before, with `at_least = 1`.

| | crossings | p50 | p99 | longest | aim |
| --- | ---: | ---: | ---: | ---: | --- |
{rows}

Idle: {idle_rate:.0f} crossings a second and nothing else. Under load: {busy_rate:.0f} crossings and
{rate:,.0f} other events a second. After a SIGKILL of the worker, {kills} times, with a record that
was appended while nobody read: from the new worker's assignment to the page at most {after:,.0f} ms
(aim: 2,000), median {median:,.0f} ms; from its start to its assignment, median {start:.1f} s, which
is the start of a process and Kafka's session time of the dead member. Repeats that the receiver
saw: {repeated}.
"""
_AIMS = {"idle": "1,000 ms", "under load": "2,000 ms"}


class Pause(NamedTuple):
    """Milliseconds from a new worker's start to its assignment, and from there to the page."""

    to_assignment: float
    to_page: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """One run."""

    command: str
    database: str
    load: Sequence[float]
    idle: Latencies
    busy: Latencies
    rate: float
    pauses: Sequence[Pause]
    repeated: int
    idle_rate: float
    busy_rate: float

    def text(self) -> str:
        """Return the page."""
        to_page = Latencies([one.to_page for one in self.pauses])
        to_assignment = Latencies([one.to_assignment / 1000 for one in self.pauses])
        rows = [_row("idle", self.idle), _row("under load", self.busy)]
        return _PAGE.format(
            command=self.command,
            day=datetime.now(UTC).date(),
            cores=os.cpu_count(),
            machine=platform.machine(),
            python=platform.python_version(),
            database={"sqlite": "SQLite", "postgresql": "PostgreSQL"}[self.database],
            load=" / ".join(f"{value:.1f}" for value in self.load),
            rows="\n".join(rows),
            rate=self.rate,
            kills=len(self.pauses),
            after=to_page.at(1),
            median=to_page.at(0.5),
            start=to_assignment.at(0.5),
            repeated=self.repeated,
            idle_rate=self.idle_rate,
            busy_rate=self.busy_rate,
        )


def _row(name: str, found: Latencies) -> str:
    figures = " | ".join(f"{found.at(share):,.0f} ms" for share in (0.5, 0.99, 1))
    return f"| {name} | {len(found.each):,} | {figures} | p99 < {_AIMS[name]} |"
