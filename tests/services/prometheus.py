"""Prometheus' own judge of what we expose and of the rules we ship: promtool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path


def available() -> str | None:
    """Return why there can be no promtool here, or None."""
    if shutil.which("promtool") is None:
        return "no promtool: Debian's package prometheus has it"
    return None


class Promtool:
    """Each method returns promtool's complaints, and the empty text where it has none."""

    def check_metrics(self, exposition: str) -> str:
        """Judge metrics in the text format, as ``/metrics`` gives them (lint included)."""
        return _complaints("check", "metrics", given=exposition)

    def check_rules(self, rules: Path) -> str:
        """Judge a file of alerting and recording rules."""
        return _complaints("check", "rules", "--lint-fatal", str(rules))

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
        timeout=60,
    )
    said = (done.stderr + done.stdout).strip()
    if done.returncode == 0:
        return ""
    return said or f"promtool ended with {done.returncode} and no word"
