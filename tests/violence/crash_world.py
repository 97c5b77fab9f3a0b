"""What outlives a killed process: the story's phase, the clock, the group's offsets, last words.

Kept in memory that the parent shares with the processes that it forks. The clock moves when it is
read and when somebody waits for it, so a run is the same each time; after a crash it goes on.
"""

from __future__ import annotations

import asyncio
import mmap
import selectors
import struct
from collections.abc import Callable, Mapping

from monitor.facts import Instant
from monitor.intake import Written
from streams.placing import Committed, from_metadata
from streams.transport import Partition
from tests.integration.store_kit import SECOND
from tests.violence.crash_story import BETWEEN, PARTITIONS, STORY, Phase

_TOLD = 5  # numbers that are kept of what was published of a partition
_STATE = struct.Struct(f"qqq{_TOLD * len(PARTITIONS)}qH")
_COMMITTED = 3  # where the offset, and what was written by then, of each partition begin
_SIZE = 4096
_READING: Instant = 1_000  # how far a look at the clock moves it


class World:
    """Shared by a parent and its forks; one of them at a time changes it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self.reset()

    def reset(self) -> None:
        """Go back to before the story began."""
        self._memory[:] = bytes(_SIZE)
        self.move(STORY.phases[0].at)

    def kept(self) -> bytes:
        """Return all that is known here, for ``put_back``."""
        return self._memory[:]

    def put_back(self, kept: bytes) -> None:
        self._memory[:] = kept

    def _get(self, index: int) -> int:
        return int(_STATE.unpack_from(self._memory)[index])

    def _set(self, index: int, value: int) -> None:
        state = list(_STATE.unpack_from(self._memory))
        state[index] = value
        _STATE.pack_into(self._memory, 0, *state)

    @property
    def number(self) -> int:
        """Return which phase it is, from 0."""
        return self._get(0)

    @property
    def phase(self) -> Phase:
        return STORY.phases[self.number]

    def enter(self, number: int) -> None:
        """Begin a phase, long enough after the one before, or go on with it."""
        if number != self.number:
            self._set(0, number)
            self.move(max(self.now + BETWEEN, self.phase.at))

    @property
    def now(self) -> Instant:
        """Return the time without moving it."""
        return self._get(1)

    def move(self, to: Instant) -> None:
        self._set(1, to)

    def pass_time(self, seconds: float) -> None:
        self.move(self.now + max(1, round(seconds * SECOND)))

    def clock(self) -> Instant:
        """Return the time, a millisecond later than the last one."""
        self.move(self.now + _READING)
        return self.now

    def seconds(self) -> float:
        """Return the time in seconds, moving it likewise."""
        return self.clock() / SECOND

    @property
    def committed(self) -> dict[Partition, Committed]:
        """Return what the group has published."""
        found = {}
        for number, tp in enumerate(PARTITIONS):
            first = _COMMITTED + _TOLD * number
            offset, audit, book, seal, known_at = (self._get(first + n) for n in range(_TOLD))
            if offset:
                found[tp] = Committed(offset, Written(audit, book, _text(seal), known_at))
        return found

    def commit(self, offsets: Mapping[Partition, int], metadata: str) -> None:
        """Keep what a worker publishes, as Kafka does."""
        written = from_metadata(metadata)
        assert written is not None
        for tp, offset in offsets.items():
            first = _COMMITTED + _TOLD * PARTITIONS.index(tp)
            told = (offset, written.audit, written.book, _number(written.seal), written.known_at)
            for n, value in enumerate(told):
                self._set(first + n, value)

    @property
    def steps(self) -> int:
        """Return how many steps the last process had done when it said so."""
        return self._get(2)

    @property
    def label(self) -> str:
        """Return the last step that a process left word of."""
        start = _STATE.size
        return self._memory[start : start + self._get(-1)].decode()

    def leave_word(self, steps: int, label: str) -> None:
        """Say what the last step was, from within a process that is about to end."""
        text = label.encode()[: _SIZE - _STATE.size]
        self._set(2, steps)
        self._set(-1, len(text))
        self._memory[_STATE.size : _STATE.size + len(text)] = text


def _number(seal: str) -> int:
    """Return 16 hexadecimal digits as a signed number of eight bytes."""
    return int(seal, 16) - 2**63


def _text(number: int) -> str:
    return f"{number + 2**63:016x}"


class _Selector(selectors.SelectSelector):
    """Waits for nothing: where there is nothing to do the world's clock jumps."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        if timeout > 0:
            self._world.pass_time(timeout)
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """An event loop by the world's clock."""

    def __init__(self, world: World) -> None:
        self._now: Callable[[], Instant] = lambda: world.now
        super().__init__(_Selector(world))
        # A clock that stands still is never past a time that it has just reached.
        self._clock_resolution = 1 / SECOND

    def time(self) -> float:
        return self._now() / SECOND
