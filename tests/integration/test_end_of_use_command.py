"""The end of FR use told by command, and the text of ``facetally duties``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import Home, event, ready

AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
PEOPLE = [event(who, time="2026-03-02T01:00:00Z") for who in ("ann", "bob")]
END = ("processor.terminated", "--at", "2026-03-10T00:00:00Z")
SAID = ("--by", "privacy office", "--reason", "the site is closed")
ENDED = event(None, kind="processor.terminated", time="2026-03-10T00:00:00Z", system="")


def filled(home: Home, *events: str) -> Home:
    home.good("apply", home.write("e.ndjson", [*PEOPLE, *events]), "--source", "cloudevents")
    return home


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    if request.param == "sqlite":
        return ready(tmp_path, AT_TWO)
    return ready(tmp_path, AT_TWO, database_url=request.getfixturevalue("postgres_url"))


def cancellation(home: Home) -> list[tuple[object, ...]]:
    return [
        (one["key"], one["trigger_day"], one["due_day"])
        for one in home.json("duties")["duties"]
        if one["rule"] == "frt.cancel"
    ]


def test_an_end_of_use_that_is_told_by_command_starts_the_clock_once(home: Home) -> None:
    filled(home)
    said = home.json("event", "acme", *END, *SAID)
    again = home.good("event", "acme", *END, *SAID).out

    assert (said["new"], said["rules"]) == (True, ["frt.cancel"])
    assert [one["due_day"] for one in said["duties"]] == ["2026-04-22"]
    assert again.startswith("known already: processor.terminated at acme")
    assert cancellation(home) == [("1", "2026-03-10", "2026-04-22")]
    assert home.good("verify").code == 0


def test_an_end_of_use_by_command_and_from_the_stream_is_one(home: Home) -> None:
    filled(home, ENDED)
    said = home.json("event", "acme", *END, *SAID)

    assert [one["key"] for one in said["duties"]] == ["1"]
    assert cancellation(home) == [("1", "2026-03-10", "2026-04-22")]


def test_an_event_ends_the_procedure_as_the_command_does(home: Home) -> None:
    days = {"submitted": "05", "returned": "06", "terminated": "30"}
    filled(
        home,
        *(
            event(None, kind=f"filing.{kind}", time=f"2026-03-{day}T00:00:00Z", rule="frt.file")
            for kind, day in days.items()
        ),
    )
    shown = home.json("filing", "show", "acme", "--rule", "frt.file")

    assert [(one["kind"], one["became"]) for one in shown["steps"]] == [
        ("submitted", "taken"),
        ("returned", "taken"),
        ("terminated", "taken"),
    ]
    assert shown["duty"]["status"] == "terminated"
    assert home.good("verify").code == 0


# -- what a file says about the number then ----------------------------------------------------


@pytest.mark.parametrize(
    ("told", "rule"),
    [
        (ENDED, "frt.cancel"),
        (
            event(
                None,
                kind="registration.changed",
                time="2026-03-10T00:00:00Z",
                system="",
                changed=["retention"],
            ),
            "frt.change",
        ),
    ],
    ids=["end", "change"],
)
def test_a_duty_that_a_file_opened_says_the_number_of_the_whole_file(
    home: Home, told: str, rule: str
) -> None:
    first = home.write("a.ndjson", [PEOPLE[0], told])
    second = home.write("b.ndjson", [PEOPLE[1]])
    home.good("apply", first, second, "--source", "cloudevents")
    (duty,) = (one for one in home.json("duties")["duties"] if one["rule"] == rule)

    assert (duty["proof"]["individuals"], duty["proof"]["unverified"]) == (2, [])
    assert duty["proof"]["verified"] is True
    kinds = [
        one["kind"] for one in home.json("explain", "--processor", "acme", "--duty", rule)["audit"]
    ]
    assert kinds[-1] == "duty.proof_refined"
    assert home.good("verify").code == 0


# -- the text ----------------------------------------------------------------------------------


def test_the_text_of_duties_has_keys_days_and_what_is_still_stored(home: Home) -> None:
    filled(home, ENDED)
    said = home.good("duties").out

    row = next(line for line in said.splitlines() if "frt.cancel" in line)
    assert [cell.strip() for cell in row.split("│")[2:7]][:2] == ["frt.cancel", "1"]
    assert ("2026-03-10" in row, "2026-04-22" in row) == (True, True)
    assert "still stored after the end of use: acme frt.cancel 1: 2 (gate 2)\n" in said


def test_no_day_is_cut_at_80_columns(home: Home) -> None:
    filled(home, ENDED)
    said = home.run("duties", env={"COLUMNS": "80"}).out

    assert max(map(len, said.splitlines())) <= 80 + len("still stored after the end of use")
    for day in ("2026-03-02", "2026-04-14", "2026-03-10", "2026-04-22"):
        assert day in said
    assert "…" not in said


def test_the_newest_duty_of_a_rule_is_shown_where_no_key_is_named(home: Home) -> None:
    filled(home)
    for day in ("2026-04-01", "2026-04-02"):
        change = ("--kind", "retention", "--at", day, *SAID)
        number = home.json("change", "record", "acme", *change)["change"]["change"]
        home.good("change", "confirm", str(number), *SAID)
    shown = home.json("filing", "show", "acme", "--rule", "frt.change")

    assert (shown["duty"]["key"], shown["duty"]["trigger_day"]) == ("change.2", "2026-04-02")


@pytest.mark.parametrize("day", ["0001-01-01", "1999-12-31"])
def test_a_change_of_another_century_is_refused(tmp_path: Path, day: str) -> None:
    made = filled(ready(tmp_path, AT_TWO))
    answer = made.run("change", "record", "acme", "--kind", "other", "--at", day, *SAID)

    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "facetally: that is before the year 2000\n"
