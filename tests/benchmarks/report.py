"""The measured figures as a page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.latency import Latencies
from tests.benchmarks.measured import Measured

_PAGE = """\
# Performance

Made by `{command}`; do not edit by hand, run it again.

Measured {day} on {cores} cores ({machine}, Python {python}),
broker and databases on the same machine, load average before the run {load}.
Rates depend on the machine and on what else it does: compare the ratios, which are of one run.

## From Kafka to committed state

{events:,} JSON CloudEvents over {subjects:,} subjects of three processors, from a topic of four
partitions of a real Apache Kafka {kafka}. Reading alone counts
nothing, the agent's table is not exact after a crash, the dict is gone with its process; facetally
is exact and durable. *Ceiling* is the rate as a share of that of the dict, the faster of two runs.

| system | events/s | ceiling | CPU-s per million | of the database server |
| --- | ---: | ---: | ---: | ---: |
{rows}

{notes}

The dict is what one Python process can do at best: decode, last writer wins per subject and system,
and count, in memory only. facetally keeps slots, scopes, links, the book of all facts, stock and
positions in one transaction a batch.

## A crossing, when nothing is behind

From Kafka's append to the committed reach, {crossings} processors that nobody knew before, one
after the other, on SQLite: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {longest:.0f} ms.
"""

_APPLY = """
## A file

`facetally apply` of the threshold recording ({records:,} change records of Debezium, three
crossings by row present), from start to end of the command, on SQLite: {seconds:.1f} s,
{rate:,.0f} records/s.
"""

# Not measured again by each run: what was tried in the hot path, and what it brought then.
_FOUND = """
## What paid, and what did not

Found on 2026-11-22 on the same two cores, busy with other work; processor time of decoding and
keeping on SQLite was 49 us an event before and 31 us after, in batches of 20,000.

- Python's collector of cycles, by the clock instead of by the number of new objects: 11 us an
  event.
- Fewer calls in the fold (slots looked up once, classes of covered and uncovered subjects told
  apart once, rows packed without enumerations): 4 us.
- PostgreSQL, processor time of the worker a row: append 12 us by arrays as text, 3 us by binary
  arrays, 1 us by binary `COPY`; upsert 9 and 1.4 us; select by key 6 and 2 us.
- Counting only enrolments of people who are not stored already against the bound on the number
  (docs/decisions/0002-trigger-day.md): without that, partitions that run ahead of each other
  caused look-backs at 66,000 of 100,000: 60 CPU-s per million on SQLite, and 42 with it (two runs).
- Nothing: a longer write-ahead log, memory-mapped reading, batches of 40,000.

What is left, in microseconds an event on SQLite: decoding and hashing 7, statements 7, unpacking
and packing rows 7, fold and stock 7, commit and checkpoint 3 to 8 by the size of the table. The aim
of 0.45 of the dict needs about 16 altogether, which this work in Python does not reach.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All figures of one run."""

    command: str
    events: int
    subjects: int
    kafka: str
    load: tuple[float, float, float]
    systems: Sequence[Measured]
    ceiling: Measured
    latencies: Latencies
    applied: Measured | None

    def text(self) -> str:
        text = _PAGE.format(
            command=self.command,
            day=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            cores=os.cpu_count(),
            machine=_processor(),
            python=platform.python_version(),
            load=", ".join(f"{one:.1f}" for one in self.load),
            events=self.events,
            subjects=self.subjects,
            kafka=self.kafka,
            rows="\n".join(map(self._row, self.systems)),
            notes="\n".join(f"- {one.name}: {one.note}" for one in self.systems if one.note),
            crossings=len(self.latencies.each),
            p50=self.latencies.at(0.50),
            p99=self.latencies.at(0.99),
            longest=max(self.latencies.each),
        )
        if self.applied is not None:
            one = self.applied
            text += _APPLY.format(records=one.events, seconds=one.seconds, rate=one.rate)
        return text + _FOUND

    def _row(self, one: Measured) -> str:
        share = one.rate / self.ceiling.rate
        server = one.server_cpu_per_million
        cells = (
            one.name,
            f"{one.rate:,.0f}",
            f"{share:.2f}",
            f"{one.cpu_per_million:.1f}",
            "-" if server is None else f"{server:.1f}",
        )
        return f"| {' | '.join(cells)} |"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
