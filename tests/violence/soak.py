"""``python -m tests.violence.soak`` (``make soak``): everything at once, for as long as asked.

Three brokers, PostgreSQL, one to three workers, the alerts process and a moody receiver. Events are
made without end, and published while worker, broker, database and receiver are killed, frozen,
moved and restarted at random. Every so often nothing more comes until all has been kept, and then
every number, every duty and every notice is compared with the truth. It ends with
``facetally verify`` and a report; exit 0 means that nothing was ever wrong.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.acceptance.command import Facetally, Forker
from tests.acceptance.estate_history import ACME, BOREALIS, TOPICS
from tests.acceptance.estate_run import HEAD, PARTITIONS, SIGNING, expected, numbers
from tests.acceptance.estate_truth import beijing
from tests.acceptance.running import Group, Stored, settings, until
from tests.figures import report
from tests.receiver import receiving
from tests.services.guardian import guardian
from tests.services.kafka import Cluster
from tests.services.postgres import Postgres
from tests.violence.soak_faults import Faults, Moody
from tests.violence.soak_flow import Flow
from tests.violence.soak_log import DELTA, LogFaults
from tests.violence.soak_source import LEGAL, Source

CHECKPOINT_SECONDS = 120.0
PATIENCE = 900.0
MOST_RESIDENT_MB = 700.0
BATCH = 5_000
EVENTS = 5_000_000
LOSSY = """
[[topics]]
name = "{name}"
source = "cloudevents"
processors = ["{processor}"]
"""


@dataclass
class Soak:
    """The parts of a soak while it runs."""

    source: Source
    faults: Faults
    flow: Flow
    group: Group
    stored: Stored
    receiver: Moody
    checkpoints: int = 0
    resident_mb: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def facetally(self) -> Facetally:
        return self.faults.facetally

    def go_on_until(self, deadline: float, events: int) -> None:
        """Do one thing after the other, at least so long and for so many *events*.

        Compare now and then, and at the end.
        """
        compare_at = time.monotonic() + CHECKPOINT_SECONDS
        while self.source.events < events or time.monotonic() < deadline:
            did = self.faults.one()
            self._watch_memory()
            self._say(did)
            time.sleep(self.faults.rng.uniform(1, 6))
            if time.monotonic() >= compare_at:
                self.checkpoint()
                compare_at = time.monotonic() + CHECKPOINT_SECONDS
        self.checkpoint(last=True)

    def checkpoint(self, *, last: bool = False) -> None:
        """Wait until all that was told is kept; then everything is as in the truth."""
        self.faults.look_after()
        self.flow.hold()
        try:
            until(self._settled, "everything to be kept and confirmed", PATIENCE)
            self._compare()
            if last:
                self.facetally.good("verify")
        finally:
            (self.flow.end if last else self.flow.go_on)()
        self.checkpoints += 1
        self._watch_memory()
        self._say("checkpoint: all as in the truth")

    def _settled(self) -> bool:
        self.faults.look_after()
        positions = {name: at for name, at in self.facetally.positions().items() if at}
        if positions != self.group.ends():
            return False
        pending = [p["recount_pending"] for p in self.facetally.status()["processors"]]
        return not any(pending) and len(self.facetally.duties()) >= 1

    def _compare(self) -> None:
        truth, status = self.source.truth, self.facetally.status()
        found_numbers = {name: one for name, one in numbers(status).items() if name != DELTA}
        _same(sorted(found_numbers.items()), sorted(expected(truth).items()))
        self._compare_marks(status)

        duties = self.facetally.duties()
        found = sorted((d["processor"], d["rule"], d["trigger_day"]) for d in duties)
        changes = [(BOREALIS, "frt.change", _day(at)) for at in self.source.changed_at]
        _same(found, sorted([(ACME, "frt.file", _day(truth.reached_at[ACME])), *changes]))

        notices = self.stored.notices()
        told = {kind: len(rows) for kind, rows in notices.items()}
        wanted = {"duty_opened": len(duties), "gap": self.faults.log.losses}
        assert told == {kind: number for kind, number in wanted.items() if number}
        keys = {row["key"] for rows in notices.values() for row in rows}
        assert len(keys) == sum(told.values())
        until(lambda: set(self.receiver.taken) >= keys, "every notice to be taken", PATIENCE)
        assert set(self.receiver.taken) == keys

    def _compare_marks(self, status: Mapping[str, Any]) -> None:
        """Only who lost records is unverified, and only wrong clocks were set aside."""
        log = self.faults.log
        against = {
            one["processor"]: {why["reason"] for why in one["unverified"]}
            for one in status["processors"]
        }
        assert against.pop(DELTA) == log.marked
        assert not any(against.values()), against
        rejected = status["rejected"]
        assert rejected["by_reason"].keys() <= {"in_the_future"}
        assert rejected["total"] >= log.from_the_future

    def _watch_memory(self) -> None:
        for worker in self.faults.workers:
            resident = _resident_mb(worker.pid)
            self.resident_mb = max(self.resident_mb, resident)
            assert resident < MOST_RESIDENT_MB, f"a worker has {resident:.0f} MB"

    def _say(self, what: str) -> None:
        seconds = time.monotonic() - self.started
        print(
            f"{seconds:7.0f} s  {self.source.events:>10,} events  "
            f"{len(self.faults.workers)} workers, at most {self.resident_mb:.0f} MB  {what}",
            flush=True,
        )


def _same(found: Sequence[object], wanted: Sequence[object]) -> None:
    extra = [one for one in found if one not in wanted]
    missing = [one for one in wanted if one not in found]
    assert found == wanted, f"found {len(found)}, not wanted {extra}; missing {missing}"


def _day(at: int) -> str:
    return beijing(at).date().isoformat()


def _resident_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0.0
    sizes = [line.split()[1] for line in lines if line.startswith("VmRSS:")]
    return int(sizes[0]) / 1024 if sizes else 0.0


@contextmanager
def soaking(seed: int) -> Iterator[Soak]:
    """Start everything; stop it when the block ends."""
    with ExitStack() as stack:
        cluster, postgres = Cluster(), Postgres()
        stack.callback(postgres.close)
        stack.callback(cluster.close)
        cluster.start()
        postgres.start()
        name = f"soak-{uuid.uuid4().hex[:8]}"
        topics = {codec: f"{name}-{codec}" for codec in TOPICS}
        for topic in topics.values():
            cluster.create_topic(topic, PARTITIONS)

        rng, home = random.Random(seed), guardian().directory("soak")
        moody = Moody(rng)
        receiver = stack.enter_context(receiving(moody))
        moody.stopping = receiver.stopping
        forker = stack.enter_context(Forker(home))
        head = HEAD.format(records=BATCH, legal=LEGAL)
        lossy = f"{name}-lossy"
        text = settings(cluster, name, list(topics.values()), receiver.url, SIGNING, head)
        text += LOSSY.format(name=lossy, processor=DELTA)
        facetally = Facetally(forker, home / "run", text, database_url=postgres.database())
        stored = Stored(facetally.database_url)
        stack.callback(stored.close)

        source = Source(seed)
        partitions = dict.fromkeys(topics.values(), PARTITIONS)
        log = LogFaults(rng, cluster, stored, facetally.database_url, partitions, lossy)
        log.begin()
        faults = Faults(rng, facetally, cluster, postgres, moody, log)
        flow = stack.enter_context(Flow(cluster, topics, partitions, source, stored))
        stack.callback(faults.stop)
        faults.start()
        until(lambda: f"{lossy}/0" in facetally.positions(), "the lossy topic to be read")
        group = Group(cluster, name, [*topics.values(), lossy])
        yield Soak(source, faults, flow, group, stored, moody)


def main() -> int:
    """Soak for as long, or for as many events, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.violence.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0, help="how long at least")
    parser.add_argument("--events", type=int, default=EVENTS, help="how many events at least")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # brokers are away: we know
    print(f"seed {asked.seed}: to be run again with --seed {asked.seed}", flush=True)

    with soaking(asked.seed) as soak:
        soak.go_on_until(time.monotonic() + asked.minutes * 60, asked.events)
        report(
            "soak",
            seed=asked.seed,
            events=soak.source.events,
            records=soak.stored.records(),
            checkpoints=soak.checkpoints,
            duties=1 + len(soak.source.changed_at),
            receiver_failures=soak.receiver.failed,
            published_again=soak.flow.again,
            losses_told=soak.faults.log.losses,
            most_resident_mb=round(soak.resident_mb),
            seconds=round(time.monotonic() - soak.started),
            **soak.faults.done,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
