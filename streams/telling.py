"""What a worker tells about itself: to the log, and to whoever counts (metrics).

The text of an error is never logged: a database driver's quotes statements and parameters. Its
type and the place where it was raised are enough to act on.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from monitor.facts import Instant

log = logging.getLogger(__name__)

Partition = tuple[str, int]
KEEPER, ADMIN = THREADS = ("keeper", "kafka-admin")
"""The threads of a worker that ask others: the database, and the brokers."""


class Observer(Protocol):
    """Told of what happens in the reading loop; must not block or raise."""

    def kept(self, records: int, microseconds: int) -> None:
        """One transaction kept so many records in so much time."""

    def retrying(self, doing: str, error: Exception) -> None:
        """Something failed and is tried again: ``keeping``, ``positions``, ``decoding``, ..."""

    def held(self, partition: Partition, error: Exception) -> None:
        """Tell of a stopped partition (LogWentBack, TooManyRejects): it needs a person."""

    def position_moved(self, partitions: Sequence[Partition]) -> None:
        """Another worker had kept these already; they are read again from where it got to."""

    def lag(self, records: Mapping[Partition, int], stopped: Collection[Partition]) -> None:
        """Tell how many offsets each owned partition is behind its end, and which are stopped.

        One that is tried again counts as stopped until something of it is kept.
        """

    def turned(self, thread: str, now: Instant) -> None:
        """Tell about once a second that *thread* (of ``THREADS``) is not held up by a call."""


class Logged:
    """An observer that only logs."""

    def kept(self, records: int, microseconds: int) -> None:
        """Say so at debug level."""
        log.debug("kept %d records in %.3f s", records, microseconds / 1e6)

    def retrying(self, doing: str, error: Exception) -> None:
        """Warn, with the place of the error."""
        log.warning("%s failed, trying again: %s", doing, where_from(error))

    def held(self, partition: Partition, error: Exception) -> None:
        """Log an error that names the partition."""
        log.error("%s-%d is stopped: %s", *partition, type(error).__name__)

    def position_moved(self, partitions: Sequence[Partition]) -> None:
        """Say which."""
        names = ", ".join(f"{topic}-{partition}" for topic, partition in partitions)
        log.info("another worker has moved on %s: reading the position again", names)

    def lag(
        self,
        records: Mapping[Partition, int],
        stopped: Collection[Partition],  # noqa: ARG002 - held() has logged each
    ) -> None:
        """Say so at debug level."""
        log.debug("behind by %d records", sum(records.values()))

    def turned(self, thread: str, now: Instant) -> None:
        """Say nothing: it is for who looks from outside."""


def where_from(error: BaseException) -> str:
    """Return types and place of *error* and its cause, without their texts."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    cause = error.__cause__
    return f"{type(error).__name__}{place}" + (f" from {where_from(cause)}" if cause else "")
