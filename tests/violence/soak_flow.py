"""Publishes the endless events as fast as they are kept, whatever happens to the brokers."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Self

from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from streams.publish import Outgoing
from tests.acceptance.running import Stored
from tests.publishing import publish_quickly
from tests.services.kafka import Kafka
from tests.violence.soak_source import Source

PIECE = 5_000
BACKLOG = 60_000  # records that are published and not kept: more would only fill the disk


class Flow:
    """A thread that publishes until the block ends; ``hold`` stops it at a piece's end."""

    def __init__(
        self,
        kafka: Kafka,
        topics: Mapping[str, str],
        partitions: Mapping[str, int],
        source: Source,
        stored: Stored,
    ) -> None:
        """Publish to *topics*, by codec, over the *partitions* that each has at the time."""
        self._kafka, self._topics, self._partitions = kafka, topics, partitions
        self._source, self._stored = source, stored
        self._flowing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._errors: list[BaseException] = []
        self.again = 0
        """How often a piece was begun again because Kafka did not take it."""

    def __enter__(self) -> Self:
        self._put(self._source.beginning())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def hold(self) -> None:
        """Publish what was kept back, and then nothing until ``go_on``."""
        self._flowing.acquire()
        assert not self._errors, self._errors
        self._put(self._source.rest())

    def go_on(self) -> None:
        self._flowing.release()

    def end(self) -> None:
        """Instead of ``go_on``: nothing more comes."""
        self._over.set()
        self._flowing.release()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                with self._flowing:
                    busy = not self._over.is_set() and self._behind() < BACKLOG
                    if busy:
                        self._put(self._source.piece(PIECE))
                time.sleep(0.01 if busy else 0.2)  # who wants to hold us gets the lock
        except BaseException as exc:  # noqa: BLE001 - told to who holds us next
            self._errors.append(exc)

    def _behind(self) -> int:
        try:
            return self._source.records - self._stored.records()
        except SQLAlchemyError:  # the database is away
            return BACKLOG

    def _put(self, pieces: Mapping[str, Sequence[Outgoing]]) -> None:
        for codec, records in pieces.items():
            while not self._over.is_set():
                try:
                    topic = self._topics[codec]
                    publish_quickly(
                        self._kafka.bootstrap,
                        topic,
                        records,
                        partitions=self._partitions[topic],
                        codec=codec,
                    )
                except KafkaError:
                    self.again += 1
                    time.sleep(0.5)
                else:
                    break
