"""From an event to somebody who knows: the real processes, a real Alertmanager, a real webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.command import Facetally, Forker
from tests.receiver import Answer, receiving
from tests.services.alertmanager import Alertmanager

KEY = bytes(range(32))
SETTINGS = """\
[[rules]]
id = "frt.file"
at_least = 3

[[channels]]
kind = "alertmanager"
url = "{alertmanager}"
every_s = 1
life_s = 4

[[channels]]
kind = "webhook"
url = "{webhook}/notices"
allow_private = true
secret = "whsec_{secret}"

[[channels]]
kind = "log"
"""


def enrolments(processor: str, people: int) -> Iterator[bytes]:
    for number in range(people):
        event = {
            "specversion": "1.0",
            "id": f"e{number}",
            "source": "/gate",
            "type": "facetally.face.enrolled",
            "subject": f"P{number}",
            "time": f"2026-03-02T08:00:0{number}Z",
            "data": {"processor": processor, "system": "gate"},
        }
        yield json.dumps(event).encode()


def until(so: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_crossing_reaches_alertmanager_and_a_signed_webhook_and_stays_while_open(
    database: str,
    request: pytest.FixtureRequest,
    forker: Forker,
    tmp_path: Path,
    alertmanager: Alertmanager,
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    processor = f"acme-{database}"
    with receiving(Answer(503), Answer(204)) as webhook:
        settings = SETTINGS.format(
            alertmanager=alertmanager.url,
            webhook=webhook.url,
            secret=base64.b64encode(KEY).decode(),
        )
        facetally = Facetally(forker, tmp_path / "run", settings, database_url=url)
        alerts = facetally.start("alerts")
        try:
            facetally.apply_lines("cloudevents", enrolments(processor, 3))
            until(lambda: bool(alertmanager.alerts(f"processor={processor}")))
            until(lambda: len(webhook.requests) >= 2)
            posted = time.monotonic()
            until(lambda: time.monotonic() > posted + 5)  # longer than an alert lives unposted
            listed = alertmanager.alerts(f"processor={processor}")
        finally:
            alerts.stop()

        (duty,) = facetally.duties()
        assert [(a["labels"]["rule"], a["status"]["state"]) for a in listed] == [
            ("frt.file", "active")
        ]
        assert duty["trigger_day"] == "2026-03-02"
        assert {r.headers["webhook-id"] for r in webhook.requests} == {
            webhook.requests[0].headers["webhook-id"]
        }
        last = webhook.requests[-1]
        signed = b".".join(
            (
                last.headers["webhook-id"].encode(),
                last.headers["webhook-timestamp"].encode(),
                last.body,
            )
        )
        wanted = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
        assert last.headers["webhook-signature"] == f"v1,{wanted}"
        told = json.loads(last.body)
        assert told["data"]["facts"]["trigger_day"] == "2026-03-02"
        assert told["data"]["facts"]["due_day"] == duty["due_day"]
        assert "notice" in (tmp_path / "run" / "alerts.log").read_text()
        assert facetally.json("verify")["holds"]
