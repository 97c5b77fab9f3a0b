"""The measured figures as docs/scale.md."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.benchmarks.scale.climbing import Climb, Milestone
from tests.benchmarks.scale.restart import Restarts

_PAGE = """\
# Scale

Made by `{command}` in {minutes:.0f} minutes; do not edit by hand, run it again.

Measured {day} on {cores} cores (Python {python}), database and broker on the same machine, load
average before the run {load}. Compare the ratios, which are of one run.

One processor with three systems. People come with one to three faces, 30 % with a named face that
moves between two of them, some leave and come back; every fact goes through the real keeper in
transactions of 20,000, as `facetally apply` does it. At each milestone, when exactly so many are
stored, {events:,} events follow about people chosen uniformly from all: daily enrolments (most),
further systems, named faces that move, removals of a face, of a person from a system, and from
everywhere. That is the worst case for the trees of a database: nearly every event is on a page of
its own. Real sites see the same people again.

Every number below was exact: at each milestone, before and after those events, `facetally status`
said the same individuals, in all and by system, as one byte a person kept beside it that knows
nothing of the product; the trigger instant of the duty was that of the fact that reached it; and at
the end `facetally verify` held.

## SQLite

{sqlite}

{again}{purge}

*Written* is what the process had written to the disk. *Memory* is that of the process that keeps,
without the page cache of the operating system; {resident}.

{verify}
"""

_RESTART = """
## From a killed worker to the next commit

With {individuals:,} individuals on SQLite, a real Kafka and static membership: SIGKILL, a record is
appended, a new process is started. From that start, interpreter and imports included, to the commit
of that record: median {median:.2f} s, longest {longest:.2f} s of {times}. No record was lost or
counted twice. Memory of that worker: {resident:.0f} MB.
"""

_POSTGRES = """
## PostgreSQL

The same on PostgreSQL with shared buffers of 64 MB; processor time and memory are those of the
process that keeps, the server's are its own.

{table}

{verify}
"""

# Not measured again by each run: what was tried on the way, and what it brought then.
_FOUND = """
## Where the cost grows, and what was tried

Found on 2026-11-22 on the same two cores, busy with other work, with the statements of a batch
alone (select, upsert, append, commit of 20,000 rows over random keys). Processor time is 10.8 us an
event over 100,000 rows and 19.2 us over a million; the rest of keeping an event, in Python, does
not know how many people there are. What grows is the share of rows that are on a page of their own:
each is read, logged and written back by itself, 1.9 kB an event over 100,000 rows, 6.9 kB over a
million, and it ends where every event has a page to itself. In batches that took turns over
100,000 and over five million individuals, under the same heavy load: 43.4 and 68.5 us of processor
time (1.58), 1.67 by the clock, 1.9 and 8.8 kB written.

- A page of 1,024 bytes instead of 4,096: 4.8 kB written an event, but 21.6 us; of 2,048 bytes, over
  two million rows: 6.1 instead of 7.7 kB, but more processor time, too; of 8,192 bytes: 10.7 kB
  and 20.1 us. Left as it was.
- A write-ahead log of 256 MB before it is written back: 5.3 kB and 18.8 us over a million rows, and
  the less the more rows there are; a killed worker would read all of it first. Left as it was.
- No secure deletion: nothing.
"""

_HEAD = (
    "| individuals | facts so far | us/event | ratio | CPU us/event | ratio | written, B/event "
    "| memory, MB | database, MB |\n"
    "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All figures of one run."""

    command: str
    load: tuple[float, float, float]
    seconds: float
    sqlite: Climb
    again: Climb
    postgres: Climb | None
    restarts: Restarts | None

    def text(self) -> str:
        page = _PAGE.format(
            command=self.command,
            minutes=self.seconds / 60,
            day=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            cores=os.cpu_count(),
            python=platform.python_version(),
            load=", ".join(f"{one:.1f}" for one in self.load),
            events=self.sqlite.milestones[0].lived.facts,
            sqlite=_table(self.sqlite),
            again=self._again(),
            purge=_purge(self.sqlite),
            resident=_flat(self.sqlite),
            verify=_verify(self.sqlite),
        )
        if self.restarts is not None:
            page += _RESTART.format(
                individuals=self.restarts.individuals,
                median=self.restarts.median,
                longest=max(self.restarts.each),
                times=len(self.restarts.each),
                resident=self.restarts.resident / 1e6,
            )
        if self.postgres is not None:
            table, verify = _table(self.postgres), _verify(self.postgres)
            page += _POSTGRES.format(table=table, verify=verify)
        return page + _FOUND

    def _again(self) -> str:
        (one,) = self.again.milestones
        last = self.sqlite.milestones[-1]
        return (
            f"The first milestone, measured again after all of this: {one.lived.each:.1f} us an "
            f"event ({_cpu(one):.1f} of the processor),\nagainst which the last one is "
            f"{last.lived.each / one.lived.each:.2f} ({_cpu(last) / _cpu(one):.2f})."
        )


def _table(climb: Climb) -> str:
    return "\n".join([_HEAD, *(_row(climb, one) for one in climb.milestones)])


def _row(climb: Climb, one: Milestone) -> str:
    cells = (
        f"{one.individuals:,}",
        f"{one.facts:,}",
        f"{one.lived.each:.1f}",
        f"{climb.ratio(one):.2f}",
        f"{_cpu(one):.1f}",
        f"{climb.ratio(one, cpu=True):.2f}",
        f"{one.lived.written / one.lived.facts:,.0f}" if climb.writes_itself else "-",
        f"{one.resident / 1e6:,.0f}",
        f"{one.database / 1e6:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _cpu(one: Milestone) -> float:
    return one.lived.cpu / one.lived.facts * 1e6


def _flat(climb: Climb) -> str:
    rest = [one.resident / 1e6 for one in climb.milestones[1:]] or [0.0]
    return (
        f"it grows until the page cache of the database is full (128 MB),\nand is between "
        f"{min(rest):,.0f} and {max(rest):,.0f} MB from the second milestone on"
    )


def _purge(climb: Climb) -> str:
    if climb.purged is None:
        return ""
    return (
        f"\n\nAt the end one of the three systems was emptied by one event, which counts everybody "
        f"anew\nwithin its transaction: {climb.purged.seconds:.0f} s, and {climb.left:,} "
        "individuals were left, which is\nthe true number."
    )


def _verify(climb: Climb) -> str:
    ran = climb.verified
    facts = climb.milestones[-1].facts
    return (
        f"`facetally verify` of these {facts:,} facts took {ran.seconds:,.0f} s and at the most "
        f"{ran.most_resident / 1e6:,.0f} MB."
    )
