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

Measured {day} on {cores} cores ({machine}, Python {python}), all on one machine: broker, database,
one worker, the alerts process, the receiver and what writes the records; nice {nice}, load average
before the run {load}. From the record's append in Kafka (the broker's LogAppendTime) to the arrival
of its page at our own signed webhook, each a processor that nobody knew before, with
`at_least = 1`.

| database | | pages | p50 | p99 | longest | aim |
| --- | --- | ---: | ---: | ---: | ---: | --- |
{rows}

Idle: {idle_rate:.0f} crossings a second and nothing else. Under load: {busy_rate:.0f} crossings and
{rate} other events a second. After a SIGKILL of the worker, with a record that was appended while
nobody read: from Kafka's assignment to the new worker, before it has looked up where to read, to
the page. From its start to its assignment it took {start} (median), which is the start of a process
and Kafka's session time of the dead member.
Repeats that the receiver saw: {repeated}.
"""
IDLE_AIM, BUSY_AIM, KILL_AIM = 1_000, 2_000, 2_000  # milliseconds
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


class Pause(NamedTuple):
    """Milliseconds from a new worker's start to its assignment, and from there to the page."""

    to_assignment: float
    to_page: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """One run over one database."""

    database: str
    idle: Latencies
    busy: Latencies
    rate: float
    pauses: Sequence[Pause]
    repeated: int
    idle_rate: float
    busy_rate: float

    def rows(self) -> list[str]:
        """Return the lines of the table; of kills every page has to be in time."""
        to_page = Latencies([one.to_page for one in self.pauses])
        return [
            self._row("idle", self.idle, 0.99, IDLE_AIM),
            self._row("under load", self.busy, 0.99, BUSY_AIM),
            self._row("after a SIGKILL", to_page, 1, KILL_AIM),
        ]

    def start(self) -> float:
        """Return the median of seconds from a new worker's start to its assignment."""
        return Latencies([one.to_assignment / 1000 for one in self.pauses]).at(0.5)

    def _row(self, name: str, found: Latencies, share: float, aim: int) -> str:
        figures = " | ".join(f"{found.at(each):,.0f} ms" for each in (0.5, 0.99, 1))
        word = "longest" if share == 1 else f"p{share * 100:.0f}"
        met = "met" if found.at(share) < aim else "**missed**"
        where = f"{_NAMES[self.database]} | {name} | {len(found.each):,}"
        return f"| {where} | {figures} | {word} < {aim:,} ms: {met} |"


def page(runs: Sequence[Paging], *, command: str, load: Sequence[float]) -> str:
    """Return the page of *runs*; *load* is the load average before the first."""
    return _PAGE.format(
        command=command,
        day=datetime.now(UTC).date(),
        cores=os.cpu_count(),
        machine=platform.machine(),
        python=platform.python_version(),
        nice=os.nice(0),
        load=" / ".join(f"{value:.1f}" for value in load),
        rows="\n".join(row for run in runs for row in run.rows()),
        rate=" and ".join(f"{run.rate:,.0f}" for run in runs),
        start=" and ".join(f"{run.start():.1f} s" for run in runs),
        repeated=" and ".join(str(run.repeated) for run in runs),
        idle_rate=runs[0].idle_rate,
        busy_rate=runs[0].busy_rate,
    )
