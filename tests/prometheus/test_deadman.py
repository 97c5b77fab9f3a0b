"""The dead man's switch as shipped: a real Prometheus, a real Alertmanager, and who hears them.

The rules are the shipped ones; the routes are, too, in seconds in place of minutes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from alerts.deadman.service import PATH
from tests.figures import report
from tests.homes import Home, home
from tests.integration.test_deadman_command import webhook
from tests.prometheus.shipped import FOLDER
from tests.prometheus.watched import quick_alertmanager
from tests.receiver import Answer, Receiver, receiving
from tests.services import alertmanager as alertmanagers
from tests.services import prometheus as prometheuses
from tests.services.alertmanager import Alertmanager
from tests.services.presence import require
from tests.services.process import LOOPBACK, Owned, free_port
from tests.services.prometheus import Prometheus
from tests.workers import until

INSTALLATION: Final = "harbour"
SILENCE_S: Final = 8  # the watchdog is told each 2 to 3 s here
# An alert ends four of these after Prometheus has said it last: 4 min as shipped, and here 4 s.
RESEND: Final = "1s"
BUSY_S: Final = 240.0  # a guard; a machine that is busy is not at fault


@dataclass
class Switch:
    """Alertmanager and the receiver of its watchdog at work; ``pager`` is paged."""

    alertmanager: Alertmanager
    deadman: Home
    port: int
    pager: Receiver

    def health(self) -> dict[str, Any]:
        url = f"http://{LOOPBACK}:{self.port}/health"
        found: dict[str, Any] = httpx.get(url, timeout=20, trust_env=False).json()
        return found

    def beats(self) -> bool:
        """Wait until two more beats have come, and nobody is held for dead."""
        before = self.health()["beats"]

        def more() -> bool:
            found = self.health()
            return bool(found["beats"] >= before + 2 and not found["silent"])

        return until(more, BUSY_S)

    def told(self) -> list[tuple[str, str]]:
        """Return what the pager got, and of which installation."""
        said = [json.loads(one.body) for one in self.pager.requests]
        return [(one["type"], one["data"]["facts"]["watched"]) for one in said]

    def paged_after(self, before: int) -> float:
        """Return the seconds until the pager got one more than *before*; it must come."""
        began = time.monotonic()
        assert until(lambda: len(self.pager.requests) > before, BUSY_S), self.deadman.said()
        return time.monotonic() - began


@pytest.fixture(scope="module")
def switch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    require(alertmanagers.available())
    require(prometheuses.available())
    path, port = tmp_path_factory.mktemp("deadman"), free_port()
    with receiving(Answer(200)) as pager:
        found = home(path, webhook(pager.url), settings(port))
        routes = quick_alertmanager(pager.url)
        at = f"http://{LOOPBACK}:{port}{PATH}"
        alertmanager = Alertmanager(routes.replace(f"{pager.url}/deadman", at))
        process: Owned = Home(path, secret=None).start("deadman")
        try:
            process.until(lambda: "is heard on" in found.said(), seconds=BUSY_S)
            alertmanager.start()
            yield Switch(alertmanager, found, port, pager)
        finally:
            process.stop()
            alertmanager.close()


def settings(port: int) -> str:
    return (
        f'[deadman]\naddress = "{LOOPBACK}:{port}"\nsilence = "{SILENCE_S}s"\n'
        f'installations = ["{INSTALLATION}"]\n'
    )


def prometheus_of(switch: Switch, tmp_path: Path) -> Prometheus:
    """Return one that has the watchdog of the shipped rules, and nothing to scrape."""
    shipped = yaml.safe_load((FOLDER / "rules" / "processes.yml").read_text("utf-8"))
    groups = [one for one in shipped["groups"] if one["name"] == "facetally-watchdog"]
    assert groups
    (tmp_path / "watchdog.yml").write_text(yaml.safe_dump({"groups": groups}))
    target = switch.alertmanager.url.removeprefix("http://")
    said = {
        "global": {
            "evaluation_interval": "1s",
            "external_labels": {"installation": INSTALLATION},
        },
        "rule_files": [str(tmp_path / "watchdog.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [target]}]}]},
    }
    return Prometheus(yaml.safe_dump(said), RESEND)


def test_a_prometheus_that_stops_is_paged_though_alertmanager_lives(
    switch: Switch, tmp_path: Path
) -> None:
    with prometheus_of(switch, tmp_path):
        heard = switch.beats()
        before = len(switch.pager.requests)
    waited = switch.paged_after(before)
    report("deadman.prometheus_stopped", silence_s=SILENCE_S, seconds=round(waited, 1))

    assert heard
    assert switch.told()[before:] == [("facetally.watchdog_silent", INSTALLATION)]
    assert waited > SILENCE_S / 2


def test_an_alertmanager_that_stops_is_paged_and_told_once_when_it_is_back(
    switch: Switch, tmp_path: Path
) -> None:
    with prometheus_of(switch, tmp_path):
        heard = switch.beats()
        before = len(switch.pager.requests)
        switch.alertmanager.stop()
        waited = switch.paged_after(before)
        switch.alertmanager.start()
        again = switch.beats()
        told = switch.told()[before:]
    report("deadman.alertmanager_stopped", silence_s=SILENCE_S, seconds=round(waited, 1))

    assert (heard, again) == (True, True)
    assert told == [
        ("facetally.watchdog_silent", INSTALLATION),
        ("facetally.watchdog_heard", INSTALLATION),
    ]
