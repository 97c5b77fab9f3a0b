"""The channel of kind apprise with the real library: what the services get, and their answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
import time
from contextlib import closing
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from alerts.channel import BadSettings, NotDelivered
from alerts.channels.apprise_child import _sent, opened
from alerts.channels.apprise_guard import Answers, Guard
from alerts.templates import message
from monitor.notices import Kind, Severity, key_of
from tests.apprise_kit import (
    BOT,
    HOSTILE,
    HOSTS,
    SERVICES,
    TOKEN,
    by_mail,
    channel,
    service,
    texts,
    through,
    told,
)
from tests.certificates import Authority, authority, certificate_for
from tests.outbox_contract import NOW
from tests.post_office import post_office
from tests.receiver import CUT, Answer


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def served(ours: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate_for(ours, *HOSTS))
    return context


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_each_service_gets_the_text_of_its_language_as_it_is(
    name: str, language: Any, served: ssl.SSLContext, ours: Authority
) -> None:
    url, host, answer = SERVICES[name]
    notice = told(body={"because": HOSTILE, "individuals": 100_000})
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(url, language=language, **through(tunnel, ours))) as sender,
    ):
        answered = sender.send(notice, NOW)
    [request] = receiver.requests
    said, expected = texts(json.loads(request.body)), message(notice, language)
    if name == "slack":  # its own escapes, as its documentation asks for
        said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

    assert answered == f"accepted, {answer.status}"
    assert tunnel.asked == [f"{host}:443"]
    assert expected.title in said
    for line in expected.body.splitlines():
        assert line in said


def test_dingtalk_is_signed_with_its_secret(served: ssl.SSLContext, ours: Authority) -> None:
    secret = "SECc4fa1c"
    url = f"dingtalk://{secret}@{TOKEN}"
    with (
        service(served, SERVICES["dingtalk"][2]) as (receiver, tunnel),
        closing(channel(url, **through(tunnel, ours))) as sender,
    ):
        sender.send(told(), NOW)
    asked = parse_qs(urlsplit(receiver.requests[0].path).query)
    stamp = asked["timestamp"][0]
    signed = hmac.new(secret.encode(), f"{stamp}\n{secret}".encode(), hashlib.sha256).digest()

    assert asked["access_token"] == [TOKEN]
    assert base64.b64encode(signed).decode() in {asked["sign"][0], _unquoted(asked["sign"][0])}


def test_phones_of_a_dingtalk_address_are_mentioned_by_one_message(
    served: ssl.SSLContext, ours: Authority
) -> None:
    url = f"dingtalk://{TOKEN}/13800138000/13800138001"
    with (
        service(served, SERVICES["dingtalk"][2]) as (receiver, tunnel),
        closing(channel(url, **through(tunnel, ours))) as sender,
    ):
        sender.check()
        sender.send(told(), NOW)
    posted = [json.loads(one.body) for one in receiver.requests]

    assert [one["at"]["atMobiles"] for one in posted] == [["13800138000", "13800138001"]]


def _unquoted(text: str) -> str:
    return text.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("dingtalk", b'{"errcode":310000,"errmsg":"sign not match canary"}'),
        ("wecombot", b'{"errcode":45009,"errmsg":"api freq out of limit canary"}'),
        ("feishu", b'{"code":19024,"msg":"Key Words Not Found canary"}'),
        ("lark", b'{"code":19021,"msg":"sign match fail canary"}'),
    ],
)
def test_a_message_that_is_refused_with_status_200_is_not_delivered(
    name: str, body: bytes, served: ssl.SSLContext, ours: Authority
) -> None:
    code = next(value for value in json.loads(body).values() if isinstance(value, int))
    with (
        service(served, Answer(200, body=body)) as (_, tunnel),
        closing(channel(SERVICES[name][0], **through(tunnel, ours))) as sender,
        pytest.raises(NotDelivered) as caught,
    ):
        sender.send(told(), NOW)

    assert str(caught.value) == f"answered 200, refused by the service with code {code}"
    assert not caught.value.permanent


@pytest.mark.parametrize("body", [b"<html>a login page of somebody's</html>", b"[]", b"{}"])
def test_an_answer_that_does_not_say_so_confirms_nothing(
    body: bytes, served: ssl.SSLContext, ours: Authority
) -> None:
    with (
        service(served, Answer(200, body=body)) as (_, tunnel),
        closing(channel(SERVICES["dingtalk"][0], **through(tunnel, ours))) as sender,
        pytest.raises(NotDelivered, match="refused by the service with code -1"),
    ):
        sender.send(told(), NOW)


@pytest.mark.parametrize(
    ("answer", "said", "permanent"),
    [
        (Answer(404, body=b"canary"), "answered 404", True),
        (Answer(401), "answered 401", True),
        (Answer(429), "answered 429", False),
        (Answer(503), "answered 503", False),
        (Answer(302, (("location", "https://api.opsgenie.com/"),)), "answered 302", True),
        (CUT, "apprise says that it failed", False),
    ],
)
def test_what_a_failure_means(
    answer: Answer, said: str, *, permanent: bool, served: ssl.SSLContext, ours: Authority
) -> None:
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(SERVICES["pagerduty"][0], **through(tunnel, ours))) as sender,
        pytest.raises(NotDelivered) as caught,
    ):
        sender.send(told(), NOW)

    assert str(caught.value) == said
    assert caught.value.permanent is permanent
    assert len(receiver.requests) == 1


def test_a_service_whose_certificate_is_not_trusted_is_told_nothing(
    served: ssl.SSLContext,
) -> None:
    with (
        service(served, Answer(200, body=b'{"errcode":0}')) as (receiver, tunnel),
        closing(channel(SERVICES["dingtalk"][0], proxy=tunnel.url)) as sender,
        pytest.raises(NotDelivered),
    ):
        sender.send(told(), NOW)

    assert receiver.requests == []


@pytest.mark.parametrize(("name", "field"), [("pagerduty", "dedup_key"), ("opsgenie", "alias")])
def test_services_that_can_drop_a_repeat_by_the_key_of_the_notice(
    name: str, field: str, served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES[name]
    other = told(key=key_of(Kind.GAP, "b"), kind=Kind.GAP)
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(url, timeout_s=30, **through(tunnel, ours))) as sender,
    ):
        for notice in (told(), other):
            sender.send(notice, NOW)

    assert [json.loads(one.body)[field] for one in receiver.requests] == [told().key, other.key]


@pytest.mark.parametrize(
    ("severity", "word"),
    [(Severity.PAGE, "critical"), (Severity.WARNING, "warning"), (Severity.INFO, "info")],
)
def test_pagerduty_is_told_the_severity(
    severity: Severity, word: str, served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES["pagerduty"]
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(url, **through(tunnel, ours))) as sender,
    ):
        sender.send(told(severity=severity), NOW)

    assert json.loads(receiver.requests[0].body)["payload"]["severity"] == word


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_asked_once_whatever_the_severity(
    name: str, served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES[name]
    asked = []
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(url, **through(tunnel, ours))) as sender,
    ):
        for severity in Severity:
            answered = sender.send(told(kind=Kind.REMINDER, severity=severity), NOW)
            asked.append((severity, answered, len(receiver.requests)))

    said = f"accepted, {answer.status}"
    assert asked == [(one, said, number) for number, one in enumerate(Severity, start=1)]


@pytest.mark.parametrize(
    "option", ["action=note", "action=close", "action=delete", "action=ack", ":failure=close"]
)
def test_an_address_of_opsgenie_cannot_make_a_page_of_something_else_than_an_alert(
    option: str, served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES["opsgenie"]
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(f"{url}?{option}", **through(tunnel, ours))) as sender,
    ):
        sender.send(told(), NOW)

    assert [one.path for one in receiver.requests] == ["/v2/alerts"]


@pytest.mark.parametrize("action", ["resolve", "map"])
def test_an_address_of_pagerduty_cannot_make_a_page_end_an_incident(
    action: str, served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES["pagerduty"]
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(f"{url}?action={action}", **through(tunnel, ours))) as sender,
    ):
        sender.send(told(), NOW)

    assert [json.loads(one.body)["event_action"] for one in receiver.requests] == ["trigger"]


# The library asks itself for what Python will have no more.
OUTDATED = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@OUTDATED
@pytest.mark.parametrize(
    ("url", "action"),
    [
        (f"opsgenie://{BOT}?action=note", "new"),
        ("goalerts://host.example.org/token?action=close", "trigger"),
        ("signl4://a1b2c3d4e5?action=resolve", "trigger"),
        ("squadcast://a1b2c3d4e5?action=resolve", "trigger"),
        ("ilert://a1b2c3d4e5?action=resolve", "trigger"),
        ("splunk://route@apikey/entity?action=resolve", "map"),
    ],
)
def test_every_service_that_can_end_an_alert_opens_one(url: str, action: str) -> None:
    made = opened(url, 30.0, private=False)

    assert not isinstance(made, str)
    assert vars(made)["action"] == action


@OUTDATED
def test_a_mapping_in_an_address_ends_no_alert() -> None:
    made = opened("splunk://route@apikey/entity?:failure=recovery", 30.0, private=False)

    assert not isinstance(made, str)
    assert vars(made)["mapping"]["failure"] == "CRITICAL"


@OUTDATED
def test_what_the_library_calls_sent_without_asking_anybody_is_not_delivered() -> None:
    made = opened(f"opsgenie://{BOT}", 30.0, private=False)
    assert not isinstance(made, str)
    vars(made)["action"] = "note"
    order = {"key": "a", "title": "a", "body": "b", "type": "failure"}
    answer = _sent(made, order, Guard(private=False, proxy=None), Answers())

    assert (answer["done"], answer["unsent"]) == (False, True)


def test_a_long_message_to_wecom_keeps_to_its_limit_of_bytes_and_cuts_no_character(
    served: ssl.SSLContext, ours: Authority
) -> None:
    url, _, answer = SERVICES["wecombot"]
    notice = told(body={"because": "理" * 900, "evidence": "据" * 900})
    with (
        service(served, answer) as (receiver, tunnel),
        closing(channel(url, language="zh-CN", **through(tunnel, ours))) as sender,
    ):
        sender.send(notice, NOW)
    content = json.loads(receiver.requests[0].body)["text"]["content"]

    assert 2_000 < len(content.encode()) <= 2_048
    assert content.startswith(message(notice, "zh-CN").title)
    assert content.endswith("…")


def test_a_robot_of_lark_is_not_kept_waiting(served: ssl.SSLContext, ours: Authority) -> None:
    url, _, answer = SERVICES["lark"]
    with (
        service(served, answer) as (_, tunnel),
        closing(channel(url, **through(tunnel, ours))) as sender,
    ):
        sender.check()
        began = time.monotonic()
        sender.send(told(), NOW)
        took = time.monotonic() - began

    assert took < 5.5  # what the library would leave before the first one


# Mail


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_page_arrives_by_mail(language: Any) -> None:
    notice = told(body={"because": HOSTILE, "individuals": 100_000})
    with (
        post_office() as office,
        closing(channel(by_mail(office), language=language, allow_private=True)) as sender,
    ):
        answer = sender.send(notice, NOW)
    [letter] = office.letters
    said = message(notice, language)

    assert answer == "accepted"
    assert office.receivers == [["duty@example.org"]]
    assert letter["subject"] == said.title
    assert letter.get_content_type() == "text/plain"
    assert letter.get_content().splitlines() == said.body.splitlines()


def test_in_a_letter_as_a_page_what_a_person_wrote_is_text_and_no_part_of_the_page() -> None:
    notice = told(body={"because": HOSTILE})
    with (
        post_office() as office,
        closing(channel(f"{by_mail(office)}&format=html", allow_private=True)) as sender,
    ):
        sender.send(notice, NOW)
    html = office.letters[0].get_body(("html",))

    assert html is not None
    assert "<script>" not in html.get_content()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&nbsp;&amp;&nbsp;" in html.get_content()


@pytest.mark.parametrize("answer", ["451 try again canary", "554 no canary"])
def test_a_letter_that_is_refused_is_not_delivered(answer: str) -> None:
    with (
        post_office(answer) as office,
        closing(channel(by_mail(office), allow_private=True)) as sender,
        pytest.raises(NotDelivered, match=r"^apprise says that it failed$"),
    ):
        sender.send(told(), NOW)


# What is not taken


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("dingtalk://no-token-of-theirs!/", "knows no such service"),
        ("pigeon://canary", "knows no such service"),
        ("slack://T1JJ3T3L2", "knows no such service"),
        (f"dingtalk://{TOKEN}?verify=no", "verify=no is not allowed"),
        ("ntfy://169.254.169.254/t", "leads to an address that is not public"),
        ("ntfy://10.1.2.3/t", "leads to an address that is not public"),
        ("mailto://[::1]/?from=a@b.org&to=c@d.org", "leads to an address that is not public"),
        (
            "mailto://b.org?smtp=10.0.0.5&from=a@b.org&to=c@d.org",
            "leads to an address that is not public",
        ),
        ("mailto://b.org?from=a@b.org&to=c@d.org,e@d.org", "more than one receiver"),
        ("mailto://b.org?from=a@b.org&to=c@d.org&cc=e@d.org", "more than one receiver"),
        ("mailto://b.org?from=a@b.org&to=c@d.org&bcc=e@d.org", "more than one receiver"),
        ("ntfy://host.example.org/one/two", "more than one receiver"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/%23one/%23two", "more than one"),
        (f"opsgenie://{BOT}/@ann/@bob", "more than one receiver"),
        # The library counts one for this service, and asks once for each.
        (f"pushplus://{TOKEN}/one/two", "more than one receiver"),
        ("irc://host.example.org/%23one/@ann", "more than one receiver"),
    ],
)
def test_an_address_that_apprise_does_not_take_is_refused_at_start(url: str, why: str) -> None:
    sender = channel(url)
    with closing(sender), pytest.raises(BadSettings, match=f"^url: .*{why}") as caught:
        sender.check()

    assert "canary" not in str(caught.value)


@OUTDATED
@pytest.mark.parametrize(
    "url",
    [
        "ntfy://host.example.org/one?retry=2",
        "mailtos://user:canary@example.org",
        f"dingtalk://{TOKEN}/13800138000",
        f"dingtalk://{TOKEN}/13800138000/13800138001",  # one message, which mentions both
        f"pushplus://{TOKEN}",
        f"pushplus://{TOKEN}/one",
        "irc://host.example.org/%23one",
        f"opsgenie://{BOT}/@ann/@bob?batch=yes",  # one alert, in one request
        "wechat://corporation:secret@1000002/ann/bob",  # likewise
    ],
)
def test_an_address_that_leads_to_one_receiver_is_taken(url: str) -> None:
    assert not isinstance(opened(url, 30.0, private=False), str)


@pytest.mark.parametrize("name", [*SERVICES, "mail", "native slack", "native wecom"])
def test_every_service_of_the_guide_is_taken(name: str) -> None:
    more = {
        "mail": "mailtos://user:canary@example.org?to=duty@example.org",
        "native slack": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "native wecom": f"https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key={BOT}",
    }
    url = more[name] if name in more else SERVICES[name][0]
    with closing(channel(url)) as sender:
        sender.check()
