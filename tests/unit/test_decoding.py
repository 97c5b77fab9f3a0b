from __future__ import annotations

from collections.abc import Mapping

import pytest

from monitor.facts import Terminated, Version
from monitor.intake import (
    Coordinates,
    Decoded,
    Ignored,
    LogPoint,
    LogWentBack,
    Move,
    Reason,
    Reject,
    SnapshotSign,
)
from streams.adapters.checks import TOLERANCE_US
from streams.decoding import UNDECIDED, WENT_BACK_AFTER, clock_behind, decode_records
from streams.records import Record, Undecodable

MOVE = Move("faces", 3, "id-of-topic", None, 12)
READ_AT = 1_000_000
ROW = SnapshotSign("db", 5, row=True)
LIVE = SnapshotSign("db", 5, ends_table=True, ends_all=True)


class Answers:
    """An adapter whose answer is chosen by the record's value."""

    def __init__(self, answers: Mapping[bytes, Decoded | Reason]) -> None:
        self._answers = answers

    def decode(self, record: Record, read_at: int) -> Decoded:
        assert read_at == READ_AT
        answer = self._answers[record.value or b""]
        if isinstance(answer, Reason):
            raise Undecodable(answer)
        return answer


def records(*values: bytes) -> list[Record]:
    return [Record("faces", 3, offset, 0, None, value) for offset, value in enumerate(values, 7)]


def fact(processor: str) -> Terminated:
    return Terminated(processor, Version(1, 0, 0), 1)


def signs(*given: SnapshotSign) -> tuple[SnapshotSign, ...]:
    values = [b"%d" % index for index in range(len(given))]
    answers = {v: Decoded(sign=sign) for v, sign in zip(values, given, strict=True)}
    return tuple(decode_records(records(*values), Answers(answers), "s", READ_AT, MOVE).signs)


def logs(*given: LogPoint, known: LogPoint | None = None) -> LogPoint | None:
    values = [b"%d" % index for index in range(len(given))]
    answers = {v: Decoded(log=point) for v, point in zip(values, given, strict=True)}
    return decode_records(records(*values), Answers(answers), "s", READ_AT, MOVE, known).log


def point(position: int, at: int = 0) -> LogPoint:
    return LogPoint(Version(0, position, 0), at)


def test_the_facts_of_all_records_come_in_the_order_of_the_log() -> None:
    answers = {b"a": Decoded((fact("a"), fact("b"))), b"c": Decoded((fact("c"),))}

    batch = decode_records(records(b"a", b"c"), Answers(answers), "source", READ_AT, MOVE)

    assert batch.facts == [fact("a"), fact("b"), fact("c")]
    assert (batch.source, batch.topic, batch.read_at) == ("source", "faces", READ_AT)
    assert (batch.move, batch.records) == (MOVE, 2)


def test_a_reject_tells_where_and_why_and_the_records_around_it_count() -> None:
    answers: dict[bytes, Decoded | Reason] = {
        b"a": Decoded((fact("a"),)),
        b"bad": Reason.BAD_TIME,
    }

    batch = decode_records(records(b"a", b"bad", b"a"), Answers(answers), "s", READ_AT, MOVE)

    assert batch.rejects == [Reject(Coordinates("faces", 3, 8), Reason.BAD_TIME)]
    assert batch.facts == [fact("a"), fact("a")]
    assert batch.records == 3


def test_what_says_nothing_about_storage_is_counted_by_its_kind() -> None:
    answers = {
        b"t": Decoded(ignored=Ignored.TOMBSTONE),
        b"h": Decoded(ignored=Ignored.HEARTBEAT),
    }

    batch = decode_records(records(b"t", b"h", b"t"), Answers(answers), "s", READ_AT, MOVE)

    assert batch.ignored == {Ignored.TOMBSTONE: 2, Ignored.HEARTBEAT: 1}


def test_the_latest_instant_is_how_far_the_partition_has_got() -> None:
    answers = {b"1": Decoded(instant=1), b"9": Decoded(instant=9), b"-": Decoded()}

    batch = decode_records(records(b"9", b"1", b"-"), Answers(answers), "s", READ_AT, MOVE)

    assert batch.instant == 9


@pytest.mark.parametrize(
    ("timestamps", "sent_at"), [((5, 9, 7), 9_000), ((-1,), None), ((), None), ((0,), 0)]
)
def test_the_latest_record_by_kafkas_clock_is_when_the_source_gave_a_sign_of_life(
    timestamps: tuple[int, ...], sent_at: int | None
) -> None:
    sent = [Record("faces", 3, at, stamp, None, b"x") for at, stamp in enumerate(timestamps)]
    batch = decode_records(sent, Answers({b"x": Decoded()}), "s", READ_AT, MOVE)

    assert batch.sent_at == sent_at


def test_a_fetch_without_records_is_a_batch_that_only_moves() -> None:
    batch = decode_records([], Answers({}), "s", READ_AT, MOVE)

    assert (batch.records, batch.facts, batch.instant, batch.move) == (0, [], None, MOVE)
    assert batch.topic == "faces"


def test_a_file_has_no_position_and_its_records_name_the_topic() -> None:
    batch = decode_records(records(b"a"), Answers({b"a": Decoded()}), "s", READ_AT, None)

    assert (batch.move, batch.topic) == (None, "faces")


def test_many_signs_of_one_kind_become_one_with_the_latest_row_and_the_earliest_end() -> None:
    rows = [ROW._replace(at=at) for at in (5, 7, 6)]
    live = [LIVE._replace(at=at) for at in (9, 8, 10)]

    assert signs(*rows, *live) == (ROW._replace(at=7), LIVE._replace(at=8))


def test_a_row_after_an_end_is_handed_over_after_it() -> None:
    assert signs(LIVE, ROW._replace(at=6)) == (LIVE, ROW._replace(at=6))


def test_an_end_before_a_new_snapshot_does_not_end_the_new_one() -> None:
    again = (LIVE, ROW._replace(at=6), LIVE._replace(at=9))

    assert signs(*again) == (ROW._replace(at=6), LIVE._replace(at=9))


def test_rows_of_an_incremental_snapshot_among_live_records_stay_two_signs() -> None:
    row = ROW._replace(incremental=True)
    given = [row, LIVE, row._replace(at=6), LIVE._replace(at=7), row._replace(at=8)]

    assert set(signs(*given)) == {LIVE, row._replace(at=8)}


def test_connectors_are_folded_apart() -> None:
    other = ROW._replace(connector="other", at=9)

    assert signs(ROW, other, ROW) == (other, ROW)


def test_the_highest_log_position_is_told() -> None:
    assert logs(point(1), point(3, at=2), point(2, at=1)) == point(3, at=2)


def test_a_log_that_goes_back_by_more_than_the_clocks_can_explain_stops_the_batch() -> None:
    with pytest.raises(LogWentBack):
        logs(point(300), point(2, at=WENT_BACK_AFTER + 1))


def test_a_log_below_what_was_read_before_stops_the_batch_even_if_it_climbs_over_it() -> None:
    replaced = point(50, at=WENT_BACK_AFTER + 1), point(101, at=WENT_BACK_AFTER + 2)
    with pytest.raises(LogWentBack):
        logs(*replaced, known=point(100))


def test_a_lower_position_within_a_minute_is_only_a_late_record() -> None:
    assert logs(point(300), point(2, at=WENT_BACK_AFTER)) == point(300)


@pytest.mark.parametrize(
    ("ahead", "waits"),
    [
        (None, False),  # its producer dated it
        (0, False),
        (TOLERANCE_US, False),
        (TOLERANCE_US + 1, True),
        (UNDECIDED - 1, True),
        # No clock of ours is a day behind: the broker is wrong.
        (UNDECIDED, False),
        (-UNDECIDED, False),
    ],
)
def test_a_broker_that_is_a_little_ahead_of_our_clock_is_waited_for(
    ahead: int | None,
    waits: bool,  # noqa: FBT001 - pytest hands it over
) -> None:
    dated_at = None if ahead is None else READ_AT + ahead

    assert clock_behind(dated_at, READ_AT, TOLERANCE_US) is waits
