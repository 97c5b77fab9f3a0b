"""Files that are being applied: nothing confirms a reach of half a file, whoever dies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy import Engine, text

from monitor.facts import StorageFact
from monitor.store import files
from monitor.store.engine import open_engine, reading
from monitor.store.files import File, NothingUnfinished, Run, TakenOver, abandon
from monitor.store.reading import status
from monitor.trust import Doubt
from tests.builders import ANN, BOB, subject_removed
from tests.integration.feed import MARCH_2, POLICY, TWO, days, standing
from tests.integration.store_kit import (
    MINUTE,
    NOW,
    batch,
    keeper,
    notices,
    postgres_engine,
    rows,
)

ONE, OTHER = File("1a", "one.ndjson"), File("2b", "other.ndjson")
OPENED = [("frt.file", date(2026, 3, 2))]
TAKES_AWAY = subject_removed(ANN, MARCH_2 + 1, 1)  # with it there was no reach, ever


def half(engine: Engine, run: Run, facts: Sequence[StorageFact] = TWO) -> None:
    """Keep the first half of a file, and die."""
    applying = keeper(engine, POLICY)
    applying.begin_files(replace(run))
    applying.keep([batch(facts, topic="file")])


def whole(engine: Engine, run: Run, facts: Sequence[StorageFact] = TWO) -> None:
    applying = keeper(engine, POLICY)
    applying.begin_files(replace(run))
    applying.keep([batch(facts, topic="file")])
    applying.finish(NOW + 2)


def run_of(name: str, *of: File, source: str = "s") -> Run:
    return Run(name, source, of or (ONE,))


def doubts(engine: Engine) -> list[tuple[Doubt, str]]:
    with reading(engine) as connection:
        shown = status(connection, POLICY.rules, POLICY.sources, NOW).processors
    return [(why.reason, why.topic) for one in shown for why in one.unverified]


def test_no_worker_confirms_a_reach_in_the_middle_of_a_file(engine: Engine) -> None:
    worker, applying = keeper(engine, POLICY), keeper(engine, POLICY)
    applying.begin_files(run_of("a"))
    applying.keep([batch(TWO, topic="file")])
    worker.tick(NOW + 1)
    in_the_middle = days(engine)
    applying.finish(NOW + 2)

    assert in_the_middle == []
    assert days(engine) == OPENED


def test_a_server_that_cuts_every_connection_gives_nobody_half_a_file(postgres_url: str) -> None:
    with postgres_engine(postgres_url) as engine:
        workers = open_engine(postgres_url)
        applying = keeper(engine, POLICY)
        applying.begin_files(run_of("a"))
        applying.keep([batch(TWO, topic="file")])
        with workers.connect() as connection:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            cut = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608 - ours
            cuts = len(connection.execute(cut).all())
        keeper(workers, POLICY).tick(NOW + 1)
        in_the_middle = days(workers)
        applying.keep([batch([subject_removed(BOB, MARCH_2)], topic="file")])
        applying.finish(NOW + 2)
        workers.dispose()

        assert cuts > 0
        assert in_the_middle == []
        assert days(engine) == OPENED


def test_half_a_file_whose_apply_died_opens_no_duty_and_shows(engine: Engine) -> None:
    half(engine, run_of("a"))
    keeper(engine, POLICY).tick(NOW + 1)

    assert (standing(engine), days(engine)) == ("pending", [])
    assert doubts(engine) == [(Doubt.FILE_UNFINISHED, "one.ndjson")]


def test_the_same_file_applied_again_takes_over_and_ends_it(engine: Engine) -> None:
    half(engine, run_of("a"))
    whole(engine, run_of("b"))

    assert rows(engine, "files") == []
    assert days(engine) == OPENED
    assert doubts(engine) == []


def test_a_reach_that_the_second_half_takes_away_never_was(engine: Engine) -> None:
    half(engine, run_of("a"))
    keeper(engine, POLICY).tick(NOW + 1)
    whole(engine, run_of("b"), [*TWO, TAKES_AWAY])

    assert (standing(engine), days(engine)) == ("no", [])


@pytest.mark.parametrize("again", [run_of("b", OTHER), run_of("b", source="t")])
def test_another_file_or_source_ends_only_its_own(engine: Engine, again: Run) -> None:
    half(engine, run_of("a"))
    whole(engine, again)

    assert [row.run for row in rows(engine, "files")] == ["a"]
    assert days(engine) == []


def test_a_run_that_was_taken_over_keeps_nothing_more(engine: Engine) -> None:
    first = keeper(engine, POLICY)
    first.begin_files(run_of("a", ONE, OTHER))
    first.keep([batch(TWO[:1], topic="file")])
    half(engine, run_of("b"), TWO[:1])
    with pytest.raises(TakenOver):
        first.keep([batch(TWO[1:], topic="file")])
    with pytest.raises(TakenOver):
        first.finish(NOW + 1)

    assert {row.run for row in rows(engine, "files")} == {"a", "b"}
    assert len(rows(engine, "book")) == 1


def test_a_file_without_a_fact_blocks_nothing(engine: Engine) -> None:
    half(engine, run_of("a"), [])

    assert rows(engine, "files") == []


def test_a_dead_run_is_paged_once_when_it_was_not_heard_of_for_a_quarter_of_an_hour(
    engine: Engine,
) -> None:
    half(engine, run_of("a", ONE, OTHER))
    told = []
    for minutes in (14, 15, 16):
        keeper(engine, POLICY).tick(NOW + minutes * MINUTE)
        told.append(len(notices(engine, "file_unfinished")))

    assert told == [0, 1, 1]
    assert len(notices(engine, "reach_unconfirmed")) == 1
    (page,) = notices(engine, "file_unfinished")
    assert (page.severity, "one.ndjson" in page.body) == ("page", True)


def test_a_person_can_abandon_what_nobody_will_apply_again(engine: Engine) -> None:
    half(engine, run_of("a"))
    dropped = abandon(engine, None, by="office", because="wrong export", now=NOW + 1)
    keeper(engine, POLICY).tick(NOW + 2)

    assert [one.name for one in dropped] == ["one.ndjson"]
    assert days(engine) == OPENED
    (entry,) = [row for row in rows(engine, "audit") if row.kind == "file.abandoned"]
    assert '"because":"wrong export"' in entry.body


def test_what_is_not_there_cannot_be_abandoned(engine: Engine) -> None:
    half(engine, run_of("a"))
    with pytest.raises(NothingUnfinished):
        abandon(engine, "another", by="office", because="b", now=NOW)

    assert len(rows(engine, "files")) == 1


def test_a_run_of_many_files_is_one_reason(engine: Engine) -> None:
    half(engine, run_of("a", *(File(str(n), f"{n}.ndjson") for n in range(100, 400))))
    with reading(engine) as connection:
        (why,) = files.whys(connection)

    assert why.topic == "100.ndjson and 299 more"


def test_a_run_that_lived_on_after_its_page_and_died_is_paged_again(engine: Engine) -> None:
    """A machine was asleep, or the database away, for twenty minutes."""
    applying = keeper(engine, POLICY)
    applying.begin_files(run_of("a"))
    applying.keep([batch(TWO[:1], topic="file")])
    told = []
    for minutes in (16, 20, 34, 36, 60):
        if minutes == 20:
            applying.keep([batch(TWO[1:], topic="file", read_at=NOW + 20 * MINUTE)])
        files.tell(engine, NOW + minutes * MINUTE, 15 * MINUTE)
        told.append(len(notices(engine, "file_unfinished")))

    assert told == [1, 1, 1, 2, 2]
