"""``facetally calendar``: a year is checked, loaded and shown while a worker runs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from monitor.calendars import Sheet, parse_year, read_sheet, read_sheets
from monitor.store.calendars_loading import Decision, load
from monitor.store.engine import open_engine
from tests.conftest import REPOSITORY
from tests.homes import Home, event, home, ready
from tests.integration.store_kit import SECOND, policy
from tests.integration.test_store_calendars import TODAY, WITH_A_LONG_NEW_YEAR, entries, sheet

EXAMPLE = REPOSITORY / "deploy" / "examples" / "calendars" / "2026.toml"
AT_TWO = '[[rules]]\nid = "frt.file"\nat_least = 2\n'
# 2026-11-23 in Beijing: 30 working days from then end in 2027.
EVENTS = [event(who, time="2026-11-23T01:00:00Z") for who in ("ann", "bob")]


@pytest.fixture
def owing(tmp_path: Path) -> Home:
    """A processor with a clock that ends in a year that is not published."""
    made = ready(tmp_path / "home", AT_TWO)
    made.good("apply", made.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return made


@pytest.fixture
def year(tmp_path: Path) -> Path:
    file = tmp_path / "2027.toml"
    file.write_text(sheet().text, "utf-8")
    return file


def test_the_example_is_the_shipped_year_and_can_be_used_and_corrected(
    owing: Home, tmp_path: Path
) -> None:
    shipped = next(one for one in read_sheets() if one.year.year == 2026)
    days = owing.json("duties")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "2026.toml").write_bytes(EXAMPLE.read_bytes())
    corrected = tmp_path / "corrected.toml"
    corrected.write_text(EXAMPLE.read_text("utf-8").replace('"2026-1"', '"2026-2"'), "utf-8")

    assert read_sheet(EXAMPLE).year == shipped.year
    assert read_sheets(tmp_path / "own")[-1].year == shipped.year
    assert owing.json("calendar", "load", corrected)["loaded"] is True
    assert [one["due_between"] for one in owing.json("duties")["duties"]] == [
        one["due_between"] for one in days["duties"]
    ]


def test_every_field_of_a_year_is_explained_where_it_is_said_how_to_load_one() -> None:
    guide = (REPOSITORY / "docs" / "running.md").read_text("utf-8")
    section = guide.partition("## When a year's calendar is published")[2].partition("\n## ")[0]
    table = tomllib.loads(EXAMPLE.read_text("utf-8"))
    fields = {*table, *table["notice"], *(name for one in table["holidays"] for name in one)}

    assert "deploy/examples/calendars/2026.toml" in section
    assert {name for name in fields if f"`{name}`" not in section} == set()


@pytest.mark.parametrize(
    ("december", "said"),
    [("2026-12-31", None), ("2026-11-30", "2026-11-30 is not in 2027; move it to 2026.toml")],
)
def test_days_of_the_december_before_stand_in_the_year_of_the_notice(
    tmp_path: Path, december: str, said: str | None
) -> None:
    """As running.md says; no earlier month does."""
    year = tmp_path / "2027.toml"
    text = sheet().text.replace("first = 2027-01-01", f"first = {december}", 1)
    year.write_text(text, "utf-8")
    home = Home(tmp_path, secret=None)
    answer = home.program("calendar", "check", year)

    assert answer.code == (0 if said is None else 2)
    assert said is None or said in answer.err


def test_a_year_that_is_loaded_settles_what_was_provisional(owing: Home, year: Path) -> None:
    (before,) = owing.json("duties")["duties"]
    said = owing.good("calendar", "load", year, "--by", "privacy office").out
    (after,) = owing.json("duties")["duties"]

    assert before["due_between"] == ["2027-01-01", "2027-01-14"]
    assert said.splitlines() == [
        "2027-1: loaded; published to 2027-12-31",
        "  acme frt.file: was 2027-01-01 .. 2027-01-14, now 2027-01-05",
    ]
    assert (after["due_day"], after["due_between"]) == ("2027-01-05", None)
    assert after["calendar_version"] == "2025-1+2026-1+2027-1"
    assert owing.json("working-days", "2026-11-23", "30")["due_day"] == "2027-01-05"
    assert owing.good("audit", "verify").code == owing.good("verify").code == 0


def test_loading_it_again_says_that_it_is_in_use(owing: Home, year: Path) -> None:
    owing.good("calendar", "load", year)
    again = owing.json("calendar", "load", year)

    assert (again["loaded"], again["moved"]) == (False, [])
    assert owing.good("calendar", "load", year).out.startswith("2027-1: already in use;")


def test_what_moved_is_told_as_json(owing: Home, year: Path) -> None:
    answer = owing.json("calendar", "load", year)
    (moved,) = answer["moved"]

    assert (answer["loaded"], answer["version"], answer["doubts"]) == (True, "2027-1", [])
    assert (moved["processor"], moved["rule"], moved["earlier"]) == ("acme", "frt.file", False)
    assert moved["before"]["due_between"] == ["2027-01-01", "2027-01-14"]
    assert moved["after"]["due_day"] == "2027-01-05"


def test_what_was_loaded_is_in_the_bundle_and_sealed_by_the_chain(
    owing: Home, year: Path, tmp_path: Path
) -> None:
    owing.good("calendar", "load", year)
    owing.good("audit", "export", tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "calendars.ndjson").read_text("utf-8").splitlines()
    last = json.loads(lines[-1])

    assert (last["version"], last["text"]) == ("2027-1", sheet().text)
    assert last["seq"] is not None
    assert Home(tmp_path, secret=None).run("audit", "verify", tmp_path / "bundle").code == 0


def test_a_file_is_refused_with_its_name_field_and_line(owing: Home, year: Path) -> None:
    year.write_text(sheet().text.replace("2027-01-31", "2027-02-01"), "utf-8")
    for command in ("check", "load"):
        answer = owing.run("calendar", command, year)

        assert (answer.code, answer.out) == (2, "")
        assert "2027.toml: work: 2027-02-01 is no Saturday or Sunday" in answer.err
        assert "(line " in answer.err


def test_other_content_under_the_version_in_use_is_refused(owing: Home, year: Path) -> None:
    owing.good("calendar", "load", year)
    year.write_text(sheet(other=WITH_A_LONG_NEW_YEAR).text, "utf-8")
    answer = owing.run("calendar", "load", year)

    assert answer.code == 2
    assert "2027.toml: version: 2027-1 was used with other content; raise it" in answer.err


def test_a_file_is_checked_without_settings_and_without_being_loaded(
    tmp_path: Path, year: Path
) -> None:
    (tmp_path / "bare").mkdir()
    bare = Home(tmp_path / "bare", secret=None)
    year.write_text(sheet(other={"Labour": ("2027-05-03", "2027-05-05", "")}).text, "utf-8")
    answer = bare.program("calendar", "check", year)

    assert (answer.code, answer.err) == (0, "")
    assert "compare with the notice: 2027-05-01 (Labour Day) is not off" in answer.out


def test_a_year_in_which_something_is_strange_moves_nothing_until_a_person_insists(
    owing: Home, year: Path
) -> None:
    year.write_text(sheet(other={"Labour": ("2027-05-03", "2027-05-05", "")}).text, "utf-8")
    before = owing.json("duties")
    refused = owing.run("calendar", "load", year)

    assert refused.code == 2
    assert "2027-05-01 (Labour Day) is not off" in refused.err
    assert "give --despite-doubts" in refused.err
    assert owing.json("duties") == before
    assert owing.json("calendar", "load", year, "--despite-doubts")["loaded"] is True


def test_a_calendar_that_only_the_officer_has_is_sealed_before_a_day_is_counted_by_it(
    owing: Home, tmp_path: Path
) -> None:
    """A supplement clock that is opened by it must be provable years later."""
    (owing.path / "own").mkdir()
    (owing.path / "own" / "2027.toml").write_text(sheet("2027-0").text, "utf-8")
    officer = owing.path / "officer.toml"
    officer.write_text('calendar_dir = "own"\n' + owing.settings.read_text())
    told = ("acme", "--rule", "frt.file", "--by", "office")
    owing.good("filing", "submitted", *told, "--at", "2026-11-23T10:00:00+08:00")
    owing.good(
        "--config", officer, "filing", "returned", *told, "--at", "2026-11-23T11:00:00+08:00"
    )
    versions = {one["rule"]: one["calendar_version"] for one in owing.json("duties")["duties"]}
    owing.good("audit", "export", tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "calendars.ndjson").read_text("utf-8").splitlines()
    sealed = {json.loads(line)["version"]: json.loads(line)["seq"] for line in lines}

    assert versions["frt.supplement"] == "2025-1+2026-1+2027-0"
    assert sealed["2027-0"] is not None


def test_what_is_used_is_shown_with_what_is_not_published(owing: Home, year: Path) -> None:
    before = owing.json("calendar", "show")
    owing.good("calendar", "load", year, "--by", "office", "--because", "notice no. 9")
    after = owing.json("calendar", "show")
    row = after["years"][-1]

    assert (before["published_to"], before["provisional_from"]) == ("2026-12-31", "2027-01-01")
    assert [(one["version"], one["origin"]) for one in before["years"]] == [
        ("2025-1", "shipped"),
        ("2026-1", "shipped"),
    ]
    assert (after["published_to"], after["provisional_from"]) == ("2027-12-31", "2028-01-01")
    assert (row["version"], row["in_use"], row["origin"]) == ("2027-1", True, "loaded")
    assert (row["by"], row["because"]) == ("office", "notice no. 9")
    assert row["source"] == "synthetic, 2026-12-01, https://example.org/synthetic"
    assert "2028 and later: not published" in owing.good("calendar", "show").out


def test_the_days_of_one_year_are_shown(owing: Home) -> None:
    shown = owing.json("calendar", "show", "2026")

    assert (shown["working_days"], len(shown["off"]), len(shown["work"])) == (248, 33, 6)
    assert "worked: 2026-01-04" in owing.good("calendar", "show", "2026").out
    assert owing.run("calendar", "show", "2027").code == 2


def test_a_year_is_printed_as_the_file_that_it_was_read_from(
    owing: Home, year: Path, tmp_path: Path
) -> None:
    shipped = owing.good("calendar", "show", "2026", "--toml").out
    owing.good("calendar", "load", year)
    loaded = owing.good("calendar", "show", "2027", "--toml").out
    begun = tmp_path / "begun.toml"
    begun.write_text(shipped, "utf-8")

    assert shipped == read_sheets()[-1].text
    assert loaded == year.read_text("utf-8")
    assert owing.good("calendar", "check", begun).out.startswith("2026-1: good, 248 working days")
    for wrong in (("--toml",), ("2026", "--toml", "--json")):
        assert owing.run("calendar", "show", *wrong).code == 2


def test_the_shipped_years_are_shown_where_there_are_no_settings(tmp_path: Path) -> None:
    bare = Home(tmp_path, secret=None)

    assert "2027 and later: not published" in bare.program("calendar", "show").out
    assert bare.program("calendar", "check").out.count(": good, 248 working days") == 2


def test_a_database_that_does_not_answer_leaves_the_files_and_is_said(tmp_path: Path) -> None:
    made = home(tmp_path, database_url="postgresql+psycopg://nobody@127.0.0.1:1/none")
    answer = made.program("working-days", "2026-11-19", "30")

    assert (answer.code, answer.out) == (0, "2026-12-31\n")
    assert "what was loaded is not known here" in answer.err


def test_what_is_said_of_who_and_why_is_one_line(owing: Home, year: Path) -> None:
    answer = owing.run("calendar", "load", year, "--by", "two\nlines")

    assert answer.code == 2
    assert "one line of" in answer.err


def test_a_release_that_ships_a_year_that_was_loaded_with_other_days_stops_no_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As if this release were the first with 2026, and somebody had loaded a wrong one before."""
    made = ready(tmp_path / "home", AT_TWO)
    year_2025, shipped = read_sheets()[:2]
    text = f'{shipped.text}\n[[holidays]]\nname = "x"\nfirst = 2026-12-01\nlast = 2026-12-01\n'
    ours = Sheet(year=parse_year("2026.toml", text), text=text, origin="loaded")
    engine = open_engine(f"sqlite:///{made.database}")
    decided = Decision(sheet=ours, by="office", because="published")
    load(engine, [year_2025], decided, policy(2), TODAY - 60 * SECOND)
    engine.dispose()
    november = [event(who, time="2026-11-02T01:00:00Z") for who in ("ann", "bob")]
    made.good("apply", made.write("e.ndjson", november), "--source", "cloudevents")
    (before,) = made.json("duties")["duties"]
    right = tmp_path / "2026.toml"
    right.write_text(shipped.text.replace('"2026-1"', '"2026-2"'), "utf-8")
    made.good("calendar", "load", right)
    warned = caplog.text
    caplog.clear()
    (after,) = made.json("duties")["duties"]

    assert "the shipped calendar 2026-1 has other days" in warned
    assert caplog.text == ""
    assert (before["due_day"], after["due_day"]) == ("2026-12-15", "2026-12-14")
    assert made.good("audit", "verify").code == made.good("verify").code == 0


def test_another_clock_moves_the_day_of_an_open_duty_when_the_settings_are_taken(
    tmp_path: Path,
) -> None:
    made = ready(tmp_path / "home", AT_TWO)
    november = [event(who, time="2026-11-02T01:00:00Z") for who in ("ann", "bob")]
    made.good("apply", made.write("e.ndjson", november), "--source", "cloudevents")
    (before,) = made.json("duties")["duties"]
    shorter = f"{AT_TWO}period = 20\ncount_trigger_day = true\n"
    made.settings.write_text(made.settings.read_text().replace(AT_TWO, shorter), "utf-8")
    nothing = made.write("none.ndjson", [])
    made.good("apply", nothing, "--source", "cloudevents", "--take-settings")
    (after,) = made.json("duties")["duties"]
    engine = open_engine(f"sqlite:///{made.database}")
    (moved,) = entries(engine, "duty.due_moved")
    engine.dispose()

    assert (before["due_day"], after["due_day"]) == ("2026-12-14", "2026-11-27")
    assert moved["why"] == "rule"
    assert made.good("audit", "verify").code == made.good("verify").code == 0
