"""The calendar feed as a function: read back with another library than the one that wrote it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import vobject

from deploy.ical.alarms import WORKING_DAYS_BEFORE, alarms, first_day_with
from deploy.ical.feed import Entry, feed, uid
from deploy.ical.words import LANGUAGES, Language
from deploy.ical.writing import write_feed
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.filings import Life, Step, StepKind
from monitor.store.revisions import Revision
from monitor.trust import Doubt, Why
from monitor.workdays import Deadline, load_calendar, overdue_from

CALENDAR = load_calendar()
DAY: Instant = 24 * 3_600_000_000
OPENED: Instant = (
    overdue_from(date(2026, 8, 31)) + 11 * 3_600_000_000
)  # 11:00 of 1 September in Beijing
DUE = date(2026, 10, 19)  # 30 working days later, LAW.md
PROVISIONAL = Deadline(
    due_day=None,
    earliest=date(2027, 1, 1),
    latest=date(2027, 1, 11),
    provisional=True,
    calendar_version="2026-1",
)
REVISION = Revision(number=0, at=OPENED, shown=())
GAP = Why(reason=Doubt.GAP_RETENTION, topic="faces", since=OPENED + DAY)


def duty(**changes: Any) -> Duty:
    made = Duty(
        processor="acme",
        rule="frt.file",
        key="1",
        trigger_day=date(2026, 9, 1),
        trigger_at=OPENED,
        not_later_than=False,
        opened_at=OPENED,
        deadline=Deadline.on(DUE, "2026-1"),
        proof={"individuals": 100_001, "at_least": 100_000},
    )
    return replace(made, **changes)


def submitted(*more: StepKind) -> Life:
    kinds = (StepKind.SUBMITTED, *more)
    steps = (
        Step(id=kind, kind=kind, at=OPENED + n * DAY, known_at=OPENED + n * DAY, source="command")
        for n, kind in enumerate(kinds, 1)
    )
    return Life(tuple(steps))


def made(
    of: Duty,
    *,
    revision: Revision = REVISION,
    against: tuple[Why, ...] = (),
    language: Language = "en",
    now: Instant = OPENED + 10 * DAY,
) -> bytes:
    entry = Entry(duty=of, revision=revision, against=against)
    return feed([entry], installation="here", workdays=CALENDAR, language=language, now=now)


def read(raw: bytes) -> Any:
    return vobject.readOne(raw.decode())


def shown(of: Duty, **more: Any) -> Any:
    return read(made(of, **more)).vevent


def rings(event: Any) -> list[datetime]:
    return [one.trigger.value.astimezone(UTC) for one in event.contents.get("valarm", [])]


def unfolded(raw: bytes) -> Iterator[str]:
    yield from raw.replace(b"\r\n ", b"").decode().split("\r\n")


def test_the_event_is_the_whole_last_day_and_blocks_nobodys_time() -> None:
    event = shown(duty())

    assert event.dtstart.value == DUE
    assert event.dtend.value == DUE + timedelta(days=1)
    assert event.status.value == "CONFIRMED"
    assert event.transp.value == "TRANSPARENT"
    assert event.summary.value == "Due: filing of FR use, Art. 15 (acme)"


def test_the_description_has_the_days_and_says_whose_day_it_is() -> None:
    text = shown(duty()).description.value

    assert "trigger day: 2026-09-01 (Beijing)" in text
    assert "last day to act: 2026-10-19" in text
    assert "individuals stored: 100,001" in text
    assert text.endswith("The day is a day in Beijing; from 00:00 of the next it is too late.")


def test_a_duty_has_one_uid_whatever_moves_it_and_each_its_own() -> None:
    legacy = duty(rule="frt.file.legacy", deadline=Deadline.on(date(2025, 7, 14), "2025-1"))
    others = [
        uid(duty(key="2"), "here"),
        uid(duty(processor="beta"), "here"),
        uid(duty(rule="frt.cancel"), "here"),
        uid(duty(), "there"),
    ]

    assert uid(legacy, "here") == uid(duty(), "here") == shown(legacy).uid.value
    assert len({uid(duty(), "here"), *others}) == 5
    assert "acme" not in uid(duty(), "here")


def test_names_that_run_into_each_other_have_uids_of_their_own() -> None:
    assert uid(duty(processor="acme1", key="1"), "x") != uid(duty(processor="acme", key="11"), "x")
    assert uid(duty(processor="a", rule="bc"), "x") != uid(duty(processor="ab", rule="c"), "x")


def test_the_same_is_the_same_to_the_byte_but_for_its_stamp() -> None:
    first, second = made(duty()), made(duty())
    later = made(duty(), now=OPENED + 11 * DAY)

    assert first == second != later
    assert [a for a, b in zip(unfolded(first), unfolded(later), strict=True) if a != b] == [
        "DTSTAMP:20260911T030000Z"
    ]


def test_dates_of_the_file_are_those_of_the_facts() -> None:
    event = shown(duty(), revision=replace(REVISION, number=3, at=OPENED + 2 * DAY))

    assert event.sequence.value == "6"
    assert event.created.value.astimezone(UTC) == datetime(2026, 9, 1, 3, tzinfo=UTC)
    assert event.last_modified.value.astimezone(UTC) == datetime(2026, 9, 3, 3, tzinfo=UTC)
    assert event.dtstamp.value.astimezone(UTC) == datetime(2026, 9, 11, 3, tzinfo=UTC)


def test_nothing_is_said_to_have_changed_after_now() -> None:
    event = shown(duty(), revision=replace(REVISION, at=OPENED + 99 * DAY))

    assert event.last_modified.value <= event.dtstamp.value


def test_a_provisional_deadline_lies_on_its_early_end_and_says_both() -> None:
    event = shown(duty(deadline=PROVISIONAL))

    assert event.dtstart.value == date(2027, 1, 1)
    assert event.status.value == "TENTATIVE"
    assert event.summary.value.startswith("Due (provisional: between 2027-01-01 and 2027-01-11): ")
    assert "provisional, calendar not published" in event.description.value


@pytest.mark.parametrize(
    ("language", "mark", "way_back"),
    [
        ("en", ", number UNVERIFIED", "facetally accept"),
        ("zh-CN", "，数量未核实", "facetally accept"),
    ],
)
def test_an_unverified_number_is_said_to_be_one_with_the_way_back(
    language: Language, mark: str, way_back: str
) -> None:
    event = shown(duty(), against=(GAP,), language=language)

    assert event.summary.value.endswith(mark)
    assert way_back in event.description.value
    assert event.last_modified.value.astimezone(UTC) == datetime(2026, 9, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("of", "now", "status", "title"),
    [
        (duty(), OPENED + 60 * DAY, "CONFIRMED", "OVERDUE: "),
        (duty(life=submitted()), OPENED + 10 * DAY, "CONFIRMED", "Submitted, for the authority"),
        (
            duty(life=submitted(StepKind.FAILED)),
            OPENED + 10 * DAY,
            "CONFIRMED",
            "Failed, still owed: ",
        ),
        (
            duty(life=submitted(StepKind.COMPLETED), closed_at=OPENED + 2 * DAY),
            OPENED + 10 * DAY,
            "CANCELLED",
            "Done: ",
        ),
        (
            duty(annulled="counted twice", closed_at=OPENED + 2 * DAY),
            OPENED + 10 * DAY,
            "CANCELLED",
            "Annulled: ",
        ),
        (
            duty(annulled="counted twice", closed_at=OPENED + 20 * DAY),
            OPENED + 10 * DAY,
            "CONFIRMED",
            "Due: ",
        ),
    ],
)
def test_the_event_says_how_the_duty_stands(
    of: Duty, now: Instant, status: str, title: str
) -> None:
    event = shown(of, now=now)

    assert event.status.value == status
    assert event.summary.value.startswith(title)


def test_what_is_over_or_for_others_to_do_rings_no_more() -> None:
    over = duty(closed_at=OPENED + 2 * DAY, life=submitted(StepKind.COMPLETED))
    review = duty(rule="frt.review")

    assert len(rings(shown(duty()))) == 6
    assert rings(shown(duty(life=submitted(StepKind.FAILED)))) == rings(shown(duty()))
    assert rings(shown(duty(life=submitted()))) == rings(shown(over)) == rings(shown(review)) == []


def test_the_authoritys_clock_is_called_that() -> None:
    assert shown(duty(rule="frt.review")).summary.value.startswith("Authority's last day: ")


def test_what_is_kept_up_to_a_day_ends_by_itself_with_a_sequence_of_its_own() -> None:
    kept = duty(closed_at=overdue_from(DUE))
    before = shown(kept, now=overdue_from(DUE) - 1)
    after = shown(kept, now=overdue_from(DUE))

    assert (before.status.value, before.sequence.value) == ("CONFIRMED", "0")
    assert (after.status.value, after.sequence.value) == ("CANCELLED", "1")


def test_no_state_of_what_is_kept_shares_its_sequence_with_the_next() -> None:
    """Ended by itself, then moved to a later day: a reader who has the end takes the new day."""
    kept, later = duty(closed_at=overdue_from(DUE)), date(2026, 11, 23)
    moved = duty(deadline=Deadline.on(later, "2026-1"), closed_at=overdue_from(later))
    once = replace(REVISION, number=1)
    states = [
        shown(kept, now=overdue_from(DUE) - 1),
        shown(kept, now=overdue_from(DUE)),
        shown(moved, revision=once, now=overdue_from(DUE)),
        shown(moved, revision=once, now=overdue_from(later)),
    ]

    assert [(one.sequence.value, one.status.value) for one in states] == [
        ("0", "CONFIRMED"),
        ("1", "CANCELLED"),
        ("2", "CONFIRMED"),
        ("3", "CANCELLED"),
    ]


def test_alarms_ring_at_nine_in_beijing_so_many_working_days_before() -> None:
    # Counted by hand from the calendar: National Day is 1-7 October, 10 October and 20 September
    # are worked.
    expected = ["2026-09-15", "2026-09-29", "2026-10-12", "2026-10-14", "2026-10-16", "2026-10-19"]

    assert rings(shown(duty())) == [
        datetime.fromisoformat(f"{day}T01:00:00+00:00") for day in expected
    ]


@pytest.mark.parametrize(
    ("last", "left", "day"),
    [
        # A last day that is off: the working day before it is the last one to act.
        (date(2026, 10, 4), 0, date(2026, 9, 30)),
        (date(2026, 10, 4), 1, date(2026, 9, 29)),
        # Over a weekend the alarm is before it, not in it.
        (date(2026, 11, 23), 1, date(2026, 11, 20)),
        # The make-up Saturday before is a working day.
        (date(2026, 10, 12), 1, date(2026, 10, 10)),
        (date(2026, 10, 12), 2, date(2026, 10, 9)),
    ],
)
def test_the_first_day_with_so_many_left_is_a_working_day(last: date, left: int, day: date) -> None:
    assert first_day_with(left, last, CALENDAR) == day
    assert CALENDAR.is_working_day(day)


def test_no_day_of_two_years_has_a_wrong_alarm() -> None:
    """Against the plainest definition: walk back and count."""
    every = [date(2025, 1, 1) + timedelta(days=n) for n in range(730)]
    working = [day for day in every if CALENDAR.is_working_day(day)]
    wrong = [
        (day, left)
        for day in every[59:]
        for left in WORKING_DAYS_BEFORE
        if first_day_with(left, day, CALENDAR) != [one for one in working if one <= day][-1 - left]
    ]

    assert wrong == []


def test_an_alarm_before_the_duty_was_known_is_none() -> None:
    late = duty(opened_at=overdue_from(date(2026, 10, 13)))

    assert [left for left, _ in alarms(late, CALENDAR)] == [3, 1, 0]


def test_a_clock_of_hours_rings_for_no_morning_that_is_too_late() -> None:
    hours = Deadline.on(date(2026, 9, 1), "2026-1", due_at=OPENED + 4 * 3_600_000_000)
    event = shown(duty(deadline=hours))

    assert rings(event) == []
    assert "too late from 2026-09-01 15:00 (Beijing) on" in event.description.value
    assert "clock is one of hours" in event.description.value


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_line_is_longer_than_seventy_five_octets_and_no_character_is_cut(
    language: Language,
) -> None:
    raw = made(duty(processor="某某科技（上海）有限公司" * 9), language=language, against=(GAP,))
    lines = raw.split(b"\r\n")

    assert max(map(len, lines)) <= 75
    assert all(line.decode() is not None for line in lines)  # raises where a character is cut
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize("name", ['逗,号;分\\号"引"', "新\n行", "a:b", "BEGIN:VEVENT", "甲" * 200])
def test_whatever_a_company_is_called_comes_back_as_it_was(name: str) -> None:
    calendar = read(made(duty(processor=name), language="zh-CN"))

    assert calendar.vevent.summary.value == f"截止：人脸识别技术应用备案（第十五条）（{name}）"
    assert len(list(calendar.getChildren())) == len(list(read(made(duty())).getChildren()))


def test_the_calendar_tells_its_name_zone_and_how_often_to_look() -> None:
    lines = list(unfolded(made(duty(), language="zh-CN")))

    assert "X-WR-CALNAME:facetally：法定期限" in lines
    assert "X-WR-TIMEZONE:Asia/Shanghai" in lines
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT1H" in lines
    assert "METHOD:PUBLISH" in lines


def test_an_alarm_says_that_its_trigger_is_an_instant() -> None:
    triggers = [line for line in unfolded(made(duty())) if line.startswith("TRIGGER")]

    assert triggers[0] == "TRIGGER;VALUE=DATE-TIME:20260915T010000Z"
    assert len(triggers) == 6


def test_a_file_that_would_say_the_same_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "duties.ics"
    first = write_feed(file, made(duty()))
    kept = file.read_bytes()
    again = write_feed(file, made(duty(), now=OPENED + 11 * DAY))

    assert (first, again, file.read_bytes()) == (True, False, kept)


def test_a_file_that_says_something_new_is_replaced_and_nothing_is_left_beside_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "duties.ics"
    file.write_bytes(b"something older")
    new = write_feed(file, made(duty()))

    assert (new, file.read_bytes()) == (True, made(duty()))
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_that_is_not_there_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_feed(tmp_path / "none" / "duties.ics", b"")
