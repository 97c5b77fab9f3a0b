"""Command lines as the real program parses them, without running them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from deploy.cli.main import cli


def parsed(words: Sequence[str]) -> click.Context:
    """Return the context of the command that *words* (without ``facetally``) name.

    Every option and argument on the way is checked as when it is run. Raises click.UsageError.
    """
    command: click.Command = cli
    context, rest, name = None, list(words), "facetally"
    while isinstance(command, click.Group):
        empty = command.make_context(name, [], parent=context, resilient_parsing=True)
        _, rest, _ = command.make_parser(empty).parse_args(args=rest)
        if not rest:
            raise click.UsageError(f"{name} needs a command")
        name, context = rest[0], empty
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"there is no command {name}")
        command, rest = found, rest[1:]
    return command.make_context(name, rest, parent=context)
