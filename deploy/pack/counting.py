"""The count of working days spelled out: each day, whether it is one, why, and how many so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from alerts.words import Words
from monitor.calendars import ONE_DAY, SATURDAY, Year
from monitor.duties import Duty
from monitor.rules import Rule
from monitor.workdays import Calendar

WEEKDAYS = (
    Words("Monday", "星期一"),
    Words("Tuesday", "星期二"),
    Words("Wednesday", "星期三"),
    Words("Thursday", "星期四"),
    Words("Friday", "星期五"),
    Words("Saturday", "星期六"),
    Words("Sunday", "星期日"),
)
_TRIGGER = Words("trigger day, not counted", "触发日，不计入")
_OFF = Words("day off, calendar {}", "放假，日历 {}")
_WORKED = Words("weekend day that is worked, calendar {}", "调休上班，日历 {}")
_WEEKEND = Words("weekend", "周末")
_PLAIN = Words("working day", "工作日")
_UNKNOWN = Words("calendar of {} not published", "{} 年节假日安排尚未公布")
_REST = Words(
    "{} working days are left; by the plain week, 3 days less to 10 days more: between {} and {}",
    "尚余 {} 个工作日；按普通周历减 3 日至加 10 日推算：{} 至 {} 之间",
)
_OTHER = Words("{} {} from the trigger day on", "自触发日起 {} {}")
_FIXED = Words("fixed date of the announcement", "公告规定的固定日期")
_LAST = Words("last day to act", "截止日")
_UNITS = {
    "calendar_days": Words("calendar days", "个自然日"),
    "hours": Words("hours", "小时"),
    "years": Words("years", "年"),
}


@dataclass(frozen=True, slots=True)
class Counted:
    """One day: *works* None where no calendar says it; *count* the working days so far."""

    day: date
    works: bool | None
    why: Words
    count: int | None


def spelled(rule: Rule, duty: Duty, calendar: Calendar) -> Iterator[Counted]:
    """Yield the days by which *calendar* comes from the trigger day of *duty* to its last day."""
    if rule.unit == "working_days" and rule.period is not None:
        first = rule.count_trigger_day
        yield from counted(duty.trigger_day, rule.period, calendar, count_trigger_day=first)
        return
    yield Counted(duty.trigger_day, None, _TRIGGER, None)
    if rule.unit == "fixed_date":
        why = _FIXED
    elif rule.unit in _UNITS:
        unit = _UNITS[rule.unit]
        why = Words(_OTHER.en.format(rule.period, unit.en), _OTHER.zh.format(rule.period, unit.zh))
    else:
        why = _LAST
    yield Counted(duty.deadline.latest, None, why, None)


def counted(
    trigger_day: date, period: int, calendar: Calendar, *, count_trigger_day: bool = False
) -> Iterator[Counted]:
    """Yield each day from *trigger_day* on up to the one with which *period* are counted."""
    day, count = trigger_day, 0
    if count_trigger_day:
        day -= ONE_DAY
    else:
        yield Counted(day, None, _TRIGGER, None)
    years = {year.year: year for year in calendar.years}
    while count < period:
        day += ONE_DAY
        if not calendar.first_day <= day <= calendar.last_day:
            deadline = calendar.deadline(trigger_day, period, count_trigger_day)
            yield from _left_open(deadline.days, day, period - count)
            return
        works = calendar.is_working_day(day)
        count += works
        yield Counted(day, works, _why(day, works=works, years=years), count)


def _left_open(between: tuple[date, date], day: date, left: int) -> Iterator[Counted]:
    """Say that from *day* on nothing is published, and between which days the end will be."""
    yield Counted(day, None, _formatted(_UNKNOWN, day.year), None)
    yield Counted(between[1], None, _formatted(_REST, left, *between), None)


def _why(day: date, *, works: bool, years: dict[int, Year]) -> Words:
    # A notice may speak of the December before: the later one is the one that counts.
    for year in (day.year + 1, day.year):
        if year in years and day in years[year].off | years[year].work:
            return _formatted(_WORKED if works else _OFF, years[year].version)
    return _PLAIN if day.weekday() < SATURDAY else _WEEKEND


def _formatted(words: Words, *values: object) -> Words:
    return Words(words.en.format(*values), words.zh.format(*values))
