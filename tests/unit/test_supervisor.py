"""What is told to a service manager, over a real socket."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from alerts.metrics import CHORES
from deploy.observing import Turning
from deploy.supervisor import Supervisor, Together
from tests.manager import Manager


class Uptime:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as listening:
        yield listening


def watched(manager: Manager, seconds: float, **more: str) -> tuple[Supervisor, Uptime]:
    environ = {**manager.environ, "WATCHDOG_USEC": str(int(seconds * 1e6)), **more}
    uptime = Uptime()
    return Supervisor(environ, uptime), uptime


def test_without_a_manager_nothing_is_told_and_nothing_fails() -> None:
    alone = Supervisor({})
    alone.tell("READY=1")
    alone.alive()


def test_what_is_told_arrives_as_one_datagram_each(manager: Manager) -> None:
    supervisor = Supervisor(manager.environ)
    supervisor.tell("READY=1")
    supervisor.tell("STOPPING=1")

    assert manager.heard() == ["READY=1", "STOPPING=1"]


def test_a_socket_without_a_file_is_told_too() -> None:
    name = f"facetally-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.settimeout(5)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")

        assert listening.recv(100) == b"READY=1"


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")


def test_the_watchdog_is_fed_four_times_within_its_time_however_often_a_loop_turns(
    manager: Manager,
) -> None:
    supervisor, uptime = watched(manager, 20)
    for _ in range(161):  # twenty seconds, eight turns each
        supervisor.alive()
        uptime.now += 0.125

    assert manager.heard() == ["WATCHDOG=1"] * 5  # at the start, and every five seconds


@pytest.mark.parametrize("text", ["", "0", "soon"])
def test_without_a_watchdog_it_is_not_fed(manager: Manager, text: str) -> None:
    supervisor = Supervisor({**manager.environ, "WATCHDOG_USEC": text})
    supervisor.alive()

    assert manager.heard() == []


def test_the_watchdog_of_a_parent_is_left_alone(manager: Manager) -> None:
    parents, _ = watched(manager, 20, WATCHDOG_PID=str(os.getppid()))
    ours, _ = watched(manager, 20, WATCHDOG_PID=str(os.getpid()))
    parents.alive()
    before = manager.heard()
    ours.alive()

    assert (before, manager.heard()) == ([], ["WATCHDOG=1"])


def test_several_loops_are_ready_when_each_has_turned(manager: Manager) -> None:
    supervisor, uptime = watched(manager, 20)
    loops = Together(supervisor, ["mail", "chat"], patience=60, uptime=uptime)
    loops.turned("mail")
    loops.turned("mail")
    before = manager.heard()
    loops.turned("chat")

    assert before == []
    assert manager.heard() == ["READY=1", "WATCHDOG=1"]


def test_one_loop_that_stands_still_starves_the_watchdog_until_it_turns_again(
    manager: Manager,
) -> None:
    supervisor, uptime = watched(manager, 20)
    loops = Together(supervisor, ["mail", "chat"], patience=60, uptime=uptime)
    loops.turned("mail")
    loops.turned("chat")
    manager.heard()
    fed = []
    for seconds in (30, 30, 30, 30):  # chat hangs
        uptime.now += seconds
        loops.turned("mail")
        fed.append(manager.heard())
    loops.turned("chat")

    assert fed == [["WATCHDOG=1"], ["WATCHDOG=1"], [], []]
    assert manager.heard() == ["WATCHDOG=1"]


def test_alerts_whose_database_is_frozen_is_fed_no_longer_and_one_that_refuses_starves_nothing(
    manager: Manager,
) -> None:
    """A call that fails is a turn; of one that never ends nobody knows anything."""
    supervisor, uptime = watched(manager, 300)
    loops = Together(supervisor, ["mail", CHORES], patience=180, uptime=uptime)
    metrics = Turning(CollectorRegistry(), loops.turned)
    fed = []
    for _ in range(20):  # ten minutes of a database that refuses, at the longest pause
        for name in ("mail", CHORES):
            metrics.crashed(name)
        uptime.now += 30
        fed.append(manager.heard())
    for _ in range(20):  # frozen for the chores, while a sender is in a pause or at its receiver
        metrics.turned("mail", 0)
        uptime.now += 30
        fed.append(manager.heard())
    last = max(number for number, one in enumerate(fed) if "WATCHDOG=1" in one)

    assert all("WATCHDOG=1" in one for one in fed[0:20:3])
    assert 20 <= last <= 25  # three minutes more at most, and systemd waits five from there
