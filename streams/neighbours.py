"""What the reader asks of its neighbours: the transport, the threads, Kafka's admin client."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from monitor.intake import TopicSeen
from streams.placing import Committed, Span
from streams.transport import Partition

T = TypeVar("T")


class Consumer(Protocol):
    """What the reader asks of the transport."""

    async def place(self, places: Mapping[Partition, tuple[int, int]]) -> set[Partition]:
        """Read each partition from ``(epoch, offset)``; return those we no longer own."""

    async def unplace(self, partitions: Iterable[Partition] | None = None) -> None:
        """Stop fetching."""

    async def publish(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        """Publish group offsets with a word on what was written; failing is no error."""


class Threads(Protocol):
    """Runs blocking work, one piece at a time."""

    async def keeper(self, work: Callable[[], T]) -> T:
        """Run in the thread that has the database."""

    async def admin(self, work: Callable[[], T]) -> T:
        """Run in the thread that has the admin client."""


class Spans(Protocol):
    """Looks up partitions (``Admin.spans``)."""

    def spans(self, partitions: Iterable[Partition]) -> dict[Partition, Span]:
        """Return topic id, first offset and high watermark of those that exist."""

    def topics(self, names: Iterable[str]) -> list[TopicSeen]:
        """Describe those of *names* that exist."""

    def committed(self, group: str) -> Mapping[Partition, Committed]:
        """Return what *group* has committed."""
