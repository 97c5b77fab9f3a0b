"""A calendar that is loaded while everything runs: the days move once, exactly, and it is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from monitor.calendars import FOLDER, LOADED, SHIPPED, BadCalendar, Sheet, parse_year, read_sheets
from monitor.chain import first_broken
from monitor.duties import Duty
from monitor.facts import Instant, Place
from monitor.notices import Kind, Severity
from monitor.rules import SHIPPED as RULES
from monitor.rules import with_overrides
from monitor.store import audit, calendars
from monitor.store.agreement import SettingsDiffer, SettingsReplaced
from monitor.store.calendars_loading import Decision, Loaded, load
from monitor.store.engine import reading
from monitor.store.evidence import examine
from monitor.store.keeper import SqlKeeper
from monitor.store.owed_told import answered_wrong
from monitor.store.pages import Pages
from monitor.store.versions import bases
from monitor.workdays import Calendar
from tests.builders import ANN, BOB, enrolled
from tests.integration.feed import DAY
from tests.integration.filing_kit import filed
from tests.integration.store_kit import (
    CALENDAR,
    SECOND,
    batch,
    dump,
    duties,
    keeper,
    not_owed,
    notices,
    policy,
    rows,
)

# 2026-11-23 10:00 in Beijing: 30 working days from then end in 2027.
TODAY: Instant = 1_795_399_200_000_000
FILES = read_sheets()
HOLIDAYS_2027 = {
    "New Year": ("2027-01-01", "2027-01-03", ""),
    "Spring Festival": ("2027-02-05", "2027-02-11", "work = [2027-01-31, 2027-02-20]"),
    "Qingming": ("2027-04-03", "2027-04-05", ""),
    "Labour Day": ("2027-05-01", "2027-05-05", "work = [2027-05-08]"),
    "Dragon Boat": ("2027-06-09", "2027-06-09", ""),
    "Mid-Autumn": ("2027-09-15", "2027-09-17", ""),
    "National Day": ("2027-10-01", "2027-10-07", "work = [2027-09-26, 2027-10-09]"),
}


def sheet(
    version: str = "2027-1",
    year: int = 2027,
    other: Mapping[str, tuple[str, str, str]] = MappingProxyType({}),
) -> Sheet:
    """Return a year that nobody has published, with *other* holidays in place of some."""
    named = {name: other.get(name.split()[0], days) for name, days in HOLIDAYS_2027.items()}
    parts = [f'year = {year}\nversion = "{version}"\n[notice]\nnumber = "synthetic"\n']
    parts.append('published = 2026-12-01\nsource = "https://example.org/synthetic"\n')
    for name, (first, last, work) in named.items():
        made_up = work if year == 2027 else ""  # the weekends of another year are others
        parts.append(f'[[holidays]]\nname = "{name}"\nfirst = {first}\nlast = {last}\n')
        parts.append(f"{made_up}\n")
    text = "".join(parts).replace("2027-", f"{year}-")
    return Sheet(year=parse_year(f"{year}.toml", text), text=text, origin=LOADED)


WITH_A_LONG_NEW_YEAR = {"New": ("2027-01-01", "2027-01-05", "")}
WORKED_NEW_YEAR = {"New": ("2027-01-01", "2027-01-01", "work = [2027-01-02]")}


@pytest.fixture
def _owed(engine: Engine) -> Iterator[None]:
    """After all of it the audit log says of each duty and notice why it is there."""
    yield

    assert not_owed(engine, policy(2).rules) == []


def loaded(
    engine: Engine, chosen: Sheet, now: Instant = TODAY, files: Sequence[Sheet] = FILES
) -> Loaded:
    decided = Decision(sheet=chosen, by="office", because="published")
    return load(engine, files, decided, policy(2), now)


def opened(engine: Engine, now: Instant = TODAY, processor: str = "acme") -> SqlKeeper:
    """Return a keeper whose processor has just reached the threshold."""
    ours = keeper(engine, policy(2))
    where = Place(processor, "gate", "")
    facts = [enrolled(who, now - SECOND, place=where) for who in (ANN, BOB)]
    ours.keep([batch(facts, read_at=now)])
    ours.finish(now)
    return ours


def only(engine: Engine) -> Duty:
    (duty,) = duties(engine)
    return duty


def entries(engine: Engine, kind: str) -> list[dict[str, Any]]:
    return [json.loads(row.body) for row in rows(engine, "audit") if row.kind == kind]


def whole(engine: Engine) -> bool:
    with reading(engine) as connection:
        return first_broken(audit.entries(connection)) is None


def days_wrong(engine: Engine) -> list[tuple[int, str]]:
    """Return the entries whose last days are not what the log seals."""
    with reading(engine) as connection:
        found = examine(connection).broken
    return [(one.seq, one.why) for one in found if one.seq is not None]


def test_a_clock_opened_before_its_year_is_published_has_two_ends(engine: Engine) -> None:
    opened(engine)
    deadline = only(engine).deadline

    assert only(engine).trigger_day == date(2026, 11, 23)
    assert (deadline.due_day, deadline.provisional) == (None, True)
    assert deadline.days == (date(2027, 1, 1), date(2027, 1, 14))
    assert deadline.calendar_version == "2025-1+2026-1"


@pytest.mark.usefixtures("_owed")
def test_of_a_closed_duty_it_is_settled_then_whether_it_was_met_in_time(engine: Engine) -> None:
    monitor = opened(engine)
    submitted = TODAY + 43 * DAY  # on 2027-01-05, within the days that its last can be
    for n, kind in enumerate(("submitted", "completed")):
        at = submitted + n * DAY
        monitor.keep([batch([filed(kind, at)], read_at=at)])
    before = next(duty for duty in duties(engine) if duty.rule == "frt.file").in_time
    loaded(engine, sheet(), submitted + 30 * DAY)

    (duty,) = [duty for duty in duties(engine) if duty.rule == "frt.file"]
    told = [row.severity for row in notices(engine, "due_settled") if row.rule == "frt.file"]
    assert (before, duty.in_time, duty.deadline.due_day) == (None, True, date(2027, 1, 5))
    assert told == ["info"]


@pytest.mark.usefixtures("_owed")
def test_loading_the_year_settles_the_day_with_both_in_the_audit_log_and_a_notice(
    engine: Engine,
) -> None:
    opened(engine)
    done = loaded(engine, sheet())
    deadline = only(engine).deadline
    (told,) = notices(engine, "due_settled")
    body = json.loads(told.body)
    (moved,) = entries(engine, "duty.due_moved")

    # 28 working days of 2026 follow 11-23; 01-04 and 01-05 are the 29th and the 30th.
    assert (deadline.due_day, deadline.provisional) == (date(2027, 1, 5), False)
    assert deadline.calendar_version == "2025-1+2026-1+2027-1" == done.calendar.version
    assert [(one.before.deadline.days[0], one.after.deadline.due_day) for one in done.moved] == [
        (date(2027, 1, 1), date(2027, 1, 5))
    ]
    assert (told.severity, told.processor, told.rule) == ("warning", "acme", "frt.file")
    assert (body["due_day"], body["was_due_day"]) == ("2027-01-05", None)
    assert body["was_due_between"] == "2027-01-01/2027-01-14"
    assert moved["why"] == "calendar"
    assert moved["before"]["due_between"] == "2027-01-01/2027-01-14"
    assert moved["before"]["calendar_version"] == "2025-1+2026-1"
    assert moved["after"]["due_day"] == "2027-01-05"
    assert moved["after"]["calendar_version"] == "2025-1+2026-1+2027-1"
    assert whole(engine)


def test_what_was_loaded_is_kept_with_its_text_and_who_loaded_it(engine: Engine) -> None:
    loaded(engine, sheet())
    with reading(engine) as connection:
        (kept,) = calendars.kept(connection)
    (entry,) = entries(engine, "calendar.loaded")

    assert kept.sheet == sheet()
    assert (kept.loaded_at, kept.by, kept.because) == (TODAY, "office", "published")
    assert entry["sha256"] == sheet().sha256
    assert (entry["year"], entry["version"], entry["by"]) == (2027, "2027-1", "office")


def test_loading_the_same_file_again_does_nothing(engine: Engine) -> None:
    opened(engine)
    loaded(engine, sheet())
    before = rows(engine, "audit"), rows(engine, "notices"), duties(engine)
    again = loaded(engine, sheet(), TODAY + SECOND)

    assert (again.fresh, again.moved) == (False, ())
    assert (rows(engine, "audit"), rows(engine, "notices"), duties(engine)) == before


def test_other_content_under_the_same_version_is_refused(engine: Engine) -> None:
    loaded(engine, sheet())
    with pytest.raises(BadCalendar, match=r"2027-1 was used with other content; raise it"):
        loaded(engine, sheet(other=WITH_A_LONG_NEW_YEAR))

    assert len(rows(engine, "calendars")) == 1


def test_a_version_below_the_one_in_use_is_refused(engine: Engine) -> None:
    loaded(engine, sheet("2027-2"))
    with pytest.raises(BadCalendar, match=r"2027-2 is in use, which is higher; raise it"):
        loaded(engine, sheet("2027-1"))


def test_a_year_without_the_year_before_is_refused(engine: Engine) -> None:
    with pytest.raises(BadCalendar, match=r"the year 2027 is missing before it"):
        loaded(engine, sheet("2028-1", 2028))

    assert rows(engine, "calendars") == rows(engine, "audit") == []


@pytest.mark.usefixtures("_owed")
@pytest.mark.parametrize(
    ("corrected", "due", "severity"),
    [
        (WITH_A_LONG_NEW_YEAR, date(2027, 1, 7), "warning"),
        (WORKED_NEW_YEAR, date(2027, 1, 4), "page"),
    ],
    ids=["later", "earlier"],
)
def test_a_corrected_year_moves_the_day_and_pages_if_that_is_earlier(
    engine: Engine, corrected: dict[str, tuple[str, str, str]], due: date, severity: str
) -> None:
    opened(engine)
    loaded(engine, sheet())
    done = loaded(engine, sheet("2027-2", other=corrected), TODAY + SECOND)
    (told,) = notices(engine, "duty_due_moved")
    body = json.loads(told.body)

    assert only(engine).deadline.due_day == due
    assert [one.earlier for one in done.moved] == [severity == "page"]
    assert (told.severity, body["due_day"]) == (severity, due.isoformat())
    assert (body["was_due_day"], body["was_calendar_version"]) == (
        "2027-01-05",
        "2025-1+2026-1+2027-1",
    )


@pytest.mark.usefixtures("_owed")
@pytest.mark.parametrize(
    ("corrected", "going_on"),
    [
        (WITH_A_LONG_NEW_YEAR, [Kind.DUTY_OPENED]),
        (WORKED_NEW_YEAR, [Kind.DUE_MOVED]),
    ],
    ids=["later", "earlier"],
)
def test_with_an_earlier_day_the_page_that_tells_it_alone_goes_on(
    engine: Engine, corrected: dict[str, tuple[str, str, str]], going_on: list[Kind]
) -> None:
    opened(engine)
    loaded(engine, sheet())
    loaded(engine, sheet("2027-2", other=corrected), TODAY + SECOND)
    found = Pages(engine).open_pages([Severity.PAGE], TODAY + SECOND)
    with reading(engine) as connection:
        wrong = answered_wrong(connection)

    assert ([one.notice.kind for one in found], wrong) == (going_on, [])


def test_a_correction_that_leaves_the_day_as_it_was_tells_nothing(engine: Engine) -> None:
    opened(engine)
    loaded(engine, sheet())
    later = {"Mid-Autumn": ("2027-09-15", "2027-09-16", "")}
    done = loaded(engine, sheet("2027-2", other=later), TODAY + SECOND)

    assert (done.fresh, done.moved) == (True, [])
    assert notices(engine, "duty_due_moved") == []


def test_a_closed_duty_keeps_its_day(engine: Engine) -> None:
    opened(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE duties SET closed_at = opened_at, annulled = 'error'")
    done = loaded(engine, sheet())

    assert (done.moved, only(engine).deadline.provisional) == ([], True)


def test_a_running_worker_counts_by_what_was_loaded_from_its_next_look_on(
    engine: Engine,
) -> None:
    running = keeper(engine, policy(2))
    loaded(engine, sheet())
    running.tick(TODAY)
    facts = [enrolled(who, TODAY - SECOND) for who in (ANN, BOB)]
    running.keep([batch(facts, read_at=TODAY)])
    running.finish(TODAY)

    assert only(engine).deadline.due_day == date(2027, 1, 5)
    assert notices(engine, "due_settled") == []


@pytest.mark.usefixtures("_owed")
def test_a_duty_opened_by_a_worker_that_did_not_know_yet_is_counted_again_by_its_next_look(
    engine: Engine,
) -> None:
    """The one who loads cannot see it, and neither can a worker that knew before."""
    behind, knowing = keeper(engine, policy(2)), keeper(engine, policy(2))
    loaded(engine, sheet())
    knowing.tick(TODAY)
    facts = [enrolled(who, TODAY - SECOND) for who in (ANN, BOB)]
    behind.keep([batch(facts, read_at=TODAY)])
    behind._looking.confirm(behind._registry.names, TODAY)  # noqa: SLF001 - before its tick looks

    assert only(engine).deadline.provisional
    knowing.tick(TODAY + 6 * SECOND)
    behind.tick(TODAY + 6 * SECOND)

    assert only(engine).deadline.due_day == date(2027, 1, 5)
    assert len(notices(engine, "due_settled")) == len(entries(engine, "duty.due_moved")) == 1


def test_workers_that_start_and_look_after_the_loading_move_nothing_again(engine: Engine) -> None:
    first = opened(engine)
    loaded(engine, sheet())
    before = rows(engine, "audit"), rows(engine, "notices")
    for now in (TODAY + 10 * SECOND, TODAY + 20 * SECOND):
        first.tick(now)
        keeper(engine, policy(2)).tick(now)

    assert (rows(engine, "audit"), rows(engine, "notices")) == before


def test_a_year_that_came_with_a_restart_is_counted_by_the_first_worker_once(
    engine: Engine,
) -> None:
    """A file in ``calendar_dir``, or a release that ships the year, is loaded by no command."""
    opened(engine)
    files = Calendar((*CALENDAR.years, sheet().year))
    newer = replace(policy(2), calendar=files)
    workers = [keeper(engine, newer), keeper(engine, newer)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one.tick(TODAY + SECOND), workers))

    assert only(engine).deadline.due_day == date(2027, 1, 5)
    assert len(notices(engine, "due_settled")) == len(entries(engine, "duty.due_moved")) == 1


def test_a_worker_with_older_files_counts_nothing_back(engine: Engine) -> None:
    older = opened(engine)
    newer = replace(policy(2), calendar=Calendar((*CALENDAR.years, sheet().year)))
    keeper(engine, newer).tick(TODAY + SECOND)
    older.tick(TODAY + 60 * SECOND)
    keeper(engine, policy(2)).tick(TODAY + 60 * SECOND)

    assert only(engine).deadline.due_day == date(2027, 1, 5)
    assert len(entries(engine, "duty.due_moved")) == 1


def test_no_year_is_loaded_by_other_rules_than_those_of_the_workers(engine: Engine) -> None:
    opened(engine)
    before = dump(engine)
    decided = Decision(sheet=sheet(), by="office", because="published")
    with pytest.raises(SettingsDiffer, match=r"rule frt\.file"):
        load(engine, FILES, decided, policy(3), TODAY)

    assert dump(engine) == before


def test_a_worker_whose_settings_do_not_hold_counts_nothing_again(engine: Engine) -> None:
    ours = opened(engine)
    stricter = with_overrides(policy(2).rules, [{"id": "frt.file", "count_trigger_day": True}])
    keeper(engine, replace(policy(2), rules=stricter))
    with engine.begin() as connection:
        calendars.insert(connection, sheet(), TODAY)
    before = dump(engine)
    with pytest.raises(SettingsReplaced):
        ours.tick(TODAY + SECOND)

    assert dump(engine) == before


@pytest.mark.usefixtures("_owed")
def test_two_who_load_at_once_do_it_once(engine: Engine) -> None:
    for processor in ("acme", "beta", "gamma"):
        opened(engine, processor=processor)
    with ThreadPoolExecutor() as pool:
        done = list(pool.map(lambda n: loaded(engine, sheet(), TODAY + n), range(4)))

    assert sorted(one.fresh for one in done) == [False, False, False, True]
    assert {duty.deadline.due_day for duty in duties(engine)} == {date(2027, 1, 5)}
    assert len(notices(engine, "due_settled")) == len(entries(engine, "duty.due_moved")) == 3
    assert len(entries(engine, "calendar.loaded")) == 1
    assert whole(engine)


def test_of_two_contents_loaded_at_once_under_one_version_one_is_refused(engine: Engine) -> None:
    contents = [sheet(), sheet(other=WITH_A_LONG_NEW_YEAR)]

    def attempt(chosen: Sheet) -> str:
        try:
            return str(loaded(engine, chosen).fresh)
        except BadCalendar:
            return "refused"

    with ThreadPoolExecutor() as pool:
        assert sorted(pool.map(attempt, contents)) == ["True", "refused"]
    assert len(rows(engine, "calendars")) == 1


def test_nothing_is_loaded_if_a_notice_of_it_cannot_be_written(engine: Engine) -> None:
    opened(engine)
    before = rows(engine, "audit"), duties(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE notices RENAME TO away")
    with pytest.raises(DBAPIError):
        loaded(engine, sheet())

    assert (rows(engine, "audit"), duties(engine)) == before
    assert rows(engine, "calendars") == []


def test_a_file_that_was_taken_away_is_remembered_where_a_later_year_needs_it(
    engine: Engine,
) -> None:
    with_2027 = (*FILES, replace(sheet(), origin=FOLDER))
    calendars.note_used(engine, with_2027, RULES, TODAY)
    loaded(engine, sheet("2028-1", 2028), files=with_2027)
    with reading(engine) as connection:
        found = calendars.current(connection, CALENDAR)

    assert found.version == "2025-1+2026-1+2027-1+2028-1"


def test_what_does_not_follow_the_files_of_a_worker_leaves_it_as_it_was_and_is_logged(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    running = opened(engine)
    with engine.begin() as connection:
        calendars.insert(connection, sheet("2028-1", 2028), TODAY)
    with caplog.at_level(logging.ERROR):
        running.tick(TODAY + 10 * SECOND)
        running.tick(TODAY + 20 * SECOND)

    assert len(caplog.messages) == 1
    assert "the year 2027 is missing" in caplog.text
    assert only(engine).deadline.provisional


# -- what was used -------------------------------------------------------------------------------


def test_calendars_and_rules_that_are_used_are_written_into_the_audit_log_once(
    engine: Engine,
) -> None:
    with ThreadPoolExecutor() as pool:
        note = lambda n: calendars.note_used(engine, FILES, RULES, TODAY + n)  # noqa: E731 - short
        list(pool.map(note, range(4)))
    calendars.note_used(engine, FILES, RULES, TODAY + 9)
    used = entries(engine, "calendar.used")
    (rules,) = entries(engine, "rules.used")

    assert [(one["version"], one["origin"], one["sha256"]) for one in used] == [
        (one.year.version, SHIPPED, one.sha256) for one in FILES
    ]
    assert [rule["id"] for rule in rules["rules"]] == [rule.id for rule in RULES]


def test_rules_that_change_are_written_again(engine: Engine) -> None:
    for chosen in (policy(5).rules, policy(6).rules, policy(5).rules, policy(5).rules):
        calendars.note_used(engine, FILES, chosen, TODAY)
    said = [one["rules"][0]["at_least"] for one in entries(engine, "rules.used")]

    assert said == [5, 6, 5]


def test_other_days_under_a_version_that_was_used_stop_the_start(engine: Engine) -> None:
    calendars.note_used(engine, (*FILES, replace(sheet(), origin=FOLDER)), RULES, TODAY)
    other = (*FILES, replace(sheet(other=WITH_A_LONG_NEW_YEAR), origin=FOLDER))
    with pytest.raises(BadCalendar, match=r"the days differ from the one used before, 2027-1"):
        calendars.note_used(engine, other, RULES, TODAY)


# -- a release that ships what was loaded before -----------------------------------------------


def test_a_release_that_ships_other_days_under_a_loaded_version_stops_nothing(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody can raise the version of a shipped file."""
    opened(engine)
    loaded(engine, sheet())
    before = rows(engine, "audit"), duties(engine)
    shipped = (*FILES, replace(sheet(other=WITH_A_LONG_NEW_YEAR), origin=SHIPPED))
    with caplog.at_level(logging.WARNING), reading(engine) as connection:
        files = calendars.in_use(connection, shipped)
    calendars.check_used(engine, files)
    keeper(engine, replace(policy(2), calendar=Calendar(tuple(one.year for one in files)))).tick(
        TODAY + SECOND
    )

    assert (rows(engine, "audit"), duties(engine)) == before
    assert "the shipped calendar 2027-1 has other days" in caplog.text
    corrected = loaded(engine, sheet("2027-2", other=WITH_A_LONG_NEW_YEAR), TODAY, files)
    assert corrected.fresh
    assert only(engine).deadline.due_day == date(2027, 1, 7)
    with reading(engine) as connection:
        again = calendars.in_use(connection, shipped)
    calendars.note_used(engine, again, RULES, TODAY)
    assert loaded(engine, sheet("2027-3"), TODAY, again).fresh


def test_a_release_that_ships_the_same_days_in_other_words_leaves_a_loaded_file_loaded(
    engine: Engine,
) -> None:
    loaded(engine, sheet())
    told = replace(sheet(), text=f"# ours\n{sheet().text}", origin=SHIPPED)

    assert not loaded(engine, sheet(), files=(*FILES, told)).fresh


# -- a rule with another clock -----------------------------------------------------------------

SHORTER = with_overrides(
    policy(2).rules, [{"id": "frt.file", "period": 20, "count_trigger_day": True}]
)
EARLY: Instant = TODAY - 30 * 86_400 * SECOND  # 2026-10-24: ends in 2026


@pytest.mark.usefixtures("_owed")
def test_a_rule_with_another_clock_counts_open_duties_again_at_the_next_look_once(
    engine: Engine,
) -> None:
    opened(engine, EARLY)
    calendars.note_used(engine, FILES, policy(2).rules, EARLY)
    before = only(engine).deadline.due_day
    changed = keeper(engine, replace(policy(2), rules=SHORTER))
    for at in (TODAY, TODAY + 60 * SECOND):
        changed.tick(at)
    (moved,) = entries(engine, "duty.due_moved")
    (told,) = notices(engine, "duty_due_moved")

    assert (before, only(engine).deadline.due_day) == (date(2026, 12, 4), date(2026, 11, 20))
    assert (moved["why"], json.loads(told.body)["why"]) == ("rule", "rule")
    assert moved["clock"] == {
        "before": {"period": 30, "unit": "working_days", "count_trigger_day": False},
        "after": {"period": 20, "unit": "working_days", "count_trigger_day": True},
    }
    assert (moved["before"]["due_day"], moved["after"]["due_day"]) == ("2026-12-04", "2026-11-20")
    assert told.severity == "page"


@pytest.mark.usefixtures("_owed")
def test_a_rule_and_a_year_that_changed_together_are_two_moves_each_with_its_cause(
    engine: Engine,
) -> None:
    opened(engine)
    calendars.note_used(engine, FILES, policy(2).rules, TODAY)
    longer = with_overrides(policy(2).rules, [{"id": "frt.file", "period": 31}])
    files = Calendar((*CALENDAR.years, sheet().year))
    keeper(engine, replace(policy(2), rules=longer, calendar=files)).tick(TODAY)
    moved = entries(engine, "duty.due_moved")

    assert [one["why"] for one in moved] == ["rule", "calendar"]
    assert moved[0]["after"]["due_between"] == moved[1]["before"]["due_between"]
    assert moved[1]["after"]["due_day"] == "2027-01-06"


def test_a_duty_that_a_process_with_older_rules_opened_late_is_counted_again(
    engine: Engine,
) -> None:
    """Its transaction had begun before the new settings were registered."""
    changed = replace(policy(2), rules=SHORTER)
    opened(engine, EARLY)
    running = keeper(engine, changed)
    running.tick(TODAY)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE duties SET due_day = '2026-12-04', earliest = '2026-12-04',"
            " latest = '2026-12-04'"
        )
    running.tick(TODAY + 6 * SECOND)

    assert only(engine).deadline.due_day == date(2026, 11, 20)


def test_what_ended_under_a_clock_that_changed_since_is_settled_and_proven_by_it(
    engine: Engine,
) -> None:
    """The log would be called wrong for ever otherwise: no entry of it can be mended."""
    calendars.note_used(engine, FILES, policy(2).rules, TODAY)
    monitor = opened(engine)
    submitted = TODAY + 43 * DAY  # on 2027-01-05, within the days that its last can be
    for n, kind in enumerate(("submitted", "completed")):
        at = submitted + n * DAY
        monitor.keep([batch([filed(kind, at)], read_at=at)])
    changed = replace(policy(2), rules=SHORTER)
    keeper(engine, changed)
    calendars.note_used(engine, FILES, SHORTER, submitted + 2 * DAY)
    decided = Decision(sheet=sheet(), by="office", because=None)
    load(engine, FILES, decided, changed, submitted + 9 * DAY)

    duty = next(duty for duty in duties(engine) if duty.rule == "frt.file")
    assert (duty.deadline.due_day, duty.in_time) == (date(2027, 1, 5), True)
    with reading(engine) as connection:
        current = calendars.current(connection, CALENDAR)
        (basis,) = bases(connection, [duty], SHORTER, current)
    assert (basis.proves, basis.rule and basis.rule.period) == (True, 30)
    assert days_wrong(engine) == []


@pytest.mark.usefixtures("_owed")
@pytest.mark.parametrize("gone", [False, True])
def test_a_year_settles_an_open_duty_whose_rule_was_switched_off_or_is_gone(
    engine: Engine, *, gone: bool
) -> None:
    """It is owed until a person ends it."""
    calendars.note_used(engine, FILES, policy(2).rules, TODAY)
    opened(engine)
    off = with_overrides(policy(2).rules, [{"id": "frt.file", "enabled": False}])
    rules = tuple(
        rule for rule in off if rule.id not in {"frt.file", "frt.file.legacy"} or not gone
    )
    changed = replace(policy(2), rules=rules)
    worker = keeper(engine, changed)
    calendars.note_used(engine, FILES, rules, TODAY + SECOND)
    decided = Decision(sheet=sheet(), by="office", because=None)
    load(engine, FILES, decided, changed, TODAY + 9 * SECOND)
    worker.tick(TODAY + 20 * SECOND)
    (moved,) = entries(engine, "duty.due_moved")

    assert only(engine).deadline.due_day == date(2027, 1, 5)
    assert (moved["why"], "rules_of" in moved) == ("calendar", gone)
    assert days_wrong(engine) == []
