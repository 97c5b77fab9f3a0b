"""Why a number may be wrong, in words and values; and when a topic is silent, or a database old."""

from __future__ import annotations

import pytest

from alerts import words
from monitor.intake import GapReason, StoredPosition, Written
from monitor.notices import Kind, Notice, Severity
from monitor.trust import (
    MEANING,
    Doubt,
    NotAcceptable,
    Why,
    check_acceptable,
    doubts_of,
    in_body,
    in_proof,
    silent_since,
)
from streams.placing import Committed, Kept, Known, Span, aheads, from_metadata, to_metadata

NOW = 1_775_000_000_000_000
LOST = Why(reason=Doubt.GAP_RETENTION, topic="gate", since=NOW)
QUIET = Why(reason=Doubt.SOURCE_SILENT, topic="door", since=NOW)


@pytest.mark.parametrize("doubt", Doubt)
def test_every_reason_says_in_both_languages_what_it_means_and_what_to_do(doubt: Doubt) -> None:
    meaning = MEANING[doubt]

    assert meaning.en
    assert meaning.way_back
    assert any("\u4e00" <= sign <= "\u9fff" for sign in meaning.zh)
    assert any("\u4e00" <= sign <= "\u9fff" for sign in meaning.way_back_zh)


def test_every_reason_for_a_gap_is_one_for_an_unverified_number() -> None:
    assert {doubt.value for doubt in Doubt if doubt.value.startswith("gap.")} == {
        f"gap.{reason.value}" for reason in GapReason
    }


@pytest.mark.parametrize("doubt", [doubt for doubt in Doubt if doubt.written])
def test_what_is_written_is_accepted_and_the_way_back_names_the_command(doubt: Doubt) -> None:
    check_acceptable(doubt)

    assert f"facetally accept --processor P --reason {doubt.value} " in MEANING[doubt].way_back


@pytest.mark.parametrize("doubt", [doubt for doubt in Doubt if not doubt.written])
def test_what_ends_by_itself_is_not_accepted_and_says_what_to_do(doubt: Doubt) -> None:
    with pytest.raises(NotAcceptable) as refused:
        check_acceptable(doubt)

    assert MEANING[doubt].way_back in str(refused.value)
    assert "facetally accept" not in MEANING[doubt].way_back


def test_a_body_with_a_number_names_each_reason_with_its_topic() -> None:
    body = in_body([LOST, QUIET])

    assert body["verified"] is False
    assert body["unverified"] == "gap.retention gate; source_silent door"
    assert doubts_of(body) == [(Doubt.GAP_RETENTION, "gate"), (Doubt.SOURCE_SILENT, "door")]
    assert in_body([]) == {"verified": True, "unverified": None, "way_back": None}


def test_a_body_of_a_newer_version_with_an_unknown_reason_is_read_for_the_others() -> None:
    body = {"unverified": "eclipse gate; gap.retention gate"}

    assert doubts_of(body) == [(Doubt.GAP_RETENTION, "gate")]


def test_a_proof_keeps_reasons_topics_and_instants() -> None:
    assert in_proof([LOST]) == {
        "verified": False,
        "unverified": [{"reason": "gap.retention", "topic": "gate", "since": NOW}],
    }


@pytest.mark.parametrize(
    ("later", "since"),
    [
        (0, None),
        (10, None),  # at the limit itself it is not longer than the limit
        (11, NOW + 10),
        (-5, None),  # our clock was set back
    ],
)
def test_a_topic_is_silent_once_longer_than_its_limit(later: int, since: int | None) -> None:
    assert silent_since(NOW, 10, NOW + later) == since


def opened(**body: str | int | bool | None) -> Notice:
    return Notice(
        key="duty_opened:1",
        kind=Kind.DUTY_OPENED,
        severity=Severity.PAGE,
        processor="acme",
        rule="frt.file",
        duty="1",
        created_at=NOW,
        body={"individuals": 100_000, **body},
    )


def test_a_notice_of_an_unverified_number_says_so_in_its_first_line_and_how_to_mend_it() -> None:
    told = opened(**in_body([LOST]))
    line, facts = words.summary(told), words.description(told.body)

    assert line.en.endswith("(acme), number UNVERIFIED")
    assert line.zh.endswith("（acme），数量未核实")
    assert MEANING[Doubt.GAP_RETENTION].way_back in facts.en
    assert MEANING[Doubt.GAP_RETENTION].way_back_zh in facts.zh


@pytest.mark.parametrize("body", [in_body([]), {}])
def test_a_notice_of_a_verified_number_or_of_an_older_version_says_nothing(
    body: dict[str, str | int | bool | None],
) -> None:
    told = opened(**body)

    assert "UNVERIFIED" not in words.summary(told).en + words.description(told.body).en


SPAN = Span("id", 10, 100)
TP = ("gate", 0)


@pytest.mark.parametrize(
    ("stored", "committed", "found"),
    [
        # As after any restart: what was published had been stored.
        (StoredPosition("id", 50, None), 50, None),
        (StoredPosition("id", 50, None), 40, None),
        # A group that has never committed.
        (StoredPosition("id", 50, None), None, None),
        (None, None, None),
        (None, 0, None),
        # The database is older.
        (StoredPosition("id", 50, None), 51, (50, 51)),
        (None, 51, (0, 51)),
        # Older, and what it has not read is gone: that is a gap as well.
        (StoredPosition("id", 5, None), 51, (5, 51)),
        # What a topic of the same name had is no offset of this one.
        (StoredPosition("other", 50, None), 51, None),
        # Told before; any other offset is news.
        (StoredPosition("id", 50, None, 60), 60, None),
        (StoredPosition("id", 50, None, 60), 61, (50, 61)),
        (StoredPosition("id", 50, None, 60), 59, (50, 59)),
    ],
)
def test_a_committed_offset_beyond_the_stored_one_means_an_older_database(
    stored: StoredPosition | None, committed: int | None, found: tuple[int, int] | None
) -> None:
    known = {} if stored is None else {TP: stored}
    said = {} if committed is None else {TP: Committed(committed)}
    seen = aheads({TP: SPAN}, known, Written(0, 0), Known(said, {}), NOW)

    assert [(one.stored, one.committed) for one in seen] == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("stored", "kept", "found"),
    [
        (StoredPosition("id", 50, None), Kept("id", 50), None),
        # Another worker went on from where we were.
        (StoredPosition("id", 60, None), Kept("id", 50), None),
        # The database went back under us, before we had published.
        (StoredPosition("id", 50, None), Kept("id", 55), (50, 55)),
        (None, Kept("id", 55), (0, 55)),
        # The topic was made anew, or its log was cut off and is read again.
        (StoredPosition("other", 10, None), Kept("other", 55), None),
        (StoredPosition("id", 10, None), Kept("other", 55), None),
        (StoredPosition("id", 10, None, passed=55), Kept("id", 55), None),
        (StoredPosition("id", 10, None, passed=55), Kept("id", 56), (10, 56)),
    ],
)
def test_a_position_below_what_we_had_kept_ourselves_means_an_older_database(
    stored: StoredPosition | None, kept: Kept, found: tuple[int, int] | None
) -> None:
    known = {} if stored is None else {TP: stored}
    seen = aheads({TP: SPAN}, known, Written(0, 0), Known({}, {TP: kept}), NOW)

    assert [(one.stored, one.committed) for one in seen] == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("told", "missing"),
    [
        (None, None),
        (Written(7, 90), None),
        (Written(6, 80), None),
        (Written(8, 90), (1, 0)),
        (Written(7, 95), (0, 5)),
        (Written(6, 91), (0, 1)),
    ],
)
def test_less_written_than_the_group_was_told_of_means_an_older_database(
    told: Written | None, missing: tuple[int, int] | None
) -> None:
    known = Known({TP: Committed(50, told)}, {})
    seen = aheads({TP: SPAN}, {TP: StoredPosition("id", 50, None)}, Written(7, 90), known, NOW)

    assert [(one.entries, one.facts) for one in seen] == ([] if missing is None else [missing])


@pytest.mark.parametrize("lacks", [True, False])
def test_another_entry_or_fact_under_the_number_that_was_told_means_another_database(
    lacks: bool,  # noqa: FBT001 - pytest hands it over
) -> None:
    told = Written(7, 90, "5ea1" * 4, NOW)
    known = Known({TP: Committed(50, told)}, {})
    stored = {TP: StoredPosition("id", 50, None)}
    lacking = [told] if lacks else []
    seen = aheads({TP: SPAN}, stored, Written(9, 95), known, NOW, lacking)

    assert len(seen) == lacks


def test_what_was_written_survives_the_way_through_kafka_and_other_texts_say_nothing() -> None:
    for one in (Written(12, 345, "5ea1" * 4, NOW), Written(12, 345)):  # and of an older version
        assert from_metadata(to_metadata(one)) == one
    for text in (None, "", "somebody's", "facetally audit=1", "facetally audit=-1 book=2"):
        assert from_metadata(text) is None
