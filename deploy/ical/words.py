"""What a calendar entry says, English and Chinese: the words of notices, and a few of its own."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from alerts.words import Words, rule_words
from monitor.duties import Duty, Status

Language: TypeAlias = Literal["zh-CN", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh-CN", "en")

CALENDAR = Words("facetally: statutory deadlines", "facetally：法定期限")

_STANDS: Final = {
    Status.OPEN: Words("Due", "截止"),
    Status.OVERDUE: Words("OVERDUE", "已逾期"),
    Status.SUBMITTED: Words("Submitted, for the authority to act", "已提交，待主管部门审核"),
    Status.RETURNED: Words("Returned, to be supplemented", "已退回，待补正"),
    Status.COMPLETED: Words("Done", "已完成"),
    Status.FAILED: Words("Failed, still owed", "未通过，仍须办理"),
    Status.TERMINATED: Words("Terminated, still owed", "程序已终止，仍须办理"),
    Status.ANNULLED: Words("Annulled", "已撤销"),
}
_ENDED: Final = Words("Terminated", "程序已终止")
_AUTHORITY: Final = Words("Authority's last day", "主管部门审核期限")
_PROVISIONAL: Final = Words(" (provisional: between {} and {})", "（暂定：{} 至 {} 之间）")
_UNVERIFIED: Final = Words(", number UNVERIFIED", "，数量未核实")
_DAY: Final = Words(
    "The day is a day in Beijing; from 00:00 of the next it is too late.",
    "日期为北京时间；次日零时起即为逾期。",
)
_CLOCK: Final = Words(
    "The clock is one of hours: the description says from which instant on it is too late.",
    "本期限按小时计算：逾期时刻见说明。",
)
_LEFT: Final = Words("{} working days left: ", "剩余 {} 个工作日：")
_LAST: Final = Words("Last working day to act: ", "最后一个工作日：")


def said(words: Words, language: Language) -> str:
    """Return *words* in *language*."""
    return words.en if language == "en" else words.zh


def summary(duty: Duty, status: Status, *, ended: bool, doubtful: bool) -> Words:
    """Return the title: how it stands, what it is, whose, and whether anything is uncertain."""
    stands = _ENDED if ended and status is Status.TERMINATED else _STANDS[status]
    if duty.of_authority and not ended:
        stands = _AUTHORITY
    what, between = rule_words(duty.rule), Words("", "")
    if duty.deadline.provisional:
        days = [day.isoformat() for day in duty.deadline.days]
        between = Words(*(one.format(*days) for one in _PROVISIONAL))
    doubt = _UNVERIFIED if doubtful else Words("", "")
    return Words(
        f"{stands.en}{between.en}: {what.en} ({duty.processor}){doubt.en}",
        f"{stands.zh}{between.zh}：{what.zh}（{duty.processor}）{doubt.zh}",
    )


def note(duty: Duty) -> Words:
    """Return what the day of the entry means."""
    return _DAY if duty.deadline.due_at is None else _CLOCK


def alarm(title: Words, left: int) -> Words:
    """Return what an alarm says with *left* working days left."""
    before = Words(*(one.format(left) for one in _LEFT)) if left else _LAST
    return Words(before.en + title.en, before.zh + title.zh)
