"""The ``facetally`` command: parses, calls, prints. Exit 0 good, 1 found wrong, 2 misuse."""

from __future__ import annotations

import logging
import sys

import click

from deploy.cli import feeding, looking, running, setting_up
from deploy.cli.common import EXPECTED, MISUSE, fail

_LATER = {
    "web": "the web page is not built yet",
    "reconcile": "reconciling against a listing is not built yet",
    "audit": "exporting the audit log is not built yet; 'verify' checks the chain",
    "filing": "filings are not built yet",
    "calendar": "loading calendars by command is not built yet; use calendar_dir",
    "notify": "test notices are not built yet",
    "notices": "listing notices is not built yet",
}


class _Commands(click.Group):
    """Says of a command that is planned that it is not there yet, instead of 'no such command'."""

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
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in ("aiokafka", "kafka", "faust", "mode", "httpx", "httpcore", "alembic", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


for command in (
    *setting_up.COMMANDS,
    *running.COMMANDS,
    *feeding.COMMANDS,
    *looking.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; errors that a user can mend end with one sentence and exit 2."""
    try:
        cli.main(standalone_mode=True)
    except EXPECTED as exc:
        fail(str(exc))


if __name__ == "__main__":
    main()
