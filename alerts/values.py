"""Facts of notices as people write them, in English and Chinese: days, numbers, instants, words.

What is a name (of a processor, a system, a topic, a person) and what a person wrote stays as it
is. Instants are shown in Beijing, where the days of the law are, to the minute.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Final, Literal, NamedTuple, TypeAlias

from monitor.changes import ChangeKind
from monitor.duties import Status, Why
from monitor.filings import Illegal, State, StepKind
from monitor.notices import BodyValue
from monitor.trust import MEANING, Doubt

Language: TypeAlias = Literal["zh-CN", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh-CN", "en")


class Words(NamedTuple):
    """The same sentence in both languages."""

    en: str
    zh: str

    def in_(self, language: Language) -> str:
        """Return it in *language*."""
        return self.en if language == "en" else self.zh


_BEIJING: Final = timezone(timedelta(hours=8))
_FIRST_INSTANT: Final = 946_684_800_000_000  # 2000-01-01: no count of anything is so large
_DAY: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MORE: Final = re.compile(r" and ([0-9]+) more$")
_AS_NUMBERED: Final = frozenset(
    {"partition", "offset", "expected", "resume", "stored", "committed"}
)

_YES, _NO = Words("yes", "是"), Words("no", "否")

_STEPS: Final = {
    StepKind.SUBMITTED: Words("submitted", "已提交"),
    StepKind.RETURNED: Words("returned for improvement", "退回补正"),
    StepKind.FAILED: Words("review failed", "审核未通过"),
    StepKind.TERMINATED: Words("procedure terminated", "程序终止"),
    StepKind.COMPLETED: Words("completed", "备案完成"),
    StepKind.ANNULLED: Words("annulled", "撤销"),
    StepKind.REOPENED: Words("reopened", "重新打开"),
    StepKind.CORRECTED: Words("corrected", "更正"),
}
_STANDS: Final = {
    "open": Words("open", "待办"),
    "overdue": Words("overdue", "已逾期"),
    **{step.value: said for step, said in _STEPS.items()},
}
_WHYS: Final = {
    Why.SAME_DAY: Words("the day is the same", "日期相同"),
    Why.EARLIER_DAY: Words("an earlier day was found", "发现更早的日期"),
    Why.LATER_DAY: Words("only a later day is found now", "现有记录仅支持较晚的日期"),
    Why.REACH_VANISHED: Words("no day is found any more", "现有记录不再达到阈值"),
    Why.DUTY_CLOSED: Words("the duty is closed", "义务已结束"),
    Why.DECIDED: Words("a person has decided on it", "已由人工确认"),
    Why.NO_RULE_THEN: Words("nothing was owed for the day found", "所发现日期当时并无该义务"),
}
_NO_DUTY: Final = Words("there is no duty that it could be about", "尚无与之对应的义务")
_REASONS: Final = {
    "retention": MEANING[Doubt.GAP_RETENTION],
    "beyond_end": MEANING[Doubt.GAP_BEYOND_END],
    "recreated": MEANING[Doubt.GAP_RECREATED],
    **{doubt.value: MEANING[doubt] for doubt in Doubt},
}
_CHANGES: Final = {
    ChangeKind.SYSTEM: "系统",
    ChangeKind.GALLERY: "人脸库",
    ChangeKind.PURPOSE: "用途",
    ChangeKind.NUMBER: "数量",
    ChangeKind.ASSESSMENT: "影响评估",
    ChangeKind.RETENTION: "保存期限",
    ChangeKind.PROVIDER: "服务提供者",
    ChangeKind.STORAGE: "存储",
    ChangeKind.MEASURES: "保护措施",
    ChangeKind.OTHER: "其他",
}
_PROPOSED: Final = re.compile(rf"\b([0-9]+): ({'|'.join(ChangeKind)})\b")
_SETTING: Final = re.compile(r"(?:(?<=^)|(?<=, ))(rule|mark|topic) ")
_SETTINGS: Final = {"rule": "规则", "mark": "系统标记", "topic": "主题"}


def _illegal() -> Mapping[str, Words]:
    """Every sentence in which the fold says that a step was not possible, with its Chinese."""
    found = {"there is no duty that it could be about": _NO_DUTY}
    for state in State:
        for kind in StepKind:
            en = str(Illegal(state, kind))
            zh = f"当前状态为“{_STANDS[state.value].zh}”，不能进行“{_STEPS[kind].zh}”"
            found[en] = Words(en, zh)
    return found


_SENTENCES: Final = _illegal()


def said(name: str, value: BodyValue, language: Language) -> str:
    """Return the fact *name* of a notice as a reader of *language* expects it."""
    if isinstance(value, bool):
        return (_YES if value else _NO).in_(language)
    if isinstance(value, int):
        return _number(name, value, language)
    text = str(value)
    if name.endswith("_between"):
        first, _, last = text.partition("/")
        return (
            f"{_day(first, language)} {'and' if language == 'en' else '至'} {_day(last, language)}"
        )
    worded = _WORDED.get(name)
    if worded is not None:
        return worded(text, language)
    if name.endswith("_at"):
        return _written_instant(text, language)
    return _day(text, language)


def instant(at: int, language: Language) -> str:
    """Return *at*, microseconds UTC, in Beijing to the minute."""
    moment = datetime.fromtimestamp(at / 1_000_000, _BEIJING)
    return _minute(moment, language)


def grouped(number: int) -> str:
    """Return *number* with its thousands apart, as both languages write it."""
    return f"{number:,}"


def _number(name: str, value: int, language: Language) -> str:
    if value >= _FIRST_INSTANT:
        return instant(value, language)
    return str(value) if name in _AS_NUMBERED else grouped(value)


def _minute(moment: datetime, language: Language) -> str:
    time = f"{moment:%H:%M}"
    if language == "en":
        return f"{moment:%Y-%m-%d} {time} (Beijing)"
    return f"{_day(f'{moment:%Y-%m-%d}', language)} {time}（北京时间）"


def _written_instant(text: str, language: Language) -> str:
    try:
        return _minute(datetime.fromisoformat(text).astimezone(_BEIJING), language)
    except ValueError:
        return text


def _day(text: str, language: Language) -> str:
    """Return a day as ``2026-04-14`` or 2026年4月14日; anything else as it is."""
    found = _DAY.fullmatch(text)
    if found is None or language == "en":
        return text
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return text
    return f"{day.year}年{day.month}月{day.day}日"


def _from(words: Mapping[str, Words]) -> Callable[[str, Language], str]:
    return lambda text, language: words[text].in_(language) if text in words else text


def _why(text: str, language: Language) -> str:
    if text in _SENTENCES:
        return _SENTENCES[text].in_(language)
    return _WHYS[Why(text)].in_(language) if text in set(Why) else text


def _reason(text: str, language: Language) -> str:
    meaning = _REASONS.get(text)
    if meaning is None:
        return text
    return meaning.en if language == "en" else meaning.zh


def _listed(text: str, language: Language) -> str:
    """Translate how a list of names ends: "and 3 more"."""
    if language == "en":
        return text
    return _MORE.sub(lambda found: f"，另有 {found[1]} 项", text)


def _changed(text: str, language: Language) -> str:
    if language == "en":
        return text
    zh = _PROPOSED.sub(lambda one: f"{one[1]}：{_CHANGES[ChangeKind(one[2])]}", text)
    return _listed(zh, language)


def _differing(text: str, language: Language) -> str:
    if language == "en":
        return text
    return _listed(_SETTING.sub(lambda one: f"{_SETTINGS[one[1]]} ", text), language)


_WORDED: Final[Mapping[str, Callable[[str, Language], str]]] = {
    "step": _from({kind.value: words for kind, words in _STEPS.items()}),
    "status": _from({status.value: _STANDS[status.value] for status in Status}),
    "why": _why,
    "reason": _reason,
    "systems": _listed,
    "change": _changed,
    "differs": _differing,
}
