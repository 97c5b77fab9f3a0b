"""A notice as a message to a person, in one language: a line, and facts one below the other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from alerts import values, words
from alerts.channel import BadSettings
from alerts.values import LANGUAGES, Language, Words
from monitor.notices import Kind, Notice, Severity

_MARKS: Final = {
    Severity.PAGE: Words("[PAGE] {}", "【紧急】{}"),
    Severity.WARNING: Words("[WARNING] {}", "【警告】{}"),
    Severity.INFO: Words("[INFO] {}", "【通知】{}"),
}
_PROCESSOR: Final = Words("processor: {}", "个人信息处理者：{}")
_RULE: Final = Words("rule: {}", "规则：{}")
_RULE_ALONE: Final = Words("{} ({})", "{}（{}）")
_DUTY: Final = Words("duty: {}", "义务编号：{}")
_AT: Final = Words("noticed: {}", "发现时间：{}")
_KEY: Final = Words("notice: {}", "通知编号：{}")
_ACK: Final = Words(
    "to acknowledge: facetally ack {} --by NAME", "确认命令：facetally ack {} --by 姓名"
)
# A step names its page, and the others are in no database.
_NOT_TO_ACK: Final = frozenset({Kind.ESCALATED, Kind.TEST, Kind.WATCHDOG_SILENT})
_LONGEST_TITLE, _LONGEST_LINE, _LONGEST_BODY = 240, 700, 5_000


class Message(NamedTuple):
    """What somebody is told. Neither holds a line break of a name or of what a person wrote."""

    title: str
    body: str


def message(notice: Notice, language: Language) -> Message:
    """Return *notice* in *language*; the same notice gives the same message for ever.

    What matters comes first, for a service or a small screen cuts off the end; which notice it is
    comes last, and is in every message; before it, how a page is acknowledged.
    """
    title = _MARKS[notice.severity].in_(language).format(words.title(notice, language))
    facts = [one.in_(language) for one in words.clauses(notice.body)]
    named = (
        (_PROCESSOR, notice.processor),
        (_RULE, _named_rule(notice.rule, language)),
        (_DUTY, notice.duty),
        (_AT, values.instant(notice.created_at, language)),
        (_ACK, notice.key if _to_acknowledge(notice) else None),
        (_KEY, notice.key),
    )
    names = _lines(form.in_(language).format(text) for form, text in named if text)
    said = _cut(_lines(facts), _LONGEST_BODY - len(names) - 1)
    return Message(_line(title, _LONGEST_TITLE), f"{said}\n{names}" if said else names)


def checked_language(text: str) -> Language:
    """Return *text* if it is a language of ours. Raises BadSettings."""
    for language in LANGUAGES:
        if text == language:
            return language
    raise BadSettings(f"language: must be one of {', '.join(LANGUAGES)}")


def _to_acknowledge(notice: Notice) -> bool:
    return notice.severity is Severity.PAGE and notice.kind not in _NOT_TO_ACK


def _named_rule(rule: str | None, language: Language) -> str | None:
    if rule is None:
        return None
    named = words.rule_words(rule).in_(language)
    return rule if named == rule else _RULE_ALONE.in_(language).format(named, rule)


def _lines(texts: Iterable[str]) -> str:
    return "\n".join(_line(one, _LONGEST_LINE) for one in texts)


def _line(text: str, longest: int) -> str:
    """Return *text* on one line: a name must not be able to write a line of its own."""
    return _cut(" ".join(text.split()), longest)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
