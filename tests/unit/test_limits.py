from __future__ import annotations

import pytest

from monitor.facts import Version
from monitor.intake import LogPoint, LogWentBack
from monitor.limits import RejectLimit, advance_log

LIMIT = RejectLimit(rejects=10, share=0.1, window=200)


@pytest.mark.parametrize(
    ("recent", "exceeded"),
    [
        ([], False),
        # As many as are allowed, and every record of them.
        ([[10, 10]], False),
        # One more.
        ([[11, 11]], True),
        # Many, but no more than the share of what was read.
        ([[110, 11]], False),
        ([[109, 11]], True),
        # It is the window that counts, not its last batch.
        ([[20, 6], [20, 5]], True),
        ([[20, 6], [100, 5]], False),
    ],
)
def test_too_many_is_more_than_the_number_and_more_than_the_share(
    recent: list[list[int]],
    exceeded: bool,  # noqa: FBT001 - a column of the table
) -> None:
    assert LIMIT.exceeded(recent) is exceeded


def test_the_shipped_limit_is_a_thousand_and_one_in_a_hundred_of_ten_thousand() -> None:
    assert not RejectLimit().exceeded([[10_000, 1_000]])
    assert RejectLimit().exceeded([[10_000, 1_001]])


def test_batches_leave_the_window_when_newer_ones_fill_it() -> None:
    recent: list[list[int]] = []
    for rejects in (50, 0, 0, 0):
        recent = LIMIT.after(recent, 100, rejects)

    assert recent == [[100, 0], [100, 0]]


def test_a_window_that_is_not_full_keeps_every_batch() -> None:
    recent = LIMIT.after(LIMIT.after([], 100, 50), 99, 1)

    assert recent == [[100, 50], [99, 1]]


@pytest.mark.parametrize("recent", [[], [[5, 1]], [[100, 1]]])
def test_a_batch_without_records_is_nothing(recent: list[list[int]]) -> None:
    assert LIMIT.after(recent, 0, 0) == recent


def test_what_was_handed_in_stays_as_it_was() -> None:
    recent = [[100, 0], [150, 0]]
    LIMIT.after(recent, 100, 0)

    assert recent == [[100, 0], [150, 0]]


def test_many_small_batches_are_kept_in_few_pairs_without_losing_a_record() -> None:
    limit = RejectLimit(rejects=10, share=0.1, window=10_000)
    recent: list[list[int]] = []
    for number in range(5_000):
        recent = limit.after(recent, 1, number % 2)

    assert len(recent) <= 66
    assert [sum(pair[n] for pair in recent) for n in (0, 1)] == [5_000, 2_500]


def test_joined_pairs_still_leave_a_window_of_single_records() -> None:
    limit = RejectLimit(rejects=10, share=0.1, window=1_000)
    recent: list[list[int]] = []
    for number in range(20_000):
        recent = limit.after(recent, 1, int(number < 500))

    records = sum(pair[0] for pair in recent)
    assert limit.window <= records <= limit.window + limit.window // 32
    assert sum(pair[1] for pair in recent) == 0


def test_small_batches_share_a_pair_up_to_a_thirty_second_of_the_window() -> None:
    limit = RejectLimit(window=320)

    assert limit.after([[9, 1]], 1, 1) == [[10, 2]]
    assert limit.after([[10, 1]], 1, 1) == [[10, 1], [1, 1]]
    # Of a window that cannot be divided evenly, what is left over is not shared.
    assert RejectLimit(window=351).after([[10, 1]], 1, 0) == [[10, 1], [1, 0]]


def test_only_the_newest_pair_is_shared() -> None:
    limit = RejectLimit(window=320)

    assert limit.after([[3, 1], [300, 5]], 2, 2) == [[3, 1], [300, 5], [2, 2]]
    assert limit.after([[300, 5], [3, 1]], 2, 2) == [[300, 5], [5, 3]]


def test_a_pair_leaves_once_the_others_fill_the_window() -> None:
    assert LIMIT.after([[500, 5], [100, 1]], 99, 0) == [[500, 5], [100, 1], [99, 0]]
    assert LIMIT.after([[500, 5], [100, 1]], 100, 0) == [[100, 1], [100, 0]]


def test_the_shipped_window_is_ten_thousand_records() -> None:
    full = RejectLimit().after([[1, 1], [9_000, 0]], 999, 0)

    assert full == [[1, 1], [9_000, 0], [999, 0]]
    assert RejectLimit().after(full, 500, 0) == [[9_000, 0], [999, 0], [500, 0]]
    assert RejectLimit().after([[1, 1], [9_000, 0]], 1_000, 0) == [[9_000, 0], [1_000, 0]]


# -- a log that goes backwards -----------------------------------------------------------------

MINUTE = 60_000_000


def point(position: int, at: int) -> LogPoint:
    return LogPoint(Version(0, position, 0), at)


@pytest.mark.parametrize(
    ("known", "seen", "highest"),
    [
        # Nothing is known yet, or nothing was seen.
        (None, None, None),
        (None, point(5, 0), point(5, 0)),
        (point(5, 0), None, point(5, 0)),
        # It goes on.
        (point(5, 0), point(6, 9), point(6, 9)),
        # Read again: lower and older, or younger by no more than a minute of unsteady clocks.
        (point(5, MINUTE), point(4, 0), point(5, MINUTE)),
        (point(5, 7), point(4, 7 + MINUTE), point(5, 7)),
        # The same position told later is no step back.
        (point(5, 0), point(5, 2 * MINUTE), point(5, 2 * MINUTE)),
        # Far ahead in the log, whatever the clock says.
        (point(5, 2 * MINUTE), point(6, 0), point(6, 0)),
        (point(5, 0), point(6, 2 * MINUTE), point(6, 2 * MINUTE)),
    ],
)
def test_the_highest_point_of_a_log_is_carried_along(
    known: LogPoint | None, seen: LogPoint | None, highest: LogPoint | None
) -> None:
    assert advance_log(known, seen) == highest


@pytest.mark.parametrize("at", [MINUTE + 1, 3 * MINUTE])
def test_a_lower_position_that_is_over_a_minute_younger_is_another_log(at: int) -> None:
    with pytest.raises(LogWentBack):
        advance_log(point(5, 7), point(4, 7 + at))
