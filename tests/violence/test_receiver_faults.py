"""Receivers that fail in every way: each notice arrives at least once, under one key, and shows."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Engine, select, text, update

from monitor.store import schema
from monitor.store.engine import is_sqlite, open_engine, reading
from tests.acceptance.command import Facetally, Forker
from tests.acceptance.running import until
from tests.figures import FULL
from tests.violence.faults_kit import SIGNING, Process, enrolled
from tests.violence.faults_receiver import (
    Receiver,
    Script,
    drips,
    hangs,
    receiving,
    says,
    status,
)

TOKEN: Final = "PATH-THAT-IS-A-SECRET"
BABBLE: Final = "TEXT-OF-THE-RECEIVER"
GOOD: Final = "good"
FAULTS: Final[Mapping[str, Script]] = {
    "answers-500": status(500, f"x-why: {BABBLE}"),
    "answers-429": status(429, "retry-after: 6"),
    "hangs": hangs,
    "cut-off": says("HTTP/1.1 204 So\r\nx-half-a-head"),
    "drips": drips,
    "babbles": says(f"{BABBLE}\r\n\r\n"),
}
SHOWN: Final = {
    "answers-500": "answered 500",
    "answers-429": "answered 429",
    "hangs": "no answer in time",
    "cut-off": "the connection failed (RemoteProtocolError)",
    "drips": "no answer in time",
    "babbles": "the connection failed (RemoteProtocolError)",
}
WELL: Final = status(204)
RULE: Final = '[[rules]]\nid = "frt.file"\nat_least = 1\n'
PROCESSORS: Final = ("acme", "beta")
LEASE_SECONDS: Final = 120
TIMEOUT: Final = 2  # seconds
LONGEST_ATTEMPT: Final = 3.0 * TIMEOUT


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forker]:
    with Forker(tmp_path_factory.mktemp("commands")) as started:
        yield started


def webhook(name: str, receiver: Receiver, timeout_s: int = TIMEOUT) -> str:
    lines = ["[[channels]]", 'kind = "webhook"', f'name = "{name}"', f'url = "{receiver.url}"']
    return "\n".join(
        [*lines, f'secret = "{SIGNING}"', "allow_private = true", f"timeout_s = {timeout_s}", ""]
    )


def deliveries(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(select(schema.deliveries)))


@dataclass(frozen=True, slots=True)
class Story:
    """What became of two notices sent to receivers of which all but one failed twice at first."""

    receivers: Mapping[str, Receiver]
    errors: Mapping[str, set[str]]
    failing: Mapping[str, float]
    metrics: Mapping[str, float]
    log: str
    good_after: float
    holds: bool


@pytest.fixture(scope="module")
def story(forker: Forker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("receivers")
    with ExitStack() as stack:
        receivers = {
            name: stack.enter_context(receiving(bad, bad, WELL, path=f"/{TOKEN}"))
            for name, bad in FAULTS.items()
        }
        receivers[GOOD] = stack.enter_context(receiving(WELL))
        settings = RULE + "".join(webhook(name, one) for name, one in receivers.items())
        yield _told(Facetally(forker, home, settings), receivers)


def _told(facetally: Facetally, receivers: Mapping[str, Receiver]) -> Story:
    engine = open_engine(facetally.database_url)
    log = facetally.home / "alerts.log"
    errors: dict[str, set[str]] = defaultdict(set)
    failing: dict[str, float] = {}
    alerts = facetally.start("alerts")
    process = Process(alerts, log)
    try:
        process.until_said("sending to")
        lines = [enrolled("ann", "08:00", processor=name).encode() for name in PROCESSORS]
        facetally.apply_lines("cloudevents", lines)
        applied = time.monotonic()

        def delivered() -> bool:
            rows = deliveries(engine)
            for row in rows:
                errors[row.channel] |= {row.error} - {None}
            if not failing and len([name for name in FAULTS if errors[name]]) == len(FAULTS):
                failing.update(process.metrics())
            wanted = len(PROCESSORS) * len(receivers)
            return sum(row.sent_at is not None for row in rows) == wanted

        until(delivered, "every notice delivered to every receiver", 90)
        time.sleep(1)
        metrics = process.metrics()
    finally:
        alerts.stop()
        engine.dispose()
    holds = bool(facetally.json("verify")["holds"])
    good_after = receivers[GOOD].got[-1].when - applied
    return Story(receivers, errors, failing, metrics, log.read_text(), good_after, holds)


@pytest.mark.parametrize("name", FAULTS)
def test_a_notice_arrives_under_one_key_whatever_its_receiver_does_at_first(
    story: Story, name: str
) -> None:
    got = story.receivers[name].got
    wanted = {one.key for one in story.receivers[GOOD].got}
    bodies = {(one.key, one.body) for one in got}

    assert len(got) >= len(PROCESSORS) + 2  # two attempts failed
    assert {one.key for one in got} == wanted
    assert len(bodies) == len(wanted) == len(PROCESSORS)
    assert story.metrics[f"facetally_notices_sent_total{{channel={name}}}"] == len(PROCESSORS)
    assert story.holds


@pytest.mark.parametrize("name", FAULTS)
def test_a_receiver_that_fails_is_shown_with_what_it_did_and_without_a_secret(
    story: Story, name: str
) -> None:
    failures = story.metrics[f"facetally_notice_failures_total{{channel={name},permanent=false}}"]

    assert SHOWN[name] in story.errors[name]
    assert story.errors[name] <= {SHOWN[name], "no answer in time"}  # on a busy machine, too
    assert failures >= 2
    assert f"not delivered on {name}, attempt 1: {SHOWN[name]}" in story.log
    for secret in (TOKEN, BABBLE, SIGNING):
        assert secret not in story.log
        assert not any(secret in error for error in story.errors[name])
        assert not any(secret in sample for sample in story.metrics)


def test_receivers_that_fail_hold_up_no_other(story: Story) -> None:
    waiting = f"facetally_notices_waiting{{channel={GOOD}}}"

    assert len(story.receivers[GOOD].got) == len(PROCESSORS)
    assert story.good_after < LONGEST_ATTEMPT
    assert story.failing.get(waiting, 0.0) == 0.0


def test_a_notice_is_tried_again_after_a_pause_and_not_before_its_receiver_asked(
    story: Story,
) -> None:
    assert _pause(story.receivers["answers-500"]) >= 1.4  # two seconds, less a quarter
    assert _pause(story.receivers["answers-429"]) >= 5.9


def test_an_answer_that_comes_byte_by_byte_is_given_up_and_the_next_notice_goes(
    story: Story,
) -> None:
    got = story.receivers["drips"].got

    assert got[1].when - got[0].when < LONGEST_ATTEMPT + 2
    assert story.errors["drips"] == {"no answer in time"}


def _pause(receiver: Receiver) -> float:
    """Return the shortest time between two attempts of one notice."""
    tried: dict[str, list[float]] = defaultdict(list)
    for one in receiver.got:
        tried[one.key].append(one.when)
    return min(
        later - earlier for times in tried.values() for earlier, later in itertools.pairwise(times)
    )


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_alerts_killed_between_the_answer_and_the_mark_tell_it_again_under_the_same_key(
    database: str, request: pytest.FixtureRequest, forker: Forker, tmp_path: Path
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    locked = threading.Event()

    def once_locked(line: socket.socket) -> None:
        locked.wait(20)
        WELL(line)

    with receiving(once_locked) as receiver:
        settings = RULE + webhook("webhook", receiver, timeout_s=20)
        facetally = Facetally(forker, tmp_path / "run", settings, database_url=url)
        engine = open_engine(facetally.database_url)
        facetally.apply_lines("cloudevents", [enrolled("ann", "08:00").encode()])
        process = Process(facetally.start("alerts"), tmp_path / "run" / "alerts.log")
        until(lambda: _claimed(engine), "the notice claimed", 60)
        with engine.begin() as connection:  # nobody can mark it while we have this
            if not is_sqlite(engine):
                connection.execute(text("LOCK TABLE deliveries IN EXCLUSIVE MODE"))
            locked.set()
            until(lambda: len(receiver.answered) == 1, "the answer taken in", 20)
            process.owned.kill()
        (left,) = deliveries(engine)

        again = Process(facetally.start("alerts"), tmp_path / "run" / "alerts.log")
        try:
            if not FULL:
                _age_lease(engine)
            until(lambda: deliveries(engine)[0].sent_at is not None, "the mark", 180)
        finally:
            again.owned.stop()
        (row,) = deliveries(engine)
        told = [one for one in _audit(engine) if one.kind == "notice.sent"]
        engine.dispose()

    assert (left.sent_at, left.attempts) == (None, 1)
    assert [one.key for one in receiver.got] == [receiver.got[0].key] * 2
    assert receiver.got[0].body == receiver.got[1].body
    assert row.attempts == 2
    assert len(told) == 1
    assert facetally.json("verify")["holds"]


def _claimed(engine: Engine) -> bool:
    return any(row.attempts for row in deliveries(engine))


def _age_lease(engine: Engine) -> None:
    """Let the dead sender's lease be over: as if two minutes had passed."""
    table = schema.deliveries
    with engine.begin() as connection:
        earlier = table.c.not_before - LEASE_SECONDS * 1_000_000
        connection.execute(update(table).values(not_before=earlier))


def _audit(engine: Engine) -> list[Any]:
    with reading(engine) as connection:
        return list(connection.execute(select(schema.audit)))
