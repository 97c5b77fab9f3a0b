"""The words of a filing pack, English and Chinese: materials, fields, headings.

The materials and fields are those of Order No. 19 (CAC, MPS) art. 9 and 15 and of the CAC's filing
guide of 2025. What nobody told us is for the officer: it is marked, and never made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from alerts.words import Words
from monitor.duties import Status

OFFICER = Words("TO BE FILLED IN BY THE OFFICER", "【请填写】")
NO_ADVICE = Words(
    "Made by facetally from recorded events; it is no legal advice and no filing by itself.",
    "由 facetally 依据记录的事件生成；不构成法律意见，亦不代替正式备案。",
)


class Material(NamedTuple):
    """One of the nine materials, and what of it this pack holds."""

    name: Words
    held: Words


_NOTHING = Words("nothing: it is with the processor", "无：由个人信息处理者提供")

MATERIALS = (
    Material(
        Words(
            "Basic information form of the personal information processor",
            "个人信息处理者基本情况表",
        ),
        Words("the name as it is configured", "已配置的名称"),
    ),
    Material(
        Words("FRT application record form", "人脸识别技术应用备案登记表"),
        Words("numbers, systems, days: the sheets of this pack", "人数、系统、日期：见本文件各表"),
    ),
    Material(
        Words(
            "Personal information protection impact assessment (PIPIA) report",
            "个人信息保护影响评估报告",
        ),
        Words("numbers; assessments that were recorded", "人数；已登记的评估"),
    ),
    Material(Words("Unified social credit code certificate", "统一社会信用代码证件"), _NOTHING),
    Material(
        Words("Identity document of the legal representative", "法定代表人身份证件"), _NOTHING
    ),
    Material(Words("Identity document of the agent", "经办人身份证件"), _NOTHING),
    Material(Words("Power of attorney of the agent", "经办人授权委托书"), _NOTHING),
    Material(Words("Letter of commitment", "承诺书"), _NOTHING),
    Material(Words("Other materials", "其他材料"), _NOTHING),
)

ART_15 = Words("Art. 15", "第十五条")
PIPIA = Words("Art. 9 (PIPIA)", "第九条（影响评估）")

UNKNOWN_FIELDS = (
    (
        ART_15,
        Words("Unified social credit code, address, contact", "统一社会信用代码、地址、联系方式"),
    ),
    (ART_15, Words("Purpose of processing", "处理目的")),
    (ART_15, Words("Method of processing", "处理方式")),
    (ART_15, Words("Protective measures", "安全保护措施")),
    (ART_15, Words("Processing rules", "处理规则")),
    (ART_15, Words("Operating procedures", "操作规程")),
    (PIPIA, Words("Purpose, necessity, legal basis", "目的、必要性、合法性")),
    (PIPIA, Words("Effect on rights and interests", "对个人权益的影响")),
    (PIPIA, Words("Risks of leak, tampering, loss, misuse", "泄露、篡改、丢失、滥用风险")),
    (PIPIA, Words("Measures against them, and whether they suffice", "保护措施及其有效性")),
    (PIPIA, Words("Technical specifications", "技术参数")),
    (PIPIA, Words("Collection, use, storage", "收集、使用、存储")),
    (PIPIA, Words("Automated decisions", "自动化决策")),
    (PIPIA, Words("Storage infrastructure", "存储设施")),
    (PIPIA, Words("Platforms and providers", "平台与服务提供方")),
)

STATUSES: Mapping[Status, Words] = {
    Status.OPEN: Words("open", "待办"),
    Status.OVERDUE: Words("overdue", "已逾期"),
    Status.SUBMITTED: Words("submitted", "已提交，审核中"),
    Status.RETURNED: Words("returned", "退回补正"),
    Status.COMPLETED: Words("completed", "已完成"),
    Status.FAILED: Words("failed", "审核未通过"),
    Status.TERMINATED: Words("terminated", "程序已终止"),
    Status.ANNULLED: Words("annulled", "已撤销"),
}

# By the English of the shipped rules, which the audit log has, too. Whoever files reads the law.
_ADDRESSEES = {
    "provincial-level or higher cyberspace authority": "省级以上网信部门",
    "city-level cyberspace authority": "市级网信部门",
    "cyberspace authority": "网信部门",
    "the processor": "个人信息处理者",
    "the processor keeps it": "由个人信息处理者保存",
    "the processor; the clock is the authority's": "个人信息处理者；审核期限属主管部门",
}
_ORDER_19 = "《人脸识别技术应用安全管理办法》（国家互联网信息办公室、公安部令第19号）"
_SOURCES = {
    "Order No. 19 (CAC, MPS), art. 15": f"{_ORDER_19}第十五条",
    "Order No. 19 (CAC, MPS), art. 9": f"{_ORDER_19}第九条",
    "CAC announcement of 2025-05-30": "国家互联网信息办公室公告（2025-05-30 发布）",
    "CAC announcement of 2025-07-18": "国家互联网信息办公室公告（2025-07-18）",
    "CAC filing guide": "国家互联网信息办公室备案指南",
    "Compliance Audit Measures, art. 4, in force 2025-05-01": (
        "《个人信息保护合规审计管理办法》第四条（2025-05-01 起施行）"
    ),
    "Incident Reporting Measures, in force 2025-11-01": (
        "《国家网络安全事件报告管理办法》（2025-11-01 起施行）"
    ),
    "settings": "用户设置",
}


def addressee_words(text: str) -> Words | str | None:
    """Return the addressee of a rule; one that a user wrote is theirs, in their language."""
    return _both(text, _ADDRESSEES)


def source_words(text: str) -> Words | str | None:
    """Return the source of a rule; one that a user wrote is theirs, in their language."""
    return _both(text, _SOURCES)


def _both(text: str, chinese: Mapping[str, str]) -> Words | str | None:
    return Words(text, chinese[text]) if text in chinese else text or None
