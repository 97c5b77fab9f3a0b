"""``facetally notify test``: what it sends, what it says, and that it touches nothing else."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from deploy.wiring import clock
from monitor.notices import Kind, Notice, Severity
from monitor.store import audit
from monitor.store.engine import open_engine, reading
from monitor.store.outbox import SqlOutbox
from tests.homes import Home, home, ready, topic
from tests.post_office import post_office
from tests.receiver import Answer, Receiver, receiving

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def hook(name: str, receiver: Receiver) -> str:
    head = f'[[channels]]\nkind = "webhook"\nname = "{name}"\nurl = "{receiver.url}/canary"\n'
    return f'{head}allow_private = true\nsecret = "{SIGNING}"\n'


def with_channels(home: Home, *channels: str) -> Home:
    text = home.settings.read_text() if home.settings.exists() else ""
    home.settings.write_text("\n".join([text, *channels]))
    return home


def entries_of(path: Path) -> list[dict[str, Any]]:
    """The entries of the audit log that tell of a test."""
    engine = open_engine(f"sqlite:///{path}")
    with reading(engine) as connection:
        found = [one.body for one in audit.entries(connection) if one.kind == "notice.tested"]
    engine.dispose()
    return [json.loads(body) for body in found]


def test_it_sends_a_test_to_every_channel_and_prints_what_each_answered(tmp_path: Path) -> None:
    with receiving(Answer(204)) as good, receiving(Answer(404)) as bad:
        place = with_channels(
            ready(tmp_path),
            hook("duty-phone", good),
            hook("old", bad),
            '[[channels]]\nkind = "log"',
        )
        answer = place.run("notify", "test", "--processor", "acme")
    [request] = good.requests
    told = json.loads(request.body)

    assert answer.out == "duty-phone: 204\nold: FAILED: answered 404\nlog: logged\n"
    assert answer.code == 1
    assert (told["type"], told["data"]["severity"]) == ("facetally.test", "page")
    assert told["data"]["processor"] == "acme"
    assert "Test of this channel" in told["data"]["summary"]["en"]
    assert "canary" not in answer.out + answer.err


def test_only_the_named_channels_are_told_and_0_means_that_all_of_them_were(
    tmp_path: Path,
) -> None:
    with receiving(Answer(200)) as one, receiving(Answer(500)) as two:
        place = with_channels(ready(tmp_path), hook("one", one), hook("two", two))
        answer = place.good("notify", "test", "one", "one", "--severity", "info", "--json").json()

    assert [one["channel"] for one in answer["channels"]] == ["one"]
    assert answer["channels"][0] == {"channel": "one", "delivered": True, "answer": "200"}
    assert answer["audited"] is True
    assert json.loads(one.requests[0].body)["data"]["severity"] == "info"
    assert one.requests[0].headers["webhook-id"] == answer["notice"]
    assert two.requests == []


def test_each_test_is_a_notice_of_its_own_that_no_receiver_drops_as_a_repeat(
    tmp_path: Path,
) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(ready(tmp_path), hook("one", receiver))
        place.good("notify", "test")
        place.good("notify", "test")

    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2


def test_who_tried_which_channel_and_what_came_of_it_is_in_the_audit_log(tmp_path: Path) -> None:
    with receiving(Answer(200)) as good, receiving(Answer(503)) as bad:
        place = with_channels(ready(tmp_path), hook("good", good), hook("bad", bad))
        answer = place.run("notify", "test", "--by", "night shift", "--json")
        place.run("notify", "test", "good")
    first, second, third = entries_of(place.database)
    key = answer.json()["notice"]

    assert first == {
        "notice": key,
        "by": "night shift",
        "channel": "good",
        "delivered": True,
        "answer": "200",
    }
    assert second == {
        "notice": key,
        "by": "night shift",
        "channel": "bad",
        "delivered": False,
        "answer": "answered 503",
    }
    assert third["by"] == getpass.getuser()
    assert place.good("verify").code == 0


def test_nothing_that_waits_is_sent_or_marked(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(ready(tmp_path), hook("one", receiver))
        engine = open_engine(f"sqlite:///{place.database}")
        outbox = SqlOutbox(engine)
        outbox.ensure(["one"], clock())
        waiting = Notice(
            key="gap:1", kind=Kind.GAP, severity=Severity.PAGE, created_at=clock(), body={}
        )
        with engine.begin() as connection:
            from monitor.store import owing  # noqa: PLC0415 - beside what it is for

            owing.notify(connection, waiting)
        place.good("notify", "test")
        [left] = outbox.waiting()
        engine.dispose()

    assert [json.loads(one.body)["type"] for one in receiver.requests] == ["facetally.test"]
    assert (left.channel, left.notices, left.failing) == ("one", 1, 0)


def test_without_a_database_it_tests_all_the_same_and_says_that_nothing_was_written(
    tmp_path: Path,
) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(home(tmp_path), hook("one", receiver))
        answer = place.run("notify", "test")

    assert answer.out == "one: 200\n"
    assert answer.code == 0
    assert "not written into the audit log: there is no database" in answer.err


@pytest.mark.parametrize(("more", "said"), [("", 0), (topic("face-events"), 1)])
def test_a_dead_mans_machine_has_no_database_that_could_be_missed(
    tmp_path: Path, more: str, said: int
) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(home(tmp_path, more), hook("one", receiver), "[deadman]")
        answer = place.run("notify", "test", "--json")

    assert (answer.code, answer.json()["audited"]) == (0, False)
    assert answer.err.count("there is no database") == said


def test_a_channel_whose_secret_is_not_here_fails_and_the_others_are_tested(
    tmp_path: Path,
) -> None:
    unready = '[[channels]]\nkind = "apprise"\nname = "phone"\nurl_env = "NOT_THERE"\n'
    with receiving(Answer(200)) as receiver:
        place = with_channels(ready(tmp_path), unready, hook("one", receiver))
        answer = place.run("notify", "test")

    assert answer.code == 1
    assert "phone: FAILED: channels[0].url_env: the environment has no variable" in answer.out
    assert answer.out.endswith("one: 200\n")


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_a_test_by_mail_is_in_the_language_of_its_channel(tmp_path: Path, language: str) -> None:
    with post_office() as office:
        url = f"mailto://127.0.0.1:{office.port}/?from=facetally@example.org&to=a@example.org"
        (tmp_path / "mail.url").write_text(url)
        (tmp_path / "mail.url").chmod(0o600)
        mail = f'[[channels]]\nkind = "apprise"\nname = "mail"\nlanguage = "{language}"\n'
        place = with_channels(
            ready(tmp_path), f'{mail}url_file = "mail.url"\nallow_private = true\n'
        )
        answer = place.good("notify", "test")

    said = {"en": "[PAGE] Test of this channel", "zh-CN": "【紧急】通道测试"}[language]
    assert answer.out == "mail: accepted\n"
    assert office.letters[0]["subject"].startswith(said)


def test_an_unknown_channel_is_misuse_and_tells_nobody(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(ready(tmp_path), hook("one", receiver))
        answer = place.run("notify", "test", "one", "two")

    assert answer.code == 2
    assert "there is no channel 'two'; the settings have: one" in answer.err
    assert receiver.requests == []


def test_config_check_opens_the_channels_and_sends_nothing(tmp_path: Path) -> None:
    with receiving(Answer(200)) as receiver:
        place = with_channels(ready(tmp_path), hook("one", receiver))
        good = place.good("config", "check")
        with_channels(place, '[[channels]]\nkind = "apprise"\nurl = "pigeon://canary"\n')
        bad = place.run("config", "check")

    assert "  channel one\n" in good.out
    assert bad.code == 2
    assert "channel apprise: url: apprise knows no such service" in bad.err
    assert "canary" not in bad.err
    assert receiver.requests == []
