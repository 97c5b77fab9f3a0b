"""Commands that run until they are told to stop: worker, alerts, up, demo."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time

import click

from deploy.channels import open_channel
from deploy.cli.common import config_option, fail, monitor_of, settings_of
from deploy.instance import instance_of
from deploy.observing import Counted, Observed, serve_alerts_metrics, serve_worker_metrics
from deploy.wiring import Monitor, clock
from monitor.store.engine import WorkerLock
from monitor.store.outbox import SqlOutbox
from streams.worker import WorkerSettings, run_worker

log = logging.getLogger("facetally")


@click.command("worker")
@config_option
def worker_command(config: str | None) -> None:
    """Read the configured topics into the ledger until SIGTERM."""
    monitor = monitor_of(config)
    settings = monitor.settings
    if not settings.topics:
        fail("there is no [[topics]] in the settings: nothing to read")
    lock = WorkerLock(monitor.engine)
    try:
        keeper = monitor.keeper(clock())
        metrics = serve_worker_metrics(settings.metrics_address)
        with instance_of(settings.group, settings.instance_id) as instance:
            how = worker_settings(monitor, Observed(metrics), instance)
            sys.exit(run_worker(how, Counted(keeper, metrics), on_ready=_ready))
    finally:
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
        clock=clock,
        observer=observer,
    )


def _ready() -> None:
    log.info("reading: partitions are assigned")


@click.command("alerts")
@config_option
def alerts_command(config: str | None) -> None:
    """Send notices to the configured channels until SIGTERM; export the ledger's metrics."""
    from alerts.service import run_alerts  # noqa: PLC0415 - httpx is slow to import

    monitor = monitor_of(config)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = serve_alerts_metrics(monitor)
    channels = [open_channel(one) for one in monitor.settings.channels]
    log.info("sending to %s", ", ".join(channel.name for channel in channels))
    outbox = SqlOutbox(monitor.engine)
    run_alerts(outbox, channels, clock, stop, 0.5, metrics=metrics)


@click.command("up")
@config_option
def up_command(config: str | None) -> None:
    """Run a worker and the alerts process together until SIGTERM; if one ends, both end."""
    settings = settings_of(config)
    monitor_of(config).engine.dispose()  # say what is wrong here, once
    address, _, port = settings.metrics_address.rpartition(":")
    second = f"{address}:{int(port) + 1 if int(port) else 0}"
    command = [sys.executable, "-m", "deploy.cli.main", "--config", str(settings.path)]
    environ = dict(os.environ)
    children = [
        subprocess.Popen([*command, "worker"], env=environ),  # noqa: S603 - our own program
        subprocess.Popen(  # noqa: S603 - our own program
            [*command, "alerts"], env={**environ, "FACETALLY_METRICS_ADDRESS": second}
        ),
    ]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.is_set() and all(child.poll() is None for child in children):
        time.sleep(0.2)
    ended = next((c.returncode for c in children if c.returncode is not None), 0)
    for child in children:
        if child.poll() is None:
            child.terminate()
    for child in children:
        child.wait()
    sys.exit(ended)


COMMANDS: tuple[click.Command, ...] = (worker_command, alerts_command, up_command)

__all__ = ["COMMANDS", "worker_settings"]
