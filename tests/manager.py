"""The socket of a service manager, as systemd has one for each service that notifies."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self


class Manager:
    """Listens at *path*; ``heard`` returns what has come since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def environ(self) -> Mapping[str, str]:
        return {"NOTIFY_SOCKET": str(self._path)}

    def heard(self) -> list[str]:
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found
