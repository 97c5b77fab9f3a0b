"""A real Apache Kafka: KRaft nodes on loopback, from the jars that scripts/get-parts fetched.

``Kafka`` is one node, ``Cluster`` three with every topic on each of them, of which two must have a
record before its producer is answered. A node can be killed or stopped (SIGSTOP) alone.

Records are kept whatever their timestamps, topics are made by hand only, and records up to 16 MB
pass, so that what a test sees set aside was set aside by facetally.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from tests.services.guardian import guardian
from tests.services.process import LOOPBACK, NotUpError, Owned, free_port, listening

JARS = Path(__file__).parents[2] / ".cache" / "kafka"

# Timestamps of recordings are old: by age their segments would be deleted while we read them.
# A topic of consumer offsets has 50 partitions by default, each opened before the first join.
# A broker that was killed may come back when its session has run out: 9 s by default.
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs={logs}
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
auto.leader.rebalance.enable=false
message.max.bytes=16777216
default.replication.factor={replicas}
min.insync.replicas={in_sync}
offsets.topic.num.partitions=4
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
replica.lag.time.max.ms=10000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
"""

UP_SECONDS: Final = 180.0  # 4 to 8 s by itself; a machine that is busy is not at fault


def available() -> str | None:
    """Return why there can be no Kafka here, or None."""
    if not _jars():
        return "no Apache Kafka in .cache/kafka: scripts/get-parts fetches it"
    if shutil.which("java") is None:
        return "no java: Kafka needs a Java 17 runtime"
    return None


class Broker:
    """One node with its data, which keeps data and ports whatever is done to it."""

    def __init__(self, node: int, home: Path, heap: str, *, quick: bool = False) -> None:
        """Choose the ports. A *quick* one starts in half the time and never gets very fast."""
        self.node = node
        self.port, self.controller = free_port(), free_port()
        self.address = f"{LOOPBACK}:{self.port}"
        self.settings = home / f"{node}.properties"
        self.logs = home / f"logs-{node}"
        self._log = home / f"broker-{node}.log"
        self._heap = heap
        self._quick = ["-XX:TieredStopAtLevel=1"] if quick else []
        self._process: Owned | None = None

    def launch(self) -> None:
        """Start the process; it does not answer yet."""
        memory = [f"-Xms{self._heap}", f"-Xmx{self._heap}", "-XX:+UseG1GC"]
        command = _java(*memory, *self._quick, "kafka.Kafka", str(self.settings))
        self._process = Owned(command, log=self._log)

    def until(self, ready: Callable[[], bool]) -> None:
        """Wait for *ready*; raise NotUpError if the process ends first, or never."""
        if self._process is None:
            raise NotUpError(f"broker {self.node} was not started")
        self._process.until(ready, seconds=UP_SECONDS)

    def stop(self) -> None:
        """Shut down in good order."""
        if self._process is not None:
            self.resume()  # a process that is stopped cannot end in good order
            self._process.stop(seconds=30)

    def kill(self) -> None:
        """SIGKILL; what it holds stays, as after a crash."""
        if self._process is not None:
            self._process.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as in a stalled network."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.alive():
            os.killpg(self._process.pid, number)


class Kafka:
    """One broker, or more; ``stop`` and ``start`` keep data and ports."""

    def __init__(self, *, heap: str = "768m", nodes: int = 1) -> None:
        """Format the data directories; *heap* is the size of Java's for each of *nodes*."""
        self._home = guardian().directory("kafka")
        self.brokers = {
            node: Broker(node, self._home, heap, quick=nodes > 1) for node in range(1, nodes + 1)
        }
        self.port = self.brokers[1].port
        self.bootstrap = ",".join(broker.address for broker in self.brokers.values())
        for broker in self.brokers.values():
            broker.settings.write_text(self._properties(broker))
        self._format()

    def start(self) -> None:
        """Start the brokers and return when they all answer."""
        for broker in self.brokers.values():
            broker.launch()
        self.until_up()

    def until_up(self) -> None:
        """Return when all brokers answer and all partitions have all their replicas in sync."""
        self.brokers[1].until(self._answers)

    def stop(self) -> None:
        """Shut the brokers down in good order; what they hold stays."""
        for broker in self.brokers.values():
            broker.stop()

    def kill(self) -> None:
        """SIGKILL the brokers; what they hold stays, as after a crash."""
        for broker in self.brokers.values():
            broker.kill()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """SIGSTOP all brokers within the block: whoever asks hears nothing."""
        for broker in self.brokers.values():
            broker.pause()
        try:
            yield
        finally:
            for broker in self.brokers.values():
                broker.resume()

    def revive(self) -> None:
        """Start what a test has killed and not started again."""
        if not all(broker.alive() for broker in self.brokers.values()):
            self.start()

    def close(self) -> None:
        """End it at once and remove the data: good order would take seconds and keep nothing."""
        self.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    def admin(self) -> KafkaAdminClient:
        """Return an admin client; the caller closes it."""
        return KafkaAdminClient(
            bootstrap_servers=self.bootstrap.split(","),
            request_timeout_ms=10_000,
            bootstrap_timeout_ms=5_000,
        )

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Make a topic and return when each partition has a leader."""
        options = {
            "num_partitions": partitions,
            "replication_factor": len(self.brokers),
            "configs": dict(config or {}),
        }
        admin = self.admin()
        try:
            admin.create_topics({name: options}, wait_for_metadata=True)
        finally:
            admin.close()

    def _properties(self, broker: Broker) -> str:
        return PROPERTIES.format(
            node=broker.node,
            voters=",".join(
                f"{one.node}@{LOOPBACK}:{one.controller}" for one in self.brokers.values()
            ),
            host=LOOPBACK,
            port=broker.port,
            controller=broker.controller,
            logs=broker.logs,
            replicas=len(self.brokers),
            in_sync=max(1, len(self.brokers) - 1),
        )

    def _format(self) -> None:
        """Format the first data directory; the others are the same under names of their own."""
        identity = str(uuid.uuid4())
        first, *others = self.brokers.values()
        options = ("format", "--cluster-id", identity, "--config", str(first.settings))
        subprocess.run(
            _java("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", *options),
            check=True,
            capture_output=True,
            timeout=60,
        )
        for broker in others:
            shutil.copytree(first.logs, broker.logs)
            meta = broker.logs / "meta.properties"
            directory = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            text = re.sub(r"(?m)^node\.id=.*$", f"node.id={broker.node}", meta.read_text())
            meta.write_text(re.sub(r"(?m)^directory\.id=.*$", f"directory.id={directory}", text))

    def _answers(self) -> bool:
        if not all(listening(broker.port) for broker in self.brokers.values()):
            return False
        try:
            admin = self.admin()
        except KafkaError:
            return False
        try:
            there = {broker["broker_id"] for broker in admin.describe_cluster()["brokers"]}
            return there == set(self.brokers) and self._in_sync(admin)
        except KafkaError:
            return False
        finally:
            admin.close()

    def _in_sync(self, admin: KafkaAdminClient) -> bool:
        if len(self.brokers) == 1:
            return True
        partitions = [p for topic in admin.describe_topics() for p in topic["partitions"]]
        return all(len(p["isr_nodes"]) == len(p["replica_nodes"]) for p in partitions)


class Cluster(Kafka):
    """Three brokers, of which any one may be away."""

    def __init__(self, *, heap: str = "512m") -> None:
        super().__init__(heap=heap, nodes=3)

    def leaders(self, topics: Collection[str]) -> dict[tuple[str, int], int]:
        """Return the node that leads each partition of *topics*."""
        admin = self.admin()
        try:
            return {
                (topic["name"], partition["partition_index"]): partition["leader_id"]
                for topic in admin.describe_topics(sorted(topics))
                for partition in topic["partitions"]
            }
        finally:
            admin.close()

    def coordinator(self, group: str) -> int:
        """Return the node that coordinates *group*."""
        admin = self.admin()
        try:
            find, run = admin._find_coordinator_id, admin._manager.run  # noqa: SLF001 - no other way
            return int(run(find, group))
        finally:
            admin.close()

    def move_leaders(self, topics: Collection[str], patience: float = 30.0) -> int:
        """Have every partition of *topics* led by another node; return how many moved.

        The order of the replicas is turned by one and the first of them elected, as an operator
        would: all brokers must be in sync.
        """
        before = self.leaders(topics)
        turned = {TopicPartition(*tp): self._turned(leader) for tp, leader in before.items()}
        admin = self.admin()
        try:
            admin.alter_partition_reassignments(turned)
            deadline = time.monotonic() + patience
            while self.leaders(topics) != {
                (tp.topic, tp.partition): order[0] for tp, order in turned.items()
            }:
                if time.monotonic() > deadline:
                    raise NotUpError(f"leaders did not move within {patience:.0f} s")
                with contextlib.suppress(KafkaError):
                    admin.elect_leaders(0, {topic: _all(before, topic) for topic in topics})
                time.sleep(0.2)
        finally:
            admin.close()
        return len(turned)

    def _turned(self, leader: int) -> list[int]:
        nodes = sorted(self.brokers)
        at = nodes.index(leader) + 1
        return [*nodes[at:], *nodes[:at]]


def _all(partitions: Collection[tuple[str, int]], topic: str) -> list[int]:
    return sorted(number for name, number in partitions if name == topic)


def _java(*arguments: str) -> list[str]:
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", quiet, "-cp", f"{_jars()}/*", *arguments]


def _jars() -> Path | None:
    found = sorted(JARS.glob("[0-9]*"))
    return found[-1] if found else None
