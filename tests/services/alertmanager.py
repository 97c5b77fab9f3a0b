"""A real Prometheus Alertmanager, alone and on loopback, and its own client, amtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import httpx

from tests.services.guardian import guardian
from tests.services.process import LOOPBACK, Owned, free_port

# Debian's name of the program, then the one of its makers.
PROGRAMS = ("prometheus-alertmanager", "alertmanager")

CONFIGURATION = """\
route:
  receiver: nobody
  group_wait: 0s
receivers:
  - name: nobody
"""


def available() -> str | None:
    """Return why there can be no Alertmanager here, or None."""
    if _program() is None:
        return "no Alertmanager: Debian's package prometheus-alertmanager has it"
    if shutil.which("amtool") is None:
        return "no amtool: Debian's package prometheus-alertmanager has it"
    return None


class Alertmanager:
    """A running Alertmanager at ``url`` that keeps alerts and tells nobody."""

    def __init__(self, configuration: str = CONFIGURATION) -> None:
        self.port = free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._home = guardian().directory("alertmanager")
        self._settings = self._home / "alertmanager.yml"
        self._settings.write_text(configuration)
        self._process: Owned | None = None

    def start(self) -> None:
        """Start it and return when it is ready."""
        self._process = Owned(
            [
                str(_program()),
                f"--config.file={self._settings}",
                f"--storage.path={self._home / 'data'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--cluster.listen-address=",
            ],
            log=self._home / "alertmanager.log",
        )
        self._process.until(self._answers, seconds=60)

    def stop(self) -> None:
        """Stop it. Alerts live in its memory only: after ``start`` there are none."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Kill it; ``start`` starts it again, without what it had in its memory only."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Stop for good and remove the data."""
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def amtool(self, *arguments: str) -> str:
        """Run amtool against it and return what it prints. Raise if it fails."""
        where = f"--alertmanager.url={self.url}"
        done = subprocess.run(
            ["amtool", where, *arguments], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout

    def alerts(self, *matchers: str) -> list[dict[str, Any]]:
        """Return the active alerts that amtool lists, such as match ``name=value`` each."""
        listed = self.amtool("--output=json", "alert", "query", *matchers)
        alerts: list[dict[str, Any]] = json.loads(listed)
        return alerts

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False


def _program() -> str | None:
    return next(filter(None, map(shutil.which, PROGRAMS)), None)
