"""Sends the stories of the estate to Kafka: all backlogs at once, then live, as time goes by.

Remembers what was sent, and nothing of what facetally made of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from deploy.demo.estate import Delivery, Site, Story
from deploy.demo.happenings import Happening, Micros
from streams.connection import Connection
from streams.publish import Outgoing, publish


class Feed:
    """One thread for the backlogs, then one per story; ``check`` raises what one of them raised.

    The backlogs are written up in the background from the first moment on, so that sending them
    is all that is left to do when the worker is ready.
    """

    def __init__(
        self, connection: Connection, stories: Sequence[Story], clock: Callable[[], Micros]
    ) -> None:
        self._connection, self._stories, self._clock = connection, stories, clock
        self._stopping, self._caught_up = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._backlogs: list[list[Delivery]] = []
        self._sent: dict[str, list[Happening]] = {s.site.topic: [] for s in stories}
        self._writing = self._thread(self._write_up, "backlog")
        self._threads: list[threading.Thread] = []
        self._records = dict.fromkeys(self._sent, 0)
        self.waiting, self.live = False, False
        self._writing.start()

    def sent(self) -> Mapping[Site, Sequence[Happening]]:
        """Return what was told of each site. Only after ``stop``."""
        return {story.site: self._sent[story.site.topic] for story in self._stories}

    @property
    def records(self) -> int:
        """How many records have been sent, those that tell nothing included."""
        return sum(self._records.values())

    def go_live(self) -> None:
        """Go on: the backlog has been read. Until then the feed is ``waiting``."""
        self._caught_up.set()

    def start(self) -> None:
        """Send the first event, and all others after it."""
        self._writing.join()
        self._threads = [self._thread(self._run, "feed")]
        self._threads[0].start()

    def stop(self, patience: float) -> None:
        """Send nothing more; return when Kafka has all that was sent, or after *patience* s."""
        self._stopping.set()
        self._caught_up.set()
        for thread in self._threads:
            thread.join(patience)

    def check(self) -> None:
        """Raise the first error that stopped a thread."""
        if self._error is not None:
            raise self._error

    def _thread(self, work: Callable[..., None], name: str, *args: object) -> threading.Thread:
        def run() -> None:
            try:
                work(*args)
            except Exception as exc:  # noqa: BLE001 - handed to the main thread
                self._error = exc

        return threading.Thread(target=run, name=name, daemon=True)

    def _write_up(self) -> None:
        now = self._clock()
        self._backlogs = [list(story.backlog(now)) for story in self._stories]

    def _run(self) -> None:
        # One after the other, the short ones first: together they would only be in each other's
        # way, and the small processors would be seen to grow last.
        for story, backlog in sorted(
            zip(self._stories, self._backlogs, strict=True), key=lambda pair: len(pair[1])
        ):
            self._publish(story, backlog)
            backlog.clear()
        self.waiting = True
        self._caught_up.wait()
        self.live, began = True, self._clock()
        lives = [self._thread(self._publish, s.site.topic, s, s.live(began)) for s in self._stories]
        for thread in lives:
            thread.start()
        for thread in lives:
            thread.join()

    def _publish(self, story: Story, deliveries: Iterable[Delivery]) -> None:
        publish(self._connection, story.site.topic, self._paced(story, deliveries))

    def _paced(self, story: Story, deliveries: Iterable[Delivery]) -> Iterator[Outgoing]:
        sent = self._sent[story.site.topic]
        for delivery in deliveries:
            wait = (delivery.due - self._clock()) / 1e6 if delivery.due else 0.0
            if self._stopping.wait(wait) if wait > 0 else self._stopping.is_set():
                return
            if delivery.happening is not None:
                sent.append(delivery.happening)
            self._records[story.site.topic] += 1
            yield Outgoing(*delivery.sent)
