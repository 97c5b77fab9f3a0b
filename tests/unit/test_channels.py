from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import ssl
import subprocess
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from alerts.channel import BadSettings, NotDelivered
from alerts.channels.alertmanager import AlertmanagerSettings
from alerts.channels.log import LogSettings
from alerts.channels.webhook import Webhook, WebhookSettings, key_bytes, payload, signature
from monitor.notices import Kind
from tests.outbox_contract import NOW, SECOND, notice
from tests.receiver import CUT, Answer, Behaviour, Request, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PREVIOUS = "whsec_" + base64.b64encode(b"k" * 32).decode()
LATER = format_datetime(datetime.fromtimestamp(NOW / 1e6 + 90, tz=UTC), usegmt=True)


def webhook(url: str, *, timeout_s: float = 10.0, **changes: object) -> Webhook:
    given = {"url": url, "secret": SECRET, "timeout_s": timeout_s, "allow_private": True}
    return Webhook(WebhookSettings(**{**given, **changes}))  # type: ignore[arg-type]  # each test names its own


# Signed webhooks


def test_signature_of_the_example_that_standard_webhooks_publishes() -> None:
    signed = signature(
        key_bytes("secret", SECRET),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )

    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_verifies_what_is_posted() -> None:
    with receiving(Answer(200)) as receiver:
        answer = webhook(f"{receiver.url}/hook?team=1").send(notice("a"), NOW)
    [posted] = receiver.requests
    headers = posted.headers
    signed = b"%b.%b.%b" % (
        headers["webhook-id"].encode(),
        headers["webhook-timestamp"].encode(),
        posted.body,
    )
    key = base64.b64decode(SECRET[len("whsec_") :])
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

    assert answer == "200"
    assert posted.path == "/hook?team=1"
    assert headers["webhook-id"] == notice("a").key
    assert headers["webhook-timestamp"] == str(NOW // SECOND)
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["content-type"] == "application/json"


def test_the_body_says_what_has_happened_and_when() -> None:
    told = notice("a", duty="2026-03-02", kind=Kind.DUTY_OPENED)
    body = json.loads(payload(told))

    assert body["type"] == "facetally.duty_opened"
    assert datetime.fromisoformat(body["timestamp"]).timestamp() == NOW / SECOND
    assert body["data"]["facts"] == dict(told.body)
    assert body["data"]["processor"] == "acme 第一"
    assert body["data"]["duty"] == "2026-03-02"
    assert set(body["data"]["summary"]) == {"en", "zh"}


def test_while_secrets_change_both_sign() -> None:
    with receiving(Answer(200)) as receiver:
        webhook(receiver.url, previous_secret=PREVIOUS).send(notice("a"), NOW)
    [posted] = receiver.requests
    expected = [
        signature(key_bytes("secret", secret), notice("a").key, NOW // SECOND, posted.body)
        for secret in (SECRET, PREVIOUS)
    ]

    assert posted.headers["webhook-signature"].split(" ") == expected


# What answers mean


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_confirms_and_only_its_code_is_kept(status: int) -> None:
    body = b"" if status == 204 else b"secret words"
    with receiving(Answer(status, body=body)) as receiver:
        assert webhook(receiver.url).send(notice("a"), NOW) == str(status)


@pytest.mark.parametrize(
    ("answer", "permanent", "retry_after"),
    [
        # Of the receiver, and passing.
        (Answer(500), False, None),
        (Answer(502), False, None),
        (Answer(408), False, None),
        (Answer(425), False, None),
        (Answer(429), False, None),
        # It may say when; in seconds or as a date.
        (Answer(429, (("retry-after", "17"),)), False, 17),
        (Answer(503, (("retry-after", LATER),)), False, 90),
        # Bounded, and never in the past.
        (Answer(503, (("retry-after", "9" * 40),)), False, 3600),
        (Answer(503, (("retry-after", "Thu, 01 Jan 2099 00:00:00 GMT"),)), False, 3600),
        (Answer(503, (("retry-after", "Thu, 01 Jan 1998 00:00:00 GMT"),)), False, 0),
        # Nonsense says nothing.
        (Answer(503, (("retry-after", "soon"),)), False, None),
        (Answer(503, (("retry-after", "-5"),)), False, None),
        # Only a person can mend these.
        (Answer(400), True, None),
        (Answer(401), True, None),
        (Answer(404), True, None),
        (Answer(410), True, None),
        (Answer(410, (("retry-after", "5"),)), True, None),
    ],
)
def test_what_a_refusal_means(
    answer: Answer, *, permanent: bool, retry_after: float | None
) -> None:
    with receiving(answer) as receiver, pytest.raises(NotDelivered) as caught:
        webhook(receiver.url).send(notice("a"), NOW)

    assert str(caught.value) == f"answered {answer.status}"
    assert caught.value.permanent is permanent
    assert caught.value.retry_after_s == retry_after


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with receiving(Answer(200)) as other:
        moved = Answer(status, (("location", other.url),))
        with receiving(moved) as receiver, pytest.raises(NotDelivered, match=str(status)) as caught:
            webhook(receiver.url).send(notice("a"), NOW)

    assert caught.value.permanent
    assert other.requests == []


def hang(request: Request) -> Answer:
    time.sleep(1)
    return Answer(200, body=request.body)


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [(hang, "no answer in time"), (CUT, r"the connection failed \(RemoteProtocolError\)")],
)
def test_no_answer_is_a_passing_failure(behaviour: Behaviour | Answer, message: str) -> None:
    with receiving(behaviour) as receiver, pytest.raises(NotDelivered, match=message) as caught:
        webhook(receiver.url, timeout_s=0.5).send(notice("a"), NOW)

    assert not caught.value.permanent


def test_nobody_there_is_a_passing_failure() -> None:
    with receiving(Answer(200)) as receiver:
        url = receiver.url
    with pytest.raises(NotDelivered, match="no connection") as caught:
        webhook(url).send(notice("a"), NOW)

    assert not caught.value.permanent


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(Answer(200)) as proxy, receiving(Answer(204)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        answer = webhook(receiver.url).send(notice("a"), NOW)

    assert (answer, proxy.requests) == ("204", [])


def test_a_configured_proxy_is_used() -> None:
    with receiving(Answer(202)) as proxy:
        answer = webhook("http://elsewhere.invalid/hook", proxy=proxy.url).send(notice("a"), NOW)

    assert (answer, proxy.requests[0].path) == ("202", "http://elsewhere.invalid/hook")


def test_a_certificate_of_nobody_we_trust_is_refused_and_said_so(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    _make_certificate(key, certificate)
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate, key)
    with receiving(Answer(200), tls=served) as receiver:
        with pytest.raises(NotDelivered, match="its certificate is not accepted"):
            webhook(receiver.url).send(notice("a"), NOW)
        trusting = webhook(receiver.url, ca_file=certificate).send(notice("a"), NOW)

    assert trusting == "200"


def _make_certificate(key: Path, certificate: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )


# Nothing is told that should not be


def test_no_secret_in_errors_logs_or_texts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(Answer(401, body=b"canary")) as receiver:
        settings = WebhookSettings(
            url=f"{receiver.url}/canary-path?token=canary",
            secret=SECRET,
            previous_secret=PREVIOUS,
            authorization="Bearer canary",
            allow_private=True,
        )
        channel = Webhook(settings)
        with pytest.raises(NotDelivered) as caught:
            channel.send(notice("a"), NOW)
    told = "\n".join([caplog.text, str(caught.value), repr(caught.value), repr(settings)])
    told += repr(channel) + repr(caught.value.__context__) + repr(vars(channel))

    assert receiver.requests[0].headers["authorization"] == "Bearer canary"
    assert [word for word in ("canary", SECRET, SECRET[6:], PREVIOUS) if word in told] == []


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("name", "Canary"),
        ("name", ""),
        ("url", "ftp://canary/"),
        ("url", "canary"),
        ("url", "http://"),
        ("url", "http://canary:99999/"),
        ("url", "http://[canary"),
        ("url", "http://canary\n/"),
        ("url", "http://me:canary@there/"),
        ("url", "http://there/#canary"),
        ("secret", "canary"),
        ("secret", "whsec_" + base64.b64encode(b"k" * 23).decode()),
        ("secret", "whsec_" + base64.b64encode(b"k" * 65).decode()),
        ("secret", base64.b64encode(b"k" * 32).decode()),
        ("secret", "whsec_canary!" * 4),
        ("previous_secret", "canary"),
        ("timeout_s", 0),
        ("timeout_s", 21),
        ("timeout_s", float("nan")),
        ("authorization", "canary\n"),
        ("ca_file", Path("/canary")),
        ("proxy", "canary"),
    ],
)
def test_a_wrong_setting_is_named_and_not_quoted(setting: str, wrong: object) -> None:
    right: dict[str, object] = {"url": "http://there", "secret": SECRET}
    with pytest.raises(BadSettings, match=f"^{setting}: ") as caught:
        WebhookSettings(**{**right, setting: wrong})  # type: ignore[arg-type]  # wrong on purpose

    assert "canary" not in str(caught.value).lower()


@pytest.mark.parametrize(
    ("setting", "wrong"),
    [
        ("url", "there"),
        ("every_s", 0),
        # The alert would end between two posts.
        ("every_s", 300),
        ("event_life_s", 0),
        ("generator_url", "there"),
    ],
)
def test_a_wrong_setting_of_alertmanager_is_named(setting: str, wrong: object) -> None:
    with pytest.raises(BadSettings, match=f"^{setting}: "):
        AlertmanagerSettings(**{"url": "http://there", setting: wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_a_log_without_a_name_is_refused() -> None:
    with pytest.raises(BadSettings, match=r"^name: "):
        LogSettings(name="")


def test_a_file_without_certificates_is_no_certificate_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(BadSettings, match=r"^ca_file: "):
        webhook("https://there", ca_file=empty)
