"""``facetally explain`` of a duty, a number and a date: what made them, without anybody's id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli.main import cli
from tests.homes import Home, event, ready

SETTINGS = (
    '[[rules]]\nid = "frt.file"\nat_least = 2\n'
    '[[systems]]\nprocessor = "acme"\nsystem = "lab"\npurpose = "research"\n'
    'reason = "training"\nby = "privacy office"\n'
)
PEOPLE = ["ann-4711", "bob-4712", "cy-4713"]
EVENTS = [
    event(PEOPLE[0], time="2026-01-12T08:00:00Z"),
    event(PEOPLE[1], time="2026-01-15T08:00:00Z", gallery="vip"),
    event(PEOPLE[2], time="2026-01-16T08:00:00Z", system="lab"),
    event(PEOPLE[0], kind="face.removed", time="2026-02-01T08:00:00Z"),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = ready(tmp_path_factory.mktemp("home"), SETTINGS)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


def test_a_duty_is_explained_by_its_fact_rule_days_and_audit_entries(filled: Home) -> None:
    found = filled.json("explain", "--processor", "acme", "--duty", "frt.file")

    assert found["duty"]["trigger_day"] == "2026-01-15"
    assert [fact["fact"] for fact in found["facts"]] == ["Enrolled in gate/vip"]
    assert found["facts"][0]["at"] == "2026-01-15T08:00:00Z"
    assert found["rule"]["source"] == "Order No. 19 (CAC, MPS), art. 15"
    assert (found["rule"]["at_least"], found["rule"]["unit"]) == (2, "working_days")
    assert found["days"][-1]["day"] == "2026-03-04"
    assert found["days"][-1]["count"] == 30
    assert [entry["kind"] for entry in found["audit"]] == ["duty.opened"]
    assert len(found["audit"][0]["hash"]) == 64


def test_a_duty_can_be_named_by_its_key(filled: Home) -> None:
    newest = filled.json("explain", "--processor", "acme", "--duty", "frt.file")

    assert filled.json("explain", "--processor", "acme", "--duty", "frt.file:1") == newest


def test_a_duty_that_is_not_there_is_refused_with_those_that_are(filled: Home) -> None:
    answer = filled.run("explain", "--processor", "acme", "--duty", "frt.file:9")

    assert answer.code == 2
    assert "there are frt.file:1" in answer.err


def test_a_number_is_explained_by_systems_facts_and_marks(filled: Home) -> None:
    found = filled.json("explain", "--processor", "acme", "--number")

    assert (found["individuals"], found["research_individuals"]) == (1, 1)
    assert found["facts"] == {"Enrolled": 3, "Removed": 1}
    assert found["newest_fact_at"] == "2026-02-01T08:00:00Z"
    assert found["research_marks"] == [
        {"system": "lab", "gallery": None, "by": "privacy office", "reason": "training"}
    ]
    assert {
        one["system"]: one["individuals"] for one in found["systems"] if one["individuals"]
    } == {
        "gate": 1,
        "lab": 1,
    }
    assert found["verified"] is True


def test_a_number_can_be_explained_as_of_an_instant(filled: Home) -> None:
    found = filled.json(
        "explain", "--processor", "acme", "--number", "--as-of", "2026-01-13T00:00:00Z"
    )

    assert (found["individuals"], found["facts"]) == (1, {"Enrolled": 1})
    assert found["newest_fact_at"] == "2026-01-12T08:00:00Z"


def test_a_date_is_explained_day_by_day_without_any_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FACETALLY_CONFIG", raising=False)
    answer = CliRunner().invoke(cli, ["explain", "--date", "2026-01-15", "30", "--json"])
    found = json.loads(answer.stdout)

    assert found["due_day"] == "2026-03-04"
    assert [day["day"] for day in found["days"] if day["count"] == 30] == ["2026-03-04"]
    days = {day["day"]: (day["working_day"], day["why"]) for day in found["days"]}
    assert days["2026-02-14"] == (True, "weekend day that is worked, calendar 2026-1")
    assert days["2026-02-16"] == (False, "day off, calendar 2026-1")
    assert days["2026-01-17"] == (False, "weekend")
    assert {one["version"] for one in found["calendars"]} >= {"2025-1", "2026-1"}


def test_a_date_beyond_the_calendars_says_where_the_count_stops(filled: Home) -> None:
    found = filled.json("explain", "--date", "2026-11-22", "30")

    assert found["due_day"] is None
    assert found["due_between"] == ["2027-01-01", "2027-01-11"]
    assert [day["count"] for day in found["days"]][-3:] == [29, None, None]
    assert found["days"][-2]["why"] == "calendar of 2027 not published"
    assert found["days"][-1]["why"].startswith("1 working days are left; by the plain week")


@pytest.mark.parametrize(
    "words",
    [
        ("--processor", "acme", "--duty", "frt.file"),
        ("--processor", "acme", "--number"),
        ("--date", "2026-01-15", "3"),
    ],
)
def test_the_text_tells_no_id(filled: Home, words: tuple[str, ...]) -> None:
    answer = filled.good("explain", *words)

    assert answer.out.strip()
    assert not any(person in answer.out for person in PEOPLE)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--processor", "acme"), "give one of SUBJECT"),
        (("--processor", "acme", "--number", "ann"), "give one of SUBJECT"),
        (("--number",), "give --processor"),
        (("--processor", "acme", "--as-of", "2026-01-13T00:00:00Z", "ann"), "goes with --number"),
        (("--date", "20260115", "3"), "give a day such as 2026-11-22"),
        (("--date", "2026-01-15", "0"), "at least 1"),
        (("--processor", "nobody", "--number"), "there is no processor 'nobody'"),
    ],
)
def test_what_cannot_be_explained_is_misuse(
    filled: Home, words: tuple[str, ...], says: str
) -> None:
    answer = filled.run("explain", *words)

    assert answer.code == 2
    assert says in answer.err
