"""What is proposed as a material change, by what was filed and what is so now."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from monitor.changes import (
    FAR,
    SEEN,
    Candidate,
    ChangeKind,
    Picture,
    PlaceName,
    candidates,
    passed_on,
)

GATE, VIP, LAB = ("gate", ""), ("gate", "vip"), ("lab", "")
ALL = frozenset({"gate", "lab", "till"})


def picture(individuals: int, *places: PlaceName, research: PlaceName | None = None) -> Picture:
    marked = {place: place == research for place in places}
    return Picture(individuals=individuals, places=marked)


FILED = picture(1_000, GATE, LAB, research=LAB)


def found(now: Picture, filed: Picture = FILED, assessed: frozenset[str] = ALL) -> list[Candidate]:
    return list(candidates("F1", filed, now, assessed, FAR))


def told(now: Picture, filed: Picture = FILED) -> list[tuple[str, str | None, str | None]]:
    return [(one.kind.value, one.system, one.gallery) for one in found(now, filed)]


def test_what_is_as_it_was_filed_is_no_change() -> None:
    assert found(FILED) == []


def test_a_new_system_is_proposed_and_its_galleries_are_not_apart() -> None:
    now = picture(1_000, GATE, LAB, ("till", ""), ("till", "vip"), research=LAB)

    assert told(now) == [("system", "till", None)]


def test_a_new_gallery_of_a_filed_system_is_proposed() -> None:
    assert told(picture(1_000, GATE, VIP, LAB, research=LAB)) == [("gallery", "gate", "vip")]


@pytest.mark.parametrize("place", [("till", ""), VIP])
def test_a_new_place_of_research_is_outside(place: PlaceName) -> None:
    now = Picture(individuals=1_000, places={GATE: False, LAB: True, place: True})

    assert found(now) == []


def test_a_changed_mark_is_a_change_of_purpose_either_way() -> None:
    both = found(Picture(individuals=1_000, places={GATE: True, LAB: False}))

    assert [(one.kind, one.system) for one in both] == [
        (ChangeKind.PURPOSE, "gate"),
        (ChangeKind.PURPOSE, "lab"),
    ]
    assert both[0].evidence == {"filed": "operation", "now": "research"}


@pytest.mark.parametrize(
    ("number", "step"),
    [
        (1_199, None),
        (1_200, "F1:+1"),
        (1_399, "F1:+1"),
        (1_400, "F1:+2"),
        (801, None),
        (800, "F1:-1"),
        (0, "F1:-5"),
    ],
)
def test_a_number_is_proposed_each_time_it_is_so_far_from_the_filed_one(
    number: int, step: str | None
) -> None:
    proposed = found(picture(number, GATE, LAB, research=LAB))

    assert [one.what for one in proposed] == ([] if step is None else [step])


def test_the_evidence_of_a_number_are_both_numbers() -> None:
    (one,) = found(picture(1_250, GATE, LAB, research=LAB))
    nobody = picture(0, GATE)

    assert one.evidence == {"filed": 1_000, "now": 1_250, "percent": 25.0}
    (first,) = found(picture(3, GATE), nobody)
    assert first.evidence == {"filed": 0, "now": 3, "percent": None}
    assert found(nobody, nobody) == []


def test_a_system_without_a_recorded_assessment_is_proposed_unless_it_is_research() -> None:
    proposed = found(FILED, assessed=frozenset())

    assert [(one.kind, one.system) for one in proposed] == [(ChangeKind.ASSESSMENT, "gate")]


def test_a_change_is_the_same_one_until_something_else_is_filed() -> None:
    now = picture(1_000, GATE, VIP, LAB, research=LAB)
    (one,) = candidates("F1", FILED, now, ALL, FAR)
    (again,) = candidates("F1", FILED, now, ALL, FAR)
    (other,) = candidates("F2", FILED, now, ALL, FAR)

    assert one == again
    assert one.what != other.what


def test_what_no_event_says_is_told_by_a_person() -> None:
    assert set(ChangeKind) - SEEN == {
        ChangeKind.RETENTION,
        ChangeKind.PROVIDER,
        ChangeKind.STORAGE,
        ChangeKind.MEASURES,
        ChangeKind.OTHER,
    }


def test_without_a_filing_only_an_assessment_can_be_missing() -> None:
    now = picture(9, GATE, LAB, research=LAB)

    (one,) = candidates(None, now, now, frozenset(), FAR)
    assert (one.kind, one.system) == (ChangeKind.ASSESSMENT, "gate")
    assert list(candidates(None, now, now, ALL, FAR)) == []


@pytest.mark.parametrize(
    ("times", "numbers", "day"),
    [
        (1, (1_000, 1_199, 1_200, 1_500), 3),
        (2, (1_000, 1_199, 1_200, 1_500), 4),
        # It went and came back: since the last time.
        (1, (1_300, 1_100, 1_210), 3),
        (1, (1_300, 1_100), None),
        (-1, (1_000, 790, 600), 2),
        (-1, (1_300, 1_000), None),
        (1, (), None),
    ],
)
def test_a_number_is_far_away_since_the_day_on_which_it_got_there(
    times: int, numbers: tuple[int, ...], day: int | None
) -> None:
    first = date(2026, 3, 1)
    noted = [(first + timedelta(days=n), number) for n, number in enumerate(numbers)]
    expected = None if day is None else first + timedelta(days=day - 1)

    assert passed_on(1_000, times, noted, FAR) == expected
