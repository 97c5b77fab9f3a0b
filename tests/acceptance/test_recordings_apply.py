"""Every recorded change stream through ``facetally apply``, against counts made by SQL.

FACETALLY_EXHAUSTIVE=1 takes every order of partitions, ten more merges of them, and every instant
where otherwise a choice has to do; that takes some minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from monitor.history import curve
from monitor.identity import Identity
from monitor.marks import Marks
from monitor.store import book
from monitor.store.engine import open_engine, reading
from monitor.store.names import Names
from monitor.store.verifying import kept_ledger
from tests.acceptance.command import SECRET, Facetally, Forker
from tests.acceptance.conftest import EXHAUSTIVE
from tests.acceptance.recording import (
    ACTIVE,
    BEFORE_SNAPSHOT,
    COMPREFACE,
    ORDERS,
    ROW,
    SLICES,
    TEMPLATE,
    Numbers,
    Order,
    Recording,
    load,
    md5,
    merged,
    numbers_of,
    rfc3339,
    row_of,
    settings_of,
    trusted,
)

Books: TypeAlias = Callable[..., Facetally]

LIMIT = 100_000

GALLERIES = [
    *((name, ROW) for name in COMPREFACE),
    *(("own-gallery", rule) for rule in (ROW, ACTIVE, TEMPLATE)),
]
SOME = {"compreface-default", "compreface-slice-plain", "own-gallery"}


def orders_for(name: str, rule: str) -> dict[str, Order]:
    """Return the orders to read a recording in: more where a gallery has several partitions."""
    if EXHAUSTIVE:
        return {**ORDERS, **{f"merged, seed {n}": merged(n) for n in range(3, 13)}}
    few = ("merged, seed 1", "last partition first", "as written")
    number = 1 if rule != ROW else 3 if name in {"compreface-default", "own-gallery"} else 2
    return {order: ORDERS[order] for order in few[:number]}


@pytest.fixture
def book_of(forker: Forker, tmp_path: Path) -> Books:
    """Return what makes a new database with the settings of a recording."""

    def make(name: str, rule: str = ROW, at: str = "book", **changes: str) -> Facetally:
        home = tmp_path / at.replace(" ", "-")
        return Facetally(forker, home, settings_of(name, rule, **changes))

    return make


def apply_in_pieces(
    running: Facetally, recording: Recording, order: Order
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Apply the pieces between instants, one after another; yield the status at each instant."""
    for instant, piece in recording.pieces():
        running.apply_lines(recording.name, (line.raw for line in order(piece)))
        yield instant.label, running.status()


def truths(recording: Recording, rule: str) -> dict[str, Numbers]:
    return {instant.label: instant.numbers(rule) for instant in recording.stops}


# -- the number at every instant -------------------------------------------------------------


@pytest.mark.parametrize(("name", "rule"), GALLERIES)
def test_every_order_of_partitions_gives_the_numbers_of_the_database_at_every_instant(
    recordings: Path, book_of: Books, name: str, rule: str
) -> None:
    recording = load(recordings, name)

    digests = set()
    for order, lines in orders_for(name, rule).items():
        running = book_of(name, rule, order)
        seen = dict(apply_in_pieces(running, recording, lines))
        digests.add(running.digest())

        numbers = {label: numbers_of(status) for label, status in seen.items()}
        assert numbers == truths(recording, rule), order
        assert all(trusted(status) for status in seen.values()), order
    assert len(digests) == 1


@pytest.mark.parametrize("order", ["last partition first", "merged, seed 2"])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("compreface-default", ("purge-key-refill", "truncate-lab")),
        ("compreface-slice-cloudevents", ("truncate",)),
        ("own-gallery", ("gate-borealis-erased",)),
    ],
)
def test_all_that_led_to_an_instant_may_be_read_at_once_in_small_batches(
    recordings: Path, book_of: Books, name: str, labels: tuple[str, ...], order: str
) -> None:
    recording = load(recordings, name)
    instants = [i for i in recording.stops if EXHAUSTIVE or i.label in labels]

    for instant in instants:
        running = book_of(name, at=instant.label)
        running.environ["FACETALLY_MAX_BATCH_RECORDS"] = "1000"
        lines = ORDERS[order](recording.until(instant))
        running.apply_lines(name, (line.raw for line in lines))
        status = running.status()

        assert numbers_of(status) == instant.numbers(ROW)
        assert trusted(status)


def test_pairs_are_persons_of_a_tenant_and_systems_are_counted_apart(
    recordings: Path, whole: Books
) -> None:
    final = load(recordings, "own-gallery").instant("final").truth[ROW]

    status = whole("own-gallery").status()

    assert sum(one["individuals"] for one in status["processors"]) == final["persons_tenant_pairs"]
    assert [one["processor"] for one in status["processors"]] == ["acme", "borealis"]
    assert [each["system"] for each in status["processors"][0]["systems"]] == [
        "gate-canteen",
        "gate-door",
        "office-canteen",
        "office-door",
    ]


def test_the_lab_is_a_system_outside_the_statutory_number(recordings: Path, whole: Books) -> None:
    final = load(recordings, "compreface-default").instant("final").truth

    (processor,) = whole("compreface-default").status()["processors"]

    lab, public = final["lab"]["persons"], final["public"]["persons"]
    assert (processor["individuals"], processor["research_individuals"]) == (public, lab)
    assert processor["systems"] == [
        {"system": "lab", "individuals": lab},
        {"system": "public", "individuals": public},
    ]


# -- who is stored, not only how many --------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rule", "key"),
    [
        *((name, ROW, "public") for name in ("compreface-default", *SLICES)),
        ("own-gallery", ROW, ROW),
        ("own-gallery", ACTIVE, ACTIVE),
    ],
)
def test_the_persons_stored_at_the_end_are_those_of_the_database(
    recordings: Path, whole: Books, name: str, rule: str, key: str
) -> None:
    recording = load(recordings, name)

    stored = stored_persons(whole(name, rule), recording)

    assert md5(stored) == recording.instant("final").truth[key]["person_ids_md5"]


def stored_persons(running: Facetally, recording: Recording) -> set[str]:
    """Return the ids that the truth file uses, of those in operation by the registers."""
    identity = Identity(SECRET)
    names: dict[tuple[str, bytes], str] = {}
    for line in recording.lines:
        row = row_of(line) or {}
        if "subject_id" in row:
            names["compreface", identity.subject("compreface", None, row["subject_id"])] = row[
                "subject_id"
            ]
        elif "person_id" in row:
            who, person = row["tenant"], row["person_id"]
            names[who, identity.subject(who, None, person)] = f"{who}/{person}"
    engine = open_engine(running.database_url)
    with reading(engine) as connection:
        ledger = kept_ledger(connection, Names.load(connection), Marks(()))
        ledger.settle()
    engine.dispose()
    public = {key for key, at in ledger.standing.items() if at.systems != frozenset({"lab"})}
    return {names[key] for key in public}


# -- whole files, in an interpreter of their own ---------------------------------------------


@pytest.fixture(scope="module")
def whole(
    recordings: Path, forker: Forker, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Facetally]:
    """Return what applies the file of a recording as it is, once; the database is only read."""
    made: dict[tuple[str, str], Facetally] = {}

    def apply(name: str, rule: str = ROW) -> Facetally:
        if (name, rule) not in made:
            home = tmp_path_factory.mktemp(name)
            running = Facetally(forker, home, settings_of(name, rule))
            file = recordings / f"{name}.jsonl.zst"
            answer = running.from_scratch("apply", "--source", name, str(file))
            assert answer.code == 0, answer.err
            made[name, rule] = running
        return made[name, rule]

    return apply


@pytest.mark.parametrize("name", ["compreface-default", "compreface-slice-schema", "own-gallery"])
def test_applying_the_same_file_again_changes_nothing(
    recordings: Path, book_of: Books, name: str
) -> None:
    file = recordings / f"{name}.jsonl.zst"
    running = book_of(name)

    first = running.apply(name, file)
    once = running.digest(), running.status()
    second = running.apply(name, file)
    twice = running.digest(), running.status()

    assert second == first
    assert twice[0] == once[0]
    assert twice[1]["processors"] == once[1]["processors"]
    assert running.positions() == {}


@pytest.mark.parametrize("name", ["compreface-default", "own-gallery"])
def test_a_file_that_was_read_in_part_may_be_read_from_its_start(
    recordings: Path, book_of: Books, whole: Books, name: str
) -> None:
    recording = load(recordings, name)
    running = book_of(name)

    running.apply_lines(name, (line.raw for line in recording.until(recording.stops[4])))
    running.apply(name, recordings / f"{name}.jsonl.zst")

    assert running.digest() == whole(name).digest()


# -- the number as of an instant -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rule"),
    [(name, rule) for name, rule in GALLERIES if EXHAUSTIVE or (rule == ROW and name in SOME)],
)
def test_the_number_as_of_each_instant_is_that_of_the_database_then(
    recordings: Path, whole: Books, name: str, rule: str
) -> None:
    recording = load(recordings, name)
    running = whole(name, rule)

    seen = {i.label: running.status(rfc3339(i.marker_us)) for i in recording.stops}

    assert {label: numbers_of(s) for label, s in seen.items()} == truths(recording, rule)


@pytest.mark.parametrize("name", ["compreface-default", "own-gallery"])
def test_before_its_snapshot_a_change_log_says_nothing(
    recordings: Path, whole: Books, name: str
) -> None:
    before = load(recordings, name).instant(BEFORE_SNAPSHOT)

    status = whole(name).status(rfc3339(before.marker_us))

    assert set(numbers_of(status).values()) == {(0, 0)}


def test_a_column_that_dates_rows_tells_of_the_time_before_the_snapshot_and_changes_no_number(
    recordings: Path, book_of: Books, whole: Books
) -> None:
    recording = load(recordings, "own-gallery")
    created_us = 1_795_323_260_957_253  # of every row in the snapshot
    running = book_of("own-gallery", dated_by='"created_at"')
    running.apply("own-gallery", recordings / "own-gallery.jsonl.zst")

    instants = [recording.instant(each) for each in (BEFORE_SNAPSHOT, "live-3", "final")]
    seen = {i.label: running.status(rfc3339(i.marker_us)) for i in instants}
    just_before = running.status(rfc3339(created_us - 1))

    assert numbers_of(running.status()) == numbers_of(whole("own-gallery").status())
    numbers = {label: numbers_of(status) for label, status in seen.items()}
    assert numbers == {instant.label: instant.numbers(ROW) for instant in instants}
    assert set(numbers_of(just_before).values()) == {(0, 0)}


# -- the snapshot ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["compreface-full", "compreface-slice-plain", "own-gallery"])
def test_a_number_is_not_verified_before_the_snapshot_has_ended(
    recordings: Path, book_of: Books, name: str
) -> None:
    recording = load(recordings, name)
    snapshot = [line.raw for line in recording.until(recording.stops[0])]
    middle = len(snapshot) * 9 // 20
    running = book_of(name)

    running.apply_lines(name, snapshot[:middle])
    during = running.status()
    running.apply_lines(name, snapshot[middle:])
    after = running.status()

    whys = [why["reason"] for one in during["processors"] for why in one["unverified"]]
    assert set(whys) == {"snapshot_running"}
    assert not any(one["verified"] for one in during["processors"])
    ended = recording.stops[0].numbers(ROW)
    assert all(seen <= ended[who] for who, seen in numbers_of(during).items())
    assert trusted(after)
    assert numbers_of(after) == ended


@pytest.mark.parametrize(
    ("at_least", "not_later_than"),
    [
        (1_000, True),  # acme had 1,346 in the snapshot
        (1_600, False),
    ],
)
def test_a_threshold_that_the_snapshot_has_passed_has_a_day_that_is_only_bounded(
    recordings: Path, forker: Forker, tmp_path: Path, at_least: int, *, not_later_than: bool
) -> None:
    rule = f'\n[[rules]]\nid = "frt.file"\nat_least = {at_least}\n'
    running = Facetally(forker, tmp_path, settings_of("own-gallery") + rule)
    running.apply("own-gallery", recordings / "own-gallery.jsonl.zst")

    acme = running.status()["processors"][0]
    (threshold,) = acme["thresholds"]

    assert threshold["at_least"] == at_least
    assert threshold["reached"] == "yes"
    assert threshold["trigger_day"] == "2026-11-22"
    assert threshold["not_later_than"] is not_later_than


# -- the threshold ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The threshold recording, applied from instant to instant under one rule."""

    rule: str
    recording: Recording
    running: Facetally
    statuses: dict[str, dict[str, Any]]
    clocks: list[int]  # ours, before and after the pieces
    digest: str

    def first_reach(self) -> int:
        crossings = self.recording.truth["crossings"]
        return int(min(c["commit_us"] for c in crossings if c["rule"] == self.rule))

    def read_between(self) -> tuple[int, int]:
        """Return our clock before and after the piece with the reach was applied."""
        pieces = [i for i, s in enumerate(self.recording.stops) if s.marker_us < self.first_reach()]
        return self.clocks[pieces[-1] + 1], self.clocks[pieces[-1] + 2]


@pytest.fixture(scope="module", params=[ROW, ACTIVE])
def passed(
    request: pytest.FixtureRequest,
    recordings: Path,
    forker: Forker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Passed:
    rule = request.param
    recording = load(recordings, "threshold")
    running = Facetally(forker, tmp_path_factory.mktemp(rule), settings_of("threshold", rule))
    statuses: dict[str, dict[str, Any]] = {}
    clocks = [_clock()]
    for label, status in apply_in_pieces(running, recording, ORDERS["last partition first"]):
        statuses[label] = status
        clocks.append(_clock())
    return Passed(
        rule=rule,
        recording=recording,
        running=running,
        statuses=statuses,
        clocks=clocks,
        digest=running.digest(),
    )


by_rows = pytest.mark.parametrize(
    "passed", [ROW, ACTIVE] if EXHAUSTIVE else [ROW], indirect=True, scope="module"
)


def _clock() -> int:
    return time.time_ns() // 1000


def test_the_numbers_around_the_threshold_are_those_of_the_database(passed: Passed) -> None:
    numbers = {label: numbers_of(status) for label, status in passed.statuses.items()}

    assert numbers == truths(passed.recording, passed.rule)
    assert all(trusted(status) for status in passed.statuses.values())


def test_the_threshold_is_reached_once_and_stays_so_below_it(passed: Passed) -> None:
    acme = {label: s["processors"][0]["thresholds"] for label, s in passed.statuses.items()}
    told = {label: one["reached"] for label, (one,) in acme.items()}
    days = {one["trigger_day"] for (one,) in acme.values()}

    first = passed.first_reach()
    stops = passed.recording.stops
    assert told == {i.label: "yes" if i.marker_us >= first else "no" for i in stops}
    assert days == {None, "2026-11-22"}
    assert not any(one["not_later_than"] for (one,) in acme.values())


def test_only_the_tenant_that_reached_it_has_the_threshold_behind_it(passed: Passed) -> None:
    acme, other = passed.statuses["final"]["processors"]

    assert (acme["processor"], acme["thresholds"][0]["reached"]) == ("acme", "yes")
    assert other["processor"] == "other"
    (threshold,) = other["thresholds"]
    forecast = threshold.pop("forecast")
    assert forecast["outlook"] == "too_little_history"
    assert forecast["individuals"] == other["individuals"]
    assert threshold == {
        "rule": "frt.file",
        "at_least": LIMIT,
        "reached": "no",
        "trigger_day": None,
        "not_later_than": False,
        "known_at": None,
        "warned_percent": None,
    }


def test_one_duty_is_owed_from_the_commit_that_reached_the_threshold(passed: Passed) -> None:
    (duty,) = passed.running.duties()
    proof = duty.pop("proof")
    left = duty.pop("working_days_left")

    assert duty == {
        "processor": "acme",
        "rule": "frt.file",
        "key": "1",
        "status": "open",
        "owed_by": "processor",
        "submitted_day": None,
        "submitted_in_time": None,
        "still_stored": None,
        "trigger_day": "2026-11-22",
        "due_day": None,  # the calendar of 2027 is not published
        "due_between": ["2027-01-01", "2027-01-11"],
        "calendar_version": "2025-1+2026-1",
        "verified": True,
        "unverified": [],
    }
    assert isinstance(left, int)
    assert proof["trigger_at"] == passed.first_reach()
    assert (proof["individuals"], proof["at_least"]) == (LIMIT, LIMIT)


def test_the_first_reach_by_rows_is_the_one_that_the_recording_tells(recordings: Path) -> None:
    told = load(recordings, "threshold").truth["first_reached"]

    assert (told["rule"], told["commit_us"]) == (ROW, 1_795_323_363_964_208)


def test_known_at_is_when_the_reach_was_read(passed: Passed) -> None:
    (threshold,) = passed.statuses["final"]["processors"][0]["thresholds"]
    (duty,) = passed.running.duties()

    earliest, latest = passed.read_between()
    first_seen = duty["proof"]["first_seen_at"]
    assert earliest <= first_seen <= duty["proof"]["confirmed_at"] <= latest
    assert threshold["known_at"] == rfc3339(first_seen).replace("+00:00", "Z")


def test_all_steps_and_all_crossings_are_in_the_book(passed: Passed) -> None:
    engine = open_engine(passed.running.database_url)
    with reading(engine) as connection:
        facts = list(book.read(connection, Names.load(connection), ["acme"]))
    engine.dispose()
    points = {point.at: point.individuals for point in curve(facts, "acme", lambda _place: False)}

    rule, truth = passed.rule, passed.recording.truth
    steps = {step["commit_us"]: step["acme"][rule] for step in truth["steps"]}
    assert len(steps) == 561
    assert {at: _at(points, at) for at in steps} == steps
    crossings = [(c["commit_us"], c["after"]) for c in truth["crossings"] if c["rule"] == rule]
    assert len(crossings) == 3
    assert list(_passages(points)) == crossings


def _at(points: dict[int, int], at: int) -> int:
    """Return the number at *at*; a transaction of another tenant is no point of this one."""
    return points[at] if at in points else points[max(each for each in points if each < at)]


def _passages(points: dict[int, int]) -> Iterator[tuple[int, int]]:
    for (_, before), (at, after) in pairwise(sorted(points.items())):
        if (before >= LIMIT) != (after >= LIMIT):
            yield at, after


@by_rows
def test_status_as_of_knows_the_microsecond_of_the_reach(passed: Passed) -> None:
    reach = passed.first_reach()

    before = passed.running.status(rfc3339(reach - 1))["processors"][0]
    then = passed.running.status(rfc3339(reach))["processors"][0]

    assert (before["individuals"], before["thresholds"][0]["reached"]) == (LIMIT - 1, "no")
    assert before["thresholds"][0]["trigger_day"] is None
    assert (then["individuals"], then["thresholds"][0]["reached"]) == (LIMIT, "yes")
    assert then["thresholds"][0]["trigger_day"] == "2026-11-22"


@by_rows
def test_reading_the_crossings_again_owes_nothing_more(passed: Passed) -> None:
    owed = passed.running.duties()
    live = [line.raw for _, piece in list(passed.recording.pieces())[1:] for line in piece]

    passed.running.apply_lines("threshold", live)

    assert passed.running.duties() == owed
    assert passed.running.digest() == passed.digest


@by_rows
def test_the_whole_file_at_once_owes_the_same_as_its_pieces(
    passed: Passed, recordings: Path, book_of: Books
) -> None:
    running = book_of("threshold", passed.rule)

    running.apply("threshold", recordings / "threshold.jsonl.zst")

    (duty,), (other,) = running.duties(), passed.running.duties()
    for own_time in ("first_seen_at", "confirmed_at"):
        duty["proof"].pop(own_time)
        other["proof"].pop(own_time)
    assert duty == other
    assert running.digest() == passed.digest
