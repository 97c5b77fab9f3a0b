"""A real Prometheus, alone and on loopback, and its own judge of metrics and rules, promtool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx

from tests.services.guardian import guardian
from tests.services.process import LOOPBACK, Owned, free_port


def available() -> str | None:
    """Return why there can be no promtool here, or None."""
    if shutil.which("promtool") is None:
        return "no promtool: Debian's package prometheus has it"
    if shutil.which("prometheus") is None:
        return "no prometheus: Debian's package prometheus has it"
    return None


class Prometheus:
    """A running Prometheus at ``url``, until the block ends."""

    def __init__(self, configuration: str, resend: str = "5s") -> None:
        """Have it post what fires again after *resend*; four of these later it has ended."""
        self._resend = resend
        self.url = f"http://{LOOPBACK}:{free_port()}"
        self._home = guardian().directory("prometheus")
        (self._home / "prometheus.yml").write_text(configuration)

    def __enter__(self) -> Self:
        """Start it and return when it is ready."""
        self._process = Owned(
            [
                "prometheus",
                f"--config.file={self._home / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._home / 'data'}",
                f"--web.listen-address={self.url.removeprefix('http://')}",
                # Or the alerts that were pending at a start wait for ten minutes more.
                "--rules.alert.for-grace-period=0s",
                # What fires before Alertmanager is discovered would come with the next post only.
                f"--rules.alert.resend-delay={self._resend}",
            ],
            log=self._home / "prometheus.log",
        )
        self._process.until(self._answers, seconds=60)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of a vector expression now: ``metric`` and ``value`` each.

        Raises ValueError with Prometheus' own words where it takes the expression for wrong.
        """
        answer = httpx.get(
            f"{self.url}/api/v1/query", params={"query": expression}, timeout=20, trust_env=False
        ).json()
        if answer["status"] != "success":
            raise ValueError(answer["error"])
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False


class Promtool:
    """Each method returns promtool's complaints, and the empty text where it has none."""

    def check_metrics(self, exposition: str) -> str:
        """Judge metrics in the text format, as ``/metrics`` gives them (lint included)."""
        return _complaints("check", "metrics", given=exposition)

    def check_rules(self, rules: Path) -> str:
        """Judge a file of alerting and recording rules."""
        return _complaints("check", "rules", "--lint-fatal", str(rules))

    def check_config(self, configuration: Path) -> str:
        """Judge a whole configuration, with the files of rules that it names."""
        return _complaints("check", "config", "--lint-fatal", str(configuration))

    def test_rules(self, cases: Path) -> str:
        """Run a file of promtool's unit tests of rules."""
        return _complaints("test", "rules", str(cases))


def _complaints(*arguments: str, given: str = "") -> str:
    done = subprocess.run(
        ["promtool", *arguments],
        input=given,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,  # a guard; a machine that is busy is not at fault
    )
    said = (done.stderr + done.stdout).strip()
    if done.returncode == 0:
        return ""
    return said or f"promtool ended with {done.returncode} and no word"
