"""Two installations at one receiver, and the address of the runbook on each channel."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alerts.channel import BadSettings
from alerts.channels.alertmanager import Alertmanager, AlertmanagerSettings
from alerts.channels.webhook import Webhook, WebhookSettings, payload
from alerts.origin import NOWHERE, Origin
from deploy.channels import read_channels
from deploy.observing import Turning
from deploy.reading import Table
from monitor.metrics import new_registry
from monitor.notices import Kind
from tests.outbox_contract import NOW, SECOND, duty, notice
from tests.receiver import Answer, receiving

PROD = Origin(installation="prod", runbook_base="https://wiki.test/books/")
STAGING = Origin(installation="staging")
SECRET = "whsec_" + "QUJD" * 8
BOOK = "https://wiki.test/books/duty_opened.md"


def test_a_receiver_that_drops_repeats_takes_the_page_of_each_installation() -> None:
    opened = notice("a", kind=Kind.DUTY_OPENED)
    with receiving(Answer(200), Answer(200)) as receiver:
        for origin in (PROD, STAGING):
            given = WebhookSettings(
                url=receiver.url, secret=SECRET, allow_private=True, origin=origin
            )
            Webhook(given).send(opened, NOW)
    ids = [request.headers["webhook-id"] for request in receiver.requests]

    assert ids == [f"prod/{opened.key}", f"staging/{opened.key}"]


def test_a_webhook_says_which_installation_it_is_and_what_to_do() -> None:
    told = json.loads(payload(notice("a", kind=Kind.DUTY_OPENED), PROD))["data"]

    assert told["installation"] == "prod"
    assert told["runbook_url"] == BOOK


def test_without_a_name_and_a_base_nothing_is_added() -> None:
    opened = notice("a", kind=Kind.DUTY_OPENED)
    told = json.loads(payload(opened))["data"]

    assert NOWHERE.id_of(opened) == opened.key
    assert {"installation", "runbook_url"} & set(told) == set()


def test_duties_of_two_installations_are_two_alerts_with_a_runbook() -> None:
    with receiving(Answer(200), Answer(200), Answer(200)) as receiver:
        for origin in (PROD, STAGING, NOWHERE):
            settings = AlertmanagerSettings(url=receiver.url, origin=origin)
            Alertmanager(settings).show([duty("one")], [], [], NOW)
    shown = [json.loads(request.body)[0] for request in receiver.requests]

    assert [one["labels"].get("installation") for one in shown] == ["prod", "staging", None]
    assert [one["annotations"].get("runbook_url") for one in shown] == [BOOK, None, None]


def test_an_event_and_its_repeat_are_the_same_alert_of_the_installation() -> None:
    gap = notice("a", kind=Kind.GAP)
    with receiving(Answer(200)) as receiver:
        Alertmanager(AlertmanagerSettings(url=receiver.url, origin=PROD)).send(gap, NOW)
    [request] = receiver.requests
    [alert] = json.loads(request.body)

    assert request.headers["idempotency-key"] == f"prod/{gap.key}"
    assert alert["labels"]["installation"] == "prod"
    assert alert["annotations"]["runbook_url"] == "https://wiki.test/books/gap.md"


def test_a_message_to_a_person_ends_with_both() -> None:
    assert PROD.lines(Kind.DUTY_OPENED, "en") == ["installation: prod", f"what to do: {BOOK}"]
    assert PROD.lines(Kind.DUTY_CLOSED, "zh-CN") == ["部署：prod"]


@pytest.mark.parametrize(
    "given",
    [
        {"installation": "a b"},
        {"installation": ""},
        {"installation": "x" * 64},
        {"runbook_base": "wiki/"},
        {"runbook_base": "https://wiki.test/books"},
        {"runbook_base": "javascript:alert/"},
    ],
)
def test_what_names_no_installation_or_no_place_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadSettings, match=next(iter(given))):
        Origin(**given)


def test_each_channel_of_the_settings_has_the_origin() -> None:
    tables = [
        Table({"kind": "alertmanager", "url": "http://am.test"}, "channels[0]"),
        Table({"kind": "webhook", "url": "https://hook.test", "secret": SECRET}, "channels[1]"),
        Table({"kind": "apprise", "url": "slack://a/b/c"}, "channels[2]"),
    ]
    channels = read_channels(tables, Path(), {}, "en", PROD)

    assert [getattr(one, "origin", None) for one in channels] == [PROD] * 3


def test_a_loop_has_a_series_before_its_first_turn_and_has_not_turned() -> None:
    """A sender that hangs in its first turn, while others go on, is to be seen by changes()."""
    registry, turned = new_registry(), list[str]()
    Turning(registry, turned.append).known(["mail"], NOW)
    name = "facetally_alerts_last_round_timestamp_seconds"

    assert registry.get_sample_value(name, {"channel": "mail"}) == NOW / SECOND
    assert turned == []
