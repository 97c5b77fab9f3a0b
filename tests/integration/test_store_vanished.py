"""A connection to PostgreSQL whose other end is gone without a word is given up."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

from monitor.store.engine import open_engine
from tests.conftest import REPOSITORY
from tests.services.postgres import Postgres

ALONE: Final = (
    ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
)
OPTIONS: Final = (
    socket.TCP_KEEPIDLE,
    socket.TCP_KEEPINTVL,
    socket.TCP_KEEPCNT,
    socket.TCP_USER_TIMEOUT,
)


def missing() -> str | None:
    """Return why a process here can have no network of its own, None where it can."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare or ip is not installed"
    trying = [*ALONE, "ip", "link", "set", "lo", "up"]
    tried = subprocess.run(trying, check=False, capture_output=True)
    return None if tried.returncode == 0 else "no network of its own is allowed here"


def in_force(url: str) -> list[int]:
    """Return what the kernel does about the connection: seconds, seconds, probes, milliseconds."""
    made = open_engine(url)
    with made.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        with socket.socket(fileno=os.dup(driver.fileno())) as ours:
            found = [ours.getsockopt(socket.IPPROTO_TCP, one) for one in OPTIONS]
            found.append(ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    made.dispose()
    return found


def test_who_does_not_answer_is_probed_and_given_up_after_45_seconds(postgres_url: str) -> None:
    assert in_force(postgres_url) == [15, 10, 3, 45_000, 1]


def test_what_the_url_says_itself_wins(postgres_url: str) -> None:
    more = "?tcp_user_timeout=7000&keepalives_idle=60&keepalives_interval=20&keepalives_count=5"

    assert in_force(postgres_url + more) == [60, 20, 5, 7_000, 1]


@pytest.mark.parametrize("how", ["asked", "waiting"])
def test_a_statement_whose_packets_are_lost_fails_instead_of_waiting_for_ever(
    postgres: Postgres, how: str
) -> None:
    """In a network of its own, which is turned off before it is asked, or while it waits."""
    if (why := missing()) is not None:
        pytest.skip(why)  # a permission and no part: CI may have to do without it
    url = make_url(postgres.database())
    told = {
        "socket": str(Path(postgres.sockets) / f".s.PGSQL.{url.port}"),
        "url": url.render_as_string(hide_password=False).replace(f":{url.port}/", ":PORT/"),
    }
    ran = subprocess.run(
        [*ALONE, sys.executable, "-m", "tests.integration.packets_lost", how],
        check=False,
        input=json.dumps(told),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=REPOSITORY,
    )

    assert (ran.stdout, ran.stderr) == ("OperationalError", "")
