"""The outbox in SQL keeps every promise, on both databases, for several processes at once."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, delete, event, select, update

from monitor.duties import Duty
from monitor.facts import Instant
from monitor.marks import Marks
from monitor.notices import Claim, Delivery, Kind, Notice, OpenDuty, key_of
from monitor.store import audit, owing, schema
from monitor.store.acknowledging import Said, acknowledge
from monitor.store.engine import open_engine, reading
from monitor.store.names import Registry
from monitor.store.outbox import SqlOutbox
from monitor.workdays import Deadline, beijing_day
from tests.outbox_contract import LEASE, NOW, SECOND, Desk, OutboxContract, claim_of, duty, notice

ROOT = Path(__file__).parents[2]


class SqlDesk(SqlOutbox):
    """The outbox, and the hand of the monitor."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.engine = engine

    def put(self, notice: Notice) -> None:
        with self.engine.begin() as connection:
            owing.notify(connection, notice)

    def acknowledge(self, key: str, now: Instant) -> None:
        acknowledge(self.engine, Said(what=key, by="ann", how="command"), now)

    def open_duty(self, duty: OpenDuty) -> None:
        registry = Registry(self.engine, Marks())
        registry.learn([(duty.processor, None, None)], [], [])
        with self.engine.begin() as connection:
            owing.open_duty(connection, registry.names, stored(duty))

    def close_duty(self, duty: OpenDuty, closed_at: Instant) -> None:
        with self.engine.begin() as connection:
            closed = update(schema.duties).where(schema.duties.c.key == duty.duty)
            connection.execute(closed.values(closed_at=closed_at))

    def delivery(self, key: str, channel: str) -> Delivery | None:
        n, d = schema.notices.c, schema.deliveries.c
        query = (
            select(n.key, d.channel, d.attempts, d.not_before, d.sent_at)
            .join(schema.deliveries, d.notice_id == n.id)
            .where(n.key == key, d.channel == channel)
        )
        with reading(self.engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else Delivery(*row)

    def audited(self) -> list[tuple[str, str | None, str]]:
        with reading(self.engine) as connection:
            assert audit.broken_at(connection) is None
            return [
                (entry.kind, entry.processor, entry.body) for entry in audit.entries(connection)
            ]


class AsGiven(SqlDesk):
    """The contract knows the body that it gave; ours is made from the duty, with its days."""

    def open_duties(self) -> Sequence[OpenDuty]:
        return [
            OpenDuty(
                processor=found.processor,
                rule=found.rule,
                duty=found.duty,
                opened_at=found.opened_at,
                body={"individuals": found.body["individuals"]},
                again=found.again,
                former=found.former,
            )
            for found in super().open_duties()
        ]


def stored(duty: OpenDuty) -> Duty:
    day = beijing_day(duty.opened_at)
    return Duty(
        processor=duty.processor,
        rule=duty.rule,
        key=duty.duty,
        trigger_day=day,
        trigger_at=duty.opened_at,
        not_later_than=False,
        opened_at=duty.opened_at,
        deadline=Deadline.on(day, "2026-1"),
        proof=dict(duty.body),
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgres_url")
        return found
    return f"sqlite:///{tmp_path / 'facetally.db'}"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    made = open_engine(url)
    schema.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def sql(engine: Engine) -> SqlDesk:
    return SqlDesk(engine)


class TestSqlOutbox(OutboxContract):
    """Every promise of the protocol."""

    @pytest.fixture
    def desk(self, engine: Engine) -> Desk:
        return AsGiven(engine)


def test_an_open_duty_is_told_with_its_days(sql: SqlDesk) -> None:
    sql.open_duty(duty("one"))

    assert dict(sql.open_duties()[0].body) == {
        "trigger_day": "2026-09-21",
        "not_later_than": False,
        "due_day": "2026-09-21",
        "due_between": None,
        "calendar_version": "2026-1",
        "individuals": 100_000,
        "verified": True,
        "unverified": None,
        "way_back": None,
    }


def test_a_delivery_is_one_entry_of_the_audit_log(sql: SqlDesk) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    lost = claim_of(sql)
    second = claim_of(sql, NOW + LEASE)
    sql.sent(second, NOW + LEASE + 1, "204")
    sql.sent(lost, NOW + LEASE + 2, "200")

    assert sql.audited() == [
        (
            "notice.sent",
            "acme 第一",
            '{"answer":"204","attempts":2,"channel":"log","kind":"gap","notice":"KEY"}'.replace(
                "KEY", notice("a").key
            ),
        )
    ]


def test_a_failed_attempt_is_kept_to_be_shown_and_not_in_the_audit_log(
    sql: SqlDesk, engine: Engine
) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    sql.failed(claim_of(sql), NOW + SECOND, "answered 500")
    with reading(engine) as connection:
        shown = connection.scalars(select(schema.deliveries.c.error)).all()

    assert shown == ["answered 500"]
    assert sql.audited() == []


def test_what_no_database_takes_does_not_keep_a_delivery_from_being_marked(sql: SqlDesk) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    sql.sent(claim_of(sql), NOW, "o\0k \ud800" + "x" * 5_000)
    kept = sql.delivery(notice("a").key, "log")

    assert kept is not None
    assert kept.sent_at == NOW
    assert '"answer":"o?k ?xxx' in sql.audited()[0][2]
    assert len(sql.audited()[0][2]) < 400


def test_a_sender_that_died_leaves_a_failing_notice(sql: SqlDesk) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    claim_of(sql)
    leased = sql.waiting()[0].failing
    claim_of(sql, NOW + LEASE)

    assert (leased, sql.waiting()[0].failing) == (0, 1)


def test_who_looks_first_and_takes_later_gets_nothing(sql: SqlDesk, url: str) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    quicker = open_engine(url)
    connections = itertools.count(1)
    theirs: list[Claim | None] = []

    @event.listens_for(sql.engine, "engine_connect")
    def between(_: Connection) -> None:
        if next(connections) == 2:  # the first looks, the second takes
            theirs.append(SqlOutbox(quicker).claim("log", NOW, LEASE))

    ours = sql.claim("log", NOW, LEASE)
    quicker.dispose()

    assert theirs == [Claim(notice("a"), "log", 1)]
    assert ours is None


def test_ensuring_what_is_so_waits_for_no_writer(sql: SqlDesk, engine: Engine) -> None:
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    claim_of(sql)
    with engine.begin() as writer:
        writer.execute(update(schema.channels).values(known_since=NOW))
        sql.ensure(["log"], NOW + SECOND)
        nothing_due = sql.claim("log", NOW + SECOND, LEASE)

    assert nothing_due is None


def test_a_channel_that_comes_back_is_told_what_it_missed(sql: SqlDesk) -> None:
    sql.ensure(["log", "webhook"], NOW)
    sql.ensure(["log"], NOW + 1)
    sql.put(notice("meanwhile", at=NOW + 2))
    sql.sent(claim_of(sql, NOW + 2), NOW + 2, "logged")
    sql.ensure(["log", "webhook"], NOW + 3)
    claim = sql.claim("webhook", NOW + 3, LEASE)

    assert claim is not None
    assert claim.notice.key == key_of(Kind.GAP, "meanwhile")


def test_a_repair_finds_a_notice_that_missed_its_channel(sql: SqlDesk, engine: Engine) -> None:
    """Written while the channel became known: neither transaction saw the other."""
    sql.ensure(["log"], NOW)
    sql.put(notice("a"))
    with engine.begin() as connection:
        connection.execute(delete(schema.deliveries))
    sql.ensure(["log"], NOW + SECOND)

    assert claim_of(sql).notice == notice("a")


_SENDER = """
import sys
import threading
from monitor.store.engine import open_engine
from monitor.store.outbox import SqlOutbox

url, now, lease = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
outbox = SqlOutbox(open_engine(url))
print("ready", flush=True)
sys.stdin.readline()
write = threading.Lock()


def send():
    while (claim := outbox.claim("log", now, lease)) is not None:
        if claim.notice.key in unlucky:
            outbox.failed(claim, now + 1, "answered 500")
        else:
            outbox.sent(claim, now, "200")
        with write:
            print(claim.notice.key, claim.attempts, flush=True)


unlucky = set(sys.argv[4:])
threads = [threading.Thread(target=send) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def senders(url: str, now: Instant, unlucky: Sequence[str]) -> list[str]:
    """What two processes with two threads each say that they claimed, all set off at once."""
    command = [sys.executable, "-c", _SENDER, url, str(now), str(LEASE), *unlucky]
    started = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    said = [process.communicate("go\n", timeout=60)[0] for process in started]

    assert [process.returncode for process in started] == [0, 0]
    return [line for output in said for line in output.splitlines()]


def test_two_processes_claim_each_notice_once_a_lease(sql: SqlDesk, url: str) -> None:
    sql.ensure(["log"], NOW)
    keys = [notice(str(index)).key for index in range(40)]
    for index in range(40):
        sql.put(notice(str(index)))
    unlucky = keys[::8]
    first = senders(url, NOW, unlucky)
    second = senders(url, NOW + 1, [])

    assert Counter(first) == Counter(f"{key} 1" for key in keys)
    assert Counter(second) == Counter(f"{key} 2" for key in unlucky)
    assert sql.waiting() == []
    assert Counter(kind for kind, _, _ in sql.audited()) == {"notice.sent": 40}
