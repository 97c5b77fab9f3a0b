"""Sends the stories of the estate to Kafka: all backlogs at once, then live, as time goes by.

Remembers what was sent, and nothing of what facetally made of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from deploy.demo.estate import Delivery, Site, Story
from deploy.demo.happenings import Happening, Micros
from streams.connection import Connection
from streams.publish import Outgoing, publish


class Feed:
    """One thread per story; ``check`` raises what one of them raised."""

    def __init__(
        self, connection: Connection, stories: Sequence[Story], clock: Callable[[], Micros]
    ) -> None:
        self._connection, self._stories, self._clock = connection, stories, clock
        self._stopping = threading.Event()
        self._backlogs = threading.Barrier(len(stories), action=self._go_live)
        self._began: Micros = 0
        self._errors: list[Exception] = []
        self._sent: dict[str, list[Happening]] = {s.site.processor: [] for s in stories}
        self._records = dict.fromkeys(self._sent, 0)
        self._threads = [
            threading.Thread(target=self._run, args=(story,), name=story.site.topic, daemon=True)
            for story in stories
        ]
        self.first_at: float | None = None

    @property
    def live(self) -> bool:
        """Whether the backlogs have been sent."""
        return self._began > 0

    @property
    def records(self) -> int:
        """How many records have been sent, those that say nothing included."""
        return sum(self._records.values())

    def sent(self) -> Mapping[Site, Sequence[Happening]]:
        """Return what was told of each site. Only after ``stop``."""
        return {story.site: self._sent[story.site.processor] for story in self._stories}

    def start(self) -> None:
        """Begin with the backlogs; ``first_at`` is then the time (monotonic) of the first event."""
        self.first_at = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self, patience: float) -> None:
        """Send nothing more; return when Kafka has all that was sent, or after *patience* s."""
        self._stopping.set()
        self._backlogs.abort()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(patience)

    def check(self) -> None:
        """Raise the first error that stopped a thread."""
        for error in self._errors:
            raise error

    def _run(self, story: Story) -> None:
        topic = story.site.topic
        try:
            publish(self._connection, topic, self._paced(story, story.backlog(self._clock())))
            self._backlogs.wait()
            publish(self._connection, topic, self._paced(story, story.live(self._began)))
        except threading.BrokenBarrierError:
            return
        except Exception as exc:  # noqa: BLE001 - handed to the main thread
            self._errors.append(exc)
            self._backlogs.abort()

    def _go_live(self) -> None:
        self._began = self._clock()

    def _paced(self, story: Story, deliveries: Iterable[Delivery]) -> Iterator[Outgoing]:
        processor = story.site.processor
        sent = self._sent[processor]
        for delivery in deliveries:
            wait = (delivery.due - self._clock()) / 1e6 if delivery.due else 0.0
            if self._stopping.wait(wait) if wait > 0 else self._stopping.is_set():
                return
            if delivery.happening is not None:
                sent.append(delivery.happening)
            self._records[processor] += 1
            yield Outgoing(*delivery.sent)
