"""What the settings say of places: research or operation, and whose names mean the same."""

from __future__ import annotations

import pytest

from monitor.facts import Place
from monitor.marks import Marks, SystemMark

LAB = SystemMark(processor="acme", system="lab", research=True, reason="training", by="privacy")
VIP = SystemMark(processor="acme", system="gate", gallery="vip", research=True)
OWN = SystemMark(processor="acme", system="pay", namespace="shared/city")
OF_A_GALLERY = SystemMark(processor="acme", system="gate", gallery="staff", namespace="staff")
MARKS = Marks([LAB, VIP, OWN, OF_A_GALLERY])


@pytest.mark.parametrize(
    ("place", "marked_by"),
    [
        # The mark of a system holds for every gallery of it, the unnamed one too.
        (Place("acme", "lab", ""), LAB),
        (Place("acme", "lab", "vip"), LAB),
        # That of a gallery for this gallery alone.
        (Place("acme", "gate", "vip"), VIP),
        (Place("acme", "gate", ""), None),
        # A mark that says something else does not make a place research.
        (Place("acme", "gate", "staff"), OF_A_GALLERY),
        (Place("acme", "pay", ""), OWN),
        # Namesakes of another processor are other places.
        (Place("beta", "lab", ""), None),
        (Place("beta", "gate", "vip"), None),
    ],
)
def test_a_place_is_research_by_its_own_mark_or_that_of_its_system(
    place: Place, marked_by: SystemMark | None
) -> None:
    assert MARKS.research(place) is (marked_by in {LAB, VIP})
    assert MARKS.why(place) == marked_by


@pytest.mark.parametrize("research", [True, False])
def test_the_mark_of_a_gallery_wins_over_that_of_its_system_in_whatever_order(
    research: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    whole = SystemMark(processor="acme", system="lab", research=not research)
    visitors = SystemMark(processor="acme", system="lab", gallery="visitors", research=research)
    for rows in ([whole, visitors], [visitors, whole]):
        marks = Marks(rows)

        assert marks.research(Place("acme", "lab", "visitors")) is research
        assert marks.research(Place("acme", "lab", "other")) is not research
        assert marks.why(Place("acme", "lab", "visitors")) == visitors
        assert marks.why(Place("acme", "lab", "other")) == whole


def test_without_marks_everything_is_operation_in_the_default_namespace() -> None:
    marks = Marks()

    assert marks.rows == ()
    assert not marks.research(Place("acme", "lab", ""))
    assert marks.why(Place("acme", "lab", "")) is None
    assert marks.namespace("acme", "lab") == "default"


def test_a_namespace_is_that_of_the_whole_system() -> None:
    assert MARKS.namespace("acme", "pay") == "shared/city"
    assert MARKS.namespace("beta", "pay") == "default"
    assert MARKS.namespace("acme", "gate") == "default"
    assert MARKS.namespace("acme", None) == "default"
    assert MARKS.namespaces == {("acme", "lab"): "default", ("acme", "pay"): "shared/city"}


def test_a_mark_says_no_more_than_it_was_given() -> None:
    plain = SystemMark(processor="acme", system="gate")

    assert (plain.gallery, plain.research, plain.namespace) == (None, False, "default")
    assert (plain.reason, plain.by) == ("", "")
    assert MARKS.rows == (LAB, VIP, OWN, OF_A_GALLERY)
