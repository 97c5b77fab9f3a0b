"""What ``verify`` finds wrong with duties, notices and deliveries: the audit log says what was."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from monitor.intake import Gap, GapReason
from monitor.notices import Kind
from monitor.store.engine import reading
from monitor.store.outbox import SqlOutbox
from monitor.store.verifying import verify
from tests.builders import ANN, BOB, CY, enrolled, linked
from tests.integration.feed import DAY, MARCH_2, POLICY, TWO, Feed, confirmed
from tests.integration.filing_kit import live
from tests.integration.store_kit import NOW, TOPIC, notices, rows

LEASE = 60_000_000


@pytest.fixture
def feed(engine: Engine) -> Feed:
    """One duty that was moved and proved anew, with gaps beside it, and all of it delivered."""
    SqlOutbox(engine).ensure(["log"], NOW)
    made = confirmed(engine, TWO)
    made.keeper.placed(gaps=[Gap(TOPIC, 0, "id", GapReason.RETENTION, 2, 10, NOW + 3)])
    deliver(engine)
    return made


def deliver(engine: Engine) -> None:
    outbox = SqlOutbox(engine)
    while (claim := outbox.claim("log", NOW + 10, LEASE)) is not None:
        outbox.sent(claim, NOW + 11, "logged")


def wrong(engine: Engine) -> dict[str, str]:
    """Return what is wrong, by check."""
    with reading(engine) as connection:
        found = verify(connection, POLICY.marks, POLICY.rules)
    return {one.check: one.detail for one in found if not one.holds}


def by_hand(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            assert connection.execute(text(statement)).rowcount >= 1


def test_what_was_opened_told_and_delivered_is_right(engine: Engine, feed: Feed) -> None:
    assert feed is not None
    assert len(notices(engine, Kind.DUTY_OPENED)) == len(notices(engine, Kind.GAP)) == 1
    assert wrong(engine) == {}


def test_a_duty_that_moved_to_an_earlier_day_is_right(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    feed.read(0, [enrolled(CY, MARCH_2 - 3 * DAY), enrolled(BOB, MARCH_2 - 2 * DAY)], NOW + 10)
    feed.at_end(0, NOW + 20)
    feed.tick(NOW + 21)
    feed.tick(NOW + 22)

    assert len(notices(engine, Kind.DUTY_MOVED)) == 1
    assert wrong(engine) == {}


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("due_day = '2030-01-01'", "what it says cannot be"),
        (
            "due_day = '2030-01-01', earliest = '2030-01-01', latest = '2030-01-01'",
            "due_day",
        ),
        (
            "trigger_day = '2026-03-03', trigger_at = trigger_at + 86400000000",
            "trigger_at, trigger_day",
        ),
        ("trigger_at = trigger_at + 1", "trigger_at"),  # of the same day: latches go by instants
        ("asked = 'reach_vanished None'", "asked"),  # what was asked is not asked again
        ("proof = '{}'", "at_least, individuals, proof, verified"),
        ("closed_at = 5", "closed"),
        ("closed_at = 5, annulled = 'no'", "closed"),
        ("opened_at = opened_at - 1", "opened_at"),
    ],
)
def test_a_duty_that_was_changed_by_hand_is_told(
    engine: Engine, feed: Feed, damage: str, told: str
) -> None:
    assert feed is not None
    by_hand(engine, f"UPDATE duties SET {damage}")  # noqa: S608 - of this table

    assert wrong(engine) == {
        "duties": f"wrong: acme frt.file 1 (not as the audit log says: {told})"
    }


def test_what_a_person_is_asked_of_a_duty_is_as_the_audit_log_says(engine: Engine) -> None:
    """Asked when its reach vanished, not any more when it was there again, and asked anew."""
    feed = confirmed(engine, TWO)
    seen = []
    for number, individual in enumerate((ANN, None, ANN)):
        live(feed, linked(BOB, individual, MARCH_2 - DAY, number), now=NOW + 10 * (number + 1))
        seen.append((rows(engine, "duties")[0].asked, wrong(engine)))

    assert seen == [("reach_vanished None", {}), (None, {}), ("reach_vanished None", {})]
    by_hand(engine, "UPDATE duties SET asked = NULL")
    assert wrong(engine) == {"duties": "wrong: acme frt.file 1 (not as the audit log says: asked)"}


def test_a_duty_under_another_key_is_one_missing_and_one_too_many(
    engine: Engine, feed: Feed
) -> None:
    assert feed is not None
    by_hand(engine, "UPDATE duties SET key = '2'")

    assert wrong(engine)["duties"] == (
        "wrong: acme frt.file 1 (confirmed, and no duty), acme frt.file 1 (missing), "
        "acme frt.file 2 (no entry of the audit log opened it)"
    )


def test_duties_notices_and_deliveries_that_are_gone_are_told(engine: Engine, feed: Feed) -> None:
    assert feed is not None
    opened, gap = notices(engine, Kind.DUTY_OPENED)[0].key, notices(engine, Kind.GAP)[0].key
    by_hand(engine, "DELETE FROM deliveries", "DELETE FROM notices", "DELETE FROM duties")
    found = wrong(engine)

    assert found["duties"] == (
        "wrong: acme frt.file 1 (confirmed, and no duty), acme frt.file 1 (missing)"
    )
    assert sorted(found) == ["duties", "notices"]
    for one in ("duty.opened (nobody was to be told)", "gap (nobody was to be told)"):
        assert one in found["notices"]
    for key in (opened, gap):
        assert f"{key} (missing, and was sent)" in found["notices"]


def test_a_confirmed_reach_whose_duty_was_never_written_is_told(engine: Engine) -> None:
    feed = Feed(engine, partitions=1)
    feed.read(0, TWO)
    feed.tick(NOW + 1)
    before = wrong(engine)
    by_hand(engine, "UPDATE reaches SET confirmed_at = 5 WHERE rule = 'frt.file'")

    assert before == {}
    assert wrong(engine) == {"duties": "wrong: acme frt.file 1 (confirmed, and no duty)"}


@pytest.mark.parametrize("kind", [Kind.DUTY_OPENED, Kind.GAP])
def test_a_notice_that_was_taken_away_before_it_was_sent_is_told(
    engine: Engine, kind: Kind
) -> None:
    feed = confirmed(engine, TWO)
    feed.keeper.placed(gaps=[Gap(TOPIC, 0, "id", GapReason.RETENTION, 2, 10, NOW + 3)])
    by_hand(engine, f"DELETE FROM notices WHERE kind = '{kind}'")  # noqa: S608 - of this table
    entry = kind.replace("_", ".")

    (detail,) = wrong(engine).values()
    assert detail.endswith(f", {entry} (nobody was to be told)")


def test_a_delivery_that_was_marked_or_unmarked_by_hand_is_told(engine: Engine) -> None:
    SqlOutbox(engine).ensure(["log"], NOW)
    confirmed(engine, TWO)
    key = notices(engine, Kind.DUTY_OPENED)[0].key
    by_hand(engine, "UPDATE deliveries SET sent_at = 5")
    swallowed = wrong(engine)
    by_hand(engine, "UPDATE deliveries SET sent_at = NULL")
    deliver(engine)
    by_hand(engine, "UPDATE deliveries SET sent_at = NULL")

    assert swallowed == {"notices": f"wrong: {key} (marked as sent on log, by no entry)"}
    assert wrong(engine) == {"notices": f"wrong: {key} (not marked as sent on log)"}


def test_of_much_that_is_wrong_the_first_is_shown_and_the_rest_counted(engine: Engine) -> None:
    feed = confirmed(engine, TWO)
    for number in range(7):
        gap = Gap(TOPIC, 0, "id", GapReason.RETENTION, 2 + number, 3 + number, NOW + 3 + number)
        feed.keeper.placed(gaps=[gap])
    by_hand(engine, "DELETE FROM notices")

    assert wrong(engine)["notices"].endswith(" and 3 more")
