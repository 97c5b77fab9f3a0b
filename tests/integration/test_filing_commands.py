"""``facetally filing``, ``duty`` and ``change``: what a person says is recorded, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.homes import Answer, Home, event, ready

AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
EVENTS = [event(who, time="2026-03-02T01:00:00Z") for who in ("ann", "bob")]
BY = ("--by", "privacy office")
WHY = ("--reason", "counsel agrees")
FILE = ("acme", "--rule", "frt.file")


def filled(home: Home) -> Home:
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


@pytest.fixture
def owing(tmp_path: Path) -> Home:
    """A processor that reached its threshold on 2 March 2026."""
    return filled(ready(tmp_path, AT_TWO))


@pytest.fixture(params=["sqlite", "postgresql"])
def owing_on_both(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    if request.param == "sqlite":
        return filled(ready(tmp_path, AT_TWO))
    url = request.getfixturevalue("postgres_url")
    return filled(ready(tmp_path, AT_TWO, database_url=url))


def step(home: Home, kind: str, day: str, *more: str) -> Any:
    return home.json("filing", kind, *FILE, "--at", day, *BY, *more)


def completed(home: Home) -> Home:
    step(home, "submitted", "2026-03-05")
    step(home, "completed", "2026-03-10")
    return home


def refusal(answer: Answer) -> str:
    """Return the one sentence with which a command refused what it was told."""
    assert (answer.code, answer.out) == (2, "")
    assert "Traceback" not in answer.err
    return answer.err.strip().splitlines()[-1]


def shown(home: Home) -> Any:
    return home.json("filing", "show", *FILE)


def entries(home: Home) -> int:
    return len(home.good("audit", "tail", "-n", "1000", "--json").out.splitlines())


# -- filing --------------------------------------------------------------------------------------


def test_a_filing_goes_its_way_by_command(owing_on_both: Home) -> None:
    home = owing_on_both
    before = shown(home)
    said = [
        home.good("filing", kind, *FILE, "--at", day, *BY, "--reference", "2026-0042").out
        for kind, day in (
            ("submitted", "2026-03-05"),
            ("returned", "2026-03-12"),
            ("submitted", "2026-03-20"),
            ("failed", "2026-03-25"),
            ("submitted", "2026-03-27"),
            ("completed", "2026-04-01"),
        )
    ]
    after = shown(home)

    assert before["possible"] == ["submitted", "annulled", "corrected"]
    assert [one.strip() for one in said] == [
        f"recorded: acme frt.file 1 is {status}"
        for status in ("submitted", "returned", "submitted", "failed", "submitted", "completed")
    ]
    assert (after["duty"]["status"], after["possible"]) == ("completed", ["reopened"])
    assert [one["kind"] for one in after["steps"]][-2:] == ["submitted", "completed"]
    assert {one["reference"] for one in after["steps"]} == {"2026-0042"}
    assert [(one["rule"], one["due_day"]) for one in after["clocks"]] == [
        ("frt.review", "2026-03-26"),
        ("frt.supplement", "2026-03-26"),
        ("frt.review", "2026-04-13"),
        ("frt.review", "2026-04-20"),
    ]
    assert home.good("verify").code == 0


def test_the_same_step_again_is_known_already_and_writes_nothing(owing_on_both: Home) -> None:
    home = owing_on_both
    first = step(home, "submitted", "2026-03-05", "--reference", "7")
    written = entries(home)
    again = step(home, "submitted", "2026-03-05", "--reference", "7")
    said = home.good("filing", "submitted", *FILE, "--at", "2026-03-05", *BY).out

    assert (first["recorded"], again["recorded"]) == (True, False)
    assert first["step"] == again["step"] == shown(home)["steps"][0]["step"]
    assert said == "known already: acme frt.file 1 is submitted\n"
    assert len(shown(home)["steps"]) == 1
    assert entries(home) == written


@pytest.mark.parametrize(
    ("before", "kind", "state", "legal"),
    [
        ((), "returned", "open", "submitted, annulled, corrected"),
        ((), "completed", "open", "submitted, annulled, corrected"),
        ((), "failed", "open", "submitted, annulled, corrected"),
        ((), "terminated", "open", "submitted, annulled, corrected"),
        (
            ("submitted", "returned"),
            "completed",
            "returned",
            "submitted, terminated, annulled, corrected",
        ),
        (("submitted", "failed"), "completed", "failed", "submitted, annulled, corrected"),
        (("submitted", "completed"), "returned", "completed", "reopened"),
    ],
)
def test_a_step_that_is_not_possible_is_refused_with_those_that_are(
    owing: Home, before: tuple[str, ...], kind: str, state: str, legal: str
) -> None:
    for day, one in enumerate(before, 5):
        step(owing, one, f"2026-03-0{day}")
    written = entries(owing)
    said = refusal(owing.run("filing", kind, *FILE, "--at", "2026-03-09", *BY))

    assert said == (
        f"facetally: frt.file 1: {kind} is not possible while it is {state}; possible now: {legal}"
    )
    assert entries(owing) == written


def test_a_second_submission_is_refused_while_the_first_is_reviewed(owing: Home) -> None:
    step(owing, "submitted", "2026-03-05", "--reference", "7")
    again = ("--at", "2026-03-06", *BY, "--reference", "8")
    said = refusal(owing.run("filing", "submitted", *FILE, *again))

    assert "submitted is not possible while it is submitted; possible now: returned, " in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("submitted", *FILE, "--at", "2026-03-05"), "--by"),
        (("submitted", *FILE, *BY), "--at"),
        (("submitted", "acme", "--at", "2026-03-05", *BY), "--rule"),
        (("submitted", *FILE, "--at", "2026-03-05", "--by", " "), "one line of"),
        (("submitted", *FILE, "--at", "2026-03-05", "--by", "a\nb"), "one line of"),
        (("submitted", *FILE, "--at", "5 March", *BY), "give a day in Beijing"),
        (("submitted", *FILE, "--at", "2026-03-05T10:00:00", *BY), "give a day in Beijing"),
        (("submitted", *FILE, "--at", "2999-01-01", *BY), "that is in the future"),
        (("submitted", *FILE, "--at", "1999-12-31", *BY), "that is before the year 2000"),
        (("submitted", *FILE, "--at", "2026-03-05", *BY, "--individuals", "-1"), "--individuals"),
        (("completed", *FILE, "--key", "9", "--at", "2026-03-05", *BY), "has no duty frt.file 9"),
        (
            ("submitted", "acme", "--rule", "frt.cancel", "--at", "2026-03-05", *BY),
            "acme has no duty frt.cancel; its duties are: frt.file 1",
        ),
        (
            ("submitted", "nobody", "--rule", "frt.file", "--at", "2026-03-05", *BY),
            "there is no processor 'nobody'",
        ),
    ],
)
def test_what_is_missing_or_cannot_be_is_refused_by_name(
    owing: Home, words: tuple[str, ...], named: str
) -> None:
    assert named in refusal(owing.run("filing", *words))
    assert owing.json("filing", "list")["steps"] == []


def test_every_step_is_listed_with_who_said_it(owing: Home) -> None:
    step(owing, "submitted", "2026-03-05", "--reference", "2026-0042", "--reason", "by courier")
    (one,) = owing.json("filing", "list", "--processor", "acme")["steps"]

    assert (one["kind"], one["became"], one["source"]) == ("submitted", "taken", "command")
    assert (one["by"], one["reason"], one["reference"]) == (
        "privacy office",
        "by courier",
        "2026-0042",
    )
    assert (one["at"], one["duty"]) == (
        "2026-03-04T16:00:00Z",
        {"rule": "frt.file", "key": "1"},
    )
    assert owing.json("filing", "list", "--processor", "beta")["steps"] == []


def test_an_event_that_says_the_same_as_a_command_is_one_step(owing: Home) -> None:
    step(owing, "submitted", "2026-03-05", "--reference", "2026-0042")
    told = event(
        None,
        kind="filing.submitted",
        time="2026-03-05T03:00:00Z",
        system=None,
        rule="frt.file",
        reference="2026-0042",
    )
    owing.good("apply", owing.write("filing.ndjson", [told]), "--source", "cloudevents")

    assert [one["became"] for one in owing.json("filing", "list")["steps"]] == ["taken", "repeated"]
    assert shown(owing)["duty"]["status"] == "submitted"


def test_a_duty_that_is_not_there_cannot_be_shown(owing: Home) -> None:
    said = refusal(owing.run("filing", "show", *FILE, "--key", "2"))

    assert said == "facetally: acme has no duty frt.file 2; its duties are: frt.file 1"


# -- duty ----------------------------------------------------------------------------------------


def test_an_annulment_names_the_submissions_that_stay_with_it(owing: Home) -> None:
    first = step(owing, "submitted", "2026-03-05", "--reference", "7")
    said = owing.good("duty", "annul", *FILE, *BY, *WHY).out.splitlines()
    owing.good("duty", "reopen", *FILE, *BY, *WHY)
    again = owing.json("duty", "annul", *FILE, *BY, "--reason", "counsel still agrees")

    assert said[0] == "recorded: acme frt.file 1 is annulled"
    assert said[1].startswith("submitted of 2026-03-05 7 stays with it;")
    assert again["stays"] == [first["step"]]


def test_a_duty_is_annulled_and_reopened_with_who_and_why(owing_on_both: Home) -> None:
    home = owing_on_both
    annulled = home.json("duty", "annul", *FILE, *BY, *WHY)
    possible = shown(home)["possible"]
    reopened = home.json("duty", "reopen", *FILE, *BY, "--reason", "by mistake")
    told = [one for one in home.json("filing", "list")["steps"] if one["by"]]

    assert (annulled["recorded"], annulled["duty"]["status"]) == (True, "annulled")
    assert possible == ["reopened"]
    assert reopened["duty"]["status"] in {"open", "overdue"}
    assert {(one["kind"], one["by"], one["reason"]) for one in told} == {
        ("annulled", "privacy office", "counsel agrees"),
        ("reopened", "privacy office", "by mistake"),
    }
    assert home.good("verify").code == 0


@pytest.mark.parametrize(
    ("ended", "decision", "legal"),
    [
        (False, "reopen", "reopened is not possible while it is open; possible now: submitted, "),
        (True, "annul", "annulled is not possible while it is completed; possible now: reopened"),
    ],
)
def test_a_decision_that_is_not_possible_is_refused_with_those_that_are(
    owing: Home, decision: str, legal: str, *, ended: bool
) -> None:
    if ended:
        completed(owing)

    assert legal in refusal(owing.run("duty", decision, *FILE, *BY, *WHY))


def test_a_superseded_duty_is_shown_as_that_and_the_one_that_is_owed_by_default(
    owing_on_both: Home,
) -> None:
    home = owing_on_both
    gone = event("bob", kind="subject.removed", time="2026-03-03T01:00:00Z")
    again = event("cy", time="2026-04-01T01:00:00Z")
    home.good("duty", "annul", *FILE, *BY, *WHY)
    home.good("apply", home.write("again.ndjson", [gone, again]), "--source", "cloudevents")
    home.good("duty", "reopen", *FILE, "--key", "1", *BY, *WHY)
    second = home.json("filing", "show", *FILE, "--key", "2")
    explain = ("explain", "--processor", "acme", "--duty")

    assert shown(home)["duty"]["key"] == home.json(*explain, "frt.file")["duty"]["key"] == "1"
    assert second["superseded_by"] == {"rule": "frt.file", "key": "1"}
    assert second["possible"] == ["annulled"]
    assert home.json(*explain, "frt.file:2")["superseded_by"] == {"rule": "frt.file", "key": "1"}
    assert "annulled (superseded by frt.file 1)" in home.good(*explain, "frt.file:2").out
    text = home.good("filing", "show", *FILE, "--key", "2").out
    assert "annulled (superseded by frt.file 1)" in text
    assert "possible now: annulled\n" in text


def test_a_decision_said_again_is_known_already(owing: Home) -> None:
    annul = ("duty", "annul", *FILE, *BY, *WHY)
    owing.good(*annul)
    written = entries(owing)

    assert "known already" in owing.good(*annul).out
    assert entries(owing) == written


def test_a_trigger_day_is_corrected_and_its_deadline_follows(owing_on_both: Home) -> None:
    home = owing_on_both
    before = shown(home)["duty"]
    after = home.json("duty", "correct", *FILE, "--trigger-day", "2026-03-03", *BY, *WHY)["duty"]
    again = home.json("duty", "correct", *FILE, "--trigger-day", "2026-03-03", *BY, *WHY)

    assert (before["trigger_day"], before["due_day"]) == ("2026-03-02", "2026-04-14")
    assert (after["trigger_day"], after["due_day"]) == ("2026-03-03", "2026-04-15")
    assert again["recorded"] is False


def test_a_step_that_was_told_wrongly_is_taken_back(owing: Home) -> None:
    wrong = step(owing, "submitted", "2026-03-05")["step"]
    owing.good("duty", "correct", *FILE, "--withdraw", wrong, *BY, *WHY)
    became = {one["step"]: one["became"] for one in owing.json("filing", "list")["steps"]}

    assert became[wrong] == "withdrawn"
    assert shown(owing)["possible"] == ["submitted", "annulled", "corrected"]


@pytest.mark.parametrize(
    "words",
    [
        ("annul", *FILE, *BY),
        ("annul", *FILE, *WHY),
        ("reopen", *FILE, *BY),
        ("reopen", *FILE, *WHY),
        ("correct", *FILE, "--trigger-day", "2026-03-03", *BY),
        ("correct", *FILE, "--trigger-day", "2026-03-03", *WHY),
        ("annul", *FILE, "--by", "", *WHY),
        ("annul", *FILE, *BY, "--reason", "two\nlines"),
    ],
)
def test_a_decision_needs_who_and_why(owing: Home, words: tuple[str, ...]) -> None:
    written = entries(owing)
    said = refusal(owing.run("duty", *words))

    assert "--by" in said or "--reason" in said
    assert entries(owing) == written


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "give --trigger-day or --withdraw"),
        (("--trigger-day", "2026-03-03", "--withdraw", "x"), "give --trigger-day or --withdraw"),
        (("--trigger-day", "2026-03-03T00:00:00Z"), "--trigger-day: give a day in Beijing"),
        (("--trigger-day", "2999-01-01"), "2999-01-01 is not over yet"),
        (("--withdraw", "x"), "acme has no step 'x'"),
    ],
)
def test_a_correction_that_says_nothing_usable_is_refused(
    owing: Home, words: tuple[str, ...], named: str
) -> None:
    assert named in refusal(owing.run("duty", "correct", *FILE, *words, *BY, *WHY))


# -- change --------------------------------------------------------------------------------------


def record(home: Home, kind: str, day: str = "2026-04-01") -> Any:
    words = ("--kind", kind, "--at", day, *BY, "--reason", "kept for 90 days, was 30")
    return home.json("change", "record", "acme", *words)["change"]


def test_a_confirmed_change_starts_its_own_clock_and_a_dismissed_one_none(
    owing_on_both: Home,
) -> None:
    home = completed(owing_on_both)
    first, second = record(home, "retention"), record(home, "provider", "2026-04-02")
    confirmed = home.json("change", "confirm", str(first["change"]), *BY, *WHY)
    dismissed = home.json("change", "dismiss", str(second["change"]), *BY, *WHY)
    open_ones = home.json("change", "list")["changes"]
    everything = home.json("change", "list", "--all")["changes"]
    duties = {one["rule"]: one for one in home.json("duties")["duties"]}

    assert (confirmed["change"]["decision"], dismissed["change"]["decision"]) == (
        "confirmed",
        "dismissed",
    )
    assert (confirmed["duty"]["rule"], confirmed["duty"]["trigger_day"]) == (
        "frt.change",
        "2026-04-01",
    )
    assert dismissed["duty"] is None
    assert duties["frt.change"]["due_day"] == "2026-05-18"
    assert {one["change"] for one in everything} >= {first["change"], second["change"]}
    assert not {one["change"] for one in open_ones} & {first["change"], second["change"]}


def test_a_decision_about_a_change_is_not_turned_round_and_repeating_it_is_harmless(
    owing: Home,
) -> None:
    number = str(record(completed(owing), "retention")["change"])
    owing.good("change", "confirm", number, *BY, *WHY)
    written = entries(owing)
    again = owing.run("change", "confirm", number, *BY, *WHY)
    turned = refusal(owing.run("change", "dismiss", number, *BY, *WHY))

    assert again.code == 0
    assert "confirmed" in turned
    assert entries(owing) == written


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("confirm", "1", *BY), "--reason"),
        (("confirm", "1", *WHY), "--by"),
        (("dismiss", "1", *BY), "--reason"),
        (("dismiss", "1", *WHY), "--by"),
        (("confirm", "99", *BY, *WHY), "99"),
        (("record", "acme", "--kind", "retention", "--at", "2026-04-01", *BY), "--reason"),
        (("record", "acme", "--kind", "retention", "--at", "2026-04-01", *WHY), "--by"),
        (("record", "acme", "--kind", "retention", *BY, *WHY), "--at"),
        (("record", "acme", "--kind", "number", "--at", "2026-04-01", *BY, *WHY), "--kind"),
        (("record", "nobody", "--kind", "other", "--at", "2026-04-01", *BY, *WHY), "nobody"),
    ],
)
def test_a_change_needs_what_it_is_who_says_so_and_why(
    owing: Home, words: tuple[str, ...], named: str
) -> None:
    assert named in refusal(owing.run("change", *words))
    assert owing.json("change", "list", "--all")["changes"] == []


def test_what_was_confirmed_by_the_day_it_is_known_to_be_has_that_trigger_day(
    owing: Home,
) -> None:
    number = str(record(completed(owing), "storage")["change"])
    confirmed = owing.json("change", "confirm", number, "--at", "2026-04-07", *BY, *WHY)

    assert confirmed["duty"]["trigger_day"] == "2026-04-07"
