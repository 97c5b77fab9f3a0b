"""``facetally accept``: what a person says, what is refused, what other commands say then."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.store import trust
from monitor.store.engine import open_engine
from monitor.trust import MEANING, Doubt
from tests.homes import Home, event, ready

COMPARED = ("--compared-at", "2026-04-01T08:00:00+08:00")
SAID = (*COMPARED, "--by", "privacy office", "--because", "listed at the terminals: 2")
GONE = ("accept", "--processor", "acme", "--reason", "gap.retention")


@pytest.fixture
def doubted(tmp_path: Path) -> Home:
    """Two individuals, and a gap in each of two topics."""
    home = ready(tmp_path / "home", database_url=f"sqlite:///{tmp_path / 'kept.db'}")
    events = [event("ann"), event("bob")]
    home.good("apply", home.write("events.ndjson", events), "--source", "cloudevents")
    engine = open_engine(f"sqlite:///{tmp_path / 'kept.db'}")
    with engine.begin() as connection:
        for topic in ("door", "gate"):
            trust.mark(connection, [1], Doubt.GAP_RETENTION, topic, 1_775_000_000_000_000)
    engine.dispose()
    return home


def test_the_text_names_reason_topic_and_since_and_the_way_back(doubted: Home) -> None:
    text = doubted.good("status").out

    assert "unverified: acme: gap.retention door since 2026-03-31T23:33:20Z" in text
    assert f"What to do: {MEANING[Doubt.GAP_RETENTION].way_back}" in text
    assert text.count("What to do") == 1


def test_verify_shows_the_mark_beside_the_numbers_and_finds_nothing_wrong(doubted: Home) -> None:
    told = doubted.run("verify")
    answer = doubted.json("verify")
    (acme,) = answer["processors"]

    assert told.code == 0
    assert "unverified: acme: gap.retention door since 2026-03-31T23:33:20Z" in told.out
    assert answer["holds"] is True
    assert (acme["processor"], acme["verified"]) == ("acme", False)
    assert [why["topic"] for why in acme["unverified"]] == ["door", "gate"]


def test_a_topic_that_was_not_read_to_its_end_is_accepted_only_as_gone(
    doubted: Home, tmp_path: Path
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'kept.db'}")
    with engine.begin() as connection:
        columns = "topic, partition, topic_id, next_offset, recent"
        values = "'door', 0, 'id', 7, '[]'"
        connection.exec_driver_sql(f"INSERT INTO positions ({columns}) VALUES ({values})")  # noqa: S608 - ours
    engine.dispose()
    refused = doubted.run(*GONE, *SAID)

    assert refused.code == 2
    assert "not yet: door/0 has not been read to its end since" in refused.err
    assert doubted.json(*GONE, "--unread", *SAID)["verified"] is True


def test_accepting_one_topic_leaves_the_other(doubted: Home) -> None:
    answer = doubted.json(*GONE, "--topic", "door", *SAID)

    assert (answer["processor"], answer["individuals"]) == ("acme", 2)
    assert answer["accepted"] == [{"reason": "gap.retention", "topic": "door"}]
    assert [why["topic"] for why in answer["unverified"]] == ["gate"]
    assert answer["verified"] is False


def test_accepting_without_a_topic_accepts_them_all(doubted: Home) -> None:
    text = doubted.good(*GONE, *SAID).out
    (acme,) = doubted.json("status")["processors"]

    assert text == "accepted: 2 individuals of acme, gap.retention (door, gate)\n"
    assert (acme["verified"], acme["unverified"]) == (True, [])
    assert doubted.run("verify").code == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*GONE, *COMPARED, "--by", " ", "--because", "x"), "--by"),
        ((*GONE, *COMPARED, "--by", "me", "--because", "two\nlines"), "--because"),
        ((*GONE, *COMPARED, "--by", "me"), "--because"),
        ((*GONE, "--by", "me", "--because", "x"), "--compared-at"),
        ((*GONE, "--compared-at", "yesterday", "--by", "me", "--because", "x"), "RFC|offset"),
        ((*GONE, "--compared-at", "2099-01-01T00:00:00Z", *SAID[2:]), "lies in the future"),
        ((*GONE, "--compared-at", "2026-03-31T23:33:19Z", *SAID[2:]), "happened again since"),
        (("accept", "--processor", "acme", "--reason", "eclipse", *SAID), "eclipse"),
        (("accept", "--processor", "acme", "--reason", "database_restored", *SAID), "acme"),
        (("accept", "--processor", "acme", "--reason", "snapshot_running", *SAID), "by itself"),
    ],
)
def test_what_says_too_little_or_does_not_hold_is_refused(
    doubted: Home, words: tuple[str, ...], says: str
) -> None:
    answer = doubted.run(*words)
    (acme,) = doubted.json("status")["processors"]

    assert answer.code == 2
    assert re.search(says, answer.err)
    assert len(acme["unverified"]) == 2


def test_reconciling_by_a_listing_is_still_not_there(doubted: Home) -> None:
    answer = doubted.run("reconcile", "--system", "gate", "listing.ndjson")

    assert (answer.code, "not_yet_supported" in answer.err) == (2, True)
