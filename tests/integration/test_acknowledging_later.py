"""An address of ``[acknowledge]`` that somebody else has, and gives back."""

from __future__ import annotations

import base64
import http.client
import logging
import socket
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from alerts.acknowledging import AckSettings
from deploy.telling import Acknowledging
from monitor.metrics_running import AlertsMetrics
from monitor.store.engine import Engine
from tests.integration.store_kit import NOW

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
MINUTE = 60_000_000


class Uptime:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.at = MINUTE

    def __call__(self) -> int:
        return self.at


def errors(registry: CollectorRegistry) -> float:
    labels = {"channel": "_chores"}
    return registry.get_sample_value("facetally_alerts_errors_total", labels) or 0.0


def test_an_address_that_is_taken_is_tried_each_minute_and_heard_once_it_is_free(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    registry, uptime = CollectorRegistry(), Uptime()
    with ExitStack() as until:
        neighbour = socket.create_server(("127.0.0.1", 0))
        port = neighbour.getsockname()[1]
        settings = AckSettings(address=f"127.0.0.1:{port}", secret=SECRET)
        chore = Acknowledging(settings, engine, AlertsMetrics(registry), until, uptime)
        counted = []
        for wait in (0, MINUTE - 1, 1):
            uptime.at += wait
            chore.look(NOW)
            counted.append(errors(registry))
        neighbour.close()
        for wait in (MINUTE, MINUTE):  # once it is heard it is not taken again
            uptime.at += wait
            chore.look(NOW)
        status = asked(port)

    assert counted == [1, 1, 2]
    assert errors(registry) == 2
    assert status == 401
    said = [(one.levelname, one.getMessage().split(" ")[0]) for one in caplog.records]
    assert said[:3] == [
        ("ERROR", "acknowledge.address:"),
        ("ERROR", "acknowledge.address:"),
        ("INFO", "acknowledgements"),
    ]


def asked(port: int) -> int:
    """Return what an unsigned request is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/ack", b"{}")
        return connection.getresponse().status
    finally:
        connection.close()
