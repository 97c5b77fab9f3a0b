"""What Kafka says about topics, offsets and groups, through kafka-python's admin client.

Blocking: call it from a thread. One object serves one thread. Every method raises KafkaError of
kafka-python when the broker is away, and works again when it is back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    CoordinatorNotAvailableError,
    GroupIdNotFoundError,
    KafkaError,
    TopicAlreadyExistsError,
)
from kafka.structs import OffsetAndMetadata

from monitor.intake import TopicSeen
from streams.connection import Connection, KafkaUnreachable
from streams.placing import Committed, Span, from_metadata, to_metadata

Partition = tuple[str, int]

_UNCOMMITTED, _COMMITTED = 0, 1
_REQUEST_MS = 5_000
_PATIENCE = 10.0


class Lag(NamedTuple):
    """How far a group has got in a partition; *committed* is None where it never said."""

    topic: str
    partition: int
    committed: int | None
    end: int

    @property
    def records(self) -> int:
        """Offsets still to read, with transaction markers and what open transactions hold back."""
        return self.end - (self.committed or 0)


class Admin:
    """A lazily made admin client that is made anew after an error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None  # kafka-python is not typed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the client go; the next call makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def wait_reachable(self, patience: float) -> None:
        """Return when Kafka answers; raise KafkaUnreachable after *patience* seconds."""
        try:
            self._connect(patience)
        except (KafkaError, OSError) as exc:
            raise KafkaUnreachable(
                f"Kafka at {self._connection.bootstrap_servers} did not answer within "
                f"{patience:g} s ({type(exc).__name__}): check bootstrap_servers, TLS and login"
            ) from None

    def topics(self, names: Iterable[str]) -> list[TopicSeen]:
        """Describe those of *names* that exist; a topic that does not is left out."""
        return [
            TopicSeen(topic["name"], topic["topic_id"], len(topic["partitions"]))
            for topic in self._described(names)
        ]

    def create_topic(
        self,
        name: str,
        partitions: int,
        replication: int = -1,
        configs: Mapping[str, str] | None = None,
    ) -> bool:
        """Create *name* unless it exists, dated by the broker; return whether it was created.

        With LogAppendTime no producer's clock can date a record, so that a fact from the future
        is told by the broker's clock. ``replication=-1`` is the broker's own default.
        """
        options = {
            "num_partitions": partitions,
            "replication_factor": replication,
            "configs": {"message.timestamp.type": "LogAppendTime"} | dict(configs or {}),
        }
        try:
            self._call("create_topics", {name: options})
        except TopicAlreadyExistsError:
            return False
        self._call("wait_for_topics", [name])
        return True

    def compacted(self, names: Iterable[str]) -> list[str]:
        """Return those of *names* of which Kafka forgets records that a later one replaces."""
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in sorted(names)]
        found = self._call("describe_configs", wanted, config_filter="all")
        policies = {
            name: settings.get("cleanup.policy", {}).get("value") or ""
            for of_type in found.values()
            for name, settings in of_type.items()
        }
        return [name for name, policy in sorted(policies.items()) if "compact" in policy]

    def spans(self, partitions: Iterable[Partition]) -> dict[Partition, Span]:
        """Return topic id, first offset and high watermark of those *partitions* that exist."""
        wanted = list(partitions)
        ids = {seen.topic: seen for seen in self.topics({topic for topic, _ in wanted})}
        there = [tp for tp in wanted if tp[0] in ids and tp[1] < ids[tp[0]].partitions]
        starts = self._offsets(there, OffsetSpec.EARLIEST, _UNCOMMITTED)
        ends = self._offsets(there, OffsetSpec.LATEST, _UNCOMMITTED)
        return {tp: Span(ids[tp[0]].topic_id, starts[tp], ends[tp]) for tp in there}

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return the next offset to be written of those *partitions* that have a leader.

        It lies behind whatever an open transaction holds back: what is there and not readable yet
        is not the end. A partition that is gone or without a leader holds up no other's answer.
        """
        return self._offsets(self._led(partitions), OffsetSpec.LATEST, _UNCOMMITTED)

    def stable_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Return how far a read-committed reader can read now: the last stable offset."""
        return self._offsets(self._led(partitions), OffsetSpec.LATEST, _COMMITTED)

    def lag(self, group: str, topics: Iterable[str]) -> list[Lag]:
        """Return the lag of *group* in every partition that has a leader, by published offsets."""
        wanted = [
            (seen.topic, partition)
            for seen in self.topics(topics)
            for partition in range(seen.partitions)
        ]
        ends = self.ends(wanted)
        committed = self.group_offsets(group)
        return [Lag(*tp, committed.get(tp), ends[tp]) for tp in wanted if tp in ends]

    def group_offsets(self, group: str) -> dict[Partition, int]:
        """Return what *group* has published. For displays: positions are in the database."""
        try:
            return {tp: at.offset for tp, at in self.committed(group).items()}
        except CoordinatorNotAvailableError:
            return {}

    def committed(self, group: str) -> dict[Partition, Committed]:
        """Return what *group* has committed; raise where its coordinator cannot say now."""
        try:
            offsets = self._call("list_group_offsets", group)[group]
        except GroupIdNotFoundError:
            return {}
        return {
            (tp.topic, tp.partition): Committed(at.offset, from_metadata(at.metadata))
            for tp, at in offsets.items()
            if at.offset >= 0
        }

    def publish_group_offsets(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Set the offsets that lag displays show; only while *group* has no running member."""
        self.publish_committed(group, {tp: Committed(at) for tp, at in offsets.items()})

    def publish_committed(self, group: str, told: Mapping[Partition, Committed]) -> None:
        """Set what *group* has committed, with what was written by then.

        Raises UnknownMemberIdError while it has a running member.
        """
        wanted = {
            TopicPartition(*tp): OffsetAndMetadata(
                at.offset, to_metadata(at.written) if at.written else "", -1
            )
            for tp, at in told.items()
        }
        for error in self._call("alter_group_offsets", group, wanted).values():
            if error.errno != 0:
                raise error

    def _described(self, names: Iterable[str]) -> list[Any]:
        found = self._call("describe_topics", sorted(names))
        return [topic for topic in found if topic["error_code"] == 0 and topic["partitions"]]

    def _led(self, partitions: Iterable[Partition]) -> list[Partition]:
        """Return those of *partitions* that somebody can be asked about."""
        wanted = set(partitions)
        led = {
            (topic["name"], partition["partition_index"])
            for topic in self._described({topic for topic, _ in wanted})
            for partition in topic["partitions"]
            if partition["leader_id"] >= 0
        }
        return sorted(wanted & led)

    def _offsets(
        self, partitions: list[Partition], spec: int, isolation: int
    ) -> dict[Partition, int]:
        if not partitions:
            return {}
        specs = {TopicPartition(*tp): spec for tp in partitions}
        found = self._call("list_partition_offsets", specs, isolation_level=isolation)
        return {(tp.topic, tp.partition): at.offset for tp, at in found.items()}

    def _connect(self, patience: float = _PATIENCE) -> Any:  # noqa: ANN401 - kafka-python is not typed
        deadline = time.monotonic() + patience
        if self._client is None:
            self._client = KafkaAdminClient(
                client_id="facetally-admin",
                request_timeout_ms=_REQUEST_MS,
                bootstrap_timeout_ms=max(1, int((deadline - time.monotonic()) * 1000)),
                **self._connection.for_kafka_python(),
            )
        return self._client

    def _call(self, method: str, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Call the client; after an error of the connection a new one is made next time."""
        try:
            return getattr(self._connect(), method)(*args, **kwargs)
        except TopicAlreadyExistsError:
            raise
        except (KafkaError, OSError):
            self.close()
            raise
