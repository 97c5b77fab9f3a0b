"""The real processes, told to a service manager: ready, alive while their loops turn, over."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import Home, ready, topic
from tests.manager import Manager
from tests.services.kafka import Kafka
from tests.services.process import Owned
from tests.workers import until

WATCHDOG_S = 2.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as listening:
        yield listening


def started(home: Home, command: str, manager: Manager) -> Owned:
    watchdog = {"WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6))}
    return home.start(command, env={**manager.environ, **watchdog})


def lives(manager: Manager, process: Owned, log: Path) -> list[str]:
    """Wait for three signs of life after the process is ready; return all that was heard."""
    found: list[str] = []

    def alive() -> bool:
        found.extend(manager.heard())
        enough = found.count("WATCHDOG=1") >= 3 and "READY=1" in found
        return enough or not process.alive()

    # Starting Python on a machine with much else to do takes its time.
    assert until(alive, patience=240), log.read_text()
    return found


def test_the_alerts_process_is_ready_alive_and_over(tmp_path: Path, manager: Manager) -> None:
    home = ready(tmp_path / "home")
    process = started(home, "alerts", manager)
    try:
        found = lives(manager, process, home.log)
        process.stop(how=signal.SIGTERM)
    finally:
        process.kill()

    assert found[0] == "READY=1"
    assert process.code() == 0
    assert manager.heard()[-1] == "STOPPING=1"


def test_a_frozen_process_feeds_no_watchdog(tmp_path: Path, manager: Manager) -> None:
    home = ready(tmp_path / "home")
    process = started(home, "alerts", manager)
    try:
        lives(manager, process, home.log)
        os.kill(process.pid, signal.SIGSTOP)
        manager.heard()
        silent = not until(lambda: bool(manager.heard()), patience=WATCHDOG_S)
        os.kill(process.pid, signal.SIGCONT)
        again = until(lambda: "WATCHDOG=1" in manager.heard())
    finally:
        process.kill()

    assert (silent, again) == (True, True)


def test_a_worker_is_ready_when_it_has_its_partitions_and_lives_while_kafka_is_read(
    tmp_path: Path, manager: Manager, kafka: Kafka
) -> None:
    name = f"supervised-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name)
    home = ready(
        tmp_path / "home", topic(name), bootstrap_servers=kafka.bootstrap, group=f"group-{name}"
    )
    process = started(home, "worker", manager)
    try:
        found = lives(manager, process, home.log)
        process.stop(how=signal.SIGTERM, seconds=40)
    finally:
        process.kill()

    assert "READY=1" in found
    assert "reading: partitions are assigned" in home.said()
    assert manager.heard()[-1] == "STOPPING=1"
