"""The page of how long a page takes: it says which aims are missed."""

from __future__ import annotations

import pytest

from tests.benchmarks.latency import Latencies
from tests.benchmarks.paging_report import Paging, Pause, page


def measured(idle: float = 10, busy: float = 10, after_kill: float = 10) -> str:
    run = Paging(
        database="postgresql",
        idle=Latencies([5.0] * 98 + [idle] * 2),
        busy=Latencies([5.0] * 98 + [busy] * 2),
        rate=1_000,
        pauses=[Pause(3_000, 5.0), Pause(3_000, after_kill)],
        repeated=0,
        idle_rate=4,
        busy_rate=10,
    )
    return page([run], command="the command", load=(0.5, 1, 2))


def test_what_meets_its_aim_is_said() -> None:
    assert measured().count(": met |") == 3


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (measured(idle=1_000), "idle"),
        (measured(busy=2_000), "under load"),
        (measured(after_kill=2_000), "after a SIGKILL"),
    ],
)
def test_what_misses_its_aim_is_said_too(text: str, row: str) -> None:
    missed = [line for line in text.splitlines() if "**missed**" in line]

    assert [line.split(" | ")[1] for line in missed] == [row]
