"""From what is known to the tables of a pack: pure, one table a sheet, both languages at once.

A cell is a text in both languages (``Words``), a text or number that has none, a day, or None.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeAlias

from alerts.words import Words, rule_words
from deploy.pack.counting import WEEKDAYS, spelled
from deploy.pack.gathering import Gathered
from deploy.pack.words import ART_15, MATERIALS, NO_ADVICE, OFFICER, PIPIA, UNKNOWN_FIELDS
from monitor.duties import Duty
from monitor.facts import Instant
from monitor.rules import Rule
from monitor.trust import MEANING

Cell: TypeAlias = Words | str | int | date | None
Row: TypeAlias = Sequence[Cell]

_BEIJING = timezone(timedelta(hours=8))
_YES, _NO = Words("yes", "是"), Words("no", "否")
_UNSAID = Words("not published", "尚未公布")
_PROVISIONAL = Words("provisional: between {} and {}", "暂定：{} 至 {} 之间")


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table; *id* is its key in JSON.

    With *charted* its second column is drawn over the first, with the threshold as a line unless
    that is 0.
    """

    id: str
    title: Words
    columns: Sequence[Words]
    rows: Sequence[Row]
    charted: int | None = None


def sheets(found: Gathered) -> list[Sheet]:
    """Return all tables of the pack of *found*."""
    return [
        _summary(found),
        _materials(),
        _contents(found),
        _systems(found),
        _history(found),
        *_counts(found),
        _duties(found),
        _calendars(found),
    ]


def spoken(instant: Instant) -> str:
    """Return *instant* as it is in Beijing, with its offset."""
    moment = datetime.fromtimestamp(instant / 1_000_000, UTC).astimezone(_BEIJING)
    return moment.isoformat(timespec="seconds")


# -- the number and its proof ------------------------------------------------------------------


def _summary(found: Gathered) -> Sheet:
    one = found.status
    rows: list[Row] = [
        (Words("Processor", "个人信息处理者"), found.processor),
        (Words("As of", "统计时点"), spoken(found.as_of)),
        (Words("Made at", "生成时间"), spoken(found.made_at)),
        (Words("Individuals stored", "存储人脸信息的人数"), one.stock.individuals),
        (
            Words("In research systems (Art. 2), not in it", "研发用途（第二条），不计入"),
            one.stock.research,
        ),
        (Words("Number verified", "人数已核实"), _NO if one.unverified else _YES),
    ]
    for why in one.unverified:
        meaning = MEANING[why.reason]
        because = Words(f"{meaning.en}: {why.topic}", f"{meaning.zh}：{why.topic}")
        rows.append((Words("Not verified because", "未核实原因"), because))
        todo = Words(meaning.way_back, meaning.way_back_zh)
        rows.append((Words("What to do", "处理办法"), todo))
    for threshold in one.thresholds:
        reach = threshold.reach
        name = f"{threshold.rule} >= {threshold.at_least}"
        rows.append((Words("Threshold", "阈值"), name))
        rows.append((Words("First reached", "首次达到"), _reached(reach.trigger_at)))
        if reach.trigger_at is not None:
            rows += [
                (Words("Number then", "达到时人数"), reach.individuals),
                (
                    Words("Not later than that day", "不晚于该日"),
                    _YES if threshold.not_later_than else _NO,
                ),
                (
                    Words("Confirmed by all partitions", "已由全部分区确认"),
                    _NO if reach.pending else _YES,
                ),
            ]
    rows += [
        (Words("Audit entries", "审计记录数"), found.audit_entries),
        (Words("Audit head", "审计链头"), found.audit_head),
        (Words("Calendars", "日历版本"), found.calendar.version),
        (Words("Note", "说明"), NO_ADVICE),
    ]
    columns = (Words("Field", "项目"), Words("Value", "内容"))
    return Sheet("summary", Words("Summary", "概要"), columns, rows)


def _reached(at: Instant | None) -> Cell:
    return _NO if at is None else spoken(at)


def _systems(found: Gathered) -> Sheet:
    rows: list[Row] = []
    marks = {(mark.system, mark.gallery): mark for mark in found.marks}
    for system, individuals in sorted(found.status.stock.systems.items()):
        mark = marks.get((system, None))
        research = mark is not None and mark.research
        rows.append(
            (
                system,
                individuals,
                Words("research (Art. 2)", "研发（第二条）")
                if research
                else Words("operation", "运营"),
                mark.by if mark is not None and research else None,
                mark.reason if mark is not None and research else None,
                OFFICER,
            )
        )
    note = Words(
        "one person may be in several systems: do not add up", "同一人可在多个系统中，不可相加"
    )
    rows.append((note, None, None, None, None, None))
    columns = (
        Words("System", "系统"),
        Words("Individuals", "人数"),
        Words("Purpose mark", "用途标记"),
        Words("Marked by", "标记人"),
        Words("Because", "理由"),
        Words("Location, provider", "地点、服务提供方"),
    )
    return Sheet("systems", Words("Systems", "系统"), columns, rows)


def _history(found: Gathered) -> Sheet:
    thresholds = [one.at_least for one in found.status.thresholds if one.rule == "frt.file"]
    limit = thresholds[0] if thresholds else None
    rows = [(day, individuals, limit) for day, individuals in found.days]
    columns = (
        Words("Day (Beijing)", "日期（北京）"),
        Words("Individuals at its end", "当日末人数"),
        Words("Threshold", "阈值"),
    )
    return Sheet("history", Words("History", "历史"), columns, rows, charted=limit or 0)


# -- what is to be filed -----------------------------------------------------------------------


def _materials() -> Sheet:
    rows = [
        (number, material.name, material.held, OFFICER)
        for number, material in enumerate(MATERIALS, 1)
    ]
    columns = (
        Words("No.", "序号"),
        Words("Material", "材料"),
        Words("What this pack holds of it", "本文件包含"),
        Words("Ready, by whom, when", "是否备齐、责任人、日期"),
    )
    return Sheet("materials", Words("Check list", "材料清单"), columns, rows)


def _contents(found: Gathered) -> Sheet:
    number = found.status.stock.individuals
    proof = Words("folded from recorded events", "由事件记录计算")
    if found.status.unverified:
        proof = Words("folded from recorded events, UNVERIFIED", "由事件记录计算，未核实")
    rows: list[Row] = [
        (ART_15, Words("Name of the processor", "个人信息处理者名称"), found.processor, None),
        (ART_15, Words("Number of individuals stored", "存储人数"), number, proof),
        (ART_15, Words("Systems", "应用系统"), len(found.status.stock.systems), proof),
    ]
    for told in found.assessments:
        by = f"{told.by}: {told.reason}"
        named = Words("Recorded impact assessment", "已登记的影响评估")
        rows.append((PIPIA, named, f"{spoken(told.at)} {told.reference}".strip(), by))
    if not found.assessments:
        rows.append((PIPIA, Words("Impact assessment report", "影响评估报告"), OFFICER, None))
    rows += [(of, field, OFFICER, None) for of, field in UNKNOWN_FIELDS]
    columns = (
        Words("Asked for by", "依据"),
        Words("Field", "填报项目"),
        Words("What is known", "已知内容"),
        Words("From", "来源"),
    )
    return Sheet("contents", Words("Contents", "填报内容"), columns, rows)


# -- duties and days ---------------------------------------------------------------------------


def _duties(found: Gathered) -> Sheet:
    by_id = {rule.id: rule for rule in found.rules}
    rows = [_duty(duty, by_id.get(duty.rule), found) for duty in found.duties]
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


def _duty(duty: Duty, rule: Rule | None, found: Gathered) -> Row:
    deadline = duty.deadline
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
        duty.status(found.as_of).value,
        number if isinstance(number, int) else None,
        rule.addressee if rule is not None else None,
        rule.source if rule is not None else None,
        deadline.calendar_version,
    )


def _counts(found: Gathered) -> Iterator[Sheet]:
    """Yield the count of each duty that is not over, or of the newest one."""
    by_id = {rule.id: rule for rule in found.rules}
    known = [duty for duty in found.duties if duty.rule in by_id]
    open_ones = [duty for duty in known if duty.closed_at is None] or known[-1:]
    for number, duty in enumerate(open_ones, 1):
        title = Words(f"Days {number} {duty.rule}"[:31], f"工作日 {number} {duty.rule}"[:31])
        rows = list(_days(by_id[duty.rule], duty, found))
        yield Sheet(f"days_{number}", title, _COUNTED, rows)


def _days(rule: Rule, duty: Duty, found: Gathered) -> Iterable[Row]:
    for one in spelled(rule, duty, found.calendar):
        works = {True: _YES, False: _NO, None: None}[one.works]
        yield one.day, WEEKDAYS[one.day.weekday()], works, one.why, one.count


_COUNTED = (
    Words("Day", "日期"),
    Words("Weekday", "星期"),
    Words("Working day", "是否工作日"),
    Words("Why", "原因"),
    Words("Count", "累计"),
)


def _calendars(found: Gathered) -> Sheet:
    rows: list[Row] = [(year.year, year.version, year.notice) for year in found.years]
    rows.append((found.calendar.last_day.year + 1, None, _UNSAID))
    columns = (
        Words("Year", "年份"),
        Words("Version", "版本"),
        Words("Notice of the State Council", "国务院办公厅通知"),
    )
    return Sheet("calendars", Words("Calendars", "日历"), columns, rows)
