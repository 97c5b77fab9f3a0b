"""A real Apache Kafka: one KRaft node on loopback, from the jars that scripts/get-parts fetched.

Records are kept whatever their timestamps, topics are made by hand only, and records up to 16 MB
pass, so that what a test sees set aside was set aside by facetally.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from tests.services.guardian import guardian
from tests.services.process import LOOPBACK, Owned, free_port, listening

JARS = Path(__file__).parents[2] / ".cache" / "kafka"

# Timestamps of recordings are old: by age their segments would be deleted while we read them.
# A topic of consumer offsets has 50 partitions by default, each opened before the first join.
# A broker that was killed may come back when its session has run out: 9 s by default.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port}
log.dirs={logs}
log.retention.ms=-1
log.cleaner.dedupe.buffer.size=16777216
auto.create.topics.enable=false
message.max.bytes=16777216
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
"""


def available() -> str | None:
    """Return why there can be no Kafka here, or None."""
    if not _jars():
        return "no Apache Kafka in .cache/kafka: scripts/get-parts fetches it"
    if shutil.which("java") is None:
        return "no java: Kafka needs a Java 17 runtime"
    return None


class Kafka:
    """A broker with its data; ``stop`` and ``start`` keep data and port."""

    def __init__(self, *, heap: str = "768m") -> None:
        """Format the data directory; *heap* is the size of Java's."""
        self.port = free_port()
        self.bootstrap = f"{LOOPBACK}:{self.port}"
        self._heap = heap
        self._home = guardian().directory("kafka")
        self._settings = self._home / "server.properties"
        self._settings.write_text(
            PROPERTIES.format(
                host=LOOPBACK, port=self.port, controller=free_port(), logs=self._home / "logs"
            )
        )
        self._process: Owned | None = None
        self._format()

    def start(self) -> None:
        """Start the broker and return when it answers."""
        memory = [f"-Xms{self._heap}", f"-Xmx{self._heap}", "-XX:+UseG1GC"]
        self._process = Owned(
            _java(*memory, "kafka.Kafka", str(self._settings)), log=self._home / "broker.log"
        )
        self._process.until(self._answers, seconds=60)

    def stop(self) -> None:
        """Shut the broker down in good order; what it holds stays."""
        if self._process is not None:
            self._process.stop(seconds=30)

    def kill(self) -> None:
        """SIGKILL the broker; what it holds stays, as after a crash."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Stop for good and remove the data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def admin(self) -> KafkaAdminClient:
        """Return an admin client; the caller closes it."""
        return KafkaAdminClient(
            bootstrap_servers=self.bootstrap, request_timeout_ms=10_000, bootstrap_timeout_ms=5_000
        )

    def create_topic(
        self, name: str, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> None:
        """Make a topic and return when each partition has a leader."""
        options = {
            "num_partitions": partitions,
            "replication_factor": 1,
            "configs": dict(config or {}),
        }
        admin = self.admin()
        try:
            admin.create_topics({name: options}, wait_for_metadata=True)
        finally:
            admin.close()

    def _format(self) -> None:
        identity = str(uuid.uuid4())
        options = ("format", "--cluster-id", identity, "--config", str(self._settings))
        subprocess.run(
            _java("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool", *options),
            check=True,
            capture_output=True,
            timeout=60,
        )

    def _answers(self) -> bool:
        if not listening(self.port):
            return False
        try:
            admin = self.admin()
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()


def _java(*arguments: str) -> list[str]:
    quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
    return ["java", quiet, "-cp", f"{_jars()}/*", *arguments]


def _jars() -> Path | None:
    found = sorted(JARS.glob("[0-9]*"))
    return found[-1] if found else None
