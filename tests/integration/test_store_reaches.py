"""Reaches and their duties: pending until no partition can change them, moved by late facts.

Two partitions of one topic feed the processor unless a test says otherwise. A batch passes its
partition's instant; ``ends`` say that reading had got to the end. Clocks are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Engine

from monitor.facts import Changed, Fact, Instant, Linked, StorageFact, Terminated, Version
from monitor.history import look_back
from monitor.intake import EndSeen, Gap, GapReason, TopicSeen
from monitor.rules import SHIPPED, with_overrides
from monitor.store import looking as looking_back
from monitor.store.keeper import SqlKeeper
from monitor.store.keeping import Policy
from monitor.store.looking import Looking
from monitor.store.names import Registry
from tests.builders import ACME, ANN, BOB, CY, enrolled, subject_removed
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    SECOND,
    TOPIC,
    batch,
    differences,
    duties,
    keeper,
    notices,
    now_status,
    one_topic,
    policy,
    postgres_engine,
    rows,
    sqlite_engine,
)

DAY: Instant = 24 * 60 * MINUTE
POLICY = policy(2)


def on(day: str) -> Instant:
    """Return noon UTC of a day, which is the same day in Beijing."""
    return int(datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=UTC).timestamp()) * SECOND


MARCH_2 = on("2026-03-02")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with sqlite_engine(tmp_path) as made:
        yield made


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    with postgres_engine(postgres_url) as made:
        yield made


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

    def at_end(self, partition: int, looked_at: Instant, topic: str = TOPIC) -> None:
        end = self._offsets.get((topic, partition), 0)
        self.keeper.ends([EndSeen(topic, partition, end, looked_at)])

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


# -- confirmed or not ------------------------------------------------------------------------


def test_a_moment_that_never_existed_opens_no_duty(engine: Engine) -> None:
    """The removal between the two enrolments lies in a partition that lags."""
    feed = Feed(engine)
    feed.read(0, [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 20)])
    feed.tick(NOW)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.read(1, [subject_removed(ANN, MARCH_2 + 10), subject_removed(CY, MARCH_2 + 30)])
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)
    feed.keeper.finish(NOW + 3)

    assert (standing(engine), days(engine), notices(engine, "duty_opened")) == ("no", [], [])


def test_a_reach_that_every_partition_has_passed_opens_its_duty(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2 + 1)])
    feed.tick(NOW)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.read(1, [enrolled(ANN, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "yes"
    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert len(notices(engine, "duty_opened")) == 1


def test_a_partition_at_its_end_is_waited_for_no_longer(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.at_end(1, NOW + 1)
    feed.tick(NOW + 2)

    assert standing(engine) == "yes"


@pytest.mark.parametrize("looked_at", [NOW - 1, NOW])
def test_an_end_looked_up_before_the_reach_was_seen_proves_nothing(
    engine: Engine, looked_at: Instant
) -> None:
    feed = Feed(engine)
    feed.at_end(1, looked_at)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.at_end(1, looked_at)
    feed.tick(NOW + 2)

    assert standing(engine) == "pending"


def test_an_end_that_was_not_read_to_is_none(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2)])
    feed.keeper.ends([EndSeen(TOPIC, 1, 2, NOW + 1)])
    feed.tick(NOW + 2)

    assert standing(engine) == "pending"


def test_partitions_that_nobody_has_described_yet_are_waited_for(engine: Engine) -> None:
    feed = Feed(engine, partitions=0)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"
    feed.keeper.topics([TopicSeen(TOPIC, "id", 1)])
    feed.tick(NOW)

    assert standing(engine) == "yes"


def test_a_partition_added_to_the_topic_is_waited_for(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.keeper.topics([TopicSeen(TOPIC, "id", 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"


def test_a_second_topic_that_can_feed_the_processor_is_waited_for(engine: Engine) -> None:
    feed = Feed(engine, lambda _: (TOPIC, "cameras"), partitions=1)
    feed.keeper.topics([TopicSeen("cameras", "id", 1)])
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "pending"
    feed.at_end(0, NOW + 1, topic="cameras")
    feed.tick(NOW + 2)

    assert standing(engine) == "yes"


def test_a_topic_restricted_to_other_processors_is_not_waited_for(engine: Engine) -> None:
    feed = Feed(
        engine, lambda processor: (TOPIC,) if processor == ACME else ("cameras",), partitions=1
    )
    feed.keeper.topics([TopicSeen("cameras", "id", 1)])
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.tick(NOW)

    assert standing(engine) == "yes"


def test_after_a_gap_what_a_partition_had_passed_no_longer_counts(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(1, [enrolled(CY, MARCH_2 + 5)])
    feed.at_end(1, NOW + 1)
    feed.keeper.gap(Gap(TOPIC, 1, "new", GapReason.RECREATED, 1, 0, NOW + 2))
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 6)])
    feed.tick(NOW + 3)

    assert standing(engine) == "pending"


def test_an_unconfirmed_reach_is_paged_once_after_fifteen_minutes(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    paged = []
    for minutes in (14, 15, 16, 60):
        feed.tick(NOW + minutes * MINUTE)
        paged.append(len(notices(engine, "reach_unconfirmed")))

    assert paged == [0, 1, 1, 1]
    assert (standing(engine), days(engine)) == ("pending", [])


def test_a_reach_that_waits_for_a_recount_is_paged_as_late_all_the_same(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, enrolled(CY, MARCH_2 + 2)])
    feed.read(1, [enrolled(ANN, MARCH_2 - 5)])
    names = Registry(engine, POLICY.marks).names
    Looking(engine, POLICY, one_topic).confirm(names, NOW + 16 * MINUTE)

    assert now_status(engine, POLICY.rules).processors[0].recount_pending
    assert len(notices(engine, "reach_unconfirmed")) == 1


def test_a_pending_reach_that_moves_to_a_later_instant_needs_ends_looked_up_since(
    engine: Engine,
) -> None:
    """An end that was looked up for the earlier instant may be older than what raised the later."""
    feed = Feed(engine, partitions=3)
    feed.read(0, [enrolled(ANN, MARCH_2), enrolled(BOB, MARCH_2 + 10)])
    feed.at_end(1, NOW + 1)
    feed.read(0, [enrolled(CY, MARCH_2 + 50), enrolled(CY, MARCH_2 + 60)], NOW + 5)
    feed.read(2, [subject_removed(BOB, MARCH_2 + 10, 1), enrolled(CY, MARCH_2 + 70)], NOW + 6)
    feed.tick(NOW + 7)

    assert (standing(engine), days(engine)) == ("pending", [])
    feed.at_end(1, NOW + 8)
    feed.tick(NOW + 9)

    assert standing(engine) == "yes"


# -- late facts ------------------------------------------------------------------------------


def confirmed(engine: Engine, facts: Sequence[StorageFact], chosen: Policy = POLICY) -> Feed:
    """Return a feed of one partition in which *facts* were read, to its end, and confirmed."""
    feed = Feed(engine, chosen=chosen, partitions=1)
    feed.read(0, facts)
    feed.at_end(0, NOW + 1)
    feed.tick(NOW + 2)
    return feed


def test_a_late_fact_that_makes_the_reach_earlier_moves_the_duty_at_once(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [enrolled(CY, MARCH_2 - DAY)], NOW + 3)
    feed.tick(NOW + 4)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]  # ann and cy, still on the second
    feed.read(0, [enrolled(ANN, MARCH_2 - DAY)], NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2026, 3, 1))]
    assert len(notices(engine, "duty_moved")) == 1
    moved = [row.kind for row in rows(engine, "audit")]
    assert moved == ["duty.opened", "duty.moved"]


def test_a_late_fact_that_makes_the_reach_later_waits_for_a_person_once(engine: Engine) -> None:
    feed = confirmed(engine, [*TWO, enrolled(CY, MARCH_2 + 2 * DAY)])
    for sequence in (1, 2):
        feed.read(0, [subject_removed(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.tick(NOW + 4)

    assert days(engine) == [("frt.file", date(2026, 3, 2))]
    assert now_status(engine, POLICY.rules).processors[0].thresholds[0].reach.trigger_at == (
        MARCH_2 + 2 * DAY
    )
    assert len(notices(engine, "restatement_waits")) == 1


def test_a_reach_that_a_late_fact_takes_away_waits_for_a_person_once(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    for sequence in (1, 2):
        feed.read(0, [subject_removed(BOB, MARCH_2 + 1, sequence)], NOW + 3)
        feed.tick(NOW + 4)

    assert (standing(engine), days(engine)) == ("no", [("frt.file", date(2026, 3, 2))])
    assert len(notices(engine, "restatement_waits")) == 1


def test_a_reach_that_vanished_and_comes_again_earlier_moves_its_duty(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [subject_removed(BOB, MARCH_2 + 1, 1)], NOW + 3)
    feed.tick(NOW + 4)
    feed.read(0, [enrolled(CY, MARCH_2 - 3 * DAY), enrolled(ANN, MARCH_2 - 2 * DAY)], NOW + 5)
    feed.at_end(0, NOW + 6)
    feed.tick(NOW + 7)
    feed.tick(NOW + 8)

    assert (standing(engine), days(engine)) == ("yes", [("frt.file", date(2026, 2, 28))])


def test_a_pending_reach_moves_without_a_word(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, TWO)
    feed.read(0, [enrolled(CY, MARCH_2 - DAY), enrolled(ANN, MARCH_2 - DAY)], NOW + 1)
    feed.tick(NOW + 2)
    feed.read(0, [subject_removed(CY, MARCH_2 - DAY, 1)], NOW + 3)
    feed.tick(NOW + 4)

    assert (standing(engine), rows(engine, "notices"), rows(engine, "audit")) == ("pending", [], [])


def test_a_reach_before_the_rule_held_is_owed_under_the_legacy_row(engine: Engine) -> None:
    confirmed(engine, [enrolled(ANN, on("2025-05-01")), enrolled(BOB, on("2025-05-31"))])

    (duty,) = duties(engine)
    assert (duty.rule, duty.trigger_day) == ("frt.file.legacy", date(2025, 5, 31))
    assert duty.deadline.due_day == date(2025, 7, 14)


def test_a_late_fact_before_the_rule_held_turns_the_duty_into_the_legacy_one(
    engine: Engine,
) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [enrolled(ANN, on("2025-05-01")), enrolled(BOB, on("2025-05-31"))], NOW + 3)
    feed.tick(NOW + 4)

    (duty,) = duties(engine)
    assert (duty.rule, duty.deadline.due_day) == ("frt.file.legacy", date(2025, 7, 14))


def without_legacy() -> Policy:
    overrides = [{"id": "frt.file", "at_least": 2}, {"id": "frt.file.legacy", "enabled": False}]
    base = policy(2)
    return Policy(
        rules=with_overrides(SHIPPED, overrides),
        calendar=base.calendar,
        marks=base.marks,
        limit=base.limit,
    )


def test_a_reach_that_owed_nothing_may_owe_something_once_it_is_later(engine: Engine) -> None:
    early, late = on("2025-05-31"), on("2025-07-01")
    feed = confirmed(
        engine,
        [enrolled(ANN, early - 1), enrolled(BOB, early), enrolled(CY, late)],
        without_legacy(),
    )

    assert days(engine) == []
    feed.read(0, [subject_removed(BOB, early, 1)], NOW + 3)
    feed.tick(NOW + 4)
    feed.at_end(0, NOW + 5)
    feed.tick(NOW + 6)

    assert days(engine) == [("frt.file", date(2025, 7, 1))]


# -- facts that come in while we look back -----------------------------------------------------


class Interrupted(Looking):
    """A look back during which something else happens, between its read and its end."""

    def __init__(self, engine: Engine, meanwhile: Callable[[], None]) -> None:
        super().__init__(engine, POLICY, one_topic)
        self._meanwhile: Callable[[], None] | None = meanwhile

    def _finish(self, *arguments: object) -> bool:
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super()._finish(*arguments)  # type: ignore[arg-type]  # as they came


@pytest.mark.parametrize(
    "meanwhile",
    [
        [enrolled(CY, MARCH_2 - DAY), enrolled(ANN, MARCH_2 - DAY)],  # makes it earlier
        [subject_removed(ANN, MARCH_2 + 1, 1)],  # takes it away
        [enrolled(CY, MARCH_2 + DAY), subject_removed(CY, MARCH_2 + 2 * DAY)],  # changes nothing
        [Linked(ACME, BOB, ANN, Version(MARCH_2, 0, 0), MARCH_2)],  # makes two to one
    ],
    ids=["earlier", "gone", "same", "linked"],
)
@pytest.mark.parametrize("first", [TWO[:1], TWO], ids=["below", "reached"])
def test_what_comes_in_while_we_look_back_is_not_missed(
    engine: Engine, first: list[StorageFact], meanwhile: list[StorageFact]
) -> None:
    feed = Feed(engine)
    feed.read(0, first)
    late: list[StorageFact] = [
        enrolled(ANN, MARCH_2 - 5),
        enrolled(BOB, MARCH_2 - 4),
        subject_removed(BOB, MARCH_2),
    ]
    feed.read(0, late, NOW + 1)
    names = Registry(engine, POLICY.marks).names
    looking = Interrupted(engine, lambda: feed.read(1, meanwhile, NOW + 2))
    looking.recount(names, ACME, NOW + 3)
    feed.keeper.finish(NOW + 4)

    assert differences(engine, [*first, *late, *meanwhile], POLICY) == []


def test_two_workers_do_not_look_back_on_one_processor_at_once(postgresql: Engine) -> None:
    """The second would take what came in during the first look for its own, and the first win."""
    feed = Feed(postgresql)
    late: list[StorageFact] = [
        enrolled(ANN, MARCH_2),
        subject_removed(ANN, MARCH_2 + 1),
        enrolled(BOB, MARCH_2 - 1),
    ]
    meanwhile = [enrolled(CY, MARCH_2 - DAY), enrolled(BOB, MARCH_2 - DAY)]
    for fact in late:
        feed.read(0, [fact])
    names = Registry(postgresql, POLICY.marks).names
    outcome: list[bool] = []

    def second_worker() -> None:
        feed.read(1, meanwhile, NOW + 2)
        outcome.append(Looking(postgresql, POLICY, one_topic).recount(names, ACME, NOW + 2))

    Interrupted(postgresql, second_worker).recount(names, ACME, NOW + 3)
    keeper(postgresql, POLICY).finish(NOW + 4)

    assert outcome == [False]
    assert differences(postgresql, [*late, *meanwhile], POLICY) == []


def test_batches_come_in_while_the_book_is_read(
    postgresql: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer keeps on, in a thread of its own, for as long as the look back takes."""
    feed = Feed(postgresql)
    facts: list[StorageFact] = [*TWO, subject_removed(BOB, MARCH_2 + 2)]
    feed.read(0, facts)
    extra = [enrolled(CY, MARCH_2 - n) for n in range(1, 9)] + [enrolled(ANN, MARCH_2 - 9)]
    feed.read(0, [extra[0]])
    reading, written = Event(), Event()

    def write() -> None:
        reading.wait(10)
        for fact in extra[1:]:
            feed.read(1, [fact], NOW + 2)
        written.set()

    def slow(*arguments: object) -> object:
        reading.set()
        written.wait(10)
        return look_back(*arguments)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(looking_back, "look_back", slow)
    writer = Thread(target=write)
    writer.start()
    names = Registry(postgresql, POLICY.marks).names
    Looking(postgresql, POLICY, one_topic).recount(names, ACME, NOW + 3)
    writer.join(10)
    monkeypatch.undo()
    keeper(postgresql, POLICY).finish(NOW + 4)

    assert differences(postgresql, [*facts, *extra], POLICY) == []


# -- duties of events --------------------------------------------------------------------------


def terminated(at: Instant) -> Terminated:
    return Terminated(ACME, Version(at, 0, 0), at)


def changed(at: Instant, sequence: int = 0) -> Changed:
    return Changed(ACME, ("purpose",), Version(at, sequence, 0), at)


def test_a_termination_opens_one_duty_however_often_it_is_told(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [*TWO, terminated(MARCH_2 + DAY)])
    feed.read(1, [terminated(MARCH_2 + DAY), terminated(MARCH_2 + 3 * DAY)], NOW + 1)

    (duty,) = duties(engine)
    assert (duty.rule, duty.trigger_day) == ("frt.cancel", date(2026, 3, 3))
    assert duty.proof["individuals"] == 2
    assert len(notices(engine, "duty_opened")) == 1


def test_an_earlier_termination_moves_the_duty(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [terminated(MARCH_2 + DAY)])
    feed.read(0, [terminated(MARCH_2 - DAY)], NOW + 1)

    assert days(engine) == [("frt.cancel", date(2026, 3, 1))]
    assert len(notices(engine, "duty_moved")) == 1


def test_each_change_has_its_own_duty_and_the_same_change_one(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [changed(MARCH_2), changed(MARCH_2, 1), changed(MARCH_2)])
    feed.read(1, [changed(MARCH_2 + DAY), changed(MARCH_2)], NOW + 1)

    assert sorted(days(engine)) == [("frt.change", date(2026, 3, n)) for n in (2, 2, 3)]


def test_what_ended_or_changed_before_the_rules_held_opens_nothing(engine: Engine) -> None:
    feed = Feed(engine)
    feed.read(0, [terminated(on("2025-05-31")), changed(on("2025-05-31"))])

    assert (duties(engine), rows(engine, "notices")) == ([], [])
    feed.read(0, [terminated(on("2025-06-01")), changed(on("2025-06-01"))], NOW + 1)

    assert sorted(rule for rule, _ in days(engine)) == ["frt.cancel", "frt.change"]
