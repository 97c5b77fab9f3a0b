"""What every outbox keeps to. Derive a test class from ``OutboxContract`` and give it a desk.

class TestSqlOutbox(OutboxContract):
    @pytest.fixture
    def desk(self, ...) -> Desk: ...
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

import pytest

from monitor.facts import Instant
from monitor.notices import (
    LONGEST_PAUSE,
    NEWS_OF_PAGES,
    Claim,
    Delivery,
    Kind,
    Notice,
    OpenDuty,
    Outbox,
    Severity,
    Skip,
    Told,
    Waiting,
    key_of,
)

NOW: Instant = 1_790_000_000_000_000
SECOND = 1_000_000
LEASE = 60 * SECOND
DAY = 24 * 3600 * SECOND
ELSEWHERE = Skip("not_routed", instead=frozenset({"webhook"}))


class Desk(Outbox, Protocol):
    """An outbox, and the hand that writes into it; each call is a transaction."""

    def put(self, notice: Notice) -> None:
        """Write *notice* as the monitor does; one with a known key changes nothing."""

    def acknowledge(self, key: str, now: Instant) -> None:
        """Note that somebody has the page with this *key*."""

    def open_duty(self, duty: OpenDuty) -> None: ...

    def close_duty(self, duty: OpenDuty, closed_at: Instant) -> None: ...

    def delivery(self, key: str, channel: str) -> Delivery | None: ...


def notice(
    name: str,
    *,
    at: Instant = NOW,
    duty: str | None = None,
    kind: Kind = Kind.GAP,
    channel: str | None = None,
    severity: Severity = Severity.PAGE,
) -> Notice:
    """A notice with the facts of a real one."""
    return Notice(
        key=key_of(kind, name),
        kind=kind,
        severity=severity,
        processor="acme 第一",
        rule="frt.file",
        duty=duty,
        created_at=at,
        body={"individuals": 100_000, "due_day": "2026-04-14", "late": False, "topic": None},
        channel=channel,
    )


def duty(name: str, *, at: Instant = NOW) -> OpenDuty:
    return OpenDuty(
        processor="acme", rule="frt.file", duty=name, opened_at=at, body={"individuals": 100_000}
    )


class OutboxContract:
    """The promises of ``monitor.notices.Outbox``."""

    @pytest.fixture
    def desk(self) -> Desk:
        raise NotImplementedError

    def test_a_notice_comes_back_as_it_was_put(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a", duty="2026-03-02"))

        assert desk.claim("log", NOW, LEASE) == Claim(notice("a", duty="2026-03-02"), "log", 1)

    def test_a_notice_put_before_any_channel_was_known_is_owed(self, desk: Desk) -> None:
        desk.put(notice("a", at=NOW - 400 * 24 * 3600 * SECOND))
        desk.ensure(["log"], NOW)

        assert desk.claim("log", NOW, LEASE) is not None

    def test_each_known_channel_is_owed_each_notice(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a"))

        assert claimed(desk, "log") == [key_of(Kind.GAP, "a")]
        assert claimed(desk, "webhook") == [key_of(Kind.GAP, "a")]
        assert claimed(desk, "stranger") == []

    def test_a_notice_put_twice_is_owed_once(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.put(notice("a"))

        assert claimed(desk, "log") == [key_of(Kind.GAP, "a")]

    def test_what_waits_longest_is_claimed_first(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW - 10)
        desk.put(notice("late", at=NOW - 1))
        desk.put(notice("early", at=NOW - 2))

        assert claimed(desk, "log") == [key_of(Kind.GAP, "early"), key_of(Kind.GAP, "late")]

    def test_a_page_is_claimed_before_whatever_wakes_nobody(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW - 10)
        desk.put(notice("read later", at=NOW - 9, severity=Severity.INFO))
        desk.put(notice("warned", at=NOW - 8, severity=Severity.WARNING))
        desk.put(notice("paged", at=NOW - 1))
        names = ("paged", "warned", "read later")

        assert claimed(desk, "log") == [key_of(Kind.GAP, name) for name in names]

    def test_a_notice_written_by_a_clock_that_is_ahead_is_due_at_once(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("ahead", at=NOW + DAY))
        desk.put(notice("right", at=NOW - 1))

        assert claimed(desk, "log") == [key_of(Kind.GAP, "right"), key_of(Kind.GAP, "ahead")]

    def test_a_notice_of_a_clock_ahead_is_due_at_once_on_a_channel_that_came_later(
        self, desk: Desk
    ) -> None:
        desk.put(notice("ahead", at=NOW + DAY))
        desk.ensure(["log"], NOW)

        assert claimed(desk, "log") == [key_of(Kind.GAP, "ahead")]

    def test_what_a_sender_whose_clock_was_ahead_has_put_off_is_due_now(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("failed"))
        desk.failed(claim_of(desk, NOW + 365 * DAY), NOW + 365 * DAY + LONGEST_PAUSE, "no answer")
        desk.put(notice("claimed"))
        claim_of(desk, NOW + 365 * DAY)

        assert claimed(desk, "log") == [key_of(Kind.GAP, "claimed"), key_of(Kind.GAP, "failed")]

    @pytest.mark.parametrize("minutes", [5, 50, 365 * 24 * 60])
    def test_a_claim_of_a_sender_whose_clock_was_ahead_holds_no_page(
        self, desk: Desk, minutes: int
    ) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        claim_of(desk, NOW + minutes * 60 * SECOND)

        assert claimed(desk, "log") == [key_of(Kind.GAP, "a")]

    def test_a_pause_of_a_sender_whose_clock_was_ahead_by_minutes_is_over(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        ahead = NOW + 50 * 60 * SECOND
        desk.failed(claim_of(desk, ahead), ahead + 300 * SECOND, "answered 500")

        assert claimed(desk, "log") == [key_of(Kind.GAP, "a")]

    def test_of_two_senders_whose_clocks_differ_a_little_each_keeps_to_the_others_lease(
        self, desk: Desk
    ) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        claim_of(desk, NOW + LEASE)

        assert claimed(desk, "log", NOW) == []
        assert claimed(desk, "log", NOW + 2 * LEASE) == [key_of(Kind.GAP, "a")]

    def test_the_longest_pause_is_waited_for(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.failed(claim_of(desk), NOW + LONGEST_PAUSE + LEASE, "answered 429")

        assert desk.claim("log", NOW, LEASE) is None
        assert desk.claim("log", NOW + LONGEST_PAUSE + LEASE - 1, LEASE) is None
        assert desk.claim("log", NOW + LONGEST_PAUSE + LEASE, LEASE) is not None

    def test_a_claim_holds_until_its_lease_ends(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        first = desk.claim("log", NOW, LEASE)
        within = desk.claim("log", NOW + LEASE - 1, LEASE)
        again = desk.claim("log", NOW + LEASE, LEASE)

        assert within is None
        assert (first, again) == (Claim(notice("a"), "log", 1), Claim(notice("a"), "log", 2))

    def test_of_many_callers_one_gets_the_claim(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        with ThreadPoolExecutor(4) as callers:
            claims = list(callers.map(lambda _: desk.claim("log", NOW, LEASE), range(8)))

        assert sum(claim is not None for claim in claims) == 1

    def test_what_is_sent_is_never_claimed_again(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.sent(claim_of(desk), NOW + 5, "200")

        assert desk.claim("log", NOW + 10 * LEASE, LEASE) is None
        assert desk.delivery(notice("a").key, "log") == Delivery(
            key=notice("a").key, channel="log", attempts=1, not_before=NOW + LEASE, sent_at=NOW + 5
        )

    def test_what_failed_is_due_again_when_told(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.failed(claim_of(desk), NOW + SECOND, "answered 500")
        before = desk.claim("log", NOW + SECOND - 1, LEASE)

        assert before is None
        assert desk.claim("log", NOW + SECOND, LEASE) == Claim(notice("a"), "log", 2)

    def test_a_failed_notice_does_not_hold_up_the_others(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW - 10)
        desk.put(notice("poison", at=NOW - 2))
        desk.put(notice("good", at=NOW - 1))
        desk.failed(claim_of(desk), NOW + SECOND, "answered 400")

        assert claimed(desk, "log") == [key_of(Kind.GAP, "good")]

    def test_a_failure_after_the_lease_was_lost_changes_nothing(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        lost = claim_of(desk)
        desk.claim("log", NOW + LEASE, LEASE)
        desk.failed(lost, NOW + LEASE + 1, "no answer in time")

        assert desk.claim("log", NOW + LEASE + 1, LEASE) is None

    def test_a_delivery_after_the_lease_was_lost_counts(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        lost = claim_of(desk)
        second = claim_of(desk, NOW + LEASE)
        desk.sent(lost, NOW + LEASE + 1, "200")
        desk.failed(second, NOW + LEASE + 2, "no answer in time")
        desk.sent(second, NOW + LEASE + 3, "200")
        kept = desk.delivery(notice("a").key, "log")

        assert kept is not None
        assert kept.sent_at == NOW + LEASE + 1
        assert desk.claim("log", NOW + 10 * LEASE, LEASE) is None

    def test_a_later_channel_is_not_told_old_news(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("old", severity=Severity.WARNING))
        desk.sent(claim_of(desk), NOW, "logged")
        desk.ensure(["log", "webhook"], NOW + SECOND)
        desk.put(notice("new", at=NOW + SECOND))

        assert claimed(desk, "webhook", NOW + SECOND) == [key_of(Kind.GAP, "new")]

    def test_a_later_channel_is_told_pages_of_late_that_nobody_has(self, desk: Desk) -> None:
        """As the pager whose channel is added after something has begun; the log has told it."""
        desk.ensure(["log"], NOW)
        desk.put(notice("old", at=NOW))
        desk.put(notice("open", at=NOW + 1))
        desk.put(notice("heard", at=NOW + 2))
        for _ in range(3):
            desk.sent(claim_of(desk, NOW + 2), NOW + 2, "logged")
        desk.acknowledge(notice("heard").key, NOW + 3)
        later = NOW + 1 + NEWS_OF_PAGES
        desk.ensure(["log", "webhook"], later)

        assert claimed(desk, "webhook", later) == [notice("open").key]

    def test_a_channel_that_has_long_been_known_is_told_no_page_of_before(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("old"))
        desk.sent(claim_of(desk), NOW, "logged")
        later = NOW + NEWS_OF_PAGES + SECOND
        for now in (later, later + SECOND, later + 2 * NEWS_OF_PAGES):
            desk.ensure(["log", "webhook"], now)

        assert claimed(desk, "webhook", later + 2 * NEWS_OF_PAGES) == []

    def test_a_later_channel_is_told_what_one_that_has_left_still_owes(self, desk: Desk) -> None:
        """However old, and though the log has told it."""
        desk.ensure(["log", "phone"], NOW)
        for name in ("owed", "told", "heard"):
            desk.put(notice(name))
            desk.sent(claim_of(desk), NOW, "logged")
        desk.put(notice("owed too", severity=Severity.WARNING))
        desk.sent(claim_of(desk), NOW, "logged")
        desk.sent(claim_on(desk, "phone", notice("told").key), NOW + 1, "200")
        desk.acknowledge(notice("heard").key, NOW + 2)
        desk.ensure(["log"], NOW + DAY)
        later = NOW + 10 * NEWS_OF_PAGES
        desk.ensure(["log", "webhook"], later)

        assert claimed(desk, "webhook", later) == [notice("owed").key]

    def test_a_channel_that_comes_back_is_told_what_a_new_one_is(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.ensure(["log"], NOW + 1)
        names = ("warning", "page", "heard", "late")
        for at, name in enumerate(names[:3], start=2):
            severity = Severity.WARNING if name == "warning" else Severity.PAGE
            desk.put(notice(name, at=NOW + at, severity=severity))
        desk.put(notice("late", at=NOW + 10 * DAY))
        for _ in names:
            desk.sent(claim_of(desk, NOW + 10 * DAY), NOW + 10 * DAY, "logged")
        desk.acknowledge(notice("heard").key, NOW + 10 * DAY)
        later = NOW + 11 * DAY
        desk.ensure(["log", "webhook"], later)
        desk.put(notice("new", at=later, severity=Severity.WARNING))

        assert claimed(desk, "webhook", later) == [notice("late").key, notice("new").key]

    def test_a_channel_that_comes_back_is_told_what_it_still_owed(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("open"))
        desk.put(notice("warning", severity=Severity.WARNING))
        for _ in range(2):
            desk.sent(claim_of(desk), NOW, "logged")
        desk.ensure(["log"], NOW + 1)
        later = NOW + 100 * DAY
        desk.ensure(["log", "webhook"], later)

        assert claimed(desk, "webhook", later) == [notice("open").key, notice("warning").key]

    def test_a_channel_that_comes_back_is_not_told_what_is_over(self, desk: Desk) -> None:
        """Of what it owed from before and of what came meanwhile, to the log."""
        desk.ensure(["log", "webhook"], NOW)
        opened = [about(duty(name)) for name in ("1", "2")]
        desk.open_duty(duty("1"))
        desk.open_duty(duty("2"))
        desk.put(opened[0])
        desk.put(notice("heard"))
        desk.ensure(["log"], NOW + 1)
        desk.put(opened[1])
        while (claim := desk.claim("log", NOW + 2, LEASE)) is not None:
            desk.sent(claim, NOW + 2, "logged")
        desk.acknowledge(notice("heard").key, NOW + 2)
        for name in ("1", "2"):
            desk.close_duty(duty(name), NOW + 3)
        desk.ensure(["log", "webhook"], NOW + 4)
        desk.ensure(["log", "webhook"], NOW + 5)

        assert claimed(desk, "webhook", NOW + 5) == []
        assert list(desk.waiting()) == []

    def test_ensure_again_sends_nothing_again(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.sent(claim_of(desk), NOW, "logged")
        desk.ensure(["log"], NOW + SECOND)

        assert claimed(desk, "log", NOW + 10 * LEASE) == []

    def test_a_channel_left_out_is_owed_nothing_and_not_shown(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a"))
        desk.ensure(["log"], NOW + SECOND)
        desk.put(notice("b", at=NOW + SECOND))

        assert claimed(desk, "webhook", NOW + SECOND) == []
        assert [found.channel for found in desk.waiting()] == ["log"]

    def test_waiting_counts_what_is_not_delivered(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW - 10)
        for name, at in (("a", NOW - 3), ("b", NOW - 2), ("c", NOW - 1)):
            desk.put(notice(name, at=at))
        desk.sent(claim_of(desk), NOW, "logged")
        desk.failed(claim_of(desk), NOW + SECOND, "answered 500")

        assert sorted(desk.waiting()) == [
            Waiting("log", notices=2, failing=1, oldest=NOW - 2),
            Waiting("webhook", notices=3, failing=0, oldest=NOW - 3),
        ]

    def test_what_a_channel_was_told_can_be_told_again_with_when_it_was(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        for name in ("a", "b", "c"):
            desk.put(notice(name))
        first, second, _ = (claim_of(desk) for _ in range(3))
        desk.sent(first, NOW + SECOND, "200")
        desk.sent(second, NOW + 2 * SECOND, "200")

        told = [Told(first.notice, NOW + SECOND), Told(second.notice, NOW + 2 * SECOND)]
        assert list(desk.told_since("log", NOW, NOW + 2 * SECOND)) == told
        assert list(desk.told_since("log", NOW + SECOND, NOW + 2 * SECOND)) == told[1:]
        assert list(desk.told_since("log", NOW, NOW + SECOND)) == told[:1]
        assert list(desk.told_since("webhook", NOW, NOW + 2 * SECOND)) == []

    def test_what_is_skipped_is_neither_delivered_nor_owed_again(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a"))
        desk.skipped(claim_of(desk), NOW + 1, Skip("not_routed"))
        desk.ensure(["log", "webhook"], NOW + SECOND)
        kept = desk.delivery(notice("a").key, "log")

        assert kept is not None
        assert kept.sent_at is None
        assert claimed(desk, "log", NOW + 10 * LEASE) == []
        assert list(desk.told_since("log", NOW - 1, NOW + DAY)) == []
        assert [found.channel for found in desk.waiting()] == ["webhook"]

    def test_what_others_are_to_tell_is_not_skipped_while_nobody_does(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a", channel="log"))
        claim = claim_of(desk)

        assert not desk.skipped(claim, NOW, ELSEWHERE)
        assert claimed(desk, "log", NOW + LEASE) == [notice("a").key]

    def test_who_was_passed_over_is_owed_it_when_the_next_is_passed_over_too(
        self, desk: Desk
    ) -> None:
        """As when two alerts processes have other routes."""
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a"))
        first = desk.skipped(claim_of(desk), NOW, ELSEWHERE)
        there = desk.claim("webhook", NOW, LEASE)
        assert there is not None
        second = desk.skipped(there, NOW, Skip("not_routed", instead=frozenset({"log"})))

        assert (first, second) == (True, True)
        assert claimed(desk, "log") == [notice("a").key]
        assert claimed(desk, "webhook", NOW + 10 * LEASE) == []

    def test_who_was_passed_over_is_owed_it_when_the_next_is_too_though_a_third_tells_it(
        self, desk: Desk
    ) -> None:
        """That may be a log."""
        desk.ensure(["log", "phone", "webhook"], NOW)
        desk.put(notice("a"))
        desk.sent(claim_of(desk), NOW, "logged")
        for name, other in (("phone", "webhook"), ("webhook", "phone")):
            claim = desk.claim(name, NOW, LEASE)
            assert claim is not None
            desk.skipped(claim, NOW, Skip("not_routed", instead=frozenset({"log", other})))

        assert claimed(desk, "phone") == [notice("a").key]
        assert claimed(desk, "webhook", NOW + 10 * LEASE) == []

    def test_what_two_pass_to_each_other_again_and_again_one_of_them_tells(
        self, desk: Desk
    ) -> None:
        desk.ensure(["log", "phone", "webhook"], NOW)
        desk.put(notice("a"))
        desk.sent(claim_of(desk), NOW, "logged")
        passed = []
        for name, other in (("phone", "webhook"), ("webhook", "phone")) * 4:
            claim = desk.claim(name, NOW, LEASE)
            assert claim is not None
            elsewhere = Skip("not_routed", instead=frozenset({"log", other}))
            passed.append(desk.skipped(claim, NOW, elsewhere))
            if not passed[-1]:
                break

        assert passed == [True] * 6 + [False]
        assert claimed(desk, "webhook") == [notice("a").key]
        assert claimed(desk, "phone", NOW + LEASE) == [notice("a").key]

    def test_who_was_passed_over_for_a_channel_that_failed_is_owed_it_when_routes_change(
        self, desk: Desk
    ) -> None:
        """Though a third has it: that may be a log."""
        desk.ensure(["log", "phone", "webhook"], NOW)
        desk.put(notice("a"))
        desk.sent(claim_of(desk), NOW, "logged")
        for channel in ("phone", "webhook"):
            one = desk.claim(channel, NOW, LEASE)
            assert one is not None
            if channel == "phone":
                desk.skipped(one, NOW, ELSEWHERE)
            else:
                desk.failed(one, NOW + 1, "no answer in time")
        again = desk.claim("webhook", NOW + 1, LEASE)
        assert again is not None
        desk.skipped(again, NOW + 1, Skip("not_routed", instead=frozenset({"phone"})))

        assert claimed(desk, "phone", NOW + 1) == [notice("a").key]
        assert claimed(desk, "webhook", NOW + 10 * LEASE) == []

    def test_a_channel_that_was_skipped_counts_as_nobody_who_was_told(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        desk.skipped(claim_of(desk), NOW, Skip("not_routed"))
        desk.ensure(["log", "later"], NOW + DAY)

        assert claimed(desk, "later", NOW + DAY) == [notice("a").key]

    def test_a_delivery_after_it_was_skipped_counts(self, desk: Desk) -> None:
        """Its sender had lost the lease, and the receiver has it all the same."""
        desk.ensure(["log"], NOW)
        desk.put(notice("a"))
        lost = claim_of(desk)
        desk.skipped(claim_of(desk, NOW + LEASE), NOW + LEASE, Skip("not_routed"))
        desk.sent(lost, NOW + LEASE + 1, "200")
        told = desk.told_since("log", NOW, NOW + DAY)

        assert [one.sent_at for one in told] == [NOW + LEASE + 1]

    def test_a_notice_for_one_channel_is_owed_to_that_alone(self, desk: Desk) -> None:
        desk.ensure(["log", "webhook"], NOW)
        desk.put(notice("a", channel="webhook"))
        desk.ensure(["log", "webhook"], NOW + SECOND)

        assert claimed(desk, "log") == []
        assert desk.claim("webhook", NOW, LEASE) == Claim(
            notice("a", channel="webhook"), "webhook", 1
        )

    def test_a_notice_for_a_channel_that_is_not_known_yet_waits_for_it(self, desk: Desk) -> None:
        desk.ensure(["log"], NOW)
        desk.put(notice("a", channel="webhook"))
        desk.ensure(["log", "webhook"], NOW + SECOND)

        assert claimed(desk, "log", NOW + SECOND) == []
        assert claimed(desk, "webhook", NOW + SECOND) == [notice("a").key]

    def test_a_duty_is_open_until_it_is_closed(self, desk: Desk) -> None:
        desk.open_duty(duty("one"))
        desk.open_duty(duty("two"))
        desk.close_duty(duty("one"), NOW + SECOND)
        closed = desk.closed_duties_since(NOW + SECOND)

        assert list(desk.open_duties()) == [duty("two")]
        assert [(found.duty, found.opened_at, found.closed_at) for found in closed] == [
            ("one", NOW, NOW + SECOND)
        ]
        assert list(desk.closed_duties_since(NOW + SECOND + 1)) == []

    @pytest.mark.parametrize("kind", [Kind.DUTY_REOPENED, Kind.FILING_STEP])
    def test_a_duty_names_the_newest_page_that_told_that_it_is_owed_again(
        self, desk: Desk, kind: Kind
    ) -> None:
        desk.open_duty(duty("one"))
        desk.open_duty(duty("two"))
        for name in ("first", "second"):
            desk.put(replace(notice(name, duty="one", kind=kind), processor="acme"))
        submitted = notice("info", duty="two", kind=Kind.FILING_STEP, severity=Severity.INFO)
        desk.put(replace(submitted, processor="acme"))
        shown = {one.duty: (*one.former, one.again) for one in desk.open_duties()}
        desk.close_duty(duty("one"), NOW + SECOND)
        (closed,) = desk.closed_duties_since(NOW + SECOND)

        keys = (key_of(kind, "first"), key_of(kind, "second"))
        assert shown == {"one": (None, *keys), "two": (None,)}
        assert closed.again == key_of(kind, "second")


def claim_of(desk: Desk, now: Instant = NOW) -> Claim:
    claim = desk.claim("log", now, LEASE)
    assert claim is not None
    return claim


def claim_on(desk: Desk, channel: str, key: str, now: Instant = NOW) -> Claim:
    """The claim of *key* on *channel*; what is due there before is put back."""
    others = []
    while (claim := desk.claim(channel, now, LEASE)) is not None:
        if claim.notice.key == key:
            break
        others.append(claim)
    for one in others:
        desk.failed(one, now, "put back")
    assert claim is not None
    return claim


def about(duty: OpenDuty) -> Notice:
    """The page that opens *duty*."""
    opened = notice(duty.duty, duty=duty.duty, kind=Kind.DUTY_OPENED)
    return replace(opened, processor=duty.processor, rule=duty.rule)


def claimed(desk: Desk, channel: str, now: Instant = NOW) -> list[str]:
    """Keys of all that can be claimed now, in order."""
    keys: list[str] = []
    while (claim := desk.claim(channel, now, LEASE)) is not None:
        keys.append(claim.notice.key)
    return keys
