"""``facetally explain --duty``: all that made a duty, years later, by what held then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.homes import Home, event, ready

SETTINGS = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
EVENTS = [
    event("ann-4711", time="2026-03-02T01:00:00Z"),
    event("bob-4712", time="2026-03-02T02:00:00Z", gallery="vip"),
]
BY = ("--by", "privacy office")
FILE = ("acme", "--rule", "frt.file")


@pytest.fixture
def owing(tmp_path: Path) -> Home:
    """A processor that reached its threshold on 2 March 2026: due on 14 April."""
    made = ready(tmp_path, SETTINGS)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return made


def explained(home: Home, duty: str) -> Any:
    return home.json("explain", "--processor", "acme", "--duty", duty)


def text(home: Home, duty: str) -> str:
    return home.good("explain", "--processor", "acme", "--duty", duty).out


def filed(home: Home, kind: str, day: str, *more: str) -> None:
    home.good("filing", kind, *FILE, "--at", day, *BY, *more)


# -- what it was counted by ------------------------------------------------------------------------


def test_a_closed_duty_is_spelled_by_the_calendar_and_the_period_that_it_was_counted_by(
    owing: Home, tmp_path: Path
) -> None:
    filed(owing, "submitted", "2026-03-05")
    filed(owing, "completed", "2026-03-10")
    before = explained(owing, "frt.file")
    shipped = files("monitor.calendars").joinpath("2026.toml").read_text("utf-8")
    newer = shipped.replace("2026-1", "2026-2", 1)
    newer += '[[holidays]]\nname = "x"\nfirst = 2026-03-16\nlast = 2026-03-17\n'
    (tmp_path / "2026.toml").write_text(newer, "utf-8")
    owing.good("calendar", "load", tmp_path / "2026.toml", *BY)
    owing.settings.write_text(owing.settings.read_text() + "period = 20\n")
    more = owing.write("none.ndjson", [])
    owing.good("apply", more, "--source", "cloudevents", "--take-settings")
    after = explained(owing, "frt.file")

    assert before["duty"]["due_day"] == after["duty"]["due_day"] == "2026-04-14"
    assert before["days"] == after["days"]
    assert (after["days"][-1]["day"], after["days"][-1]["count"]) == ("2026-04-14", 30)
    assert [one["version"] for one in after["calendars"]] == ["2025-1", "2026-1"]
    assert after["rule"]["period"] == 30


# -- what happened to it ---------------------------------------------------------------------------


def test_every_step_and_decision_is_among_what_is_told_of_a_duty(owing: Home) -> None:
    filed(owing, "submitted", "2026-03-05", "--reference", "7")
    filed(owing, "returned", "2026-03-12")
    owing.good("duty", "annul", *FILE, *BY, "--reason", "a test")
    found = explained(owing, "frt.file")

    assert {"duty.opened", "filing.submitted", "filing.returned", "duty.annulled"} <= {
        one["kind"] for one in found["audit"]
    }
    annulled = next(one for one in found["audit"] if one["kind"] == "duty.annulled")
    assert (annulled["by"], annulled["reason"]) == ("privacy office", "a test")
    assert [(one["kind"], one["became"]) for one in found["steps"]] == [
        ("submitted", "taken"),
        ("returned", "taken"),
        ("annulled", "taken"),
    ]


def test_a_step_of_another_duty_is_not_among_them(owing: Home) -> None:
    filed(owing, "submitted", "2026-03-05")
    end = ("--at", "2026-03-10T00:00:00Z", *BY, "--reason", "closed")
    owing.good("event", "acme", "processor.terminated", *end)
    found = explained(owing, "frt.cancel")

    assert found["steps"] == []
    assert "filing.submitted" not in {one["kind"] for one in found["audit"]}


def test_a_supplement_clock_has_the_steps_between_which_it_ran(owing: Home) -> None:
    filed(owing, "submitted", "2026-03-05")
    filed(owing, "returned", "2026-03-12")
    filed(owing, "submitted", "2026-03-20")
    found = explained(owing, "frt.supplement")

    assert [one["kind"] for one in found["steps"]] == ["returned", "submitted"]
    assert {"filing.returned", "filing.submitted", "duty.opened"} <= {
        one["kind"] for one in found["audit"]
    }


def test_after_a_correction_the_facts_of_the_trigger_before_are_shown_still(owing: Home) -> None:
    before = explained(owing, "frt.file")["facts"]
    day = ("--trigger-day", "2026-03-04", *BY, "--reason", "a test run before")
    owing.good("duty", "correct", *FILE, *day)
    found = explained(owing, "frt.file")

    assert [one["fact"] for one in before] == ["Enrolled in gate/vip"]
    assert found["facts"] == before
    assert {"duty.moved", "duty.corrected"} <= {one["kind"] for one in found["audit"]}
    assert "corrected by privacy office: a test run before, the trigger day was 2026-03-02" in text(
        owing, "frt.file"
    )


def test_the_text_has_the_last_day_the_status_the_period_and_who_and_why(owing: Home) -> None:
    filed(owing, "submitted", "2026-03-05", "--reference", "7", "--reason", "online")
    said = text(owing, "frt.file")

    assert "status submitted, due 2026-04-14, 30 working days\n" in said
    assert "number then 2 of 2\n" in said
    assert "submitted taken 7 by privacy office: online\n" in said
    assert " filing.submitted by privacy office: online " in said


# -- duties that an event opened -------------------------------------------------------------------


def test_a_cancellation_names_the_end_of_use_and_who_told_it(owing: Home) -> None:
    end = ("--at", "2026-03-10T00:00:00Z", *BY, "--reason", "the site is closed")
    owing.good("event", "acme", "processor.terminated", *end)
    found = explained(owing, "frt.cancel")

    (fact,) = found["facts"]
    assert (fact["fact"], fact["at"]) == ("processor.terminated", "2026-03-10T00:00:00Z")
    told = {one["kind"]: one for one in found["audit"]}
    assert told["event.told"]["by"] == "privacy office"
    assert "event.told by privacy office: the site is closed" in text(owing, "frt.cancel")


def test_an_update_names_its_change_evidence_and_who_confirmed_it(owing: Home) -> None:
    new = ("--kind", "retention", "--at", "2026-04-01", *BY, "--reason", "90 days")
    change = owing.json("change", "record", "acme", *new)["change"]["change"]
    owing.good("change", "confirm", str(change), "--by", "counsel", "--reason", "material")
    found, said = explained(owing, "frt.change"), text(owing, "frt.change")

    assert [one["fact"] for one in found["facts"]] == ["registration.changed (retention)"]
    assert {"change.proposed", "change.confirmed"} <= {one["kind"] for one in found["audit"]}
    assert "evidence because 90 days, by privacy office\n" in said
    assert "confirmed by counsel: material\n" in said


def test_a_duty_that_a_told_number_proved_names_the_number_and_who_told_it(tmp_path: Path) -> None:
    report = '[[rules]]\nid = "pio.report"\nenabled = true\nat_least = 1000\n'
    home = ready(tmp_path, SETTINGS + report)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    told = ("--at", "2026-03-10T00:00:00Z", *BY, "--reason", "census of the CRM")
    home.good("number", "set", "acme", "pi.individuals", "1000", *told)
    found = explained(home, "pio.report")

    assert [(one["fact"], one["at"]) for one in found["facts"]] == [
        ("number pi.individuals 1,000", "2026-03-10T00:00:00Z")
    ]
    assert {"number.told", "duty.opened"} <= {one["kind"] for one in found["audit"]}
    assert "number.told by privacy office: census of the CRM" in text(home, "pio.report")


def test_the_duty_of_a_latch_that_was_armed_anew_has_the_entry_of_that(owing: Home) -> None:
    owing.good("duty", "annul", *FILE, *BY, "--reason", "a test")
    again = [
        event("ann-4711", kind="subject.removed", time="2026-03-20T00:00:00Z"),
        event("ann-4711", time="2026-04-01T00:00:00Z"),
    ]
    owing.good("apply", owing.write("again.ndjson", again), "--source", "cloudevents")
    first, second = explained(owing, "frt.file:1"), explained(owing, "frt.file:2")

    assert "latch.armed" in {one["kind"] for one in second["audit"]}
    assert "latch.armed" not in {one["kind"] for one in first["audit"]}


def test_a_last_day_that_nothing_kept_counts_to_is_said_to_be_unproven(owing: Home) -> None:
    said, proven = text(owing, "frt.file"), explained(owing, "frt.file")["proven"]
    with closing(sqlite3.connect(owing.database)) as connection, connection:
        connection.execute(
            "UPDATE duties SET due_day = '2026-04-30', earliest = '2026-04-30',"
            " latest = '2026-04-30', calendar_version = 'gone'"
        )

    assert (proven, "do not count to it" in said) == (True, False)
    assert explained(owing, "frt.file")["proven"] is False
    unproven = "the calendars and rules that are kept do not count to it\n"
    assert f"2026-04-30 is the last day that was told; {unproven}" in text(owing, "frt.file")


def test_a_legacy_duty_is_found_by_the_rule_that_it_stands_in_for(tmp_path: Path) -> None:
    home = ready(tmp_path, SETTINGS)
    old = [event(who, time="2025-05-20T01:00:00Z") for who in ("ann", "bob")]
    home.good("apply", home.write("events.ndjson", old), "--source", "cloudevents")

    assert explained(home, "frt.file")["duty"]["rule"] == "frt.file.legacy"
    assert home.json("filing", "show", *FILE)["duty"]["rule"] == "frt.file.legacy"


# -- what may be an id -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("zhang", "san"), ("--zhang",), ("-zhang",), ("--zhang=san", "li"), ("a", "--san")]
)
def test_no_complaint_repeats_what_may_be_an_id(owing: Home, words: tuple[str, ...]) -> None:
    answer = owing.run("explain", "--processor", "acme", *words)

    assert (answer.code, answer.out) == (2, "")
    assert "SUBJECT" in answer.err
    assert not any(word in answer.err for word in ("zhang", "san"))
