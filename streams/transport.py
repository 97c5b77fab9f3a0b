"""A Faust transport that delivers fetches instead of records.

Faust pays two asyncio tasks and an event per message, so one message here is everything that one
fetch brought for one partition. What else differs from the aiokafka driver it is built on:

- Nothing is fetched before the reader has said from which offset (``seek``): the group's own
  committed offsets are for displays and checks, and are never read from.
- Each fetch says where it began and where it ended. Aborted transactions and markers leave holes
  in the offsets and sometimes fetch nothing at all; the end is past them.
- An offset that is out of range is told to the reader, who knows what that means; aiokafka would
  silently go to one end of the log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, AppT, ConsumerMessage

from monitor.facts import Instant

log = logging.getLogger(__name__)

# Faust's services log under the name of the module of their class: ours would speak for Faust.
FAUST_LOG = logging.getLogger("faust.facetally")

Partition = tuple[str, int]
T = TypeVar("T")

FETCH_WAIT_MS = 100  # a partition not in the fetch that is under way waits this long for the next
POLL_SECONDS = 0.2
_LOG_APPEND_TIME = 1


class KafkaRecord(Protocol):
    """The part of aiokafka's ConsumerRecord that is read here."""

    offset: int
    timestamp: int
    timestamp_type: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    serialized_key_size: int
    serialized_value_size: int


@dataclass(frozen=True, slots=True, repr=False)
class Fetched:
    """What one fetch brought from one partition: its offsets *start* up to *end*.

    *epoch* is the seek that it follows; a fetch of an older epoch must not be kept. *dated_at* is
    the broker's clock, where that dates records: the latest of these, microseconds UTC.
    """

    partition: Partition
    epoch: int
    start: int
    end: int
    records: Sequence[KafkaRecord]
    read_at: Instant
    dated_at: Instant | None = None

    @property
    def size(self) -> int:
        """Bytes of keys and values."""
        return sum(
            max(r.serialized_key_size, 0) + max(r.serialized_value_size, 0) for r in self.records
        )

    def __repr__(self) -> str:
        """Tell coordinates only: Faust logs what it skips, and no record may get into a log."""
        return f"<Fetched {self.partition[0]}-{self.partition[1]} {self.start}..{self.end}>"


class Listener(Protocol):
    """Who decides from where to read, called on the event loop of the app."""

    def assigned(self, partitions: Iterable[Partition]) -> None:
        """Take these partitions, and no others: every earlier fetch is void."""

    def revoked(self) -> None:
        """Let go of all partitions."""

    def lost(self, partitions: Iterable[Partition]) -> None:
        """Look again where to read these: the broker has no record at the position."""

    def now(self) -> Instant:
        """Return our clock."""


class IntakeApp(Protocol):
    """What the transport needs of the app beside Faust's own interface."""

    listener: Listener


class _Cursor:
    """Where the next fetch of a partition begins, and the seek it follows."""

    __slots__ = ("epoch", "offset")

    def __init__(self, epoch: int, offset: int) -> None:
        self.epoch = epoch
        self.offset = offset


class _Thread(driver.AIOKafkaConsumerThread):
    """aiokafka's consumer in its own thread; cursors are touched in that thread only."""

    logger = FAUST_LOG

    def __post_init__(self) -> None:
        super().__post_init__()
        self._cursors: dict[Partition, _Cursor] = {}
        self._error = ""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:  # noqa: ANN401 - the driver's class
        conf = self.app.conf
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int((conf.broker_max_poll_interval or 0) * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            check_crcs=conf.broker_check_crcs,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
            connections_max_idle_ms=conf.consumer_connections_max_idle_ms,
            **driver.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    async def in_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* in the consumer's thread without queueing behind a fetch."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.thread_loop))

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        """Seek each partition to its ``(epoch, offset)``; return those that we no longer own."""
        consumer, gone = self._ensure_consumer(), set()
        for partition, (epoch, offset) in places.items():
            try:
                consumer.seek(aiokafka.TopicPartition(*partition), offset)
            except IllegalStateError:
                gone.add(partition)
            else:
                self._cursors[partition] = _Cursor(epoch, offset)
        return gone

    async def unplace(self, partitions: Iterable[Partition] | None) -> None:
        """Stop fetching *partitions*, or all of them."""
        for partition in list(self._cursors) if partitions is None else partitions:
            self._cursors.pop(partition, None)

    async def publish(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        """Publish group offsets with *metadata*; failing is no error, it is done again."""
        at = {
            aiokafka.TopicPartition(*tp): aiokafka.structs.OffsetAndMetadata(offset, metadata)
            for tp, offset in offsets.items()
        }
        try:
            await self._ensure_consumer().commit(at)
        except KafkaError as exc:
            log.debug("group offsets not published: %s", type(exc).__name__)

    def failure(self) -> BaseException | None:
        """See ``Consumer.failure``; only looks, so any thread may ask."""
        coordinator = getattr(self._consumer, "_coordinator", None)
        if coordinator is None:
            return None
        waiting: BaseException | None = coordinator._pending_exception  # noqa: SLF001 - its own getmany raises it
        task = coordinator._coordination_task  # noqa: SLF001 - the same
        ended = task.exception() if task.done() and not task.cancelled() else None
        return waiting or ended

    async def poll(self, listener: Listener) -> tuple[list[Fetched], set[Partition]]:
        """Return the next fetches, and the partitions whose position has no record any more."""
        consumer = self._ensure_consumer()
        if consumer._closed or consumer._fetcher._closed:  # noqa: SLF001 - as the driver does
            raise ConsumerStoppedError
        wanted = self._fetchable(consumer)
        if not wanted or not self.consumer.flow_active:
            await asyncio.sleep(0.02)
            return [], set()
        try:
            brought = await self._brought(consumer, wanted)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as exc:
            named = exc.args[0] if exc.args and isinstance(exc.args[0], dict) else wanted
            return [], {(tp.topic, tp.partition) for tp in named}
        except ConsumerStoppedError:
            raise
        except KafkaError as exc:
            await self._stall(type(exc).__name__)
            return [], set()
        self._error = ""
        return self._advance(consumer, wanted, brought, listener.now()), set()

    def _fetchable(self, consumer: aiokafka.AIOKafkaConsumer) -> set[aiokafka.TopicPartition]:
        placed = {aiokafka.TopicPartition(*partition) for partition in self._cursors}
        return {tp for tp in placed if tp in consumer.assignment()}

    @staticmethod
    async def _brought(
        consumer: aiokafka.AIOKafkaConsumer, wanted: set[aiokafka.TopicPartition]
    ) -> Mapping[Any, Sequence[KafkaRecord]]:
        fetcher = consumer._fetcher  # noqa: SLF001 - as the driver does
        with fetcher._subscriptions.fetch_context():  # noqa: SLF001
            brought = await fetcher.fetched_records(
                wanted,
                timeout=POLL_SECONDS,
                max_records=consumer._max_poll_records,  # noqa: SLF001
            )
        return cast("Mapping[Any, Sequence[KafkaRecord]]", brought)

    async def _stall(self, error: str) -> None:
        if error != self._error:
            log.error("cannot fetch from Kafka (%s): trying again", error)
            self._error = error
        await asyncio.sleep(1.0)

    def _advance(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        wanted: set[aiokafka.TopicPartition],
        brought: Mapping[Any, Sequence[KafkaRecord]],
        now: Instant,
    ) -> list[Fetched]:
        """Move the cursors to where aiokafka is; no await, so that both are of one moment."""
        fetches = []
        subscription = consumer._subscription.subscription  # noqa: SLF001
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None:
            return []
        for tp in wanted:
            partition = (tp.topic, tp.partition)
            cursor, state = self._cursors.get(partition), assignment.state_value(tp)
            if cursor is None or state is None or not state.has_valid_position:
                continue
            if state.position != cursor.offset:
                records = brought.get(tp, ())
                where = (cursor.offset, state.position)
                dated_at = _dated_at(records)
                fetches.append(Fetched(partition, cursor.epoch, *where, records, now, dated_at))
                cursor.offset = state.position
        return fetches


def _dated_at(records: Sequence[KafkaRecord]) -> Instant | None:
    """Return the latest time of *records* by the broker's clock, None where it dates none."""
    by_broker = (one.timestamp for one in records if one.timestamp_type == _LOG_APPEND_TIME)
    latest = max(by_broker, default=None)
    return None if latest is None else latest * 1_000


class Consumer(driver.Consumer):
    """Yields one message per partition and fetch, its value a ``Fetched``."""

    logger = FAUST_LOG
    _thread: _Thread

    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def failure(self) -> BaseException | None:
        """Why we are no member of the group any more and shall never be; None while we may be.

        The broker refused us for a reason that the client does not try again by itself: a
        stranger in the group, another process under our name. Only a new app joins again.
        """
        return self._thread.failure()

    @property
    def _listener(self) -> Listener:
        return cast("IntakeApp", self.app).listener

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ARG002, ASYNC109 - Faust's
        """Yield what the next fetch brought; *timeout* is Faust's and is not used."""
        if not self.flow_active:
            await self.can_resume_flow.wait()
        if self.should_stop:
            return
        generation = self.app.consumer_generation_id
        fetches, lost = await self._thread.in_thread(self._thread.poll(self._listener))
        if lost:
            await self.unplace(lost)
            self._listener.lost(lost)
        for fetched in fetches:
            if not self.flow_active or generation != self.app.consumer_generation_id:
                return  # the reader is about to be told of a new assignment and seeks again
            tp = TP(*fetched.partition)
            # Faust drops what lies before the last offset it saw; seeking back is our business.
            self._read_offset[tp] = None
            yield tp, self._message(tp, fetched, generation)

    def _message(self, tp: TP, fetched: Fetched, generation: int) -> ConsumerMessage:
        # The first offset: with the last one Faust's gap accounting would acknowledge the batch.
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            fetched.start,
            0.0,
            0,
            [],
            None,
            cast("bytes", fetched),  # Faust passes a value on without looking into it
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        """Read each partition from ``(epoch, offset)``; return those that we no longer own."""
        return await self._thread.in_thread(self._thread.place(places))

    async def unplace(self, partitions: Iterable[Partition] | None = None) -> None:
        """Stop fetching *partitions*, or all of them."""
        await self._thread.in_thread(self._thread.unplace(partitions))

    async def publish(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        """Publish group offsets: for lag displays, and to notice a database that is put back."""
        await self._thread.in_thread(self._thread.publish(offsets, metadata))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Leave the positions to the reader, who was told of the assignment.

        It seeks to the positions in the database as soon as that answers, and nothing is fetched
        before. Waiting for it here would tie the group's timeouts to the database.
        """
        return {}

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Void what was read, then let Faust clear its buffers."""
        self._listener.revoked()
        await self.unplace()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let Faust set up its streams, then have the reader look up where to read.

        It is said first: what comes after it asks the database, which may take its time.
        """
        log.info("assigned %d partitions: looking up where to read", len(assigned))
        await super().on_partitions_assigned(assigned, generation_id)
        await self.unplace()
        self._listener.assigned((tp.topic, tp.partition) for tp in assigned)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust's livelock detector knows messages, not fetches."""


class Transport(driver.Transport):
    """The aiokafka driver with our consumer."""

    Consumer = Consumer


def consumer_of(app: AppT) -> Consumer:
    """Return the consumer of an app that has this transport."""
    return cast("Consumer", app.consumer)
