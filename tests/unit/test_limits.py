from __future__ import annotations

import pytest

from monitor.limits import RejectLimit

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


def test_a_batch_without_records_is_nothing() -> None:
    assert LIMIT.after([[5, 1]], 0, 0) == [[5, 1]]


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
