"""What a measurement is, and the processor time of processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_UTIME = 11  # fields of /proc/PID/stat after the command: utime, stime, cutime, cstime


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One system that took *events* to their end. *cpu* is seconds, of its own processes.

    *server_cpu* is that of a database server beside it, None where there is none.
    """

    name: str
    events: int
    seconds: float
    cpu: float
    server_cpu: float | None = None
    note: str = ""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cpu_per_million(self) -> float:
        return self.cpu / self.events * 1e6

    @property
    def server_cpu_per_million(self) -> float | None:
        return None if self.server_cpu is None else self.server_cpu / self.events * 1e6


def cpu_of(pid: int) -> float:
    """Return the processor seconds of a process and of its children that have ended."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[_UTIME : _UTIME + 4])) / _TICK


def cpu_of_family(pid: int) -> float:
    """Return that of a process with all its children, running or not."""
    return cpu_of(pid) + sum(map(cpu_of, children_of(pid)))


def children_of(pid: int) -> Iterable[int]:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (thread / "children").read_text().split())
