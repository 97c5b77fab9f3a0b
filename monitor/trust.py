"""Why a number may be wrong, what each reason means, and the way back to a verified number.

Every place that shows a number shows these beside it. Two sorts of reasons: *written* ones stay
until a person has compared the number with its source and accepted it; the others are read off
the sources each time, and end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from monitor.facts import Instant
from monitor.notices import Body


class Doubt(StrEnum):
    """Why a number is unverified. Closed list: a label of metrics, and what ``accept`` takes."""

    GAP_RETENTION = "gap.retention"
    GAP_BEYOND_END = "gap.beyond_end"
    GAP_RECREATED = "gap.recreated"
    DATABASE_RESTORED = "database_restored"
    SOURCE_SILENT = "source_silent"
    SNAPSHOT_RUNNING = "snapshot_running"
    SOURCE_INCOMPLETE = "source_incomplete"
    TOPIC_MISSING = "topic_missing"
    PARTITION_STOPPED = "partition_stopped"
    FILE_UNFINISHED = "file_unfinished"

    @property
    def written(self) -> bool:
        """Whether it stays until a person accepts the number."""
        return self in _WRITTEN


_WRITTEN = frozenset(
    {
        Doubt.GAP_RETENTION,
        Doubt.GAP_BEYOND_END,
        Doubt.GAP_RECREATED,
        Doubt.DATABASE_RESTORED,
    }
)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a reason means and what to do about it, in English and Chinese."""

    en: str
    zh: str
    way_back: str
    way_back_zh: str


_COMPARE = (
    "compare the number with what the source itself says that it stores, correct the source or "
    "have it send again what is missing, then run: facetally accept --processor P --reason {} "
    "--compared-at INSTANT --by NAME --because TEXT"
)
_COMPARE_ZH = (
    "与来源系统自身的存储数量核对，更正来源或由其重新发送缺失的记录，然后执行："
    "facetally accept --processor P --reason {} --compared-at INSTANT --by NAME --because TEXT"
)


def _compared(doubt: Doubt, en: str, zh: str, first: str = "", first_zh: str = "") -> Meaning:
    ways = (first + _COMPARE.format(doubt.value), first_zh + _COMPARE_ZH.format(doubt.value))
    return Meaning(en, zh, *ways)


_RESTORE_FIRST = (
    "wait until the worker has read on to the end of the topic, apply again the files and take "
    "again the decisions that were made after the backup; "
)
_RESTORE_FIRST_ZH = "等待工作进程读到主题末尾，重新导入备份之后的文件并重新作出其后的决定；"

MEANING: Mapping[Doubt, Meaning] = MappingProxyType(
    {
        Doubt.GAP_RETENTION: _compared(
            Doubt.GAP_RETENTION,
            "Kafka deleted records before they were read",
            "Kafka 在读取之前已删除部分记录",
        ),
        Doubt.GAP_BEYOND_END: _compared(
            Doubt.GAP_BEYOND_END,
            "the log ends before what had been read: Kafka lost records",
            "日志末尾早于已读位置，Kafka 丢失了记录",
        ),
        Doubt.GAP_RECREATED: _compared(
            Doubt.GAP_RECREATED,
            "the topic was deleted and made anew, what was not read of the old one is lost",
            "主题被删除并重建，旧主题中未读的记录已丢失",
        ),
        Doubt.DATABASE_RESTORED: _compared(
            Doubt.DATABASE_RESTORED,
            "more was read or written than this database holds: an older copy of it was put "
            "back, somebody moved the offsets of the group, or another database is read into under "
            "the same group",
            "已读取或写入的内容超出本数据库：数据库被恢复为较旧的备份，有人移动了消费组位置，"
            "或另一个数据库使用了同一消费组",
            _RESTORE_FIRST,
            _RESTORE_FIRST_ZH,
        ),
        Doubt.SOURCE_SILENT: Meaning(
            "nothing was read from the topic for longer than its setting allows",
            "主题超过设定时间没有任何记录",
            "see that the source still sends, and that a worker reads; it ends by itself with "
            "the next record of the topic",
            "检查来源是否仍在发送、工作进程是否在读取；收到下一条记录后自动解除",
        ),
        Doubt.SNAPSHOT_RUNNING: Meaning(
            "the first snapshot of the source has not been read to its end",
            "来源的首次快照尚未读完",
            "wait; it ends by itself when the snapshot has been read to its end",
            "等待；快照读完后自动解除",
        ),
        Doubt.SOURCE_INCOMPLETE: Meaning(
            "the settings say that faces were stored before the first record of this source",
            "设置声明该来源在第一条记录之前已有存储",
            "have the source send what it stored before, then set complete = true in its "
            "[sources.NAME]",
            "由来源补发此前已存储的记录，然后在 [sources.NAME] 中设置 complete = true",
        ),
        Doubt.TOPIC_MISSING: Meaning(
            "a topic that the settings name is not there: it never was when a worker looked, or it "
            "was deleted",
            "设置中的主题不存在：工作进程查看时从未存在，或已被删除",
            "create the topic, or correct its name or take it out of [[topics]] and restart; it "
            "ends by itself when a worker has seen the topic",
            "创建该主题，或在 [[topics]] 中更正其名称或将其删除并重启；"
            "工作进程看到该主题后自动解除",
        ),
        Doubt.PARTITION_STOPPED: Meaning(
            "nothing is read of a partition any more: too much of it was rejected, its change log "
            "went backwards, or the broker's clock is ahead of ours",
            "某个分区已停止读取：被拒绝的记录过多，其变更日志发生回退，或 Kafka 服务器时钟快于本机",
            "see the page of the partition: mend the source, the mapping or [reject_limit], or "
            "raise epoch, then restart the worker, or set the clock right; it ends by itself when "
            "the partition is read on",
            "查看该分区的告警：修复来源、映射或 [reject_limit]，或提高 epoch，然后重启工作进程，"
            "或校正时钟；该分区恢复读取后自动解除",
        ),
        Doubt.FILE_UNFINISHED: Meaning(
            "a file is being applied, or its apply ended before the end of the file",
            "文件正在导入，或其导入在读完之前已中断",
            "wait for a facetally apply that still runs; else mend the file and apply it again "
            "from the same place, or drop what is unfinished: facetally abandon --by NAME "
            "--because TEXT",
            "等待正在运行的 facetally apply；若已中断，修复文件后从同一位置重新导入，"
            "或放弃未完成的文件：facetally abandon --by NAME --because TEXT",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason for which a number is not verified, since when, and by which topic.

    *since* is 0 where it has always been so.
    """

    reason: Doubt
    topic: str
    since: Instant

    @property
    def way_back(self) -> str:
        """What exactly to do about it."""
        return MEANING[self.reason].way_back


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What the settings say of where numbers come from.

    *incomplete* topics do not begin at the beginning. *feeding* names the configured topics that
    can feed a processor; a snapshot is over when it has been read from all of them. A topic of
    *silent_after* is silent when so many microseconds have brought no record of it.
    """

    incomplete: frozenset[str] = frozenset()
    feeding: Callable[[str], Iterable[str]] | None = None
    silent_after: Mapping[str, Instant] = field(default_factory=dict)


def silent_since(last: Instant, limit: Instant, now: Instant) -> Instant | None:
    """Return when a topic whose last record was read at *last* became silent, or None."""
    return last + limit if now - last > limit else None


def in_body(whys: Sequence[Why]) -> dict[str, str | int | bool | None]:
    """Return what a notice with a number says of it: ``verified``, and why not.

    ``unverified`` is ``REASON TOPIC`` for each reason, between semicolons.
    """
    named = "; ".join(f"{why.reason.value} {why.topic}" for why in whys)
    ways = " / ".join(dict.fromkeys(why.way_back for why in whys))
    return {"verified": not whys, "unverified": named or None, "way_back": ways or None}


def in_proof(whys: Sequence[Why]) -> dict[str, object]:
    """Return what the proof of a duty says of its number; instants are microseconds."""
    return {
        "verified": not whys,
        "unverified": [
            {"reason": why.reason.value, "topic": why.topic, "since": why.since} for why in whys
        ],
    }


def doubts_of(body: Body) -> list[tuple[Doubt, str]]:
    """Return reasons and topics that ``in_body`` put into *body*; unknown ones are left out."""
    named = body.get("unverified")
    if not isinstance(named, str):
        return []
    pairs = (one.partition(" ") for one in named.split("; "))
    known = {doubt.value: doubt for doubt in Doubt}
    return [(known[reason], topic) for reason, _, topic in pairs if reason in known]


class NotAcceptable(ValueError):
    """A reason cannot be accepted away; the message says what to do instead."""


def check_acceptable(doubt: Doubt) -> None:
    """Raise NotAcceptable for a reason that is read off the sources and ends by itself."""
    if not doubt.written:
        meaning = MEANING[doubt]
        raise NotAcceptable(
            f"{doubt.value} cannot be accepted, it ends by itself: {meaning.way_back}"
        )
