"""The filing pack, written by the command and read back with another library."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.workbook import Workbook

from deploy.pack.words import MATERIALS, OFFICER, UNKNOWN_FIELDS
from tests.conftest import REPOSITORY
from tests.homes import Home, event, ready

SETTINGS = (
    '[[rules]]\nid = "frt.file"\nat_least = 3\n'
    '[[rules]]\nid = "frt.retain"\nenabled = true\n'
    '[[systems]]\nprocessor = "acme"\nsystem = "lab"\npurpose = "research"\n'
    'reason = "training, decision 7"\nby = "privacy office"\n'
    '[[systems]]\nprocessor = "acme"\nsystem = "gate"\ngallery = "vip"\npurpose = "research"\n'
    'reason = "test set"\nby = "po2"\n'
    '[[systems]]\nprocessor = "acme"\nsystem = "store"\ngallery = "old"\npurpose = "research"\n'
    'reason = "nobody yet"\nby = "po3"\n'
)
PEOPLE = ["ann-4711", "bob-4712", "cy-4713", "dee-4714", "eve-4715"]
EVENTS = [
    event(PEOPLE[0], time="2026-01-12T08:00:00Z"),
    event(PEOPLE[1], time="2026-01-13T08:00:00Z", system="=1+1"),
    event(PEOPLE[2], time="2026-01-15T08:00:00Z"),
    event(PEOPLE[3], time="2026-01-20T08:00:00Z", system="lab"),
    event(PEOPLE[4], time="2026-01-20T09:00:00Z", gallery="vip"),
]
SHEETS = {
    "en": [
        "Summary",
        "Check list",
        "Contents",
        "Systems",
        "History",
        "Days 1 frt.file",
        "Duties",
        "Calendars",
    ],
    "zh": ["概要", "材料清单", "填报内容", "系统", "历史", "工作日 1 frt.file", "义务", "日历"],
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = ready(tmp_path_factory.mktemp("home"), SETTINGS)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    return home


@pytest.fixture(scope="module")
def packed(filled: Home) -> dict[str, Path]:
    """The three files, by language, and ``json``."""
    said = filled.json("filing", "pack", "acme", "--out", filled.path / "pack")
    files = [Path(file) for file in said["files"]]
    assert sorted(files) == sorted((filled.path / "pack").iterdir())  # nothing beside them
    return {"en": files[0], "zh": files[1], "json": files[2]}


def book(packed: dict[str, Path], language: str) -> Workbook:
    return openpyxl.load_workbook(packed[language])


def cells(of: Workbook, title: str) -> list[tuple[Any, ...]]:
    return [
        tuple(cell.date() if isinstance(cell, datetime) else cell for cell in row)
        for row in of[title].iter_rows(values_only=True)
    ]


def every_text(of: Workbook) -> Iterator[str]:
    for page in of.worksheets:
        for row in page.iter_rows(values_only=True):
            yield from (str(cell) for cell in row if cell is not None)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_workbook_has_its_sheets_in_its_language(packed: dict[str, Path], language: str) -> None:
    assert book(packed, language).sheetnames == SHEETS[language]


def test_the_number_stands_with_its_instant_proof_and_audit_head(
    packed: dict[str, Path],
) -> None:
    summary = dict(row[:2] for row in cells(book(packed, "en"), "Summary"))

    assert summary["Processor"] == "acme"
    assert summary["Individuals stored"] == 3
    assert summary["In research systems (Art. 2), not in it"] == 2
    assert summary["Threshold"] == "frt.file >= 3"
    assert summary["Number verified"] == "yes"
    assert summary["First reached"] == "2026-01-15T16:00:00+08:00"
    assert summary["Number then"] == 3
    assert datetime.fromisoformat(summary["As of"]).utcoffset() is not None
    assert len(summary["Audit head"]) == 64


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_nine_materials_are_for_the_officer_to_tick(
    packed: dict[str, Path], language: str
) -> None:
    rows = cells(book(packed, language), SHEETS[language][1])[1:]

    assert [row[0] for row in rows] == list(range(1, 10))
    assert [row[1] for row in rows] == [getattr(one.name, language) for one in MATERIALS]
    assert {row[3] for row in rows} == {getattr(OFFICER, language)}


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_not_known_is_marked_and_never_made_up(
    packed: dict[str, Path], language: str
) -> None:
    rows = cells(book(packed, language), SHEETS[language][2])[1:]
    known = {row[1]: row[2] for row in rows}
    mark = getattr(OFFICER, language)

    for _, field in UNKNOWN_FIELDS:
        assert known[getattr(field, language)] == mark
    assert 3 in known.values()


def test_a_recorded_assessment_is_named(filled: Home, packed: dict[str, Path]) -> None:
    del packed  # written before there was one
    filled.good(
        *("event", "acme", "assessment.recorded", "--at", "2026-01-05T00:00:00Z"),
        *("--by", "privacy office", "--reason", "approved", "--reference", "PIPIA 12"),
    )
    said = filled.json("filing", "pack", "acme", "--out", filled.path / "later")
    rows = cells(openpyxl.load_workbook(said["files"][0]), "Contents")

    named = [row for row in rows if row[1] == "Recorded impact assessment"]
    assert [row[2:4] for row in named] == [
        ("2026-01-05T08:00:00+08:00 PIPIA 12", "privacy office: approved")
    ]


def test_systems_stand_with_their_marks_and_a_name_is_no_formula(packed: dict[str, Path]) -> None:
    page = book(packed, "en")["Systems"]
    rows = [tuple(cell.value for cell in row[:6]) for row in page.iter_rows(min_row=2, max_row=6)]

    assert rows == [
        ("=1+1", None, 1, "operation", None, None),
        ("gate", None, 2, "operation", None, None),
        ("gate", "vip", 1, "research (Art. 2)", "po2", "test set"),
        ("lab", None, 1, "research (Art. 2)", "privacy office", "training, decision 7"),
        ("store", "old", 0, "research (Art. 2)", "po3", "nobody yet"),
    ]
    assert page["A2"].data_type == "s"


def test_the_history_has_every_day_and_a_chart_over_all_of_it(packed: dict[str, Path]) -> None:
    of = book(packed, "en")
    rows = cells(of, "History")[1:]

    assert rows[:4] == [
        (date(2026, 1, 12), 1, 3),
        (date(2026, 1, 13), 2, 3),
        (date(2026, 1, 14), 2, 3),
        (date(2026, 1, 15), 3, 3),
    ]
    assert all(later[0] > earlier[0] for earlier, later in pairwise(rows))
    (chart,) = of["History"]._charts  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
    number, threshold = chart.series
    last = len(rows) + 1
    assert number.val.numRef.f == f"History!$B$2:$B${last}"
    assert threshold.val.numRef.f == f"History!$C$2:$C${last}"
    assert number.cat.numRef.f == f"History!$A$2:$A${last}"


def test_thirty_working_days_are_spelled_out_day_by_day(packed: dict[str, Path]) -> None:
    """LAW.md: from 2026-01-15 the thirtieth is 2026-03-04, over two make-up Saturdays."""
    rows = cells(book(packed, "en"), "Days 1 frt.file")[1:]
    by_day = {row[0]: row[1:] for row in rows}

    assert rows[0] == (date(2026, 1, 15), "Thursday", None, "trigger day, not counted", None, None)
    assert rows[1] == (date(2026, 1, 16), "Friday", "yes", "working day", 1, None)
    assert by_day[date(2026, 1, 17)] == ("Saturday", "no", "weekend", 1, None)
    assert by_day[date(2026, 2, 14)] == (
        "Saturday",
        "yes",
        "weekend day that is worked, calendar 2026-1",
        22,
        None,
    )
    assert by_day[date(2026, 2, 16)] == ("Monday", "no", "day off, calendar 2026-1", 22, None)
    last = (date(2026, 3, 4), "Wednesday", "yes", "working day", 30, "last day to act")
    assert rows[-1] == last
    assert len(rows) == 1 + (date(2026, 3, 4) - date(2026, 1, 15)).days


def contents(of: Workbook) -> dict[str, Any]:
    return {str(row[1]): row[2] for row in cells(of, "Contents")}


def test_only_systems_in_operation_are_counted_under_article_15(packed: dict[str, Path]) -> None:
    assert contents(book(packed, "en"))["Systems in operation"] == 2


def test_more_than_a_number_is_not_that_number_or_more(tmp_path: Path) -> None:
    more = '[[rules]]\nid = "frt.file"\nat_least = 2\ncomparator = ">"\n'
    home = ready(tmp_path, more)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    said = home.json("filing", "pack", "acme", "--out", tmp_path / "pack")
    of = openpyxl.load_workbook(said["files"][0])

    assert ("Threshold", "frt.file > 2") in cells(of, "Summary")
    assert cells(of, "History")[1] == (date(2026, 1, 12), 1, 3)


def test_a_day_that_is_over_stands_with_the_count_that_gave_it(tmp_path: Path) -> None:
    """The calendar is corrected after the filing was completed: its day stays, and its count."""
    home = ready(tmp_path, SETTINGS)
    events = [event(who, time="2026-11-02T08:00:00Z") for who in PEOPLE[:3]]
    home.good("apply", home.write("events.ndjson", events), "--source", "cloudevents")
    for step, at in (("submitted", "2026-11-05"), ("completed", "2026-11-06")):
        home.good("filing", step, "acme", "--rule", "frt.file", "--at", at, "--by", "office")
    text = (REPOSITORY / "monitor/calendars/2026.toml").read_text("utf-8")
    corrected = text.replace("2026-1", "2026-2", 1)
    corrected += '[[holidays]]\nname = "x"\nfirst = 2026-12-01\nlast = 2026-12-02\n'
    home.good("calendar", "load", home.write("2026.toml", [corrected]), "--by", "office")
    said = home.json("filing", "pack", "acme", "--out", tmp_path / "pack")
    of = openpyxl.load_workbook(said["files"][0])
    (duty,) = (row for row in cells(of, "Duties") if row[0] == "frt.file")
    days = cells(of, "Days 1 frt.file")

    assert (duty[3], duty[8]) == (date(2026, 12, 14), "2025-1+2026-1")
    assert days[-1] == (
        date(2026, 12, 14),
        "Monday",
        "yes",
        "working day",
        30,
        "last day to act",
    )
    assert {row[1] for row in cells(of, "Calendars")} >= {"2026-1", "2026-2"}


def test_a_day_that_nothing_kept_counts_to_is_said_to_be_that(tmp_path: Path) -> None:
    home = ready(tmp_path, SETTINGS)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    with sqlite3.connect(home.database) as connection:
        change = "UPDATE duties SET due_day = :day, earliest = :day, latest = :day"
        connection.execute(change, {"day": "2026-03-06"})
    connection.close()
    said = home.json("filing", "pack", "acme", "--out", tmp_path / "pack")
    *counted, told = cells(openpyxl.load_workbook(said["files"][0]), "Days 1 frt.file")

    assert (counted[-1][0], counted[-1][5]) == (date(2026, 3, 4), None)
    assert (told[0], told[4]) == (date(2026, 3, 6), None)
    assert str(told[5]).endswith("do not count to it")


def test_rules_that_changed_since_do_not_change_the_count_of_an_older_duty(tmp_path: Path) -> None:
    home = ready(tmp_path, SETTINGS)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    for step, at in (("submitted", "2026-01-20"), ("completed", "2026-01-21")):
        home.good("filing", step, "acme", "--rule", "frt.file", "--at", at, "--by", "office")
    home.settings.write_text(home.settings.read_text().replace("= 3\n", "= 3\nperiod = 20\n", 1))
    home.good(
        *("apply", home.write("none.ndjson", []), "--source", "cloudevents", "--take-settings")
    )
    said = home.json("filing", "pack", "acme", "--out", tmp_path / "pack")
    days = cells(openpyxl.load_workbook(said["files"][0]), "Days 1 frt.file")

    assert (days[-1][0], days[-1][4]) == (date(2026, 3, 4), 30)


def test_duties_and_calendars_name_their_sources(packed: dict[str, Path]) -> None:
    duties = cells(book(packed, "en"), "Duties")[1:]
    calendars = cells(book(packed, "en"), "Calendars")[1:]

    assert [row[0] for row in duties] == ["frt.file"]
    assert duties[0][2:4] == (date(2026, 1, 15), date(2026, 3, 4))
    assert duties[0][7] == "Order No. 19 (CAC, MPS), art. 15"
    assert [row[0] for row in calendars][:2] == [2025, 2026]
    assert all("gov.cn" in str(row[2]) for row in calendars[:2])
    assert calendars[-1][2] == "not published"


def test_the_json_says_the_same_as_both_workbooks(packed: dict[str, Path]) -> None:
    found = json.loads(packed["json"].read_text())

    for language in ("en", "zh"):
        of = book(packed, language)
        for sheet in found["sheets"]:
            title, *rows = cells(of, sheet["title"][language])
            assert list(title) == [column[language] for column in sheet["columns"]]
            said = [
                [cell[language] if isinstance(cell, dict) else cell for cell in row]
                for row in sheet["rows"]
            ]
            shown = [[c.isoformat() if isinstance(c, date) else c for c in row] for row in rows]
            assert shown == said


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_cell_has_anything_of_a_person(packed: dict[str, Path], language: str) -> None:
    texts = " ".join(every_text(book(packed, language)))

    assert not any(person in texts for person in PEOPLE)
    assert not any(person in packed["json"].read_text() for person in PEOPLE)
    assert not any(person.encode() in packed[language].read_bytes() for person in PEOPLE)


def test_the_chinese_workbook_is_chinese(packed: dict[str, Path]) -> None:
    found = json.loads(packed["json"].read_text())
    words = [cell for sheet in found["sheets"] for row in sheet["rows"] for cell in row]
    pairs = [cell for cell in words if isinstance(cell, dict)]

    assert all(any(ord(char) > 0x2E80 for char in pair["zh"]) for pair in pairs)
    assert not any(ord(char) > 0x2E80 for pair in pairs for char in pair["en"])


def test_numbers_are_as_of_the_instant_that_is_asked_for(filled: Home) -> None:
    said = filled.json(
        *("filing", "pack", "acme", "--out", filled.path / "then"),
        *("--as-of", "2026-01-14T00:00:00+08:00"),
    )
    of = openpyxl.load_workbook(said["files"][0])
    summary = dict(row[:2] for row in cells(of, "Summary"))

    assert said["individuals"] == summary["Individuals stored"] == 2
    assert summary["First reached"] == "no"
    assert cells(of, "History")[-1][:2] == (date(2026, 1, 14), 2)
    assert "frt.file" not in [row[0] for row in cells(of, "Duties")]


def test_the_numbers_of_an_instant_to_come_are_refused_and_nothing_is_written(
    filled: Home, tmp_path: Path
) -> None:
    """They would be today's, verified, under the date of another day."""
    ahead = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for asked in (
        ("filing", "pack", "acme", "--out", tmp_path / "none"),
        ("status",),
        ("explain", "--processor", "acme", "--number"),
    ):
        answer = filled.run(*asked, "--as-of", ahead)

        assert (answer.code, answer.out) == (2, "")
        assert "is in the future; what will be stored then is not known" in answer.err
    assert not (tmp_path / "none").exists()


def test_a_name_of_any_length_and_any_signs_has_files_of_its_own(tmp_path: Path) -> None:
    home = ready(tmp_path / "home", SETTINGS)
    names = ["深圳市某某智慧人脸识别科技发展有限责任公司" * 4, "a/b", "a:b", "a_b", "..", "plain"]
    events = [event("ann", processor=name, time="2026-01-12T08:00:00Z") for name in names]
    home.good("apply", home.write("events.ndjson", events), "--source", "cloudevents")
    whose = {}
    for name in names:
        for file in home.json("filing", "pack", name, "--out", tmp_path / "all")["files"]:
            assert file not in whose
            whose[file] = name

    assert sorted(whose) == sorted(map(str, (tmp_path / "all").iterdir()))
    for file, name in whose.items():
        if file.endswith(".json"):
            assert json.loads(Path(file).read_text())["processor"] == name
    assert any("/filing-pack-plain-2" in file for file in whose)
    assert any("/filing-pack-深圳市某某智慧人脸识别" in file for file in whose)


def test_a_folder_that_cannot_be_written_to_is_said_in_one_line(
    filled: Home, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    answer = filled.run("filing", "pack", "acme", "--out", tmp_path / "file" / "in")

    assert answer.code == 2
    assert "facetally: the pack cannot be written: Not a directory" in answer.err


def test_the_duties_are_in_chinese_in_the_chinese_workbook(tmp_path: Path) -> None:
    own = (
        '[[rules]]\nid = "own.x"\nmeasure = "event"\nevent = "own.x"\nperiod = 9\n'
        'addressee = "the board"\nsource = "house rule 4"\n'
    )
    home = ready(tmp_path, SETTINGS, own)
    home.good("apply", home.write("events.ndjson", EVENTS), "--source", "cloudevents")
    home.good(
        *("filing", "submitted", "acme", "--rule", "frt.file"),
        *("--at", "2026-01-20", "--by", "office"),
    )
    home.good("event", "acme", "own.x", "--at", "2026-01-20", "--by", "office", "--reason", "x")
    files = home.json("filing", "pack", "acme", "--out", tmp_path / "pack")["files"]
    rows = {row[0]: row for row in cells(openpyxl.load_workbook(files[1]), "义务")}

    assert rows["frt.file"][4] == "已提交，审核中"
    assert rows["frt.file"][6] == "省级以上网信部门"
    assert str(rows["frt.file"][7]).startswith("《人脸识别技术应用安全管理办法》")
    assert str(rows["frt.file"][7]).endswith("第十五条")
    assert rows["own.x"][6:8] == ("the board", "house rule 4")


def test_an_unknown_processor_is_refused_and_writes_nothing(filled: Home, tmp_path: Path) -> None:
    answer = filled.run("filing", "pack", "nobody", "--out", tmp_path / "none")

    assert answer.code == 2
    assert "there is no processor 'nobody'" in answer.err
    assert not (tmp_path / "none").exists()
