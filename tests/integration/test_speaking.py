"""A route's language, to a real receiver through the real library."""

from __future__ import annotations

import json
from contextlib import closing

from alerts.people import Person
from alerts.routing import Escalation, Route, Routing, Step
from alerts.speaking import Speaking
from alerts.templates import message
from alerts.values import Language
from monitor.notices import Kind, Notice, Severity
from tests.apprise_kit import channel, told
from tests.outbox_contract import NOW
from tests.receiver import Answer, receiving

WARNING = frozenset({Severity.WARNING})
ANN = Person(name="ann", channels=("phone",))
DUTIES = Escalation(name="duties", steps=(Step(after=0, people=("ann",)),))


def routing(*routes: Route) -> Routing:
    return Routing(
        channels=("phone", "other"), people=(ANN,), escalations=(DUTIES,), routes=tuple(routes)
    )


def spoken(routes: Routing, *notices: Notice) -> list[Language]:
    """Return in which language each of *notices* comes to a phone whose own is English."""
    with receiving(Answer(200)) as receiver:
        url = receiver.url.replace("http://", "json://")
        with closing(channel(url, name="phone", allow_private=True)) as phone:
            for one in notices:
                Speaking(phone, routes).send(one, NOW)
    bodies = [json.loads(one.body)["message"] for one in receiver.requests]
    found: list[Language] = []
    for body, notice in zip(bodies, notices, strict=True):
        last = {name: message(notice, name).body.splitlines()[-1] for name in LANGUAGES}
        found.extend(name for name in LANGUAGES if body.strip().endswith(last[name]))
    return found


LANGUAGES: tuple[Language, ...] = ("en", "zh-CN")


def test_a_notice_comes_in_the_language_of_its_route() -> None:
    routes = routing(
        Route(severities=WARNING, channels=("phone",), language="zh-CN"),
        Route(channels=("phone",)),
    )

    assert spoken(routes, told(severity=Severity.WARNING), told()) == ["zh-CN", "en"]


def test_a_step_of_an_escalation_comes_in_the_language_of_its_page() -> None:
    routes = routing(
        Route(kinds=frozenset({Kind.DUTY_OPENED}), escalation="duties", language="zh-CN"),
        Route(channels=("phone",), language="en"),
    )
    step = told(kind=Kind.ESCALATED, body={"escalated_kind": "duty_opened"}, channel="phone")
    other = told(kind=Kind.ESCALATED, body={"escalated_kind": "gap"}, channel="phone")

    assert spoken(routes, step, other) == ["zh-CN", "en"]


def test_the_first_route_that_leads_there_and_names_one_is_heard() -> None:
    routes = routing(
        Route(channels=("other",), continues=True, language="en"),
        Route(channels=("phone",), continues=True),
        Route(channels=("phone",), continues=True, language="zh-CN"),
        Route(channels=("phone",), language="en"),
    )

    assert spoken(routes, told()) == ["zh-CN"]


def test_what_no_route_takes_comes_in_the_language_of_the_channel() -> None:
    assert spoken(routing(Route(severities=WARNING, channels=("other",))), told()) == ["en"]
