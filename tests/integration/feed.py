"""A keeper with the positions of what it reads, and what became of it: for tests of reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime

from sqlalchemy import Engine

from monitor.facts import Fact, Instant, StorageFact
from monitor.intake import EndSeen, TopicSeen
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from tests.builders import ACME, ANN, BOB, enrolled
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    SECOND,
    TOPIC,
    batch,
    duties,
    keeper,
    now_status,
    one_topic,
    policy,
)

DAY: Instant = 24 * 60 * MINUTE
POLICY = policy(2)


def on(day: str) -> Instant:
    """Return noon UTC of a day, which is the same day in Beijing."""
    return int(datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()) * SECOND


MARCH_2 = on("2026-03-02")


class Feed:
    """A keeper and the positions of what it reads; ticks look back whenever that is due."""

    def __init__(
        self,
        engine: Engine,
        feeding: Callable[[str], Iterable[str]] = one_topic,
        chosen: Policy = POLICY,
        partitions: int = 2,
    ) -> None:
        self._engine, self._feeding, self._policy = engine, feeding, chosen
        self.keeper: SqlKeeper = keeper(engine, chosen, feeding)
        self._offsets: dict[tuple[str, int], int] = {}
        if partitions:
            self.keeper.topics([TopicSeen(TOPIC, "id", partitions)])

    def read(
        self, partition: int, facts: Sequence[Fact], now: Instant = NOW, topic: str = TOPIC
    ) -> None:
        """Keep *facts* of a partition; its instant is that of the newest of them."""
        expected = self._offsets.get((topic, partition))
        following = (expected or 0) + len(facts)
        one = batch(
            facts,
            move=(partition, expected, following),
            read_at=now,
            instant=max(fact.at for fact in facts),
            topic=topic,
        )
        self.keeper.keep([one])
        self._offsets[topic, partition] = following

    def at_end(
        self, partition: int, looked_at: Instant, topic: str = TOPIC, moment: int | None = None
    ) -> None:
        """Find the end where the position is, looked up at this *moment*, or now."""
        end = self._offsets.get((topic, partition), 0)
        asked = self.keeper.moment() if moment is None else moment
        self.keeper.ends([EndSeen(topic, partition, end, looked_at, asked)])

    def tick(self, now: Instant) -> None:
        """Tick as a keeper does that has not looked back for a while."""
        self.keeper = keeper(self._engine, self._policy, self._feeding)
        self.keeper.tick(now)


def days(engine: Engine) -> list[tuple[str, date]]:
    return [(duty.rule, duty.trigger_day) for duty in duties(engine)]


def standing(engine: Engine) -> str:
    """Return how the one threshold of ``acme`` stands."""
    shown = now_status(engine, POLICY.rules).processors
    (reach,) = (t.reach for one in shown if one.processor == ACME for t in one.thresholds)
    if reach.trigger_at is None:
        return "no"
    return "pending" if reach.pending else "yes"


TWO = [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 1)]


def confirmed(engine: Engine, facts: Sequence[StorageFact], chosen: Policy = POLICY) -> Feed:
    """Return a feed of one partition in which *facts* were read, to its end, and confirmed."""
    feed = Feed(engine, chosen=chosen, partitions=1)
    feed.read(0, facts)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)
    return feed
