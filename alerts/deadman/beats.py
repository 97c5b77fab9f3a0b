"""What Alertmanager posts to a webhook, and which watchdogs it says are firing."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from alerts.doors import Refused

WATCHDOG: Final = "FacetallyWatchdog"
VERSION: Final = "4"
_LABEL: Final = "installation"


def check_token(headers: Mapping[str, str], token: str | None) -> None:
    """Raise Refused if *token* is asked for and not given as ``Authorization: Bearer``."""
    given = headers.get("authorization", "")
    if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise Refused(HTTPStatus.UNAUTHORIZED, "the token is not the one that is asked for")


def firing(body: bytes) -> list[str | None]:
    """Return the ``installation`` of each watchdog that *body* says is firing, None without one.

    Alerts of other names, and one that has ended, say nothing. Raises Refused for what is no
    message of Alertmanager's webhook.
    """
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise _bad("the body must be JSON") from None
    if not isinstance(said, dict) or said.get("version") != VERSION:
        raise _bad(f"only version {VERSION} of Alertmanager's webhook is understood")
    alerts = said.get("alerts")
    if not isinstance(alerts, list):
        raise _bad("alerts: must be a list")
    labels = [_labels(one) for one in alerts if _is_firing(one)]
    return [one.get(_LABEL) or None for one in labels if one.get("alertname") == WATCHDOG]


def _is_firing(alert: object) -> bool:
    if not isinstance(alert, dict) or not isinstance(alert.get("status"), str):
        raise _bad("an alert must have a status")
    return bool(alert["status"] == "firing")


def _labels(alert: Mapping[str, Any]) -> Mapping[str, str]:
    labels = alert.get("labels")
    if not isinstance(labels, dict) or not all(isinstance(one, str) for one in labels.values()):
        raise _bad("labels: must be texts")
    return labels


def _bad(why: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, why)
