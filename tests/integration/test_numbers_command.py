"""``facetally number``, ``event``, ``incident``, ``forecast``, and what ``status`` shows ahead."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.homes import Home, event, ready

SETTINGS = (
    '[[rules]]\nid = "frt.file"\nat_least = 50\n'
    '[[rules]]\nid = "audit.periodic"\nenabled = true\nat_least = 10\n'
    '[[rules]]\nid = "incident.other"\nenabled = true\n'
)
BEIJING = ZoneInfo("Asia/Shanghai")
# The running day's first instant: no hour of the clock puts it ahead of the command's own.
TODAY = datetime.now(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
SAID = ("--by", "privacy office", "--reason", "census of 2026")


def grown() -> list[str]:
    """Forty people: one each day, the last as today began in Beijing."""
    return [event(f"p{n}", time=(TODAY - timedelta(days=39 - n)).isoformat()) for n in range(40)]


@pytest.fixture
def filled(tmp_path: Path) -> Home:
    home = ready(tmp_path, SETTINGS)
    home.good("apply", home.write("events.ndjson", grown()), "--source", "cloudevents")
    return home


def tell(home: Home, number: str, at: str = "2026-03-02T00:00:00+08:00") -> dict[str, object]:
    found = home.json("number", "set", "acme", "pi.individuals", number, "--at", at, *SAID)
    assert isinstance(found, dict)
    return found


def test_a_told_number_opens_its_duty_and_is_listed(filled: Home) -> None:
    said = tell(filled, "11")
    listed = filled.json("number", "list", "acme")["numbers"]
    duties = filled.json("duties")["duties"]

    assert said["rules"] == ["audit.periodic"]
    assert [(one["rule"], one["trigger_day"], one["due_day"]) for one in duties] == [
        ("audit.periodic", "2026-03-02", "2028-03-02")
    ]
    assert [(one["number"], one["by"], one["reason"]) for one in listed] == [
        (11, "privacy office", "census of 2026")
    ]


def test_a_number_that_no_rule_is_about_is_refused(filled: Home) -> None:
    at = ("--at", "2026-03-02T00:00:00Z")
    answer = filled.run("number", "set", "acme", "faces", "5", *at, *SAID)

    assert answer.code == 2
    assert "no rule is about a number 'faces'; there are pi.individuals" in answer.err


def test_an_incident_says_when_it_is_too_late(filled: Home) -> None:
    at = ("--at", "2026-03-02T09:00:00+08:00")
    answer = filled.good("incident", "acme", *at, *SAID, "--reference", "case 7")
    again = filled.good("event", "acme", "incident.graded", *at, *SAID, "--reference", "case 7")

    kept, duty = answer.out.splitlines()
    assert kept == "kept: incident.graded at acme, 2026-03-02T01:00:00Z"
    assert duty.startswith("duty incident.other (case 7.1772413200000000): trigger day 2026-03-02")
    assert duty.endswith("too late from 2026-03-02T05:00:00Z on")
    assert again.out.startswith("known already")


def test_a_duty_that_was_annulled_is_said_to_be_that_and_not_to_be_kept(filled: Home) -> None:
    tell(filled, "11")
    why = ("--by", "privacy office", "--reason", "was done elsewhere")
    filled.good("duty", "annul", "acme", "--rule", "audit.periodic", "--key", "1-1", *why)
    at = ("--at", "2026-03-03T00:00:00+08:00")
    told = filled.good("number", "set", "acme", "pi.individuals", "12", *at, *SAID).out

    assert "duty audit.periodic (1-1): trigger day 2026-03-02, annulled: was done elsewhere" in told


def test_an_event_takes_a_day_in_beijing_as_its_first_instant(filled: Home) -> None:
    said = filled.good("event", "acme", "incident.graded", "--at", "2026-03-02", *SAID).out
    refused = filled.run("event", "acme", "incident.graded", "--at", "2 March", *SAID)

    assert said.startswith("kept: incident.graded at acme, 2026-03-01T16:00:00Z")
    assert "trigger day 2026-03-02, too late from 2026-03-01T20:00:00Z on" in said
    assert (refused.code, "give a day in Beijing" in refused.err) == (2, True)


def test_what_is_to_be_decided_since_a_number_was_told_is_said(filled: Home) -> None:
    tell(filled, "11")
    at = ("--at", "2026-03-02T00:00:00+08:00")
    said = filled.good("number", "set", "acme", "pi.individuals", "5", *at, *SAID).out
    again = tell(filled, "5")

    assert "to be decided: audit.periodic (1-1): by what is told now it was never reached" in said
    assert again["asked"] == []


def test_a_number_told_earlier_than_a_duty_that_is_over_says_what_day_waits(filled: Home) -> None:
    tell(filled, "11")
    why = ("--by", "privacy office", "--reason", "was done elsewhere")
    filled.good("duty", "annul", "acme", "--rule", "audit.periodic", "--key", "1-1", *why)
    asked = tell(filled, "12", at="2026-02-20T00:00:00+08:00")["asked"]

    assert asked == [
        {"rule": "audit.periodic", "key": "1-1", "why": "duty_closed", "found_day": "2026-02-20"}
    ]


def test_an_event_before_its_rule_was_in_force_says_that_nothing_is_owed(filled: Home) -> None:
    at = ("--at", "2025-06-22T09:00:00+08:00")
    said = filled.good("incident", "acme", *at, *SAID).out

    assert "incident.other is in force from 2025-11-01: nothing is owed for what was before" in said
    assert filled.json("duties")["duties"] == []


def test_a_rule_that_is_off_says_that_nothing_is_watched(filled: Home) -> None:
    at = ("--at", "2026-03-02T09:00:00+08:00")
    answer = filled.good("event", "acme", "assessment.recorded", *at, *SAID)

    assert "no rule that is on is about it: nothing is watched" in answer.out


def test_a_forecast_is_folded_from_the_book(filled: Home) -> None:
    (found,) = filled.json("forecast", "acme")["forecasts"]

    assert (found["processor"], found["rule"]) == ("acme", "frt.file")
    assert (found["outlook"], found["per_day"], found["individuals"]) == ("expected", 1.0, 40)
    # Ten more at one a day; a day may have ended in Beijing since the last one came.
    due = datetime.fromisoformat(found["day"]).date() - TODAY.date()
    assert timedelta(days=9) <= due <= timedelta(days=11)


def test_a_forecast_of_nobody_is_refused(filled: Home) -> None:
    answer = filled.run("forecast", "nobody")

    assert answer.code == 2
    assert "there is no processor 'nobody'" in answer.err


def test_status_shows_the_warning_and_the_forecast(filled: Home) -> None:
    (threshold,) = filled.json("status")["processors"][0]["thresholds"]
    text = filled.good("status").out

    assert threshold["warned_percent"] == 80  # forty of fifty
    assert threshold["forecast"]["individuals"] == 40
    assert (threshold["forecast"]["outlook"], threshold["forecast"]["per_day"]) == ("expected", 1.0)
    assert "ahead: acme frt.file: over 80 % of the threshold" in text


def test_status_as_of_an_instant_looks_at_nothing_ahead(filled: Home) -> None:
    then = (TODAY - timedelta(days=3)).isoformat()
    (threshold,) = filled.json("status", "--as-of", then)["processors"][0]["thresholds"]

    assert (threshold["warned_percent"], threshold["forecast"]) == (None, None)
