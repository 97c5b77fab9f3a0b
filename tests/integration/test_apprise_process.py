"""The process of a channel of kind apprise: it ends in its time, tells nothing, and arrives."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from alerts.channel import NotDelivered
from alerts.channels.apprise_channel import AppriseChannel, AppriseSettings
from alerts.templates import message
from monitor.notices import Notice
from monitor.store import audit, owing
from monitor.store.engine import open_engine, reading
from tests.apprise_kit import (
    by_mail,
    channel,
    children,
    dripping_once,
    told,
)
from tests.homes import Home, ready
from tests.outbox_contract import NOW
from tests.post_office import post_office
from tests.receiver import Answer, receiving
from tests.workers import until


def test_an_attempt_that_takes_too_long_is_ended_with_its_process_and_the_next_one_goes() -> None:
    """A receiver that sends a byte now and then never runs into a timeout of a read."""
    with (
        dripping_once() as url,
        closing(channel(url, allow_private=True, timeout_s=10)) as sender,
    ):
        sender.check()
        before = children()
        began = time.monotonic()
        with pytest.raises(NotDelivered, match=r"^no answer in time$") as caught:
            sender.send(told(), NOW)
        took, after = time.monotonic() - began, children()
        again = sender.send(told(), NOW)

    assert not caught.value.permanent
    assert 10 <= took < 30
    assert len(before) == 1
    assert after == set()
    assert again == "accepted, 200"


def test_a_process_that_was_killed_is_started_again() -> None:
    with receiving(Answer(200)) as receiver:
        url = receiver.url.replace("http://", "json://")
        with closing(channel(url, allow_private=True)) as sender:
            sender.send(told(), NOW)
            [child] = children()
            os.kill(child, signal.SIGKILL)
            time.sleep(0.2)
            answer = sender.send(told(), NOW)

    assert answer == "accepted, 200"


@pytest.mark.parametrize("busy", [False, True])
def test_the_process_outlives_nobody_who_started_it_for_longer_than_an_attempt(
    *, busy: bool
) -> None:
    """Whatever kills alerts: an idle one sees the end of its orders, a busy one is ended."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from tests.apprise_kit import channel, told\n"
        "sender = channel(sys.argv[1], allow_private=True, timeout_s=10)\n"
        "sender.check(); print('ready', flush=True)\n"
        "sender.send(told(), 1); print('sent', flush=True); sys.stdin.read()"
    )
    with receiving(Answer(200)) as receiver, dripping_once() as dripping:
        url = dripping if busy else receiver.url.replace("http://", "json://")
        words = [sys.executable, "-P", "-c", code, url, str(Path(__file__).parents[2])]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            assert parent.stdout.readline() == b"ready\n"
            if busy:
                time.sleep(1)
            else:
                assert parent.stdout.readline() == b"sent\n"
            [child] = children(parent.pid)
            parent.kill()
        ended = until_gone(child, 30)

    assert ended


def until_gone(process: int, seconds: float) -> bool:
    """Wait for the end of a process that is no child of ours."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        status = Path(f"/proc/{process}/status")
        if not status.exists() or "State:\tZ" in status.read_text():
            return True
        time.sleep(0.1)
    return False


def test_the_process_ends_with_the_channel() -> None:
    with receiving(Answer(200)) as receiver:
        sender = channel(receiver.url.replace("http://", "json://"), allow_private=True)
        sender.send(told(), NOW)
        running = children()
        sender.close()

    assert len(running) == 1
    assert children() == set()


# The whole way


def test_a_page_goes_from_the_outbox_by_mail_and_the_audit_log_says_what_came_of_it(
    tmp_path: Path,
) -> None:
    """By the program, which is killed after a letter: the next one has its own."""
    with post_office() as office:
        (tmp_path / "mail.url").write_text(by_mail(office))
        (tmp_path / "mail.url").chmod(0o600)
        mail = '[[channels]]\nkind = "apprise"\nname = "mail"\nurl_file = "mail.url"\n'
        place = ready(tmp_path, f"{mail}allow_private = true\n")
        for number in (1, 2):
            alerts = place.start("alerts")
            try:
                put(place, told(key=f"duty_opened:{number}"))
                assert until(partial(told_of, place, number)), place.said()
            finally:
                alerts.kill()

    assert answers(place) == [("duty_opened:1", "accepted"), ("duty_opened:2", "accepted")]
    assert [letter["subject"] for letter in office.letters] == [message(told(), "en").title] * 2
    assert "facetally@example.org" not in place.said()


def told_of(place: Home, number: int) -> bool:
    return len(answers(place)) >= number


def put(place: Home, notice: Notice) -> None:
    """Write *notice* as the monitor does."""
    engine = open_engine(f"sqlite:///{place.database}")
    with engine.begin() as connection:
        owing.notify(connection, notice)
    engine.dispose()


def answers(place: Home) -> list[tuple[str, str]]:
    """Return what the audit log says was sent: which notice, and what was answered."""
    engine = open_engine(f"sqlite:///{place.database}")
    with reading(engine) as connection:
        sent = [json.loads(e.body) for e in audit.entries(connection) if e.kind == "notice.sent"]
    engine.dispose()
    return [(one["notice"], one["answer"]) for one in sent]


# Nothing is told that should not be


def test_no_token_in_errors_logs_texts_or_the_list_of_processes(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    with receiving(Answer(401, body=b"canary")) as receiver:
        url = f"{receiver.url.replace('http://', 'json://canary:canary@')}/canary?+token=canary"
        settings = AppriseSettings(url=url, allow_private=True, proxy=None)
        with closing(AppriseChannel(settings)) as sender:
            with pytest.raises(NotDelivered) as caught:
                sender.send(told(), NOW)
            [child] = children()
            seen = [Path(f"/proc/{child}/{part}").read_bytes() for part in ("cmdline", "environ")]
            shown = repr(sender) + repr(vars(sender)) + repr(settings)
    output = capfd.readouterr()
    told_of = "\n".join([caplog.text, str(caught.value), repr(caught.value.__context__), shown])

    assert receiver.requests  # it was sent, with all of this in it
    assert "canary" not in told_of + output.out + output.err
    assert b"canary" not in b"".join(seen)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_our_environment_reaches_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving(Answer(200)) as proxy, receiving(Answer(200)) as receiver:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "APPRISE_DENY_SERVICES"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("CANARY", "canary")
        with closing(
            channel(receiver.url.replace("http://", "json://"), allow_private=True)
        ) as sender:
            answer = sender.send(told(), NOW)
            [child] = children()
            environment = Path(f"/proc/{child}/environ").read_bytes()

    names = {line.partition(b"=")[0].decode() for line in environment.split(b"\0") if line}

    assert (answer, proxy.requests) == ("accepted, 200", [])
    assert names == {"HOME", "LC_ALL", "NETRC", "PATH", "PYTHONPATH", "TZ"}
