"""Years that are loaded at run time: which one wins, where a file is wrong, what is strange."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from monitor.calendars import (
    FOLDER,
    LOADED,
    SHIPPED,
    BadCalendar,
    Sheet,
    Year,
    check_replaces,
    order,
    parse_year,
    read_sheet,
    read_sheets,
    read_years,
    settled,
    with_loaded,
)
from monitor.calendars.checking import doubts, working_days_of

TEXT = """# of 2027
year = 2027
version = "2027-1"

[notice]
number = "no. 1"
published = 2026-11-30
source = "https://example.org/2027"

[[holidays]]
name = "New Year"
first = 2027-01-01
last = 2027-01-03

[[holidays]]
name = "Spring Festival"
first = 2027-02-05
last = 2027-02-11
work = [2027-01-31,
        2027-02-20]
"""
SHIPPED_YEARS = read_years()


def year(number: int = 2027, version: str = "2027-1", *off: date) -> Year:
    return Year(
        year=number, version=version, notice="n", off=frozenset(off), work=frozenset[date]()
    )


def test_the_text_of_every_year_is_kept_with_its_hash(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_text(TEXT, "utf-8")
    sheets = read_sheets(tmp_path)

    assert [(one.year.version, one.origin) for one in sheets] == [
        ("2025-1", SHIPPED),
        ("2026-1", SHIPPED),
        ("2027-1", FOLDER),
    ]
    assert tuple(one.year for one in sheets) == read_years(tmp_path)
    assert sheets[2].text == TEXT
    assert sheets[2].sha256 == hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize("name", ["2027.toml", "published.toml", "notice-of-2026.toml"])
def test_a_file_to_be_loaded_may_have_any_name_but_that_of_another_year(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_text(TEXT, "utf-8")
    found = read_sheet(tmp_path / name)

    assert (found.year, found.origin) == (parse_year("2027.toml", TEXT), LOADED)


def test_a_file_that_is_called_as_another_year_is_refused(tmp_path: Path) -> None:
    (tmp_path / "2028.toml").write_text(TEXT, "utf-8")

    with pytest.raises(BadCalendar, match=r"^2028\.toml: year: is 2027; .* \(line 2\)$"):
        read_sheet(tmp_path / "2028.toml")


def test_the_line_ends_of_a_file_are_kept_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_bytes(TEXT.replace("\n", "\r\n").encode())

    assert read_sheet(tmp_path / "2027.toml").text.count("\r\n") == TEXT.count("\n")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "2027.toml").write_bytes(b"\xff")

    with pytest.raises(BadCalendar, match=r"^2027\.toml: cannot be .* text: it is not UTF-8$"):
        read_sheet(tmp_path / "2027.toml")
    with pytest.raises(BadCalendar, match=r"^absent: cannot be read as a text: No such file"):
        read_sheet(tmp_path / "absent")


def test_what_is_nested_too_deeply_is_no_calendar() -> None:
    with pytest.raises(BadCalendar, match=r"^2027\.toml: no valid TOML"):
        parse_year("2027.toml", "a = " + "[" * 100_000)


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("year = 2027", "year =", "no valid TOML: .*line 2"),
        ("year = 2027", 'year = "2027"', r"year: must be given, as int \(line 2\)"),
        ('version = "2027-1"', "version = 1", r"version: must be given, as str \(line 3\)"),
        ("published = 2026-11-30", "", r"published: must be given, as date \(line 5\)"),
        ('number = "no. 1"', "number = 1", r"number: must be given, as str \(line 6\)"),
        ("first = 2027-01-01", "first = 2027-02-01", r"first: .* after last, .* \(line 12\)"),
        ("last = 2027-02-11", "last = 2028-02-11", r"last: .* not in 2027; .* \(line 18\)"),
        ("last = 2027-02-11", "", r"last: must be given, as date \(line 15\)"),
        ("2027-01-31,", "2027-02-01,", r"work: 2027-02-01 is no Saturday or Sunday.* \(line 19\)"),
        ("2027-01-31,", '"2027-01-31",', r"work: must be days such as .* \(line 19\)"),
        ("2027-01-31,", "2026-11-29,", r"work: 2026-11-29 is not in 2027; .* \(line 19\)"),
        ("2027-01-31,", "2027-01-02,", "2027-01-02 is both off and a work day; remove one"),
        ("first = 2027-02-05", "# first\n[holidays.more]", r"first: must be given, as date \("),
    ],
)
def test_what_is_wrong_is_named_with_file_field_and_line(old: str, new: str, wrong: str) -> None:
    assert TEXT.count(old) == 1
    with pytest.raises(BadCalendar, match=rf"^2027\.toml: {wrong}"):
        parse_year("2027.toml", TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ("work = [", "wrok = [", r"wrok: is not known; use first, last, name, work \(line 19\)"),
        ("source =", 'sources = "x"\nsource =', r"sources: is not known; use .* \(line 8\)"),
        ("# of 2027", "yaer = 2027", r"yaer: is not known; use holidays, notice, version, year"),
    ],
)
def test_a_field_that_means_nothing_is_refused(old: str, new: str, wrong: str) -> None:
    with pytest.raises(BadCalendar, match=rf"^2027\.toml: {wrong}"):
        parse_year("2027.toml", TEXT.replace(old, new))


@pytest.mark.parametrize("version", ["1", "draft", "2026-1", "2027-", "2027-draft", "2027-1+2"])
def test_a_version_that_is_in_no_order_is_refused(version: str) -> None:
    with pytest.raises(BadCalendar, match=r"version: must begin with 2027- and a number, .*line 3"):
        parse_year("2027.toml", TEXT.replace('"2027-1"', f'"{version}"'))


def test_where_a_file_is_written_in_another_way_no_line_is_named() -> None:
    text = (
        'year = 2027\nversion = "2027-1"\n'
        'notice = {number = "1", published = 2026-11-30, source = "s"}\n'
        "holidays = [{first = 2027-01-02, last = 2027-01-01}]\n"
    )
    with pytest.raises(BadCalendar, match=r"exchange them$"):
        parse_year("2027.toml", text)


# -- which version is used -----------------------------------------------------------------------


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = ["2027-10", "2028-1", "2027-2", "2027-10a", "2027-9", "2027-1"]

    assert sorted(versions, key=order) == [
        "2027-1",
        "2027-2",
        "2027-9",
        "2027-10",
        "2027-10a",
        "2028-1",
    ]


def test_a_loaded_year_is_added_and_the_higher_version_of_a_year_is_used() -> None:
    first, second = year(), year(2027, "2027-2", date(2027, 1, 1))
    corrected, older = year(2026, "2026-2"), year(2026, "2026-0")

    assert with_loaded(SHIPPED_YEARS, [first])[2:] == (first,)
    assert with_loaded(SHIPPED_YEARS, [first, second])[2:] == (second,)
    assert with_loaded(SHIPPED_YEARS, [second, first])[2:] == (second,)
    assert with_loaded(SHIPPED_YEARS, [corrected])[1] == corrected
    assert with_loaded(SHIPPED_YEARS, [older]) == SHIPPED_YEARS


def test_a_loaded_year_must_follow_the_others() -> None:
    with pytest.raises(BadCalendar, match=r"^2028\.toml: the year 2027 is missing .* add 2027"):
        with_loaded(SHIPPED_YEARS, [year(2028, "2028-1")])


def test_other_days_need_another_version_whatever_they_are_compared_with() -> None:
    one, other = year(), year(2027, "2027-1", date(2027, 1, 1))

    check_replaces(None, one, "x")
    check_replaces(one, replace(one, notice="told otherwise"), "x")
    check_replaces(one, replace(other, version="2027-2"), "x")
    with pytest.raises(BadCalendar, match=r"^2027\.toml: version: the days differ from the x 2"):
        check_replaces(one, other, "x")


ONE_DAY_OFF = date(2027, 1, 4)


def sheet(origin: str, version: str = "2027-1", *off: date) -> Sheet:
    return Sheet(year=year(2027, version, *off), text=f"{version}{off}", origin=origin)


def test_a_shipped_year_gives_way_to_what_was_used_under_its_version() -> None:
    used, shipped = sheet(LOADED), sheet(SHIPPED, "2027-1", ONE_DAY_OFF)

    assert settled([shipped], [used]) == (used,)
    assert settled([shipped], []) == (shipped,)
    assert settled([sheet(SHIPPED)], [used]) == (sheet(SHIPPED),)
    assert settled([sheet(SHIPPED, "2027-2", ONE_DAY_OFF)], [used])[0].origin == SHIPPED


def test_a_file_of_which_a_higher_version_was_loaded_gives_way_too() -> None:
    used, corrected = sheet(FOLDER), sheet(LOADED, "2027-2", ONE_DAY_OFF)
    changed = sheet(FOLDER, "2027-1", ONE_DAY_OFF)

    assert settled([changed], [used, corrected]) == (used,)
    assert settled([changed], [used]) == (changed,)


# -- what is strange -----------------------------------------------------------------------------


@pytest.mark.parametrize("published", SHIPPED_YEARS, ids=lambda one: one.version)
def test_nothing_is_strange_in_the_years_that_were_published(published: Year) -> None:
    assert doubts(published) == []
    assert working_days_of(published) == 248


SOUND = SHIPPED_YEARS[1]


def without(*days: date) -> Year:
    return replace(SOUND, off=SOUND.off - set(days))


def test_a_holiday_by_law_that_is_worked_is_strange() -> None:
    assert doubts(without(date(2026, 5, 1))) == ["2026-05-01 (Labour Day) is not off"]


def test_a_moving_holiday_that_is_nowhere_is_strange() -> None:
    gone = without(*(date(2026, 6, day) for day in (19, 20, 21)))

    assert doubts(gone) == ["no day from 2026-05-27 to 2026-06-26 (Dragon Boat) is off"]


@pytest.mark.parametrize("day", [date(2024, 12, 31), date(2099, 1, 1)])
def test_a_notice_of_another_time_is_strange(day: date) -> None:
    assert doubts(replace(SOUND, published=day))[0].startswith(f"it was published on {day};")


def test_a_make_up_day_far_from_any_holiday_is_strange() -> None:
    lonely = replace(SOUND, work=SOUND.work | {date(2026, 8, 1)})

    assert doubts(lonely) == ["2026-08-01 is worked, but no holiday is near"]


def test_a_holiday_of_weekend_days_alone_is_strange() -> None:
    idle = replace(SOUND, off=SOUND.off | {date(2026, 8, 1), date(2026, 8, 2)})

    assert doubts(idle) == ["2026-08-01 to 2026-08-02 is off, which a weekend is anyway"]


def test_a_number_of_working_days_that_no_year_had_is_strange() -> None:
    long = replace(SOUND, off=SOUND.off | {date(2026, 7, day) for day in range(6, 11)})

    assert doubts(long) == ["it has 243 working days; 244 to 256 are usual"]
