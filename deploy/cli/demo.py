"""``facetally demo``: the whole of it in one terminal."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from deploy.cli.common import WRONG, fail
from deploy.demo.children import DemoFailed
from deploy.demo.run import Options, Outcome, run_demo
from deploy.demo.view import Lines, LiveView, View


@click.command("demo")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="End this long after the first event.",
)
@click.option(
    "--individuals",
    type=click.IntRange(min=0),
    default=99_000,
    show_default=True,
    help="How many the first processor stores when it goes live.",
)
@click.option("--seed", type=int, default=20260601, show_default=True, help="Another estate.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where settings, database and logs go (new or empty). Default: a new temporary folder.",
)
def demo_command(seconds: float, individuals: int, seed: int, data: Path | None) -> None:
    """Show facetally at work on a simulated estate; needs no settings and no Kafka.

    Starts an embedded broker, a worker and the alerts process on free ports, takes one of three
    processors over the threshold of Art. 15 and ends the FR use of another one. At the end the
    ledger is compared with what the simulation knows; exit 1 if they differ.
    """
    _forget_the_environment()
    folder = _folder(data)
    console = Console()
    options = Options(seconds=seconds, individuals=individuals, seed=seed, folder=folder)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def view() -> View:
        return LiveView(console, str(folder)) if console.is_terminal else Lines(console)

    say(f"facetally demo: data in {folder}")
    try:
        with _told_to_stop() as stop:
            outcome = run_demo(options, view, say, stop)
    except DemoFailed as exc:
        fail(f"{exc}\nlogs are in {folder}", WRONG)
    else:
        sys.exit(_concluded(outcome, options, say))


def _forget_the_environment() -> None:
    """Drop every ``FACETALLY_KEY``: the settings of a real installation must not reach the demo."""
    for name in [name for name in os.environ if name.startswith("FACETALLY_")]:
        del os.environ[name]
    logging.getLogger().setLevel(logging.WARNING)  # the terminal is the view's
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what matters comes as an error


def _folder(data: Path | None) -> Path:
    if data is None:
        return Path(tempfile.mkdtemp(prefix="facetally-demo-"))
    folder = data.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as exc:
        raise click.BadParameter(f"{data}: {exc.strerror}", param_hint="--data") from None
    if taken:
        raise click.BadParameter(f"{data} is not empty; give a new folder", param_hint="--data")
    return folder


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Give an event that SIGINT, SIGTERM and SIGHUP set."""
    stop = threading.Event()
    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda *_: stop.set()) for number in wanted]
    try:
        yield stop
    finally:
        for number, handler in zip(wanted, before, strict=True):
            signal.signal(number, handler)


def _concluded(outcome: Outcome, options: Options, say: Callable[[str], None]) -> int:
    """Say how it ended and where to look further; return the exit code."""
    if outcome.stopped:
        say("stopped before the end: nothing was compared")
    for check in outcome.checks:
        say(f"{'ok   ' if check.holds else 'WRONG'} {check.what}: {check.detail}")
    for rule in outcome.missing:
        say(
            f"not shown: {rule} was not opened within {options.seconds:g} s of the first event "
            "(more --seconds, or --individuals near the threshold)"
        )
    good = all(check.holds for check in outcome.checks)
    if outcome.checks:
        say(
            "the ledger's numbers equal the simulation's truth"
            if good
            else "WRONG: the ledger and the simulation differ"
        )
    say(f"settings, database and logs: {outcome.settings.parent}")
    say(f"look further: facetally --config {outcome.settings} status")
    return 0 if good else WRONG


COMMANDS: tuple[click.Command, ...] = (demo_command,)
