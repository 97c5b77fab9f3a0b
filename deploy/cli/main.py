"""The ``facetally`` command: parses, calls, prints. Exit 0 good, 1 found wrong, 2 misuse."""

from __future__ import annotations

from typing import Any

import click

from deploy.cli import (
    accepting,
    ack,
    auditing,
    calendars,
    changing,
    deadman,
    deciding,
    demo,
    explaining,
    feeding,
    filing,
    following,
    ical,
    looking,
    notices,
    notify,
    numbers,
    running,
    setting_up,
    silence,
)
from deploy.cli.common import EXPECTED, MISUSE, fail
from deploy.cli.edge import start_logging, without_text

_LATER = {
    "web": "the web page is not built yet",
    "reconcile": "reconciling against a listing is not built yet",
}


class _CannotDo(click.ClickException):
    """What keeps a command from its work, in one sentence."""

    exit_code = MISUSE

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - of click
        """Say it."""
        click.echo(f"facetally: {self.message}", err=True, file=file)


class _Commands(click.Group):
    """Says of a command that is planned that it is not there yet, instead of 'no such command'.

    Errors that a user can mend end with one sentence and exit 2, without a traceback.
    """

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - of click
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except EXPECTED as exc:
            raise _CannotDo(str(exc)) from None
        except BrokenPipeError:
            raise  # click ends silently where nobody reads on
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
            raise _CannotDo(f"{exc.filename}: {why}" if exc.filename else why) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name in _LATER:
            click.echo(f"facetally {name}: not_yet_supported: {_LATER[name]}", err=True)
            ctx.exit(MISUSE)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option("--config", metavar="FILE", help="Settings file. Default: facetally.toml here.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.version_option(package_name="facetally")
def cli(config: str | None, *, verbose: bool) -> None:
    """Count the individuals that face-recognition systems store, and keep the statutory clocks."""
    del config  # read by settings_of through the root context
    start_logging(verbose=verbose)


for command in (
    *demo.COMMANDS,
    *setting_up.COMMANDS,
    *running.COMMANDS,
    *deadman.COMMANDS,
    *notify.COMMANDS,
    *feeding.COMMANDS,
    *looking.COMMANDS,
    *explaining.COMMANDS,
    *accepting.COMMANDS,
    *following.COMMANDS,
    *filing.COMMANDS,
    *deciding.COMMANDS,
    *changing.COMMANDS,
    *numbers.COMMANDS,
    *auditing.COMMANDS,
    *calendars.COMMANDS,
    *ical.COMMANDS,
    *ack.COMMANDS,
    *silence.COMMANDS,
    *notices.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; an error that nobody expected is shown without its text."""
    try:
        cli.main(standalone_mode=True)
    except Exception as exc:  # noqa: BLE001 - the edge: its text may quote a record
        fail(f"internal error, please report it:\n{without_text(exc)}")


if __name__ == "__main__":
    main()
