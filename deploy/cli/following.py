"""A restored copy is told what another group has published, so that it is tried as one."""

from __future__ import annotations

import click

from deploy.cli.common import config_option, fail, json_option, print_json, settings_of
from streams.connection import Connection
from streams.following import NotToBeFollowed, follow


@click.command("copy-offsets")
@config_option
@json_option
@click.option(
    "--from", "source", required=True, metavar="GROUP", help="Whose offsets: that of production."
)
def copy_offsets_command(config: str | None, *, as_json: bool, source: str) -> None:
    """Tell the group of these settings what GROUP has published: for a copy of its database.

    A worker of the copy then notices that it is one (database_restored), without being a member of
    GROUP. GROUP is only looked at. Refused if the own group has a running member, or has read
    further than GROUP. Needs Describe on GROUP, Read and Describe on the own one.
    """
    settings = settings_of(config)
    connection = Connection(
        bootstrap_servers=settings.bootstrap_servers, tls=settings.tls, sasl=settings.sasl
    )
    try:
        told = follow(connection, source, settings.group, settings.start_patience_seconds)
    except NotToBeFollowed as exc:
        fail(str(exc))
        return
    if as_json:
        print_json({"from": source, "group": settings.group, "partitions": told})
    else:
        click.echo(f"{settings.group}: what {source} has published of {told} partitions")


COMMANDS = (copy_offsets_command,)
