"""Reasons for which a number is unverified: what a notice, a proof and a person are told."""

from __future__ import annotations

import pytest

from monitor.trust import (
    MEANING,
    Doubt,
    NotAcceptable,
    Sources,
    Why,
    check_acceptable,
    doubts_of,
    in_body,
    in_proof,
    silent_since,
)

GAP = Why(reason=Doubt.GAP_RETENTION, topic="faces", since=7)
SILENT = Why(reason=Doubt.SOURCE_SILENT, topic="gates two", since=0)


def test_every_reason_has_a_meaning_and_a_way_back_in_both_languages() -> None:
    assert set(MEANING) == set(Doubt)
    for meaning in MEANING.values():
        assert all((meaning.en, meaning.zh, meaning.way_back, meaning.way_back_zh))


@pytest.mark.parametrize("doubt", [doubt for doubt in Doubt if doubt.written])
def test_what_a_person_may_accept_tells_the_command_that_does(doubt: Doubt) -> None:
    check_acceptable(doubt)

    command = f"facetally accept --processor P --reason {doubt.value} "
    assert command in MEANING[doubt].way_back
    assert command in MEANING[doubt].way_back_zh


@pytest.mark.parametrize("doubt", [doubt for doubt in Doubt if not doubt.written])
def test_what_ends_by_itself_cannot_be_accepted_and_says_how_it_ends(doubt: Doubt) -> None:
    with pytest.raises(NotAcceptable) as caught:
        check_acceptable(doubt)

    way_back = MEANING[doubt].way_back
    assert str(caught.value) == (f"{doubt.value} cannot be accepted, it ends by itself: {way_back}")


def test_gaps_and_a_restored_database_wait_for_a_person() -> None:
    assert {doubt.value for doubt in Doubt if doubt.written} == {
        "gap.retention",
        "gap.beyond_end",
        "gap.recreated",
        "database_restored",
    }


def test_reasons_survive_the_way_through_a_notice() -> None:
    body = in_body([GAP, SILENT])

    assert body["verified"] is False
    assert body["unverified"] == "gap.retention faces; source_silent gates two"
    assert body["way_back"] == f"{GAP.way_back} / {SILENT.way_back}"
    assert doubts_of(body) == [(GAP.reason, "faces"), (SILENT.reason, "gates two")]


def test_one_way_back_is_told_once() -> None:
    elsewhere = Why(reason=GAP.reason, topic="more", since=9)

    assert in_body([GAP, elsewhere])["way_back"] == GAP.way_back


def test_a_verified_number_has_no_reasons() -> None:
    assert in_body([]) == {"verified": True, "unverified": None, "way_back": None}
    assert doubts_of(in_body([])) == []
    assert in_proof([]) == {"verified": True, "unverified": []}


def test_a_reason_of_another_release_is_left_out() -> None:
    assert doubts_of({"unverified": "sunspots faces; gap.retention faces"}) == [
        (Doubt.GAP_RETENTION, "faces")
    ]


def test_a_proof_says_since_when() -> None:
    assert in_proof([GAP]) == {
        "verified": False,
        "unverified": [{"reason": "gap.retention", "topic": "faces", "since": 7}],
    }


@pytest.mark.parametrize(
    ("now", "since"),
    [
        # The limit itself is still in time.
        (100, None),
        (150, None),
        (151, 150),
        (999, 150),
    ],
)
def test_a_topic_is_silent_once_its_limit_has_passed(now: int, since: int | None) -> None:
    assert silent_since(100, 50, now) == since


def test_settings_that_say_nothing_doubt_nothing() -> None:
    sources = Sources()

    assert (sources.incomplete, sources.feeding, sources.silent_after) == (frozenset(), None, {})
