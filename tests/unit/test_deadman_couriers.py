"""What a channel of the dead-man's receiver is told after it has failed: in order, and true."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from alerts.channel import NotDelivered
from alerts.deadman.couriers import Courier, notice_of
from alerts.deadman.pulse import Said
from alerts.outbox import Retry
from monitor.facts import Instant
from monitor.notices import Kind, Notice
from tests.outbox_contract import NOW, SECOND

RETRY = Retry(jitter=lambda: 0.5)
AWAY, REFUSED = NotDelivered("no connection"), NotDelivered("answered 400", permanent=True)


@dataclass
class Pager:
    """Notes what it was told as ``silent 1``.

    *refuses* gives the failures, *meanwhile* is called once, while something is sent.
    """

    refuses: Callable[[str], NotDelivered | None] = lambda _: None
    meanwhile: Callable[[], None] = lambda: None
    name: str = "pager"
    told: list[str] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)

    def send(self, notice: Notice, now: Instant) -> str:
        del now
        word = word_of(notice)
        self.tried.append(word)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        error = self.refuses(word)
        if error is not None:
            raise error
        self.told.append(word)
        return "200"


def word_of(notice: Notice) -> str:
    """Return what the notice says, which is in its time: ``silent 1``, ``heard 1 of a``."""
    name = "last_beat_at" if notice.kind is Kind.WATCHDOG_SILENT else "silent_since"
    since = notice.body[name]
    assert isinstance(since, int)
    of = f" of {notice.body['watched']}" if "watched" in notice.body else ""
    what = "silent" if notice.kind is Kind.WATCHDOG_SILENT else "heard"
    return f"{what} {(since - NOW) // SECOND}{of}"


def give(courier: Courier, *words: str) -> None:
    for number, word in enumerate(words):
        what, since, *name = word.replace(" of ", " ").split()
        silent, at = what == "silent", int(since) * SECOND
        said = Said(name[0] if name else None, silent, at, heard=True, number=number)
        courier.give(notice_of(said, "run", 0, NOW))


def told(courier: Courier, pager: Pager, *, start: int = 0, seconds: int = 30) -> list[str]:
    """Let some seconds pass, and return what has been told by then."""
    for second in range(start, start + seconds):
        while courier.turn(second * SECOND, NOW):
            pass
    return pager.told


def failing(*words: str, error: NotDelivered = REFUSED) -> Callable[[str], NotDelivered | None]:
    return lambda word: error if word in words else None


def test_an_all_clear_is_not_told_without_its_page() -> None:
    """A newer page has taken the place of the one before, which nobody was told."""
    pager = Pager(refuses=lambda _: AWAY)
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    give(courier, "heard 1", "silent 2")
    pager.refuses = lambda _: None

    assert told(courier, pager) == ["silent 2"]


def test_a_page_that_was_never_told_and_is_over_is_told_with_its_all_clear() -> None:
    pager = Pager()
    courier = Courier(pager, RETRY)
    give(courier, "silent 1", "heard 1")

    assert told(courier, pager) == ["silent 1", "heard 1"]


def test_who_was_told_a_page_hears_its_all_clear_before_the_next_page() -> None:
    pager = Pager()
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    give(courier, "heard 1", "silent 2", "silent 2")

    assert told(courier, pager) == ["silent 1", "heard 1", "silent 2"]


def test_a_repeated_page_that_is_over_is_not_told_any_more() -> None:
    """The receiver has the page, so all that it lacks is the all-clear."""
    pager = Pager()
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    give(courier, "silent 1", "heard 1")

    assert told(courier, pager) == ["silent 1", "heard 1"]


def test_every_silence_is_told_though_the_last_all_clear_was_not() -> None:
    pager = Pager()
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    give(courier, "heard 1", "silent 2", "heard 2")

    assert told(courier, pager) == ["silent 1", "silent 2", "heard 2"]


def test_what_a_channel_refuses_holds_up_nothing_about_another_installation() -> None:
    pager = Pager(refuses=failing("silent 1 of a"))
    courier = Courier(pager, RETRY)
    give(courier, "silent 1 of a", "silent 2 of b", "heard 2 of b")

    assert told(courier, pager) == ["silent 2 of b", "heard 2 of b"]
    assert courier.owed == 1


def test_what_is_refused_is_tried_again_later_and_later_though_others_are_told() -> None:
    pager = Pager(refuses=failing("silent 1 of a"))
    courier = Courier(pager, RETRY)
    give(courier, "silent 1 of a")
    for second in range(60):
        give(courier, *(["silent 2 of b", "heard 2 of b"] if second % 2 else []))
        told(courier, pager, start=second, seconds=1)

    assert pager.tried.count("silent 1 of a") == 5  # after 2, 4, 8, 16 s
    assert pager.told.count("heard 2 of b") == 30


def test_a_refused_page_that_is_over_does_not_hold_up_what_ends_the_one_before() -> None:
    """Else the receiver would take it to be silent for ever."""
    pager = Pager(refuses=failing("silent 2"))
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    give(courier, "heard 1", "silent 2", "heard 2")

    assert told(courier, pager) == ["silent 1", "heard 2"]
    assert courier.owed == 0


def test_what_is_owed_longest_is_told_first() -> None:
    """A page that is repeated keeps its place."""
    pager = Pager(refuses=lambda _: AWAY)
    courier = Courier(pager, RETRY)
    give(courier, "silent 1 of a", "silent 2 of b")
    told(courier, pager, seconds=2)
    give(courier, "silent 1 of a")
    pager.refuses = lambda _: None

    assert told(courier, pager, start=10) == ["silent 1 of a", "silent 2 of b"]


def test_a_receiver_that_asks_for_a_pause_is_told_nothing_meanwhile() -> None:
    busy = NotDelivered("answered 429", retry_after_s=20.0)
    pager = Pager(refuses=failing("silent 1 of a", error=busy))
    courier = Courier(pager, RETRY)
    give(courier, "silent 1 of a", "silent 2 of b")

    assert told(courier, pager, seconds=20) == []
    assert told(courier, pager, start=20, seconds=1) == ["silent 2 of b"]


@pytest.mark.parametrize(
    ("meanwhile", "after"),
    [
        (["heard 1"], ["silent 1", "heard 1"]),
        (["heard 1", "silent 2"], ["silent 1", "silent 2"]),
        (["heard 1", "silent 2", "heard 2"], ["silent 1", "silent 2", "heard 2"]),
        (["silent 1"], ["silent 1", "silent 1"]),
        (["silent 1", "heard 1"], ["silent 1", "silent 1", "heard 1"]),
    ],
)
def test_what_comes_while_a_page_is_sent_leaves_the_receiver_with_what_is_so(
    meanwhile: Sequence[str], after: list[str]
) -> None:
    pager = Pager()
    courier = Courier(pager, RETRY)
    pager.meanwhile = lambda: give(courier, *meanwhile)
    give(courier, "silent 1")

    assert told(courier, pager) == after
    assert courier.owed == 0


def test_what_comes_while_an_all_clear_is_sent_leaves_the_receiver_with_what_is_so() -> None:
    pager = Pager()
    courier = Courier(pager, RETRY)
    give(courier, "silent 1")
    courier.turn(0, NOW)
    pager.meanwhile = lambda: give(courier, "silent 2", "heard 2", "silent 3")
    give(courier, "heard 1")

    assert told(courier, pager) == ["silent 1", "heard 1", "silent 3"]


class Story:
    """Silences of three installations, told on a channel that fails as it pleases."""

    def __init__(self, seed: int) -> None:
        self.rnd = random.Random(seed)
        self.pager = Pager(refuses=self.fails)
        self.courier = Courier(self.pager, RETRY)
        self.said: dict[str, list[str]] = defaultdict(list)
        self.most = 0

    def fails(self, _: str) -> NotDelivered | None:
        return self.rnd.choice([None, AWAY, AWAY, REFUSED])

    def happens(self) -> None:
        """Let one installation fall silent, be silent still, or be heard again."""
        name = self.rnd.choice("abc")
        before = self.said[name]
        silent = bool(before) and before[-1].startswith("silent")
        number = sum(one.startswith("heard") for one in before) + 1
        word = "heard" if silent and self.rnd.random() < 0.6 else "silent"
        before.append(f"{word} {number} of {name}")
        give(self.courier, before[-1])

    def goes_by(self) -> None:
        for second in range(0, 4_000, 10):
            if second < 2_000 and self.rnd.random() < 0.3:
                self.happens()
                self.pager.meanwhile = self.rnd.choice([lambda: None, self.happens])
            if second == 3_000:
                self.pager.refuses = lambda _: None
            told(self.courier, self.pager, start=second, seconds=1)
            self.most = max(self.most, self.courier.owed)

    def told_of(self, name: str) -> list[str]:
        return [one for one in self.pager.told if one.endswith(name)]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_the_receiver_ends_with_what_is_so_and_hears_it_in_order(seed: int) -> None:
    story = Story(seed)
    story.goes_by()

    assert story.courier.owed == 0
    assert story.most <= 6
    for name, said in story.said.items():
        heard = story.told_of(name)
        pages = [int(one.split()[1]) for one in heard if one.startswith("silent")]
        # An all-clear ends the newest page that was told, and is told once.
        before = dict(zip(heard[1:], heard, strict=False))
        clears = [one for one in heard if one.startswith("heard")]
        assert heard[-1] == said[-1]
        assert pages == sorted(pages)
        assert heard[0].startswith("silent")
        assert all(before[one].startswith("silent") for one in clears)
