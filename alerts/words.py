"""Notices in words, English and Chinese. Any fact may be missing; none is made up."""

from __future__ import annotations

from alerts import values
from alerts.values import Language, Words
from monitor.notices import Body, Kind, Notice, OpenDuty
from monitor.trust import MEANING, Doubt, doubts_of

__all__ = [
    "Words",
    "clauses",
    "description",
    "plain",
    "rule_words",
    "summary",
    "summary_of_duty",
    "title",
]

_TITLES = {
    Kind.DUTY_OPENED: Words("A duty is open", "产生一项法定义务"),
    Kind.DUTY_MOVED: Words("A duty is due earlier than was thought", "义务期限提前"),
    Kind.DUE_SETTLED: Words("A provisional deadline is settled", "暂定期限已确定"),
    Kind.DUE_MOVED: Words(
        "A calendar or a changed rule moves a last day", "工作日历或规则变更，截止日变动"
    ),
    Kind.DUTY_CLOSED: Words("A duty is closed", "义务已结束"),
    Kind.DUTY_REOPENED: Words("A duty is open again", "义务重新打开"),
    Kind.DUTY_CORRECTED: Words("A trigger day was corrected by a person", "触发日已经人工更正"),
    Kind.FILING_STEP: Words("A filing has moved on", "备案进度更新"),
    Kind.FILING_REFUSED: Words(
        "A step of a filing was told that is not possible", "收到不符合流程的备案步骤"
    ),
    Kind.FILING_WAITING: Words(
        "A step of a filing was told for which there is no duty yet",
        "收到备案步骤，但尚无对应义务",
    ),
    Kind.FACES_REMAIN: Words(
        "FR use has ended, and faces are stored still", "已终止使用，但仍存储人脸信息"
    ),
    Kind.ENROLLED_AFTER_END: Words(
        "A face was enrolled after the end of FR use", "终止使用后仍有人脸录入"
    ),
    Kind.CHANGE_PROPOSED: Words(
        "Filed facts may have changed materially, a person decides",
        "备案事项可能发生实质性变更，待人工确认",
    ),
    Kind.RESTATEMENT_WAITS: Words(
        "A later trigger day waits for a decision", "触发日推迟，待人工确认"
    ),
    Kind.REACH_UNCONFIRMED: Words(
        "A threshold may have been reached, unconfirmed", "可能已达到阈值，尚未确认"
    ),
    Kind.GAP: Words(
        "Records can no longer be read, the number is unverified", "部分记录已无法读取，数量未核实"
    ),
    Kind.DATABASE_RESTORED: Words(
        "The database is older than what was read, every number is unverified",
        "数据库早于已读记录，所有数量均未核实",
    ),
    Kind.RECOUNT_OVERDUE: Words(
        "A look back is overdue, a trigger day may be missing or wrong",
        "重新核算已逾期，触发日可能缺失或有误",
    ),
    Kind.FILE_UNFINISHED: Words(
        "A file was not applied to its end, no reach is confirmed",
        "文件导入未完成，不确认任何阈值达到",
    ),
    Kind.THRESHOLD_APPROACHED: Words("A threshold comes near", "接近法定阈值"),
    Kind.FORECAST_NEAR: Words(
        "A threshold may be reached within two months: begin the impact assessment",
        "预计两个月内可能达到法定阈值，请着手影响评估",
    ),
    Kind.SOURCE_SILENT: Words(
        "A source is silent, the number is unverified", "来源长时间无记录，数量未核实"
    ),
    Kind.SOURCE_HEARD: Words("A silent source is heard again", "来源恢复发送记录"),
    Kind.NUMBER_ACCEPTED: Words(
        "A number was compared with its source and accepted", "数量已与来源核对并经人工确认"
    ),
    Kind.PARTITION_STOPPED: Words(
        "A partition is stopped: too many rejects", "分区已停止：被拒记录过多"
    ),
    Kind.LOG_WENT_BACK: Words(
        "A change log went backwards, its store is stopped", "变更日志倒退，该存储已停止处理"
    ),
    Kind.CLOCK_BEHIND: Words(
        "Our clock is behind the broker's, a partition waits",
        "本机时钟落后于 Kafka 服务器，分区等待中",
    ),
    Kind.SETTINGS_REPLACED: Words(
        "A worker has other settings than the one that was started last, it keeps nothing",
        "某工作进程的设置与最后启动的进程不同，已停止处理",
    ),
    Kind.WATCHDOG_SILENT: Words(
        "The watchdog is not heard, health alerts may reach nobody",
        "未收到看门狗告警，健康告警可能无法送达",
    ),
    Kind.WATCHDOG_HEARD: Words("The watchdog is heard again", "看门狗告警恢复"),
    Kind.TEST: Words("Test of this channel, nothing is owed", "通道测试，无任何义务"),
    Kind.REMINDER: Words("The last day of a duty comes nearer", "义务截止日临近"),
    Kind.ESCALATED: Words("Nobody has acknowledged a page", "告警尚无人确认"),
}
_LAST_DAY = Words("Today is the last day of a duty", "今日为义务截止日")
_OVERDUE = Words("A duty is overdue", "义务已逾期")

# Named after the article; whoever files reads the law, not this.
_RULES = {
    "frt.file": Words("filing of FR use, Art. 15", "人脸识别技术应用备案（第十五条）"),
    "frt.file.legacy": Words(
        "filing of FR use, reached before 2025-06-01",
        "人脸识别技术应用备案（2025-06-01 前已达到）",
    ),
    "frt.change": Words("change of the filing, Art. 15", "备案变更（第十五条）"),
    "frt.cancel": Words("cancellation of the filing, Art. 15", "备案注销（第十五条）"),
    "frt.review": Words("review by the authority", "主管部门审核"),
    "frt.supplement": Words("supplement to what was returned", "退回补正"),
    "frt.pipia": Words("impact assessment, Art. 9", "个人信息保护影响评估（第九条）"),
    "frt.retain": Words("records to be kept, Art. 9", "评估报告与处理记录保存（第九条）"),
    "pio.report": Words("report of the PI protection officer", "个人信息保护负责人信息报送"),
    "pio.legacy": Words(
        "report of the PI protection officer, reached before 2025-07-18",
        "个人信息保护负责人信息报送（2025-07-18 前已达到）",
    ),
    "audit.periodic": Words("periodic compliance audit", "定期合规审计"),
    "incident.other": Words("report of a security incident", "网络安全事件报告"),
}

_CLAUSES = (
    ("individuals", Words("individuals stored: {}", "存储人数：{}")),
    ("research_individuals", Words("individuals stored for research: {}", "研究用途存储人数：{}")),
    ("at_least", Words("threshold: {}", "阈值：{}")),
    ("percent", Words("per cent of the threshold passed: {}", "已超过阈值的百分比：{}")),
    ("forecast", Words("forecast trigger day: {}", "预计触发日：{}")),
    ("forecast_from", Words("forecast trigger day from {} on", "预计触发日不早于：{}")),
    (
        "forecast_between",
        Words("forecast trigger day between {}", "预计触发日区间：{}"),
    ),
    ("trigger_day", Words("trigger day: {} (Beijing)", "触发日：{}（北京时间）")),
    ("not_later_than", Words("trigger day may be earlier: {}", "触发日可能更早：{}")),
    ("was_trigger_day", Words("trigger day before: {}", "原触发日：{}")),
    ("found_trigger_day", Words("trigger day found now: {}", "现查得触发日：{}")),
    ("due_day", Words("last day to act: {}", "截止日：{}")),
    (
        "due_between",
        Words(
            "last day to act, provisional, calendar not published: between {}",
            "截止日（暂定，节假日安排尚未公布）：{} 之间",
        ),
    ),
    ("due_at", Words("too late from {} on", "逾期时刻：{}")),
    ("working_days_left", Words("working days left: {}", "剩余工作日：{}")),
    ("was_due_day", Words("last day before: {}", "原截止日：{}")),
    (
        "was_due_between",
        Words("last day before, provisional: between {}", "原截止日（暂定）：{} 之间"),
    ),
    ("step", Words("step: {}", "步骤：{}")),
    ("day", Words("on: {}", "日期：{}")),
    ("status", Words("the duty is: {}", "义务状态：{}")),
    ("in_time", Words("submitted in time: {}", "按期提交：{}")),
    ("closed_day", Words("closed on: {}", "结束日：{}")),
    ("why", Words("why: {}", "原因：{}")),
    ("reference", Words("reference: {}", "文号：{}")),
    (
        "number_now",
        Words(
            "individuals now: {}; no crossing is found until the number has fallen below",
            "当前人数：{}（降至阈值以下后再次达到才会重新触发）",
        ),
    ),
    ("still_stored", Words("individuals stored still: {}", "仍存储人数：{}")),
    ("systems", Words("in systems: {}", "所在系统：{}")),
    ("working_days_since", Words("working days since the end: {}", "终止后已过工作日：{}")),
    ("change", Words("change: {}", "变更：{}")),
    ("evidence", Words("evidence: {}", "依据：{}")),
    ("source", Words("source: {}", "来源：{}")),
    ("topic", Words("topic: {}", "主题：{}")),
    ("partition", Words("partition: {}", "分区：{}")),
    ("partitions", Words("partitions: {}", "分区数：{}")),
    ("offset", Words("stopped at offset: {}", "停止位置：{}")),
    ("expected", Words("offset that was to be read next: {}", "本应读取的位置：{}")),
    ("resume", Words("offset that can be read next: {}", "现可读取的位置：{}")),
    ("last_read_at", Words("last record: {}", "最近一条记录：{}")),
    ("since", Words("since: {}", "起始时间：{}")),
    ("due_since", Words("due since: {}", "应于此时起核算：{}")),
    ("compared_at", Words("compared at: {}", "核对时间：{}")),
    ("stored", Words("next offset in the database: {}", "数据库中的位置：{}")),
    ("committed", Words("next offset of the group in Kafka: {}", "Kafka 消费组位置：{}")),
    ("differs", Words("settings that differ: {}", "不同的设置：{}")),
    ("reason", Words("reason: {}", "原因：{}")),
    ("by", Words("by: {}", "操作人：{}")),
    ("because", Words("because: {}", "理由：{}")),
    (
        "page",
        Words("to acknowledge: facetally ack {} --by NAME", "确认命令：facetally ack {} --by 姓名"),
    ),
    ("page_since", Words("not acknowledged since: {}", "未确认起始时间：{}")),
    ("people", Words("to: {}", "通知对象：{}")),
    ("watched", Words("watchdog of the installation: {}", "看门狗所属部署：{}")),
    ("last_beat_at", Words("last heard: {}", "最近一次收到：{}")),
    ("listening_since", Words("never heard since the start: {}", "启动后从未收到，启动时间：{}")),
    ("silent_since", Words("was silent since: {}", "中断起始时间：{}")),
    ("calendar_version", Words("calendar: {}", "日历版本：{}")),
    ("audit_head", Words("audit head: {}", "审计链头：{}")),
)


def summary(notice: Notice) -> Words:
    """Return one line: what has happened, by which rule, at whom, and if it is unverified."""
    return _headline(notice.kind, notice.rule, notice.processor, notice.body)


def summary_of_duty(duty: OpenDuty) -> Words:
    """Return the line of an open duty: that of the notice that opened it."""
    return _headline(Kind.DUTY_OPENED, duty.rule, duty.processor, duty.body)


def shown_elsewhere(duty: OpenDuty) -> Words:
    """Return what the former alert of a duty that is owed again says at its end."""
    return Words(
        f"{duty.processor}: not met, but owed again under {duty.rule}; see the alert with the "
        f"notice {duty.again}",
        f"{duty.processor}：并未完成，{duty.rule} 义务重新生效；见带有 notice {duty.again} 的告警",
    )


def title(notice: Notice, language: Language) -> str:
    """Return the line of ``summary`` in *language*."""
    return summary(notice).in_(language)


def description(body: Body) -> Words:
    """Return the facts of *body* that have a name in words; may be empty."""
    found = clauses(body)
    return Words("; ".join(one.en for one in found), "；".join(one.zh for one in found))


def clauses(body: Body) -> list[Words]:
    """Return each fact of *body* that has a name in words, and each doubt with its way back."""
    found = [_clause(name, clause, body) for name, clause in _CLAUSES if _worth_saying(name, body)]
    return found + [_doubted(doubt, topic) for doubt, topic in doubts_of(body)]


def _worth_saying(name: str, body: Body) -> bool:
    value = body.get(name)
    return value is not None and not (name == "not_later_than" and value is False)


def _clause(name: str, clause: Words, body: Body) -> Words:
    value = body[name]
    return Words(
        clause.en.format(values.said(name, value, "en")),
        clause.zh.format(values.said(name, value, "zh-CN")),
    )


def rule_words(rule: str) -> Words:
    """Return what *rule* is about; a rule of one's own has its id alone."""
    return _RULES.get(rule, Words(rule, rule))


def plain(value: str | int | bool | None) -> str:  # noqa: FBT001 - a value, not a switch
    """Return *value* as the text of an annotation."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _doubted(doubt: Doubt, topic: str) -> Words:
    """Return why the number is unverified, and the way back."""
    meaning = MEANING[doubt]
    en = f"UNVERIFIED by topic {topic}, {meaning.en}; what to do: {meaning.way_back}"
    zh = f"未核实（主题 {topic}）：{meaning.zh}；处理办法：{meaning.way_back_zh}"
    return Words(en, zh)


def _title(kind: Kind, body: Body) -> Words:
    left, escalated = body.get("working_days_left"), body.get("escalated_kind")
    if kind is Kind.REMINDER and isinstance(left, int) and left <= 0:
        return _OVERDUE if left < 0 else _LAST_DAY
    if kind is Kind.ESCALATED and escalated in set(Kind):
        own, other = _TITLES[kind], _title(Kind(str(escalated)), body)
        return Words(f"{own.en}: {other.en}", f"{own.zh}：{other.zh}")
    return _TITLES[kind]


def _headline(kind: Kind, rule: str | None, processor: str | None, body: Body) -> Words:
    title = _title(kind, body)
    by = _RULES.get(rule, Words(rule, rule)) if rule else Words("", "")
    en = title.en + (f": {by.en}" if by.en else "") + (f" ({processor})" if processor else "")
    zh = title.zh + (f"：{by.zh}" if by.zh else "") + (f"（{processor}）" if processor else "")
    if "individuals" in body and body.get("verified") is False:
        return Words(en + ", number UNVERIFIED", zh + "，数量未核实")
    return Words(en, zh)
