"""``facetally deadman``: who pages when the watchdog of Prometheus is not heard any more."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Sequence

import click

from alerts.deadman.service import LOOKING, run_deadman
from deploy.channels import ChannelSettings, Unready, open_channel
from deploy.cli.common import config_option, settings_of
from deploy.reading import BadConfig
from deploy.supervisor import STOPPING, Supervisor, Together
from deploy.wiring import clock

log = logging.getLogger("facetally")

_LONGEST_TURN = 180.0  # of a sender: an attempt of three times 20 s, and a machine that is busy


@click.command("deadman")
@config_option
def deadman_command(config: str | None) -> None:
    """Hear Alertmanager tell the watchdog, and page when it does not, until SIGTERM.

    For another machine than Alertmanager's. Needs [deadman] and [[channels]] in the settings, and
    no database, no Kafka and no secret of ids.
    """
    settings = settings_of(config)
    deadman = settings.deadman
    if deadman is None:
        raise BadConfig(f"{settings.path}: deadman: is missing; add [deadman]")
    if isinstance(deadman, Unready):
        raise BadConfig(f"{settings.path}: {deadman.why}")
    stop, supervisor = threading.Event(), Supervisor()
    for number in (signal.SIGTERM, signal.SIGINT):
        # In a thread: the handler may interrupt this one while it holds the lock of the event.
        signal.signal(number, lambda *_: threading.Thread(target=stop.set).start())
    channels = [open_channel(one) for one in _told(settings.channels, deadman.channels)]
    log.info("paging by %s", ", ".join(channel.name for channel in channels))
    loops = Together(supervisor, [*deadman.channels, LOOKING], _LONGEST_TURN)
    try:
        run_deadman(deadman, channels, clock, stop, loops.turned)
    except OSError as exc:
        raise BadConfig(
            f"deadman.address: {deadman.address} cannot be taken ({exc.strerror})"
        ) from None
    finally:
        supervisor.tell(STOPPING)


def _told(channels: Sequence[ChannelSettings], names: Sequence[str]) -> list[ChannelSettings]:
    by_name = {one.name: one for one in channels}
    return [by_name[name] for name in names]


COMMANDS: tuple[click.Command, ...] = (deadman_command,)
