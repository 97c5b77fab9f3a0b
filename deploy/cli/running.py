"""Commands that run until they are told to stop: worker, alerts, up, demo."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click

import deploy
from alerts.metrics import CHORES
from deploy.channels import open_channel
from deploy.cli.common import WRONG, config_option, fail, monitor_of
from deploy.collecting import collect_seldom
from deploy.demo import leash
from deploy.instance import instance_of
from deploy.observing import Counted, Observed, serve_alerts_metrics, serve_worker_metrics
from deploy.settings_untold import reaching
from deploy.supervisor import READY, STOPPING, Supervisor, Together
from deploy.wiring import Monitor, clock, sources_of
from monitor.store.engine import WorkerLock
from monitor.store.outbox import SqlOutbox
from streams.worker import WorkerSettings, run_worker

log = logging.getLogger("facetally")

_LONGEST_TURN = 180.0  # of a sender: two attempts of three times 20 s, and a pause of 30 s
_LONGEST_END = 40.0  # a worker leaves its group and senders end their attempts: 25 s at most


@click.command("worker")
@config_option
def worker_command(config: str | None) -> None:
    """Read the configured topics into the ledger until SIGTERM."""
    monitor = monitor_of(config)
    settings = monitor.settings
    if not settings.topics:
        fail("there is no [[topics]] in the settings: nothing to read")
    lock, supervisor = WorkerLock(monitor.engine), Supervisor()
    try:
        keeper = monitor.keeper(clock(), background=True)
        metrics = serve_worker_metrics(settings.metrics_address)
        collect_seldom()
        with instance_of(settings.group, settings.instance_id) as instance:
            how = worker_settings(monitor, Observed(metrics), instance)
            watched = replace(how, on_turn=supervisor.alive)
            ready = partial(_ready, supervisor)
            sys.exit(run_worker(watched, Counted(keeper, metrics), on_ready=ready))
    finally:
        supervisor.tell(STOPPING)
        lock.release()


def worker_settings(monitor: Monitor, observer: Observed, instance: str) -> WorkerSettings:
    """Return how a worker reads, by the settings; *instance* is its name in the group."""
    settings = monitor.settings
    return WorkerSettings(
        bootstrap_servers=settings.bootstrap_servers,
        group=settings.group,
        topics=monitor.topics(),
        instance_id=instance,
        session_timeout=settings.session_timeout_seconds,
        tls=settings.tls,
        sasl=settings.sasl,
        max_batch_records=settings.max_batch_records,
        start_patience=settings.start_patience_seconds,
        tolerance=settings.tolerance_us,
        clock=clock,
        observer=observer,
    )


def _ready(supervisor: Supervisor) -> None:
    log.info("reading: partitions are assigned")
    supervisor.tell(READY)


@click.command("alerts")
@config_option
def alerts_command(config: str | None) -> None:
    """Send notices to the configured channels until SIGTERM; export the ledger's metrics."""
    from alerts.service import run_alerts  # noqa: PLC0415 - httpx is slow to import
    from deploy.telling import acknowledging, beside, spoken  # noqa: PLC0415 - likewise

    monitor = monitor_of(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: the handler may interrupt this one while it holds the lock of the event.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    supervisor, names = Supervisor(), [one.name for one in monitor.settings.channels]
    names.append(CHORES)
    loops = Together(supervisor, names, _LONGEST_TURN)
    metrics = serve_alerts_metrics(monitor, loops.turned)
    metrics.channels_reaching.set(len(reaching(monitor.settings.channels)))
    channels = [spoken(open_channel(one), monitor.settings) for one in monitor.settings.channels]
    log.info("sending to %s", ", ".join(channel.name for channel in channels))
    outbox = SqlOutbox(monitor.engine, sources_of(monitor.settings), clock)
    with acknowledging(monitor, metrics) as chores:
        more = beside(monitor, metrics, *chores)
        run_alerts(outbox, channels, clock, stop, 0.1, metrics=metrics, beside=more)
    supervisor.tell(STOPPING)


@click.command("up")
@config_option
def up_command(config: str | None) -> None:
    """Run a worker and the alerts process together until SIGTERM; if one ends, both end."""
    settings = monitor_of(config).settings  # says what is wrong here, once
    if not settings.topics:
        fail("there is no [[topics]] in the settings: nothing to read")
    address, _, port = settings.metrics_address.rpartition(":")
    second = f"{address}:{(int(port) + 1) % 65_536 if int(port) else 0}"
    options = ["--config", str(settings.path), *_verbose()]
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stop.append(number))
    children = {
        "worker": _start([*options, "worker"], {}),
        "alerts": _start([*options, "alerts"], {"FACETALLY_METRICS_ADDRESS": second}),
    }
    while not stop and all(child.poll() is None for child in children.values()):
        time.sleep(0.2)
    ended = {name: c.returncode for name, c in children.items() if c.poll() is not None}
    _end(children.values())
    if not ended:
        return  # as asked
    for name, code in ended.items():
        log.error("%s ended by itself (%d), and so all end", name, code)
    # Even if it says that all is well: nobody asked it to end. Signals are below zero.
    sys.exit(next((code for code in ended.values() if code > 0), WRONG))


def _verbose() -> list[str]:
    return ["--verbose"] if click.get_current_context().find_root().params.get("verbose") else []


def _start(words: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Run ``facetally`` in this interpreter, from where we are; it ends when we do, by SIGKILL too.

    A worker that outlived us would keep a SQLite database from the next one. ``-m`` would look
    into the current folder first, where something else may be called deploy.
    """
    home = str(Path(str(deploy.__file__)).parents[1])
    code = f"import sys; sys.path.insert(0, {home!r}); from deploy.cli.main import main; main()"
    tie = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid())]
    command = [*tie, sys.executable, "-P", "-c", code, *words]
    return subprocess.Popen(command, env={**os.environ, **more})  # noqa: S603 - our own program


def _end(children: Collection[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _LONGEST_END
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


COMMANDS: tuple[click.Command, ...] = (worker_command, alerts_command, up_command)

__all__ = ["COMMANDS", "worker_settings"]
