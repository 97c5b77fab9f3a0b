"""The real parts of a life that say what they are about to do: each tells a probe, and works."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from sqlalchemy import Engine

from alerts.channels.webhook import Webhook
from monitor.facts import Instant
from monitor.intake import Ahead, Batch, Decoded, EndSeen, Gap, StoredPosition, TopicSeen, Written
from monitor.notices import NOBODY_NAMED, Claim, Notice, Reached
from monitor.store.keeper import SqlKeeper
from monitor.store.outbox import SqlOutbox
from streams.records import Adapter, Record
from streams.transport import Partition
from tests.violence.crash_steps import Probe

T = TypeVar("T")


class ToldAdapter:
    def __init__(self, real: Adapter, probe: Probe) -> None:
        self._real, self._probe = real, probe

    def decode(self, record: Record, read_at: Instant) -> Decoded:
        self._probe.before(f"decode {record.topic}/{record.partition} {record.offset}")
        return self._real.decode(record, read_at)


class ToldKeeper:
    """The real keeper, with word of which of its calls has begun and ended well."""

    def __init__(self, real: SqlKeeper, probe: Probe) -> None:
        self._real, self._probe = real, probe
        self.rounds = 0
        self._at_end: set[Partition] = set()

    def _call(self, name: str, work: Callable[[], T]) -> T:
        self._probe.doing(name)
        result = work()
        self._probe.done()
        return result

    def keep(self, batches: Sequence[Batch]) -> None:
        self._call("keep", lambda: self._real.keep(batches))

    def positions(
        self, partitions: Iterable[tuple[str, int]]
    ) -> Mapping[tuple[str, int], StoredPosition]:
        return self._call("positions", lambda: self._real.positions(partitions))

    def topics(self, seen: Sequence[TopicSeen], gone: Iterable[str] = (), now: Instant = 0) -> None:
        self._call("topics", lambda: self._real.topics(seen, gone, now))

    def moment(self) -> int:
        return self._call("moment", self._real.moment)

    def ends(self, seen: Sequence[EndSeen]) -> None:
        self._call("ends", lambda: self._real.ends(seen))
        self._at_end = {(end.topic, end.partition) for end in seen}

    def placed(
        self,
        *,
        begun: Sequence[Batch] = (),
        gaps: Sequence[Gap] = (),
        found: Sequence[Ahead] = (),
        committed: Mapping[Partition, int] = MappingProxyType({}),
    ) -> None:
        assert not found, "nothing was ever restored"
        self._call(
            "gap" if gaps else "keep",
            lambda: self._real.placed(begun=begun, gaps=gaps, committed=committed),
        )

    def written(self) -> Written:
        return self._call("written", self._real.written)

    def lacking(self, told: Collection[Written]) -> Collection[Written]:
        return self._call("lacking", lambda: self._real.lacking(told))

    def tick(self, now: Instant) -> None:
        self._call("tick", lambda: self._real.tick(now))
        self.rounds += bool(self._at_end)
        self._at_end = set()


class ToldOutbox(SqlOutbox):
    """The real outbox, with word of which of its calls has begun and ended well."""

    def __init__(self, engine: Engine, probe: Probe) -> None:
        super().__init__(engine)
        self._probe = probe

    def ensure(self, channels: Sequence[str], now: Instant) -> None:
        self._probe.doing("ensure")
        super().ensure(channels, now)
        self._probe.done()

    def claim(self, channel: str, now: Instant, lease_us: int) -> Claim | None:
        self._probe.doing("claim")
        claim = super().claim(channel, now, lease_us)
        if claim is not None:  # else it is asked again, as often as one likes
            self._probe.done()
        return claim

    def sent(self, claim: Claim, now: Instant, answer: str, to: Reached = NOBODY_NAMED) -> None:
        self._probe.doing("sent")
        super().sent(claim, now, answer, to)
        self._probe.done()

    def failed(self, claim: Claim, again_at: Instant, error: str) -> None:
        self._probe.doing("failed")
        super().failed(claim, again_at, error)
        self._probe.done()


class ToldHook:
    """The real webhook, a step before its post and one after the answer."""

    def __init__(self, real: Webhook, probe: Probe) -> None:
        self._real, self._probe = real, probe

    @property
    def name(self) -> str:
        return self._real.name

    def send(self, notice: Notice, now: Instant) -> str:
        self._probe.before("send")
        try:
            return self._real.send(notice, now)
        finally:
            self._probe.after("send")
