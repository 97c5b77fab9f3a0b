"""A thousand crossings, and the process that pages is killed fifty times while it does.

From the record in Kafka to two receivers behind routes, of which one refuses, cuts and hangs. Every
other kill is in the middle of a page: the receiver has it, and nobody has written that down. Such a
page comes again, and who drops repeats by the idempotency key has each exactly once.
"""

from __future__ import annotations

import base64
import json
import os
import random
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from kafka import KafkaProducer

from tests.acceptance.command import Facetally, Forker
from tests.acceptance.running import Process, processes, until
from tests.benchmarks.latency import LOWEST_THRESHOLD
from tests.benchmarks.paging import enrolment
from tests.benchmarks.product import settings
from tests.figures import FULL, report
from tests.receiver import CUT, Answer, Receiver, Request, receiving
from tests.services.kafka import Kafka

CROSSINGS: Final = 1_000
KILLS: Final = 50
SEED: Final = int(os.environ.get("FACETALLY_KILLS_SEED") or random.SystemRandom().randrange(10**6))
PEOPLE: Final = """\
[[channels]]
kind = "webhook"
name = "{name}"
url = "{url}"
allow_private = true
secret = "whsec_{secret}"
"""
ROUTES: Final = """\
[[people]]
name = "ann"
channels = ["phone"]

[[escalations]]
name = "duties"
steps = [{ after = "0m", people = ["ann"] }, { after = "1d", channels = ["board"] }]

[[routes]]
rules = ["frt.file"]
channels = ["tickets"]
escalation = "duties"

[[routes]]
channels = ["tickets"]
"""


@dataclass
class Phone:
    """A receiver that drops repeats by key, and says when it holds a page that it has heard."""

    hold: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    pages: dict[str, str] = field(default_factory=dict)  # the processor, by idempotency key
    repeats: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, request: Request) -> bool:
        """Take the page; return whether it is the first of its key."""
        key, said = request.headers["webhook-id"], json.loads(request.body)
        with self._lock:
            first = key not in self.pages
            self.repeats += not first
            if said["type"] == "facetally.duty_opened":
                self.pages.setdefault(key, said["data"]["processor"])
        return first

    def __call__(self, request: Request) -> Answer:
        if self.hear(request) and self.hold.is_set():  # one of the pages, the first of its key
            self.hold.clear()
            self.holding.set()
            time.sleep(0.5)  # whoever sent it is dead by now
        return Answer(204)


class Tickets(Phone):
    """Refuses every seventh attempt, cuts every eleventh, both after it has taken the page."""

    attempts = 0

    def __call__(self, request: Request) -> Answer:
        self.hear(request)
        self.attempts += 1
        if self.attempts % 11 == 0:
            return CUT
        return Answer(503) if self.attempts % 7 == 0 else Answer(204)


class Crossings:
    """One processor after another that reaches its threshold."""

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self.processors: list[str] = []
        self._topic = topic
        self._producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)

    def add(self, count: int) -> None:
        """Have *count* more cross."""
        for number in range(len(self.processors), len(self.processors) + count):
            processor = f"acme {number:04d}"
            record = enrolment(processor).record(binary=False, keyed=True)
            self._producer.send(self._topic, record.value, key=record.key)
            self.processors.append(processor)
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


def kill_in_the_middle(alerts: Process, phone: Phone) -> None:
    """SIGKILL while the receiver has a page that it has not answered."""
    phone.holding.clear()
    phone.hold.set()
    until(phone.holding.is_set, "a page that is held")
    alerts.kill()


def kill_some_time(alerts: Process, phone: Phone, rng: random.Random) -> None:
    """SIGKILL a moment after it has begun to page."""
    before = len(phone.pages)
    until(lambda: len(phone.pages) > before, "a page of this life")
    time.sleep(rng.uniform(0, 0.3))
    alerts.kill()


def told(facetally: Facetally) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = facetally.json("notices")["notices"]
    return [one for one in found if one["kind"] == "duty_opened"]


def went(page: dict[str, Any]) -> tuple[str, ...]:
    """Return each channel with its answer, or with why it was skipped."""
    ways = page["channels"]
    return tuple(sorted(f"{way['channel']} {way['answer'] or way['skipped']}" for way in ways))


def owed(facetally: Facetally) -> list[str]:
    """Return the keys of pages that some channel still has to send."""
    return [
        one["key"]
        for one in told(facetally)
        if any(not (way["sent_at"] or way["skipped_at"]) for way in one["channels"])
    ]


def text(kafka: Kafka, topic: str, **receivers: Receiver) -> str:
    secret = base64.b64encode(bytes(32)).decode()
    channels = [
        PEOPLE.format(name=name, url=receiver.url, secret=secret)
        for name, receiver in receivers.items()
    ]
    return "\n".join((settings(kafka, topic), LOWEST_THRESHOLD, *channels, ROUTES))


@pytest.mark.parametrize("store", ["sqlite", *(["postgresql"] if FULL else [])])
def test_no_page_of_a_thousand_is_lost_or_doubled_over_fifty_kills(
    kafka: Kafka, forker: Forker, tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    print(f"seed {SEED}")  # noqa: T201 - so that it can be run again
    rng, began = random.Random(SEED), time.monotonic()
    url = request.getfixturevalue("postgres_url") if store == "postgresql" else None
    topic = f"alerts-killed-{store}-{SEED}"
    kafka.create_topic(topic, 3)
    phone, tickets, board = Phone(), Tickets(), Phone()
    with (
        receiving(phone) as one,
        receiving(tickets) as two,
        receiving(board) as three,
    ):
        words = text(kafka, topic, phone=one, tickets=two, board=three)
        facetally = Facetally(forker, tmp_path / "run", words, database_url=url)
        with (
            processes(facetally, "worker", "alerts") as (_, alerts),
            closing(Crossings(kafka, topic)) as crossings,
        ):
            for number in range(KILLS):
                crossings.add(CROSSINGS // KILLS)
                if number % 2:
                    kill_some_time(alerts, phone, rng)
                else:
                    kill_in_the_middle(alerts, phone)
                alerts.start()
            until(lambda: len(phone.pages) >= CROSSINGS, "all pages at the phone")
            until(lambda: len(tickets.pages) >= CROSSINGS, "all pages at the tickets")
            until(lambda: not owed(facetally), "nothing owed")

        evidence, crossed = told(facetally), Counter(crossings.processors)
        for receiver in (phone, tickets):
            assert Counter(receiver.pages.values()) == crossed
        assert phone.repeats >= KILLS // 2
        assert board.pages == {}
        assert Counter(one["processor"] for one in evidence) == crossed
        assert {went(one) for one in evidence} == {("board not_routed", "phone 204", "tickets 204")}
        assert facetally.json("verify")["holds"]
    report(
        f"alerts.killed.{store}",
        seed=SEED,
        crossings=CROSSINGS,
        kills=KILLS,
        repeats=phone.repeats,
        refused=tickets.attempts // 7 + tickets.attempts // 11,
        seconds=round(time.monotonic() - began),
    )
