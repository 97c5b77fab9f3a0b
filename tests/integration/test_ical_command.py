"""``facetally ical``: what moves a date in the database moves it in a calendar that subscribes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import vobject

from tests.homes import Home, event, ready
from tests.integration.test_filing_commands import BY, EVENTS, FILE, WHY, refusal, step
from tests.integration.test_store_calendars import sheet

AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
RETAIN = '[[rules]]\nid = "frt.retain"\nenabled = true\n'  # what is kept for three years
KEPT = ("acme", "--rule", "frt.retain")
LATE = [event(who, time="2026-11-23T01:00:00Z") for who in ("ann", "bob")]


@pytest.fixture
def new(tmp_path: Path) -> Home:
    return ready(tmp_path, AT_TWO)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    if request.param == "sqlite":
        return ready(tmp_path, AT_TWO)
    return ready(tmp_path, AT_TWO, database_url=request.getfixturevalue("postgres_url"))


def filled(home: Home, events: list[str]) -> Home:
    home.good("apply", home.write("events.ndjson", events), "--source", "cloudevents")
    return home


def text(home: Home, *words: str) -> str:
    return home.good("ical", "--language", "en", *words, "-").out


def events(home: Home, *words: str) -> dict[str, Any]:
    """Return the events by category, which is the rule."""
    calendar = vobject.readOne(text(home, *words))
    return {one.categories.value[0]: one for one in calendar.contents.get("vevent", [])}


def only(home: Home) -> tuple[Any, ...]:
    """Return uid, sequence, status and day of the one event there is."""
    (found,) = events(home).values()
    return found.uid.value, found.sequence.value, found.status.value, found.dtstart.value


def stands(home: Home) -> tuple[str, str, str]:
    """Return sequence, status and how the title of the one event begins."""
    (found,) = events(home).values()
    return found.sequence.value, found.status.value, found.summary.value.partition(":")[0]


def test_a_year_that_is_loaded_moves_the_date_with_the_next_sequence(
    either: Home, tmp_path: Path
) -> None:
    home = filled(either, LATE)
    uid, *before = only(home)
    year = tmp_path / "2027.toml"
    year.write_text(sheet().text, "utf-8")
    home.good("calendar", "load", year, "--by", "privacy office")

    assert before == ["0", "TENTATIVE", date(2027, 1, 1)]
    assert only(home) == (uid, "2", "CONFIRMED", date(2027, 1, 5))


def test_a_corrected_trigger_day_moves_it_again(new: Home) -> None:
    home = filled(new, EVENTS)
    uid, *before = only(home)
    home.good("duty", "correct", *FILE, "--trigger-day", "2026-03-04", *BY, *WHY)

    assert before == ["0", "CONFIRMED", date(2026, 4, 14)]
    assert only(home) == (uid, "2", "CONFIRMED", date(2026, 4, 16))


def test_annulled_and_reopened_are_two_more_revisions_of_the_same_event(either: Home) -> None:
    home = filled(either, EVENTS)
    uid, _, _, day = only(home)
    home.good("duty", "annul", *FILE, *BY, *WHY)
    annulled = only(home)
    home.good("duty", "reopen", *FILE, *BY, *WHY)

    assert annulled == (uid, "3", "CANCELLED", day)
    assert only(home) == (uid, "4", "CONFIRMED", day)


def test_back_to_an_earlier_day_is_no_earlier_sequence(either: Home) -> None:
    """Also where both moves, and an end, come between two times that the calendar is written."""
    home = filled(either, EVENTS)
    uid, before, status, day = only(home)
    for trigger_day in ("2026-03-04", "2026-03-02"):
        home.good("duty", "correct", *FILE, "--trigger-day", trigger_day, *BY, *WHY)
    back = only(home)
    home.good("duty", "correct", *FILE, "--trigger-day", "2026-03-04", *BY, *WHY)
    home.good("duty", "annul", *FILE, *BY, *WHY)

    assert (before, back) == ("0", (uid, "4", status, day))
    assert only(home) == (uid, "9", "CANCELLED", date(2026, 4, 16))


def test_what_ended_by_itself_is_annulled_reopened_and_moved_with_a_higher_sequence_each(
    either: Home,
) -> None:
    either.settings.write_text(either.settings.read_text() + RETAIN)
    home = filled(either, EVENTS[:1])
    kept = ("--at", "2021-03-04", "--reference", "gate")
    home.good("event", "acme", "assessment.recorded", *kept, *BY, *WHY)
    ended = stands(home)
    home.good("duty", "annul", *KEPT, *BY, *WHY)
    annulled = stands(home)
    home.good("duty", "reopen", *KEPT, *BY, *WHY)
    reopened = stands(home)
    home.good("duty", "correct", *KEPT, "--trigger-day", "2025-03-04", *BY, *WHY)

    assert (ended, annulled) == (("1", "CANCELLED", "Done"), ("3", "CANCELLED", "Annulled"))
    assert reopened == ("5", "CANCELLED", "Done")
    assert stands(home) == ("6", "CONFIRMED", "Due")


def test_a_completed_filing_cancels_its_event_and_the_clocks_it_started(new: Home) -> None:
    home = filled(new, EVENTS)
    step(home, "submitted", "2026-03-05")
    between = events(home)
    step(home, "completed", "2026-03-10")
    after = events(home)

    assert {rule: one.status.value for rule, one in between.items()} == {
        "frt.file": "CONFIRMED",
        "frt.review": "CONFIRMED",
    }
    assert between["frt.file"].sequence.value == "0"
    assert between["frt.file"].summary.value.startswith("Submitted")
    assert {rule: one.status.value for rule, one in after.items()} == {
        "frt.file": "CANCELLED",
        "frt.review": "CANCELLED",
    }
    assert after["frt.file"].sequence.value == after["frt.review"].sequence.value == "3"


def test_what_is_asked_twice_is_the_same_but_for_the_stamp(new: Home) -> None:
    home = filled(new, EVENTS)
    first, second = (
        [line for line in text(home).splitlines() if not line.startswith("DTSTAMP")]
        for _ in range(2)
    )

    assert first == second
    assert "LAST-MODIFIED" in "".join(first)


def test_the_stamp_is_now_and_the_other_dates_are_those_of_the_facts(new: Home) -> None:
    home = filled(new, EVENTS)
    before = datetime.now(UTC).replace(microsecond=0)
    (one,) = events(home).values()
    after = datetime.now(UTC)

    assert before <= one.dtstamp.value <= after
    assert one.created.value <= one.last_modified.value <= before


def test_an_unverified_number_is_said_so_while_it_is_one(new: Home) -> None:
    home = filled(new, EVENTS)
    half = home.write("more.ndjson", [event("cy", time="2026-03-03T01:00:00Z")])
    whole = half.read_bytes()
    half.write_bytes(whole + whole[:40])
    assert home.run("apply", half, "--source", "cloudevents").code == 2
    (doubtful,) = events(home).values()
    half.write_bytes(whole)
    home.good("apply", half, "--source", "cloudevents")
    (sound,) = events(home).values()

    assert doubtful.summary.value.endswith(", number UNVERIFIED")
    assert "facetally abandon" in doubtful.description.value
    assert not sound.summary.value.endswith("UNVERIFIED")


def test_only_the_processors_that_are_asked_for_are_in_it(new: Home) -> None:
    others = [
        event(who, processor="beta", time="2026-03-02T01:00:00Z") for who in ("cy", "dee", "eve")
    ]
    home = filled(new, [*EVENTS, *others])

    assert text(home).count("BEGIN:VEVENT") == 2
    assert text(home, "--processor", "beta").count("BEGIN:VEVENT") == 1
    assert "(beta)" in text(home, "--processor", "beta")
    assert text(home, "--processor", "beta", "--processor", "acme").count("BEGIN:VEVENT") == 2


def test_a_processor_that_nobody_knows_is_refused(new: Home) -> None:
    assert "there is no processor 'gamma'" in refusal(new.run("ical", "--processor", "gamma", "-"))


def test_a_file_is_written_once_and_left_alone_until_something_changes(
    new: Home, tmp_path: Path
) -> None:
    home, file = filled(new, EVENTS), tmp_path / "duties.ics"
    first, again = home.json("ical", file), home.json("ical", file)
    home.good("duty", "annul", *FILE, *BY, *WHY)

    assert first == {"file": str(file), "events": 1, "changed": True}
    assert again["changed"] is False
    assert home.good("ical", file).out == f"{file}: 1 deadlines\n"
    assert home.good("ical", file).out == f"{file}: 1 deadlines, nothing new\n"


def test_json_and_the_calendar_are_not_mixed_on_standard_output(new: Home) -> None:
    assert "cannot both go to standard output" in refusal(new.run("ical", "--json", "-"))


def test_no_duty_is_an_empty_calendar_and_not_an_error(new: Home) -> None:
    assert vobject.readOne(text(new)).contents.get("vevent") is None


def test_the_feed_holds_no_id_of_a_person(new: Home) -> None:
    home = filled(new, [event(who, time="2026-03-02T01:00:00Z") for who in ("ann-4711", "bob-99")])

    assert "BEGIN:VEVENT" in text(home)
    assert "4711" not in text(home)
    assert "bob" not in text(home)
