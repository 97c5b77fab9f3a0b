from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channel import NotDelivered
from alerts.channels.webhook import Webhook, WebhookSettings
from alerts.outbox import Retry, Turn, send_next
from monitor.facts import Instant
from monitor.notices import Notice, Severity
from tests.channel_fakes import Counted, Scripted
from tests.outbox_contract import LEASE, NOW, SECOND, Desk, OutboxContract, notice
from tests.outbox_fake import SqliteOutbox
from tests.receiver import CUT, Answer, Behaviour, Request, receiving

ROOT = Path(__file__).parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STEADY = Retry(lease_us=LEASE, jitter=lambda: 0.5)
HOUR = 3600 * SECOND


class TestSqliteOutbox(OutboxContract):
    @pytest.fixture
    def desk(self, tmp_path: Path) -> Desk:
        return SqliteOutbox(tmp_path / "outbox.db")


@pytest.fixture
def desk(tmp_path: Path) -> SqliteOutbox:
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    outbox.ensure(["scripted"], NOW - 1000 * SECOND)
    return outbox


def test_one_notice_is_sent_per_call_until_none_is_due(desk: SqliteOutbox) -> None:
    for name in ("a", "b"):
        desk.put(notice(name))
    channel = Scripted()
    answers = [send_next(desk, channel, NOW, STEADY) for _ in range(3)]

    assert answers == [Turn.SENT, Turn.SENT, Turn.NONE_DUE]
    assert sorted(channel.delivered) == sorted([notice("a").key, notice("b").key])


def test_it_is_marked_after_sending_and_not_before(desk: SqliteOutbox) -> None:
    marked: list[Instant | None] = []

    def look(sent: Notice, _times: int) -> None:
        delivery = desk.delivery(sent.key, "scripted")
        marked.append(delivery.sent_at if delivery else 0)

    desk.put(notice("a"))
    send_next(desk, Scripted(look), NOW, STEADY)
    after = desk.delivery(notice("a").key, "scripted")

    assert marked == [None]
    assert after is not None
    assert after.sent_at == NOW


@pytest.mark.parametrize(
    ("attempts", "error", "page", "other"),
    [
        # Doubles from two seconds.
        (1, NotDelivered("x"), 2, 2),
        (2, NotDelivered("x"), 4, 4),
        (8, NotDelivered("x"), 256, 256),
        # A page never waits for more than five minutes, the rest never for more than an hour.
        (9, NotDelivered("x"), 300, 512),
        (11, NotDelivered("x"), 300, 2048),
        (12, NotDelivered("x"), 300, 3600),
        (5000, NotDelivered("x"), 300, 3600),
        # What only a person can mend may be a proxy that is just being replaced.
        (1, NotDelivered("x", permanent=True), 2, 2),
        (12, NotDelivered("x", permanent=True), 300, 3600),
        # The receiver may ask for more, not for less, and not for more than that.
        (1, NotDelivered("x", retry_after_s=30), 30, 30),
        (4, NotDelivered("x", retry_after_s=1), 16, 16),
        (1, NotDelivered("x", retry_after_s=1e9), 300, 3600),
    ],
)
def test_pause_after_a_failure(attempts: int, error: NotDelivered, page: int, other: int) -> None:
    assert STEADY.after(attempts, error, Severity.PAGE) == page * SECOND
    for severity in (Severity.WARNING, Severity.INFO):
        assert STEADY.after(attempts, error, severity) == other * SECOND


@given(st.integers(1, 100), st.floats(0, 1, exclude_max=True), st.sampled_from(Severity))
def test_jitter_moves_a_pause_by_a_quarter_at_most(
    attempts: int, jitter: float, severity: Severity
) -> None:
    steady = STEADY.after(attempts, NotDelivered("x"), severity)
    moved = Retry(jitter=lambda: jitter).after(attempts, NotDelivered("x"), severity)

    assert steady * 3 // 4 <= moved <= min(steady * 5 // 4, HOUR)


@pytest.mark.parametrize("status", [301, 401, 403, 404, 410])
def test_a_refusal_of_seconds_delays_a_page_by_seconds(desk: SqliteOutbox, status: int) -> None:
    """As of an ingress in the middle of a deploy, or of a clock that was off for a moment."""
    desk.ensure(["webhook"], NOW)
    desk.put(notice("a"))
    refused = NOW + 10 * SECOND
    with receiving(Answer(status), Answer(status), Answer(204)) as receiver:
        channel = Webhook(WebhookSettings(url=receiver.url, allow_private=True, secret=SECRET))
        for after in range(30):
            send_next(desk, channel, NOW + after * SECOND, STEADY)
    delivery = desk.delivery(notice("a").key, "webhook")

    assert len(receiver.requests) == 3
    assert delivery is not None
    assert delivery.sent_at is not None
    assert delivery.sent_at <= refused


def test_a_page_that_is_refused_for_hours_is_tried_every_five_minutes(desk: SqliteOutbox) -> None:
    desk.put(notice("a"))
    channel = Scripted(lambda _, __: NotDelivered("answered 404", permanent=True))
    minutes = range(4 * 60)
    tried = [
        minute for minute in minutes if send_next(desk, channel, NOW + minute * 60 * SECOND, STEADY)
    ]
    pauses = [later - earlier for earlier, later in itertools.pairwise(tried)]

    assert max(pauses) == 5
    assert len(tried) > len(minutes) // 5


def test_a_failed_notice_goes_again_under_the_same_key_after_its_pause(desk: SqliteOutbox) -> None:
    desk.put(notice("a"))
    channel = Scripted(lambda _, times: NotDelivered("answered 500") if times < 3 else None)
    for after in (0, 2 * SECOND - 1, 2 * SECOND, 6 * SECOND - 1, 6 * SECOND):
        send_next(desk, channel, NOW + after, STEADY)

    assert channel.tried == [notice("a").key] * 3
    assert channel.delivered == [notice("a").key]


def test_a_poisoned_notice_holds_up_no_other(desk: SqliteOutbox) -> None:
    poison = notice("poison", at=NOW - 100)
    desk.put(poison)
    for index in range(20):
        desk.put(notice(f"good {index}", at=NOW - 50 + index))
    channel = Scripted(
        lambda sent, _: NotDelivered("answered 400", permanent=True) if sent == poison else None
    )
    while send_next(desk, channel, NOW, STEADY):
        pass

    assert len(channel.delivered) == 20
    assert channel.tried.count(poison.key) == 1


def test_a_crash_of_a_channel_is_a_failure_of_it_and_the_next_notice_goes(
    desk: SqliteOutbox,
) -> None:
    counted = Counted()
    crashing = notice("crash", at=NOW - 2)
    desk.put(crashing)
    desk.put(notice("good", at=NOW - 1))
    channel = Scripted(lambda sent, _: ZeroDivisionError() if sent == crashing else None)
    refused = send_next(desk, channel, NOW, STEADY, counted)
    send_next(desk, channel, NOW, STEADY)
    [waiting] = desk.waiting()

    assert refused is Turn.REFUSED
    assert counted.seen == [("crashed", "scripted"), ("failed", "scripted", False)]
    assert channel.delivered == [notice("good").key]
    assert (waiting.notices, waiting.failing) == (1, 1)


def test_a_failure_is_counted_logged_and_says_whether_a_person_is_needed(
    desk: SqliteOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    desk.put(notice("a"))
    counted = Counted()
    channel = Scripted(
        lambda _, times: NotDelivered("answered 410", permanent=True) if times == 1 else None
    )
    send_next(desk, channel, NOW, STEADY, counted)
    send_next(desk, channel, NOW + HOUR, STEADY, counted)

    assert counted.seen == [("failed", "scripted", True), ("sent", "scripted")]
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (
            logging.ERROR,
            f"notice {notice('a').key} not delivered on scripted, attempt 1: answered 410",
        )
    ]


@given(st.lists(st.lists(st.sampled_from(["ok", "no", "never", "dies"]), max_size=4), max_size=5))
def test_whatever_fails_each_notice_arrives_and_stays_delivered(
    tmp_path_factory: pytest.TempPathFactory, scripts: list[list[str]]
) -> None:
    """*dies*: it arrives, and the process ends before the mark."""
    desk = SqliteOutbox(tmp_path_factory.mktemp("outbox") / "outbox.db")
    desk.ensure(["scripted"], NOW)
    by_key = {notice(str(index)).key: script for index, script in enumerate(scripts)}
    for index in range(len(scripts)):
        desk.put(notice(str(index)))
    arrived: list[str] = []

    def act(sent: Notice, times: int) -> BaseException | None:
        script = by_key[sent.key]
        step = script[times - 1] if times <= len(script) else "ok"
        if step in {"ok", "dies"}:
            arrived.append(sent.key)
        return {
            "no": NotDelivered("no"),
            "never": NotDelivered("never", permanent=True),
            "dies": KeyboardInterrupt(),
        }.get(step)

    channel, now = Scripted(act), NOW
    for _ in range(200):
        try:
            more = bool(send_next(desk, channel, now, STEADY))
        except KeyboardInterrupt:
            more = True
        now += 0 if more else HOUR
        if not more and not desk.waiting():
            break
    before = len(arrived)
    again = send_next(desk, channel, now + 10 * HOUR, STEADY)

    assert set(arrived) == set(by_key)
    assert (again, len(arrived)) == (Turn.NONE_DUE, before)


_SENDER = """
import sys
from pathlib import Path
from typing import Self
from alerts.channels.webhook import Webhook, WebhookSettings
from alerts.outbox import Retry, send_next
from tests.outbox_fake import SqliteOutbox

database, url, secret, now, lease = sys.argv[1:]
channel = Webhook(WebhookSettings(url=url, allow_private=True, secret=secret))
send_next(SqliteOutbox(Path(database)), channel, int(now), Retry(lease_us=int(lease)))
"""


def test_killed_between_sending_and_marking_it_goes_again_with_the_same_key(
    tmp_path: Path,
) -> None:
    desk = SqliteOutbox(tmp_path / "outbox.db")
    desk.ensure(["webhook"], NOW)
    desk.put(notice("a"))
    arrived = threading.Event()

    def hold(_: Request) -> Answer:
        arrived.set()
        receiver.stopping.wait(20)
        return Answer(200)

    with receiving(hold, Answer(204)) as receiver:
        arguments = [str(tmp_path / "outbox.db"), receiver.url, SECRET, str(NOW), str(LEASE)]
        sender = subprocess.Popen([sys.executable, "-c", _SENDER, *arguments], cwd=ROOT)
        assert arrived.wait(20)
        os.kill(sender.pid, signal.SIGKILL)
        sender.wait()

        channel = Webhook(WebhookSettings(url=receiver.url, allow_private=True, secret=SECRET))
        within = send_next(desk, channel, NOW + LEASE - 1, STEADY)
        after = send_next(desk, channel, NOW + LEASE, STEADY)
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        bodies = {request.body for request in receiver.requests}

    assert (within, after) == (Turn.NONE_DUE, Turn.SENT)
    assert ids == [notice("a").key] * 2
    assert len(bodies) == 1
    assert list(desk.waiting()) == []


def test_through_every_failure_of_a_receiver_each_notice_arrives_with_one_key(
    tmp_path: Path,
) -> None:
    desk = SqliteOutbox(tmp_path / "outbox.db")
    desk.ensure(["webhook"], NOW)
    for index in range(8):
        desk.put(notice(str(index)))

    def hang(_: Request) -> Answer:
        receiver.stopping.wait(1.0)
        return Answer(200)

    failures: list[Behaviour | Answer] = [
        Answer(500),
        Answer(429, (("retry-after", "40"),)),
        hang,
        CUT,
        Answer(410),
        Answer(302, (("location", "/elsewhere"),)),
        Answer(401),
        Answer(503, (("retry-after", "Thu, 01 Jan 2099 00:00:00 GMT"),)),
    ]
    with receiving(*failures, Answer(200)) as receiver:
        channel = Webhook(
            WebhookSettings(url=receiver.url, allow_private=True, secret=SECRET, timeout_s=0.3)
        )
        now = NOW
        while desk.waiting():
            if not send_next(desk, channel, now, STEADY):
                now += 60 * SECOND
            assert now < NOW + 3 * HOUR
        ids = [request.headers["webhook-id"] for request in receiver.requests]
        paths = {request.path for request in receiver.requests}

    assert len(ids) == 16
    assert {key: ids.count(key) for key in ids} == {notice(str(i)).key: 2 for i in range(8)}
    assert paths == {"/"}
