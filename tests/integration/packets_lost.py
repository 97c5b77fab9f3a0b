"""A connection to a real PostgreSQL whose packets are lost: ``python -m .. asked|waiting``.

Run in a network of its own (``unshare``), with one JSON object on standard input: *socket*, the
path of the server's socket, and *url*, in which ``PORT`` stands for the port here. Nothing of it is
changed but the times, which are shortened. Writes the class of the driver's error.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from monitor.store import engine as engines
from tests.services.process import LOOPBACK

QUICK: Final = {
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "tcp_user_timeout": "3000",
}


def link(state: str) -> None:
    """Turn the only network of this process on or off: what is under way is lost, not refused."""
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def pump(here: socket.socket, there: socket.socket) -> None:
    while some := here.recv(65_536):
        there.sendall(some)


def forward(listening: socket.socket, path: str) -> None:
    """Lead the first connection to the server's socket, which is no part of a network."""
    here, _ = listening.accept()
    there = socket.socket(socket.AF_UNIX)
    there.connect(path)
    for ends in ((here, there), (there, here)):
        threading.Thread(target=pump, args=ends, daemon=True).start()


def lost(how: str, url: str) -> str:
    """Lose the packets before a statement is *asked*, or while it is *waiting* for its answer."""
    with engines.open_engine(url).connect() as connection:
        connection.execute(text("SELECT 1"))
        if how == "asked":
            link("down")
        else:
            threading.Timer(1.0, link, ["down"]).start()
        try:
            connection.execute(text("SELECT pg_sleep(600)"))
        except OperationalError as exc:
            return type(exc.orig).__name__
    return "nothing"


def main() -> None:
    told: dict[str, Any] = json.load(sys.stdin)
    assert set(engines.VANISHED) == set(QUICK)
    engines.VANISHED.update(QUICK)
    link("up")
    listening = socket.create_server((LOOPBACK, 0))
    threading.Thread(target=forward, args=(listening, told["socket"]), daemon=True).start()
    url = told["url"].replace("PORT", str(listening.getsockname()[1]))
    sys.stdout.write(lost(sys.argv[1], url))


if __name__ == "__main__":
    main()
