"""The duties in a pack, and the count of the days of each: by what it was counted by, not by now's.

Calendars and rules change, and what is closed is never counted again: beside the last day of a duty
stands the count that gave it. Where what is kept does not count to it, that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alerts.words import Words, rule_words
from deploy.pack.counting import WEEKDAYS, spelled
from deploy.pack.gathering import Gathered
from deploy.pack.sheet import NO, YES, Cell, Row, Sheet
from deploy.pack.words import STATUSES, addressee_words, source_words
from monitor.duties import Duty
from monitor.filings import FILINGS, family
from monitor.rules import Rule
from monitor.store.versions import Basis

_PROVISIONAL = Words("provisional: between {} and {}", "暂定：{} 至 {} 之间")
_LAST = Words("last day to act", "截止日")
_LATEST = Words("last day to act at the latest: provisional", "最迟截止日：暂定")
_UNPROVEN = Words(
    "the last day that was told; the calendars and rules that are kept do not count to it",
    "已告知的截止日；所保存的日历和规则无法推算至该日",
)
_COUNTED = (
    Words("Day", "日期"),
    Words("Weekday", "星期"),
    Words("Working day", "是否工作日"),
    Words("Why", "原因"),
    Words("Count", "累计"),
    Words("Note", "备注"),
)


def duties(found: Gathered) -> Sheet:
    """Return the table of all duties, each with the calendar that it was counted by."""
    rows = [_duty(*one, found) for one in zip(found.duties, found.bases, strict=True)]
    columns = (
        Words("Rule", "规则"),
        Words("What", "义务"),
        Words("Trigger day", "触发日"),
        Words("Last day to act", "截止日"),
        Words("Status", "状态"),
        Words("Number then", "当时人数"),
        Words("To", "报送对象"),
        Words("Source", "依据"),
        Words("Calendar", "日历版本"),
    )
    return Sheet("duties", Words("Duties", "义务"), columns, rows)


def _duty(duty: Duty, basis: Basis, found: Gathered) -> Row:
    deadline, rule = duty.deadline, basis.rule
    due: Cell = deadline.due_day
    if deadline.provisional:
        first, last = deadline.days
        due = Words(_PROVISIONAL.en.format(first, last), _PROVISIONAL.zh.format(first, last))
    number = duty.proof.get("individuals")
    return (
        duty.rule,
        rule_words(duty.rule),
        duty.trigger_day,
        due,
        STATUSES[duty.status(found.as_of)],
        number if isinstance(number, int) else None,
        addressee_words(rule.addressee) if rule is not None else None,
        source_words(rule.source) if rule is not None else None,
        deadline.calendar_version,
    )


def counts(found: Gathered) -> Iterator[Sheet]:
    """Yield the count of each duty that is not over, and of the newest one of each filing."""
    pairs = list(zip(found.duties, found.bases, strict=True))
    newest = {family(duty.rule): duty for duty in found.duties if family(duty.rule) in FILINGS}
    kept = {(duty.rule, duty.key) for duty in newest.values()}
    shown = [
        (duty, basis.rule, basis)
        for duty, basis in pairs
        if duty.closed_at is None or (duty.rule, duty.key) in kept or not newest
    ]
    for number, (duty, rule, basis) in enumerate(shown, 1):
        title = Words(f"Days {number} {duty.rule}"[:31], f"工作日 {number} {duty.rule}"[:31])
        yield Sheet(f"days_{number}", title, _COUNTED, list(_days(duty, rule, basis)))


def _days(duty: Duty, rule: Rule | None, basis: Basis) -> Iterable[Row]:
    end = duty.deadline.latest
    days = [] if rule is None else list(spelled(rule, duty, basis.calendar))
    note = _LATEST if duty.deadline.provisional else _LAST
    proven = bool(days) and days[-1].day == end
    for one in days:
        works = {True: YES, False: NO, None: None}[one.works]
        last = note if proven and one is days[-1] else None
        yield one.day, WEEKDAYS[one.day.weekday()], works, one.why, one.count, last
    if not proven:
        yield end, WEEKDAYS[end.weekday()], None, None, None, _UNPROVEN
