"""What can happen to a topic under a worker: transactions, deletion, growth, retention."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from monitor.intake import EndSeen, Gap, GapReason
from tests.acceptance.command import Forker
from tests.figures import report
from tests.keeper import SqliteKeeper
from tests.services.kafka import Kafka
from tests.violence.faults_kit import (
    Scene,
    enrolled,
    new_name,
    producing,
    removed,
    scene,
    steady,
    write,
)
from tests.workers import names, recreate, running, send, settings_for, until

READ_WITHIN: Final = 20.0  # seconds, of a partition that was added; 5 by itself


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as started:
        yield started


# -- transactions of producers ---------------------------------------------------------------------


def test_an_aborted_transaction_is_never_counted_and_its_marker_hides_no_end(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=2)
    kafka.create_topic(world.topic)
    world.put(enrolled("ann", "08:00"))
    with producing(kafka, world.topic) as producer:
        for people, commit in ((("bob", "eve"), False), (("dan",), True), (("fay", "gus"), False)):
            producer.begin_transaction()
            write(producer, world.topic, *(enrolled(person, "08:01") for person in people))
            producer.commit_transaction() if commit else producer.abort_transaction()

    with world.running():
        world.until_reached("yes")

    assert world.individuals() == 2
    assert world.facetally.positions() == {f"{world.topic}/0": 1 + (2 + 1) + (1 + 1) + (2 + 1)}
    assert world.holds()


@pytest.mark.parametrize(("commit", "reached"), [(True, "no"), (False, "yes")])
def test_an_open_transaction_is_waited_for_and_shown_as_lag(
    kafka: Kafka,
    forker: Forker,
    tmp_path: Path,
    commit: bool,  # noqa: FBT001 - what the producer decides
    reached: str,
) -> None:
    """It holds a removal that, if it is committed, says that the threshold was never reached."""
    world = scene(kafka, forker, tmp_path)
    kafka.create_topic(world.topic, partitions=2)
    world.put(enrolled("ann", "08:00"), enrolled("bob", "08:01"))
    lag = f"facetally_partition_lag_records{{partition=1,topic={world.topic}}}"

    with world.running() as worker, producing(kafka, world.topic) as producer:
        world.until_individuals(2)
        producer.begin_transaction()
        write(producer, world.topic, removed("ann", "08:02"), partition=1)
        world.put(enrolled("eve", "08:03"))
        world.until_individuals(3)
        waited = steady(lambda: world.reached() == "pending", 3)
        behind = worker.metrics()[lag]
        producer.commit_transaction() if commit else producer.abort_transaction()
        world.until_read(2, partition=1)
        world.until_reached(reached)

    assert waited
    assert behind == 1
    assert [duty["rule"] for duty in world.facetally.duties()] == ([] if commit else ["frt.file"])
    assert world.individuals() == (2 if commit else 3)


# -- topics that go and come -----------------------------------------------------------------------


@pytest.mark.parametrize("people", [2, 9], ids=["smaller", "past-the-position"])
def test_a_topic_that_was_made_anew_is_read_whole_and_leaves_the_number_unverified(
    kafka: Kafka, forker: Forker, tmp_path: Path, people: int
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=50)
    kafka.create_topic(world.topic)
    world.put(*(enrolled(f"old-{number}", "08:00") for number in range(5)))

    with world.running() as worker:
        world.until_individuals(5)
        recreate(kafka, world.topic)
        world.put(*(enrolled(f"new-{number}", "08:01") for number in range(people)))
        world.until_individuals(5 + people)
        until(lambda: not world.processor()["verified"])
        world.until_read(people)

    assert world.individuals() == 5 + people
    assert world.processor()["verified"] is False
    assert f"gap in {world.topic}-0 (recreated)" in worker.said()
    assert _gaps(world) == [(f"{world.topic}/0", "recreated")]
    assert world.holds()


class Ordered(SqliteKeeper):
    """Remembers in which order it was told of gaps and ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.told: list[GapReason | int] = []

    def _gap(self, gap: Gap) -> None:
        super()._gap(gap)
        self.told.append(gap.reason)

    def ends(self, seen: Sequence[EndSeen]) -> None:
        super().ends(seen)
        self.told += [end.end for end in seen]


def test_the_end_of_a_topic_made_anew_is_not_taken_for_that_of_the_old_one(
    kafka: Kafka, tmp_path: Path
) -> None:
    """It has grown past the position: reading goes on in it as if nothing had been."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name)
    send(kafka, name, names("old", 50))
    keeper = Ordered(tmp_path / "kept.db")
    settings = dataclasses.replace(settings_for(kafka, name, name), look_at_topics_every=3600.0)
    with running(settings, keeper):
        until(lambda: 50 in keeper.told)
        recreate(kafka, name)
        send(kafka, name, names("new", 80))
        until(lambda: 80 in keeper.told)
    told, applied = keeper.told, keeper.times()
    keeper.close()

    assert GapReason.RECREATED in told
    assert told.index(80) > told.index(GapReason.RECREATED)
    assert set(applied) == {*names("old", 50), *names("new", 80)}


def test_a_topic_that_is_deleted_holds_up_no_other_and_is_read_when_it_is_back(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    kept, gone = new_name(), new_name()
    tables = [
        f'name = "{name}"\nsource = "cloudevents"\nprocessors = [{whose}]\n'
        for name, whose in ((kept, '"acme", "beta"'), (gone, '"beta"'))
    ]
    world = scene(kafka, forker, tmp_path, at_least=2, topics=tables)
    for name in (kept, gone):
        kafka.create_topic(name)
    beta = enrolled("ann", "08:00", processor="beta")
    world.put(enrolled("ann", "08:00"), topic=kept)
    world.put(beta, topic=gone)

    with world.running() as worker:
        world.until_individuals(1)
        world.until_individuals(1, "beta")
        assert until(lambda: any(gone in name for name in worker.metrics() if LAG in name))
        admin = kafka.admin()
        admin.delete_topics([gone])
        until(lambda: gone not in admin.list_topics())
        admin.close()
        assert until(lambda: not world.processor("beta")["verified"])
        missing = world.processor("beta")["unverified"]
        world.put(enrolled("bob", "08:01"), topic=kept)
        world.until_reached("yes")
        world.put(enrolled("zoe", "08:03", processor="beta"), topic=kept)
        world.until_individuals(2, "beta")
        held = world.reached("beta")
        lags = [name for name in worker.metrics() if LAG in name and gone in name]
        kafka.create_topic(gone)
        world.put(beta, enrolled("eve", "08:02", processor="beta"), topic=gone)
        world.until_individuals(3, "beta")
        world.until_reached("yes", "beta")

    assert [(why["reason"], why["topic"]) for why in missing] == [("topic_missing", gone)]
    assert held == "pending"
    assert lags == []
    assert world.processor()["verified"] is True
    unverified = world.processor("beta")["unverified"]
    assert [why["reason"] for why in unverified] == ["gap.recreated"]
    assert _gaps(world) == [(f"{gone}/0", "recreated")]


def test_a_partition_that_was_added_is_counted_and_waited_for(
    kafka: Kafka, forker: Forker, tmp_path: Path
) -> None:
    """It holds a removal without which the threshold would seem to have been reached."""
    world = scene(kafka, forker, tmp_path)
    kafka.create_topic(world.topic)
    world.put(enrolled("ann", "08:00"), enrolled("bob", "08:01"))

    with world.running():
        world.until_individuals(2)
        began = time.monotonic()
        world.add_partitions(2)
        world.put(removed("ann", "08:02"), enrolled("dan", "07:00"), partition=1)
        world.put(removed("dan", "07:30"), partition=1)
        world.put(enrolled("eve", "08:03"))
        world.until_read(3, partition=1)
        seconds = time.monotonic() - began
        world.until_read(3)
        world.until_reached("no")

    report("log.partition.added", seconds=round(seconds, 1))
    assert world.individuals() == 2
    assert world.facetally.duties() == []
    assert world.holds()
    assert seconds < READ_WITHIN


# -- retention -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["while-it-is-down", "while-it-stands-still"])
def test_retention_past_our_position_is_a_gap_that_is_paged_and_leaves_the_number_unverified(
    kafka: Kafka, forker: Forker, tmp_path: Path, how: str
) -> None:
    world = scene(kafka, forker, tmp_path, at_least=50)
    kafka.create_topic(world.topic)
    world.put(*(enrolled(f"early-{number}", "08:00") for number in range(5)))

    def retention() -> None:
        world.put(*(enrolled(f"late-{number}", "08:01") for number in range(10)))
        world.delete_before(12)

    with world.running() as worker:
        world.until_individuals(5)
        if how == "while-it-stands-still":
            os.kill(worker.owned.pid, signal.SIGSTOP)
            time.sleep(0.5)  # the fetch under way is answered, with nothing
            retention()
            os.kill(worker.owned.pid, signal.SIGCONT)
            _until_gap(world)
    if how == "while-it-is-down":
        retention()
        with world.running():
            _until_gap(world)

    assert world.individuals() == 5 + 3
    assert world.processor()["verified"] is False
    log = world.log_of("worker").read_text()
    assert _gaps(world) == [(f"{world.topic}/0", "retention")]
    assert f"gap in {world.topic}-0 (retention): 5 is stored, reading goes on at 12" in log


LAG: Final = "facetally_partition_lag_records"


def _gaps(world: Scene) -> list[tuple[str, str]]:
    """Return the partition and the reason of each notice of a gap."""
    return [(one["partition"], one["reason"]) for one in world.told("gap")]


def _until_gap(world: Scene) -> None:
    world.until_individuals(8)
    until(lambda: not world.processor()["verified"])
