from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pytest

from alerts.channel import Channel, NotDelivered
from alerts.outbox import Retry, send_next
from alerts.service import Beside, Sender, run_alerts
from monitor.facts import Instant
from monitor.notices import Claim, Notice, OpenDuty, Told
from tests.channel_fakes import Counted, Scripted, Showing
from tests.outbox_contract import LEASE, NOW, SECOND, Desk, duty, notice
from tests.outbox_fake import SqliteOutbox

STEADY = Retry(lease_us=LEASE, jitter=lambda: 0.5)


@pytest.fixture
def desk(tmp_path: Path) -> SqliteOutbox:
    outbox = SqliteOutbox(tmp_path / "outbox.db")
    outbox.ensure(["scripted"], NOW - 1000 * SECOND)
    return outbox


def sender(
    desk: Desk,
    channel: Channel,
    counted: Counted | None = None,
    uptime: Callable[[], Instant] = lambda: 0,
    beside: Beside | None = None,
) -> Sender:
    return Sender(desk, channel, STEADY, counted or Counted(), uptime, beside or Beside())


class Turns:
    """A sender that shows the state when it is told, by two clocks that agree until one is set."""

    def __init__(self, desk: Desk, channel: Channel, counted: Counted | None = None) -> None:
        self._up = 0
        self._sender = sender(desk, channel, counted, lambda: self._up)

    def show(self, now: Instant, up: Instant | None = None) -> None:
        self._up = now - NOW if up is None else up
        self._sender.show(now)


def test_open_duties_are_shown_every_minute_and_closed_ones_as_closed(desk: SqliteOutbox) -> None:
    desk.open_duty(duty("one"))
    desk.open_duty(duty("two"))
    channel = Showing()
    turns = Turns(desk, channel)
    turns.show(NOW)
    turns.show(NOW + 60 * SECOND - 1)
    desk.close_duty(duty("one"), NOW + 30 * SECOND)
    turns.show(NOW + 60 * SECOND)
    turns.show(NOW + 700 * SECOND)

    assert channel.shown == [
        (NOW, ["one", "two"], []),
        (NOW + 60 * SECOND, ["two"], ["one"]),
        (NOW + 700 * SECOND, ["two"], []),
    ]


@pytest.mark.parametrize("set_by", [-86_400, -30, 30, 86_400])
def test_a_clock_that_is_set_neither_delays_nor_repeats_what_is_shown(
    desk: SqliteOutbox, set_by: int
) -> None:
    """An alert that is not posted again in time resolves, and the duty is still open."""
    desk.open_duty(duty("one"))
    channel = Showing()
    turns = Turns(desk, channel)
    turns.show(NOW)
    for second in range(10, 181, 10):
        turns.show(NOW + (set_by + second) * SECOND, second * SECOND)

    shown = [NOW + (set_by + second) * SECOND for second in (60, 120, 180)]
    assert [at for at, _, _ in channel.shown] == [NOW, *shown]


def test_after_a_failure_the_state_is_shown_again_sooner(desk: SqliteOutbox) -> None:
    channel, counted = Showing(NotDelivered("no connection")), Counted()
    turns = Turns(desk, channel, counted)
    for second in (0, 14, 15, 74, 75):
        turns.show(NOW + second * SECOND)

    assert [at for at, _, _ in channel.shown] == [NOW, NOW + 15 * SECOND, NOW + 75 * SECOND]
    assert counted.seen == [
        ("shown", "scripted", False),
        ("shown", "scripted", True),
        ("shown", "scripted", True),
    ]


def test_what_was_told_is_told_again_until_its_life_is_over_also_by_who_has_just_started(
    desk: SqliteOutbox, tmp_path: Path
) -> None:
    """The receiver may have lost what it had confirmed."""
    desk.put(notice("a"))
    send_next(desk, Scripted(), NOW, STEADY)
    channel = Showing()
    turns = Turns(desk, channel)
    turns.show(NOW)
    turns.show(NOW + 60 * SECOND)
    again = Turns(SqliteOutbox(tmp_path / "outbox.db"), channel)
    again.show(NOW + 3599 * SECOND)
    again.show(NOW + 3660 * SECOND)

    told = [Told(notice("a"), NOW)]
    assert channel.told == [
        (NOW, told),
        (NOW + 60 * SECOND, told),
        (NOW + 3599 * SECOND, told),
        (NOW + 3660 * SECOND, []),
    ]


def test_a_page_that_goes_on_is_told_once_as_that_and_also_after_its_life(
    desk: SqliteOutbox,
) -> None:
    desk.put(notice("a"))
    desk.put(notice("b"))
    for _ in range(2):
        send_next(desk, Scripted(), NOW, STEADY)
    lasting, ended = Told(notice("a"), NOW, lasting=True), Told(notice("b"), NOW)
    channel = Showing()
    beside = Beside(open_on=lambda name, _: [lasting] if name == channel.name else [])
    for at in (NOW, NOW + 3600 * SECOND):
        sender(desk, channel, beside=beside).show(at)

    assert channel.told == [(NOW, [lasting, ended]), (NOW + 3600 * SECOND, [lasting])]


def test_what_a_clock_that_was_far_ahead_has_marked_is_not_told_for_as_long(
    desk: SqliteOutbox,
) -> None:
    desk.put(notice("a"))
    send_next(desk, Scripted(), NOW + 365 * 86_400 * SECOND, STEADY)
    channel = Showing()
    Turns(desk, channel).show(NOW)

    assert channel.told == [(NOW, [])]


def test_a_channel_that_shows_no_state_is_asked_for_none(desk: SqliteOutbox) -> None:
    assert sender(desk, Scripted()).show(NOW) is False


def wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline, "not reached in 20 s"
        time.sleep(0.01)


class Running:
    """``run_alerts`` in a thread, over a clock that stands still unless it is moved."""

    def __init__(
        self, desk: Desk, channels: Sequence[Channel], counted: Counted, interval: float = 0.01
    ) -> None:
        self.now = NOW
        self._stop = threading.Event()
        arguments = (desk, channels, lambda: self.now, self._stop, interval)
        self._thread = threading.Thread(
            target=run_alerts, args=arguments, kwargs={"metrics": counted, "retry": STEADY}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_the_process_sends_shows_and_ends_when_told(tmp_path: Path) -> None:
    desk = SqliteOutbox(tmp_path / "outbox.db")
    desk.open_duty(duty("one"))
    desk.put(notice("a", at=NOW - 5 * SECOND))
    channel, counted = Showing(), Counted()
    with Running(desk, [channel], counted):
        wait_for(lambda: bool(channel.delivered))
        desk.put(notice("b"))
        wait_for(lambda: len(channel.delivered) == 2)

    assert channel.shown == [(NOW, ["one"], [])]


class Hanging(Scripted):
    name = "hanging"

    def __init__(self, release: threading.Event) -> None:
        super().__init__()
        self._release = release

    def send(self, notice: Notice, now: Instant) -> str:
        self.tried.append(notice.key)
        self._release.wait(20)
        return super().send(notice, now)


def test_a_receiver_that_hangs_delays_no_other(tmp_path: Path) -> None:
    desk = SqliteOutbox(tmp_path / "outbox.db")
    for index in range(5):
        desk.put(notice(str(index)))
    release = threading.Event()
    hanging, quick = Hanging(release), Scripted()
    with Running(desk, [hanging, quick], Counted()):
        wait_for(lambda: len(quick.delivered) == 5 and len(hanging.tried) == 1)
        while_hanging = list(hanging.delivered)
        release.set()

    assert while_hanging == []


def test_what_waits_is_measured_for_every_channel(tmp_path: Path) -> None:
    desk = SqliteOutbox(tmp_path / "outbox.db")
    desk.ensure(["hanging", "scripted"], NOW - 10 * SECOND)
    desk.put(notice("a", at=NOW - 5 * SECOND))
    send_next(desk, Scripted(), NOW, STEADY)
    release, counted = threading.Event(), Counted()
    with Running(desk, [Hanging(release), Scripted()], counted):
        wait_for(lambda: sum(seen[0] == "waiting" for seen in counted.seen) == 2)
        release.set()

    assert [seen for seen in counted.seen if seen[0] == "waiting"] == [
        ("waiting", "hanging", 1, 0, 5.0),
        ("waiting", "scripted", 0, 0, 0.0),
    ]


class Failing(SqliteOutbox):
    """Its store is away for the first calls."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.away = 3

    def claim(self, channel: str, now: Instant, lease_us: int) -> Claim | None:
        if self.away > 0:
            self.away -= 1
            raise OSError("the store is away")
        return super().claim(channel, now, lease_us)


def test_a_store_that_is_away_is_logged_counted_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Failing(tmp_path / "outbox.db")
    desk.put(notice("a"))
    channel, counted = Scripted(), Counted()
    with Running(desk, [channel], counted):
        wait_for(lambda: bool(channel.delivered))

    assert counted.seen.count(("crashed", "scripted")) == 3
    assert "channel scripted: error, goes on" in caplog.text


class Blind(SqliteOutbox):
    """Cannot tell the open duties."""

    def open_duties(self) -> Sequence[OpenDuty]:
        raise OSError("no such table")


def test_notices_go_even_where_the_state_cannot_be_read(tmp_path: Path) -> None:
    desk = Blind(tmp_path / "outbox.db")
    for index in range(3):
        desk.put(notice(str(index)))
    channel = Showing()
    with Running(desk, [channel], Counted()):
        wait_for(lambda: len(channel.delivered) == 3)

    assert channel.shown == []


def test_two_senders_whose_clocks_differ_do_not_flood_a_receiver_that_refuses(
    desk: SqliteOutbox, tmp_path: Path
) -> None:
    """Each takes the pause that the other has set for the mark of a wrong clock."""
    for index in range(20):
        desk.put(notice(str(index)))
    refusing = Scripted(lambda _notice, _times: NotDelivered("500"))
    began = time.monotonic()
    with Running(desk, [refusing], Counted(), 1.0) as ahead:
        ahead.now = NOW + 86_400 * SECOND
        with Running(SqliteOutbox(tmp_path / "outbox.db"), [refusing], Counted(), 1.0):
            wait_for(lambda: len(refusing.tried) >= 20)
            time.sleep(1)
    lasted = time.monotonic() - began

    assert len(refusing.tried) <= 2 * (lasted / 0.1 + 2)


def test_two_channels_of_one_name_are_refused(desk: SqliteOutbox) -> None:
    with pytest.raises(ValueError, match="same name"):
        run_alerts(desk, [Scripted(), Scripted()], lambda: NOW, threading.Event(), 1)


def test_an_error_of_ours_in_showing_the_duties_counts_as_not_shown(desk: SqliteOutbox) -> None:
    """Or nobody is told that they are not shown: the alert reads this count."""
    counted = Counted()
    turns = Turns(desk, Showing(RuntimeError("not the receiver's")), counted)
    with pytest.raises(RuntimeError):
        turns.show(NOW)

    assert counted.seen == [("shown", "scripted", False)]
