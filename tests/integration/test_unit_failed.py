"""The unit that tells of another's failure: its command line, run as systemd would, is heard."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.conftest import REPOSITORY
from tests.prometheus.shipped import ALERTMANAGER
from tests.services import alertmanager as alertmanagers
from tests.services.alertmanager import Alertmanager
from tests.services.presence import require
from tests.workers import until

UNIT = REPOSITORY / "deploy" / "systemd" / "facetally-failed@.service"
FAILED = "facetally-ical.service"


def command() -> str:
    """Return what the shell is given: systemd joins lines, fills in %i, and takes %% and $$."""
    text = UNIT.read_text("utf-8").replace("\\\n", " ")
    found = re.search(r"^ExecStart=/bin/sh -c '([^']+)'$", text, re.MULTILINE)
    assert found is not None
    return found[1].replace("%i", FAILED).replace("%%", "%").replace("$$", "$")


def test_a_unit_that_failed_is_a_warning_for_a_while(alertmanager: Alertmanager) -> None:
    before = datetime.now(UTC)
    subprocess.run(
        ["sh", "-c", command()],
        env={**os.environ, "ALERTMANAGER": alertmanager.url},
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = []

    def listed() -> bool:
        found[:] = alertmanager.alerts(f"unit={FAILED}")
        return bool(found)

    assert until(listed)
    [alert] = found
    ends = datetime.fromisoformat(alert["endsAt"])
    assert alert["labels"] == {
        "alertname": "FacetallyUnitFailed",
        "severity": "warning",
        "unit": FAILED,
    }
    assert FAILED in alert["annotations"]["summary"]
    assert before < ends - timedelta(minutes=19) < ends <= datetime.now(UTC) + timedelta(minutes=20)


def test_the_runbook_that_it_names_is_there() -> None:
    named = re.search(r"runbook_url=(\S+?)#([\w-]+)'", UNIT.read_text("utf-8"))
    assert named is not None
    headings = re.findall(r"^## (.+)$", (REPOSITORY / named[1]).read_text("utf-8"), re.MULTILINE)

    assert named[2] in {heading.lower().replace(" ", "-") for heading in headings}


def test_where_it_goes_by_default_is_for_reading() -> None:
    require(alertmanagers.available())
    done = subprocess.run(
        [
            *("amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}"),
            *("alertname=FacetallyUnitFailed", "severity=warning", f"unit={FAILED}"),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.strip() == "warnings"
