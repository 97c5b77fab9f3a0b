"""What the soak does to the processes, brokers, database and receiver, one thing after the other.

Each fault returns when everybody who is meant to run runs again; what they were doing goes on
while it lasts.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.acceptance.command import Facetally
from tests.acceptance.running import Process
from tests.receiver import CUT, Answer, Request
from tests.services.kafka import Cluster
from tests.services.postgres import Postgres
from tests.violence.soak_log import LogFaults

LONGER_THAN_SESSION = 8.0  # seconds; a session lasts 6
MOST_WORKERS = 3
STARTING_SECONDS = 60.0  # on a machine that has much else to do
MISUSE = 2  # the exit code of a command that lacks what it needs
_BAD = (Answer(500), Answer(429, (("retry-after", "1"),)), Answer(503), CUT)


@dataclass
class Moody:
    """A receiver that fails while it is told to; remembers the keys of what it took."""

    rng: random.Random
    taken: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)
    _bad_until: float = 0.0

    def fail_for(self, seconds: float) -> None:
        self._bad_until = time.monotonic() + seconds

    def __call__(self, request: Request) -> Answer:
        if time.monotonic() < self._bad_until:
            self.failed += 1
            if self.rng.random() < 0.2:  # hang, and answer when nobody listens any more
                self.stopping.wait(15)
            return self.rng.choice(_BAD)
        self.taken[request.headers["webhook-id"]] += 1
        return Answer(204)


@dataclass
class Faults:
    """Everything that can be hit, and how often each kind was."""

    rng: random.Random
    facetally: Facetally
    cluster: Cluster
    postgres: Postgres
    receiver: Moody
    log: LogFaults
    workers: list[Process] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    _bag: list[Callable[[], None]] = field(default_factory=list)
    _database_restarted_at: float = 0.0

    def __post_init__(self) -> None:
        self.alerts = Process(self.facetally, "alerts")

    def start(self) -> None:
        self.alerts.start()
        self._add_worker()

    def stop(self) -> None:
        for process in (*self.workers, self.alerts):
            process.stop()

    def one(self) -> str:
        """Do one thing and return its name: any, but all kinds come before they come again."""
        if not self._bag:
            self._bag = [kind for kind, times in self._kinds().items() for _ in range(times)]
            self.rng.shuffle(self._bag)
        self.look_after()
        chosen = self._bag.pop()
        chosen()
        self.done[chosen.__name__] += 1
        return chosen.__name__

    def _kinds(self) -> dict[Callable[[], None], int]:
        """Return what there is to do, with how often to each time of the others."""
        return {
            self.kill_a_worker: 8,
            self.freeze_workers: 3,
            self.kill_a_broker: 3,
            self.rebalance: 4,
            self.restart_the_database: 2,
            self.kill_alerts: 3,
            self.fail_the_receiver: 3,
            self.move_leaders: 2,
            self.log.abort_a_transaction: 2,
            self.log.have_a_wrong_clock: 2,
            self.log.add_a_partition: 1,
            self.lose_records: 1,
            self.log.make_a_topic_anew: 1,
            self.take_the_room: 1,
        }

    def look_after(self) -> None:
        """Start again, as a supervisor does, who could not start without the database.

        Whoever had started goes on whatever is away: that it ended is what the soak looks for.
        """
        for process in (*self.workers, self.alerts):
            if process.alive():
                continue
            starting = abs(self._database_restarted_at - process.started_at) < STARTING_SECONDS
            could_not_start = starting and process.code() == MISUSE
            assert could_not_start, f"{process.name} ended by itself{process.tail()}"
            process.start()
            self.done["started_again_without_database"] += 1

    def kill_a_worker(self) -> None:
        victim = self.rng.choice(self.workers)
        victim.kill()
        victim.start()

    def freeze_workers(self) -> None:
        victims = self.rng.sample(self.workers, self.rng.randint(1, len(self.workers)))
        for victim in victims:
            victim.pause()
        time.sleep(LONGER_THAN_SESSION)
        for victim in victims:
            victim.resume()

    def kill_a_broker(self) -> None:
        victim = self.cluster.brokers[self.rng.choice(sorted(self.cluster.brokers))]
        victim.kill()
        time.sleep(self.rng.uniform(0, 5))
        victim.launch()
        self.cluster.until_up()

    def rebalance(self) -> None:
        """Have another number of workers."""
        wanted = self.rng.choice([n for n in (1, 2, MOST_WORKERS) if n != len(self.workers)])
        while len(self.workers) > wanted:
            self.workers.pop(self.rng.randrange(len(self.workers))).stop()
        while len(self.workers) < wanted:
            self._add_worker()

    def restart_the_database(self) -> None:
        self.rng.choice((self.postgres.stop, self.postgres.kill))()
        time.sleep(self.rng.uniform(0, 3))
        self.postgres.start()
        self._database_restarted_at = time.monotonic()
        self.look_after()

    def kill_alerts(self) -> None:
        self.alerts.kill()
        self.alerts.start()

    def fail_the_receiver(self) -> None:
        self.receiver.fail_for(self.rng.uniform(5, 20))

    def move_leaders(self) -> None:
        self.cluster.move_leaders(self.log.partitions)

    def lose_records(self) -> None:
        self.log.lose_records(self.workers)

    def take_the_room(self) -> None:
        self.log.take_the_room()
        self._database_restarted_at = time.monotonic()
        self.look_after()

    def _add_worker(self) -> None:
        self.workers.append(Process(self.facetally, "worker"))
        self.workers[-1].start()
