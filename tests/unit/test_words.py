"""What a notice says to people: every kind, in both languages, and nothing of the other one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import values, words
from alerts.channel import BadSettings
from alerts.templates import checked_language, message
from alerts.values import LANGUAGES, Language
from monitor.changes import ChangeKind
from monitor.duties import Status, Why
from monitor.filings import Illegal, State, StepKind
from monitor.notices import Body, BodyValue, Kind, Notice, Severity, key_of
from monitor.trust import Doubt, in_body
from monitor.trust import Why as Against
from tests.outbox_contract import NOW

AGAINST = [Against(reason=doubt, topic="t1", since=NOW) for doubt in Doubt]
DAYS: Body = {
    "trigger_day": "2026-09-26",
    "not_later_than": True,
    "due_day": None,
    "due_between": "2027-01-01/2027-01-11",
    "due_at": "2026-11-23T16:00:00+00:00",
    "calendar_version": "2025-1",
    "individuals": 100_000,
    "at_least": 100_000,
    "audit_head": "0" * 64,
    **in_body(AGAINST),
}
PARTITION: Body = {"partition": "t1/0", "offset": 1234567, **in_body(AGAINST)}
# What the store writes into the notices of each kind.
FACTS: Mapping[Kind, Body] = {
    Kind.DUTY_OPENED: DAYS,
    Kind.DUTY_MOVED: {**DAYS, "was_trigger_day": "2026-10-01"},
    Kind.DUE_SETTLED: {**DAYS, "was_due_between": "2027-01-01/2027-01-11"},
    Kind.DUE_MOVED: {**DAYS, "was_due_day": "2026-12-31"},
    Kind.DUTY_CLOSED: {**DAYS, "status": "completed", "closed_day": "2026-11-01", "in_time": True},
    Kind.DUTY_REOPENED: {**DAYS, "status": "overdue"},
    Kind.DUTY_CORRECTED: {**DAYS, "was_trigger_day": "2026-10-01", "by": "7", "because": "8"},
    Kind.FILING_STEP: {**DAYS, "step": "returned", "day": "2026-11-01", "reference": "9"},
    Kind.FILING_REFUSED: {"step": "completed", "why": str(Illegal(State.OPEN, StepKind.COMPLETED))},
    Kind.FILING_WAITING: {
        "step": "submitted",
        "why": "there is no duty that it could be about",
    },
    Kind.FACES_REMAIN: {
        **DAYS,
        "still_stored": 12_345,
        "systems": "s1 5, s2 6 and 3 more",
        "working_days_since": 5,
        "status": "open",
    },
    Kind.ENROLLED_AFTER_END: {**DAYS, "day": "2026-11-01", "systems": "s1"},
    Kind.CHANGE_PROPOSED: {
        "change": ", ".join(f"{n}: {kind} s1" for n, kind in enumerate(ChangeKind)) + " and 2 more"
    },
    Kind.RESTATEMENT_WAITS: {**DAYS, "found_trigger_day": "2026-10-01", "why": "later_day"},
    Kind.REACH_UNCONFIRMED: {"individuals": 100_000, "at_least": 100_000, **in_body(AGAINST)},
    Kind.GAP: {"reason": "retention", "expected": 5, "resume": 9, **PARTITION},
    Kind.DATABASE_RESTORED: {"partitions": 2, "stored": 5, "committed": 9, **PARTITION},
    Kind.RECOUNT_OVERDUE: {"due_since": NOW},
    Kind.FILE_UNFINISHED: {"source": "s1", "topic": "t1", "since": NOW, **in_body(AGAINST)},
    Kind.THRESHOLD_APPROACHED: {
        "individuals": 90_000,
        "at_least": 100_000,
        "percent": 90,
        "forecast": "2026-12-01",
        "forecast_between": "2026-11-25/2026-12-20",
    },
    Kind.SOURCE_SILENT: {"topic": "t1", "last_read_at": NOW},
    Kind.SOURCE_HEARD: {"topic": "t1", "last_read_at": NOW},
    Kind.NUMBER_ACCEPTED: {
        "reason": "gap.retention",
        "compared_at": NOW,
        "research_individuals": 1_000,
    },
    Kind.PARTITION_STOPPED: PARTITION,
    Kind.LOG_WENT_BACK: PARTITION,
    Kind.CLOCK_BEHIND: PARTITION,
    Kind.SETTINGS_REPLACED: {"differs": "rule 7, mark 8, topic 9 and 4 more"},
    Kind.REMINDER: {**DAYS, "working_days_left": 3, "status": "open", "rung": "3"},
    Kind.ESCALATED: {
        **DAYS,
        "page": key_of(Kind.DUTY_OPENED, "a"),
        "page_since": NOW,
        "escalated_kind": "duty_opened",
        "escalation": "s1",
        "escalation_step": 1,
        "escalation_round": 0,
        "people": "s1, s2",
    },
    Kind.WATCHDOG_SILENT: {"watched": "s1", "last_beat_at": NOW, "listening_since": NOW},
    Kind.WATCHDOG_HEARD: {"watched": "s1", "silent_since": NOW},
    Kind.TEST: {},
}
# Names of programs, commands and settings, and ids: the same in every language.
SAME = re.compile(
    r"facetally (?:accept|apply|abandon)(?: --[a-z-]+ \S+)*|facetally ack \S+ --by"
    r"|\[[A-Za-z_.]+\]|complete = true"
    r"|\bKafka\b|\bepoch\b|\b(?:frt|gap)\.[a-z_]+|\b[a-z]+(?:_[a-z]+)*:[0-9a-f]{32}\b"
    r"|\b[ts][0-9]+\b|\bacme\b|\bP\b|\bINSTANT\b|\bNAME\b|\bTEXT\b|\bapply\b"
)
CHINESE = re.compile(r"[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]")
LATIN = re.compile(r"[A-Za-z]+")


def notice(kind: Kind, **changes: BodyValue) -> Notice:
    return Notice(
        key=key_of(kind, "a"),
        kind=kind,
        severity=Severity.PAGE,
        processor="acme",
        rule="frt.file",
        duty="0",
        created_at=NOW,
        body={**FACTS.get(kind, {}), **changes},
    )


def whole(told: Notice, language: Language) -> str:
    return "\n".join(message(told, language))


@pytest.mark.parametrize("kind", Kind)
def test_no_word_of_the_other_language_is_in_a_message(kind: Kind) -> None:
    told = notice(kind)
    english, chinese = whole(told, "en"), whole(told, "zh-CN")

    assert CHINESE.findall(english) == []
    assert LATIN.findall(SAME.sub("", chinese)) == []


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_names_the_severity_the_processor_the_rule_and_the_notice(
    kind: Kind, language: Language
) -> None:
    told = notice(kind)
    said = message(told, language)

    assert said.title.startswith("[PAGE] " if language == "en" else "【紧急】")
    assert "acme" in said.title
    for named in ("acme", "frt.file", told.key):
        assert named in said.body
    assert len(said.title.splitlines()) == 1


@pytest.mark.parametrize("kind", FACTS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fact_that_a_kind_is_written_with_is_said(kind: Kind, language: Language) -> None:
    """But for what the title or the way back says, and what is for programs."""
    left_out = {"verified", "unverified", "way_back", "rung"}
    left_out |= {"escalated_kind", "escalation", "escalation_step", "escalation_round"}
    said = words.clauses(FACTS[kind])
    facts = [name for name, value in FACTS[kind].items() if value is not None]
    expected = len(set(facts) - left_out) + (len(AGAINST) if "unverified" in facts else 0)

    assert len(said) == expected
    assert len({one.in_(language) for one in said}) == expected


@pytest.mark.parametrize(
    ("name", "value", "en", "zh"),
    [
        ("individuals", 100_000, "100,000", "100,000"),
        ("individuals", 1_234_567, "1,234,567", "1,234,567"),
        ("individuals", 7, "7", "7"),
        # Offsets are looked up, not read.
        ("expected", 1_234_567, "1234567", "1234567"),
        ("trigger_day", "2026-04-05", "2026-04-05", "2026年4月5日"),
        ("trigger_day", "2026-13-45", "2026-13-45", "2026-13-45"),
        (
            "due_between",
            "2027-01-01/2027-01-11",
            "2027-01-01 and 2027-01-11",
            "2027年1月1日 至 2027年1月11日",
        ),
        ("in_time", True, "yes", "是"),
        ("in_time", False, "no", "否"),
        # 16:00 UTC is the next day in Beijing.
        (
            "due_at",
            "2026-11-23T16:00:00+00:00",
            "2026-11-24 00:00 (Beijing)",
            "2026年11月24日 00:00（北京时间）",
        ),
        ("due_at", "soon", "soon", "soon"),
        (
            "last_read_at",
            1_790_000_000_000_000,
            "2026-09-21 22:13 (Beijing)",
            "2026年9月21日 22:13（北京时间）",
        ),
        ("status", "overdue", "overdue", "已逾期"),
        ("step", "returned", "returned for improvement", "退回补正"),
        ("why", "later_day", "only a later day is found now", "现有记录仅支持较晚的日期"),
        ("why", "as the office said", "as the office said", "as the office said"),
        ("reason", "unheard of", "unheard of", "unheard of"),
        ("systems", "a 5, b 6 and 3 more", "a 5, b 6 and 3 more", "a 5, b 6，另有 3 项"),
        ("change", "12: system gate", "12: system gate", "12：系统 gate"),
        ("differs", "rule frt.file, topic x", "rule frt.file, topic x", "规则 frt.file, 主题 x"),
        ("topic", "rule", "rule", "rule"),
    ],
)
def test_how_a_fact_is_written(name: str, value: BodyValue, en: str, zh: str) -> None:
    assert values.said(name, value, "en") == en
    assert values.said(name, value, "zh-CN") == zh


@pytest.mark.parametrize("kind", StepKind)
@pytest.mark.parametrize("state", State)
def test_every_step_that_was_not_possible_is_said_in_chinese(state: State, kind: StepKind) -> None:
    said = values.said("why", str(Illegal(state, kind)), "zh-CN")

    assert LATIN.findall(said) == []


@pytest.mark.parametrize("status", Status)
def test_every_standing_has_chinese_words(status: Status) -> None:
    assert LATIN.findall(values.said("status", status.value, "zh-CN")) == []


@pytest.mark.parametrize("step", StepKind)
def test_every_step_has_chinese_words(step: StepKind) -> None:
    assert LATIN.findall(values.said("step", step.value, "zh-CN")) == []


@pytest.mark.parametrize("why", Why)
def test_every_reason_of_a_decision_has_words(why: Why) -> None:
    assert values.said("why", why.value, "en") != why.value
    assert LATIN.findall(values.said("why", why.value, "zh-CN")) == []


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(LANGUAGES))
def test_no_name_and_no_reason_of_a_person_writes_a_line_of_its_own(
    text: str, language: Language
) -> None:
    told = Notice(
        key="k",
        kind=Kind.GAP,
        severity=Severity.INFO,
        processor=text,
        rule=text,
        duty=text,
        created_at=NOW,
        body={"because": text, "topic": text},
    )
    plain = Notice(
        key="k",
        kind=Kind.GAP,
        severity=Severity.INFO,
        processor=text and "x",
        rule=text and "x",
        duty=text and "x",
        created_at=NOW,
        body={"because": "x", "topic": "x"},
    )
    said = message(told, language)

    assert len(said.title.splitlines()) == 1
    assert len(said.body.splitlines()) == len(message(plain, language).body.splitlines())


def test_a_message_is_bounded_and_says_what_matters_first_and_which_it_is_last() -> None:
    names = ("because", "by", "evidence", "reference", "topic", "source", "change", "systems")
    long = dict.fromkeys(names, "理" * 100_000)
    told = notice(Kind.DUTY_CORRECTED, **long)
    said = message(told, "zh-CN")

    assert 4_000 < len(said.body) <= 5_000
    assert said.body.startswith("存储人数：100,000")
    assert "…\n个人信息处理者：acme\n" in said.body
    assert said.body.endswith(f"通知编号：{told.key}")


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("en", "to acknowledge: facetally ack k --by NAME"),
        ("zh-CN", "确认命令：facetally ack k --by 姓名"),
    ],
)
def test_a_page_says_how_it_is_acknowledged_and_nothing_else_does(
    language: Language, line: str
) -> None:
    def lines(kind: Kind, severity: Severity) -> list[str]:
        told = Notice(
            key="k", kind=kind, severity=severity, processor="acme", created_at=NOW, body={}
        )
        return message(told, language).body.splitlines()

    assert line in lines(Kind.DUTY_OPENED, Severity.PAGE)
    assert line not in lines(Kind.DUTY_OPENED, Severity.WARNING)
    assert line not in lines(Kind.TEST, Severity.PAGE)
    assert line not in lines(Kind.ESCALATED, Severity.PAGE)
    assert line not in lines(Kind.WATCHDOG_SILENT, Severity.PAGE)  # no database knows it


def test_the_same_notice_gives_the_same_message() -> None:
    assert whole(notice(Kind.DUTY_OPENED), "en") == whole(notice(Kind.DUTY_OPENED), "en")


def test_a_rule_of_ones_own_is_named_once() -> None:
    told = Notice(
        key="k", kind=Kind.DUTY_OPENED, severity=Severity.INFO, rule="own.rule", created_at=NOW
    )

    assert "rule: own.rule\n" in message(told, "en").body


@pytest.mark.parametrize("text", ["zh", "EN", "", "fr"])
def test_another_language_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match=r"^language: must be one of zh-CN, en$"):
        checked_language(text)
