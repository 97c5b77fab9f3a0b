"""From what is known to the tables of a pack: pure, one table a sheet, both languages at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from alerts.words import Words
from deploy.pack.dates import counts, duties
from deploy.pack.gathering import Gathered
from deploy.pack.sheet import NO, YES, Cell, Row, Sheet
from deploy.pack.words import ART_15, MATERIALS, NO_ADVICE, OFFICER, PIPIA, UNKNOWN_FIELDS
from monitor.facts import Instant
from monitor.store.reading import ThresholdStatus
from monitor.trust import MEANING

_BEIJING = timezone(timedelta(hours=8))
_UNSAID = Words("not published", "尚未公布")


def sheets(found: Gathered) -> list[Sheet]:
    """Return all tables of the pack of *found*."""
    return [
        _summary(found),
        _materials(),
        _contents(found),
        _systems(found),
        _history(found),
        *counts(found),
        duties(found),
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
        (Words("Number verified", "人数已核实"), NO if one.unverified else YES),
    ]
    for why in one.unverified:
        meaning = MEANING[why.reason]
        because = Words(f"{meaning.en}: {why.topic}", f"{meaning.zh}：{why.topic}")
        rows.append((Words("Not verified because", "未核实原因"), because))
        todo = Words(meaning.way_back, meaning.way_back_zh)
        rows.append((Words("What to do", "处理办法"), todo))
    for threshold in one.thresholds:
        reach = threshold.reach
        name = f"{threshold.rule} {_asked(found, threshold)}"
        rows.append((Words("Threshold", "阈值"), name))
        rows.append((Words("First reached", "首次达到"), _reached(reach.trigger_at)))
        if reach.trigger_at is not None:
            rows += [
                (Words("Number then", "达到时人数"), reach.individuals),
                (
                    Words("Not later than that day", "不晚于该日"),
                    YES if threshold.not_later_than else NO,
                ),
                (
                    Words("Confirmed by all partitions", "已由全部分区确认"),
                    NO if reach.pending else YES,
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


def _asked(found: Gathered, threshold: ThresholdStatus) -> str:
    """Return the threshold as its rule says it: more than 100 is not 101 or more."""
    for rule in found.rules:
        if rule.id == threshold.rule and rule.at_least is not None:
            return f"{rule.comparator} {rule.at_least}"
    return f">= {threshold.at_least}"


def _reached(at: Instant | None) -> Cell:
    return NO if at is None else spoken(at)


def _systems(found: Gathered) -> Sheet:
    """Each system by its own purpose, and each gallery that has a mark of its own."""
    marks = {(mark.system, mark.gallery): mark for mark in found.marks}
    of_system = {mark.system: mark.research for mark in found.marks if mark.gallery is None}
    shown = {
        (one.system, one.gallery): (one.research, one.individuals)
        for one in found.places
        if one.gallery is not None or one.research == of_system.get(one.system, False)
    }
    nobody = {where: (mark.research, 0) for where, mark in marks.items() if mark.research}
    rows: list[Row] = []
    for where, (research, individuals) in sorted((nobody | shown).items(), key=_where):
        mark = marks.get(where) if research else None
        rows.append(
            (
                *where,
                individuals,
                Words("research (Art. 2)", "研发（第二条）")
                if research
                else Words("operation", "运营"),
                mark.by if mark is not None else None,
                mark.reason if mark is not None else None,
                OFFICER,
            )
        )
    note = Words(
        "one person may be in several systems and galleries: do not add up",
        "同一人可在多个系统和人脸库中，不可相加",
    )
    rows.append((note, *[None] * 6))
    columns = (
        Words("System", "系统"),
        Words("Gallery with a mark of its own", "另有标记的人脸库"),
        Words("Individuals", "人数"),
        Words("Purpose", "用途"),
        Words("Marked by", "标记人"),
        Words("Because", "理由"),
        Words("Location, provider", "地点、服务提供方"),
    )
    return Sheet("systems", Words("Systems", "系统"), columns, rows)


def _where(one: tuple[tuple[str, str | None], object]) -> tuple[str, str]:
    (system, gallery), _ = one
    return system, gallery or ""


def _history(found: Gathered) -> Sheet:
    thresholds = [one.at_least for one in found.status.thresholds if one.rule == "frt.file"]
    limit = thresholds[0] if thresholds else None
    rows = [(day, individuals, limit) for day, individuals in found.days]
    columns = (
        Words("Day (Beijing)", "日期（北京）"),
        Words("Individuals at its end", "当日末人数"),
        Words("Reached from", "达到人数"),
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
    operating = {one.system for one in found.places if one.individuals and not one.research}
    proof = Words("folded from recorded events", "由事件记录计算")
    if found.status.unverified:
        proof = Words("folded from recorded events, UNVERIFIED", "由事件记录计算，未核实")
    rows: list[Row] = [
        (ART_15, Words("Name of the processor", "个人信息处理者名称"), found.processor, None),
        (ART_15, Words("Number of individuals stored", "存储人数"), number, proof),
        (ART_15, Words("Systems in operation", "运营中的应用系统"), len(operating), proof),
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


def _calendars(found: Gathered) -> Sheet:
    used = (year for basis in found.bases for year in basis.calendar.years)
    years = {(year.year, year.version): year for year in (*used, *found.years)}
    rows: list[Row] = [(*name, years[name].notice) for name in sorted(years)]
    rows.append((found.calendar.last_day.year + 1, None, _UNSAID))
    columns = (
        Words("Year", "年份"),
        Words("Version", "版本"),
        Words("Notice of the State Council", "国务院办公厅通知"),
    )
    return Sheet("calendars", Words("Calendars", "日历"), columns, rows)
